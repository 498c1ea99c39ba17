"""Simulated experiments whose truth is known, and what the default test and others make of them.

Each experiment has a baseline and three tutors on the same items and personas, in three measures. A value is made of an
item, a persona, an interaction of tutor and item, and noise; a tenth of the dialogues is lost. Kinds of values:

    normal      normal interaction and noise
    skewed      exponential ones, in the baseline a quarter as wide, so that the differences are skewed too
    rates       0 or 1, in the baseline about 3 in 10
    rare        0 or 1, in the baseline about 1 in 10

False positives are counted where no tutor differs; coverage and power where all three differ from the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import t as student

from sim.stats.clustered import Clustered, Floats
from sim.stats.mixed import mixed_model
from sim.stats.paired import Estimate, paired_difference
from sim.stats.power import estimate_variance, power

KINDS = ("normal", "skewed", "rates", "rare")
EFFECTS = {"normal": 0.58, "skewed": 0.5, "rates": 0.95, "rare": 1.1}
"""Of all tutors but the baseline, where 20 items have a power near 80%; for rates on the probit scale."""
INTERCEPTS = {"rates": -0.63, "rare": -1.58}
PERSONAS = np.array([-0.5, 0.0, 0.5])
TUTORS, MEASURES, LOST, ALPHA = 3, 3, 0.1, 0.05
PAIRS = len(PERSONAS) * (1.0 - LOST) ** 2
"""Of an item, on average."""
ITEM_SD, INTERACTION_SD = 0.6, 0.4
COMPARED_ITEMS = (8, 12, 20, 40)
RESAMPLES = 999
PILOTS, LARGE_PILOTS, LARGE_ITEMS = 100, 20, 400
"""Pilots of each kind with as many items as the experiment, and pilots that leave little to chance."""
_CHUNK = 250


# ---- experiments with a known truth


def draw(kind: str, experiments: int, items: int, seed: int, *, effect: float = 0.0) -> tuple[Floats, float]:
    """Values `(experiments, tutors, measures, items, personas)`, the baseline first, and the true mean difference.

    A lost dialogue is NaN. The seed's draws with and without an effect have nothing in common.
    """
    generator = np.random.default_rng([seed, KINDS.index(kind), items, int(effect != 0.0)])
    shape = (experiments, 1 + TUTORS, MEASURES, items, len(PERSONAS))
    tutor = np.arange(1 + TUTORS).reshape(1, -1, 1, 1, 1)
    means = ITEM_SD * generator.standard_normal((experiments, 1, MEASURES, items, 1)) + PERSONAS + effect * (tutor > 0)
    if kind == "skewed":
        own = 0.5 * (generator.standard_exponential((*shape[:4], 1)) - 1.0)
        values = means + np.where(tutor > 0, 1.0, 0.25) * (own + generator.standard_exponential(shape) - 1.0)
    else:
        values = means + INTERACTION_SD * generator.standard_normal((*shape[:4], 1))
    truth = effect
    if kind == "normal":
        values = values + 0.7 * generator.standard_normal(shape)
    elif kind in INTERCEPTS:
        values = (generator.random(shape) < ndtr(INTERCEPTS[kind] + values)).astype(np.float64)
        # The mean of ndtr over a normal is ndtr of the mean over the root of 1 + variance.
        spread = np.sqrt(1.0 + ITEM_SD**2 + INTERACTION_SD**2)
        rates = [ndtr((INTERCEPTS[kind] + by + PERSONAS) / spread).mean() for by in (0.0, effect)]
        truth = float(rates[1] - rates[0])
    values[generator.random(shape) < LOST] = np.nan
    return values, truth


def pairs(values: Floats) -> Floats:
    """Differences from the baseline, `(comparisons, items, personas)`; NaN where one of both was lost."""
    differences: Floats = (values[:, 1:] - values[:, :1]).reshape(-1, *values.shape[3:])
    return differences


def totals(differences: Floats) -> tuple[Floats, Floats]:
    """Sums and numbers of the pairs of each item, both `(comparisons, items)`, as `Clustered.of` takes them."""
    return np.nansum(differences, axis=-1), np.isfinite(differences).sum(axis=-1).astype(np.float64)


def columns(differences: Floats) -> tuple[list[float], list[str]]:
    """Values and items of the pairs of one comparison, `(items, personas)`, without the lost ones."""
    there = np.isfinite(differences)
    return differences[there].tolist(), [f"item {item}" for item in np.nonzero(there)[0]]


def estimates(values: Floats) -> list[Estimate]:
    """The default test of every comparison, through the public function."""
    return [paired_difference(*columns(one)) for one in pairs(values)]


# ---- the default test and the planner


def study(experiments: int, items: int, seed: int) -> dict[str, Any]:
    """False positives, coverage and error of the planner, overall and by kind."""
    kinds = {kind: study_kind(kind, experiments, items, seed) for kind in KINDS}
    names = ("false_positive_rate", "family_wise_rate_holm", "coverage", "power_error", "power_error_large_pilots")
    overall = {name: float(np.mean([found[name] for found in kinds.values()])) for name in names}
    return {
        **overall,
        "power_error_worst_kind": max(found["power_error"] for found in kinds.values()),
        "comparisons_by_kind": experiments * TUTORS * MEASURES,
        "kinds": kinds,
    }


def study_kind(kind: str, experiments: int, items: int, seed: int) -> dict[str, float]:
    """The figures of one kind; shares are of comparisons, `power_error` is in points."""
    nothing, _ = draw(kind, experiments, items, seed)
    p = np.array([1.0 if found.p is None else found.p for found in estimates(nothing)]).reshape(experiments, -1)
    something, truth = draw(kind, experiments, items, seed, effect=EFFECTS[kind])
    found = estimates(something)
    covered = [one.low is not None and one.high is not None and one.low <= truth <= one.high for one in found]
    detected = float(np.mean([one.p is not None and one.p < ALPHA for one in found]))
    return {
        "false_positive_rate": float((p < ALPHA).mean()),
        # Holm rejects anything exactly where the smallest p-value passes Bonferroni's level.
        "family_wise_rate_holm": float((p.min(axis=1) * p.shape[1] <= ALPHA).mean()),
        "coverage": float(np.mean(covered)),
        "untested": float(np.mean([one.p is None for one in found])),
        "true_difference": truth,
        **planner_error(kind, items, seed, truth, detected, pilots=min(PILOTS, experiments)),
    }


def planner_error(kind: str, items: int, seed: int, truth: float, simulated: float, *, pilots: int) -> dict[str, float]:
    """The planner's power from simulated pilots beside that of the experiments; errors in points."""

    def plan(values: Floats) -> list[float]:
        variances = [estimate_variance(*columns(one)) for one in pairs(values[:, :2, :1])]
        return [power(truth, items=items, per_item=PAIRS, variance=each, alpha=ALPHA) for each in variances]

    planned = np.array(plan(draw(kind, pilots, items, seed + 1, effect=EFFECTS[kind])[0]))
    large = float(np.mean(plan(draw(kind, LARGE_PILOTS, LARGE_ITEMS, seed + 1, effect=EFFECTS[kind])[0])))
    low, high = np.quantile(planned, [0.05, 0.95])
    return {
        "power_simulated": simulated,
        "power_planned": float(planned.mean()),
        "power_planned_5th_percentile": float(low),
        "power_planned_95th_percentile": float(high),
        "power_planned_large_pilots": large,
        "power_error": 100.0 * abs(float(planned.mean()) - simulated),
        "power_error_large_pilots": 100.0 * abs(large - simulated),
        "power_error_of_one_pilot": 100.0 * float(np.abs(planned - simulated).mean()),
    }


