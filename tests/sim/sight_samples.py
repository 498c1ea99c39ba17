"""Small builders for tests of `sim.sight`."""

from __future__ import annotations

from agents.engines.load import EngineLoad
from sim.sight.records import Reading, Replica, RoomCount, StoreCount, TutorCount
from sim.sight.snapshot import About, Snapshot
from sim.sight.watch import Watch


def about(*, total: int = 100, before: int = 0, phase: int = 1, what: str = "practice", name: str = "demo") -> About:
    """A phase."""
    return About(name, what, phase, total, before, "2026-11-22T10:00:00.000+00:00")


def load(requests: int = 10, **changes: object) -> EngineLoad:
    """An engine that tells everything: each request read 100 tokens, 80 of them cached, and took 2 seconds."""
    told: dict[str, object] = {
        "requests": requests,
        "prompt_tokens": 100 * requests,
        "cached_tokens": 80 * requests,
        "completion_tokens": 20 * requests,
        "queued_seconds": 0.2 * requests,
        "prefill_seconds": 0.3 * requests,
        "decode_seconds": 1.5 * requests,
        "kv_usage": 0.5,
    }
    return EngineLoad(**{**told, **changes})  # type: ignore[arg-type]


def replica(index: int = 0, *, pool: str = "class", **changes: object) -> Replica:
    """A replica that serves."""
    return Replica(pool, index, **{"node": "ab12", "load": load(), **changes})  # type: ignore[arg-type]


def room(done: int = 4, **changes: object) -> RoomCount:
    """A classroom whose finished dialogues took 10 seconds each, 8 of them asking; 4 requests of 2.5 seconds."""
    told: dict[str, object] = {
        "turns": 4 * done,
        "requests": 4 * done,
        "prompt_tokens": 400 * done,
        "completion_tokens": 80 * done,
        "cost": 0.01 * done,
        "in_flight": 3,
        "limit": 8,
        "waiting": 5,
        "by_tutor": {"plain": TutorCount(1, done // 2 + 1, done // 2), "socratic": TutorCount(2, done, done, 1)},
        "dialogue_seconds": 10.0 * done,
        "dialogue_request_seconds": 10.0 * done,
        "asking_seconds": 8.0 * done,
        "engine_seconds": 10.0 * done,
    }
    return RoomCount(**{**told, **changes})  # type: ignore[arg-type]


def followed(*readings: Reading, phase: About | None = None) -> Snapshot:
    """The snapshot after some readings."""
    watch = Watch(phase or about())
    return [watch.take(reading, at="2026-11-22T10:00:10.000+00:00") for reading in readings][-1]


def reading(seconds: float = 10.0, *, done: int = 4, failed: int = 1, **parts: object) -> Reading:
    """One classroom and one engine, all of it told."""
    told: dict[str, object] = {
        "rooms": (room(done),),
        "replicas": (replica(load=load(4 * done)),),
        "store": StoreCount(1, done, 0.1 * seconds, 0),
    }
    return Reading(seconds, done, failed, **{**told, **parts})  # type: ignore[arg-type]
