"""How a simulated student speaks, beside people who learn: length, sentences that stop, and a tutor's phrases.

Only turns that a model wrote are looked at: an opening is the item's, and a script's or a stressor's words are ours.

Invariant: a share of no turn is None; phrases are listed by language, and in another one they are not measured.
`benchmarks/students.py` measures the people.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import regex
import yaml

from agents.judges.normal import normalised, sentences
from agents.judges.style import base
from agents.records import Dialogue, Turn
from agents.students import TERSE, stops_short

_PHRASES: dict[str, dict[str, list[str]]] = yaml.safe_load(
    files("agents").joinpath("data/tutor_phrases.yaml").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class People:
    """What people who learn do, as `benchmarks/students.py` measured it."""

    figures: Mapping[str, float]
    """By measure; of `student_words` the median turn. None of `student_cut`: nobody cuts a person short."""
    n: int
    """Turns."""
    who: str


PEOPLE = People(
    {"student_words": 1.0, "student_terse": 0.879, "student_tutor_phrases": 0.0},
    593,
    "students in chats with human tutors on mathematics (Bridge, Wang et al., NAACL 2024; developers' half)",
)


def sampled_student_turns(dialogue: Dialogue) -> list[Turn]:
    """The student's turns that a model wrote."""
    return [
        turn
        for turn in dialogue.turns
        if turn.role == "student" and turn.policy_version not in ("", "script") and not turn.stressor
    ]


def is_terse(text: str) -> bool:
    """Whether a turn has one to three words."""
    return 1 <= len(text.split()) <= TERSE


def sounds_like_a_tutor(text: str, language: str = "en") -> bool | None:
    """Whether a turn holds a listed phrase that a tutor says and a learner hardly ever does; None: not measured."""
    found = _patterns(base(language))
    if found is None:
        return None
    anywhere, begins = found
    plain = normalised(text)
    return bool(anywhere.search(plain)) or any(begins.match(one) for one in sentences(plain, language))


@cache
def _patterns(language: str) -> tuple[regex.Pattern[str], regex.Pattern[str]] | None:
    listed = _PHRASES.get(language)
    if listed is None:
        return None
    anywhere, begins = ("|".join(map(regex.escape, listed[place])) for place in ("anywhere", "begins"))
    return (
        regex.compile(rf"(?<!\w)(?:{anywhere})(?!\w)", regex.IGNORECASE),
        regex.compile(rf"\W*(?:{begins})(?!\w)", regex.IGNORECASE),
    )


def cut_share(dialogue: Dialogue) -> float | None:
    """Share of the student's turns that stop within a sentence."""
    return _share(dialogue, stops_short)


def terse_share(dialogue: Dialogue) -> float | None:
    """Share of the student's turns of one to three words."""
    return _share(dialogue, lambda turn: is_terse(turn.text))


def tutor_phrases(dialogue: Dialogue) -> float | None:
    """Share of the student's turns that hold a tutor's phrase, of dialogues in English."""
    return _share(dialogue, lambda turn: bool(sounds_like_a_tutor(turn.text))) if reads_english(dialogue) else None


def reads_english(dialogue: Dialogue) -> bool:
    """Whether it is about an item in English. A record names no language, but only English has a reading grade."""
    return any(turn.rules is not None and turn.rules.grade is not None for turn in dialogue.tutor_turns)


def mean_words(dialogue: Dialogue) -> float | None:
    """Mean words of the student's turns."""
    counts = [len(turn.text.split()) for turn in sampled_student_turns(dialogue)]
    return sum(counts) / len(counts) if counts else None


def median_words(texts: Iterable[str]) -> float | None:
    """Median words of a turn."""
    counts = [len(text.split()) for text in texts]
    return float(statistics.median(counts)) if counts else None


def _share(dialogue: Dialogue, holds: Callable[[Turn], bool]) -> float | None:
    found = [holds(turn) for turn in sampled_student_turns(dialogue)]
    return sum(found) / len(found) if found else None
