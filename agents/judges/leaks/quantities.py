"""Numbers as people write them, with sign and unit: 1,000 is 1000, 20.0 is twenty, 1500 m is 1.5 km, -5 is not 5.

A quantity has every value that its writing allows (`1.000` is one or a thousand), a unit reduced to base units, and
says whether it was written as a clock time or a ratio. `reading.tokens` finds the quantities of a text.

Invariant: pure; values are exact fractions, so equality is exact but for decimals that round an endless fraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import regex

from agents.judges.leaks.units import CURRENCY, Unit

_TOKEN = regex.compile(
    r"(?P<number>\d+(?:\.\d+)?[eE][-+]?\d+(?![\p{L}\d])"
    r"|(?<!\d)\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|(?<!\d)\d{1,3}(?:\.\d{3})+(?:,\d+)?(?!\d)"
    r"|(?<![\d.,])\d{1,3}(?:[ '_]\d{3})+(?:[.,]\d+)?(?![\d])|(?<!\d)\d{1,2}(?:,\d{2})+,\d{3}(?!\d)"
    r"|\d+[.,]\d+|(?<![\p{L}\d])\.\d+|\d+)"
    r"|(?P<word>\p{Han}|\p{Thai}\p{M}*|[\p{L}\p{M}]+(?:'[\p{L}\p{M}]+)*)|(?P<sign>\.{3}|\S)"
)


LONGEST = 60
"""Digits of a number that are read; a model may write thousands."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was written: its possible values, its unit, and its form."""

    values: tuple[Fraction, ...]
    unit: Unit | None = None
    form: str = ""
    """`fraction`, `ratio`, `clock`, `spoken` (nine forty-five), `percent`, `word`, or empty for plain digits."""
    pair: tuple[Fraction, Fraction] | None = None
    """The two numbers of a ratio or a clock time."""
    half_of_day: str = ""
    """`am` or `pm` of a clock time, where said."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a sign or a quantity at its place in the normalised text."""

    text: str
    start: int
    end: int
    quantity: Quantity | None = None
    is_word: bool = False
    low: str = ""
    """The text without regard to case."""


def same(answer: Quantity, said: Quantity) -> bool:
    """Whether what was said is the answer's quantity; a unit that one of them lacks is taken from the other."""
    if answer.pair or said.pair:
        return _same_pair(answer, said)
    if answer.form == "percent" or said.form == "percent":
        return _same_share(answer, said)
    if answer.unit is None or said.unit is None:
        return any(_near(a, b) for a in answer.values for b in said.values)
    if not answer.unit.fits(said.unit):
        return False
    a_scale, b_scale = answer.unit.scale, said.unit.scale
    if "degree" in (answer.unit.base, said.unit.base):
        a_scale = b_scale = Fraction(1)
    return any(_near(a * a_scale, b * b_scale) for a in answer.values for b in said.values)


def _same_pair(answer: Quantity, said: Quantity) -> bool:
    if answer.pair and said.pair:
        if "clock" in (answer.form, said.form):
            return _minutes(answer) & _minutes(said) != set()
        return answer.pair == said.pair
    pair, other = (answer, said) if answer.pair else (said, answer)
    if pair.form == "spoken" and pair.pair is not None:  # "twelve fifty" for $12.50
        money = other.unit is not None and other.unit.base in CURRENCY
        return money and pair.pair[0] + pair.pair[1] / 100 in other.values
    if pair.form == "clock" or pair.pair is None:  # "at 3" for 3:00
        return pair.pair is not None and pair.pair[1] == 0 and pair.pair[0] in other.values and other.unit is None
    return other.form == "fraction" and bool(pair.pair[1]) and pair.pair[0] / pair.pair[1] in other.values


def _minutes(clock: Quantity) -> set[int]:
    if clock.pair is None:
        return set()
    hour, minute = (int(part) for part in clock.pair)
    if clock.half_of_day == "pm":
        return {(hour % 12 + 12) * 60 + minute}
    if clock.half_of_day == "am":
        return {hour % 12 * 60 + minute}
    return {hour * 60 + minute} | (
        {(hour % 12) * 60 + minute, (hour % 12 + 12) * 60 + minute} if 0 < hour <= 12 else set()
    )


def _same_share(answer: Quantity, said: Quantity) -> bool:
    if answer.form == said.form:
        return any(_near(a, b) for a in answer.values for b in said.values)
    share, other = (answer, said) if answer.form == "percent" else (said, answer)
    if other.unit is not None:
        return False
    if any(_near(a / 100, b) for a in share.values for b in other.values):
        return True
    # "It is 50." answers "50%"; "20%" does not answer "20".
    return share is answer and bool(set(share.values) & set(other.values))


def _near(a: Fraction, b: Fraction) -> bool:
    if a == b:
        return True
    for exact, rounded in ((a, b), (b, a)):
        places = _places(rounded)
        if 2 <= places <= 6 and _places(exact) > 6 and round(exact, places) == rounded:
            return True
    return False


@lru_cache(maxsize=4096)
def _places(value: Fraction) -> int:
    """Decimal places that the value needs, 7 for more than six."""
    return next((places for places in range(7) if (value * 10**places).denominator == 1), 7)


def pieces(plain: str) -> list[Token]:
    """The words, signs and numbers in digits of a normalised text, not yet joined."""
    return [
        Token(
            found.group(),
            found.start(),
            found.end(),
            Quantity(_values(found.group())) if found.lastgroup == "number" else None,
            found.lastgroup == "word",
            found.group().casefold(),
        )
        for found in _TOKEN.finditer(plain)
    ]


@lru_cache(maxsize=8192)
def _values(written: str) -> tuple[Fraction, ...]:
    """Every number that digits with points, commas, blanks or apostrophes may stand for."""
    if len(written) > LONGEST:
        return (Fraction(int(regex.sub(r"\D", "", written)[:LONGEST])),)
    plain = regex.sub(r"[ '_]", "", written)
    if regex.fullmatch(r"\d+(?:\.\d+)?[eE][-+]?\d+", plain):
        exponent = int(regex.split(r"[eE]", plain)[1])
        return (Fraction(plain),) if abs(exponent) < 60 else (Fraction(0),)
    if "," in plain and "." in plain:
        decimal = max(plain.rfind(","), plain.rfind("."))
        whole = regex.sub(r"[.,]", "", plain[:decimal])
        return (Fraction(f"{whole or 0}.{plain[decimal + 1 :]}"),)
    if plain.count(",") > 1 or plain.count(".") > 1:
        return (Fraction(regex.sub(r"[.,]", "", plain)),)
    mark = "," if "," in plain else "."
    if mark not in plain:
        return (Fraction(plain[:400]),)
    whole, part = plain.split(mark)
    as_decimal = Fraction(f"{whole or 0}.{part}")
    if len(part) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0":
        as_thousands = Fraction(whole + part)
        return (as_thousands, as_decimal) if mark == "," else (as_decimal, as_thousands)
    return (as_decimal,)
