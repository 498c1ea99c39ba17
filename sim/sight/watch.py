"""Follows one phase: takes readings about once a second and makes snapshots of them.

Invariant: memory does not grow with the length of a phase: of earlier readings only their totals are kept, for as long
as rates look back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sim.sight.records import Reading, Replica, RoomCount, StoreCount
from sim.sight.snapshot import ETA_SECONDS, About, Point, Snapshot, snapshot
from sim.sight.totals import Totals, advanced

MOST_POINTS = 1200
"""Of earlier readings: enough for four a second."""


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Watch:
    """One phase. `tell` is called about once a second; it is plain work of a millisecond, and never waits."""

    def __init__(
        self,
        about: About,
        *,
        replicas: Sequence[Replica] = (),
        show: Callable[[Snapshot], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins a phase.

        Args:
            about: what it is.
            replicas: the engines as they were last seen before it; what they did till then is not of this phase.
            show: gets every snapshot.
            clock: seconds.
        """
        self.about = about
        self._show, self._clock, self._begun = show, clock, clock()
        self._before = Reading(0.0, about.before, 0, replicas=tuple(replicas))
        self._points: deque[Point] = deque([Point(0.0, about.before, Totals())], maxlen=MOST_POINTS)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The engines as they were last seen."""
        return self._before.replicas

    def tell(
        self,
        *,
        done: int,
        failed: int,
        rooms: Sequence[RoomCount],
        replicas: Sequence[Replica] = (),
        store: StoreCount | None = None,
    ) -> Snapshot:
        """Takes a reading.

        Args:
            done: dialogues that are finished, those stored before the phase and failed ones included.
            failed: of those finished in this phase.
            rooms: the classrooms, always in the same order.
            replicas: the engines of all pools that were started.
            store: what was stored in this phase; None: nothing yet.
        """
        seconds = self._clock() - self._begun
        return self.take(Reading(seconds, done, failed, tuple(rooms), tuple(replicas), store or StoreCount()), at=now())

    def take(self, reading: Reading, *, at: str) -> Snapshot:
        """The same, of a reading that was taken at a given time."""
        totals = advanced(self._points[-1].totals, self._before, reading)
        self._before = _with_absent(reading, self._before)
        self._points.append(Point(reading.seconds, reading.done, totals))
        while len(self._points) > 2 and reading.seconds - self._points[1].seconds >= ETA_SECONDS:
            self._points.popleft()
        made = snapshot(self.about, self._points, reading, at=at)
        self._show(made)
        return made


def _with_absent(reading: Reading, before: Reading) -> Reading:
    """The reading, and rooms and engines that it does not mention as they were: they are not new when they return."""
    seen = {(replica.pool, replica.index) for replica in reading.replicas}
    absent = tuple(replica for replica in before.replicas if (replica.pool, replica.index) not in seen)
    rooms = reading.rooms + before.rooms[len(reading.rooms) :]
    return replace(reading, rooms=rooms, replicas=reading.replicas + absent)
