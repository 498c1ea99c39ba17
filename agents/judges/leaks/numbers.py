"""Whether a sentence gives the answer's value away, or only reckons with it, numbers a line or repeats the problem.

Invariant: pure; a place is the index of a token in `Sentence.tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from agents.judges.leaks.answers import Answer
from agents.judges.leaks.moods import Sentence
from agents.judges.leaks.quantities import Quantity, Token, same
from agents.judges.leaks.statements import (
    ADVERBS,
    BARE_BEFORE,
    BE,
    COMMIT,
    IS_IT,
    NAMED_AFTER,
    OR,
    mood_at,
    presupposed,
    words_ahead,
)
from agents.judges.normal import STOP, stem


def quantity_heard(reading: tuple[Sentence, ...], answer: Answer) -> bool:
    """Whether the student put the value forward: named it, and did not go on to another result."""
    if answer.quantity is None:
        return False
    heard = False
    for sentence in reading:
        several = bool(OR & set(sentence.keys))
        for place, token in enumerate(sentence.tokens):
            if token.quantity is None or _is_pronoun(sentence, place):
                continue
            if same(answer.quantity, token.quantity):
                heard = not _denied_token(sentence, place) and (several or not _is_operand(sentence, place))
            elif heard and not several and _is_result(sentence, place, token.quantity, answer):
                heard = False
    return heard


def _is_result(sentence: Sentence, place: int, quantity: Quantity, answer: Answer) -> bool:
    """Whether a number is what the student came to: after `=`, as the answer, or a wrong option's value."""
    before = sentence.tokens[place - 1].text if place else ""
    if before in ("=", "≈") or any(same(wrong, quantity) for wrong in answer.wrong_quantities):
        return True
    return IS_IT.search(words_ahead(sentence, sentence.places.index(place))) is not None


def numbers_said(sentence: Sentence, answer: Answer) -> Iterator[tuple[str, str]]:
    """Mentions of the answer's value that give it away."""
    for place, token in enumerate(sentence.tokens):
        if token.quantity is None or answer.quantity is None:
            continue
        if not same(answer.quantity, token.quantity) and not _is_ratio_in_words(sentence, place, answer):
            continue
        if _is_pronoun(sentence, place) or _is_operand(sentence, place) or _is_numbering(sentence, place):
            continue
        at = sentence.places.index(place)
        if _denied_token(sentence, place):
            continue
        framed = _number_framed(sentence, at, place, answer)
        if _is_bare_one(token) and not framed and not _counts_what_is_asked(sentence, at, answer):
            continue
        if _counts_something_else(sentence, place, answer) or (_in_problem(token.quantity, answer) and not framed):
            continue
        mood = mood_at(sentence, at, answer)
        if mood in ("stated", "assent", "yes_no") or (mood == "pointing" and framed):
            yield "number", token.text
        elif mood == "open" and presupposed(sentence, at):
            yield "number", token.text


def _is_bare_one(token: Token) -> bool:
    """Whether it is `one`, of whatever language, without a unit."""
    quantity = token.quantity
    return quantity is not None and quantity.form == "word" and quantity.unit is None and quantity.values[0] == 1


def _counts_something_else(sentence: Sentence, place: int, answer: Answer) -> bool:
    """`2 parts` where hours are asked for: a number without a unit in front of a noun."""
    said, meant = sentence.tokens[place].quantity, answer.quantity
    if said is None or meant is None or said.unit is not None or said.form in ("percent", "clock", "spoken", "ratio"):
        return False
    if (meant.unit is None and meant.form != "percent") or place + 1 >= len(sentence.tokens):
        return False
    following = sentence.tokens[place + 1]
    return (
        following.is_word
        and len(following.text) > 2
        and following.low not in STOP["en"] | STOP.get(answer.language, frozenset())
    )


def _counts_what_is_asked(sentence: Sentence, at: int, answer: Answer) -> bool:
    """`One moon` where moons are asked for; `one item` is any item."""
    return at + 1 < len(sentence.keys) and stem(sentence.keys[at + 1], answer.language) in answer.asked


