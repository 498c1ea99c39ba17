"""How large an experiment must be: power of the default test by simulation from the variation of a pilot.

In a paired difference the main effects of item and persona cancel. What stays is how much the difference of two tutors
varies from item to item (`interaction_sd`) and from dialogue to dialogue on one item (`residual_sd`).

Invariant: the test that is simulated is that of `paired`, on normal item means; the same seed gives the same answer,
and with it power rises with the effect. Cost: one array of simulations x items, no dialogues are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from sim.stats.clustered import Clustered, Floats, item_sums

_CHUNK = 2_000_000
"""Numbers drawn at a time, which bounds the memory."""
_TOLERANCE = 1e-4
"""Of the smallest effect, relative."""
MOST_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class Variance:
    """What makes paired differences vary, in the measure's unit."""

    interaction_sd: float
    """Between items: standard deviation of the true difference of two tutors (tutor x item)."""
    residual_sd: float
    """Between the pairs of one item: personas' own differences, repeats and noise."""
    n: int
    """Pairs of the pilot."""
    items: int
    note: str = ""

    def item_sd(self, per_item: float) -> float:
        """Standard deviation of an item's mean difference over so many pairs."""
        return math.sqrt(self.interaction_sd**2 + self.residual_sd**2 / per_item)


def estimate_variance(differences: Sequence[float], items: Sequence[str]) -> Variance:
    """Estimates both parts from a pilot's paired differences by analysis of variance (Searle et al. 1992, section 3.6).

    Raises:
        ValueError: fewer than two items, no variation, or columns that do not fit.
    """
    sums, sizes = item_sums(differences, items)
    n, g = len(differences), len(sizes)
    if g < 2:
        raise ValueError(f"The pilot has {g} item. Run at least two to see how a difference varies between items.")
    values = np.asarray(differences, dtype=np.float64)
    mean = values.mean()
    total = float(((values - mean) ** 2).sum())
    if total <= 1e-20 * n * max(1e-300, float(np.abs(values).max()) ** 2):
        raise ValueError(
            f"All {n} differences of the pilot are {mean:g}: no variation to plan from. Use another measure."
        )
    between = float((sizes * (sums / sizes - mean) ** 2).sum())
    if n == g:
        note = "one pair an item: all variation is taken as between items, so more pairs an item promise nothing"
        return Variance(math.sqrt(between / (g - 1)), 0.0, n, g, note)
    within = (total - between) / (n - g)
    size = (n - float((sizes**2).sum()) / n) / (g - 1)
    interaction = (between / (g - 1) - within) / size
    if interaction <= 0.0:
        return Variance(0.0, math.sqrt(total / (n - 1)), n, g, "no variation between items beyond chance")
    return Variance(math.sqrt(interaction), math.sqrt(max(0.0, within)), n, g)


def power(
    effect: float,
    *,
    items: int,
    per_item: float,
    variance: Variance,
    alpha: float = 0.05,
    simulations: int = 2000,
    seed: int = 0,
) -> float:
    """Returns the chance that the default test finds a true mean difference, p < alpha.

    The standard error of the simulation is sqrt(power (1 - power) / simulations), at most 1.1 points at 2,000.

    Args:
        effect: the true mean difference, in the measure's unit.
        items: of the experiment, at least 2.
        per_item: pairs on each item (personas x repeats x stress).
        variance: from `estimate_variance`.
        alpha: of the two-sided test.
        simulations: experiments drawn.
        seed: of the draws.

    Raises:
        ValueError: a number is out of range.
    """
    return _found(_simulate(items, per_item, variance, simulations, seed), effect, alpha)


def smallest_effect(
    *,
    items: int,
    per_item: float,
    variance: Variance,
    power: float = 0.8,
    alpha: float = 0.05,
    simulations: int = 2000,
    seed: int = 0,
) -> float:
    """Returns the smallest true mean difference that is found with that power, by bisection.

    Arguments and errors as for `power`. Its own error from the pilot's variance is larger than that of the simulation
    (docs/statistics.md).
    """
    _check_target(power, alpha)
    drawn = _simulate(items, per_item, variance, simulations, seed)
    low, high = 0.0, variance.item_sd(per_item)
    while _found(drawn, high, alpha) < power:
        low, high = high, 2.0 * high
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if _found(drawn, middle, alpha) >= power else (middle, high)
    return high


def items_needed(
    effect: float,
    *,
    per_item: float,
    variance: Variance,
    power: float = 0.8,
    alpha: float = 0.05,
    simulations: int = 2000,
    seed: int = 0,
    most: int = MOST_ITEMS,
) -> int | None:
    """Returns how many items find the effect with that power; None where more than `most` are needed.

    Arguments as for `power`. Raises ValueError also for an effect of 0.
    """
    _check_target(power, alpha)
    if not (math.isfinite(effect) and effect != 0.0):
        raise ValueError(f"The effect is {effect}. Give the difference that you want to find, not 0.")

    def enough(items: int) -> bool:
        return _found(_simulate(items, per_item, variance, simulations, seed), effect, alpha) >= power

    quantiles = float(ndtri(1.0 - alpha / 2.0) + ndtri(power))
    guess = (quantiles * variance.item_sd(per_item) / effect) ** 2
    if guess > most:
        return None
    low, high = 1, max(2, math.ceil(guess))
    while not enough(high):
        low, high = high, math.ceil(1.2 * high) + 1
    while high - low > 1:
        # The answer lies close above the normal approximation, so look there before halving.
        middle = max(low + 1, math.floor(0.9 * high)) if low == 1 else (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high if high <= most else None


def item_means(items: int, *, per_item: float, variance: Variance, simulations: int, seed: int = 0) -> Iterator[Floats]:
    """Yields simulated experiments without a difference, some at a time: mean differences `(experiments, items)`.

    Raises:
        ValueError: a number is out of range, or the variance is 0.
    """
    if items < 2 or not per_item > 0.0 or simulations < 1:
        raise ValueError(
            f"{items} items, {per_item} pairs each, {simulations} simulations: give at least 2 items and 1 of each."
        )
    sd = variance.item_sd(per_item)
    if not sd > 0.0:
        raise ValueError("The variance is 0: there is nothing to plan from. Take it from a pilot that varies.")
    generator, rows = np.random.default_rng(seed), max(1, _CHUNK // items)
    for start in range(0, simulations, rows):
        yield sd * generator.standard_normal((min(rows, simulations - start), items))


def _simulate(items: int, per_item: float, variance: Variance, simulations: int, seed: int) -> Clustered:
    drawn = item_means(items, per_item=per_item, variance=variance, simulations=simulations, seed=seed)
    parts = [Clustered.of(means, np.ones_like(means)) for means in drawn]
    return Clustered(*(np.concatenate([getattr(part, name) for part in parts]) for name in Clustered.__slots__))


def _found(drawn: Clustered, effect: float, alpha: float) -> float:
    """Share of the experiments that reject no difference once the effect is added to each."""
    return float((drawn.p(-effect) < alpha).mean())


def _check_target(power: float, alpha: float) -> None:
    if not 0.0 < alpha < power < 1.0:
        raise ValueError(f"power is {power} at alpha {alpha}. Give 0 < alpha < power < 1, such as 0.8 at 0.05.")
