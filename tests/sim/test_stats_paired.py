"""The default test: exact cases, what p and interval owe each other, and what cannot be tested."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from sim.stats.clustered import Clustered, item_sums
from sim.stats.equivalence import equivalent, no_worse
from sim.stats.paired import Estimate, mean_interval, paired_difference, ratio_interval

SYMMETRIC = [-1.0, -0.2, 0.1, 0.5, 0.9, 1.2, 1.6, 2.4, 2.7]
"""Nine values around 0.9 without skewness."""
ITEMS = [f"item {at}" for at in range(len(SYMMETRIC))]

differences = st.lists(
    st.tuples(st.floats(-1.0, 1.0).map(lambda x: round(x, 3)), st.sampled_from("abcdefghijkl")), min_size=4, max_size=40
)


def columns(pairs: list[tuple[float, str]]) -> tuple[list[float], list[str]]:
    return [value for value, _ in pairs], [item for _, item in pairs]


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None and found.high is not None
    return found.low, found.high


# ---- exact cases


def test_one_pair_an_item_without_skewness_is_the_t_test() -> None:
    centred = [value - 0.9 for value in SYMMETRIC]
    values = [value + 0.3 for value in [*centred, *(-value for value in centred)]]
    items = [f"item {at}" for at in range(len(values))]
    found, known = paired_difference(values, items), ttest_1samp(values, 0.0)
    assert found.p == pytest.approx(known.pvalue) and found.mean == pytest.approx(0.3)
    interval = known.confidence_interval(0.95)
    assert ends(found) == pytest.approx((interval.low, interval.high))
    assert found.effect == pytest.approx(0.3 / np.std(values, ddof=1)) and found.n == found.clusters == 18


def test_items_count_not_dialogues() -> None:
    one = paired_difference(SYMMETRIC, ITEMS)
    many = paired_difference(
        [value for value in SYMMETRIC for _ in range(5)], [item for item in ITEMS for _ in range(5)]
    )
    assert many.p == pytest.approx(one.p) and ends(many) == pytest.approx(ends(one)) and many.effect == one.effect
    assert (many.n, many.clusters) == (45, 9)


def test_skewed_values_have_the_skewed_interval_worked_out_by_hand() -> None:
    values = [0.0, 0.1, 0.0, 0.2, 0.1, 0.3, 0.1, 2.0]
    low, high = ends(mean_interval(values, [str(at) for at in range(8)]))
    mean, se = np.mean(values), np.std(values, ddof=1) / math.sqrt(8)
    deviation = np.array(values) - mean
    skew = (deviation**3).sum() / (deviation**2).sum() ** 1.5
    width = student.ppf(0.975, 7)
    t = [(np.cbrt(1 + skew * (score - skew / 6)) - 1) / (skew / 3) for score in (width, -width)]
    assert low == pytest.approx(mean - width * se) and t[0] < width
    assert high == pytest.approx(mean - t[1] * se) and t[1] < -width


def test_unequal_items_have_the_variance_and_freedom_of_the_matrix_form() -> None:
    sizes = [1, 2, 3, 7, 4]
    values = [float(at % 3) + 0.2 * at for at in range(sum(sizes))]
    items = [f"item {g}" for g, size in enumerate(sizes) for _ in range(size)]
    member = np.array(items)[:, None] == np.unique(items)[None, :]
    n = len(values)
    # Bell and McCaffrey in matrices: residual maker M, adjustment (I - H_gg)^(-1/2), and G = the clusters' columns.
    maker = np.eye(n) - np.ones((n, n)) / n
    rows = []
    for column in member.T:
        block = np.eye(column.sum()) - np.ones((column.sum(), column.sum())) / n
        values_of, vectors = np.linalg.eigh(block)
        rows.append(np.ones(column.sum()) @ (vectors / np.sqrt(values_of)) @ vectors.T @ maker[column] / n)
    pulls = np.stack(rows)
    found = Clustered.of(*item_sums(values, items))
    assert float(found.se) ** 2 == pytest.approx(float(((pulls @ np.array(values)) ** 2).sum()))
    spread = pulls @ pulls.T
    assert float(found.df) == pytest.approx(float(np.trace(spread) ** 2 / (spread**2).sum()))


# ---- what p and interval owe each other


@settings(max_examples=60, deadline=None)
@given(differences, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_p_is_small_exactly_where_the_interval_leaves_out_0(pairs: list[tuple[float, str]], confidence: float) -> None:
    found = paired_difference(*columns(pairs), confidence=confidence)
    assume(found.p is not None and abs(found.p - (1 - confidence)) > 1e-9)
    assert found.p is not None and found.mean is not None and found.effect is not None
    low, high = ends(found)
    assert low < found.mean < high and 0.0 <= found.p <= 1.0
    assert (found.p < 1 - confidence) == (not low <= 0.0 <= high)


@settings(max_examples=40, deadline=None)
@given(differences, st.permutations(range(40)), st.floats(0.01, 100.0))
def test_order_names_and_unit_do_not_matter(pairs: list[tuple[float, str]], order: list[int], unit: float) -> None:
    found = paired_difference(*columns(pairs))
    assume(found.p is not None)
    moved = [pairs[at] for at in order if at < len(pairs)]
    values, items = columns(moved)
    again = paired_difference([-unit * value for value in values], [f"the {item}" for item in items])
    assert again.p == pytest.approx(found.p, rel=1e-6) and again.clusters == found.clusters
    low, high = ends(found)
    assert ends(again) == pytest.approx((-unit * high, -unit * low), rel=1e-6, abs=1e-9 * unit)
    assert again.effect is not None and again.effect == pytest.approx(-(found.effect or 0.0), rel=1e-6, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(differences)
def test_a_wider_confidence_gives_a_wider_interval(pairs: list[tuple[float, str]]) -> None:
    narrow, wide = (paired_difference(*columns(pairs), confidence=level) for level in (0.8, 0.95))
    assume(narrow.p is not None)
    assert ends(wide)[0] < ends(narrow)[0] < ends(narrow)[1] < ends(wide)[1]


def test_a_row_of_many_gives_what_it_gives_alone() -> None:
    generator = np.random.default_rng(0)
    sums, sizes = generator.normal(0.2, 1, (50, 12)), generator.integers(0, 4, (50, 12)).astype(float)
    sums[sizes == 0] = 0.0
    together = Clustered.of(sums, sizes)
    for row in range(50):
        there = sizes[row] > 0
        alone = Clustered.of(sums[row][there], sizes[row][there])
        assert float(together.p()[row]) == pytest.approx(float(alone.p()))
        assert float(together.ends(0.9)[1][row]) == pytest.approx(float(alone.ends(0.9)[1]))


# ---- ratios


def test_a_ratio_of_sums_with_equal_denominators_is_the_mean() -> None:
    found = ratio_interval(SYMMETRIC, [1.0] * 9, ITEMS)
    known = mean_interval(SYMMETRIC, ITEMS)
    assert found.mean == pytest.approx(known.mean) and ends(found) == pytest.approx(ends(known))
    assert found.p is None and found.effect is None and known.p is None and known.effect is None


def test_the_interval_of_a_ratio_covers_what_the_percentile_bootstrap_does_not() -> None:
    """Tokens per resolved misconception on 12 items with three students each."""
    generator, covered, runs = np.random.default_rng(5), 0, 400
    items = [f"item {at // 3}" for at in range(36)]
    for _ in range(runs):
        chance = np.repeat(generator.beta(2, 6, 12), 3)
        resolved = (generator.random(36) < chance).astype(float)
        tokens = generator.lognormal(0.0, 0.4, 36)
        found = ratio_interval(tokens.tolist(), resolved.tolist(), items)
        low, high = (
            (found.low, found.high) if found.low is not None and found.high is not None else (-math.inf, math.inf)
        )
        covered += low <= math.exp(0.08) / 0.25 <= high
    assert 0.92 <= covered / runs <= 0.98


def test_a_ratio_without_denominators_has_no_value() -> None:
    found = ratio_interval([3.0, 4.0], [0.0, 0.0], ["a", "b"])
    assert found.mean is None and found.low is None and found.n == 2 and "nothing to divide by" in found.note
    with pytest.raises(ValueError, match="not below 0"):
        ratio_interval([1.0, 1.0], [1.0, -1.0], ["a", "b"])


# ---- what cannot be tested


def test_one_item_has_no_interval() -> None:
    found = paired_difference([0.1, 0.4], ["a", "a"])
    assert (found.mean, found.low, found.high, found.p, found.effect) == (0.25, None, None, None, None)
    assert found.note == "one item: no interval" and (found.n, found.clusters) == (2, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
def test_equal_differences_have_their_value_as_interval_and_no_p(value: float) -> None:
    found = paired_difference([value] * 30, [f"item {at % 7}" for at in range(30)])
    assert found.low == found.high == found.mean == pytest.approx(value)
    assert found.p is None and found.effect is None and found.note == "no variation"


def test_differences_that_cancel_on_every_item_have_no_interval() -> None:
    found = paired_difference([0.5, -0.5] * 10, [f"item {at // 2}" for at in range(20)])
    assert found.mean == 0.0 and found.low is None and found.p is None and "between items" in found.note


def test_few_items_are_told() -> None:
    assert "fewer than 8 items" in paired_difference(SYMMETRIC[:7], ITEMS[:7]).note
    assert paired_difference(SYMMETRIC[:8], ITEMS[:8]).note == ""


@pytest.mark.parametrize(
    ("values", "items", "confidence", "message"),
    [
        ([], [], 0.95, "no values"),
        ([1.0], ["a", "b"], 0.95, "1 values and 2 items"),
        ([1.0, math.nan], ["a", "b"], 0.95, "nan is no measured value"),
        ([1.0, 2.0], ["a", "b"], 95.0, "between 0 and 1"),
    ],
)
def test_wrong_input_is_refused(values: list[float], items: list[str], confidence: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(values, items, confidence=confidence)
    with pytest.raises(ValueError, match=message):
        mean_interval(values, items, confidence=confidence)


# ---- no worse, equivalent


@settings(max_examples=60, deadline=None)
@given(differences, st.floats(0.01, 1.5))
def test_no_worse_says_what_the_interval_says(pairs: list[tuple[float, str]], bound: float) -> None:
    found = paired_difference(*columns(pairs))
    assume(found.p is not None)
    low, high = ends(found)
    higher, lower = (no_worse(*columns(pairs), bound=bound, better=better) for better in ("higher", "lower"))
    both = equivalent(*columns(pairs), bound=bound)
    assume(min(abs(low + bound), abs(high - bound)) > 1e-9)
    assert higher.shown == (low > -bound) and lower.shown == (high < bound)
    assert both.shown == (higher.shown and lower.shown) and both.alpha == pytest.approx(0.025)
    assert higher.p is not None and lower.p is not None and both.p == max(higher.p, lower.p)


def test_no_worse_by_hand() -> None:
    values = [value - 0.9 for value in [*SYMMETRIC, *(1.8 - value for value in SYMMETRIC)]]
    items = [f"item {at}" for at in range(18)]
    found = no_worse(values, items, bound=0.5, better="higher")
    assert found.p == pytest.approx(ttest_1samp(values, -0.5, alternative="greater").pvalue)
    assert (found.n, found.items, found.bound) == (18, 18, 0.5)


def test_what_was_not_tested_is_not_shown() -> None:
    for values, items in (([0.0, 0.0], ["a", "b"]), ([0.3, 0.1], ["a", "a"])):
        found = no_worse(values, items, bound=0.5, better="higher")
        assert not found.shown and found.p is None and found.note
        assert not equivalent(values, items, bound=0.5).shown
    for bound in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="bound"):
            no_worse([0.1, 0.2], ["a", "b"], bound=bound, better="higher")


def test_ten_thousand_dialogues_take_no_time() -> None:
    """Twenty measures of 10,000 dialogues; a second is fifty times what they take."""
    import time

    values: NDArray[np.float64] = np.random.default_rng(0).normal(size=10_000)
    items = [f"item {at % 200}" for at in range(10_000)]
    started = time.process_time()
    for _ in range(20):
        paired_difference(values.tolist(), items)
    assert time.process_time() - started < 2.0
