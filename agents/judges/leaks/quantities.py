"""Numbers as people write them, with sign and unit: 1,000 is 1000, 20.0 is twenty, 1500 m is 1.5 km, -5 is not 5.

`tokens` turns a text into words, signs and quantities. A quantity has every value that its writing allows (`1.000` is
one or a thousand), a unit reduced to base units, and says whether it was written as a clock time or a ratio.

Invariant: pure; values are exact fractions, so equality is exact but for decimals that round an endless fraction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import regex

from agents.judges.leaks.units import CURRENCY, PER, Unit, unit_at
from agents.judges.normal import normalised

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORDS = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9,
    "ninths": 9, "tenth": 10, "tenths": 10, "hundredth": 100, "hundredths": 100,
}  # fmt: skip
_PERCENT = frozenset(["%", "percent", "pct", "prozent", "percento"])
_PERCENT_STARTS = ("процент",)
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
    """`fraction`, `ratio`, `clock`, `percent`, `word`, or empty for plain digits."""
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


@lru_cache(maxsize=8192)
def tokens(text: str) -> tuple[Token, ...]:
    """The words, signs and quantities of a text; offsets are those of `normalised(text)`."""
    plain = normalised(text)
    raw = [
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
    if not any(token.quantity or token.low in _NUMERIC_WORDS for token in raw):
        return tuple(raw)
    return tuple(_Reader(plain, raw).read())


_NUMERIC_WORDS = frozenset(NUMBER_WORDS) | frozenset(_SCALES) | frozenset(_PARTS) | {"noon", "midnight"}


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


class _Reader:
    """Joins raw tokens into quantities, from left to right."""

    def __init__(self, plain: str, raw: list[Token]) -> None:
        self._plain = plain
        self._raw = raw

    def read(self) -> list[Token]:
        out: list[Token] = []
        at = 0
        while at < len(self._raw):
            begins = self._raw[at].quantity is not None or self._raw[at].low in _NUMERIC_WORDS
            found = (self._clock_words(at) or self._quantity(at, out)) if begins else None
            if found is None:
                out.append(self._raw[at])
                at += 1
                continue
            quantity, start, end = found
            first, last = self._raw[start], self._raw[end - 1]
            while out and out[-1].start >= first.start:
                out.pop()  # a sign or currency that belongs to the number
            written = self._plain[first.start : last.end]
            out.append(Token(written, first.start, last.end, quantity, low=written.casefold()))
            _join_parts(out, self._plain)
            at = end
        return out

    def _low(self, at: int) -> str:
        return self._raw[at].low if 0 <= at < len(self._raw) else ""

    def _touch(self, at: int) -> bool:
        """Whether the token and the next stand without a blank between them."""
        return 0 <= at < len(self._raw) - 1 and self._raw[at].end == self._raw[at + 1].start

    def _number(self, at: int) -> tuple[tuple[Fraction, ...], int, str] | None:
        """A number in digits or words, with its power and scale."""
        if at >= len(self._raw):
            return None
        quantity = self._raw[at].quantity
        if quantity is None:
            return self._in_words(at)
        values, end, form = quantity.values, at + 1, ""
        if self._low(end) == "^":
            power = self._signed_integer(end + 1)
            if power is not None and all(value or power[0] >= 0 for value in values) and abs(power[0]) <= 40:
                values, end = tuple(value ** power[0] for value in values), power[1]
        elif self._low(end) in ("×", "x", "·", "*") and self._low(end + 1) == "10" and self._low(end + 2) == "^":
            power = self._signed_integer(end + 3)
            if power is not None and abs(power[0]) <= 40:
                values, end = tuple(value * Fraction(10) ** power[0] for value in values), power[1]
        elif self._low(end) == "/" and self._fraction_follows(end):
            below = self._raw[end + 1].quantity
            if below is not None and below.values[0]:
                values, end, form = (values[0] / below.values[0],), end + 2, "fraction"
        elif self._mixed(end) and values[0].denominator == 1:
            above, below = self._raw[end].quantity, self._raw[end + 2].quantity
            if above is not None and below is not None:
                values, end, form = (values[0] + above.values[0] / below.values[0],), end + 3, "fraction"
        scale = self._low(end)
        if scale in _SCALES:
            values, end = tuple(value * _SCALES[scale] for value in values), end + 1
        elif scale == "k" and self._touch(end - 1):
            values, end = tuple(value * 1000 for value in values), end + 1
        return values, end, form

    def _fraction_follows(self, slash: int) -> bool:
        below = self._raw[slash + 1].quantity if slash + 1 < len(self._raw) else None
        spaced = not self._touch(slash - 1), not self._touch(slash)
        return below is not None and spaced[0] == spaced[1] and self._low(slash + 2) not in ("/", "^")

    def _mixed(self, at: int) -> bool:
        """Whether `1/2` follows, right after the whole number and a blank."""
        if at + 2 >= len(self._raw) or self._low(at + 1) != "/" or not self._touch(at) or not self._touch(at + 1):
            return False
        above, below = self._raw[at].quantity, self._raw[at + 2].quantity
        return above is not None and below is not None and 0 < above.values[0] < below.values[0]

    def _signed_integer(self, at: int) -> tuple[int, int] | None:
        bracket = self._low(at) == "("
        at += bracket
        sign = -1 if self._low(at) == "-" else 1
        at += self._low(at) in ("-", "+")
        quantity = self._raw[at].quantity if at < len(self._raw) else None
        if quantity is None or quantity.values[0].denominator != 1:
            return None
        if bracket and self._low(at + 1) != ")":
            return None
        return sign * int(quantity.values[0]), at + 1 + bracket

    def _in_words(self, at: int) -> tuple[tuple[Fraction, ...], int, str] | None:
        """A number in English words: twenty-one, a hundred and five, two thirds, one and a half, half a dozen."""
        total, group, end, seen = 0, 0, at, False
        while end < len(self._raw):
            word = self._low(end)
            if word in NUMBER_WORDS and (not seen or _continues(group or total, NUMBER_WORDS[word])):
                group, seen = group + NUMBER_WORDS[word], True
            elif word in _SCALES and (seen or self._low(end - 1) in ("a", "the", "per")):
                group = max(group, 1) * _SCALES[word]
                if _SCALES[word] >= 1000:
                    total, group = total + group, 0
                seen = True
            elif not (
                seen
                and (word == "-" or (word == "and" and (group >= 100 or total)))
                and self._more(end, group or total)
            ):
                break
            end += 1
        value = Fraction(total + group)
        parts = self._parts(end, value if seen else None)
        if parts is not None:
            return (parts[0],), parts[1], "fraction"
        return ((value,), end, "word") if seen else None

    def _more(self, at: int, group: int) -> bool:
        following = NUMBER_WORDS.get(self._low(at + 1))
        return following is not None and _continues(group, following)

    def _parts(self, at: int, number: Fraction | None) -> tuple[Fraction, int] | None:
        """Parts after a number (two thirds, one and a half) or on their own (half, a third)."""
        if number is not None and self._low(at) == "and":
            at += 1
            at += self._low(at) == "a"
            if self._low(at) in ("half", "quarter", "third"):
                return number + Fraction(1, _PARTS[self._low(at)]), at + 1
            above = NUMBER_WORDS.get(self._low(at), 0)
            below = _PARTS.get(self._low(at + 1), 0)
            return (number + Fraction(above, below), at + 2) if 0 < above < below else None
        if number is not None:
            at += self._low(at) == "-"
            if self._low(at) in _PARTS and number < 100:
                return number / _PARTS[self._low(at)], at + 1
            return None
        word = self._low(at)
        if word == "half":
            dozen = self._low(at + 1) == "a" and self._low(at + 2) == "dozen"
            return (Fraction(6), at + 3) if dozen else (Fraction(1, 2), at + 1)
        if word in _PARTS and self._low(at - 1) in ("a", "an"):
            return Fraction(1, _PARTS[word]), at + 1
        return None

    def _quantity(self, at: int, before: list[Token]) -> tuple[Quantity, int, int] | None:
        found = self._number(at)
        if found is None:
            return None
        values, end, form = found
        pair = self._pair(at, values, end)
        if pair is not None:
            return pair
        start, negative = self._sign(at, before)
        if negative:
            values = tuple(-value for value in values)
        if self._low(start - 1) in CURRENCY and self._touch(start - 1):
            return Quantity(values, CURRENCY[self._low(start - 1)], form), start - 1, end
        if self._is_percent(end):
            words = 2 if self._low(end) in ("per", "pour", "por") else 1
            return Quantity(values, None, "percent"), start, end + words
        listed, places = self._unit_words(end)
        found_unit = unit_at(listed)
        unit = None
        if found_unit is not None and self._unit_fits(end):
            unit, end = found_unit[0], places[found_unit[1] - 1] + 1
        if (self._low(end), self._low(end + 1)) == ("below", "zero"):
            values, end = tuple(-abs(value) for value in values), end + 2
        return Quantity(values, unit, form), start, end

    def _unit_words(self, at: int) -> tuple[list[str], list[int]]:
        """The words after a number, `m2` as `m ^ 2`, and the token of each."""
        listed: list[str] = []
        places: list[int] = []
        if self._low(at) == "-" and self._touch(at - 1) and self._touch(at):
            at += 1  # a 20-minute walk
        for place in range(at, min(at + 8, len(self._raw))):
            token = self._raw[place]
            raised = token.text in ("2", "3") and listed and listed[-1] in ("m", "cm", "km", "mm", "dm", "s")
            if raised and self._touch(place - 1) and not self._touch(place):
                listed.append("^")
                places.append(place)
            listed.append(token.text)
            places.append(place)
        return listed, places

    def _unit_fits(self, at: int) -> bool:
        # "20 m": one blank at most; "20, seconds" is no unit.
        gap = self._raw[at].start - self._raw[at - 1].end
        return gap <= 1

    def _is_percent(self, at: int) -> bool:
        word = self._low(at)
        if word in _PERCENT or word.startswith(_PERCENT_STARTS):
            return True
        return (word, self._low(at + 1)) in (("per", "cent"), ("pour", "cent"), ("por", "ciento"), ("por", "cento"))

    def _sign(self, at: int, before: list[Token]) -> tuple[int, bool]:
        sign = self._low(at - 1)
        prior = before[-2] if len(before) > 1 else None
        after_number = prior is not None and prior.quantity is not None
        if sign in ("minus", "negative", "负", "moins", "menos", "минус"):
            return (at, False) if after_number else (at - 1, True)
        if sign in ("-", "+") and self._touch(at - 1):
            joined = (
                prior is not None
                and prior.end == self._raw[at - 1].start
                and (prior.is_word or prior.quantity is not None or prior.text in ")]")
            )
            spaced_currency = prior is not None and prior.text in CURRENCY
            if not joined and (not after_number or spaced_currency):
                return at - 1, sign == "-"
        if sign in CURRENCY and self._low(at - 2) == "-" and self._touch(at - 2):
            return at, True
        return at, False

    def _pair(self, at: int, values: tuple[Fraction, ...], end: int) -> tuple[Quantity, int, int] | None:
        """A clock time or a ratio: 12:30, 3:4, 12.30 pm, 3 o'clock, 3 to 4."""
        half = {"am": "am", "a.m": "am", "pm": "pm", "p.m": "pm"}
        mark, second = self._low(end), self._raw[end + 1] if end + 1 < len(self._raw) else None
        even = self._touch(end - 1) == self._touch(end)
        if mark in (":", "h") and second is not None and second.quantity and even and (mark == ":" or self._touch(end)):
            minute = second.quantity.values[0]
            after = end + 2
            clock = len(second.text) == 2 and values[0] < 24 and minute < 60
            if mark == "h" and not clock:
                return None
            if clock and self._low(after) == ":" and self._touch(after):
                after += 2
            day = half.get(self._low(after).rstrip("."), "") if clock else ""
            day = day or (self._half_of_day(after) if clock else "")
            after += bool(half.get(self._low(after))) or (4 if day and self._low(after) in ("a", "p") else 0)
            return (
                Quantity(values, None, "clock" if clock else "ratio", (values[0], minute), day),
                at,
                min(after, len(self._raw)),
            )
        day = half.get(self._low(end), "") or self._half_of_day(end)
        if day and values[0] < 24:
            hour = values[0].numerator // values[0].denominator
            minutes = round((values[0] - hour) * 100)
            after = end + (4 if self._low(end) in ("a", "p") else 1)
            return (
                Quantity(values, None, "clock", (Fraction(hour), Fraction(minutes)), day),
                at,
                min(after, len(self._raw)),
            )
        if mark in ("o'clock", "uhr") and values[0] < 25 and values[0].denominator == 1:
            return Quantity(values, None, "clock", (values[0], Fraction(0))), at, end + 1
        return None

    def _half_of_day(self, at: int) -> str:
        letters = "".join(self._low(at + i) for i in range(4))
        return {"a.m.": "am", "p.m.": "pm"}.get(letters, "")

    def _clock_words(self, at: int) -> tuple[Quantity, int, int] | None:
        """half past twelve, quarter to three, ten past four, noon."""
        word = self._low(at)
        if word in ("noon", "midnight"):
            at_hour = Fraction(12 if word == "noon" else 0)
            return (
                Quantity((at_hour,), None, "clock", (at_hour, Fraction(0)), "pm" if word == "noon" else "am"),
                at,
                at + 1,
            )
        part = {"half": 30, "quarter": 15}.get(word)
        end = at + 1
        if part is None:
            minutes = self._number(at)
            if minutes is None or not 0 < minutes[0][0] < 60 or minutes[0][0].denominator != 1:
                return None
            part, end = int(minutes[0][0]), minutes[1]
            end += self._low(end) in ("minutes", "minute")
        way = self._low(end)
        if way not in ("past", "to", "after", "before") or (way in ("to", "after", "before") and word != "quarter"):
            if not (way in ("past", "to") and part % 5 == 0 and self._raw[at].quantity is None):
                return None
        hour_found = self._number(end + 1)
        if hour_found is None or hour_found[0][0].denominator != 1 or not 0 < hour_found[0][0] <= 12:
            return None
        hours, minute = int(hour_found[0][0]), part
        if way in ("to", "before"):
            hours, minute = (hours - 1) or 12, 60 - part
        after = hour_found[1]
        day = {"am": "am", "pm": "pm"}.get(self._low(after), "")
        pair = Fraction(hours), Fraction(minute)
        return Quantity((pair[0],), None, "clock", pair, day), at, after + bool(day)


