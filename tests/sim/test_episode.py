"""One dialogue: its shape, the choice among candidates, and failures as records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from builders import cast, config, spec

from agents.engines.base import Completion, Score
from agents.engines.scripted import ScriptedEngine
from agents.judges.rules import content
from agents.library import strategies
from agents.packs import load_pack, shipped_packs
from agents.records import (
    Candidate,
    Dialogue,
    Item,
    Option,
    Question,
    Turn,
    Verdict,
    dialogue_from_json,
    dialogue_to_json,
)
from sim.config import Config
from sim.episode import Cast, Episode
from sim.experiment.form import begins_with_an_opener
from sim.rounds import heldout_phase, training_phase
from sim.speech import keyless

ITEM = load_pack("earth_science").item("es-astro-01")


def play(settings: Config, *, candidates: int = 1, persona: str = "engaged", **engines: ScriptedEngine) -> Dialogue:
    return asyncio.run(
        Episode(spec(persona=persona), ITEM, cast(settings, **engines), settings, candidates=candidates).run()
    )


def test_turns_alternate_and_probes_frame_them() -> None:
    dialogue = play(config(dialogue={"turns": 2}))
    assert [turn.role for turn in dialogue.turns] == ["student", "tutor", "student", "tutor"]
    assert [turn.index for turn in dialogue.turns] == [0, 1, 2, 3]
    assert [probe.kind for probe in dialogue.probes] == ["before", "transfer_before", "after", "transfer"]
    assert all(abs(sum(probe.probabilities) - 1.0) < 1e-9 for probe in dialogue.probes)
    assert dialogue.failure is None and dialogue.reward is not None
    assert abs(sum(dialogue.components.values()) - dialogue.reward) < 1e-9
    assert dialogue_from_json(dialogue_to_json(dialogue)) == dialogue


def test_a_probe_after_every_turn_on_request() -> None:
    dialogue = play(config(dialogue={"turns": 3}, probes={"turn": True}))
    assert [probe.turn for probe in dialogue.probes if probe.kind == "turn"] == [1, 3, 5]


def test_a_candidate_is_probed_on_the_right_and_the_held_option() -> None:
    dialogue = play(config(dialogue={"turns": 1}), candidates=2)
    probe = dialogue.turns[1].candidates[0].probe
    before, after = dialogue.probe("before"), dialogue.probe("after")
    assert probe is not None and before is not None and after is not None
    assert probe.options == (ITEM.question.answer, 0) and len(probe.probabilities) == 2
    gain = probe.right - before.among(probe.options)
    assert abs(dialogue.turns[1].candidates[0].components["gain"] - gain / 0.1) < 1e-9
    assert len(after.probabilities) == 4


def test_the_best_candidate_by_reward_is_said() -> None:
    dialogue = play(config(dialogue={"turns": 2}, probes={"candidate": "all"}), candidates=3)
    for turn in dialogue.tutor_turns:
        rewards = [candidate.reward for candidate in turn.candidates]
        assert len(rewards) == 3 and None not in rewards
        assert turn.candidates[turn.chosen].reward == max(r for r in rewards if r is not None)
        assert turn.text == turn.candidates[turn.chosen].text
        assert all(candidate.probe is not None for candidate in turn.candidates)
    last = dialogue.turns[-1]
    after, chosen = dialogue.probe("after"), last.candidates[last.chosen].probe
    assert after is not None and chosen is not None and after.probabilities == chosen.probabilities


def test_the_begging_student_speaks_its_own_lines() -> None:
    dialogue = play(config(dialogue={"turns": 2}), persona="begging")
    assert "answer" in dialogue.turns[2].text and dialogue.turns[2].policy_version == "script"


def test_a_dialogue_that_fails_is_a_record_with_its_typed_error() -> None:
    dialogue = play(config(dialogue={"turns": 2}), tutor=ScriptedEngine(("What is it?",), fail_every=2))
    assert dialogue.failure is not None
    assert dialogue.failure.error == "EngineUnavailable"
    assert dialogue.reward is None
    assert [turn.role for turn in dialogue.turns] == ["student", "tutor", "student"]


def test_a_dialogue_that_takes_too_long_fails() -> None:
    settings = config(run={"dialogue_timeout_seconds": 0.05})
    dialogue = play(settings, tutor=ScriptedEngine(("What?",), latency_seconds=5.0))
    assert dialogue.failure is not None and dialogue.failure.error == "TimeoutError"


def test_a_slow_student_or_judge_is_not_taken_for_a_tutor_that_fails() -> None:
    """The breaker gives up a tutor by where dialogues failed."""
    settings = config(dialogue={"turns": 1}, run={"dialogue_timeout_seconds": 2.0})
    slow = play(settings, student=ScriptedEngine(("I see.",), latency_seconds=600.0))
    assert slow.failure is not None and slow.failure.where == "before probe at turn 1"
    assert len(slow.turns) == 2 and slow.failure.message == "time limit reached"
    played = Cast(ScriptedEngine(("Why?",)), ScriptedEngine(("So.",)), judges=(SlowJudge(),))
    judged = asyncio.run(Episode(spec(), ITEM, played, settings, candidates=1).run())
    assert judged.failure is not None and judged.failure.where == "judging after turn 2"
    assert [probe.kind for probe in judged.probes] == ["before", "transfer_before", "after", "transfer"]


class SlowJudge:
    """Never comes to a verdict."""

    name = "slow"

    async def judge(
        self, item: Item, transcript: Sequence[Turn], *, dialogue_id: str, dimension: str = ""
    ) -> tuple[Verdict, ...]:
        """See `Judge.judge`."""
        await asyncio.sleep(60.0)
        return ()


def test_a_failed_dialogue_keeps_the_beliefs_that_were_asked_before() -> None:
    student = ScriptedEngine(("I think so.",), latency_seconds=0.05)
    failed = play(config(dialogue={"turns": 1}), tutor=ScriptedEngine(("Why?",), fail_every=1), student=student)
    assert failed.failure is not None and failed.failure.where == "tutor turn 1"
    assert [probe.kind for probe in failed.probes] == ["before", "transfer_before"]


def explored(candidates: int, phase: str, **talk: object) -> list[Candidate]:
    settings = config(kind="loop", dialogue={"turns": 1, **talk})
    episode = Episode(spec(phase=phase), ITEM, cast(settings), settings, candidates=candidates)
    turn = asyncio.run(episode.run()).turns[1]
    return [*turn.candidates] or [Candidate(turn.text, ())]


def test_exploring_candidates_begin_with_openers_in_turn_and_say_so() -> None:
    found = explored(6, "simulate/0001", exploration=1.0)
    assert len({one.opener for one in found}) == 6
    assert all(one.opener and one.text.startswith(one.opener) for one in found)
    half = [one.opener for one in explored(6, "simulate/0001", exploration=0.5)]
    assert sum(map(bool, half)) == 3


@pytest.mark.parametrize(
    ("number", "decay", "opened"), [(1, 0.5, 4), (2, 0.5, 2), (3, 0.5, 1), (2, 0.0, 0), (3, 1.0, 4)]
)
def test_openers_get_fewer_in_each_round(number: int, decay: float, opened: int) -> None:
    found = explored(8, training_phase(number, "-even"), exploration=0.5, exploration_decay=decay)
    assert sum(bool(one.opener) for one in found) == opened


@pytest.mark.parametrize("phase", [heldout_phase("base"), heldout_phase("tutor/v0002"), "run"])
def test_nothing_but_training_is_begun_with_an_opener(phase: str) -> None:
    for candidates in (1, 4):
        found = explored(candidates, phase, exploration=1.0, exploration_decay=1.0)
        assert not any(one.opener or begins_with_an_opener(one.text) for one in found)


def test_no_opener_says_a_word_of_the_answer_or_has_a_field_to_put_one_in() -> None:
    for one in strategies().values():
        assert all("{" not in opener and len(opener.split()) > 2 for opener in one.openers), "short ones come by chance"
    openers = strategies()["socratic"].openers
    for pack in shipped_packs():
        for item in load_pack(pack).items:
            answer, usable = set(content(item.question.answer_text)), keyless(openers, item.question)
            assert len(usable) > len(openers) / 2 and not any(answer & set(content(opener)) for opener in usable)
    said = Question("What?", (Option("It happens to part of it.", correct=True), Option("No.")))
    assert keyless(("What happens to", "How do you know", "Which part of"), said) == ("How do you know",)


class Patient(ScriptedEngine):
    """Scores nothing before it has spoken: a dialogue that waited for its probes would wait for ever."""

    def __init__(self) -> None:
        super().__init__(("I think so.",))
        self.spoken = asyncio.Event()

    async def generate(self, *given: Any, **named: Any) -> list[Completion]:
        """See `Engine.generate`."""
        self.spoken.set()
        return await super().generate(*given, **named)

    async def score(self, *given: Any, **named: Any) -> list[Score]:
        """See `Engine.score`."""
        await self.spoken.wait()
        return await super().score(*given, **named)


def test_a_dialogue_goes_on_while_its_beliefs_are_probed() -> None:
    made = config(dialogue={"turns": 2}, probes={"turn": True, "transfer": False})
    played = Cast(ScriptedEngine(("Why is that so?",)), Patient())
    episode = Episode(spec(), ITEM, played, made, candidates=1)
    dialogue = asyncio.run(episode.run())
    assert dialogue.failure is None
    assert [(probe.kind, probe.turn) for probe in dialogue.probes] == [
        ("before", 0),
        ("turn", 1),
        ("turn", 3),
        ("after", 3),
    ]
