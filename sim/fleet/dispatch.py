"""Begins episodes as places get free and hands finished dialogues over in batches.

Invariant: every episode that was begun is handed over exactly once, failed or not. At most the limit of dialogues is
under way, and none begins while as many finished ones wait for a slow reader, so memory stays bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agents.packs import Pack
from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.episode import Cast, Episode
from sim.fleet.admission import FairQueue, Limit
from sim.sight.records import TutorCount

HELD_DIALOGUES = 500
"""Most finished dialogues that wait for the reader before no more are begun."""
GATHER_SECONDS = 0.02
"""How long finished dialogues are gathered once there is one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes that sample the same number of candidates per turn."""

    specs: Sequence[EpisodeSpec]
    candidates: int


@dataclass
class Halt:
    """What a classroom is to begin no more of."""

    drained: bool = False
    tutors: set[str] = field(default_factory=set)

    def stops(self, spec: EpisodeSpec) -> bool:
        """Whether an episode is not to be begun."""
        return self.drained or spec.tutor_name in self.tutors


class Dispatch:
    """The episodes of one classroom, from those that wait to those that are finished."""

    def __init__(
        self,
        config: Config,
        cast: Cast,
        batches: Sequence[Batch],
        *,
        packs: Mapping[str, Pack] | None = None,
        limit: Limit | None = None,
        halt: Halt | None = None,
        on_end: Callable[[Dialogue], None] | None = None,
    ) -> None:
        """Makes one that has begun nothing.

        Args:
            config: the run's.
            cast: engines and judges.
            batches: the episodes.
            packs: by the name that episodes give; one that is missing is read here.
            limit: how many may be under way; None: always `run.in_flight`.
            halt: looked at before an episode begins; what it stops is left out and yields nothing.
            on_end: called with every dialogue that ended.
        """
        self._config, self._cast, self._halt = config, cast, halt or Halt()
        self._packs = dict(packs or {})
        self._limit = limit or Limit(config.run.in_flight)
        self._candidates = {spec.id: batch.candidates for batch in batches for spec in batch.specs}
        self.queue = FairQueue(spec for batch in batches for spec in batch.specs)
        self._held = min(max(64, config.run.in_flight), HELD_DIALOGUES)
        self._on_end = on_end
        self._running: set[asyncio.Task[None]] = set()
        self._finished: list[Dialogue] = []
        self._wake = asyncio.Event()
        self._bug: BaseException | None = None
        self._closing = False
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        """Dialogues that have begun and not ended."""
        return len(self._running)

    def by_tutor(self) -> dict[str, TutorCount]:
        """Counts of every tutor that has begun."""
        queue = self.queue
        return {
            tutor: TutorCount(queue.under_way[tutor], begun, self.done[tutor], self.failed[tutor])
            for tutor, begun in queue.begun.items()
        }

    async def dialogues(self) -> AsyncGenerator[list[Dialogue], None]:
        """Dialogues in the order they finish, some at a time.

        Raises:
            Exception: a bug in an episode; a dialogue that only failed is a dialogue.
        """
        try:
            self.fill()
            while self._running or self._finished:
                if not self._finished:
                    self._wake.clear()
                    await self._wake.wait()
                    await asyncio.sleep(GATHER_SECONDS)
                if self._bug is not None:
                    raise self._bug
                found, self._finished = self._finished, []
                self.fill()
                if found:
                    yield found
            if self._bug is not None:
                raise self._bug
        finally:
            self._closing = True
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def fill(self) -> None:
        """Begins episodes while there are places."""
        while len(self._running) < self._limit.value and len(self._finished) < self._held:
            spec = self.queue.next(self._limit.value)
            if spec is None:
                return
            if self._halt.stops(spec):
                self.queue.ended(spec)
                self.queue.drop(None if self._halt.drained else [spec.tutor_name])
                continue
            task = asyncio.create_task(self._hold(spec))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def _hold(self, spec: EpisodeSpec) -> None:
        item = (self._packs.get(spec.pack) or self._config.inputs.pack(spec.pack)).item(spec.item_id)
        candidates = self._candidates.pop(spec.id)
        try:
            dialogue = await Episode(spec, item, self._cast, self._config, candidates=candidates).run()
        finally:
            self.queue.ended(spec)
        self.done[spec.tutor_name] += 1
        self.failed[spec.tutor_name] += dialogue.failure is not None
        self._finished.append(dialogue)
        if self._on_end is not None:
            self._on_end(dialogue)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._closing:
            return
        if task.cancelled():
            self._bug = RuntimeError("an episode was cancelled from within")
        elif task.exception() is not None:
            self._bug = task.exception()
        else:
            self.fill()
        self._wake.set()
