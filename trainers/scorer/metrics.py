"""How good predictions of ordered levels are, beside the majority level and beside a baseline of the words alone.

`exact`, `within_one`, `mae`, `weighted_f1` and `kappa` are of the predicted level and functions of the confusion
matrix, so a bootstrap draw costs one sum of matrices; `mae_expected` and `spearman` are of the expected score.
`exact_rounded` is over whole points, where the scale has half points. `within_one` is left out where the scale is one
point wide, since it would be 1 for any prediction.

Invariant: each figure has its n, an interval that draws whole groups, the majority's and the baseline's figure on the
same rows, and the paired differences on the same draws. Majority and baseline know the training ratings, never those of
the rows judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agents.errors import TrainerError
from trainers.scorer.bootstrap import Estimate, Floats, Ints, Resamples
from trainers.scorer.correlation import spearman
from trainers.scorer.labels import Levels, majority, round_half_up

LOWER_IS_BETTER = frozenset({"mae", "mae_expected"})
"""Metrics of error; of the others more is better."""


FEWEST_GROUPS = 10
"""With fewer, draws of whole groups repeat each other and their interval is far too narrow."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Columns of equal length: what was rated, what was predicted, and what the majority is."""

    truth: tuple[float, ...]
    level: tuple[float, ...]
    """The predicted level."""
    expected: tuple[float, ...]
    """The expected score."""
    majority: tuple[float, ...]
    """The most frequent rating of the row's training examples."""
    majority_rounded: tuple[float, ...]
    """The most frequent of their ratings in whole points."""
    groups: tuple[str, ...]
    """What is drawn as a whole."""
    baseline: tuple[float, ...] = ()
    """The level that the words alone say (`trainers.scorer.words`); empty: no baseline was trained."""
    baseline_expected: tuple[float, ...] = ()
    """The expected score of the words alone."""

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self._columns()}
        if len(set(lengths.values())) > 1:
            raise TrainerError(f"The columns of the predictions differ in length: {lengths}. Give one value per row.")

    def _columns(self) -> list[str]:
        """Names of the columns that are there."""
        return [name for name in self.__slots__ if self.baseline or not name.startswith("baseline")]

    @classmethod
    def against_majority(
        cls,
        *,
        truth: Sequence[float],
        level: Sequence[float],
        expected: Sequence[float],
        groups: Sequence[str],
        training: Sequence[float],
        levels: Levels,
        baseline: Sequence[float] = (),
        baseline_expected: Sequence[float] = (),
    ) -> Predictions:
        """Puts predictions beside the majority of the training ratings, and beside a baseline's levels and scores."""
        snapped = [levels.values[index] for rating in training if (index := levels.find(rating)) is not None]
        common, rounded = majority(snapped), majority(map(round_half_up, snapped))
        n = len(truth)
        columns = (tuple(truth), tuple(level), tuple(expected), (common,) * n, (rounded,) * n, tuple(groups))
        return cls(*columns, tuple(baseline), tuple(baseline_expected))

    @classmethod
    def join(cls, parts: Sequence[Predictions]) -> Predictions:
        """Puts the rows of several predictions one after the other."""
        return cls(*(tuple(value for part in parts for value in getattr(part, name)) for name in cls.__slots__))

    def rows(self, wanted: Sequence[int]) -> Predictions:
        """Returns some of the rows."""
        return Predictions(**{name: tuple(getattr(self, name)[row] for row in wanted) for name in self._columns()})


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of the scorer, the majority level and the baseline, and the differences on the same draws."""

    scorer: Estimate
    majority: Estimate
    difference: Estimate
    """Scorer minus majority."""
    baseline: Estimate | None = None
    """None: no baseline was trained."""
    over_baseline: Estimate | None = None
    """Scorer minus baseline."""


@dataclass(frozen=True, slots=True)
class Report:
    """All metrics of some predictions."""

    n: int
    groups: int
    metrics: dict[str, Comparison]

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-able dict."""
        return asdict(self)


def evaluate(predictions: Predictions, levels: Levels, *, resamples: int = 1000, seed: int = 0) -> Report:
    """Computes every metric with its interval.

    Args:
        predictions: at least one row.
        levels: the scale.
        resamples: draws of the bootstrap; the paper uses 1,000.
        seed: of the draws.

    Raises:
        TrainerError: no rows, or a rating or predicted level that is not on the scale.
    """
    draws = Resamples(predictions.groups, resamples=resamples, seed=seed)
    metrics: dict[str, Comparison] = {}

    def add(name: str, scorer: Floats, *others: Floats) -> None:
        parts = [scorer, *(part for other in others for part in (other, scorer - other))]
        metrics[name] = Comparison(*(draws.estimate(part) for part in parts))

    said = [predictions.level, predictions.majority, *([predictions.baseline] if predictions.baseline else [])]
    scale, truth = np.asarray(levels.values), _indices(predictions.truth, levels)
    tables = [_confusions(truth, _indices(column, levels), len(levels), draws) for column in said]
    for name, metric in _OF_CONFUSIONS.items():
        if name == "within_one" and levels.high - levels.low <= 1:
            continue
        add(name, *(metric(table, scale) for table in tables))
    if levels.has_parts:
        add("exact_rounded", *_exact_rounded(predictions, draws))
    scores = [predictions.expected, predictions.majority]
    scores += [predictions.baseline_expected] if predictions.baseline else []
    given, n, weights = np.asarray(predictions.truth), draws.totals(np.ones(draws.n)), draws.row_weights()
    add("mae_expected", *(draws.totals(np.abs(np.asarray(score) - given)) / n for score in scores))
    add("spearman", *(spearman(np.asarray(score), given, weights) for score in scores))
    return Report(draws.n, draws.clusters, metrics)


