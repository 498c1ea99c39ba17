"""The planner: its fast path is the very test, its answers agree with each other, and wrong input is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import nct
from scipy.stats import t as student

from sim.stats.paired import paired_difference
from sim.stats.power import Variance, estimate_variance, item_means, items_needed, power, smallest_effect

PILOT = Variance(interaction_sd=0.2, residual_sd=0.5, n=60, items=20)


def test_the_fast_path_gives_the_p_of_the_default_test() -> None:
    effect, simulations = 0.25, 200
    drawn = item_means(12, per_item=3, variance=PILOT, simulations=simulations, seed=4)
    means = np.concatenate(list(drawn)) + effect
    # Three pairs with the item's mean on average, as the default test sees them.
    found = [
        paired_difference([mean + by for mean in row for by in (-0.3, 0.1, 0.2)], [str(at // 3) for at in range(36)]).p
        for row in means
    ]
    share = sum(p is not None and p < 0.05 for p in found) / simulations
    fast = power(effect, items=12, per_item=3, variance=PILOT, simulations=simulations, seed=4)
    assert fast == share and 0.1 < fast < 0.9


def test_power_is_near_that_of_the_t_test_and_below_it() -> None:
    for items in (10, 20, 40):
        effect = 0.2
        known = nct.sf(student.ppf(0.975, items - 1), items - 1, effect / PILOT.item_sd(3) * math.sqrt(items))
        found = power(effect, items=items, per_item=3, variance=PILOT)
        assert known - 0.09 < found < known + 0.02


def test_without_an_effect_power_is_the_false_positive_rate_and_it_rises_with_the_effect() -> None:
    found = [power(effect, items=20, per_item=3, variance=PILOT) for effect in (0.0, 0.1, 0.2, 0.3, 0.4)]
    assert 0.03 < found[0] < 0.06 and found == sorted(found) and found[-1] > 0.95
    assert power(-0.2, items=20, per_item=3, variance=PILOT) == pytest.approx(found[2], abs=0.03)


def test_the_smallest_effect_has_the_power_asked_for() -> None:
    effect = smallest_effect(items=20, per_item=3, variance=PILOT, power=0.8)
    assert power(effect, items=20, per_item=3, variance=PILOT) == pytest.approx(0.8, abs=0.005)
    assert smallest_effect(items=20, per_item=3, variance=PILOT, power=0.9) > effect
    assert smallest_effect(items=20, per_item=3, variance=PILOT, power=0.8, alpha=0.01) > effect
    assert smallest_effect(items=60, per_item=3, variance=PILOT) < effect
    assert smallest_effect(items=20, per_item=9, variance=PILOT) < effect
    doubled = Variance(0.4, 1.0, 60, 20)
    assert smallest_effect(items=20, per_item=3, variance=doubled) == pytest.approx(2 * effect, rel=1e-3)


def test_the_items_needed_have_the_power_and_one_less_has_not() -> None:
    for effect in (0.5, 0.2, -0.1):
        items = items_needed(effect, per_item=3, variance=PILOT)
        assert items is not None and power(effect, items=items, per_item=3, variance=PILOT) >= 0.8
        assert power(effect, items=items - 1, per_item=3, variance=PILOT) < 0.8
    assert items_needed(50.0, per_item=3, variance=PILOT) == pytest.approx(3, abs=1)
    assert items_needed(0.001, per_item=3, variance=PILOT) is None
    assert items_needed(0.1, per_item=3, variance=PILOT, most=50) is None


def test_the_same_seed_gives_the_same_answer() -> None:
    first, again, other = (
        smallest_effect(items=15, per_item=2, variance=PILOT, simulations=500, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again and first != other and first == pytest.approx(other, rel=0.1)


# ---- the pilot


def test_the_variances_of_a_large_pilot_are_found_again() -> None:
    generator, values, items = np.random.default_rng(0), [], []
    for item in range(3000):
        own, size = generator.normal(0.1, 0.3), int(generator.integers(1, 5))
        values += (own + generator.normal(0, 0.6, size)).tolist()
        items += [f"item {item}"] * size
    found = estimate_variance(values, items)
    assert found.interaction_sd == pytest.approx(0.3, rel=0.1) and found.residual_sd == pytest.approx(0.6, rel=0.03)
    assert (found.n, found.items, found.note) == (len(values), 3000, "")


def test_a_balanced_pilot_by_hand() -> None:
    found = estimate_variance([1.0, 3.0, 5.0, 7.0, 3.0, 5.0], ["a", "a", "b", "b", "c", "c"])
    # Within: 2 + 2 + 2 over 3; between: 2 (4 + 4 + 0) over 2.
    assert found.residual_sd == pytest.approx(math.sqrt(2.0))
    assert found.interaction_sd == pytest.approx(math.sqrt((8.0 - 2.0) / 2.0))
    assert found.item_sd(4) == pytest.approx(math.sqrt(3.0 + 0.5))


def test_a_pilot_with_one_pair_an_item_promises_nothing_of_more_pairs() -> None:
    found = estimate_variance([0.0, 1.0, 2.0], ["a", "b", "c"])
    assert found.residual_sd == 0.0 and found.interaction_sd == pytest.approx(1.0) and "one pair an item" in found.note
    assert found.item_sd(1) == found.item_sd(9)


def test_items_that_vary_less_than_chance_have_no_interaction() -> None:
    found = estimate_variance([1.0, -1.0, 1.0, -1.0], ["a", "a", "b", "b"])
    assert found.interaction_sd == 0.0 and found.residual_sd == pytest.approx(math.sqrt(4 / 3)) and found.note


def test_what_cannot_be_planned_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        estimate_variance([0.1, 0.2], ["a", "a"])
    with pytest.raises(ValueError, match="no variation"):
        estimate_variance([0.1] * 10, [str(at % 3) for at in range(10)])
    with pytest.raises(ValueError, match="nothing to plan from"):
        power(0.1, items=10, per_item=3, variance=Variance(0.0, 0.0, 10, 3))
    for wrong in ({"items": 1}, {"per_item": 0}, {"simulations": 0}):
        with pytest.raises(ValueError, match="at least 2 items"):
            power(0.1, **({"items": 10, "per_item": 3, "simulations": 10} | wrong), variance=PILOT)
    for target, alpha in ((0.0, 0.05), (1.0, 0.05), (0.04, 0.05), (0.8, 0.0)):
        with pytest.raises(ValueError, match="power is"):
            smallest_effect(items=10, per_item=3, variance=PILOT, power=target, alpha=alpha)
    for effect in (0.0, math.nan):
        with pytest.raises(ValueError, match="not 0"):
            items_needed(effect, per_item=3, variance=PILOT)
