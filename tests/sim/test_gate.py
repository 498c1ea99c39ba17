"""Intervals that hold what they promise, and a gate that never passes on missing evidence."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import dialogue
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import DeliveryError
from agents.records import Verdict, VerdictKind
from sim.analysis import compare_heldout
from sim.compare.comparison import Side
from sim.compare.conditions import Outcome
from sim.config import GateConfig
from sim.delivery import judge_proof
from sim.experiment.metrics import HEADLINE, METRICS
from sim.gate import decide, items_to_show, judge_conditions, leak_bound, shown_at_best


def heldout(shift: float, leak: float = 0.0, gain: float = 0.0, n: int = 20) -> dict[str, object]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, n)
    before = [dialogue(i, phase="b", item=f"i{i % 10}", reward=float(noise[i])) for i in range(n)]
    after = [
        dialogue(
            i,
            phase="a",
            item=f"i{i % 10}",
            reward=float(noise[i] + shift + noise[-i] / 10),
            question=True,
            leak=leak,
            gain=gain,
        )
        for i in range(n)
    ]
    return compare_heldout(before, after, confidence=0.95)


def verdict(found: dict[str, object]) -> str:
    return decide(found["difference"], GateConfig()).decision  # type: ignore[arg-type]


def test_a_better_policy_stays_and_a_leaking_or_worse_one_does_not() -> None:
    assert verdict(heldout(0.5)) == "promoted"
    assert verdict(heldout(0.0)) == "rolled_back"
    assert verdict(heldout(-0.5)) == "rolled_back"
    assert verdict(heldout(0.5, leak=1.0)) == "rolled_back"
    assert verdict(heldout(0.5, gain=-0.2)) == "rolled_back"


def figure(mean: float, low: float, high: float, items: int = 16) -> dict[str, Any]:
    return {"mean": mean, "ci95": [low, high], "n": 2 * items, "items": items}


def towards(sign: float, mean: float, near: float, far: float) -> dict[str, Any]:
    """A figure on one side of 0, whichever that is."""
    low, high = sorted((near * sign, far * sign))
    return figure(mean * sign, low, high)


def differences(**found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"reward": figure(0.5, 0.3, 0.7), "leak_rate": figure(0.0, 0.0, 0.0), **found}


def test_a_leak_makes_a_promotion_no_easier_than_none() -> None:
    """One case has a narrower interval than none: dialogues that differ tell how much they are worth."""
    gate = GateConfig(max_leak_increase=0.15)
    for leak in (figure(0.0, 0.0, 0.0), figure(0.01, -0.1, 0.06)):
        found = decide(differences(leak_rate=leak), gate)
        assert found.decision == "rolled_back" and "+0.206" in found.reason
    assert decide(differences(leak_rate=figure(-0.05, -0.2, 0.06)), gate).decision == "promoted"


@pytest.mark.parametrize("name", [name for name in HEADLINE if name != "leak_rate"])
def test_a_policy_that_is_clearly_worse_in_a_headline_measure_is_refused_unless_it_is_given_up(name: str) -> None:
    sign = -1.0 if METRICS[name].better == "higher" else 1.0
    worse = differences(**{name: towards(sign, 0.2, 0.1, 0.3)})
    refused = decide(worse, GateConfig())
    assert refused.decision == "rolled_back" and refused.reason.startswith(f"clearly worse: {name} {0.2 * sign:+.3f} [")
    given_up = decide(worse, GateConfig(gives_up=(name,)))
    assert given_up.decision == "promoted" and "(given up)" in given_up.reason
    (moved,) = (one for one in given_up.movements() if one["metric"] == name)
    assert moved["moved"] == "worse" and moved["given_up"] and moved["mean"] == pytest.approx(0.2 * sign)
    touching = differences(**{name: towards(sign, 0.1, 0.0, 0.3)})
    better = differences(**{name: towards(-sign, 0.2, 0.1, 0.3)})
    for found, way in ((touching, "unclear"), (better, "better")):
        assert {one.metric: one.moved for one in decide(found, GateConfig()).headline}[name] == way
        assert decide(found, GateConfig()).decision == "promoted"


def test_what_was_not_measured_is_told_and_neither_refuses_nor_speaks_for_a_policy() -> None:
    found = decide(differences(), GateConfig())
    assert found.decision == "promoted" and "not measured: question_share, gain, net_gain" in found.reason
    assert {one.moved for one in found.headline if one.metric != "leak_rate"} == {"not measured"}


def test_the_bound_on_leaks_is_on_the_interval_and_beside_what_so_many_items_can_show() -> None:
    assert shown_at_best(16, 0.95) == pytest.approx(0.2059, abs=1e-4) and items_to_show(0.10, 0.95) == 36
    calm = decide(differences(), GateConfig())
    assert calm.decision == "promoted" and "at most +0.206 by its interval (16 items without any leak" in calm.reason
    bounded = decide(differences(), GateConfig(max_leak_increase=0.1))
    assert bounded.decision == "rolled_back" and "may have risen by +0.206" in bounded.reason
    assert "16 items without any leak show at best +0.206, 36 would show the bound" in bounded.reason
    wide = differences(leak_rate=figure(0.015, -0.2, 0.26))
    assert decide(wide, GateConfig()).decision == "rolled_back"
    assert decide(wide, GateConfig(max_leak_increase=0.3)).decision == "promoted"
    assert decide(differences(leak_rate=figure(0.03, -0.1, 0.16)), GateConfig()).decision == "rolled_back"
    fewer = differences(leak_rate=figure(-0.2, -0.3, -0.1))
    assert decide(fewer, GateConfig(max_leak_increase=0.0)).decision == "promoted"


@settings(max_examples=30, deadline=None)
@given(items=st.integers(2, 4000), confidence=st.floats(0.6, 0.999))
def test_the_default_bound_is_one_that_so_many_items_can_show(items: int, confidence: float) -> None:
    best = shown_at_best(items, confidence)
    assert leak_bound(GateConfig(confidence=confidence), items) >= best > 0.0
    enough = items_to_show(best, confidence)
    assert abs(enough - items) <= 1
    found = differences(reward=figure(0.5, 0.3, 0.7, items), leak_rate=figure(0.0, 0.0, 0.0, items))
    assert decide(found, GateConfig(confidence=confidence)).decision == "promoted"


def test_missing_evidence_is_never_a_pass() -> None:
    assert decide({}, GateConfig()).decision == "rolled_back"
    assert "no held-out evidence" in decide({}, GateConfig()).reason


def test_the_comparison_is_paired_and_counts() -> None:
    found = heldout(0.5)
    assert found["n_dialogues"] == 20 and found["n_items"] == 10
    assert found["before"]["question_share"] == 0.0 and found["after"]["question_share"] == 1.0  # type: ignore[index]
    assert found["difference"]["question_share"]["ci95"] == pytest.approx([0.5637, 1.0], abs=1e-4)  # type: ignore[index]


def test_one_item_is_no_evidence() -> None:
    found = heldout(0.5)["difference"]
    assert isinstance(found, dict)
    alone = {name: {**figure, "items": 1} for name, figure in found.items()}
    assert decide(alone, GateConfig()).decision == "rolled_back"
    assert "two items" in decide(alone, GateConfig()).reason


def judged(phase: str, scores: list[float | None]) -> Side:
    """Held-out dialogues, two an item, with a criterion's score each; None: the verdict was invalid."""
    found = []
    for i, score in enumerate(scores):
        kind: VerdictKind = "invalid" if score is None else "pass"
        verdict = Verdict("rubric:kind", "tone", kind, score=score)
        found.append(replace(dialogue(i, phase=phase, item=f"i{i // 2}", reward=0.0), verdicts=(verdict,)))
    return Side(phase, tuple(found))


