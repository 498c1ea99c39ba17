"""What a candidate is worth: belief after it, or after a look-ahead; the same weights always give the same rewards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from builders import cast, config, spec
from builders import dialogue as made
from hypothesis import given
from hypothesis import strategies as st

from agents.engines.base import Message
from agents.engines.scripted import ScriptedEngine
from agents.library import persona
from agents.packs import load_pack
from agents.probes import probe_belief
from agents.records import Candidate, Dialogue, Leak, TurnRules
from agents.views import student_system, view
from sim.config import Config
from sim.config_reward import RewardConfig
from sim.credit import revalued, rewarded
from sim.episode import Episode
from sim.experiment.metrics import METRICS
from sim.reward import net_of_leak, reply_reward

ITEM = load_pack("earth_science").item("es-astro-01")
RULES = TurnRules(question=True, leak=0.0, on_item=1.0, repetition=0.0, words=5, grade=3.0)


def play(settings: Config, **engines: ScriptedEngine) -> Dialogue:
    return asyncio.run(Episode(spec(), ITEM, cast(settings, **engines), settings, candidates=3).run())


def test_advantage_is_over_the_other_candidates() -> None:
    candidates = [Candidate("a", (), replace(RULES, question=asked)) for asked in (True, False, False)]
    weights = RewardConfig(gain=0.0, question=1.0, on_item=0.0, repetition=0.0, leak=0.0)
    assert [c.advantage for c in rewarded(weights, candidates)] == [1.0, -0.5, -0.5]


@given(gain=st.floats(-1, 1), leak=st.floats(0, 1), more=st.floats(0, 1))
def test_a_leak_never_makes_a_gain_or_a_reward_better(gain: float, leak: float, more: float) -> None:
    less, worse = sorted((leak, more))
    assert net_of_leak(gain, worse) <= net_of_leak(gain, less) <= gain == net_of_leak(gain, 0.0)
    assert gain > 0.0 or net_of_leak(gain, worse) == gain, "a loss stays whole"
    weights = RewardConfig(leak=0.0)
    rewards = [reply_reward(weights, replace(RULES, leak=one), gain)[0] or 0.0 for one in (less, worse)]
    assert rewards[1] <= rewards[0]


def test_a_dialogue_that_lost_belief_is_not_better_for_a_leak() -> None:
    lost = made(0, phase="run", item="es-astro-01", reward=0.0, gain=-0.2)
    leaked = replace(lost, leaks=(Leak(1, "text", 1.0, "the answer"),))
    assert METRICS["net_gain"].value(lost) == METRICS["net_gain"].value(leaked) == pytest.approx(-0.2)


@given(gains=st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_advantages_sum_to_zero_and_order_as_rewards(gains: list[float]) -> None:
    valued = rewarded(RewardConfig(), [Candidate("a", (), RULES, gain=gain) for gain in gains])
    advantages = [candidate.advantage or 0.0 for candidate in valued]
    assert sum(advantages) == pytest.approx(0.0, abs=1e-6)
    rewards = [candidate.reward or 0.0 for candidate in valued]
    assert advantages.index(max(advantages)) == rewards.index(max(rewards))


def test_the_same_weights_give_back_the_same_dialogue() -> None:
    settings = config(dialogue={"turns": 2})
    dialogue = play(settings)
    assert revalued(dialogue, settings.reward) == dialogue
    other = revalued(dialogue, RewardConfig(gain=0.0, question=5.0))
    assert other.turns[1].candidates[0].gain == dialogue.turns[1].candidates[0].gain, "what was measured stays"
    assert other.reward != dialogue.reward and other.components["gain"] == 0.0


def test_a_look_ahead_is_probed_later_and_kept_out_of_the_dialogue() -> None:
    near, far = (play(config(dialogue={"turns": 1, "lookahead": ahead})) for ahead in (0, 2))
    assert [len(candidate.rolled) for candidate in far.turns[1].candidates] == [4, 4, 4]
    assert [turn.role for turn in far.turns] == ["student", "tutor"]
    first, later = near.turns[1].candidates[0].probe, far.turns[1].candidates[0].probe
    assert first is not None and later is not None and (first.turn, later.turn) == (1, 5)
    after = far.probe("after")
    assert after is not None and after.turn == 1, "the dialogue's own belief is not that of a look-ahead"
    assert far.usage.completion_tokens > near.usage.completion_tokens


def test_a_leak_in_the_look_ahead_takes_the_credit_away() -> None:
    def say(messages: Sequence[Message]) -> str:
        said = sum(message["role"] == "assistant" for message in messages)
        return "What do you see there?" if said == 0 else f"The answer is: {ITEM.question.answer_text}"

    dialogue = play(config(dialogue={"turns": 1, "lookahead": 1}), tutor=ScriptedEngine(say))
    before = dialogue.probe("before")
    for candidate in dialogue.turns[1].candidates:
        assert candidate.rules is not None and candidate.rules.leak == 0.0
        assert before is not None and candidate.probe is not None
        assert candidate.probe.right > before.among(candidate.probe.options), "the belief did rise"
        assert candidate.gain == 0.0


def test_with_a_look_ahead_a_gain_starts_from_the_dialogue_as_it_stands() -> None:
    def say(messages: Sequence[Message]) -> str:
        """From its second turn on, which is first heard in a look-ahead, it speaks for the misconception."""
        said = sum(message["role"] == "assistant" for message in messages)
        return "What do you see there?" if said == 0 else f"Is it so that {ITEM.question.options[0].text}"

    dialogue = play(config(dialogue={"turns": 2, "lookahead": 1}), tutor=ScriptedEngine(say))
    opening, said, answered = dialogue.turns[:3]
    probe = said.candidates[said.chosen].probe
    assert probe is not None and probe.turn == 3
    seen = view(student_system(ITEM, persona("engaged"), 0), [opening, said, answered], "student")
    asked = probe_belief(
        ScriptedEngine(("-",)),
        seen,
        ITEM.question,
        kind="candidate",
        turn=2,
        dialogue_id="run-0",
        options=probe.options,
    )
    stands = asyncio.run(asked)
    assert stands.right != probe.right, "what was rolled on after the reply is another dialogue"
    assert [found for found in dialogue.probes if found.kind == "candidate"] == [stands]
    for candidate in dialogue.turns[3].candidates:
        assert candidate.probe is not None and candidate.gain == pytest.approx(candidate.probe.right - stands.right)
    after = dialogue.probe("after")
    assert after is not None and after.turn == 3


def test_a_reward_that_overflows_fails_its_dialogue_alone() -> None:
    huge = {"gain": 1e308, "gain_scale": 1e-300}
    alone = asyncio.run(Episode(spec(), ITEM, cast(one := config(reward=huge)), one, candidates=1).run())
    chosen = play(config(reward=huge))
    for dialogue in (alone, chosen):
        assert dialogue.failure is not None and dialogue.failure.error == "OverflowError" and dialogue.reward is None
    assert alone.failure is not None and "make the weights of `reward` smaller" in alone.failure.message
    stored = play(config())
    assert stored.failure is None
    assert (again := revalued(stored, RewardConfig.model_validate(huge))).failure is not None and again.reward is None