def mixed_rate(experiments: int, items: int, seed: int) -> dict[str, float]:
    """False positives of the mixed model on the null experiments of the normal kind, in one measure."""
    values, _ = draw("normal", experiments, items, seed)
    p = []
    for one in values[:, :, 0]:
        there = np.argwhere(np.isfinite(one))
        tutors, names, personas = ([f"{level:03d}" for level in column] for column in there.T)
        found = mixed_model(one[np.isfinite(one)].tolist(), tutors, names, personas, baseline="000")
        p += [effect.p for effect in found.effects if effect.p is not None]
    return {"false_positive_rate": float((np.array(p) < ALPHA).mean()), "comparisons": len(p)}


# ---- other methods on the same numbers


def compare_methods(experiments: int, seed: int) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """By kind, number of items and method: false-positive rate, coverage and power."""
    return {
        kind: {str(items): rates_of_methods(kind, experiments, items, seed, METHODS) for items in COMPARED_ITEMS}
        for kind in KINDS
    }


Method = Callable[[Floats, Floats, float], "np.ndarray[Any, np.dtype[np.bool_]]"]
"""Whether each comparison, given as totals, rejects that its true difference is the number given."""


def rates_of_methods(
    kind: str, experiments: int, items: int, seed: int, methods: dict[str, Method]
) -> dict[str, dict[str, float]]:
    """False positives, coverage and power of some methods, all at once rather than through the public functions."""
    nothing = totals(pairs(draw(kind, experiments, items, seed)[0]))
    values, truth = draw(kind, experiments, items, seed, effect=EFFECTS[kind])
    something = totals(pairs(values))
    return {
        name: {
            "false_positive_rate": float(method(*nothing, 0.0).mean()),
            "coverage": 1.0 - float(method(*something, truth).mean()),
            "power": float(method(*something, 0.0).mean()),
        }
        for name, method in methods.items()
    }


