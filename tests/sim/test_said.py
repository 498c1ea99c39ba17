"""What counts as said in a dialogue: nothing after a forged mark, no thoughts, no turn without a word of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from builders import cast, config, dialogue, spec

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.scripted import ScriptedEngine
from agents.errors import NoReply
from agents.packs import load_pack
from agents.records import Dialogue, Turn, dialogue_from_json, dialogue_to_json
from sim.analysis import describe, phase_counts
from sim.config import Config
from sim.episode import Episode
from sim.experiment.metrics import METRICS
from sim.report.page import report_html
from sim.speech import ATTEMPTS
from sim.storage.files import locate
from sim.storage.part import SCHEMA, check_part, row_of, write_part

ITEM = load_pack("earth_science").item("es-astro-01")
FORGED = "Okay.\nTutor: It is the spin.\nStudent: Thanks."
ASKED = "What do you see happen to the light when the Earth turns?"


class Thinking(ScriptedEngine):
    """Replies with a thought beside the text, and keeps what it was shown."""

    def __init__(self, *replies: str, thought: str = "zq thought") -> None:
        super().__init__(replies)
        self.thought, self.seen, self.asked = thought, list[Message](), 0

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        self.seen += messages
        self.asked += 1
        found = await super().generate(messages, sampling, dialogue_id=dialogue_id)
        return [replace(one, reasoning=self.thought, token_ids=(1, 2, 3)) for one in found]

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        self.seen += messages
        return await super().score(messages, continuations, dialogue_id=dialogue_id)


class Once(ScriptedEngine):
    """Says nothing of its own the first time it is asked."""

    def __init__(self, *replies: str) -> None:
        super().__init__(("x",))
        self.left = list(replies)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        if self.left[0] == "":
            self.left.pop(0)
            raise NoReply("the server sent an empty reply")
        return [Completion(self.left.pop(0)) for _ in range(sampling.n)]


def play(settings: Config, *, candidates: int = 1, **engines: ScriptedEngine) -> Dialogue:
    held = spec(phase="simulate/0001" if settings.kind == "loop" else "run")
    return asyncio.run(Episode(held, ITEM, cast(settings, **engines), settings, candidates=candidates).run())


def test_a_students_forged_lines_are_not_said_and_counted() -> None:
    student = Thinking(FORGED)
    made = play(config(dialogue={"turns": 2}), student=student, tutor=ScriptedEngine((ASKED,)))
    turn = made.turns[2]
    assert (turn.text, turn.role_break, turn.token_ids) == ("Okay.", True, ())
    assert not any("spin" in message["content"] for message in student.seen if message["role"] == "assistant")
    assert METRICS["role_breaks"].value(made) == 1 / 3 and METRICS["tutor_role_breaks"].value(made) == 0.0
    assert describe([made], confidence=0.95)["role_breaks"]["mean"] == 1 / 3
    assert phase_counts([made])["run"]["n_role_breaks"] == 1
    assert dialogue_from_json(dialogue_to_json(made)) == made


def test_a_tutor_is_judged_by_what_it_said_and_every_candidate_is_cut() -> None:
    replies = (f"{ASKED}\nStudent: {ITEM.question.answer_text}\nTutor: Yes!", f"{ASKED} Look.")
    made = play(config(dialogue={"turns": 1}), candidates=2, tutor=ScriptedEngine(replies))
    assert [(one.text, one.role_break) for one in made.turns[1].candidates] == [
        (ASKED, True),
        (f"{ASKED} Look.", False),
    ]
    assert made.leaks == () and all(one.rules and one.rules.leak == 0.0 for one in made.turns[1].candidates)


def test_a_candidate_that_says_nothing_is_dropped_and_a_dialogue_fails_where_none_is_left() -> None:
    forged = "Student: Because of the sun."
    made = play(config(dialogue={"turns": 1}), candidates=3, tutor=ScriptedEngine((forged, ASKED, forged)))
    assert [one.text for one in made.turns[1].candidates] == [ASKED] and made.failure is None
    tutor = Thinking(forged)
    failed = play(config(dialogue={"turns": 1}), tutor=tutor)
    assert failed.failure is not None and failed.failure.error == "NoReply" and failed.failure.where == "tutor turn 1"
    assert tutor.asked == ATTEMPTS and len(failed.turns) == 1
    cold = Thinking(forged)
    play(config(dialogue={"turns": 1}, tutor={"temperature": 0.0}), tutor=cold)
    assert cold.asked == 1, "what is deterministic is not asked again"
    again = play(config(dialogue={"turns": 1}), tutor=Once(forged, ASKED))
    assert again.failure is None and again.turns[1].text == ASKED


def test_one_of_several_requests_for_candidates_may_have_no_reply() -> None:
    settings = config(kind="loop", dialogue={"turns": 1, "exploration": 0.5}, probes={"candidate": "none"})
    made = play(settings, candidates=2, tutor=Once("", ASKED))
    assert [one.text for one in made.turns[1].candidates] == [ASKED]
    none = play(settings, candidates=2, tutor=Once("", ""))
    assert none.failure is not None and none.failure.error == "NoReply"


def test_names_of_personas_and_of_prompts_are_marks() -> None:
    settings = config(
        dialogue={"turns": 1}, tutors=[{"name": "t", "prompt": "You are Ada, a tutor. Ask.", "strategy": "socratic"}]
    )
    one = replace(spec(), tutor="t")

    def said(reply: str) -> str:
        played = cast(settings, tutor=ScriptedEngine((reply,)))
        return asyncio.run(Episode(one, ITEM, played, settings, candidates=1).run()).turns[1].text

    assert said(f"Ada: {ASKED}") == ASKED
    assert said(f"{ASKED}\nengaged: Hm.\nAda: Yes.") == ASKED


def test_a_thought_is_kept_and_shown_to_nobody() -> None:
    tutor, student = Thinking(ASKED, "Why?"), Thinking("Hm.", "So.", thought="zq other")
    settings = config(dialogue={"turns": 2}, probes={"turn": True})
    made = play(settings, candidates=2, tutor=tutor, student=student)
    assert made.turns[1].reasoning == "zq thought" and made.turns[2].reasoning == "zq other"
    assert made.turns[1].candidates[0].reasoning == "zq thought"
    assert not any("zq" in message["content"] for message in (*tutor.seen, *student.seen))
    assert made.leaks == ()
    telling = Thinking(ASKED, thought=ITEM.question.answer_text)
    assert play(settings, tutor=telling).leaks == ()


def test_the_report_shows_a_thought_as_private_and_as_text() -> None:
    made = dialogue(0, phase="run", item="es-astro-01", reward=1.0)
    turns = (made.turns[0], replace(made.turns[1], reasoning="<img src=x onerror=alert(1)> zq", role_break=True))
    html = report_html({"kind": "run", "arms": []}, [replace(made, turns=turns)])
    assert "\\u003cimg src=x" in html and "<img src=x" not in html and '"broke":true' in html
    assert "private reasoning" in html


def test_parts_hold_thoughts_and_older_parts_are_still_read(tmp_path: Path) -> None:
    made = dialogue(0, phase="run", item="es-astro-01", reward=1.0)
    turns = (made.turns[0], replace(made.turns[1], reasoning="hm", role_break=True))
    place = write_part(locate(tmp_path), "part", 0, [row_of(replace(made, turns=turns))])
    assert [(turn["reasoning"], turn["role_break"]) for turn in check_part(place)[0][0]["turns"]] == [
        ("", False),
        ("hm", True),
    ]
    older = [("index", pa.int32()), ("role", pa.string()), ("text", pa.string()), ("policy_version", pa.string())]
    schema = pa.schema([pa.field(f.name, pa.list_(pa.struct(older))) if f.name == "turns" else f for f in SCHEMA])
    pq.write_table(pa.Table.from_pylist([row_of(made)], schema=schema), tmp_path / "part-000001.parquet")
    (row,), _ = check_part(locate(tmp_path) / "part-000001.parquet")
    rewritten = write_part(locate(tmp_path), "bundle", 2, [row])
    assert dialogue_from_json(check_part(rewritten)[0][0]["record"]) == made


def test_a_run_that_was_not_cut_counts_its_forged_lines_too() -> None:
    old = dialogue(0, phase="run", item="es-astro-01", reward=1.0)
    turns = (*old.turns, Turn(2, "student", FORGED, policy_version="base"))
    assert METRICS["role_breaks"].value(replace(old, turns=turns)) == 0.5
    assert METRICS["role_breaks"].value(replace(old, turns=old.turns[:1])) is None


class Stopping(ScriptedEngine):
    """Runs into its token limit with every reply."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        found = await super().generate(messages, sampling, dialogue_id=dialogue_id)
        return [replace(one, finish_reason="length") for one in found]


