"""Simulated rates whose truth is known: how often their intervals cover it, and how wide they are for it.

Values are 0 or 1. Of a rate p with an intra-class correlation r, each item has its own rate, drawn from Beta(p (1 - r)
/ r, (1 - p) (1 - r) / r). Of a difference, the rates of one item under both tutors are drawn at quantiles that
correlate by .7 (a Gaussian copula).

Width is held against a cluster-adjusted interval of Clopper and Pearson, `reference`: r is estimated by analysis of
variance, (MSB - MSW) / (MSB + (m - 1) MSW), and cut to 0 to 1; n_eff = n / (1 + (m - 1) r), x_eff = p n_eff; the ends
are Beta(x_eff, n_eff - x_eff + 1) at .025 and Beta(x_eff + 1, n_eff - x_eff) at .975. Where nothing varies, r is
unknown and taken as 1, so n_eff is the number of items. The ratio is that of the median widths of a cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtr

from benchmarks.simulated import ALPHA, RESAMPLES, draw
from sim.stats.clustered import Clustered, Floats
from sim.stats.ranks import rank_table
from sim.stats.rates import Rates, difference_ends

ITEMS, PER_ITEM, CORRELATIONS, RATES = (4, 8, 16, 40), (2, 8), (0.0, 0.3), (0.005, 0.02, 0.1)
PAIRS = ((0.005, 0.005), (0.02, 0.02), (0.1, 0.1), (0.005, 0.02), (0.02, 0.1), (0.1, 0.3))
"""Rates of two tutors whose difference is looked at."""
SHARED = 0.7
MOST_RESAMPLED = 1000
"""Samples of a cell whose bootstrap is drawn; it is told apart by far fewer."""
Ends = tuple[Floats, Floats]


def study_rates(samples: int, seed: int) -> dict[str, Any]:
    """All cells of rates and of differences, with the worst figures of each way to make an interval."""
    rates = [
        _rate_cell(rate, correlation, items, per_item, samples, seed)
        for rate in RATES
        for correlation in CORRELATIONS
        for items in ITEMS
        for per_item in PER_ITEM
    ]
    differences = [
        _difference_cell(rate, correlation, items, per_item, samples, seed)
        for rate in PAIRS
        for correlation in CORRELATIONS
        for items in ITEMS
        for per_item in PER_ITEM
    ]
    return {
        "samples": samples,
        "coverage_min": min(cell["default"]["coverage"] for cell in rates),
        "width_ratio_max": max(cell["default"]["width_ratio"] for cell in rates),
        "worst": {
            name: {
                "coverage_min": min(cell[name]["coverage"] for cell in rates),
                "width_ratio_max": max(cell[name]["width_ratio"] for cell in rates),
            }
            for name in METHODS
        },
        "cells": rates,
        "differences": {
            "coverage_min": min(cell["default"]["coverage"] for cell in differences),
            "spread_alone_coverage_min": min(cell["spread_alone"]["coverage"] for cell in differences),
            "cells": differences,
        },
    }


def draw_rates(rate: float, correlation: float, items: int, per_item: int, samples: int, seed: int) -> Floats:
    """Numbers of events of each item, `(samples, items)`."""
    generator = np.random.default_rng([seed, items, per_item, round(1000 * rate), round(1000 * correlation)])
    own = np.full((samples, items), rate)
    if correlation:
        own = generator.beta(*_beta(rate, correlation), size=(samples, items))
    return generator.binomial(per_item, own).astype(np.float64)


def draw_differences(
    rates: tuple[float, float], correlation: float, items: int, per_item: int, samples: int, seed: int
) -> Floats:
    """Second minus first of each pair, -1, 0 or 1, `(samples, items, per_item)`."""
    generator = np.random.default_rng([seed, items, per_item, *(round(1000 * rate) for rate in rates)])
    common, sides = generator.standard_normal((samples, items)), []
    for rate in rates:
        score = np.sqrt(SHARED) * common + np.sqrt(1.0 - SHARED) * generator.standard_normal((samples, items))
        own = betaincinv(*_beta(rate, correlation), ndtr(score)) if correlation else np.full((samples, items), rate)
        sides.append((generator.random((samples, items, per_item)) < own[..., None]).astype(np.float64))
    difference: Floats = sides[1] - sides[0]
    return difference


def _beta(rate: float, correlation: float) -> tuple[float, float]:
    size = (1.0 - correlation) / correlation
    return rate * size, (1.0 - rate) * size


def study_ranks(experiments: int, seed: int) -> dict[str, Any]:
    """How often any of four equal tutors, and how often a given one, has a rank interval without rank 1."""
    cells = []
    for kind in ("normal", "rare"):
        for items in (4, 8, 16):
            values = np.nan_to_num(draw(kind, experiments, items, seed)[0][:, :, 0])
            out = np.array([[(low or 1) > 1 for low in _lows(one)] for one in values])
            cells.append(
                {"kind": kind, "items": items, "any": float(out.any(axis=1).mean()), "each": float(out.mean())}
            )
    return {"experiments": experiments, "without_first": cells}


def _lows(values: Floats) -> list[int | None]:
    """The best place that each tutor's interval holds, of values `(tutors, items, personas)`."""
    cells = {f"{item}/{at}": f"{item}" for item in range(values.shape[1]) for at in range(values.shape[2])}
    by_tutor = {f"{tutor}": dict(zip(cells, own.ravel().tolist(), strict=True)) for tutor, own in enumerate(values)}
    return [rank.low for rank in rank_table(by_tutor, cells, better="higher", resamples=400).values()]


