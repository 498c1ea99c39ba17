"""Adds up counts that begin again at 0 whenever an engine or a classroom is replaced.

Invariant: a total never falls. A counter that fell, or whose owner was restarted, counts from 0 again. What its owner
did between the last reading and its death is not in any reading and so not in a total. What one engine of a pool
cannot tell, its pool cannot tell: None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from agents.engines.load import EngineLoad
from sim.sight.records import Reading, Replica, RoomCount, TutorCount

ROOM_COUNTS = (
    *("turns", "requests", "prompt_tokens", "completion_tokens", "scored", "cost", "rerouted", "moved"),
    *("dialogue_seconds", "dialogue_request_seconds", "asking_seconds", "engine_seconds"),
)
ENGINE_COUNTS = (
    *("preemptions", "requests", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("queued_seconds", "prefill_seconds", "decode_seconds"),
)
TUTOR_COUNTS = ("begun", "done", "failed")
Count = TypeVar("Count", RoomCount, EngineLoad, TutorCount)
_NO_ROOM = RoomCount(dialogue_request_seconds=0.0, asking_seconds=0.0)
_NO_LOAD = EngineLoad(cached_tokens=0, queued_seconds=0.0, prefill_seconds=0.0, decode_seconds=0.0)
_NO_TUTOR = TutorCount()


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted since a phase began; levels in it mean nothing."""

    rooms: RoomCount = _NO_ROOM
    tutors: Mapping[str, TutorCount] = field(default_factory=dict)
    pools: Mapping[str, EngineLoad] = field(default_factory=dict)


def advanced(totals: Totals, before: Reading, now: Reading) -> Totals:
    """The totals after one more reading.

    Args:
        totals: what they were at `before`.
        before: the reading before; the first one of a phase holds no rooms, and the engines as the phase found them.
        now: the new reading.
    """
    rooms, tutors = totals.rooms, dict(totals.tutors)
    for place, room in enumerate(now.rooms):
        old = before.rooms[place] if place < len(before.rooms) else _NO_ROOM
        if old.restarts != room.restarts or _fell(old, room, ROOM_COUNTS):
            old = _NO_ROOM
        rooms = _plus(rooms, _gain(old, room, ROOM_COUNTS), ROOM_COUNTS)
        for tutor, count in room.by_tutor.items():
            gain = _gain(old.by_tutor.get(tutor, _NO_TUTOR), count, TUTOR_COUNTS)
            tutors[tutor] = _plus(tutors.get(tutor, _NO_TUTOR), gain, TUTOR_COUNTS)
    return Totals(rooms, tutors, _pools(totals.pools, before.replicas, now.replicas))


def _pools(totals: Mapping[str, EngineLoad], old: Sequence[Replica], new: Sequence[Replica]) -> dict[str, EngineLoad]:
    """Totals by pool; an engine that does not serve yet, or no longer, has nothing to tell."""
    known, found = by_place(old), dict(totals)
    for place, replica in by_place(new).items():
        if replica.state not in ("serving", "leaving"):
            continue
        before, base = known.get(place), _NO_LOAD
        if before is not None and before.state in ("serving", "leaving") and before.restarts == replica.restarts:
            base = _NO_LOAD if _fell(before.load, replica.load, ENGINE_COUNTS) else before.load
        gain = _gain(base, replica.load, ENGINE_COUNTS)
        found[replica.pool] = _plus(found.get(replica.pool, _NO_LOAD), gain, ENGINE_COUNTS)
    return found


def by_place(replicas: Sequence[Replica]) -> dict[tuple[str, int], Replica]:
    """Replicas by pool and index."""
    return {(replica.pool, replica.index): replica for replica in replicas}


def _fell(old: Count, new: Count, names: Sequence[str]) -> bool:
    pairs = ((getattr(old, name), getattr(new, name)) for name in names)
    return any(now < then for then, now in pairs if then is not None and now is not None)


def _gain(old: Count, new: Count, names: Sequence[str]) -> Count:
    """What was added between two looks at one owner."""
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in names}
    gains: dict[str, Any] = {name: None if now is None else now - (then or 0) for name, (then, now) in pairs.items()}
    return replace(new, **gains)


def _plus(one: Count, other: Count, names: Sequence[str]) -> Count:
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in names}
    sums: dict[str, Any] = {name: None if None in pair else sum(pair) for name, pair in pairs.items()}
    return replace(one, **sums)
