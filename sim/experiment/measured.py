"""Dialogues with all their measures taken once: what every table of an experiment is made of.

Invariant: one `Measured` for each dialogue that finished; `figure` never sees a measure that was not taken, and a cost
that nobody knows is one of these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.records import Dialogue, EpisodeSpec
from sim.budget import pools_of, unpriced
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.experiment.metrics import Metric, values_by_tutor
from sim.stats.paired import Estimate


@dataclass(frozen=True, slots=True)
class Measured:
    """One finished dialogue and its figures by measure; None where a measure was not taken."""

    spec: EpisodeSpec
    figures: Mapping[str, float | None]
    leak: float | None
    """Severity of its worst leak; None where leaks were not measured."""


def measure(
    dialogues: Iterable[Dialogue], metrics: Mapping[str, Metric], config: Config | None = None
) -> list[Measured]:
    """Takes every measure of every dialogue that did not fail.

    Args:
        dialogues: of any phase.
        metrics: by name.
        config: theirs; leaves out the cost of tutors whose cost is not known. None: costs as they were counted.
    """
    known = None if config is None else priced(config)
    finished = [d for d in dialogues if d.failure is None]
    columns = {name: values_by_tutor(metric, finished) for name, metric in metrics.items()}
    if known is not None and "cost" in columns:
        taken = zip(finished, columns["cost"], strict=True)
        columns["cost"] = [value if d.spec.tutor_name in known else None for d, value in taken]
    return [
        Measured(d.spec, {name: column[place] for name, column in columns.items()}, d.worst_leak)
        for place, d in enumerate(finished)
    ]


def priced(config: Config) -> frozenset[str]:
    """The tutors whose cost is known.

    One of their pools (`budget.pools_of`) must have a price. Beside it, an engine of one's own without a price (vllm,
    scripted, an endpoint on this machine) bills nothing; an endpoint elsewhere or a callable without one may bill
    anything, so nobody knows the cost then.
    """
    billed = {name for name, pool in config.pools.items() if any(pool.price_per_million)}
    unknown = {name for name, pool in config.pools.items() if pool.engine == "python"} | set(unpriced(config))

    def known(arm: TutorArm) -> bool:
        pools = set(pools_of(config, arm))
        return bool(pools & billed) and not pools & (unknown - billed)

    return frozenset(arm.name for arm in config.tutor_arms() if known(arm))


def grouped(sample: Iterable[Measured], key: Callable[[EpisodeSpec], Any]) -> dict[Any, list[Measured]]:
    """The sample by a key of its episodes."""
    found: dict[Any, list[Measured]] = defaultdict(list)
    for one in sample:
        found[key(one.spec)].append(one)
    return found


def figure(sample: Sequence[Measured], metric: Metric, config: Config) -> dict[str, Any] | None:
    """Mean, interval and n of a measure over the dialogues that have it; None when none has."""
    pairs = [(value, one.spec.item_id) for one in sample if (value := one.figures[metric.name]) is not None]
    if not pairs:
        return None
    values, items = zip(*pairs, strict=True)
    return as_figure(metric.interval(values, items, **precision(config)))


def unmeasured(sample: Iterable[Measured], names: Iterable[str]) -> dict[str, int]:
    """How many finished dialogues lack a measure, for those measures that any lacks."""
    found = list(sample)
    counts = {name: sum(one.figures[name] is None for one in found) for name in names}
    return {name: count for name, count in counts.items() if count}


def precision(config: Config) -> dict[str, Any]:
    """How intervals are computed."""
    return {"confidence": config.experiment.confidence}


def as_figure(estimate: Estimate) -> dict[str, Any]:
    """An estimate as it stands in `summary.json`."""
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def differences(sample: Sequence[Measured], tutor: str, baseline: str, name: str) -> tuple[list[float], list[str]]:
    """Tutor minus baseline in the cells that have the measure under both, and the items of those cells."""
    sides: dict[str, dict[str, Measured]] = {tutor: {}, baseline: {}}
    for one in sample:
        if one.spec.tutor_name in sides and one.figures[name] is not None:
            sides[one.spec.tutor_name][one.spec.cell] = one
    common = sorted(sides[tutor].keys() & sides[baseline].keys())
    values = [_value(sides[tutor][cell], name) - _value(sides[baseline][cell], name) for cell in common]
    return values, [sides[tutor][cell].spec.item_id for cell in common]


def _value(one: Measured, name: str) -> float:
    value = one.figures[name]
    assert value is not None
    return value
