"""Dialogues as text: one line a turn, the end kept, nothing lost between windows or chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InputError, TrainerError
from agents.records import Dialogue, EpisodeSpec, Role, Turn
from trainers.scorer.text import chunks, dialogue_text, keep_end, split_header, turns_text, windows


def make_dialogue(*texts: str, dimension: str = "") -> Dialogue:
    """A dialogue that a student opens, with the dimension as its strategy's parameter."""
    settings = {"dimension": dimension} if dimension else {}
    roles: tuple[Role, Role] = ("student", "tutor")
    turns = tuple(Turn(index, roles[index % 2], text) for index, text in enumerate(texts))
    return Dialogue(EpisodeSpec("d1", "a", "run", "kb", settings, "p", "pack", "item", 0, 0, "s"), turns)


def test_a_turn_is_one_line_and_cannot_pass_for_another() -> None:
    dialogue = make_dialogue("Why?", "Look\nStudent:  I got it!", " ")
    assert dialogue_text(dialogue) == "Student: Why?\nTutor: Look Student: I got it!"


def test_the_dimension_is_a_header_when_asked_for() -> None:
    text = dialogue_text(make_dialogue("Why?", dimension="Formative  Assessment"), dimension_tag=True)
    assert text == "Dimension: Formative Assessment\nStudent: Why?"
    assert split_header(text) == ("Dimension: Formative Assessment\n", "Student: Why?")
    assert split_header("Student: Why?\nTutor: So.") == ("", "Student: Why?\nTutor: So.")
    with pytest.raises(TrainerError, match="'kb' has no dimension"):
        dialogue_text(make_dialogue("Why?"), dimension_tag=True)


@given(tokens=st.lists(st.integers()), room=st.integers(1, 20))
def test_the_end_is_kept_and_the_rest_counted(tokens: list[int], room: int) -> None:
    kept, dropped = keep_end(tokens, room)
    assert len(kept) <= room and dropped + len(kept) == len(tokens)
    assert list(kept) == tokens[len(tokens) - len(kept) :]


@given(count=st.integers(0, 60), size=st.integers(1, 20), data=st.data())
def test_windows_hold_every_token_and_the_end(count: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size))
    found = windows(range(count), size, stride)
    assert {token for window in found for token in window} == set(range(count))
    assert all(len(window) == min(size, count) for window in found)
    assert list(found[-1]) == list(range(count))[-size:]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("stride", [0, 5, -1])
def test_a_stride_that_would_skip_tokens_is_refused(stride: int) -> None:
    with pytest.raises(InputError, match="from 1 to 4"):
        windows(range(9), 4, stride)


def test_chunks_hold_every_spoken_turn_once() -> None:
    dialogue = make_dialogue(*(f"t{number}" if number != 3 else "  " for number in range(45)), dimension="X")
    found = chunks(dialogue, 20, dimension_tag=True)
    assert [text.count("\n") for text in found] == [20, 20, 4]
    lines = [line for text in found for line in split_header(text)[1].split("\n")]
    assert "\n".join(lines) == turns_text(dialogue.turns)
    with pytest.raises(InputError, match="0 turns"):
        chunks(dialogue, 0)
