"""Metrics against cases worked by hand, and intervals that draw whole groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import TrainerError
from trainers.scorer.bootstrap import Resamples
from trainers.scorer.correlation import correlate_with_ratings, pearson, ranks, spearman
from trainers.scorer.labels import EFFECTIVENESS, THREE_STEPS, Levels
from trainers.scorer.metrics import LOWER_IS_BETTER, Predictions, Report, evaluate, kappa, weighted_f1

POINTS = Levels((1.0, 2.0, 3.0))


def judged(
    truth: Sequence[float],
    level: Sequence[float],
    *,
    groups: Sequence[str] = (),
    expected: Sequence[float] = (),
    training: Sequence[float] = (),
    levels: Levels = POINTS,
    resamples: int = 200,
) -> Report:
    """The report on some predictions; the training ratings are the truth where none are given."""
    made = Predictions.against_majority(
        truth=truth,
        level=level,
        expected=expected or level,
        groups=groups or [str(row) for row in range(len(truth))],
        training=training or truth,
        levels=levels,
    )
    return evaluate(made, levels, resamples=resamples)


def test_a_case_worked_by_hand() -> None:
    report = judged([1, 1, 2, 3, 3, 3], [1, 2, 2, 3, 3, 1], expected=[1.2, 1.9, 2.0, 2.8, 2.6, 1.4])
    found = {name: comparison.scorer.value for name, comparison in report.metrics.items()}
    # Levels 1, 2, 3: F1 1/2, 2/3, 4/5 with supports 2, 1, 3.
    assert found["weighted_f1"] == pytest.approx((2 * 1 / 2 + 1 * 2 / 3 + 3 * 4 / 5) / 6)
    # Squared distances: observed 1 + 4; by chance, with rows 2 1 3 and columns 2 2 2, (4 + 16 + 4 + 24 + 6) / 6.
    assert found["kappa"] == pytest.approx(1 - 5 / ((4 + 16 + 4 + 24 + 6) / 6))
    assert found["exact"] == pytest.approx(4 / 6) and found["within_one"] == pytest.approx(5 / 6)
    assert found["mae"] == pytest.approx(3 / 6)
    assert found["mae_expected"] == pytest.approx((0.2 + 0.9 + 0 + 0.2 + 0.4 + 1.6) / 6)
    # Ranks of the truth 1.5 1.5 3 5 5 5, of the scores 1 3 4 6 5 2.
    assert found["spearman"] == pytest.approx(float(np.corrcoef([1.5, 1.5, 3, 5, 5, 5], [1, 3, 4, 6, 5, 2])[0, 1]))
    assert "exact_rounded" not in found and report.n == report.groups == 6


def test_the_majority_stands_beside_each_figure() -> None:
    report = judged([1, 1, 2, 3, 3, 3], [1, 2, 2, 3, 3, 1], training=[2, 2, 3])
    for name, wanted in (("exact", 1 / 6), ("within_one", 1.0), ("mae", 5 / 6), ("kappa", 0.0)):
        comparison = report.metrics[name]
        assert comparison.majority.value == pytest.approx(wanted)
        assert comparison.scorer.value is not None and comparison.majority.value is not None
        assert comparison.difference.value == pytest.approx(comparison.scorer.value - comparison.majority.value)
    assert report.metrics["weighted_f1"].majority.value == pytest.approx((2 / 7) / 6)
    assert report.metrics["spearman"].majority.value is None and report.metrics["spearman"].difference.value is None
    assert {"mae", "mae_expected"} == LOWER_IS_BETTER


def test_half_points_are_also_compared_in_whole_points() -> None:
    truth, level = [1.5, 2.0, 4.5, 3.0], [2.0, 2.5, 5.0, 3.5]
    report = judged(truth, level, levels=EFFECTIVENESS, training=[1.5, 2.0, 4.5, 4.5])
    assert report.metrics["exact"].scorer.value == 0 and report.metrics["within_one"].scorer.value == 1
    assert report.metrics["exact_rounded"].scorer.value == pytest.approx(2 / 4)  # 2 2 5 3 against 2 3 5 4
    assert report.metrics["exact"].majority.value == pytest.approx(1 / 4)  # 4.5 is the most frequent of the nine
    assert report.metrics["exact_rounded"].majority.value == pytest.approx(2 / 4)  # 2 ties with 5 and is lower


def test_a_scale_one_point_wide_has_no_figure_within_one_point() -> None:
    narrow = judged([0, 0.5, 1, 1], [1, 1, 0, 1], levels=THREE_STEPS)
    assert "within_one" not in narrow.metrics and narrow.metrics["mae"].scorer.value == pytest.approx(2.5 / 4)


def test_no_figure_without_n_and_no_interval_from_one_group() -> None:
    one = judged([1, 2, 3], [1, 2, 2], groups=["a", "a", "a"])
    for comparison in one.metrics.values():
        for estimate in (comparison.scorer, comparison.majority, comparison.difference):
            assert estimate.n == 3 and estimate.clusters == 1 and estimate.low is None and estimate.high is None
    with pytest.raises(TrainerError, match="no rows"):
        judged([], [], training=[1])
    with pytest.raises(TrainerError, match="Row 1 has 2.5, .* levels 1, 2, 3"):
        judged([1, 2], [1, 2.5])
    with pytest.raises(TrainerError, match="differ in length"):
        judged([1, 2], [1, 2], groups=["a"])


def test_both_sides_constant_leave_kappa_open() -> None:
    report = judged([2, 2, 2], [2, 2, 2])
    assert report.metrics["kappa"].scorer.value is None and report.metrics["exact"].scorer.value == 1


ROWS = st.lists(st.tuples(*[st.sampled_from(THREE_STEPS.values)] * 2, st.sampled_from("abcd")), min_size=2, max_size=25)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_figures_are_in_range_and_intervals_around(rows: list[tuple[float, float, str]]) -> None:
    truth, level, groups = zip(*rows, strict=True)
    report = judged(truth, level, groups=groups, levels=THREE_STEPS, resamples=50)
    for name, comparison in report.metrics.items():
        found = comparison.scorer
        if found.value is None:
            continue
        bottom = -1.0 if name in ("kappa", "spearman") else 0.0
        assert bottom - 1e-9 <= found.value <= 1 + 1e-9 and found.n == len(rows) and found.clusters == len(set(groups))
        assert (found.low is None) == (found.high is None)
        if found.low is not None and found.high is not None:
            assert bottom - 1e-9 <= found.low <= found.high <= 1 + 1e-9
    perfect = judged(truth, truth, groups=groups, levels=THREE_STEPS, resamples=50).metrics
    assert perfect["exact"].scorer.value == 1 and perfect["mae"].scorer.value == 0
    if len(set(truth)) > 1:
        assert perfect["kappa"].scorer.value == pytest.approx(1) == perfect["spearman"].scorer.value


def test_repeating_rows_inside_their_groups_narrows_nothing() -> None:
    truth, level = [1, 2, 3, 3, 2, 1, 2, 3], [1, 2, 3, 1, 2, 2, 1, 3]
    groups = [str(row) for row in range(8)]
    once = judged(truth, level, groups=groups, resamples=400).metrics
    five = judged(truth * 5, level * 5, groups=groups * 5, resamples=400).metrics
    free = judged(truth * 5, level * 5, resamples=400).metrics

    def width(found: dict[str, object]) -> float:
        estimate = found["exact"].scorer  # type: ignore[attr-defined]
        return float(estimate.high - estimate.low)

    assert width(dict(five)) == pytest.approx(width(dict(once)))
    assert width(dict(free)) < 0.6 * width(dict(once))


def test_a_draw_is_the_figure_of_its_rows() -> None:
    """Every bootstrap figure equals the plain figure of the rows that were drawn, copies included."""
    rng = np.random.default_rng(1)
    truth, said, groups = rng.integers(3, size=30), rng.integers(3, size=30), rng.integers(6, size=30).astype(str)
    draws = Resamples(groups.tolist(), resamples=20)
    cells = np.zeros((30, 3, 3))
    cells[np.arange(30), truth, said] = 1
    tables, scale = draws.totals(cells), np.asarray(POINTS.values)
    rhos = spearman(said.astype(float), truth.astype(float), draws.row_weights())
    for at, weights in enumerate(draws.row_weights().astype(int)):
        rows = np.repeat(np.arange(30), weights)
        table = np.zeros((3, 3))
        np.add.at(table, (truth[rows], said[rows]), 1)
        np.testing.assert_array_equal(table, tables[at])
        np.testing.assert_allclose(kappa(tables, scale)[at], kappa(table, scale))
        np.testing.assert_allclose(weighted_f1(tables, scale)[at], weighted_f1(table, scale))
        plain = [ranks(column[rows].astype(float), np.ones((1, len(rows))))[0] for column in (said, truth)]
        np.testing.assert_allclose(rhos[at], np.corrcoef(plain[0], plain[1])[0, 1], atol=1e-9)


VALUES = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=20)


@given(pairs=VALUES)
def test_correlations_agree_with_numpy(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.asarray(column, dtype=float) for column in zip(*pairs, strict=True))
    found = float(pearson(x, y, np.ones((1, len(x))))[0])
    if x.std() == 0 or y.std() == 0:
        assert math.isnan(found)
        return
    assert found == pytest.approx(float(np.corrcoef(x, y)[0, 1]), abs=1e-9)
    monotone = float(spearman(np.exp(x), y**3, np.ones((1, len(x))))[0])
    assert monotone == pytest.approx(float(spearman(x, y, np.ones((1, len(x))))[0]), abs=1e-9)


def test_scores_are_correlated_with_ratings_by_teacher() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=120)
    scores, ratings = truth + 0.5 * rng.normal(size=120), truth + 0.5 * rng.normal(size=120)
    teachers = [str(row // 3) for row in range(120)]
    found = correlate_with_ratings(scores.tolist(), ratings.tolist(), teachers)
    for estimate in (found.pearson, found.spearman):
        assert estimate.n == 120 and estimate.clusters == 40
        assert estimate.value is not None and estimate.low is not None and estimate.high is not None
        assert 0.6 < estimate.low < estimate.value < estimate.high < 0.95
    assert correlate_with_ratings([1, 1, 1], [1, 2, 3]).pearson.value is None
    assert correlate_with_ratings([1, 2], [1, 2]).pearson.clusters == 2
    with pytest.raises(TrainerError, match="2 scores, 3 ratings"):
        correlate_with_ratings([1, 2], [1, 2, 3])
    with pytest.raises(TrainerError, match="Row 1 has score nan"):
        correlate_with_ratings([1, math.nan], [1, 2])