def unproven(metrics: Mapping[str, Any]) -> str:
    """Returns a warning where a report's metrics do not show that the scorer beats its baseline, else an empty text.

    What decides is the quadratic kappa: the lower end of the interval of its difference has to be above 0, over at
    least `FEWEST_GROUPS` groups.
    """
    found = metrics["kappa"]
    scorer, baseline, over = found["scorer"], found["baseline"], found["over_baseline"]
    if over is None or over["value"] is None:
        why = "has no difference from it" if over is not None else "was not compared with it"
        return f"the scorer's quadratic kappa {why}: nothing shows that it beats TF-IDF with logistic regression"
    few = over["clusters"] < FEWEST_GROUPS
    if over["low"] is not None and over["low"] > 0 and not few:
        return ""
    bounds = "without an interval" if over["low"] is None else f"[{over['low']:+.3f}, {over['high']:+.3f}]"
    bounds += f" from {over['clusters']} groups, where {FEWEST_GROUPS} are the fewest that show anything" if few else ""
    return (
        "the scorer is not shown to beat TF-IDF with logistic regression on the tutor's words: quadratic kappa "
        f"{scorer['value']:.3f} against {baseline['value']:.3f}, difference {over['value']:+.3f} {bounds}. Give "
        "it more rated texts, or decide nothing by it"
    )


def exact(confusion: Floats, scale: Floats) -> Floats:
    """Share on the diagonal. Confusions are `(..., K, K)` with the truth in rows; `scale` is the levels' values."""
    share: Floats = np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))
    return share


def within_one(confusion: Floats, scale: Floats) -> Floats:
    """Share that is off by at most one rating point."""
    near = _distance(scale) <= 1.0 + 1e-9
    share: Floats = (confusion * near).sum(axis=(-2, -1)) / confusion.sum(axis=(-2, -1))
    return share


def mae(confusion: Floats, scale: Floats) -> Floats:
    """Mean absolute error in rating points."""
    error: Floats = (confusion * _distance(scale)).sum(axis=(-2, -1)) / confusion.sum(axis=(-2, -1))
    return error


def weighted_f1(confusion: Floats, scale: Floats) -> Floats:
    """F1 of each level, averaged by how often the level is the truth; a level never predicted has F1 0."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    truth, said = confusion.sum(axis=-1), confusion.sum(axis=-2)
    scores = 2 * right / np.maximum(truth + said, 1e-12)
    mean: Floats = (truth * scores).sum(axis=-1) / truth.sum(axis=-1)
    return mean


def kappa(confusion: Floats, scale: Floats) -> Floats:
    """Cohen's kappa with quadratic weights (Cohen 1968); NaN when both sides say one and the same level always."""
    weights = _distance(scale) ** 2
    n = confusion.sum(axis=(-2, -1))
    chance = confusion.sum(axis=-1)[..., :, None] * confusion.sum(axis=-2)[..., None, :]
    expected = (chance * weights).sum(axis=(-2, -1)) / n
    observed = (confusion * weights).sum(axis=(-2, -1))
    known = expected > 1e-12
    return np.where(known, 1.0 - observed / np.where(known, expected, 1.0), np.nan)


_OF_CONFUSIONS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "exact": exact,
    "within_one": within_one,
    "mae": mae,
    "weighted_f1": weighted_f1,
    "kappa": kappa,
}


def _distance(scale: Floats) -> Floats:
    distance: Floats = np.abs(scale[:, None] - scale[None, :])
    return distance


def _indices(column: Sequence[float], levels: Levels) -> Ints:
    found = [levels.find(value) for value in column]
    if None in found:
        row = found.index(None)
        raise TrainerError(f"Row {row} has {column[row]!r}, which is none of the levels {levels}. Correct the row.")
    return np.asarray(found, dtype=np.int64)


def _confusions(truth: Ints, said: Ints, size: int, draws: Resamples) -> Floats:
    """A confusion matrix per draw, `(1 + resamples, size, size)`."""
    cells = np.zeros((len(truth), size, size))
    cells[np.arange(len(truth)), truth, said] = 1.0
    return draws.totals(cells)


def _exact_rounded(predictions: Predictions, draws: Resamples) -> list[Floats]:
    """Exact agreement in whole points, of the scorer, of the majority in whole points, and of the baseline."""
    said = [predictions.level, predictions.majority_rounded, *([predictions.baseline] if predictions.baseline else [])]
    truth, *columns = (np.asarray(list(map(round_half_up, column))) for column in (predictions.truth, *said))
    n = draws.totals(np.ones(len(truth)))
    return [draws.totals((truth == column).astype(np.float64)) / n for column in columns]