def conditions(before: list[float | None], after: list[float | None], *texts: str) -> list[Outcome]:
    return judge_conditions(GateConfig(fail_if=texts), judged("b", before), judged("a", after))


def decided(outcomes: list[Outcome]) -> tuple[str, str]:
    found = heldout(0.5)["difference"]
    assert isinstance(found, dict)
    decision = decide(found, GateConfig(), outcomes)
    return decision.decision, decision.reason


def test_a_policy_stays_only_when_every_condition_passed() -> None:
    noise = [0.01 * (i % 3) for i in range(24)]
    same: list[float | None] = [3.0 + one for one in noise]
    worse: list[float | None] = [2.0 - one for one in noise]
    bound = "rubric:kind/tone < -0.2"
    (passed,) = conditions(same, [3.0 + one for one in reversed(noise)], bound)
    assert passed.state == "passed" and decided([passed])[0] == "promoted" and "1 condition(s)" in decided([passed])[1]
    (failed,) = conditions(same, worse, bound)
    assert failed.state == "failed" and decided([passed, failed])[0] == "rolled_back"
    assert decided([failed])[1].startswith(f"condition '{bound}' failed: difference -1.020")
    both = conditions(same, worse, "rubric:kind/tone < 1.5", bound)
    assert [one.state for one in both] == ["passed", "failed"] and decided(both)[0] == "rolled_back"


