"""Multinomial logistic regression: levels from columns of features, dense or sparse, with one optimum and no chance.

    minimise over W, b:   sum over rows of -log softmax(x W + b)[level]  +  |W|^2 / (2 C)

The intercepts `b` are not penalised. The objective is strictly convex in W, so the same rows give the same model in any
order, whatever the start; L-BFGS finds it in a second for a thousand rows. It is scikit-learn's `LogisticRegression`,
written here since a locked set does without that library, and since weights are stored as safetensors, never unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from trainers.scorer.bootstrap import Floats, Ints


def fit_logistic(columns: Any, levels: Ints, number: int, penalty: float) -> tuple[Floats, Floats]:
    """Returns the weights `(columns, number)` and the intercepts `(number,)`.

    Args:
        columns: features, `(rows, columns)`: a NumPy array or a SciPy sparse array.
        levels: index of each row's level.
        number: how many levels there are; one that no row has gets a probability near 0.
        penalty: 1 / C.
    """
    rows, width = columns.shape
    told = np.eye(number)[levels]
    # Levels without a row would send their intercept to minus infinity.
    shares = (told.sum(axis=0) + 0.5) / (rows + 0.5 * number)
    start = np.concatenate([np.zeros(width * number), np.log(shares)])
    flipped = columns.T.tocsr() if hasattr(columns, "tocsr") else columns.T

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight, intercept = flat[: width * number].reshape(width, number), flat[width * number :]
        logits = columns @ weight + intercept
        loss = -(told * log_softmax(logits, axis=1)).sum() + penalty * (weight**2).sum() / 2
        off = softmax(logits, axis=1) - told
        return loss, np.concatenate([(flipped @ off + penalty * weight).ravel(), off.sum(axis=0)])

    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-12})
    return found.x[: width * number].reshape(width, number), found.x[width * number :]


def chances(columns: Any, weight: Floats, intercept: Floats) -> Floats:
    """Returns each row's probability of each level, `(rows, levels)`."""
    found: Floats = softmax(columns @ weight + intercept, axis=1)
    return found


def level_indices(found: Sequence[int | None]) -> Ints:
    """Returns indices as an array; every rating has been found to be a level before."""
    return np.asarray([index for index in found if index is not None], dtype=np.int64)
