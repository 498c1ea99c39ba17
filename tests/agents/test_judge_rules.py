"""The rule judge: leaks are found whatever form they take, and empty questions do not count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.judges.rules import asks, find_leaks, judge_turn, on_item, reading_grade, repetition
from agents.packs import load_pack, shipped_packs
from agents.records import Item, Option, Question

SEASONS = Question(
    "Why is summer warmer than winter?",
    (
        Option("The Earth is closer to the sun in summer.", misconception="distance"),
        Option("The tilt of the axis brings more direct sunlight.", correct=True),
        Option("The sun burns hotter in summer.", misconception="heat"),
        Option("The clouds go away in summer.", misconception="clouds"),
    ),
)
ITEM = Item("i", "A", "cause of the seasons", ("season", "tilt", "axis", "sunlight"), "o", SEASONS, SEASONS)
NUMBER = Question("What is 6 times 7?", (Option("42", correct=True), Option("36", misconception="m")))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Well, the tilt of the axis brings more direct sunlight.", "text"),
        ("The right answer is B.", "letter"),
        ("I would say option (b) here", "letter"),
        ("It is because direct sunlight comes from how the axis is tilted, which brings it.", "paraphrase"),
    ],
)
def test_a_leak_is_found_with_turn_kind_and_severity(text: str, kind: str) -> None:
    leaks = find_leaks(text, SEASONS, turn=3)
    assert kind in [leak.kind for leak in leaks]
    assert all(leak.turn == 3 and 0.0 < leak.severity <= 1.0 for leak in leaks)


@pytest.mark.parametrize(
    "text",
    [
        "What do you notice about the days in summer?",
        "The answer is a bit surprising.",
        "Think about how a lamp shines on a ball.",
        "Is option A or C closer to what you think?",
    ],
)
def test_a_hint_is_not_a_leak(text: str) -> None:
    assert find_leaks(text, SEASONS, turn=1) == []


def test_numbers_leak_only_when_said() -> None:
    assert find_leaks("So it is 42.", NUMBER, turn=1)[0].severity == 1.0
    assert find_leaks("Take 6 groups of 7.", NUMBER, turn=1) == []
    assert find_leaks("That would be 420.", NUMBER, turn=1) == []


def test_what_the_student_said_first_is_not_leaked() -> None:
    said = "because of the tilt of the axis and the direct sunlight it brings"
    assert find_leaks("Yes, tilt, axis, direct sunlight: say more.", SEASONS, turn=3, said_by_student=said) == []


@pytest.mark.parametrize("text", ["Does that make sense?", "Ready?", "What do you think about it, then?", "OK."])
def test_an_empty_question_does_not_count(text: str) -> None:
    assert not asks(text, ITEM)


def test_a_question_about_the_item_counts() -> None:
    assert asks("Good. How does the tilt change the light we get?", ITEM)


def test_a_question_that_was_asked_before_does_not_count() -> None:
    question = "How does the tilt change the light we get?"
    assert judge_turn(question, ITEM, turn=1)[0].question
    assert not judge_turn(question, ITEM, turn=3, tutor_said=[question])[0].question
    assert not judge_turn(SEASONS.text, ITEM, turn=1)[0].question  # the item's own question said back


def test_repetition_and_staying_on_the_item() -> None:
    assert repetition("the sun is far away", ["the sun is far away"]) == 1.0
    assert repetition("go on and go on and go on", []) == 0.5
    assert repetition("a new thought for you", ["the sun is far"]) == 0.0
    assert (repetition("Go on.", ["go on"]), repetition("Go on.", ["on"]), repetition("...", ["..."])) == (
        1.0,
        0.0,
        None,
    )
    assert on_item("The axis is tilted. I like pizza.", ITEM) == 0.5
    easy, hard = map(reading_grade, ("The cat sat.", "Gravitational acceleration determines planetary revolution."))
    assert easy is not None and hard is not None and easy < hard
    assert (on_item("...", ITEM), reading_grade("...")) == (None, None)


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_gives_figures_in_range(text: str, earlier: list[str]) -> None:
    rules, leaks = judge_turn(text, ITEM, turn=1, tutor_said=earlier, student_said=earlier)
    assert judge_turn(text, ITEM, turn=1, tutor_said=earlier, student_said=earlier) == (rules, leaks)
    for figure in (rules.leak, rules.on_item, rules.repetition):
        assert (figure is None and not rules.words) or (figure is not None and 0.0 <= figure <= 1.0)
    assert rules.words >= 0 and (rules.grade is None or rules.grade >= 0.0) and rules.unmeasured == ()


@pytest.mark.parametrize("name", shipped_packs())
def test_every_shipped_answer_leaks_and_no_opening_does(name: str) -> None:
    for item in load_pack(name).items:
        assert find_leaks(item.question.answer_text, item.question, turn=1), item.id
        assert not find_leaks(item.opening, item.question, turn=0), item.id
        for option in item.question.options:
            if not option.correct:
                assert not find_leaks(option.text, item.question, turn=1), (item.id, option.text)
