"""Intervals of rates: exact cases, what never varies, what they owe the test beside them, and what they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from benchmarks.simulated_rates import METHODS, default, draw_rates
from sim.experiment.metrics import METRICS as MEASURES
from sim.stats.equivalence import equivalent, no_worse
from sim.stats.paired import Estimate, mean_interval, paired_difference

shares = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0]), st.sampled_from("abcdefghijkl")),
    min_size=4,
    max_size=40,
)


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None and found.high is not None
    return found.low, found.high


def unseen(items: int, confidence: float = 0.95) -> float:
    """Clopper and Pearson's upper end of none in so many."""
    return float(beta.ppf(0.5 + confidence / 2.0, 1, items))


def names(items: int, each: int) -> list[str]:
    return [f"item {at // each}" for at in range(items * each)]


# ---- what never varies


@pytest.mark.parametrize("items", [2, 4, 8, 40])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_no_event_and_nothing_but_events_say_what_so_many_items_can_show(items: int, confidence: float) -> None:
    on, bound = names(items, 3), unseen(items, confidence)
    none = mean_interval([0.0] * len(on), on, confidence=confidence, rate=True)
    every = mean_interval([1.0] * len(on), on, confidence=confidence, rate=True)
    assert ends(none) == pytest.approx((0.0, bound)) and none.mean == 0.0 and none.note == "no variation"
    assert ends(every) == pytest.approx((1.0 - bound, 1.0)) and every.mean == 1.0
    same = paired_difference([0.0] * len(on), on, confidence=confidence, rate=True)
    assert ends(same) == pytest.approx((-bound, bound)) and same.p is None and same.note == "no variation"


def test_a_constant_that_is_no_extreme_may_differ_unseen_either_way() -> None:
    low, high = ends(mean_interval([0.5] * 16, names(8, 2), rate=True))
    assert (low, high) == pytest.approx((0.5 - 0.5 * unseen(8), 0.5 + 0.5 * unseen(8)))


def test_items_that_agree_while_their_dialogues_differ_are_worth_their_dialogues() -> None:
    low, high = ends(mean_interval([0.0, 1.0] * 8, names(8, 2), rate=True))
    assert 0.2 < low < 0.3 and high == pytest.approx(1.0 - low)


def test_what_is_no_rate_keeps_an_interval_without_width() -> None:
    on = names(8, 2)
    assert ends(MEASURES["words"].interval([7.0] * 16, on, confidence=0.95)) == (7.0, 7.0)
    assert ends(MEASURES["gain"].interval([0.0] * 16, on, confidence=0.95)) == (0.0, 0.0)
    assert ends(MEASURES["gain"].difference([0.0] * 16, on, confidence=0.95)) == (0.0, 0.0)
    assert ends(MEASURES["leak_rate"].interval([0.0] * 16, on, confidence=0.95)) == pytest.approx((0.0, unseen(8)))
    low, high = ends(MEASURES["leak_rate"].difference([0.0] * 16, on, confidence=0.95))
    assert (low, high) == pytest.approx((-unseen(8), unseen(8)))


def test_one_item_has_no_interval_and_what_is_no_share_is_refused() -> None:
    assert mean_interval([0.0, 0.0], ["a", "a"], rate=True).low is None
    assert paired_difference([0.0, 0.0], ["a", "a"], rate=True).low is None
    with pytest.raises(ValueError, match="7.0 is no share"):
        mean_interval([7.0, 0.0], ["a", "b"], rate=True)
    with pytest.raises(ValueError, match="no share"):
        paired_difference([-1.5, 0.0], ["a", "b"], rate=True)


# ---- by hand


def test_one_event_is_clopper_and_pearsons_of_the_draws_it_is_worth() -> None:
    """One of 64 dialogues on 8 items: independent as far as it says, and one event says ten elevenths of it."""
    values = [1.0] + [0.0] * 63
    rate, n, items = 1 / 64, 64, 8
    variance = rate * (1 - rate) / (n - 1)
    unknown = 1 / (1 + 10 * rate * rate * (1 - rate) / variance)
    draws = rate * (1 - rate) / ((1 - unknown) * variance + unknown * rate * (1 - rate) / items)
    low, high = ends(mean_interval(values, names(8, 8), rate=True))
    assert high == pytest.approx(beta.ppf(0.975, rate * draws + 1, draws - rate * draws), rel=1e-3)
    assert low == pytest.approx(beta.ppf(0.025, rate * draws, draws - rate * draws + 1), rel=1e-3)
    assert 0.083 < high < unseen(8)