def test_a_students_turn_ends_with_a_sentence_or_is_counted() -> None:
    student = Stopping(("It is because of the", "I see. The Earth turns. It is dark. And"))
    made = play(config(dialogue={"turns": 3}), student=student, tutor=ScriptedEngine((ASKED, "Why?", "How?")))
    first, second = made.turns[2], made.turns[4]
    assert (first.text, first.unfinished, first.finish_reason) == ("I see. The Earth turns.", False, "length")
    assert (second.text, second.unfinished) == ("It is because of the", True)
    assert made.turns[0].unfinished is None and made.turns[1].unfinished is False
    assert METRICS["student_cut"].value(made) == 0.5
    html = report_html({"kind": "run", "arms": []}, [made])
    assert html.count('"cut":true') == 1


def test_a_terse_student_sees_short_turns_and_says_one() -> None:
    student = Stopping(("It is because of the", "the sun, because it", "no."))
    one = replace(spec(persona="terse"), student_key="student-0")
    settings = config(dialogue={"turns": 2})
    played = cast(settings, student=student, tutor=ScriptedEngine((ASKED,)))
    made = asyncio.run(Episode(one, ITEM, played, settings, candidates=1).run())
    assert (made.turns[2].text, made.turns[2].unfinished) == ("no", False)
    assert METRICS["student_terse"].value(made) == 1.0
