"""What a simulated student says: whole sentences of what its model wrote, and scripted turns that differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.judges.leaks.answers import telling_words
from agents.judges.normal import content
from agents.judges.rules import find_leaks
from agents.library import Script, persona
from agents.packs import load_pack, shipped_packs
from agents.records import Item, Turn
from agents.students import (
    first_clause,
    is_terse_turn,
    longest_scripted,
    scripted,
    stops_short,
    tersest,
    whole_sentences,
)

ITEMS = tuple(item for pack in shipped_packs() for item in load_pack(pack).items)
ASKED, TOLD = "What happens to the light when the Earth turns?", "Good. The Earth turns around its axis."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("One is done. Two is not", "One is done."),
        ("One is done. Two as well.", "One is done. Two as well."),
        ("地球会自转。为什么", "地球会自转。"),
        ("Почему? Потому", "Почему?"),
        ("ठीक है। क्यों", "ठीक है।"),
        ("i guess so. then it", "i guess so."),
        ('He said "It is." and', 'He said "It is."'),
        ("It turns. So I say:\n- the sun\n- the mo", "It turns."),
    ],
)
def test_a_turn_at_its_limit_keeps_its_finished_sentences(text: str, kept: str) -> None:
    assert whole_sentences(text, torn=True) == (kept, False)


@pytest.mark.parametrize("text", ["No end at all", "It is 3.5 m and", "I asked Dr. Brown", "because"])
def test_a_turn_without_a_finished_sentence_stays_and_is_told(text: str) -> None:
    assert whole_sentences(text, torn=True) == (text, True)
    assert whole_sentences(text, torn=False) == (text, False)


def test_at_most_so_many_sentences_are_said() -> None:
    said = "I see. It turns! Then it is dark? Sure"
    assert [whole_sentences(said, torn=False, most=n)[0] for n in (0, 1, 3, 9)] == [
        said,
        "I see.",
        "I see. It turns! Then it is dark?",
        said,
    ]
    assert whole_sentences("...", torn=False, most=1) == ("...", False)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.booleans(), st.integers(0, 3))
@example("0.:", True, 0)
def test_what_is_said_is_the_begin_of_what_was_written(text: str, torn: bool, most: int) -> None:
    said, unfinished = whole_sentences(text, torn=torn, most=most)
    assert text.strip().startswith(said.strip()) and (torn or not unfinished)
    assert unfinished or whole_sentences(said, torn=False, most=most)[0].strip() == said.strip()


def test_a_turn_of_an_older_record_is_looked_at_as_it_stands() -> None:
    torn = Turn(2, "student", "I think that", finish_reason="length")
    assert stops_short(torn) and not stops_short(replace(torn, text="I think so."))
    assert not stops_short(replace(torn, unfinished=False)) and not stops_short(replace(torn, finish_reason="stop"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("the big one, because it is heavy", "the big one"),
        ("why? I thought so", "why?"),
        ("idk", "idk"),
        ("...", "..."),
        ("(laughs) no", "no"),
        ("i think it is the sun and the", "i think it is the sun and the"),
        ("地球，因为", "地球"),
    ],
)
def test_a_terse_turn_is_a_first_clause(text: str, said: str) -> None:
    assert first_clause(text) == said


def test_the_shortest_reply_is_said() -> None:
    assert tersest(["It is because of the sun", "the sun, I guess", "no"]) == 1
    assert tersest(["It is because of the sun", "I do not know that"]) == 1


def test_the_share_of_terse_turns_is_the_personas_and_they_are_nested() -> None:
    turns = [(str(student), number) for student in range(400) for number in range(3)]
    at = {share: {t for t in turns if is_terse_turn(share, *t)} for share in (0.0, 0.2, 0.5, 0.9, 1.0)}
    assert not at[0.0] and at[0.2] < at[0.5] < at[0.9] < at[1.0] == set(turns)
    assert all(abs(len(found) / len(turns) - share) < 0.05 for share, found in at.items())


def _script() -> Script:
    found = persona("begging").script
    assert found is not None
    return found


def _says(item: Item, heard: str = ASKED, *, student: str = "s", number: int = 0) -> str:
    wrong = next(option.text for option in item.question.options if not option.correct)
    return scripted(_script(), item, belief=wrong, heard=heard, student_key=student, number=number)


def test_begging_is_hardly_ever_the_same_and_always_begs() -> None:
    for number in range(4):
        said = [_says(item, heard, student=item.id, number=number) for item in ITEMS[::5] for heard in (ASKED, TOLD)]
        assert len(set(said)) > 0.6 * len(said)
        assert len({" ".join(text.split()[:4]) for text in said}) >= 8
        rung = _script().asks[min(number, 2)]
        assert all(any(text.endswith(form) for form in rung) for text in said)


def test_begging_takes_up_the_tutor_and_the_item() -> None:
    item = load_pack("earth_science").item("es-astro-01")
    said = {_says(item, heard, student=str(n)) for heard in (ASKED, TOLD) for n in range(60)}
    assert any("earth" in text or "sun" in text for text in said) and any(item.concept in text for text in said)
    assert any(option.text in text for text in said for option in item.question.options)
    assert _says(item) == _says(item) and len({_says(item, student=str(n)) for n in range(30)}) > 15
    assert _says(item, "Zzz?", student="1") and "{" not in "".join(said)


def test_begging_gives_nothing_of_the_answer_away_and_is_no_longer_than_told() -> None:
    for item in ITEMS:
        wrong = next(option.text for option in item.question.options if not option.correct)
        most = longest_scripted(_script(), item, wrong)
        for number in range(3):
            for heard in (ASKED, TOLD, item.question.answer_text, f"{item.question.answer_text}?"):
                text = _says(item, heard, student=item.id, number=number)
                assert text and not find_leaks(text, item.question, turn=0), (item.id, text)
                assert not telling_words(item.question) & set(content(text)), (item.id, text)
                assert len(text) <= most
