"""Tests that a tutor is no worse than the baseline, or equivalent to it, by the method of the default test.

Each one-sided test is made at alpha = (1 - confidence) / 2, 2.5% at 95%, as ICH E9 (1998) advises. So
`shown` says the same as the two-sided interval beside it: its bad end, or both ends, lie within the bound. Of rates
the interval is wider than the test where events are few, and it decides: p is the least alpha at which it would.

Invariant: what could not be tested is not shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sim.stats.clustered import Clustered, check_confidence, item_sums
from sim.stats.paired import NO_VARIATION, ONE_ITEM, paired_difference

_HALVINGS = 30
"""Of the levels of a rate's interval: p is then exact to nine decimals."""


@dataclass(frozen=True, slots=True)
class NoWorse:
    """Whether a loss, or a difference, as large as the bound could be ruled out."""

    bound: float
    p: float | None
    """One-sided; None where there was nothing to test."""
    shown: bool
    """p < alpha."""
    n: int
    items: int
    alpha: float
    note: str = ""


def no_worse(
    differences: Sequence[float],
    items: Sequence[str],
    *,
    bound: float,
    better: Literal["higher", "lower"],
    confidence: float = 0.95,
    rate: bool = False,
) -> NoWorse:
    """Tests whether the mean loss is below `bound` (non-inferiority).

    Args:
        differences: tutor minus baseline, one per pair of dialogues.
        items: of each pair.
        bound: the largest loss that still counts as no worse, above 0, in the measure's unit.
        better: which direction of the measure is better.
        confidence: of the two-sided interval that goes with it; alpha is half of what it leaves.
        rate: whether these are differences of values between 0 and 1.

    Raises:
        ValueError: the bound is not above 0, or the differences are empty, not finite or not one per item.
    """
    sign = 1.0 if better == "higher" else -1.0
    return _test(differences, items, bound, confidence, [sign], rate)


def equivalent(
    differences: Sequence[float], items: Sequence[str], *, bound: float, confidence: float = 0.95, rate: bool = False
) -> NoWorse:
    """Tests whether the mean difference lies within -bound and +bound (two one-sided tests, Schuirmann 1987).

    p is the larger of the two. Arguments and errors are those of `no_worse`.
    """
    return _test(differences, items, bound, confidence, [1.0, -1.0], rate)


def _test(
    differences: Sequence[float],
    items: Sequence[str],
    bound: float,
    confidence: float,
    signs: Sequence[float],
    rate: bool,
) -> NoWorse:
    check_confidence(confidence)
    if not (math.isfinite(bound) and bound > 0.0):
        raise ValueError(f"The bound is {bound}. Give the largest loss that still counts as no worse, above 0.")
    sums, sizes = item_sums(differences, items)
    alpha, n, clusters = (1.0 - confidence) / 2.0, len(differences), len(sizes)
    if clusters < 2:
        return NoWorse(bound, None, False, n, clusters, alpha, ONE_ITEM)
    if rate:
        p = max(_least_alpha([sign * value for value in differences], items, bound) for sign in signs)
    else:
        p = max(float(Clustered.of(sign * sums, sizes).p_above(-bound)) for sign in signs)
    if math.isnan(p):
        return NoWorse(bound, None, False, n, clusters, alpha, NO_VARIATION)
    return NoWorse(bound, p, p < alpha, n, clusters, alpha)


def _least_alpha(differences: Sequence[float], items: Sequence[str], bound: float) -> float:
    """The smallest one-sided level at which the interval of a rate's difference lies above -bound; 0.5 if none does."""

    def excludes(alpha: float) -> bool:
        low = paired_difference(differences, items, confidence=1.0 - 2.0 * alpha, rate=True).low
        return low is not None and low > -bound

    inside, outside = 0.0, 0.5
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2.0
        inside, outside = (inside, middle) if excludes(middle) else (middle, outside)
    return outside
