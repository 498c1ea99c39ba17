"""How a dialogue becomes text, and how long text is cut.

Invariant: a turn is one line, whatever it says, so no turn can pass for another. Where text is cut its end stays, since
that is the reply being judged; the dimension header stays too, and what went is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agents.errors import InputError, TrainerError
from agents.records import Dialogue, Turn

HEADER = "Dimension: "
"""A text whose first line starts so has a dimension header."""
CHUNK_TURNS = 20
"""Turns in one chunk of a classroom transcript (ConvoLearn v4, section 6)."""
Unit = Literal["dialogue", "reply"]
"""What was rated: all that the tutor says, or its last turn."""
_SPEAKERS = {"student": "Student", "tutor": "Tutor"}


def turns_text(turns: Sequence[Turn], *, dimension: str = "") -> str:
    """Returns one `Student: ...` or `Tutor: ...` line per turn that says something.

    Args:
        turns: in order.
        dimension: put before them as a header line; empty for none.
    """
    spoken = [(turn.role, " ".join(turn.text.split())) for turn in turns]
    lines = [f"{_SPEAKERS[role]}: {text}" for role, text in spoken if text]
    if dimension:
        lines.insert(0, HEADER + " ".join(dimension.split()))
    return "\n".join(lines)


def dialogue_text(dialogue: Dialogue, dimension_tag: bool = False) -> str:
    """Returns the text of a dialogue, with its dimension as a header where `dimension_tag` asks for it.

    Raises:
        TrainerError: a header is asked for and the dialogue's strategy has no dimension.
    """
    return turns_text(dialogue.turns, dimension=_dimension(dialogue) if dimension_tag else "")


def chunks(dialogue: Dialogue, turns: int = CHUNK_TURNS, *, dimension_tag: bool = False) -> list[str]:
    """Returns the texts of a long dialogue's consecutive chunks, which do not overlap; the last one may be shorter.

    Raises:
        InputError: a chunk of no turns.
        TrainerError: see `dialogue_text`.
    """
    if turns < 1:
        raise InputError(f"a chunk of {turns} turns: give at least 1")
    spoken = [turn for turn in dialogue.turns if turn.text.strip()]
    dimension = _dimension(dialogue) if dimension_tag else ""
    return [turns_text(spoken[at : at + turns], dimension=dimension) for at in range(0, len(spoken), turns)]


def split_header(text: str) -> tuple[str, str]:
    """Returns the header line with its newline (empty when there is none) and the rest."""
    first, newline, rest = text.partition("\n")
    return (first + newline, rest) if newline and first.startswith(HEADER) else ("", text)


def keep_end(tokens: Sequence[int], room: int) -> tuple[tuple[int, ...], int]:
    """Returns the last `room` tokens and how many were dropped before them."""
    dropped = max(0, len(tokens) - room)
    return tuple(tokens[dropped:]), dropped


def windows(tokens: Sequence[int], size: int, stride: int) -> list[tuple[int, ...]]:
    """Returns windows that together hold every token; the last one ends where the tokens end.

    Args:
        tokens: any number of them; none gives one empty window.
        size: tokens in a window; only a text shorter than that has a shorter one.
        stride: tokens from one window's start to the next one's, at most `size`.

    Raises:
        InputError: a stride that is not between 1 and `size`.
    """
    if not 1 <= stride <= size:
        raise InputError(f"window stride {stride} with windows of {size} tokens: give a stride from 1 to {size}")
    last = max(0, len(tokens) - size)
    starts = [*range(0, last, stride), last]
    return [tuple(tokens[start : start + size]) for start in starts]


def _dimension(dialogue: Dialogue) -> str:
    found = dialogue.spec.dimension
    if not found:
        raise TrainerError(
            f"dialogue {dialogue.id!r}: the strategy {dialogue.spec.strategy!r} has no dimension to put in the header; "
            "leave the dimension tag out, or score dialogues of a strategy with a dimension"
        )
    return found
