"""Stressors: what makes a student hard to teach, as ladders of lines with an intensity from 0 to 1.

Invariant: what a stressor does is a function of its arguments alone. Whether turn k of a student is stressed is
`draw(student, stressor, k) < intensity`, with a draw that does not depend on the intensity: of one student, the turns
that are stressed at an intensity are stressed at every higher one (common random numbers), and over many students
their share is the intensity. The lines are data: `agents/data/stressors.yaml`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agents.documents import adapted, located, parse_document
from agents.errors import InputError, nearest

FIELDS = frozenset({"belief", "question"})
"""What a line may hold in braces: the wrong option the student believes, and the item's question."""
_FIELD = re.compile(r"\{([A-Za-z_]+)\}")
_FILE = "data/stressors.yaml"


@dataclass(frozen=True, slots=True)
class Stressor:
    """One way in which a student is hard to teach."""

    name: str
    about: str
    says: Literal["append", "replace"]
    """Whether a line follows the student's own words or stands in their place."""
    lines: tuple[str, ...]
    """From mild to strong."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    about: Annotated[str, Field(min_length=1)]
    says: Literal["append", "replace"]
    lines: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=6, max_length=8)]


_ENTRIES = TypeAdapter(dict[str, _Entry])


@cache
def _read() -> dict[str, Stressor]:
    return parse_stressors(files("agents").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)


def stressors() -> dict[str, Stressor]:
    """All stressors by name."""
    return dict(_read())


def stressor(name: str) -> Stressor:
    """The stressor of that name. Raises InputError when there is none."""
    known = _read()
    if name not in known:
        raise InputError(f"no stressor {name!r}; {nearest(name, known)}")
    return known[name]


def parse_stressors(text: str, source: str) -> dict[str, Stressor]:
    """Reads stressors from YAML text, by name.

    Args:
        text: a map from a name to `about`, `says` and 6 to 8 distinct `lines`.
        source: the file, for messages.

    Raises:
        InputError: the text is something else; the message names file, stressor and field.
    """
    try:
        entries = adapted(_ENTRIES, parse_document(text, f"stressors {source}"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        end = located(text, first)
        raise InputError(f"stressors {source}: {where}: {first['msg']}{end}; see docs/stressors.md") from error
    for name, entry in entries.items():
        if len(set(entry.lines)) < len(entry.lines):
            raise InputError(f"stressors {source}: {name}.lines: a line stands twice; write a ladder of distinct lines")
        for field in (found for line in entry.lines for found in _FIELD.findall(line) if found not in FIELDS):
            raise InputError(f"stressors {source}: {name}.lines: unknown field {field!r}; {nearest(field, FIELDS)}")
    return {name: Stressor(name, entry.about, entry.says, tuple(entry.lines)) for name, entry in entries.items()}


def draw(student_key: str, name: str, number: int) -> float:
    """Returns the number in [0, 1), uniform over students, that decides from which intensity on a turn is stressed.

    It is made from the first 53 bits of a SHA-256 digest, so it is the same in every process and on every machine.
    """
    digest = hashlib.sha256(json.dumps([student_key, name, number]).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def move(
    stressor: Stressor, *, intensity: float, number: int, student_key: str, belief: str, question: str
) -> str | None:
    """Returns what the stressor says at a student's turn, or None when it keeps quiet there.

    Args:
        stressor: which.
        intensity: share of turns that are stressed, 0 (never) to 1 (always); the ladder also starts higher with it.
        number: of the student's turn; 0 is the opening.
        student_key: who the student is; equal keys get equal draws.
        belief: the wrong option that the student holds.
        question: the item's question.

    Raises:
        InputError: an intensity outside [0, 1], or a negative number.
    """
    if not (math.isfinite(intensity) and 0.0 <= intensity <= 1.0):
        raise InputError(f"stressor {stressor.name}: intensity is {intensity}; give a number from 0 to 1")
    if number < 0:
        raise InputError(f"stressor {stressor.name}: turn number is {number}; the student's opening is 0")
    if draw(student_key, stressor.name, number) >= intensity:
        return None
    values = {"belief": belief, "question": question}
    # One pass over the line, and not str.format: lines hold JSON, and a belief may hold braces of its own.
    return _FIELD.sub(lambda found: values[found.group(1)], _line(stressor, intensity, number))


def _line(stressor: Stressor, intensity: float, number: int) -> str:
    """One rung per turn, from the bottom at a low intensity and from half way up at 1; the top rung is repeated."""
    start = math.floor(intensity * (len(stressor.lines) // 2))
    return stressor.lines[min(start + number, len(stressor.lines) - 1)]


def stressed_text(own: str, stressor: Stressor, said: str, *, opening: bool = False) -> str:
    """Returns the student's turn with the stressor in it.

    Args:
        own: the student's own words; not used where the stressor replaces them.
        said: what `move` returned.
        opening: the turn raises the item's question, so its own words stay whatever the stressor does.
    """
    if stressor.says == "replace" and not opening:
        return said
    return f"{own.strip()} {said}".strip()
