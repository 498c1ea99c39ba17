"""What an experiment can show: of each measure, the smallest effect its design detects and the items an effect needs.

Invariant: without paired dialogues of a pilot there is no figure, and the note says why. Of several tutors the one
whose differences from the baseline vary most between items stands for the measure, so the others do no worse. Controls
stand for it only where there are no other tutors: they are there to differ by far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.records import EpisodeSpec
from sim.config import Config
from sim.experiment.experiment import baseline
from sim.experiment.measured import Measured, differences, measure
from sim.experiment.metrics import METRICS, Metric, metrics_of
from sim.plan.rates import Pilot
from sim.stats.power import MOST_ITEMS, Variance, estimate_variance, items_needed, smallest_effect

POWER = 0.8
FEW_ITEMS = 8
"""Of a pilot: below this its variances are a guess."""
_EQUAL = 1e-9
"""Differences whose range is below this share of the largest are equal but for rounding."""
DEFAULT_EFFECTS = {"probability": 0.05, "share": 0.1}
"""By unit, the difference that matters where none is given."""


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """What can be shown of one measure."""

    metric: str
    label: str
    unit: str
    tutor: str
    """The tutor whose differences from the baseline vary most, controls aside; empty without a pilot."""
    sd: float | None
    """Of the paired differences of the pilot's dialogues."""
    n: int
    """Pairs of the pilot."""
    items: int
    """Items of those pairs."""
    detectable: float | None
    """Smallest mean difference that the design detects at 80% power."""
    effect: float | None
    """The difference that matters."""
    items_needed: int | None
    """Items per tutor that detect it at 80% power."""
    note: str


def comparisons_of(config: Config) -> int:
    """Comparisons that are corrected together."""
    return len(config.experiment.metrics) * (len(config.tutor_arms()) - 1)


def alpha_of(config: Config) -> float:
    """The level of the smallest p-value under Holm, which is Bonferroni's; the others' are easier to reach."""
    return (1.0 - config.experiment.confidence) / max(1, comparisons_of(config))


def plan_metrics(
    config: Config, specs: Sequence[EpisodeSpec], pilot: Pilot | None, effects: Mapping[str, float]
) -> tuple[MetricPlan, ...]:
    """Plans every measure of the experiment's family.

    Args:
        config: the experiment.
        specs: its episodes.
        pilot: gives the paired differences.
        effects: by measure, the difference that matters, where it is not the default of its unit.
    """
    known = metrics_of(pilot.dialogues) if pilot else METRICS
    sample = measure(pilot.dialogues, known, pilot.config) if pilot else None
    return tuple(_plan(config, specs, sample, known.get(name), name, effects) for name in config.experiment.metrics)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pilot's pairs of one tutor with the baseline."""

    tutor: str
    sd: float
    variance: Variance


def _plan(
    config: Config,
    specs: Sequence[EpisodeSpec],
    sample: Sequence[Measured] | None,
    metric: Metric | None,
    name: str,
    effects: Mapping[str, float],
) -> MetricPlan:
    label, unit = (metric.label, metric.unit) if metric else (name, "points")
    effect = effects.get(name, DEFAULT_EFFECTS.get(unit))
    items = len({spec.item_id for spec in specs})
    per_item = len({spec.cell for spec in specs}) / items
    pairs, n, n_items, why = _pairs(config, sample, metric, per_item)
    if pairs is None or items < 2:
        note = why if pairs is None else "the design has one item, which shows nothing"
        return MetricPlan(name, label, unit, "", None, n, n_items, None, effect, None, note)
    shape: dict[str, Any] = {
        "per_item": per_item,
        "variance": pairs.variance,
        "power": POWER,
        "alpha": alpha_of(config),
    }
    notes = [pairs.variance.note] if pairs.variance.note else []
    if pairs.variance.items < FEW_ITEMS:
        notes.append(f"from {pairs.variance.items} items only: a rough guess")
    needed = items_needed(effect, **shape) if effect is not None else None
    if effect is None:
        notes.append(f"which effect matters? give --effect {name}=VALUE")
    elif needed is None:
        notes.append(f"more than {MOST_ITEMS} items are needed")
    return MetricPlan(
        name,
        label,
        unit,
        pairs.tutor,
        pairs.sd,
        pairs.variance.n,
        pairs.variance.items,
        smallest_effect(items=items, **shape),
        effect,
        needed,
        "; ".join(notes),
    )


def _pairs(
    config: Config, sample: Sequence[Measured] | None, metric: Metric | None, per_item: float
) -> tuple[_Pairs | None, int, int, str]:
    """The pairs that vary most between items; or how many pairs and items there are, and why they are no use."""
    base = baseline(config)
    arms = [arm for arm in config.tutor_arms() if arm.name != base]
    others = [arm.name for arm in arms if not arm.control] or [arm.name for arm in arms]
    if not others:
        return None, 0, 0, "one tutor: nothing is compared"
    if sample is None:
        return None, 0, 0, "no pilot"
    if metric is None:
        return None, 0, 0, "not measured in the pilot"
    found: list[_Pairs] = []
    n, n_items, why = 0, 0, f"the pilot has no pair of {base} and another tutor of this plan with this measure"
    for tutor in others:
        values, items = differences(sample, tutor, base, metric.name)
        if len(values) > n:
            n, n_items = len(values), len(set(items))
        if len(set(items)) == 1:
            why = "the pilot has pairs on one item only"
        elif values and float(np.ptp(values)) <= _EQUAL * max(map(abs, values)):
            why = "all differences in the pilot are equal: no variation to plan from"
        elif values:
            found.append(_Pairs(tutor, float(np.std(values, ddof=1)), estimate_variance(values, items)))
    if not found:
        return None, n, n_items, why
    return max(found, key=lambda one: one.variance.item_sd(per_item)), n, n_items, ""
