"""Figures with intervals: the percentile bootstrap over clusters (Efron and Tibshirani 1993, chapter 13).

Invariant: a figure stands with its n and its number of clusters. Whole clusters are drawn, so rows that belong together
never count as independent. The draws have a fixed seed: the same data always give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.errors import TrainerError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval."""

    value: float | None
    """None where it is not defined, such as a correlation with a constant."""
    low: float | None
    high: float | None
    """Ends of the interval; None with fewer than two clusters, or where most draws leave the figure undefined."""
    n: int
    """Rows it was computed from."""
    clusters: int
    """Clusters those rows are in."""


class Resamples:
    """How often each cluster is drawn: once each for the figure itself, then at random.

    Args:
        clusters: the cluster of each row.
        resamples: how many draws.
        seed: of the draws.
        confidence: of the intervals, such as 0.95.

    Raises:
        TrainerError: there are no rows.
    """

    def __init__(
        self, clusters: Sequence[str], *, resamples: int = 1000, seed: int = 0, confidence: float = 0.95
    ) -> None:
        if not clusters:
            raise TrainerError("There are no rows to compute a figure from. Give at least one.")
        names, index = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
        self.n, self.clusters, self.confidence = len(clusters), len(names), confidence
        self.cluster: Ints = index.astype(np.int64)
        chances = np.full(self.clusters, 1.0 / self.clusters)
        drawn = np.random.default_rng(seed).multinomial(self.clusters, chances, size=resamples)
        self.counts: Floats = np.vstack([np.ones(self.clusters), drawn])
        """Draws by clusters, `(1 + resamples, clusters)`; the first row is the data as they are."""

    def row_weights(self) -> Floats:
        """How often each row is drawn, `(1 + resamples, n)`."""
        return self.counts[:, self.cluster]

    def totals(self, values: Floats) -> Floats:
        """Sum over the drawn rows of `values` `(n, ...)`, as `(1 + resamples, ...)`."""
        flat = values.reshape(self.n, -1).astype(np.float64)
        by_cluster = np.zeros((self.clusters, flat.shape[1]))
        np.add.at(by_cluster, self.cluster, flat)
        return (self.counts @ by_cluster).reshape(-1, *values.shape[1:])

    def estimate(self, figures: Floats) -> Estimate:
        """Returns the figure of the first row with the interval of the others; NaN means not defined."""
        value, drawn = float(figures[0]), figures[1:]
        known = drawn[np.isfinite(drawn)]
        if not math.isfinite(value):
            return Estimate(None, None, None, self.n, self.clusters)
        if self.clusters < 2 or 2 * len(known) < len(drawn) or not len(known):
            return Estimate(value, None, None, self.n, self.clusters)
        tail = (1.0 - self.confidence) / 2.0
        low, high = np.quantile(known, [tail, 1.0 - tail])
        return Estimate(value, float(low), float(high), self.n, self.clusters)
