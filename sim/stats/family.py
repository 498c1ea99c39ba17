"""Correction for many comparisons.

Invariant: only what was tested counts. A comparison without a p-value stays without one and makes no other look worse.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns the p-values adjusted so that the chance of any false positive in the family stays below alpha.

    Holm (1979), "A simple sequentially rejective multiple test procedure", by statsmodels. It needs no independence.

    Args:
        p_values: of one family of comparisons; None where there was nothing to test.

    Raises:
        ValueError: a p-value lies outside 0 to 1.
    """
    tested = [p for p in p_values if p is not None]
    bad = [p for p in tested if not 0.0 <= p <= 1.0]
    if bad:
        raise ValueError(f"{bad[0]} is no p-value. Give numbers from 0 to 1, or None where nothing was tested.")
    if not tested:
        return [None] * len(p_values)
    from statsmodels.stats.multitest import multipletests  # with pandas: a second that most commands do not need

    adjusted = iter(multipletests(tested, method="holm")[1].tolist())
    return [None if p is None else float(next(adjusted)) for p in p_values]
