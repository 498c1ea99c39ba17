"""Parts that are standardised, gates that nothing outweighs, words that cost: for all rewards that there can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import spec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.base import Message
from agents.errors import InputError
from agents.records import Candidate, Dialogue, Turn, TurnRules
from sim.config_reward import RewardConfig, RewardGates
from sim.credit import revalued, rewarded
from sim.load import load_config
from sim.reward import dialogue_reward, normalised, reply_reward
from trainers.trees import build_tree

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
RULES = TurnRules(question=False, leak=0.0, on_item=0.5, repetition=0.0, words=5, grade=3.0)
SHARE = st.floats(0, 1).map(lambda value: round(value, 3))
REPLY = st.builds(
    lambda question, leak, on_item, repetition, words, gain, broke: Candidate(
        f"reply {words}",
        (),
        replace(RULES, question=question, leak=leak, on_item=on_item, repetition=repetition, words=words),
        gain=gain,
        role_break=broke,
    ),
    st.booleans(),
    SHARE,
    SHARE,
    SHARE,
    st.integers(0, 60),
    st.floats(-1, 1).map(lambda x: round(x, 3)),
    st.booleans(),
)
REPLIES = st.lists(REPLY, min_size=2, max_size=6)
GATES = RewardGates(leak=0.2, role_break=True, repetition=0.5)


def rewards(found: list[Candidate]) -> list[float]:
    return [reply.reward for reply in found if reply.reward is not None]


@settings(deadline=None, max_examples=60)
@given(replies=REPLIES, scale=st.floats(0.1, 50), shift=st.floats(-3, 3))
def test_a_standardised_part_has_no_unit_and_no_zero(replies: list[Candidate], scale: float, shift: float) -> None:
    weights = RewardConfig(combine="normalised", leak=0.0)
    calm = [replace(reply, rules=replace(reply.rules, leak=0.0)) for reply in replies if reply.rules]
    moved = [replace(reply, gain=(reply.gain or 0.0) * scale + shift) for reply in calm]
    assert rewards(rewarded(weights, moved)) == pytest.approx(rewards(rewarded(weights, calm)), abs=1e-6)
    other = weights.model_copy(update={"gain_scale": 0.1 * scale})
    assert rewards(rewarded(other, calm)) == pytest.approx(rewards(rewarded(weights, calm)), abs=1e-6)


@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=2, max_size=8), st.floats(0.1, 3))
def test_a_standardised_part_sums_to_0_and_its_spread_is_its_weight(values: list[float], weight: float) -> None:
    weights = RewardConfig(question=weight)
    found = [parts["question"] for parts in normalised(weights, [{"question": value} for value in values])]
    assert sum(found) == pytest.approx(0.0, abs=1e-6)
    spread = (sum(value * value for value in found) / len(found)) ** 0.5
    assert spread == pytest.approx(weight if len(set(values)) > 1 else 0.0, abs=1e-6)
    assert normalised(weights, [{}, {"on_item": 1.0}]) == [{}, {"on_item": 0.0}]


def test_the_sign_of_a_weight_stays_and_its_size_says_what_counts_how_much() -> None:
    weights = RewardConfig(combine="normalised", gain=0.0, question=2.0, on_item=0.0, repetition=-0.5)
    asks = Candidate("a", (), replace(RULES, question=True, repetition=0.9))
    tells = Candidate("b", (), replace(RULES, repetition=0.1))
    first, second = rewarded(weights, [asks, tells])
    assert first.components["question"] == 2.0 and first.components["repetition"] == -0.5
    assert (first.reward, second.reward) == (1.5, -1.5) and first.advantage == 3.0


@settings(deadline=None, max_examples=100)
@given(replies=REPLIES, combine=st.sampled_from(["sum", "normalised"]), question=st.floats(-100, 100))
def test_what_breaks_a_gate_ranks_below_all_the_others(replies: list[Candidate], combine: str, question: float) -> None:
    weights = RewardConfig.model_validate({"question": question, "combine": combine, "gates": GATES})
    found = rewarded(weights, replies)
    kept = [one.reward for one in found if not one.broken and one.reward is not None]
    gone = [one.reward for one in found if one.broken and one.reward is not None]
    assert not kept or not gone or max(gone) <= min(kept) - 1.0 + 1e-6
    for reply in found:
        rules = reply.rules
        assert rules is not None and rules.leak is not None and rules.repetition is not None
        broke = {"leak": rules.leak > 0.2, "role_break": reply.role_break, "repetition": rules.repetition > 0.5}
        assert reply.broken == tuple(name for name, is_broken in broke.items() if is_broken)
        assert reply.reward == pytest.approx(sum(reply.components.values()), abs=1e-6)
    plain = rewarded(weights.model_copy(update={"gates": RewardGates()}), replies)
    assert not any(one.broken for one in plain)
    lost = {round((b.reward or 0.0) - (a.reward or 0.0), 6) for a, b in zip(found, plain, strict=True) if a.broken}
    assert len(lost) < 2, "among themselves they lie as they did"


def talk(*replies: Candidate, weights: RewardConfig) -> Dialogue:
    found = tuple(rewarded(weights, replies))
    best = max(range(len(found)), key=lambda i: found[i].reward or 0.0)
    turn = Turn(1, "tutor", found[best].text, rules=found[best].rules, candidates=found, chosen=best)
    return Dialogue(spec(), (Turn(0, "student", "Why?"), turn))


def pairs(dialogue: Dialogue) -> tuple[list[tuple[str, str]], list[str]]:
    said = [Message(role="user", content="Why?"), Message(role="assistant", content=dialogue.turns[1].text)]
    tree, refused = build_tree(dialogue, said, role="tutor", margin=0.1, max_pairs_per_turn=3)
    return [(pair.chosen, pair.rejected) for pair in tree.pairs], [one.reason for one in refused]


def test_a_reply_that_breaks_a_gate_is_never_the_better_one_of_a_pair() -> None:
    asks, leaks = replace(RULES, question=True), replace(RULES, question=True, leak=1.0)
    good, bad = Candidate("It is warm.", (), RULES), Candidate("Is it the tilt?", (), leaks, gain=0.5)
    weights = RewardConfig(leak=0.0, gates=RewardGates(leak=0.0))
    assert pairs(talk(good, bad, weights=weights))[0] == [("It is warm.", "Is it the tilt?")]
    ungated = RewardConfig(leak=0.0)
    assert pairs(talk(good, bad, weights=ungated))[0] == [("Is it the tilt?", "It is warm.")]
    worse = Candidate("It is the tilt, is it?", (), replace(leaks, question=False))
    assert pairs(talk(bad, worse, weights=weights)) == ([], ["all_break_a_gate"])
    stored = talk(good, Candidate("What do you see?", (), asks), weights=ungated)
    assert revalued(stored, weights).turns[1].candidates[0].components == stored.turns[1].candidates[0].components


def test_words_beyond_the_budget_cost() -> None:
    weights = RewardConfig(length=-0.1, length_budget=10)
    for words, cost in ((0, 0.0), (10, 0.0), (11, -0.1), (35, -2.5)):
        _, parts = reply_reward(weights, replace(RULES, words=words), None)
        assert parts["length"] == pytest.approx(cost)
    _, parts = dialogue_reward(weights, [replace(RULES, words=20), replace(RULES, words=5)], (), None)
    assert parts["length"] == pytest.approx(-0.5), "a mean over turns: a short one does not pay for a long one"
    assert "length" not in reply_reward(RewardConfig(), replace(RULES, words=99), None)[1]


def test_what_ranks_candidates_needs_some() -> None:
    changes = ("kind=run", "reward.combine=normalised", "dialogue.candidates=1", "loop.heldout={}")
    with pytest.raises(InputError, match=r"reward.combine: ranks candidates, and dialogue.candidates is 1"):
        load_config(QUICKSTART, changes)
    load_config(QUICKSTART, ("reward.combine=normalised", "reward.gates={leak: 0.0}", "reward.length=-0.02"))
