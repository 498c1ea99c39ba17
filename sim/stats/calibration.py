"""Rates corrected for the errors of the judge that found them.

    corrected = (observed + specificity - 1) / (sensitivity + specificity - 1)

Rogan and Gladen (1978), "Estimating prevalence from the results of a screening test", Am. J. Epidemiol. 107(1).
The interval is simulated: observed rate, sensitivity and specificity are drawn from their Beta posteriors (Jeffreys'
prior), so that a small calibration sample widens it.

Invariant: a judge that is no better than chance corrects nothing; a correction that leaves 0 to 1 is cut and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from sim.stats.clustered import Clustered, Floats, check_confidence, item_sums
from sim.stats.paired import Estimate

_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Corrected:
    """A rate as the judge saw it, and as it was after allowing for the judge's errors."""

    observed: Estimate
    """With Jeffreys' interval of the (effective) number of verdicts."""
    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Verdicts of the observed rate."""
    n_calibration: int
    """Cases the sensitivity and the specificity were measured on."""
    note: str = ""


def design_effect(values: Sequence[float], items: Sequence[str]) -> float:
    """Returns how many times larger the variance of a rate is than that of independent verdicts, at least 1.

    Verdicts on one item resemble each other. n / design effect is what they are worth (Kish 1965). Where all are the
    same nobody knows how much, and each item is worth one (sim/stats/rates.py).

    Args:
        values: 1 for a positive verdict, else 0.
        items: of each verdict.

    Raises:
        ValueError: as for `item_sums`.
    """
    sums, sizes = item_sums(values, items)
    if len(sizes) < 2:
        return float(sizes.sum())
    found = Clustered.of(sums, sizes)
    binomial = float(found.ratio * (1.0 - found.ratio)) / float(sizes.sum())
    return max(1.0, float(found.se) ** 2 / binomial if binomial > 0.0 else float(sizes.sum()) / len(sizes))


def rogan_gladen(
    positive: int,
    n: int,
    *,
    sensitivity: float,
    specificity: float,
    n_positive: int,
    n_negative: int,
    confidence: float = 0.95,
    design_effect: float = 1.0,
    seed: int = 0,
) -> Corrected:
    """Corrects a rate of positive verdicts.

    Args:
        positive: positive verdicts; invalid ones are in neither count.
        n: valid verdicts.
        sensitivity: share of truly positive cases the judge called positive.
        specificity: share of truly negative cases the judge called negative.
        n_positive: truly positive cases of the calibration sample.
        n_negative: truly negative cases of it.
        confidence: of the intervals.
        design_effect: of the verdicts, from `design_effect`; 1 takes them as independent.
        seed: of the simulation.

    Raises:
        ValueError: a count or share is impossible.
    """
    check_confidence(confidence)
    _check(positive, n, sensitivity, specificity, n_positive, n_negative, design_effect)
    rate, tail, worth = positive / n, (1.0 - confidence) / 2.0, n / design_effect
    seen = _posterior(rate, worth)
    ends = (min(rate, float(betaincinv(*seen, tail))), max(rate, float(betaincinv(*seen, 1.0 - tail))))
    observed = Estimate(rate, *ends, n=n, clusters=max(1, round(worth)), p=None, effect=None)
    calibration = n_positive + n_negative
    if sensitivity + specificity <= 1.0:
        note = f"sensitivity {sensitivity:g} + specificity {specificity:g} is not above 1: the judge tells nothing"
        return Corrected(observed, None, None, None, n, calibration, note)
    raw = (rate + specificity - 1.0) / (sensitivity + specificity - 1.0)
    mean = min(1.0, max(0.0, raw))
    notes = [] if mean == raw else [_cut(raw, mean)]
    generator = np.random.default_rng(seed)
    p, hit, clear = (
        generator.beta(*_posterior(share, size), size=_DRAWS)
        for share, size in ((rate, worth), (sensitivity, n_positive), (specificity, n_negative))
    )
    low, high, doubt = _ends(p, hit, clear, tail)
    note = "; ".join([*notes, *([doubt] if doubt else [])])
    if low is None or high is None:
        return Corrected(observed, mean, None, None, n, calibration, note)
    return Corrected(observed, mean, min(low, mean), max(high, mean), n, calibration, note)


def _cut(raw: float, mean: float) -> str:
    why = "fewer" if raw < mean else "more"
    return f"{raw:.3f} was cut to {mean:g}: {why} positive verdicts than this judge gives even at a rate of {mean:g}"


def _posterior(share: float, size: float) -> tuple[float, float]:
    return share * size + 0.5, (1.0 - share) * size + 0.5


def _ends(p: Floats, hit: Floats, clear: Floats, tail: float) -> tuple[float | None, float | None, str]:
    """Percentiles of the corrected draws; None and the reason where too few draws are a rate at all."""
    power = hit + clear - 1.0
    useful = power > 0.0
    if (~useful).mean() >= tail:
        return None, None, "no interval: the calibration sample is too small to rule out a judge that tells nothing"
    drawn = (p + clear - 1.0) / np.where(useful, power, 1.0)
    if (useful & (drawn > 0.0) & (drawn < 1.0)).mean() < tail:
        return None, None, "no interval: these verdicts do not fit the calibration"
    # A draw without information could be anything: it counts as 0 at the low end and as 1 at the high end.
    low = np.quantile(np.where(useful, np.clip(drawn, 0.0, 1.0), 0.0), tail)
    high = np.quantile(np.where(useful, np.clip(drawn, 0.0, 1.0), 1.0), 1.0 - tail)
    return float(low), float(high), ""


def _check(
    positive: int,
    n: int,
    sensitivity: float,
    specificity: float,
    n_positive: int,
    n_negative: int,
    design_effect: float,
) -> None:
    if not (n > 0 and 0 <= positive <= n):
        raise ValueError(f"{positive} positive of {n} verdicts is no rate. Leave out a rate without valid verdicts.")
    for name, share in (("sensitivity", sensitivity), ("specificity", specificity)):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} is {share}. Give a share from 0 to 1.")
    if n_positive < 1 or n_negative < 1:
        raise ValueError(
            f"The calibration has {n_positive} positive and {n_negative} negative cases. Give at least one of each."
        )
    if not design_effect >= 1.0:
        raise ValueError(f"design_effect is {design_effect}. Give at least 1.")
