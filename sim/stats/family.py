"""Correction for many comparisons.

Invariant: only what was tested counts. A comparison without a p-value stays without one and makes no other look worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns the p-values adjusted so that the chance of any false positive in the family stays below alpha.

    Holm (1979), "A simple sequentially rejective multiple test procedure". It needs no independence. Tests hold it
    against statsmodels, whose own function collects garbage at each call, which takes long in a large process.

    Args:
        p_values: of one family of comparisons; None where there was nothing to test.

    Raises:
        ValueError: a p-value lies outside 0 to 1.
    """
    tested = np.asarray([p for p in p_values if p is not None], dtype=np.float64)
    bad = tested[~((tested >= 0.0) & (tested <= 1.0))]
    if bad.size:
        raise ValueError(f"{bad[0]} is no p-value. Give numbers from 0 to 1, or None where nothing was tested.")
    order = np.argsort(tested, kind="stable")
    adjusted = np.empty_like(tested)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(tested[order] * np.arange(len(tested), 0, -1)))
    left = iter(adjusted.tolist())
    return [None if p is None else next(left) for p in p_values]
