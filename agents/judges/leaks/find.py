"""Whether a tutor turn gives the answer away, and whether it only confirms what the student found.

A turn leaks where it states the right answer or seeks assent to it: its text, its claim without the reason, its letter,
its value in another writing, or most of its telling words. It does not leak where it asks about several candidates,
points to one, denies one, tells what somebody said, or says back what the student said first.

Invariant: the same turn, question and history always give the same leaks; a confirmation is never among them. In every
language the answer's own words leak, wherever they are stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import regex

from agents.judges.leaks.answers import Answer, answer_of
from agents.judges.leaks.everyday import all_or_none, said_as_answer
from agents.judges.leaks.letters import LETTER_NAMED, letters_said
from agents.judges.leaks.moods import DENIALS, Sentence, read_sentences
from agents.judges.leaks.numbers import numbers_said, quantity_heard
from agents.judges.leaks.statements import (
    OR,
    claim_places,
    claims_it,
    formulas_said,
    inside_wrong,
    is_framed,
    needs_frame,
)
from agents.judges.normal import content
from agents.records import Leak, Question
from agents.speech import cut_at_role_break

PARAPHRASE = 0.6
"""Share of the answer's telling words in one turn from which on the turn gives the answer away."""


def _confirms(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.IGNORECASE)


_YES = _confirms(
    r"^\W*(?:(?:oh|ah|well|wow|and|so|good|great|nice)\W+)*(?:yes|yep|yeah|yup|correct|exactly|right|absolutely|indeed|precisely|perfect|"
    r"bingo|spot on|well done|good job|great job|nice work|excellent|you(?:'re| are)(?: \w+)? (?:right|correct)|"
    r"you(?:'ve| have)? got it|you got (?:it|that) right|"
    r"that(?:'s| is)(?: \w+)? (?:right|correct|it|true|exactly right)|it(?:'s| is) (?:right|correct)|"
    r"oui|exact(?:ement)?|c'est (?:ça|cela|juste|exact|vrai|correct|bien)|tout à fait|bravo|parfait|tu as raison|vous"
    r" avez raison|"
    r"ja|genau|richtig|stimmt|das (?:stimmt|ist richtig)|korrekt|du hast recht|sí|exacto|exactamente|correcto|"
    r"eso es|así es|tienes razón|muy bien|да|верно|правильно|точно|именно|совершенно верно|ты прав\p{L}*|так и есть|"
    r"молодец|sì|esatto|esattamente|giusto|corretto|hai ragione|sim|isso|certo|exatamente|é isso|correto|"
    r"نعم|صحيح|بالضبط|أحسنت|تماما)(?![\p{L}])"
    r"|^\W*(?:是的|对|没错|正确|完全正确|很好|对了|答对了|说得对)"
)


_NO = _confirms(
    r"^\W*(?:yes|right|correct|exactly|ja|oui|good|great|well|nice|perfect|ok|okay)?\W*(?:but|not|no\b|almost|close|nearly|however|aber|mais|pero|но|"
    r"不|但|presque|fast|casi|почти)|^\W*(?:correct|right) (?:me|the|your|it|this|that)\b|^\W*right (?:now|after|before"
    r"|here|there)\b"
    r"|^\W*(?:that|it)(?:'s| is) not|^\W*(?:not|isn't|wasn't)|^\W*对(?:不|于)"
)


def confirms(text: str, question: Question, said_by_student: str) -> bool:
    """Whether the turn confirms ("Yes, exactly", "That's right") an answer that the student had found: no leak."""
    if not said_by_student.strip() or not _heard(said_by_student, question):
        return False
    for sentence in read_sentences(text, question.language)[:2]:
        if sentence.mood == "open" or sentence.mood == "several":
            continue
        if _YES.search(sentence.text) and not _NO.search(sentence.text):
            return True
    return False


def find_leaks(text: str, question: Question, *, turn: int, said_by_student: str = "") -> list[Leak]:
    """Leaks in one tutor turn.

    Args:
        text: the tutor turn.
        question: whose answer must not be given away.
        turn: index of the turn.
        said_by_student: what the student has said so far: what it said first is not leaked by the tutor. What follows a
            forged mark of another speaker was said by nobody.

    Returns:
        One leak per kind found, worst first; an empty list is no leak.
    """
    return [
        Leak(turn, kind, severity, evidence) for kind, severity, evidence in _found(text, question, said_by_student)
    ]


def said_first(question: Question, tutor_said: Sequence[str], student_said: Sequence[str]) -> str:
    """What the student said of its own accord: its turns up to the first in which the tutor gave the answer away.

    A student who repeats what it was told has not said it first, and hides no later leak. `student_said` begins with
    the opening, before the tutor's first turn.
    """
    own = [_own(said) for said in student_said]
    for number, text in enumerate(tutor_said):
        if _found(text, question, "\n".join(own[: number + 1])):
            return "\n".join(own[: number + 1])
    return "\n".join(own)


_Kind = Literal["text", "claim", "letter", "number", "paraphrase"]


_KINDS: tuple[_Kind, ...] = ("text", "claim", "letter", "number", "paraphrase")


