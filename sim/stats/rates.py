"""Intervals of rates: of means of values from 0 to 1, rare ones and those with no event at all included.

The test statistics of `sim.stats.clustered` take the spread between items as known from the data. Of a rate with few
events it is not: where nothing happened it is 0, and an interval of no width covers nothing. So a rate has Clopper and
Pearson's interval of as many independent draws as its dialogues are worth (Korn and Graubard 1998). With `p` the rate,
`n` its dialogues, `G` items, `s^2` the variance of a value, `se` and `df` of `sim.stats.clustered` and `a` half of what
the confidence leaves:

    v     = s^2 / n + max(0, se^2 - s^2 / n)              variance of p; never below that of independent dialogues
    f     = 1 / (1 + 10 min(p, 1 - p) p (1 - p) / v)      how far the items' spread is unknown: 1 without any event
    m     = p (1 - p) / ((1 - f) v + f p (1 - p) / G)     independent draws that it is worth
    x     = min(p, 1 - p) m                               events among them
    df_v  = v^2 / ((s^2/n)^2 / (n - 1) + (v - s^2/n)^2 / df)
    k     = (t(df_v) / t(n - 1)) ^ (2 x / (x + 5))        quantiles of t: few items know their spread badly
    n_eff = m / k
    low, high = Beta(p n_eff, n_eff - p n_eff + 1) at a, Beta(p n_eff + 1, n_eff - p n_eff) at 1 - a

From 30 such events on (shares that are no counts, such as how much of the words the tutor says, reach that at once) the
spread is known as well as any, and the interval is the hull of this one and that of `sim.stats.clustered`.

Where all values are one and the same c, a share q = 1 - a^(1/G) of such items may differ unseen, by anything from 0 to
1: c - q c to c + q (1 - c). Of no event that is 0 to q, of nothing but events 1 - q to 1.

A difference is that of two rates, how much was gained and how much lost, whose intervals are put together by MOVER
(Newcombe 1998, Zou and Donner 2008):

    low = d - sqrt((gained - low_gained)^2 + (high_lost - lost)^2), high likewise

Invariant: an end never lies outside what is possible, and the figure never outside its interval. What this covers at
which width is in docs/statistics.md (`benchmarks/statistics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

from sim.stats.clustered import Clustered, Floats

_SAME = 1e-14
"""A variance below this is rounding: all values are one and the same."""
_PRIOR = 10.0
"""How many times as much one event tells of the items' spread as is taken for granted; found by simulation."""
_FEW = 5.0
"""Events at which half of the allowance for few items is made: without any, `_PRIOR` makes it."""
_MANY = 30.0
"""Events from which on the spread between items is as good as known."""


def unseen(items: float | Floats, confidence: float) -> Floats:
    """The largest share of items that may differ from all that were seen, which are one and the same."""
    found: Floats = ((1.0 - confidence) / 2.0) ** (1.0 / np.asarray(items, dtype=np.float64))
    return 1.0 - found


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates with what their intervals need; all arrays have the leading axes of the data."""

    rate: Floats
    mean: Clustered
    """The same as a mean whose spread is known from the data."""
    worth: Floats
    """Independent draws that tell as much, before the allowance for few items; of constant values unused."""
    within: Floats
    """Variance of the rate if dialogues were independent."""
    excess: Floats
    """What the items add to it."""
    n: Floats
    clusters: Floats
    constant: Floats
    """1 where all values are the same."""

    @classmethod
    def of(cls, sums: Floats, sizes: Floats, squares: Floats) -> Rates:
        """Computes the rate `sum(sums) / sum(sizes)` over the last axis, the items.

        Args:
            sums: of the values of each item, `(..., items)`; the values lie between 0 and 1.
            sizes: numbers of values, above 0 somewhere. An item of size 0 counts as absent.
            squares: sums of the squared values of each item.
        """
        found, n = Clustered.of(sums, sizes), sizes.sum(axis=-1)
        rate = np.clip(found.ratio, 0.0, 1.0)
        spread = squares.sum(axis=-1) / n - rate**2
        constant = spread <= _SAME
        within = np.where(constant, 0.0, spread) / np.maximum(n - 1.0, 1.0)
        excess = np.where(constant, 0.0, np.maximum(found.se**2 - within, 0.0))
        clusters = (sizes > 0.0).sum(axis=-1).astype(np.float64)
        binomial = rate * (1.0 - rate)
        alone = binomial / np.where(constant, 1.0, within + excess)
        unknown = 1.0 / (1.0 + _PRIOR * alone * np.minimum(rate, 1.0 - rate))
        variance = (1.0 - unknown) * (within + excess) + unknown * binomial / clusters
        worth = binomial / np.where(constant, 1.0, variance)
        return cls(rate, found, worth, within, excess, n, clusters, constant.astype(np.float64))

    @property
    def events(self) -> Floats:
        """Events of the rarer kind that the rate is worth; 0 of constant values."""
        found: Floats = self.worth * np.minimum(self.rate, 1.0 - self.rate) * (1.0 - self.constant)
        return found

    def ends(self, confidence: float) -> tuple[Floats, Floats]:
        """Ends of the two-sided interval."""
        tail, fixed = (1.0 - confidence) / 2.0, self.constant > 0.0
        share = unseen(self.clusters, confidence)
        worth = np.where(fixed, 1.0, self.worth / self._few_items(tail))
        events = np.where(fixed, 0.5, self.rate * worth)
        rest = np.where(fixed, 0.5, worth - events)
        low = np.minimum(betaincinv(events, rest + 1.0, tail), self.rate)
        high = np.maximum(betaincinv(events + 1.0, rest, 1.0 - tail), self.rate)
        many, (first, last) = self.events >= _MANY, self.mean.ends(confidence)
        low = np.where(many, np.minimum(low, np.maximum(first, 0.0)), low)
        high = np.where(many, np.maximum(high, np.minimum(last, 1.0)), high)
        return (
            np.where(fixed, self.rate * (1.0 - share), low),
            np.where(fixed, self.rate + (1.0 - self.rate) * share, high),
        )

    def _few_items(self, tail: float) -> Floats:
        """How many times fewer draws a rate is worth, as its variance is an estimate itself."""
        variance, own = self.within + self.excess, np.maximum(self.n - 1.0, 1.0)
        varies = variance > 0.0
        parts = self.within**2 / own + self.excess**2 / self.mean.df
        df = np.where(varies, variance**2 / np.where(varies, parts, 1.0), own)
        step = 2.0 * self.events / (self.events + _FEW)
        found: Floats = (stdtrit(df, 1.0 - tail) / stdtrit(own, 1.0 - tail)) ** step
        return np.maximum(found, 1.0)


def difference_ends(gained: Rates, lost: Rates, confidence: float) -> tuple[Floats, Floats]:
    """Ends of the interval of gained - lost, the mean of differences between -1 and 1.

    Args:
        gained: of the differences, with those below 0 taken as 0.
        lost: of how far they are below 0.
        confidence: of the interval.
    """
    (gained_low, gained_high), (lost_low, lost_high) = gained.ends(confidence), lost.ends(confidence)
    mean = gained.rate - lost.rate
    below = np.hypot(gained.rate - gained_low, lost_high - lost.rate)
    above = np.hypot(gained_high - gained.rate, lost.rate - lost_low)
    return np.maximum(mean - below, -1.0), np.minimum(mean + above, 1.0)
