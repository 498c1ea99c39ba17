"""A rule against people's labels: kappa, precision and recall with intervals clustered by problem.

Precision and recall are ratios of sums over problems (docs/statistics.md); kappa's interval leaves out one problem at a
time (jackknife, t with problems - 1 degrees of freedom).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from sim.stats.clustered import Clustered, item_index


def against_people(found: Sequence[bool], labels: Sequence[bool], groups: Sequence[str]) -> dict[str, object]:
    """What a rule found against what people said; a figure without a base is None."""
    if not found:
        return {"n": 0, "kappa": None, "precision": None, "recall": None, "ci95": None}
    said, true = np.array(found, dtype=bool), np.array(labels, dtype=bool)
    index, n_groups = item_index(groups)
    cells = _cells(said, true, index, n_groups)
    both, false, missed, _ = cells
    precision, recall = _ratio(both, both + false), _ratio(both, both + missed)
    kappa = kappa_of(cells.sum(axis=1))
    return {
        "n": len(found),
        "problems": n_groups,
        "positives": int(true.sum()),
        "found": int(said.sum()),
        "true_positives": int(both.sum()),
        "kappa": kappa,
        "precision": precision[0],
        "recall": recall[0],
        "ci95": {"kappa": _jackknife(cells), "precision": precision[1], "recall": recall[1]},
    }


def difference(
    found: Sequence[bool], other: Sequence[bool], labels: Sequence[bool], groups: Sequence[str]
) -> dict[str, object]:
    """How much more one rule agrees with people than another on the same texts: kappa minus kappa."""
    true = np.array(labels, dtype=bool)
    index, n_groups = item_index(groups)
    both = [_cells(np.array(rule, dtype=bool), true, index, n_groups) for rule in (found, other)]
    apart = kappa_of(both[0].sum(axis=1)) - kappa_of(both[1].sum(axis=1))
    return {"difference": apart, "ci95": _interval(apart, _without_one(both[0]) - _without_one(both[1]))}


def _cells(said: np.ndarray, true: np.ndarray, index: np.ndarray, n_groups: int) -> np.ndarray:
    """By group: both, rule only, people only, neither."""
    return np.stack(
        [
            np.bincount(index, weights=cell, minlength=n_groups)
            for cell in (said & true, said & ~true, ~said & true, ~said & ~true)
        ]
    )


def _ratio(sums: np.ndarray, sizes: np.ndarray) -> tuple[float | None, list[float] | None]:
    if sizes.sum() == 0:
        return None, None
    found = Clustered.of(sums.astype(float), sizes.astype(float))
    low, high = found.ends(0.95)
    return float(found.ratio), [max(0.0, float(low)), min(1.0, float(high))]


def kappa_of(cells: np.ndarray) -> float:
    """Cohen's kappa of both, rule only, people only, neither; 0 where chance explains all."""
    both, false, missed, neither = (float(cell) for cell in cells)
    total = both + false + missed + neither
    chance = ((both + false) * (both + missed) + (missed + neither) * (false + neither)) / total**2
    return ((both + neither) / total - chance) / (1.0 - chance) if chance < 1.0 else 0.0


def _jackknife(cells: np.ndarray) -> list[float] | None:
    return _interval(kappa_of(cells.sum(axis=1)), _without_one(cells))


def _without_one(cells: np.ndarray) -> np.ndarray:
    """Kappa without each problem in turn; nothing is left of one."""
    total, groups = cells.sum(axis=1), cells.shape[1]
    return np.array([kappa_of(total - cells[:, group]) for group in range(groups)] if groups > 1 else [np.nan])


def _interval(estimate: float, left_out: np.ndarray) -> list[float] | None:
    groups = len(left_out)
    if groups < 2:
        return None
    se = float(np.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum()))
    width = float(stdtrit(groups - 1, 0.975)) * se
    return [max(-1.0, estimate - width), min(1.0, estimate + width)]