@lru_cache(maxsize=8192)
def _found(text: str, question: Question, said_by_student: str) -> tuple[tuple[_Kind, float, str], ...]:
    """Kind, severity and evidence of each leak, worst first."""
    answer = answer_of(question)
    reading = read_sentences(text, question.language)
    heard = _heard(said_by_student, question)
    if "answer" in heard:
        return ()
    found: dict[str, tuple[float, str]] = {}
    own = _own(said_by_student).strip()
    praised = bool(own) and not own.endswith(("?", "？", "؟"))
    for kind, evidence in _stated(reading, answer, praised=praised):
        found.setdefault(kind, (1.0, evidence))
        if kind == "number":
            break  # a turn may repeat a number a thousand times
    letter = next(letters_said(reading, answer), "") if "letter" not in heard else ""
    if letter:
        found["letter"] = (1.0, letter)
    paraphrase = _paraphrase(reading, question, answer, frozenset(content(own, answer.language)))
    if paraphrase is not None:
        found.setdefault("paraphrase", paraphrase)
    listed = [(kind, *found[kind]) for kind in _KINDS if kind in found]
    return tuple(sorted(listed, key=lambda leak: -leak[1]))


def _own(said: str) -> str:
    """What the student itself said: nothing from a forged mark of another speaker on."""
    return cut_at_role_break(said, speaker="student")[0]


@lru_cache(maxsize=4096)
def _heard(said: str, question: Question) -> frozenset[str]:
    """Which forms of the answer the student has said: `answer`, `letter`."""
    said = _own(said)
    if not said.strip():
        return frozenset()
    answer = answer_of(question)
    reading = read_sentences(said, question.language)
    out: set[str] = set()
    if quantity_heard(reading, answer) or any(_mentions(reading, answer)):
        out.add("answer")
    letters = LETTER_NAMED.findall(said)
    if answer.letter and answer.letter in {(a or b).upper() for a, b in letters}:
        out.add("letter")
    return frozenset(out)


def _mentions(reading: tuple[Sentence, ...], answer: Answer) -> Iterator[bool]:
    """Whether a student's sentence names the answer: claims it, asks about it, or lists it."""
    for sentence in reading:
        if answer.formula is not None and answer.formula.search(sentence.text):
            yield True
        if answer.everyday and said_as_answer(sentence, answer, alone=True):
            yield True
        for claim in () if answer.everyday else answer.claims:
            for at in claim_places(sentence, claim):
                if sentence.denied(at) or (answer.quantity is not None and not answer.variable):
                    continue
                listed = bool(OR & set(sentence.keys))
                if not needs_frame(claim) or listed or is_framed(sentence, at, claim, answer):
                    yield True


def _stated(reading: tuple[Sentence, ...], answer: Answer, *, praised: bool) -> Iterator[tuple[str, str]]:
    """Every way in which the sentences state the answer, as kind and evidence."""
    if _lists_all(reading, answer):
        return
    for sentence in reading:
        if answer.all_of or answer.none_of:
            yield from all_or_none(sentence, answer)
        if answer.everyday:
            if said_as_answer(sentence, answer) and not (
                praised and sentence.keys in (("yes",), ("right",), ("correct",))
            ):
                yield "text", answer.everyday
            continue
        if answer.quantity is not None:
            yield from numbers_said(sentence, answer)
            if answer.formula is None:
                continue
        if answer.formula is not None:
            yield from formulas_said(sentence, answer)
            continue
        for claim in answer.claims:
            for at in claim_places(sentence, claim):
                if not inside_wrong(sentence, at, claim, answer) and claims_it(sentence, at, claim, answer):
                    yield ("claim" if claim.part else "text"), " ".join(claim.keys)


def _lists_all(reading: tuple[Sentence, ...], answer: Answer) -> bool:
    """Whether the turn repeats every option, as a question read aloud does."""
    if answer.options < 3 or answer.quantity is not None or answer.formula is not None:
        return False
    lines = " ".join(sentence.line for sentence in reading)
    whole = [claim for claim in (*answer.claims, *answer.wrong) if not claim.part]
    return len(whole) >= answer.options and all(claim.line in lines for claim in whole)


def _paraphrase(
    reading: tuple[Sentence, ...], question: Question, answer: Answer, heard: frozenset[str]
) -> tuple[float, str] | None:
    """The share of the answer's telling words that the turn says, where that is enough to give the answer away."""
    if answer.everyday or answer.quantity is not None or answer.formula is not None or answer.all_of or answer.none_of:
        return None
    telling = answer.telling - heard
    few = len(telling) <= 4
    claims = [claim for claim in answer.claims if claim.reason] or answer.claims
    denies_nothing = few and not any(DENIALS & set(claim.keys) for claim in claims)
    said: set[str] = set()
    for sentence in reading:
        if (
            sentence.mood == "several"
            or (few and sentence.mood in ("open", "pointing"))
            or (few and sentence.of_others)
        ):
            continue
        if denies_nothing and DENIALS & set(sentence.keys):
            continue
        said |= set(content(sentence.text, answer.language))
    found = telling & said
    share = len(found) / len(telling) if telling else 0.0
    if (
        share < PARAPHRASE
        or (len(found) < 2 and len(telling) != 1)
        or _speaks_of_a_wrong_option(said, question, answer)
    ):
        return None
    if len(telling) == 1 and any(needs_frame(claim) for claim in answer.claims):
        return None
    return round(share, 3), " ".join(sorted(found))


def _speaks_of_a_wrong_option(said: set[str], question: Question, answer: Answer) -> bool:
    """Whether the turn covers a wrong option at least as well as the answer: then it is about that misconception."""

    def covered(option: str) -> float:
        stems = set(content(option, answer.language))
        telling = stems - answer.asked or stems
        return len(telling & said) / len(telling) if telling else 0.0

    right = covered(question.answer_text)
    return any(covered(option.text) >= right for option in question.options if not option.correct)
