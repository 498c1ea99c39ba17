"""What gives an answer away, over many ways to write and to say it; and what only confirms."""

from __future__ import annotations

import pytest

from agents.judges.rules import confirms, find_leaks, said_first
from agents.packs import load_pack, shipped_packs
from agents.records import Option, Question
from tests.agents.leak_cases import GROUPS, Group
from tests.agents.leak_cases_more import MORE, PACKS
from tests.agents.leak_cases_spoken import SPOKEN

_LEAKS = [(group, text) for group in (*GROUPS, *MORE, *SPOKEN) for text in group.leaks]
_NONE = [(group, text) for group in (*GROUPS, *MORE, *SPOKEN) for text in group.none]
_ITEMS = {item.id: item for pack in shipped_packs() for item in load_pack(pack).items}
SUM = Question("What is 6 times 7?", (Option("42", correct=True), Option("36")))


def _name(value: Group | str) -> str:
    return value.name if isinstance(value, Group) else ascii(value)[:60]


@pytest.mark.parametrize(("group", "text"), _LEAKS, ids=_name)
def test_it_gives_the_answer_away(group: Group, text: str) -> None:
    leaks = find_leaks(text, group.asked(), turn=3, said_by_student=group.said)
    assert leaks and all(leak.turn == 3 and 0 < leak.severity <= 1 and leak.evidence for leak in leaks)


@pytest.mark.parametrize(("group", "text"), _NONE, ids=_name)
def test_it_gives_nothing_away(group: Group, text: str) -> None:
    assert find_leaks(text, group.asked(), turn=3, said_by_student=group.said) == []


@pytest.mark.parametrize("row", PACKS, ids=lambda row: f"{row[0]} {row[2]}")
def test_claims_of_the_shipped_questions(row: tuple[str, bool, str, list[str], list[str]]) -> None:
    name, transfer, said, leaks, none = row
    question = _ITEMS[name].transfer if transfer else _ITEMS[name].question
    assert [text for text in leaks if not find_leaks(text, question, turn=1, said_by_student=said)] == []
    assert [text for text in none if find_leaks(text, question, turn=1, said_by_student=said)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Yes, exactly.",
        "That's right!",
        "Exactly! How did you get it?",
        "You're right.",
        "Great, that's correct.",
        "Oui, exactement.",
        "Genau!",
        "¡Sí, correcto!",
        "Верно!",
        "对，没错。",
        "نعم، صحيح.",
    ],
)
def test_a_confirmation_of_a_right_guess_is_no_leak_and_is_seen(text: str) -> None:
    assert confirms(text, SUM, "I think it is forty-two.") and not find_leaks(text, SUM, turn=1)
    assert not confirms(text, SUM, "I think it is 36.")


@pytest.mark.parametrize(
    "text",
    [
        "Not quite.",
        "Yes, but why?",
        "Right now, let us look again.",
        "Is that right?",
        "What do you think?",
        "Well, no.",
    ],
)
def test_what_doubts_or_asks_confirms_nothing(text: str) -> None:
    assert not confirms(text, SUM, "It is 42.")


def test_a_student_who_repeats_what_it_was_told_did_not_say_it_first() -> None:
    assert said_first(SUM, [], ["Hm.", "Is it 42?"]) == "Hm.\nIs it 42?"
    assert said_first(SUM, ["It is 42."], ["Hm.", "Oh, 42!"]) == "Hm."
    assert said_first(SUM, ["Yes, 42."], ["Is it 42?", "Oh, 42!"]) == "Is it 42?\nOh, 42!"


@pytest.mark.parametrize(
    "text",
    ["1" * 6000, "1/0", "10^99999999", "9e999999", "twenty " * 500, "the answer is " * 200, "20 m^2^2", "½" * 500],
)
def test_what_a_model_may_write_is_read_in_any_case(text: str) -> None:
    find_leaks(text, SUM, turn=1, said_by_student=text)
    find_leaks("Hm.", Question(f"What is {text}?", (Option(text, correct=True), Option("b"))), turn=1)