def _is_ratio_in_words(sentence: Sentence, place: int, answer: Answer) -> bool:
    """`3 to 4` where the answer is the ratio 3:4."""
    if answer.quantity is None or answer.quantity.form != "ratio" or answer.quantity.pair is None:
        return False
    two = sentence.tokens[place : place + 3]
    if len(two) < 3 or two[1].low not in ("to", "zu", "à", "a", "к", "比"):
        return False
    first, second = two[0].quantity, two[2].quantity
    if first is None or second is None:
        return False
    return (first.values[0], second.values[0]) == answer.quantity.pair


def _denied_token(sentence: Sentence, place: int) -> bool:
    at = sentence.places.index(place)
    return sentence.denied(at, reach=4)


_AFTER_PRONOUN = frozenset(
    "of that who which is are can another by thing day way at should must could would has does did more or whose to "
    "you "
    "we in on with where for from as was were will and seems looks makes have".split()
)


_BEFORE_PRONOUN = frozenset(
    "the which this that each every any no another last first right wrong correct other next same such some these "
    "those bigger smaller new good better".split()
)


def _is_pronoun(sentence: Sentence, place: int) -> bool:
    """Whether `one` stands for a thing here, and not for 1."""
    token = sentence.tokens[place]
    if token.low != "one":
        return False
    before = sentence.tokens[place - 1].low if place else ""
    after = sentence.tokens[place + 1].low if place + 1 < len(sentence.tokens) else ""
    if before == "only" and place > 1:
        before = sentence.tokens[place - 2].low if sentence.tokens[place - 2].low == "the" else before
    return before in _BEFORE_PRONOUN or after in _AFTER_PRONOUN


def _is_operand(sentence: Sentence, place: int) -> bool:
    """Whether the number is reckoned with: 6 + 4 = ..., subtract 6 from."""
    read = sentence.tokens
    before, after = (read[place - 1].low if place else ""), (read[place + 1].low if place + 1 < len(read) else "")
    if before in ("=", "≈"):
        return False
    operators = {"+", "×", "*", "·", "÷", "/", "plus", "times"}
    if after in operators | {"minus", "divided", "multiplied"} or before in operators | {"minus"}:
        return True
    if after == "-" and place + 2 < len(read) and read[place + 2].quantity is not None:
        return True
    if before == "-" and place > 1 and read[place - 2].quantity is not None:
        return True
    if after == "x" and place + 2 < len(read) and read[place + 2].quantity is not None:
        return True
    two = read[place - 2].low if place > 1 else ""
    return before in (
        "subtract",
        "add",
        "subtracting",
        "adding",
        "subtracted",
        "added",
        "multiply",
        "multiplying",
        "divide",
    ) or (before == "by" and two not in ("up", "followed"))


def _is_numbering(sentence: Sentence, place: int) -> bool:
    """Whether the number only numbers a line: `1. Draw`, `2) Add`, `step 2`."""
    read = sentence.tokens
    before = read[place - 1].low if place else ""
    if before in ("step", "problem", "question", "part", "figure", "grade", "chapter", "#", "no", "number", "exercise"):
        return True
    return place == 0 and len(read) > 2 and read[1].text in ".)" and read[2].is_word


def _in_problem(quantity: Quantity, answer: Answer) -> bool:
    return any(same(stated, quantity) for stated in answer.in_problem)


_AFTER_VERB = regex.compile(rf"\b{BE}{ADVERBS} $")


def _number_framed(sentence: Sentence, at: int, place: int, answer: Answer) -> bool:
    """Whether a number that may stand in the problem anyway is put forward as the answer."""
    read = sentence.tokens
    if place and read[place - 1].text in ("=", "≈", "→", "⇒"):
        return True
    clause = sentence.clause(at)
    ahead = words_ahead(sentence, at)
    behind = " ".join(clause.keys[at - clause.start + 1 :])
    if BARE_BEFORE.match(ahead) and not behind:
        return True
    if IS_IT.search(ahead) or COMMIT.search(ahead) or NAMED_AFTER.match(behind):
        return True
    if not answer.predicate or len(answer.predicate) > 12:
        return False
    said = {stem(key, answer.language) for key in clause.keys}
    verb = _AFTER_VERB.search(ahead) is not None
    return verb and len(answer.predicate & said) >= len(answer.predicate) / 2
