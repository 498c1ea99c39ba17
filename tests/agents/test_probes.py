"""Belief probes: what each form makes of scores, and what cancels out in it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engines.base import Message, Score
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineError
from agents.library import persona
from agents.packs import load_pack
from agents.probes import BASIC_FORMS, FORMS, HIDDEN, matched, mixed_up, own_words, probe_belief, shuffled, softmax
from agents.records import Probe, Turn
from agents.views import student_system, view

ITEM = load_pack("earth_science").item("es-astro-01")
QUESTION = ITEM.question
TEXTS = [option.text for option in QUESTION.options]


def heard(*tutor: str) -> Sequence[Message]:
    """The student's view of a dialogue in which the tutor says these things."""
    turns = [Turn(0, "student", ITEM.opening)]
    for text in tutor:
        turns.append(Turn(len(turns), "tutor", text))
    return view(student_system(ITEM, persona("engaged"), 0), turns, "student")


def probed(
    engine: ScriptedEngine, form: str, *, tutor: str = "Look at the globe.", options: tuple[int, ...] = ()
) -> Probe:
    return asyncio.run(
        probe_belief(engine, heard(tutor), QUESTION, kind="after", turn=1, dialogue_id="d", options=options, form=form)
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [(), (1, 0)])
def test_every_form_gives_a_belief(form: str, options: tuple[int, ...]) -> None:
    probe = probed(ScriptedEngine(["The Earth spins and turns away.", "Clouds."]), form, options=options)
    assert len(probe.probabilities) == (len(options) or len(TEXTS)) and probe.options == options
    assert sum(probe.probabilities) == pytest.approx(1.0) and min(probe.probabilities) >= 0.0
    assert probe.answer == QUESTION.answer


def test_forms_of_text_are_of_its_mean_its_sum_and_its_characters() -> None:
    wanted = {text: -1.0 - place for place, text in enumerate(TEXTS)}
    engine = ScriptedEngine(["Hm."], scorer=lambda messages, text: wanted[text])
    words = [len(text.split()) for text in TEXTS]
    means = [wanted[text] for text in TEXTS]
    sums = [mean * n for mean, n in zip(means, words, strict=True)]
    assert probed(engine, "text_mean").probabilities == pytest.approx(softmax(means))
    assert probed(engine, "text_sum").probabilities == pytest.approx(softmax(sums))
    per_char = [total / len(text) for total, text in zip(sums, TEXTS, strict=True)]
    assert probed(engine, "text_per_char").probabilities == pytest.approx(softmax(per_char))


def test_what_a_text_is_likely_anyway_is_taken_off_by_its_prior() -> None:
    engine = ScriptedEngine(["Hm."], scorer=lambda messages, text: -float(len(text)))
    assert probed(engine, "text_mean").probabilities != pytest.approx([0.25] * 4)
    assert probed(engine, "text_prior").probabilities == pytest.approx([0.25] * 4)


@given(liking=st.dictionaries(st.sampled_from("ABCD"), st.floats(-9, 0), min_size=4))
def test_a_liking_for_a_letter_cancels_out(liking: dict[str, float]) -> None:
    engine = ScriptedEngine(["Hm."], scorer=lambda messages, text: liking[text])
    assert probed(engine, "letters").probabilities == pytest.approx([0.25] * 4)


def test_letters_find_the_option_wherever_it_stands() -> None:
    def score(messages: Sequence[Message], letter: str) -> float:
        listed = dict(line.split(") ", 1) for line in messages[-1]["content"].splitlines() if line[1:3] == ") ")
        return -0.01 if listed[letter] == TEXTS[1] else -9.0

    probe = probed(ScriptedEngine(["Hm."], scorer=score), "letters")
    assert probe.right > 0.99 and probe.answer == 1


@given(yes=st.floats(-9, 0), no=st.floats(-9, 0))
def test_a_liking_for_yes_cancels_out(yes: float, no: float) -> None:
    engine = ScriptedEngine(["Hm."], scorer=lambda messages, text: yes if text == "Yes" else no)
    assert probed(engine, "yes_no").probabilities == pytest.approx([0.25] * 4)


def test_yes_and_no_are_asked_of_each_option_both_ways() -> None:
    def score(messages: Sequence[Message], word: str) -> float:
        asked = messages[-1]["content"]
        is_right = TEXTS[1] in asked
        return -0.1 if (word == "Yes") == (is_right == ("answer right" in asked)) else -3.0

    assert probed(ScriptedEngine(["Hm."], scorer=score), "yes_no").right == pytest.approx(
        softmax([2.9, -2.9, -2.9, -2.9])[0]
    )


def test_free_answers_are_matched_to_the_option_whose_own_words_they_say() -> None:
    spins, clouds = "The Earth spins and our side turns away.", "It gets dark, I think."
    assert matched([spins], TEXTS, "en") == pytest.approx([0.125, 0.625, 0.125, 0.125])
    assert matched([clouds], TEXTS, "en") == pytest.approx([0.25] * 4), "what fits none counts for all alike"
    assert probed(ScriptedEngine([spins]), "free_answers").right > 0.9


def test_a_masked_student_is_shown_its_own_words_alone() -> None:
    engine = ScriptedEngine(["I still think so."])
    seen = asyncio.run(own_words(engine, heard("The Earth spins."), "d"))
    assert [message["content"] for message in seen][1:] == [ITEM.opening, HIDDEN, "I still think so."]
    loud, other = (
        probed(engine, f"masked_{form}", tutor=tutor).probabilities
        for form in ("text_mean",)
        for tutor in (QUESTION.answer_text, "Good morning.")
    )
    assert loud == other, "what the tutor said cannot be heard"
    assert probed(engine, "text_mean", tutor=QUESTION.answer_text).probabilities != other


@given(words=st.lists(st.sampled_from("the earth spins away from sun a".split()), min_size=1, max_size=12))
def test_shuffled_words_are_the_same_words_in_another_order(words: list[str]) -> None:
    text = " ".join(words)
    mixed = shuffled(text)
    assert sorted(mixed.split()) == sorted(words) and shuffled(text) == mixed
    assert (mixed != text) == (len(set(words)) > 1)


def test_echo_shuffles_the_tutor_and_of_a_masked_student_its_own_words() -> None:
    turns = [Turn(0, "student", "one two three"), Turn(1, "tutor", "four five six"), Turn(2, "student", "seven eight")]
    assert [turn.text for turn in mixed_up(turns, masked=False)] == [
        "one two three",
        shuffled("four five six"),
        "seven eight",
    ]
    assert [turn.text for turn in mixed_up(turns, masked=True)][2] == "eight seven"


def test_a_score_that_is_no_number_is_no_belief() -> None:
    class Broken(ScriptedEngine):
        async def score(
            self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
        ) -> list[Score]:
            return [Score((math.nan,)) for _ in continuations]

    for form in BASIC_FORMS[:-1]:
        with pytest.raises(EngineError, match="nan"):
            probed(Broken(["Hm."]), form)
