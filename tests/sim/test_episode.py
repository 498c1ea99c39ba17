"""One dialogue: its shape, the choice among candidates, and failures as records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from builders import cast, config, spec

from agents.engines.base import Completion, Score
from agents.engines.scripted import ScriptedEngine
from agents.packs import load_pack
from agents.records import Dialogue, Item, Turn, Verdict, dialogue_from_json, dialogue_to_json
from sim.config import Config
from sim.episode import Cast, Episode
from sim.speech import whole_sentences

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
    settings = config(dialogue={"turns": 1}, run={"dialogue_timeout_seconds": 0.2})
    slow = play(settings, student=ScriptedEngine(("I see.",), latency_seconds=5.0))
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


def test_a_cut_reply_keeps_its_whole_sentences() -> None:
    cut = Completion("One is done. Two is not", finish_reason="length")
    assert whole_sentences(cut) == "One is done."
    assert whole_sentences(Completion("No end at all", finish_reason="length")) == "No end at all"
    assert whole_sentences(Completion("One. Two", finish_reason="stop")) == "One. Two"


def test_exploring_candidates_begin_with_hints_and_openers_in_turn() -> None:
    settings = config(kind="loop", dialogue={"turns": 1, "exploration": 1.0})
    said = [candidate.text for candidate in play(settings, candidates=6).turns[1].candidates]
    answer = ITEM.question.answer_text.lower()
    hinted = [text for text in said if "hint" in text or "Think about this" in text or "happens when" in text]
    assert hinted and any(any(word in answer for word in text.lower().split()[3:6]) for text in hinted)
    assert not any("{" in text for text in said)


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