# ---- ways to make an interval of events by item


def default(events: Floats, per_item: int) -> Ends:
    """That of `sim.stats.rates`."""
    return Rates.of(events, np.full_like(events, per_item), events).ends(1.0 - ALPHA)


def reference(events: Floats, per_item: int) -> Ends:
    """Clopper and Pearson's, adjusted for items by the estimated intra-class correlation."""
    items = events.shape[1]
    n = items * per_item
    rate = events.sum(axis=1) / n
    between = per_item * ((events / per_item - rate[:, None]) ** 2).sum(axis=1) / (items - 1)
    within = (events * (1.0 - events / per_item)).sum(axis=1) / (n - items)
    total = between + (per_item - 1) * within
    correlation = np.where(total > 0.0, (between - within) / np.where(total > 0.0, total, 1.0), 1.0)
    draws = n / (1.0 + (per_item - 1) * np.clip(correlation, 0.0, 1.0))
    x, rest = rate * draws, draws - rate * draws
    low = np.where(x > 0.0, betaincinv(np.where(x > 0.0, x, 1.0), rest + 1.0, ALPHA / 2.0), 0.0)
    high = np.where(rest > 0.0, betaincinv(x + 1.0, np.where(rest > 0.0, rest, 1.0), 1.0 - ALPHA / 2.0), 1.0)
    return low, high


def spread_alone(events: Floats, per_item: int) -> Ends:
    """The t interval of a mean, cut to 0 to 1: that of rates before they had their own."""
    low, high = Clustered.of(events, np.full_like(events, per_item)).ends(1.0 - ALPHA)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)


def percentile_bootstrap(events: Floats, per_item: int) -> Ends:
    """The percentile bootstrap over items."""
    items, generator = events.shape[1], np.random.default_rng(0)
    drawn = generator.multinomial(items, np.full(items, 1.0 / items), size=RESAMPLES).T / (items * per_item)
    low, high = np.quantile(events @ drawn, [ALPHA / 2.0, 1.0 - ALPHA / 2.0], axis=1)
    return low, high


METHODS: dict[str, Callable[[Floats, int], Ends]] = {
    "default": default,
    "reference": reference,
    "spread_alone": spread_alone,
    "percentile_bootstrap": percentile_bootstrap,
}


def _rate_cell(rate: float, correlation: float, items: int, per_item: int, samples: int, seed: int) -> dict[str, Any]:
    events = draw_rates(rate, correlation, items, per_item, samples, seed)
    found = {
        name: method(events[:MOST_RESAMPLED] if name == "percentile_bootstrap" else events, per_item)
        for name, method in METHODS.items()
    }
    against = float(np.median(found["reference"][1] - found["reference"][0]))
    figures = {name: _figures(made, rate) for name, made in found.items()}
    return {
        "rate": rate,
        "correlation": correlation,
        "items": items,
        "per_item": per_item,
        "no_event": float((events.sum(axis=1) == 0.0).mean()),
        **{name: one | {"width_ratio": one["median_width"] / against} for name, one in figures.items()},
    }


def _difference_cell(
    rates: tuple[float, float], correlation: float, items: int, per_item: int, samples: int, seed: int
) -> dict[str, Any]:
    changes = draw_differences(rates, correlation, items, per_item, samples, seed)
    sizes = np.full(changes.shape[:2], float(per_item))
    clustered = Clustered.of(changes.sum(axis=2), sizes)
    gained, lost = (np.maximum(sign * changes, 0.0).sum(axis=2) for sign in (1.0, -1.0))
    low, high = difference_ends(Rates.of(gained, sizes, gained), Rates.of(lost, sizes, lost), 1.0 - ALPHA)
    first, last = clustered.ends(1.0 - ALPHA)
    varies = clustered.se > 0.0
    # As in `paired_difference`: an end that leaves out 0 stays where the test has it.
    low = np.where(varies, np.where(first > 0.0, first, np.minimum(first, low)), low)
    high = np.where(varies, np.where(last < 0.0, last, np.maximum(last, high)), high)
    truth = rates[1] - rates[0]
    return {
        "rates": list(rates),
        "correlation": correlation,
        "items": items,
        "per_item": per_item,
        "default": _figures((low, high), truth),
        "spread_alone": _figures((first, last), truth),
    }


def _figures(ends: Ends, truth: float) -> dict[str, float]:
    low, high = ends
    # A bound that is the truth but for the last bit covers it.
    covered = (low <= truth + 1e-12) & (truth - 1e-12 <= high)
    return {"coverage": float(covered.mean()), "median_width": float(np.median(high - low))}