def test_events_on_one_item_tell_less_than_events_apart() -> None:
    together, apart = [1.0] * 4 + [0.0] * 60, ([1.0] + [0.0] * 15) * 4
    first, second = (ends(mean_interval(values, names(16, 4), rate=True)) for values in (together, apart))
    assert first[1] - first[0] > 1.5 * (second[1] - second[0])


def test_a_share_that_is_no_count_has_the_interval_of_its_spread() -> None:
    generator = np.random.default_rng(0)
    values = (0.7 + 0.02 * generator.standard_normal(32)).tolist()
    low, high = ends(mean_interval(values, names(8, 4), rate=True))
    plain_low, plain_high = ends(mean_interval(values, names(8, 4)))
    assert high - low == pytest.approx(plain_high - plain_low, rel=0.1) and low <= plain_low and high >= plain_high


# ---- what holds of all


@settings(max_examples=60, deadline=None)
@given(shares, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_an_interval_holds_its_rate_stays_possible_and_turns_with_it(
    rows: list[tuple[float, str]], confidence: float
) -> None:
    values, on = [value for value, _ in rows], [item for _, item in rows]
    found = mean_interval(values, on, confidence=confidence, rate=True)
    assume(found.clusters > 1)
    low, high = ends(found)
    assert found.mean is not None and 0.0 <= low <= found.mean <= high <= 1.0 and low < high
    wider = ends(mean_interval(values, on, confidence=0.995, rate=True))
    assert wider[0] <= low + 1e-9 and wider[1] >= high - 1e-9
    turned = ends(mean_interval([1.0 - value for value in values], on, confidence=confidence, rate=True))
    assert turned == pytest.approx((1.0 - high, 1.0 - low), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(shares, st.lists(st.sampled_from([1.0, 1.0, -1.0]), min_size=40, max_size=40))
def test_a_difference_of_rates_keeps_its_test_and_turns_around(
    rows: list[tuple[float, str]], signs: list[float]
) -> None:
    values, on = [value * sign for (value, _), sign in zip(rows, signs, strict=False)], [item for _, item in rows]
    found, plain = paired_difference(values, on, rate=True), paired_difference(values, on)
    assume(found.clusters > 1)
    low, high = ends(found)
    assert (found.p, found.mean, found.effect) == (plain.p, plain.mean, plain.effect)
    assert found.mean is not None and -1.0 <= low <= found.mean + 1e-12 and found.mean - 1e-12 <= high <= 1.0
    assert low < high
    if found.p is not None and abs(found.p - 0.05) > 1e-9:
        assert (found.p < 0.05) == (not low <= 0.0 <= high)
    around = ends(paired_difference([-value for value in values], on, rate=True))
    assert around == pytest.approx((-high, -low), abs=1e-9)


def test_no_worse_of_a_rate_says_what_its_interval_says() -> None:
    values, on = [1.0] + [0.0] * 63, names(8, 8)
    _, high = ends(paired_difference(values, on, rate=True))
    for bound in (0.06, 0.9 * high, 1.1 * high, 0.9):
        found = no_worse(values, on, bound=bound, better="lower", rate=True)
        assert found.shown == (high < bound) and found.p is not None and (found.p < 0.025) == found.shown
    still = [0.0] * 80
    assert no_worse(still, names(40, 2), bound=0.1, better="lower", rate=True).shown
    assert not no_worse(still, names(40, 2), bound=0.08, better="lower", rate=True).shown
    assert equivalent(still, names(40, 2), bound=0.1, rate=True).shown


# ---- what they cover: the short form of benchmarks/statistics.py


@pytest.mark.parametrize(("rate", "items"), [(0.02, 8), (0.1, 16)])
def test_rates_are_covered_at_a_width_near_that_of_clopper_and_pearson(rate: float, items: int) -> None:
    events = draw_rates(rate, 0.3, items, 8, 1000, 0)
    found, reference = default(events, 8), METHODS["reference"](events, 8)
    assert float(((found[0] <= rate) & (rate <= found[1])).mean()) >= 0.92
    assert np.median(found[1] - found[0]) <= 1.25 * np.median(reference[1] - reference[0])
    spread = METHODS["spread_alone"](events, 8)
    assert rate == 0.1 or float(((spread[0] <= rate) & (rate <= spread[1])).mean()) < 0.6


def test_the_fast_path_of_the_benchmark_is_the_public_interval() -> None:
    events = draw_rates(0.1, 0.3, 8, 2, 5, 0)
    low, high = default(events, 2)
    for row, first, last in zip(events, low, high, strict=True):
        values = [float(at < count) for count in row for at in range(2)]
        assert ends(mean_interval(values, names(8, 2), rate=True)) == pytest.approx((first, last))
