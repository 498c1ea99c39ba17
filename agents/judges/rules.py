"""The rule judge: what can be measured on a tutor turn without a model. Deterministic, and fast enough for candidates.

It finds leaks, confirmations of a right guess, real questions, sentences that stay on the item, repetition, length and
reading grade, in the language that the item's question names (docs/measures.md).

Invariant: the same turn, item and history always give the same figures; every figure but `words` and `grade` lies in
[0, 1], or is None: not measured, because the language has no rule or the turn nothing to measure.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.judges.grammar import grammar
from agents.judges.leaks import confirms as confirms
from agents.judges.leaks import find_leaks as find_leaks
from agents.judges.leaks import said_first as said_first
from agents.judges.leaks import telling_words as telling_words
from agents.judges.normal import content as content
from agents.judges.normal import words as words
from agents.judges.questions import asks as asks
from agents.judges.style import base, measures_content
from agents.judges.style import on_item as on_item
from agents.judges.style import reading_grade as reading_grade
from agents.judges.style import repetition as repetition
from agents.records import Item, Leak, TurnRules


def measured(language: str) -> frozenset[str]:
    """Which rules can be measured in a language, as fields of `TurnRules`."""
    found = {"leak", "repetition", "words"}
    if grammar(language):
        found |= {"question", "confirmation"}
    if measures_content(language):
        found.add("on_item")
    if base(language) == "en":
        found.add("grade")
    return frozenset(found)


def judge_turn(
    text: str, item: Item, *, turn: int, tutor_said: Sequence[str] = (), student_said: Sequence[str] = ()
) -> tuple[TurnRules, list[Leak]]:
    """Everything the rules say of one tutor turn.

    Args:
        text: the tutor turn.
        turn: its index in the dialogue.
        tutor_said: the tutor's earlier turns, for repetition.
        student_said: the student's earlier turns: the tutor does not leak what the student said first, and saying the
            student's words back as one's own counts as repetition.
    """
    earlier, language = [*tutor_said, *student_said], item.question.language
    heard = said_first(item.question, tutor_said, student_said)
    leaks = find_leaks(text, item.question, turn=turn, said_by_student=heard)
    rules = TurnRules(
        question=asks(text, item, earlier, student_said),
        leak=leaks[0].severity if leaks else 0.0,
        on_item=_rounded(on_item(text, item)),
        repetition=_rounded(repetition(text, [*earlier, item.question.text], language)),
        words=len(words(text, language)),
        grade=reading_grade(text, language),
        confirmation=confirms(text, item.question, heard) if grammar(language) else None,
    )
    return rules, leaks


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
