"""A ratio of sums over items, and the test of it: the core of every interval and p-value of this folder.

A mean over dialogues is such a ratio too: the items' sums over the items' numbers of dialogues. With item totals
`X_g` and `Y_g`, `w_g = Y_g / sum Y` and `u_g = (X_g - R Y_g) / sum Y`:

    R    = sum X / sum Y
    se^2 = sum u_g^2 / (1 - w_g)                         CR2: Bell and McCaffrey 2002
    df   = 1 / (sum w^2 + (sum q)^2 - sum q^2)           Satterthwaite, q = w^2 / (1 - w); G - 1 where sizes are equal
    T    = (R - null) / se
    k    = sum u^3 / (sum u^2)^(3/2)                     skewness of R
    S    = T + k T^2 / 3 + k^2 T^3 / 27 + k / 6          Hall 1992: T without its skewness
    p    = the larger of 2 P(t_df > |T|) and 2 P(t_df > |S|)

T alone is too sure of skewed values and S alone of rare ones; the more cautious of both holds its level on either
(docs/statistics.md). S rises with T, so both are inverted exactly: the interval is the hull of both intervals, and it
leaves out a value exactly where the test of that value has p < 1 - confidence.

Invariant: arrays may have any leading axes, and a row of many gives what it gives alone. Cost: one pass, no draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

_EQUAL = 1e-10
"""A standard error below this share of the largest item's part of the ratio is rounding."""


def item_index(items: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Returns the number of each row's item, counted from 0 in sorted order, and how many items there are."""
    numbers = {name: at for at, name in enumerate(sorted(set(items)))}
    return np.fromiter((numbers[item] for item in items), dtype=np.int64, count=len(items)), len(numbers)


def item_sums(values: Sequence[float], items: Sequence[str]) -> tuple[Floats, Floats]:
    """Returns sum and number of the values of each item, both `(items,)`, items in sorted order.

    Raises:
        ValueError: there are none, the lengths differ, or a value is not finite.
    """
    if len(values) != len(items):
        raise ValueError(f"{len(values)} values and {len(items)} items: give the item of each value.")
    if not len(values):
        raise ValueError("There are no values. Leave out a figure that nothing was measured for.")
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{found[~np.isfinite(found)][0]} is no measured value. Leave out dialogues without a number.")
    index, _ = item_index(items)
    sums: Floats = np.bincount(index, weights=found).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def check_confidence(confidence: float) -> None:
    """Raises ValueError where the level of an interval is not between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}. Give a number between 0 and 1, such as 0.95.")


@dataclass(frozen=True, slots=True)
class Clustered:
    """Ratios of sums with what their tests need; all arrays have the leading axes of the data."""

    ratio: Floats
    se: Floats
    """0 where nothing varies between items."""
    df: Floats
    skew: Floats

    @classmethod
    def of(cls, sums: Floats, sizes: Floats) -> Clustered:
        """Computes `sum(sums) / sum(sizes)` over the last axis, the items.

        Args:
            sums: of each item, `(..., items)`.
            sizes: of each item, not below 0 and not all 0. An item of size and sum 0 counts as absent.
        """
        total = sizes.sum(axis=-1, keepdims=True)
        ratio = sums.sum(axis=-1, keepdims=True) / total
        weight, pull = sizes / total, (sums - ratio * sizes) / total
        spare = np.where(weight < 1.0, 1.0 - weight, 1.0)
        own, square = weight**2 / spare, (pull**2).sum(axis=-1)
        se = np.sqrt((pull**2 / spare).sum(axis=-1))
        se = np.where(se > _EQUAL * np.abs(sums / total).max(axis=-1), se, 0.0)
        spread = (weight**2).sum(axis=-1) + own.sum(axis=-1) ** 2 - (own**2).sum(axis=-1)
        spread_cubed = square**1.5  # 0 of values so small that their cubes are none
        varies = (se > 0.0) & (spread_cubed > 0.0)
        skew = np.where(varies, (pull**3).sum(axis=-1) / np.where(varies, spread_cubed, 1.0), 0.0)
        return cls(ratio[..., 0], se, 1.0 / spread, skew)

    def p(self, null: float | Floats = 0.0) -> Floats:
        """Two-sided p-value of the hypothesis that the ratio is `null`; NaN where nothing varies."""
        t = self._t(null)
        two_sided: Floats = 2.0 * stdtr(self.df, -np.minimum(np.abs(t), np.abs(self._unskewed(t))))
        return two_sided

    def p_above(self, null: float | Floats) -> Floats:
        """One-sided p-value against the hypothesis that the ratio is at most `null`; NaN where nothing varies."""
        t = self._t(null)
        one_sided: Floats = stdtr(self.df, -np.minimum(t, self._unskewed(t)))
        return one_sided

    def ends(self, confidence: float) -> tuple[Floats, Floats]:
        """Ends of the two-sided interval; both are the ratio where nothing varies."""
        width = stdtrit(self.df, 0.5 + confidence / 2.0)
        low = self.ratio - self.se * np.maximum(width, self._skewed(width))
        return low, self.ratio - self.se * np.minimum(-width, self._skewed(-width))

    def _t(self, null: float | Floats) -> Floats:
        varies = self.se > 0.0
        found: Floats = np.where(varies, (self.ratio - null) / np.where(varies, self.se, 1.0), np.nan)
        return found

    def _unskewed(self, t: Floats) -> Floats:
        slope = self.skew / 3.0
        found: Floats = t + slope * t**2 + slope**2 * t**3 / 3.0 + self.skew / 6.0
        return found

    def _skewed(self, score: Floats) -> Floats:
        """The T that `_unskewed` turns into this score."""
        rest = score - self.skew / 6.0
        root = np.cbrt(1.0 + self.skew * rest)
        # It is (root - 1) / slope; this form does not divide by a slope near 0.
        found: Floats = 3.0 * rest / (root**2 + root + 1.0)
        return found
