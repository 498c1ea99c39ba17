"""The sizing simulation: what goes in comes out, no component does more than it can, and extremes meet the formula."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from agents.errors import InputError
from benchmarks.sizing import first_limit, from_summary, main
from benchmarks.sizing_events import Measured, simulate
from benchmarks.sizing_model import ADVICE, Plan, Rates, capacities, smallest

RATES = Rates(
    tokens_per_second=1000.0,
    slots=8,
    turns=4,
    tokens_per_turn=40.0,
    classroom_seconds=1e-4,
    host_seconds=1e-4,
    driver_seconds=1e-5,
    calls_per_second=20_000.0,
    seconds_per_part=0.01,
    mb_per_second=100.0,
    kb_per_dialogue=10.0,
)
PLAN = Plan(gpus=4, in_flight_per_gpu=24, part_dialogues=16, waves=5)


def rate(rates: Rates, plan: Plan) -> float:
    return simulate(rates, plan).dialogues_per_second


def the_law(measured: Measured, rates: Rates, plan: Plan) -> None:
    """Every dialogue is stored once, and nothing did more than it can."""
    assert measured.stored == plan.dialogues
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in measured.utilisation.values())
    assert 1.0 <= measured.requests_per_call <= plan.batch
    assert measured.limit in ADVICE
    if not plan.spread:  # with random lengths the drawn tokens are a little more or fewer than the mean's
        for name, capacity in capacities(rates, plan).items():
            if capacity is not None:
                assert plan.dialogues / measured.seconds <= capacity * (1 + 1e-9), name


@settings(max_examples=40, deadline=None)
@given(
    gpus=some.integers(1, 5),
    in_flight=some.integers(1, 20),
    per_classroom=some.integers(1, 4),
    batch=some.integers(1, 8),
    part=some.integers(1, 40),
    spread=some.sampled_from([0.0, 0.8]),
    turns=some.integers(1, 5),
    costs=some.tuples(*[some.sampled_from([0.0, 1e-4, 1e-2]) for _ in range(4)]),
)
def test_the_laws_hold_for_any_run(
    gpus: int,
    in_flight: int,
    per_classroom: int,
    batch: int,
    part: int,
    spread: float,
    turns: int,
    costs: tuple[float, float, float, float],
) -> None:
    classroom, host, driver, store = costs
    rates = replace(RATES, turns=turns, classroom_seconds=classroom, host_seconds=host)
    rates = replace(rates, driver_seconds=driver, seconds_per_part=store)
    plan = Plan(
        gpus=gpus,
        in_flight_per_gpu=in_flight,
        gpus_per_classroom=per_classroom,
        batch=batch,
        part_dialogues=part,
        spread=spread,
        waves=3,
    )
    the_law(simulate(rates, plan), rates, plan)


def test_a_run_is_the_same_again_and_another_seed_is_another_run() -> None:
    assert simulate(RATES, PLAN) == simulate(RATES, PLAN)
    assert simulate(RATES, PLAN) != simulate(RATES, replace(PLAN, seed=1))


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_where_gpus_are_the_limit_the_formula_holds_and_twice_the_gpus_do_twice_as_much(spread: float) -> None:
    plan = replace(PLAN, spread=spread, waves=12)
    measured = simulate(RATES, plan)
    assert measured.limit == "gpus" == smallest(capacities(RATES, plan))
    assert measured.dialogues_per_second == pytest.approx(capacities(RATES, plan)["gpus"], rel=0.05)
    assert rate(RATES, replace(plan, gpus=8)) == pytest.approx(2 * measured.dialogues_per_second, rel=0.05)


@pytest.mark.parametrize(
    ("limit", "rates", "plan"),
    [
        ("driver", replace(RATES, driver_seconds=0.02), PLAN),
        ("store", replace(RATES, seconds_per_part=2.0), PLAN),
        ("store", replace(RATES, mb_per_second=0.05), PLAN),
        ("classrooms", replace(RATES, classroom_seconds=0.03), PLAN),
        ("hosts", replace(RATES, host_seconds=0.12), PLAN),
        ("router", replace(RATES, calls_per_second=20.0), replace(PLAN, batch=1)),
    ],
)
def test_another_limit_is_named_and_its_formula_holds_whatever_the_gpus(limit: str, rates: Rates, plan: Plan) -> None:
    plan = replace(plan, waves=8)
    measured, formula = simulate(rates, plan), capacities(rates, plan)
    assert measured.limit == limit == smallest(formula)
    assert measured.dialogues_per_second == pytest.approx(formula[limit], rel=0.05)
    assert measured.utilisation["gpus"] < 0.9
    if limit in ("driver", "store"):  # there is one of it, however many GPUs there are
        assert rate(rates, replace(plan, gpus=8)) == pytest.approx(measured.dialogues_per_second, rel=0.05)


def test_too_few_dialogues_in_flight_are_named_and_follow_the_formula() -> None:
    plan = replace(PLAN, in_flight_per_gpu=2, waves=40, spread=0.0)
    measured, formula = simulate(RATES, plan), capacities(RATES, plan)
    assert measured.limit == "places" == smallest(formula)
    assert measured.dialogues_per_second == pytest.approx(formula["places"], rel=0.05)


def test_calls_hold_more_when_the_router_is_busy() -> None:
    slow = replace(RATES, calls_per_second=50.0)
    assert simulate(slow, PLAN).requests_per_call > 1.5 * simulate(RATES, PLAN).requests_per_call


def test_bad_rates_and_plans_are_named() -> None:
    with pytest.raises(InputError, match="tokens_per_second: 0"):
        replace(RATES, tokens_per_second=0)
    with pytest.raises(InputError, match="driver_seconds: -1"):
        replace(RATES, driver_seconds=-1)
    with pytest.raises(InputError, match="gpus: 0"):
        replace(PLAN, gpus=0)


# ---- the command


BY_HAND = {
    "--slots": "8",
    "--calls-per-second": "20000",
    "--seconds-per-part": "0.01",
    "--mb-per-second": "100",
    "--kb-per-dialogue": "10",
}


def command(*arguments: str, by_hand: dict[str, str] = BY_HAND) -> int:
    return main([*arguments, *(part for pair in by_hand.items() for part in pair), "--gpus", "1", "2"])


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Path, Path]:
    """A run's summary and the orchestration's figures."""
    summary, orchestration = tmp_path / "summary.json", tmp_path / "orchestration.json"
    phase = {"n_dialogues": 11, "n_failed": 1, "turns": 40, "completion_tokens": 1600, "prompt_tokens": 9000}
    summary.write_text(json.dumps({"phases": {"run": phase}, "seconds": {"run": 2.0}}))
    seconds = {"driver": 1e-5, "classroom": 1e-4, "host": 1e-4}
    orchestration.write_text(json.dumps({"seconds_per_turn": seconds, "bytes_per_dialogue": 4096}))
    return summary, orchestration


def test_the_command_reads_measured_files_and_writes_every_figure(
    measured: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, orchestration = measured
    out = tmp_path / "sizes" / "sizing.json"
    assert command("--from", str(summary), "--orchestration", str(orchestration), "--json", str(out)) == 0
    result: dict[str, Any] = json.loads(out.read_text())
    assert result["rates"]["tokens_per_second"] == 800.0 and result["rates"]["turns"] == 4
    assert result["rates"]["tokens_per_turn"] == 40.0 and result["rates"]["driver_seconds"] == 1e-5
    assert [one["gpus"] for one in result["rows"]] == [1, 2]
    assert result["rows"][1]["orchestration_gib"] == round(2 * 16 * 4096 / 2**30, 3)
    said = capsys.readouterr().out
    assert f"{result['rows'][0]['dialogues_per_hour']:,}" in said and result["first_limit"] in said


def test_a_rate_that_nobody_measured_is_asked_for_and_never_made_up(
    measured: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, _ = measured
    assert command("--from", str(summary)) == 2
    said = capsys.readouterr().err
    assert "--classroom-seconds" in said and "--driver-seconds" in said and "--turns" not in said
    assert command("--from", str(tmp_path / "none.json")) == 2
    with pytest.raises(InputError, match="no finished dialogues"):
        from_summary({"phases": {"run": {"n_dialogues": 2, "n_failed": 2, "turns": 1, "completion_tokens": 1}}})
    assert "tokens_per_second" not in from_summary(
        {"phases": {"run": {"n_dialogues": 2, "turns": 4, "completion_tokens": 8}}}
    )


def test_the_first_limit_is_the_smallest_size_where_something_beside_the_gpus_limits() -> None:
    rows = [{"gpus": 1, "limit": "gpus", "advice": ""}, {"gpus": 8, "limit": "store", "advice": "larger parts"}]
    assert first_limit(rows) == "At 8 GPUs the limit is store: larger parts."
    assert "1 GPUs the GPUs are the limit" in first_limit(rows[:1])
