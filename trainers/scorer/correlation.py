"""Pearson's and Spearman's correlation, also over rows that count several times, and the validity study made of them.

Invariant: a row of weight w gives what w equal rows of weight 1 give, so a bootstrap draw needs no copies. A
correlation with a constant is NaN, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.errors import TrainerError
from trainers.scorer.bootstrap import Estimate, Floats, Resamples


@dataclass(frozen=True, slots=True)
class Correlations:
    """How scores go with ratings."""

    pearson: Estimate
    spearman: Estimate


def correlate_with_ratings(
    scores: Sequence[float],
    ratings: Sequence[float],
    clusters: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Correlations:
    """Returns the correlations of scores with somebody else's ratings of the same things (ConvoLearn v4, section 6).

    Args:
        scores: one per transcript or teacher.
        ratings: of an observation instrument, in the same order.
        clusters: what is drawn as a whole, such as the teacher; None draws each row by itself.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Raises:
        TrainerError: the lengths differ, there is nothing, or a value is no number.
    """
    names = [str(row) for row in range(len(scores))] if clusters is None else list(clusters)
    if not len(scores) == len(ratings) == len(names):
        raise TrainerError(
            f"{len(scores)} scores, {len(ratings)} ratings and {len(names)} clusters: give one of each per row."
        )
    for row, pair in enumerate(zip(scores, ratings, strict=True)):
        if not all(math.isfinite(value) for value in pair):
            raise TrainerError(f"Row {row} has score {pair[0]} and rating {pair[1]}. Leave out rows without a number.")
    draws = Resamples(names, resamples=resamples, seed=seed)
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(ratings, dtype=np.float64)
    weights = draws.row_weights()
    return Correlations(draws.estimate(pearson(x, y, weights)), draws.estimate(spearman(x, y, weights)))


def pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Returns the correlation of `x` and `y` `(n,)` under each row of weights `(draws, n)`."""
    return _weighted(np.broadcast_to(x, weights.shape), np.broadcast_to(y, weights.shape), weights)


def spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Returns the rank correlation of `x` and `y` `(n,)` under each row of weights `(draws, n)`; ties share a rank."""
    return _weighted(ranks(x, weights), ranks(y, weights), weights)


def ranks(values: Floats, weights: Floats) -> Floats:
    """Returns the mean rank of each value among the weighted values, `(draws, n)`, counted from 1."""
    distinct, index = np.unique(values, return_inverse=True)
    counts = np.stack([np.bincount(index, weights=row, minlength=len(distinct)) for row in weights])
    means: Floats = np.cumsum(counts, axis=1) - (counts - 1.0) / 2.0
    return means[:, index]


def _weighted(x: Floats, y: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    across, left, right = ((weights * product).sum(axis=1) for product in (x * y, x * x, y * y))
    # Rounding leaves a constant a variance of about 1e-32 of its square, which is no variance.
    known = (left > 1e-18) & (right > 1e-18)
    return np.where(known, across / np.sqrt(np.where(known, left * right, 1.0)), np.nan)
