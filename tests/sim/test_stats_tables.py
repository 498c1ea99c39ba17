"""Holm's correction, ranks, and rates corrected for judge error, against cases worked by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.stats.calibration import design_effect, rogan_gladen
from sim.stats.family import holm
from sim.stats.ranks import rank_table

# ---- Holm


def test_holm_by_hand_leaves_out_what_was_not_tested() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([None, None]) == [None, None] and holm([]) == []


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(0).uniform(size=40).round(2) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(st.lists(st.none() | st.floats(0.0, 1.0), max_size=8))
def test_holm_is_its_definition_whatever_the_order(p_values: list[float | None]) -> None:
    tested = sorted(p for p in p_values if p is not None)
    worst = 0.0
    wanted: dict[float, float] = {}
    for at, p in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - at) * p))
        wanted[p] = max(worst, wanted.get(p, 0.0))
    for found, adjusted in zip(p_values, holm(p_values), strict=True):
        assert adjusted is None if found is None else adjusted == pytest.approx(wanted[found])


@pytest.mark.parametrize("bad", [-0.1, 1.5, float("nan")])
def test_holm_refuses_what_is_no_p_value(bad: float) -> None:
    with pytest.raises(ValueError, match="no p-value"):
        holm([0.1, bad])


# ---- ranks

ITEMS = {f"{item}/{persona}": item for item in "abcdefgh" for persona in ("p", "q")}


def cells(mean: float, seed: int, *, sd: float = 0.1) -> dict[str, float]:
    noise = np.random.default_rng(seed).normal(mean, sd, len(ITEMS))
    return {cell: float(value) for cell, value in zip(ITEMS, noise, strict=True)}


def test_a_clear_order_has_narrow_ranks_in_both_directions() -> None:
    values = {"low": cells(0.0, 1), "high": cells(2.0, 2), "middle": cells(1.0, 3)}
    found = rank_table(values, ITEMS, better="higher")
    assert [(tutor, r.rank, r.low, r.high) for tutor, r in found.items()] == [
        ("low", 3, 3, 3),
        ("high", 1, 1, 1),
        ("middle", 2, 2, 2),
    ]
    assert found["low"].n == 16 and found["low"].items == 8
    assert {tutor: r.rank for tutor, r in rank_table(values, ITEMS, better="lower").items()} == {
        "low": 1,
        "high": 3,
        "middle": 2,
    }


def test_ties_share_the_better_place_and_noise_widens_it() -> None:
    same = cells(1.0, 1)
    found = rank_table({"a": same, "b": dict(same), "c": cells(0.0, 2)}, ITEMS, better="higher")
    assert [(r.rank, r.low, r.high) for r in found.values()] == [(1, 1, 2), (1, 1, 2), (3, 3, 3)]
    noisy = rank_table({"a": cells(0, 4, sd=1), "b": cells(0, 5, sd=1), "c": cells(0, 6, sd=1)}, ITEMS, better="lower")
    assert any(r.low != r.high for r in noisy.values())


def test_equal_tutors_may_all_be_first() -> None:
    """Draws of items alone leave rank 1 out for one of four equal tutors in most experiments."""
    out = [
        any((rank.low or 1) > 1 for rank in rank_table(equal, ITEMS, better="higher", resamples=50).values())
        for equal in ({f"{tutor}": cells(0.0, 100 * at + tutor) for tutor in range(4)} for at in range(40))
    ]
    assert sum(out) <= 4


def test_only_common_cells_count() -> None:
    full = cells(0.0, 1)
    lucky = {cell: value + 1.0 for cell, value in full.items() if cell.startswith("a")}
    worse = {cell: value - 1.0 for cell, value in full.items()}
    found = rank_table(
        {"full": full | {"a/p": 9.0, "a/q": 9.0}, "lucky": lucky, "worse": worse}, ITEMS, better="higher"
    )
    assert found["full"].rank == 1 and found["lucky"].rank == 2 and found["lucky"].n == 2
    assert found["lucky"].items == 1 and found["lucky"].low is None and found["lucky"].high is None


def test_a_tutor_without_values_is_left_out_and_strangers_are_refused() -> None:
    found = rank_table({"a": cells(0, 1), "failed": {}}, ITEMS, better="higher")
    assert list(found) == ["a"] and found["a"].rank == 1
    assert rank_table({"failed": {}}, ITEMS, better="higher") == {}
    with pytest.raises(ValueError, match="No cell was taken by all"):
        rank_table({"a": {"a/p": 1.0}, "b": {"b/p": 1.0}}, ITEMS, better="higher")
    with pytest.raises(ValueError, match="has no item"):
        rank_table({"a": {"z/p": 1.0}}, ITEMS, better="higher")
    with pytest.raises(ValueError, match="nan is no measured value"):
        rank_table({"a": {"a/p": float("nan")}}, ITEMS, better="higher")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10.0))
def test_ranks_depend_on_the_order_only_and_repeat(seed: int, factor: float) -> None:
    values = {"a": cells(0.0, seed), "b": cells(0.05, seed + 1), "c": cells(0.1, seed + 2)}
    found = rank_table(values, ITEMS, better="higher", resamples=200)
    scaled = {tutor: {cell: factor * value + 3.0 for cell, value in each.items()} for tutor, each in values.items()}
    assert rank_table(scaled, ITEMS, better="higher", resamples=200) == found
    assert sorted(r.rank for r in found.values()) == [1, 2, 3]
    assert all(1 <= (r.low or 0) <= (r.high or 0) <= 3 for r in found.values())


# ---- judge error


def test_rogan_gladen_by_hand() -> None:
    found = rogan_gladen(30, 100, sensitivity=0.9, specificity=0.8, n_positive=200, n_negative=200)
    assert found.mean == pytest.approx((0.3 + 0.8 - 1) / (0.9 + 0.8 - 1))
    assert found.low is not None and found.high is not None and found.mean is not None
    assert found.low < found.mean < found.high and found.observed.mean == 0.3 and found.n_calibration == 400
    small = rogan_gladen(30, 100, sensitivity=0.9, specificity=0.8, n_positive=20, n_negative=20)
    assert small.low is not None and small.high is not None
    assert small.high - small.low > found.high - found.low
    clustered = rogan_gladen(
        30, 100, sensitivity=0.9, specificity=0.8, n_positive=200, n_negative=200, design_effect=4.0
    )
    assert clustered.high is not None and clustered.high > found.high and clustered.mean == found.mean


def test_a_perfect_judge_changes_nothing() -> None:
    found = rogan_gladen(30, 100, sensitivity=1.0, specificity=1.0, n_positive=100_000, n_negative=100_000)
    assert found.mean == pytest.approx(0.3) and found.note == ""
    assert found.low == pytest.approx(found.observed.low, abs=0.01)
    assert found.high == pytest.approx(found.observed.high, abs=0.01)


def test_impossible_corrections_are_cut_or_refused_and_told() -> None:
    none = rogan_gladen(6, 100, sensitivity=0.9, specificity=0.9, n_positive=50, n_negative=50)
    assert none.mean == none.low == 0.0 and none.high is not None and none.high > 0 and "cut to 0" in none.note
    everything = rogan_gladen(94, 100, sensitivity=0.9, specificity=0.9, n_positive=50, n_negative=50)
    assert everything.mean == everything.high == 1.0 and "cut to 1" in everything.note
    other = rogan_gladen(1, 100, sensitivity=0.9, specificity=0.7, n_positive=50, n_negative=50)
    assert other.mean == 0.0 and other.high is None and "do not fit the calibration" in other.note
    blind = rogan_gladen(30, 100, sensitivity=0.5, specificity=0.5, n_positive=50, n_negative=50)
    assert blind.mean is None and blind.low is None and "tells nothing" in blind.note and blind.observed.mean == 0.3
    unsure = rogan_gladen(30, 100, sensitivity=0.6, specificity=0.5, n_positive=5, n_negative=5)
    assert unsure.mean is not None and unsure.low is None and "too small" in unsure.note


def test_the_corrected_interval_covers_the_truth() -> None:
    rng, covered, runs = np.random.default_rng(0), 0, 150
    for run in range(runs):
        truth, sensitivity, specificity = 0.25, 0.85, 0.9
        positive = int(rng.binomial(200, truth * sensitivity + (1 - truth) * (1 - specificity)))
        found = rogan_gladen(
            positive,
            200,
            sensitivity=int(rng.binomial(60, sensitivity)) / 60,
            specificity=int(rng.binomial(80, specificity)) / 80,
            n_positive=60,
            n_negative=80,
            seed=run,
        )
        covered += found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert 0.92 <= covered / runs <= 0.985


def test_verdicts_that_move_together_are_worth_less() -> None:
    items = [f"i{at}" for at in range(20) for _ in range(10)]
    together = [float(at % 2) for at in range(20) for _ in range(10)]
    apart = [float(at % 2) for at in range(200)]
    assert design_effect(together, items) == pytest.approx(10.0, rel=0.1)
    assert design_effect(apart, items) == 1.0
    assert design_effect([1.0, 0.0, 1.0], ["i"] * 3) == 3.0 and design_effect([1.0, 1.0], ["i", "j"]) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"positive": 3, "n": 0},
        {"positive": 3, "n": 2},
        {"sensitivity": 1.2},
        {"specificity": -0.1},
        {"n_negative": 0},
        {"design_effect": 0.5},
        {"confidence": 95.0},
    ],
)
def test_impossible_input_is_refused(wrong: dict[str, float]) -> None:
    given: dict[str, float] = dict(
        positive=1, n=10, sensitivity=0.9, specificity=0.9, n_positive=10, n_negative=10, confidence=0.95
    )
    with pytest.raises(ValueError):
        rogan_gladen(**(given | wrong))  # type: ignore[arg-type]