def default(sums: Floats, sizes: Floats, null: float) -> Any:
    """The default test."""
    return Clustered.of(sums, sizes).p(null) < ALPHA


def _plain_t(sums: Floats, sizes: Floats, null: float) -> Any:
    """The cluster-robust t alone."""
    found = Clustered.of(sums, sizes)
    return 2.0 * student.sf(np.abs(_studentized(found, null)), found.df) < ALPHA


def _unskewed_t(sums: Floats, sizes: Floats, null: float) -> Any:
    """The t without its skewness alone (Hall 1992)."""
    found = Clustered.of(sums, sizes)
    t, k = _studentized(found, null), found.skew
    return 2.0 * student.sf(np.abs(t + k * t**2 / 3.0 + k**2 * t**3 / 27.0 + k / 6.0), found.df) < ALPHA


def _percentile(sums: Floats, sizes: Floats, null: float) -> Any:
    """The percentile bootstrap over items."""
    ends = [np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2], axis=1) for means, _ in _bootstrap(sums, sizes)]
    low, high = np.concatenate(ends, axis=1)
    return (null < low) | (null > high)


def _bootstrap_t(sums: Floats, sizes: Floats, null: float) -> Any:
    """The studentized bootstrap over items."""
    found, ends = Clustered.of(sums, sizes), []
    se = np.sqrt((((sums - found.ratio[:, None] * sizes) / sizes.sum(axis=1, keepdims=True)) ** 2).sum(axis=1))
    for start, (means, errors) in zip(range(0, len(sums), _CHUNK), _bootstrap(sums, sizes), strict=True):
        distance = means - found.ratio[start : start + _CHUNK, None]
        # A draw of equal items has no error: it is as far away as can be, or not at all.
        far = np.where(np.abs(distance) > 1e-12, np.sign(distance) * 1e9, 0.0)
        t = np.where(errors > 1e-12, distance / np.where(errors > 1e-12, errors, 1.0), far)
        ends.append(np.quantile(t, [ALPHA / 2, 1 - ALPHA / 2], axis=1))
    low, high = np.concatenate(ends, axis=1)
    distance = found.ratio - null
    return (distance < low * se) | (distance > high * se)


METHODS: dict[str, Method] = {
    "default": default,
    "cluster_robust_t": _plain_t,
    "unskewed_t": _unskewed_t,
    "percentile_bootstrap": _percentile,
    "bootstrap_t": _bootstrap_t,
}


def _studentized(found: Clustered, null: float) -> Floats:
    varies = found.se > 0.0
    t: Floats = np.where(varies, (found.ratio - null) / np.where(varies, found.se, 1.0), 0.0)
    return t


def _bootstrap(sums: Floats, sizes: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Means and standard errors of draws of items, `(comparisons, draws)`, some comparisons at a time."""
    items = sums.shape[1]
    drawn = np.random.default_rng(0).multinomial(items, np.full(items, 1.0 / items), size=RESAMPLES).T.astype(float)
    for start in range(0, len(sums), _CHUNK):
        x, y = sums[start : start + _CHUNK], sizes[start : start + _CHUNK]
        x = x - (x.sum(axis=1) / y.sum(axis=1))[:, None] * y
        total = np.maximum(y @ drawn, 1.0)
        mean = (x @ drawn) / total
        square = x**2 @ drawn - 2.0 * mean * ((x * y) @ drawn) + mean**2 * (y**2 @ drawn)
        centre = (sums[start : start + _CHUNK].sum(axis=1) / y.sum(axis=1))[:, None]
        yield mean + centre, np.sqrt(np.maximum(square, 0.0)) / total