def _continues(group: int, following: int) -> bool:
    """Whether `twenty` goes on with `one`, `hundred` with `five`; `two three` does not."""
    last = group % 100
    if group and last == 0:
        return 0 < following < 100
    return 20 <= last < 100 and last % 10 == 0 and 0 < following < 10


def _join_parts(out: list[Token], plain: str) -> None:
    """Turns `1 h 30 min` and `2 m 50 cm` into one quantity."""
    if len(out) < 2:
        return
    last = out[-1]
    back = 2 if out[-2].low != "and" or len(out) < 3 else 3
    first = out[-back]
    a, b = first.quantity, last.quantity
    if a is None or b is None or a.unit is None or b.unit is None or a.form or b.form:
        return
    if a.unit.base != b.unit.base or a.unit.base not in ("s", "m", "kg") or b.unit.scale >= a.unit.scale:
        return
    if plain[first.end : last.start].strip() not in ("", "and") or b.values[0] * b.unit.scale >= a.unit.scale:
        return
    total = a.values[0] + b.values[0] * b.unit.scale / a.unit.scale
    written = plain[first.start : last.end]
    joined = Token(written, first.start, last.end, replace(a, values=(total,)), low=written.casefold())
    out[-back:] = [joined]


__all__ = ["NUMBER_WORDS", "PER", "Quantity", "Token", "same", "tokens"]