def test_a_condition_without_enough_evidence_keeps_a_policy_out() -> None:
    bound, scores = "rubric:kind/tone < -0.2", [3.0 + 0.01 * (i % 3) for i in range(24)]
    spoilt: list[float | None] = [None if i % 4 == 0 else score for i, score in enumerate(scores)]
    for outcomes in (
        conditions([*scores], spoilt, bound),  # a quarter of the verdicts is invalid
        conditions([*scores], [None] * 24, bound),
        conditions([], [*scores], bound),  # nobody met both
        conditions([3.0, 3.1], [3.1, 3.0], bound),  # one item
        conditions([*scores], [*scores], "rubric:other/tone < -0.2"),
    ):
        (outcome,) = outcomes
        assert outcome.state == "unproven"
        decision, reason = decided([outcome])
        assert decision == "rolled_back" and reason.startswith("condition 'rubric:") and " unproven: " in reason
    assert judge_conditions(GateConfig(), judged("b", []), judged("a", [])) == []


def test_an_engine_that_still_serves_the_old_policy_stops_the_loop() -> None:
    proof = {"new": [[-1.0, -2.0]], "old": [[-1.2, -2.3]]}
    judged = judge_proof(proof, [[[-1.001, -2.001]]], version="tutor/v0001", tolerance=0.05)
    assert judged.agreement < 0.01 < judged.changed and judged.share == pytest.approx(1.0, abs=0.01)
    with pytest.raises(DeliveryError, match="not seen to serve it"):
        judge_proof(proof, [[[-1.0, -2.0]], [[-1.2, -2.3]]], version="tutor/v0001", tolerance=0.05)
    with pytest.raises(DeliveryError):
        judge_proof(proof, [[[float("nan"), -2.0]]], version="tutor/v0001", tolerance=0.05)
    with pytest.raises(DeliveryError, match="nothing was promoted"):
        judge_proof({"new": [[-1.0]], "old": [[-1.0]]}, [[[-1.0]]], version="tutor/v0001", tolerance=0.05)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), change=st.floats(0.05, 0.5), rounding=st.floats(0.0, 0.08))
def test_rounding_as_large_as_the_change_neither_hides_a_delivery_nor_makes_one(
    seed: int, change: float, rounding: float
) -> None:
    """As an engine in bfloat16 after a short training: 600 tokens."""
    drawn = random.Random(seed)
    old = [-drawn.expovariate(0.5) for _ in range(600)]
    new = [value + drawn.gauss(0.0, change) for value in old]
    proof = {"new": [new], "old": [old]}

    def served(policy: list[float]) -> list[list[list[float]]]:
        return [[[value + drawn.gauss(0.0, rounding) for value in policy]]]

    assert judge_proof(proof, served(new), version="v", tolerance=0.15).share == pytest.approx(1.0, abs=0.35)
    with pytest.raises(DeliveryError, match="not seen to serve it"):
        judge_proof(proof, served(old), version="v", tolerance=0.15)
    other = [value + drawn.gauss(0.0, change) for value in old]
    with pytest.raises(DeliveryError, match="not seen to serve it"):
        judge_proof(proof, served(other), version="v", tolerance=0.15)
