"""The default test: paired differences of dialogues, clustered by item; with it the intervals of means and ratios.

Two tutors meet the same students on the same items. The differences of one item belong together, so the independent
units are the items, not the dialogues. The method is that of `sim.stats.clustered`, and of rates, whose values lie
between 0 and 1, `sim.stats.rates`; docs/statistics.md says what they were measured against.

Invariant: a p-value never stands without n and an effect; p < 1 - confidence exactly where the interval leaves out 0;
the same numbers always give the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.stats.clustered import Clustered, Floats, check_confidence, item_index, item_sums
from sim.stats.rates import Rates, difference_ends

FEW_ITEMS = 8
"""The level of the test was measured from here on."""
NO_VARIATION = "no variation"
NONE_BETWEEN = "no variation between items: no interval"
ONE_ITEM = "one item: no interval"
CANCEL = "differences cancel on every item: not tested"
ROUGH = f"fewer than {FEW_ITEMS} items: a rough interval"
MEASURED = 0.5
"""Share of the cells that should have a value and must have one: of fewer nothing is said, neither a difference nor a
rank. What fails is not a random part of the dialogues, so the rest does not speak for all."""
_ROUNDING = 1e-9
NO_DENOMINATOR = "nothing to divide by: the denominators sum to 0"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval and, for a difference, its test."""

    mean: float | None
    """None only for a ratio whose denominators sum to 0."""
    low: float | None
    high: float | None
    n: int
    """Values it was computed from."""
    clusters: int
    """Items those values are on."""
    p: float | None
    """Two-sided, of a mean difference of 0; None where nothing was tested."""
    effect: float | None
    """Cohen's d_z over item means: their mean divided by their standard deviation."""
    note: str = ""


def too_few(measured: int, expected: int, what: str = "cells") -> str:
    """Why so few values say nothing, where too much failed or was lost; empty: they are enough, or there are none.

    Args:
        measured: values that there are.
        expected: values that there should be.
        what: that they belong to, for people.
    """
    if measured and measured < MEASURED * expected:
        return f"not measured: {measured} of {expected} {what} have a value, the others failed or lost it"
    return ""


def mean_interval(
    values: Sequence[float], items: Sequence[str], *, confidence: float = 0.95, rate: bool = False
) -> Estimate:
    """Returns the mean over dialogues with its interval; `p` and `effect` are None.

    Args:
        values: one per dialogue.
        items: the item of each dialogue.
        confidence: of the interval.
        rate: whether no value can lie outside 0 to 1, so that values that are all the same still have an interval.

    Raises:
        ValueError: there are no values, the lengths differ, or a value is not finite or no share.
    """
    sums, sizes = item_sums(values, items)
    if not rate or len(sizes) < 2:
        return _estimate(sums, sizes, len(values), confidence, equal=_all_equal(values))
    check_confidence(confidence)
    found = _rates(values, items)
    low, high = (float(end) for end in found.ends(confidence))
    note = NO_VARIATION if found.constant else ROUGH if len(sizes) < FEW_ITEMS else ""
    return Estimate(float(found.rate), low, high, len(values), len(sizes), None, None, note)


def paired_difference(
    differences: Sequence[float], items: Sequence[str], *, confidence: float = 0.95, rate: bool = False
) -> Estimate:
    """Returns the mean difference with its interval, the test that it is 0, and its effect size.

    Args:
        differences: tutor minus baseline, one per pair of dialogues with the same student, item, repeat and stress.
        items: the item of each pair.
        confidence: of the interval.
        rate: whether these are differences of values between 0 and 1. The test is the same; an end that does not
            leave out 0 lies at least as far off as so few events allow.

    Raises:
        ValueError: there are no differences, the lengths differ, or a difference is not finite or none of shares.
    """
    sums, sizes = item_sums(differences, items)
    found = _estimate(sums, sizes, len(differences), confidence, equal=_all_equal(differences), test=True)
    if not rate or found.clusters < 2:
        return found
    changes = np.asarray(differences, dtype=np.float64)
    parts = [_rates(np.maximum(sign * changes, 0.0).tolist(), items) for sign in (1.0, -1.0)]
    low, high = (float(end) for end in difference_ends(parts[0], parts[1], confidence))
    if found.p is None or found.low is None or found.high is None:
        return replace(found, low=low, high=high, note=CANCEL if found.note == NONE_BETWEEN else found.note)
    ends = (
        found.low if found.low > 0.0 else min(found.low, low),
        found.high if found.high < 0.0 else max(found.high, high),
    )
    return replace(found, low=max(ends[0], -1.0), high=min(ends[1], 1.0))


def _rates(values: Sequence[float], items: Sequence[str]) -> Rates:
    """A rate of dialogues. Raises ValueError where a value is no share."""
    if wrong := [value for value in values if not -_ROUNDING <= value <= 1.0 + _ROUNDING]:
        raise ValueError(f"{wrong[0]} is no share. Give values of a rate, from 0 to 1.")
    squares, _ = item_sums([value * value for value in values], items)
    return Rates.of(*item_sums(values, items), squares)


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    items: Sequence[str],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Returns sum of numerators / sum of denominators, such as tokens per resolved misconception, with its interval.

    Args:
        numerators: one per dialogue.
        denominators: one per dialogue, not below 0.
        items: the item of each dialogue.
        confidence: of the interval.

    Returns:
        The estimate; its mean is None where the denominators sum to 0. `p` and `effect` are None.

    Raises:
        ValueError: there are no rows, the lengths differ, a value is not finite, or a denominator is below 0.
    """
    check_confidence(confidence)
    sums, _ = item_sums(numerators, items)
    _, clusters = item_index(items)
    sizes, _ = item_sums(denominators, items)
    if min(denominators) < 0.0:
        raise ValueError(f"A denominator is {min(denominators)}. Give counts or amounts, which are not below 0.")
    if not sizes.sum() > 0.0:
        return Estimate(None, None, None, len(numerators), clusters, None, None, NO_DENOMINATOR)
    return _estimate(sums, sizes, len(numerators), confidence, equal=False)


def _estimate(sums: Floats, sizes: Floats, n: int, confidence: float, *, equal: bool, test: bool = False) -> Estimate:
    """The figure of item totals; `equal` says that all values are one and the same, `test` asks for p and effect."""
    check_confidence(confidence)
    found, clusters = Clustered.of(sums, sizes), len(sizes)
    mean = float(found.ratio)
    if clusters < 2:
        return Estimate(mean, None, None, n, clusters, None, None, ONE_ITEM)
    if not found.se > 0.0:
        end, note = (mean, NO_VARIATION) if equal else (None, NONE_BETWEEN)
        return Estimate(mean, end, end, n, clusters, None, None, note)
    low, high = (float(end) for end in found.ends(confidence))
    note = ROUGH if clusters < FEW_ITEMS else ""
    if not test:
        return Estimate(mean, low, high, n, clusters, None, None, note)
    means = sums / sizes
    effect = float(means.mean() / means.std(ddof=1))
    return Estimate(mean, low, high, n, clusters, float(found.p()), effect, note)


def _all_equal(values: Sequence[float]) -> bool:
    found = np.asarray(values, dtype=np.float64)
    return bool(np.ptp(found) <= 1e-10 * np.abs(found).max())
