"""What would give a question's answer away: prepared once a question, read many times.

An answer is a claim and often a reason ("The bathtub, because it has far more water in it"); the claim alone gives it
away, unless another option claims the same. An answer may be a quantity, a formula, an everyday word (Yes, Up), all or
none of the other options, or a claim whose words all stand in the question.

Invariant: what is prepared depends on the question alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import regex

from agents.judges.leaks.claims import EVERYDAY, Claim, also_claimed, claims_of
from agents.judges.leaks.formulas import formula_of, with_right_side
from agents.judges.leaks.moods import keys_of
from agents.judges.leaks.quantities import Quantity
from agents.judges.leaks.reading import tokens
from agents.judges.leaks.units import Unit, unit_at
from agents.judges.normal import STOP, content, normalised, sentences, stem
from agents.records import Question

LETTERS = "ABCDEFGHIJ"
_ALL = regex.compile(
    r"^(?:all|each|every one) of (?:above|these|them|those|options|others)$|^all (?:above|three|four|options)$"
    r"|^(?:toutes?|tous) (?:les|ces) réponses.*$|^以上(?:都是|皆是|全部).*$|^все (?:перечисленное|вышеперечисленное).*$"
    r"|^alle (?:genannten|oben genannten|antworten).*$|^todas las anteriores$"
)
_NONE = regex.compile(
    r"^none of (?:above|these|them|those|options|others)$|^neither(?: of (?:above|these|them))?$"
    r"|^aucune.*réponses?.*$|^以上都不是$|^ничего из .*$|^ninguna de las anteriores$|^keine der .*$"
)
_MORE = frozenset(
    "more most less least fewer fewest greater greatest larger largest bigger biggest higher highest lower lowest "
    "smaller "
    "smallest faster fastest slower slowest hotter hottest colder coldest warmer warmest heavier heaviest lighter "
    "lightest longer longest shorter shortest stronger strongest weaker weakest older oldest younger youngest best "
    "worst "
    "closer closest farther farthest first last plus moins mehr meiste weniger más menos больше меньше più "
    "meno mais".split()
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a question's right answer."""

    language: str
    letter: str
    position: int
    options: int
    claims: tuple[Claim, ...]
    wrong: tuple[Claim, ...]
    quantity: Quantity | None
    variable: str
    in_problem: tuple[Quantity, ...]
    wrong_quantities: tuple[Quantity, ...]
    formula: regex.Pattern[str] | None
    wrong_formulas: tuple[regex.Pattern[str], ...]
    everyday: str
    all_of: bool
    none_of: bool
    asked: frozenset[str]
    """Stems of the question."""
    predicate: frozenset[str]
    """Stems of what is asked of the candidates."""
    compares: bool
    compared: frozenset[str]
    """Stems of what is more or most, as asked: `energy` of `more thermal energy`."""
    yes_no: bool
    telling: frozenset[str]


def telling_words(question: Question) -> frozenset[str]:
    """Stems of the answer that neither the question nor any wrong option holds: what only a leak would say.

    Falls back to the answer's stems that are not in the question when nothing is left.
    """
    language = question.language
    asked = _compared(content(question.text, language))
    wrong = _compared(
        word for option in question.options if not option.correct for word in content(option.text, language)
    )
    answer = set(content(question.answer_text, language)) - asked
    return frozenset(answer - wrong or answer or set(content(question.answer_text, language)))


def _compared(stems: Iterable[str]) -> set[str]:
    """The stems, and `hard` where `harder` or `hardest` is said: a stemmer leaves comparisons as they are."""
    out = set(stems)
    return out | {word[: -len(ending)] for word in out for ending in ("er", "est") if word.endswith(ending)}


@lru_cache(maxsize=4096)
def answer_of(question: Question) -> Answer:
    """The question's answer, prepared."""
    language, text = question.language, normalised(question.answer_text).strip()
    asked_keys = set(keys_of(question.text, language))
    claims = claims_of(text, asked_keys, language)
    wrong = tuple(
        claim
        for option in question.options
        if not option.correct
        for claim in claims_of(normalised(option.text), asked_keys, language)
    )
    claims = tuple(claim for claim in claims if not (claim.part and also_claimed(claim, wrong)))
    line = " ".join(keys_of(text, language))
    quantity, variable = _quantity(text, question)
    numbers = [_quantity(normalised(option.text), question)[0] for option in question.options if not option.correct]
    formula = formula_of(text) if quantity is None or variable else None
    if formula is not None and quantity is None:
        formula = with_right_side(formula, text, question)
    formulas = [formula_of(normalised(option.text)) for option in question.options if not option.correct]
    stems = frozenset(content(question.text, language))
    everyday = line if line in EVERYDAY else ""
    last = _asking(question.text)
    named = {stem(key, language) for claim in (*claims, *wrong) for key in claim.keys if not key.startswith("#")}
    return Answer(
        language=language,
        letter=LETTERS[question.answer] if question.answer < len(LETTERS) else "",
        position=question.answer,
        options=len(question.options),
        claims=claims,
        wrong=wrong,
        quantity=quantity,
        variable=variable,
        in_problem=tuple(token.quantity for token in tokens(question.text, language) if token.quantity is not None),
        wrong_quantities=tuple(number for number in numbers if number is not None),
        formula=formula,
        wrong_formulas=tuple(found for found in formulas if found is not None) if formula is not None else (),
        everyday=everyday,
        all_of=bool(_ALL.match(line)),
        none_of=bool(_NONE.match(line)),
        asked=stems,
        predicate=frozenset(content(last, language)) - _claimed_stems(claims, wrong, language, last),
        compares=bool(_MORE & set(keys_of(last, language))),
        compared=_compared_in(keys_of(last, language), language),
        yes_no=bool(named & {"yes", "no", "true", "fals"}) and len(question.options) <= 3,
        telling=telling_words(question),
    )


