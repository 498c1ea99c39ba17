"""The rule judge: what can be measured on a tutor turn without a model. Deterministic, and fast enough for candidates.

It finds leaks (the answer's text, its letter, its number, or most of its content words in one turn), real questions,
sentences that stay on the item's concept, repetition, length and reading grade.

Invariant: the same turn, item and history always give the same figures; every figure but `words` and `grade` lies in
[0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from agents.judges.answers import hints as hints
from agents.judges.answers import telling_words as telling_words
from agents.judges.leaks import confirms as confirms
from agents.judges.leaks import find_leaks as find_leaks
from agents.judges.leaks import said_first as said_first
from agents.records import Item, Leak, TurnRules

STOP = frozenset(
    "a an and are as at be been because but by can could did do does for from get gets had has have how i if in into "
    "is it its just let like me more most my no not of on one or our out she he so some than that the their them then "
    "there these they this to up us was we were what when where which who why will with would you your yes".split()
)
REPEATED = 0.6
"""Share of a question's word triples said before from which on it is no new question."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A light stem: enough to match `rotates` with `rotation`-like neighbours of one root."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def content(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order."""
    return [stem(word) for word in words(text) if word not in STOP]


def concept_stems(item: Item) -> frozenset[str]:
    """Stems that show a sentence is about the item."""
    text = " ".join((*item.keywords, item.concept, item.question.text))
    options = " ".join(option.text for option in item.question.options)
    return frozenset(content(text)) | frozenset(content(options))


def asks(text: str, item: Item, earlier: Sequence[str] = ()) -> bool:
    """Whether the turn holds a real question: at least four words, about the item, new, ended by a question mark.

    A bare "Does that make sense?" or "Ready?" is not one, nor is a question most of whose word triples were said in
    `earlier` texts: a reward must not be satisfied by empty questions.
    """
    stems = concept_stems(item)
    for sentence in _SENTENCE.findall(text):
        about = len(words(sentence)) >= 4 and stems & set(content(sentence))
        if about and sentence.strip().endswith("?") and (repetition(sentence, earlier) or 0.0) < REPEATED:
            return True
    return False


def on_item(text: str, item: Item) -> float | None:
    """Share of the turn's sentences that hold a word of the item's concept; None without a sentence."""
    sentences = [content(sentence) for sentence in _SENTENCE.findall(text) if words(sentence)]
    stems = concept_stems(item)
    return sum(bool(stems & set(sentence)) for sentence in sentences) / len(sentences) if sentences else None


def _grams(text: str, n: int = 3) -> list[tuple[str, ...]]:
    found = words(text)
    if len(found) < n:
        return [tuple(found)] if found else []
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


def repetition(text: str, earlier: Sequence[str]) -> float | None:
    """Share of the turn's 3-grams that were said before, earlier in the dialogue or earlier in the turn.

    A text of fewer words is one gram; a text without any word has none, and is not measured.
    """
    grams = _grams(text)
    if not grams:
        return None
    seen = {gram for other in earlier for gram in _grams(other)}
    repeated = 0
    for gram in grams:
        repeated += gram in seen
        seen.add(gram)
    return repeated / len(grams)


def reading_grade(text: str) -> float | None:
    """Flesch-Kincaid grade level, None for a text without a word; syllables counted as groups of vowels."""
    found = [word for word in words(text) if word[0].isalpha()]
    if not found:
        return None
    sentences = max(1, sum(bool(words(sentence)) for sentence in _SENTENCE.findall(text)))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word))) for word in found)
    return max(0.0, round(0.39 * len(found) / sentences + 11.8 * syllables / len(found) - 15.59, 2))


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
    earlier = [*tutor_said, *student_said, item.question.text]
    leaks = find_leaks(
        text, item.question, turn=turn, said_by_student=said_first(item.question, tutor_said, student_said)
    )
    rules = TurnRules(
        question=asks(text, item, earlier),
        leak=leaks[0].severity if leaks else 0.0,
        on_item=_rounded(on_item(text, item)),
        repetition=_rounded(repetition(text, earlier)),
        words=len(words(text)),
        grade=reading_grade(text),
    )
    return rules, leaks


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
