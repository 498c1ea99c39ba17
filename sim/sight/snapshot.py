"""One moment of a run, as people and dashboards see it.

Invariant: `snapshot` is a pure function of what was read; every figure is of the phase so far, except rates, which are
of the last 30 seconds, and levels, which are of now. A figure that cannot be known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agents.engines.load import EngineLoad
from sim.sight.records import Reading, Replica, RoomCount, StoreCount, TutorCount
from sim.sight.seconds import Spent, where_seconds_went
from sim.sight.totals import Totals

WINDOW_SECONDS = 30.0
"""Rates are over this long: longer than most replies take, short enough to see a change."""
ETA_SECONDS = 300.0
"""The ETA looks back further: dialogues finish in bursts."""


@dataclass(frozen=True, slots=True)
class About:
    """What a phase is; it does not change while the phase goes on."""

    name: str
    """Of the run."""
    what: str
    """What the phase does, in words."""
    phase: int
    """Number of the phase within this start of the run, from 1."""
    total: int
    """Dialogues of the phase, those stored before it included."""
    before: int
    """Dialogues of the phase that were stored before it."""
    started: str
    """When the phase began: UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Point:
    """What is kept of an earlier reading, for rates."""

    seconds: float
    done: int
    totals: Totals


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool with its replicas."""

    pool: str
    replicas: tuple[Replica, ...]
    """Those that it has; not one that left."""
    serving: int
    """Replicas that serve now."""
    running: int
    waiting: int
    kv_usage: float | None
    """Of the fullest replica."""
    preemptions: int
    requests: int
    prefix_share: float | None
    """Prompt tokens read from the prefix cache / prompt tokens."""
    tokens_per_second: float | None
    """Completion tokens."""
    restarts: int
    """Since the run started."""


@dataclass(frozen=True, slots=True)
class TutorView:
    """One tutor under test, as the classrooms count it."""

    tutor: str
    in_flight: int
    begun: int
    done: int
    failed: int
    dialogues_per_second: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a phase."""

    about: About
    at: str
    """When it was taken: UTC, ISO 8601."""
    seconds: float
    done: int
    failed: int
    in_flight: int
    limit: int
    """Dialogues the classrooms admit now."""
    waiting: int
    """Episodes that have not begun."""
    queue: int
    """Requests that wait in engines."""
    turns: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    scored: int
    cost: float
    rerouted: int
    moved: int
    engine_restarts: int
    """Since the run started."""
    room_restarts: int
    dialogues_per_second: float | None
    turns_per_second: float | None
    tokens_per_second: float | None
    prefix_share: float | None
    """Over the pools whose engines tell."""
    eta_seconds: float | None
    store: StoreCount
    spent: Spent
    pools: tuple[PoolView, ...]
    tutors: tuple[TutorView, ...]


def snapshot(about: About, points: Sequence[Point], reading: Reading, *, at: str) -> Snapshot:
    """Derives a snapshot.

    Args:
        about: the phase.
        points: readings of the phase in order, from its beginning or from `ETA_SECONDS` ago; the last is of `reading`.
        reading: the newest reading.
        at: when it was taken.
    """
    totals, rooms = points[-1].totals, reading.rooms
    counted = totals.rooms
    in_flight = sum(room.in_flight for room in rooms)
    pools = _pools(points, reading.replicas)
    spent = where_seconds_went(totals, seconds=reading.seconds, storing=reading.store.seconds, in_flight=in_flight)
    return Snapshot(
        about=about,
        at=at,
        seconds=reading.seconds,
        done=reading.done,
        failed=reading.failed,
        in_flight=in_flight,
        limit=sum(room.limit for room in rooms),
        waiting=sum(room.waiting for room in rooms),
        queue=sum(pool.waiting for pool in pools),
        turns=counted.turns,
        requests=counted.requests,
        prompt_tokens=counted.prompt_tokens,
        completion_tokens=counted.completion_tokens,
        scored=counted.scored,
        cost=counted.cost,
        rerouted=counted.rerouted,
        moved=counted.moved,
        engine_restarts=sum(pool.restarts for pool in pools),
        room_restarts=sum(room.restarts for room in rooms),
        dialogues_per_second=rate(points, lambda point: point.done),
        turns_per_second=rate(points, lambda point: point.totals.rooms.turns),
        tokens_per_second=rate(points, lambda point: point.totals.rooms.completion_tokens),
        prefix_share=prefix_share([load for load in totals.pools.values() if load.cached_tokens is not None]),
        eta_seconds=_eta(about.total - reading.done, points),
        store=reading.store,
        spent=spent,
        pools=pools,
        tutors=_tutors(points, rooms),
    )


