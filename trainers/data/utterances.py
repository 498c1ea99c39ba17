"""From what a source wrote down to turns: labelled text is cut, one side's messages in a row are merged.

Invariant: the turns of `tidy` alternate, are numbered from 0, and none is blank. Line ends become `\\n`, U+00A0 becomes
a blank (some sources set it around their separators), and texts are stripped; nothing else in a text is touched. What
was merged or dropped is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from agents.records import Role, Turn

LABELS: dict[str, Role] = {"Student": "student", "Teacher": "tutor", "Tutor": "tutor"}
"""The words that may stand before a turn in a transcript; `Student:` and `Student :` are the same."""
_LABEL = re.compile(rf"^[ \t]*({'|'.join(LABELS)})[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one side said, with what the source notes about it (a teaching act) or an empty note."""

    role: Role
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """Alternating turns, the notes on each turn by its index, and how many messages were merged or were empty."""

    turns: tuple[Turn, ...]
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    merged: int = 0
    empty: int = 0

    def first(self, role: Role) -> str:
        """The first line that side said, or an empty text."""
        return next((turn.text.splitlines()[0] for turn in self.turns if turn.role == role), "")


def clean(text: str) -> str:
    """Returns the text with plain line ends and blanks, stripped."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").strip()


def holds_label(text: str) -> bool:
    """Whether a line of the text after its first would be read as the beginning of a turn."""
    return _LABEL.search(text, 1) is not None


def transcript(text: str) -> tuple[str, list[Utterance]]:
    """Cuts a transcript at its labels.

    Args:
        text: turns that begin a line with one of `LABELS` and a colon; a turn may have several lines.

    Returns:
        The text before the first label (mostly empty), and what was said, empty turns included.
    """
    whole = clean(text)
    marks = list(_LABEL.finditer(whole))
    ends = [*(mark.start() for mark in marks), len(whole)][1:]
    said = [Utterance(LABELS[mark[1]], whole[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
    return whole[: marks[0].start()].strip() if marks else whole, said


def tidy(utterances: Iterable[Utterance]) -> Said:
    """Makes turns: blank messages are dropped, messages of one side in a row are joined with a line break."""
    roles: list[Role] = []
    texts: list[str] = []
    notes: dict[int, tuple[str, ...]] = {}
    merged = empty = 0
    for utterance in utterances:
        text = clean(utterance.text)
        if not text:
            empty += 1
            continue
        if roles and roles[-1] == utterance.role:
            texts[-1] += "\n" + text
            merged += 1
        else:
            roles.append(utterance.role)
            texts.append(text)
        if utterance.note:
            last = len(roles) - 1
            notes[last] = (*notes.get(last, ()), utterance.note)
    turns = tuple(Turn(index, role, text) for index, (role, text) in enumerate(zip(roles, texts, strict=True)))
    return Said(turns, notes, merged, empty)