def _compared_in(keys: tuple[str, ...], language: str) -> frozenset[str]:
    at = next((place for place, key in enumerate(keys) if key in _MORE), len(keys))
    return frozenset(stem(key, language) for key in keys[at + 1 : at + 3] if key not in STOP["en"])


def _claimed_stems(claims: tuple[Claim, ...], wrong: tuple[Claim, ...], language: str, last: str) -> set[str]:
    """Stems of the candidates themselves; of a long one only its claim's, since whole sentences repeat the question."""
    short = [claim for claim in (*claims, *wrong) if len(claim.keys) <= 4]
    keys = {key for claim in short for key in claim.keys}
    pairs = {pair for pair in content(last, language) if len(pair) == 2 and regex.match(r"\p{Han}", pair)}
    return {stem(key, language) for key in keys} | {pair for pair in pairs if keys & set(pair)}


def _asking(text: str) -> str:
    """The sentence that asks, without what stands before its question word."""
    said = sentences(normalised(text))
    asking = next(
        (sentence for sentence in reversed(said) if regex.search(r"[?？؟]", sentence)), said[-1] if said else ""
    )
    return asking


_FILLING = frozenset(
    "about approximately around roughly exactly it is are x y z = of there ca circa environ etwa about's only"
    " total".split()
)


def _quantity(text: str, question: Question) -> tuple[Quantity | None, str]:
    """The quantity that an option is, if it is one, and the variable it is the value of."""
    read = tokens(text, question.language)
    found = [token.quantity for token in read if token.quantity is not None]
    if len(found) != 1:
        return None, ""
    rest = [token for token in read if token.quantity is None]
    names = [token.text for token in rest if token.is_word]
    signs = {token.text for token in rest if not token.is_word} - set(".,!~≈()")
    variable = (
        names[0] if signs == {"="} and len(names) == 1 and len(names[0]) <= 2 and read[0].text == names[0] else ""
    )
    if signs - ({"="} if variable else set()):
        return None, ""
    others = [name for name in names if name != variable and name.casefold() not in _FILLING]
    if len(others) > 2 or (others and not _numbers_everywhere(question)):
        return None, ""
    quantity = replace(found[0], values=_meant(found[0], text, question.language))
    if quantity.unit is None and quantity.pair is None and quantity.form != "percent" and not others:
        quantity = replace(quantity, unit=_asked_unit(question.text, question.language))
    return quantity, variable


_POINT_IS_DECIMAL = frozenset("en zh ja ko hi th he ar ms ta te bn ur sw".split())
"""Languages that write 1,000.5; the others write 1.000,5 or 1 000,5."""


def _meant(quantity: Quantity, text: str, language: str) -> tuple[Fraction, ...]:
    """Of the values that the answer's writing allows, the one that its language means."""
    if len(quantity.values) < 2:
        return quantity.values
    thousands = ("," in text) == (language[:2] in _POINT_IS_DECIMAL)
    return (max(quantity.values, key=abs) if thousands else min(quantity.values, key=abs),)


def _numbers_everywhere(question: Question) -> bool:
    return all(any(token.quantity for token in tokens(option.text, question.language)) for option in question.options)


_HOW_MANY = frozenset(
    "many viele combien cuántos cuántas quanti quante quantos quantas hoeveel сколько كم 多 几".split()
)


def _asked_unit(text: str, language: str) -> Unit | None:
    """The unit that the question asks for: how many meters, in m/s."""
    listed = [token.text for token in tokens(_asking(text), language)]
    for at, word in enumerate(listed[:-1]):
        asked = word.casefold() in _HOW_MANY or (word.casefold() in ("in", "en") and at > 1)
        after = at + 2 if listed[at + 1] in ("de", "少") else at + 1
        found = unit_at(listed[after : after + 8]) if asked else None
        if found is not None:
            return found[0]
    return None