def rate(points: Sequence[Point], value: Callable[[Point], float], window: float = WINDOW_SECONDS) -> float | None:
    """Growth per second over the last `window` seconds, or over all there is; None of a single point."""
    last = points[-1]
    first = next((point for point in reversed(points) if last.seconds - point.seconds >= window), points[0])
    span = last.seconds - first.seconds
    return (value(last) - value(first)) / span if span > 0 else None


def prefix_share(loads: Sequence[EngineLoad]) -> float | None:
    """Share of prompt tokens that were read from the prefix cache; None where an engine cannot tell."""
    told = [load.cached_tokens for load in loads]
    prompts = sum(load.prompt_tokens for load in loads)
    return None if None in told or not prompts else sum(cached or 0 for cached in told) / prompts


def _eta(left: int, points: Sequence[Point]) -> float | None:
    if left <= 0:
        return 0.0
    speed = rate(points, lambda point: point.done, ETA_SECONDS)
    return left / speed if speed else None


def _pools(points: Sequence[Point], replicas: Sequence[Replica]) -> tuple[PoolView, ...]:
    names = sorted({replica.pool for replica in replicas})
    return tuple(_pool(name, [r for r in replicas if r.pool == name], points) for name in names)


def _pool(name: str, replicas: Sequence[Replica], points: Sequence[Point]) -> PoolView:
    loads = [replica.load for replica in replicas if replica.state == "serving"]
    total = points[-1].totals.pools.get(name)
    return PoolView(
        pool=name,
        replicas=tuple(replica for replica in replicas if replica.state != "left"),
        serving=len(loads),
        running=sum(load.running for load in loads),
        waiting=sum(load.waiting for load in loads),
        kv_usage=max((load.kv_usage for load in loads if load.kv_usage is not None), default=None),
        preemptions=total.preemptions if total else 0,
        requests=total.requests if total else 0,
        prefix_share=prefix_share([total]) if total else None,
        tokens_per_second=_pool_rate(name, points),
        restarts=sum(replica.restarts for replica in replicas),
    )


def _pool_rate(name: str, points: Sequence[Point]) -> float | None:
    total = points[-1].totals.pools.get(name)
    if total is None or not total.prompt_tokens:  # the engine tells no tokens, or had nothing to do yet
        return None
    none = EngineLoad()
    return rate(points, lambda point: point.totals.pools.get(name, none).completion_tokens)


def _tutors(points: Sequence[Point], rooms: Sequence[RoomCount]) -> tuple[TutorView, ...]:
    totals: Mapping[str, TutorCount] = points[-1].totals.tutors
    return tuple(
        TutorView(
            tutor=tutor,
            in_flight=sum(room.by_tutor[tutor].in_flight for room in rooms if tutor in room.by_tutor),
            begun=count.begun,
            done=count.done,
            failed=count.failed,
            dialogues_per_second=_tutor_rate(tutor, points),
        )
        for tutor, count in sorted(totals.items())
    )


def _tutor_rate(tutor: str, points: Sequence[Point]) -> float | None:
    none = TutorCount()
    return rate(points, lambda point: point.totals.tutors.get(tutor, none).done)
