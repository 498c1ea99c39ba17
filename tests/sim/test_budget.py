"""Budget and tutor breaker: they say what is reached, once and for good, and refuse a cap on an unknown cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import config, spec
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InputError
from agents.records import Dialogue, Failure, Usage
from sim.budget import Budget, TutorBreaker, check_budget, unpriced
from sim.config import Config, PoolConfig
from sim.config_experiment import BudgetConfig

Spent = tuple[int, int, float]
SPENT = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.floats(0.0, 2.0)), max_size=30)


def ended(number: int, spent: Spent = (0, 0, 0.0), *, tutor: str = "socratic", failed: bool = False) -> Dialogue:
    failure = Failure("EngineUnavailable", "turn 1", "no answer after 5 attempts") if failed else None
    return Dialogue(spec=replace(spec(number), tutor=tutor), usage=Usage(*spent), failure=failure)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(SPENT, st.integers(0, 20), st.integers(0, 5000), st.floats(0.0, 10.0))
def test_a_budget_is_exhausted_exactly_when_a_cap_is_met(
    spent: list[Spent], dialogues: int, tokens: int, cost: float
) -> None:
    budget = Budget(BudgetConfig(dialogues=dialogues, tokens=tokens, cost=cost), Clock())
    for number, one in enumerate(spent):
        budget.add(ended(number, one))
    used = (len(spent), sum(one[0] + one[1] for one in spent), budget.cost)
    assert budget.cost == pytest.approx(sum(one[2] for one in spent))
    reached = any(cap and value >= cap for value, cap in zip(used, (dialogues, tokens, cost), strict=True))
    assert bool(budget.exhausted()) == reached


@given(SPENT, st.integers(1, 20), st.integers(1, 5000))
def test_what_was_exhausted_stays_so_and_says_the_same(spent: list[Spent], dialogues: int, tokens: int) -> None:
    budget, said = Budget(BudgetConfig(dialogues=dialogues, tokens=tokens), Clock()), ""
    for number, one in enumerate(spent):
        budget.add(ended(number, one))
        assert not said or budget.exhausted() == said
        said = budget.exhausted()


@given(st.permutations(list(range(12))))
def test_the_order_of_dialogues_decides_nothing(order: list[int]) -> None:
    budget = Budget(BudgetConfig(tokens=10_000), Clock())
    for number in order:
        budget.add(ended(number, (100 * number, number, 0.0)))
    assert (budget.dialogues, budget.tokens) == (12, 101 * sum(range(12)))


def test_the_sentence_holds_the_cap_and_what_was_used() -> None:
    budget = Budget(BudgetConfig(tokens=200_000), Clock())
    budget.add(ended(0, (200_000, 1344, 0.0)))
    assert budget.exhausted() == "the cap of 200000 tokens is reached (201344 used)"


def test_minutes_count_from_this_start() -> None:
    clock = Clock()
    budget = Budget(BudgetConfig(minutes=2.0), clock)
    budget.add(replace(ended(0), seconds=10_000.0))
    clock.now += 119.0
    assert budget.exhausted() == ""
    clock.now += 1.0
    assert budget.exhausted() == "the cap of 2 minutes is reached (2.0 in this start)"


def test_without_caps_nothing_is_ever_exhausted() -> None:
    clock = Clock()
    budget = Budget(BudgetConfig(), clock)
    for number in range(50):
        budget.add(ended(number, (10**9, 10**9, 10.0**6)))
    clock.now += 1e9
    assert budget.exhausted() == ""


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=40), st.integers(1, 5))
def test_a_tutor_is_given_up_exactly_after_so_many_failures_in_a_row(
    course: list[tuple[str, bool]], limit: int
) -> None:
    breaker = TutorBreaker(limit)
    for number, (tutor, failed) in enumerate(course):
        breaker.add(ended(number, tutor=tutor, failed=failed))
    broken = {
        tutor
        for tutor in "ab"
        if "x" * limit in "".join("x" if failed else "." for name, failed in course if name == tutor)
    }
    assert set(breaker.given_up()) == broken


def test_the_reason_names_the_error() -> None:
    breaker = TutorBreaker(2)
    breaker.add(ended(0, failed=True))
    assert breaker.given_up() == {}
    breaker.add(ended(1, failed=True))
    reason = breaker.given_up()["socratic"]
    assert "2 dialogues in a row failed" in reason and "EngineUnavailable at turn 1" in reason
    breaker.add(ended(2))
    assert breaker.given_up() == {"socratic": reason}


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="0 failures"):
        TutorBreaker(0)


def endpoint(url: str, price: tuple[float, float] = (0.0, 0.0), *, cost: float = 0.0) -> Config:
    pools = {
        "class": PoolConfig(roles=("student",), engine="scripted"),
        "hosted": PoolConfig(roles=("tutor",), engine="openai", base_url=url, price_per_million=price),
    }
    return config(pools=pools, budget={"cost": cost})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:9/v1"])
def test_an_endpoint_on_this_machine_costs_nothing(url: str) -> None:
    assert unpriced(endpoint(url)) == ()


@pytest.mark.parametrize("url", ["https://tutor.example/v1", "http://10.0.0.5:8000/v1", "http://localhost.example/v1"])
def test_an_endpoint_elsewhere_without_a_price_has_an_unknown_cost(url: str) -> None:
    assert unpriced(endpoint(url)) == ("hosted",)
    assert unpriced(endpoint(url, (1.0, 2.0))) == ()
    check_budget(endpoint(url))
    check_budget(endpoint(url, (1.0, 2.0), cost=5.0))
    with pytest.raises(InputError, match=r"no price for pool hosted: set pools\.hosted\.price_per_million"):
        check_budget(endpoint(url, cost=5.0))


def test_a_cap_on_the_cost_of_free_pools_is_refused() -> None:
    with pytest.raises(InputError, match="never reached"):
        check_budget(config(budget={"cost": 1.0}))


def test_a_pool_that_nobody_uses_needs_no_price() -> None:
    given = endpoint("https://tutor.example/v1")
    controls = [{"name": "silent", "control": "silent"}]
    assert unpriced(config(pools=given.pools, tutors=controls)) == ()
