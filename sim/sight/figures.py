"""The figures of a snapshot as Ray's metrics, which every node of a cluster offers to Prometheus.

Ray puts `ray_` before a name, and `_total` behind a counter's.

Invariant: nothing is exported where Ray is not connected, and nothing for a figure that is not known. A counter never
falls: what a new phase counts is added to what the phases before it counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sim.sight.records import REPLICA_STATES
from sim.sight.snapshot import Snapshot

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float | None]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric."""

    name: str
    kind: Literal["gauge", "counter"]
    description: str
    tags: tuple[str, ...]
    """Beside `run`."""
    values: Callable[[Snapshot], Values]

    @property
    def exported(self) -> str:
        """Its name at a node's metrics endpoint."""
        return f"ray_{self.name}_total" if self.kind == "counter" else f"ray_{self.name}"


def _one(name: str, kind: Literal["gauge", "counter"], text: str, value: Callable[[Snapshot], float | None]) -> Figure:
    return Figure(f"tutorloop_{name}", kind, text, (), lambda snapshot: [((), value(snapshot))])


def _per_replica(name: str, text: str, value: Callable[[Any], float | None]) -> Figure:
    def values(snapshot: Snapshot) -> Values:
        for pool in snapshot.pools:
            for replica in pool.replicas:
                yield (pool.pool, str(replica.index)), value(replica)

    return Figure(f"tutorloop_replica_{name}", "gauge", text, ("pool", "replica"), values)


def _per_pool(name: str, kind: Literal["gauge", "counter"], text: str, value: Callable[[Any], float | None]) -> Figure:
    def values(snapshot: Snapshot) -> Values:
        return [((pool.pool,), value(pool)) for pool in snapshot.pools]

    return Figure(f"tutorloop_pool_{name}", kind, text, ("pool",), values)


def _per_tutor(name: str, kind: Literal["gauge", "counter"], text: str, value: Callable[[Any], float | None]) -> Figure:
    def values(snapshot: Snapshot) -> Values:
        return [((tutor.tutor,), value(tutor)) for tutor in snapshot.tutors]

    return Figure(f"tutorloop_tutor_{name}", kind, text, ("tutor",), values)


def _shares(snapshot: Snapshot) -> Values:
    names = ("queued", "prefill", "decode", "transport", "orchestration", "storing", "asking")
    return [((name,), getattr(snapshot.spent, name)) for name in names]


FIGURES: tuple[Figure, ...] = (
    _one(
        "dialogues",
        "counter",
        "Dialogues finished by this run, failed ones included",
        lambda s: s.done - s.about.before,
    ),
    _one("dialogues_failed", "counter", "Dialogues that failed", lambda s: s.failed),
    _one("turns", "counter", "Turns and judgements that were generated", lambda s: s.turns),
    _one("requests", "counter", "Requests that engines answered", lambda s: s.requests),
    _one("prompt_tokens", "counter", "Prompt tokens", lambda s: s.prompt_tokens),
    _one("completion_tokens", "counter", "Completion tokens", lambda s: s.completion_tokens),
    _one("cost", "counter", "Cost in the currency of the price table", lambda s: s.cost),
    _one("rerouted", "counter", "Requests sent again after an engine died", lambda s: s.rerouted),
    _one("moved", "counter", "Dialogues that went to a less busy engine", lambda s: s.moved),
    _one("dialogues_in_flight", "gauge", "Dialogues under way", lambda s: s.in_flight),
    _one("dialogues_limit", "gauge", "Dialogues the classrooms admit now", lambda s: s.limit),
    _one("episodes_waiting", "gauge", "Episodes that have not begun", lambda s: s.waiting),
    _one("dialogues_planned", "gauge", "Dialogues of the phase", lambda s: s.about.total),
    _one("dialogues_done", "gauge", "Dialogues of the phase that are finished", lambda s: s.done),
    _one(
        "eta_seconds", "gauge", "Seconds until the phase ends, at the rate of the last minutes", lambda s: s.eta_seconds
    ),
    _one("prefix_share", "gauge", "Share of prompt tokens read from the prefix cache", lambda s: s.prefix_share),
    _one("classroom_restarts", "gauge", "Classrooms that were replaced", lambda s: s.room_restarts),
    _one("dialogues_held", "gauge", "Finished dialogues that no part holds yet", lambda s: s.store.held),
    _one("store_parts", "counter", "Parts written", lambda s: s.store.parts),
    _one("store_seconds", "counter", "Seconds spent storing", lambda s: s.store.seconds),
    Figure("tutorloop_seconds_share", "gauge", "Where the seconds of dialogues went, 0 to 1", ("part",), _shares),
    _per_pool("prefix_share", "gauge", "Share of prompt tokens read from the prefix cache", lambda p: p.prefix_share),
    _per_pool("requests", "counter", "Requests that engines finished", lambda p: p.requests),
    _per_pool("preemptions", "counter", "Requests thrown out of a batch for want of KV cache", lambda p: p.preemptions),
    _per_replica("up", "1 if the replica serves, else 0", lambda r: float(r.state == "serving")),
    _per_replica("state", f"State: {', '.join(REPLICA_STATES)}, from 0", lambda r: REPLICA_STATES.index(r.state)),
    _per_replica("running", "Requests in the batch", lambda r: r.load.running),
    _per_replica("waiting", "Requests in the queue", lambda r: r.load.waiting),
    _per_replica("kv_usage", "Share of the KV cache in use", lambda r: r.load.kv_usage),
    _per_replica("restarts", "How often the replica was restarted", lambda r: r.restarts),
    _per_tutor("dialogues", "counter", "Dialogues of the tutor that finished", lambda t: t.done),
    _per_tutor("dialogues_failed", "counter", "Dialogues of the tutor that failed", lambda t: t.failed),
    _per_tutor("dialogues_in_flight", "gauge", "Dialogues of the tutor under way", lambda t: t.in_flight),
)
"""Every metric there is."""


class RayFigures:
    """Exports snapshots of one run."""

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {}
        self._told: dict[tuple[str, Labels], float] = {}
        self._phase = 0

    def publish(self, snapshot: Snapshot) -> bool:
        """Exports a snapshot; returns whether there was a Ray to take it."""
        ray = sys.modules.get("ray")  # who has not imported it is not connected, and need not wait for the import
        if ray is None or not ray.is_initialized():
            return False
        if snapshot.about.phase != self._phase:
            self._phase, self._told = snapshot.about.phase, {}
        for figure in FIGURES:
            metric = self._metric(figure)
            for labels, value in figure.values(snapshot):
                if value is not None:
                    tags = {"run": snapshot.about.name, **dict(zip(figure.tags, labels, strict=True))}
                    self._set(figure, metric, labels, value, tags)
        return True

    def _metric(self, figure: Figure) -> Any:
        if figure.name not in self._metrics:
            from ray.util.metrics import Counter, Gauge

            kind = Counter if figure.kind == "counter" else Gauge
            self._metrics[figure.name] = kind(figure.name, figure.description, ("run", *figure.tags))
        return self._metrics[figure.name]

    def _set(self, figure: Figure, metric: Any, labels: Labels, value: float, tags: dict[str, str]) -> None:
        if figure.kind == "gauge":
            metric.set(value, tags=tags)
            return
        told = self._told.get((figure.name, labels), 0.0)
        if value > told:  # Ray takes no increase of 0
            metric.inc(value - told, tags=tags)
            self._told[figure.name, labels] = value
