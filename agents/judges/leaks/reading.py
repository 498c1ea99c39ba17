"""The quantities of a text: words, signs and numbers joined from left to right, each number with its sign and unit.

`tokens` turns a text into words, signs and quantities; numbers in words and clock times in words are `spoken`'s.

Invariant: pure, and in bounded time whatever a model writes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from agents.judges.leaks.quantities import Quantity, Token, pieces
from agents.judges.leaks.spoken import HALF_OF_DAY, SCALES, Spoken, begins_number
from agents.judges.leaks.units import CURRENCY, unit_at
from agents.judges.normal import normalised

_PERCENT = frozenset(["%", "percent", "pct", "prozent", "percento"])
_PERCENT_STARTS = ("процент",)

_RAISED = frozenset("m cm km mm dm s ft yd mi inch".split())
"""Units that are often written with their power beside them, m2."""
_ARTICLES = ("a", "an")
_AND = frozenset("and et und y e и".split())


@lru_cache(maxsize=8192)
def tokens(text: str, language: str = "en") -> tuple[Token, ...]:
    """The words, signs and quantities of a text; offsets are those of `normalised(text)`."""
    plain = normalised(text)
    raw = pieces(plain)
    if not any(token.quantity or begins_number(token, language) for token in raw):
        return tuple(raw)
    return tuple(_Reader(plain, raw, language).read())


class _Reader:
    """Joins raw tokens into quantities, from left to right."""

    def __init__(self, plain: str, raw: list[Token], language: str) -> None:
        self._plain = plain
        self._raw = raw
        self._language = language
        self._spoken = Spoken(raw, language)

    def read(self) -> list[Token]:
        out: list[Token] = []
        at = 0
        while at < len(self._raw):
            begins = self._raw[at].quantity is not None or begins_number(self._raw[at], self._language)
            found = (self._spoken.clock(at) or self._quantity(at, out)) if begins else self._one_and_a_half(at)
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
            return self._spoken.number(at)
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
        if scale in SCALES:
            values, end = tuple(value * SCALES[scale] for value in values), end + 1
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
        begin = self._of_a_unit(end, form)
        listed, places = self._unit_words(begin)
        found_unit = unit_at(listed)
        unit = None
        if found_unit is not None and self._unit_fits(begin):
            unit, end = found_unit[0], places[found_unit[1] - 1] + 1
            more = self._and_parts(end, values[0]) if form in ("", "word") else None
            if more is not None:
                values, end = (more[0],), more[1]
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
            raised = token.text in ("2", "3") and listed and listed[-1] in _RAISED
            joined = self._touch(place) and (self._raw[place + 1].is_word or self._raw[place + 1].quantity is not None)
            if raised and self._touch(place - 1) and not joined:
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
            day = HALF_OF_DAY.get(self._low(after).rstrip("."), "") if clock else ""
            day = day or (self._half_of_day(after) if clock else "")
            after += bool(HALF_OF_DAY.get(self._low(after))) or (4 if day and self._low(after) in ("a", "p") else 0)
            return (
                Quantity(values, None, "clock" if clock else "ratio", (values[0], minute), day),
                at,
                min(after, len(self._raw)),
            )
        day = HALF_OF_DAY.get(self._low(end), "") or self._half_of_day(end)
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

    def _one_and_a_half(self, at: int) -> tuple[Quantity, int, int] | None:
        """`an hour and a half`, which begins with no number."""
        if self._low(at) not in _ARTICLES or "and" not in (self._low(at + 2), self._low(at + 3)):
            return None
        listed, places = self._unit_words(at + 1)
        found = unit_at(listed)
        if found is None:
            return None
        end = places[found[1] - 1] + 1
        more = self._and_parts(end, Fraction(1))
        return (Quantity((more[0],), found[0]), at, more[1]) if more is not None else None

    def _and_parts(self, at: int, number: Fraction) -> tuple[Fraction, int] | None:
        """`and a half` after a unit, unless it is half of something else."""
        more = self._spoken.parts(at, number) if self._low(at) == "and" else None
        if more is None or self._low(more[1]) in ("of", "-") or unit_at(self._unit_words(more[1])[0]) is not None:
            return None
        return more

    def _of_a_unit(self, end: int, form: str) -> int:
        """Where the unit begins: after `a`, `of an` behind a part (half an hour), after 个 behind a figure."""
        at = end
        if form == "fraction":
            at += self._low(at) == "of"
            at += self._low(at) in _ARTICLES
        elif self._low(at) in ("个", "個"):
            at += 1
        return at if at > end and unit_at(self._unit_words(at)[0]) is not None else end


def _join_parts(out: list[Token], plain: str) -> None:
    """Turns `1 h 30 min` and `2 m 50 cm` into one quantity."""
    if len(out) < 2:
        return
    last = out[-1]
    back = 2 if out[-2].low not in _AND or len(out) < 3 else 3
    first = out[-back]
    a, b = first.quantity, last.quantity
    if a is None or b is None or a.unit is None or b.unit is None or not {a.form, b.form} <= {"", "word"}:
        return
    cents = b.unit.base == "¢" and a.unit.base in ("$", "€")
    alike = a.unit.base == b.unit.base and a.unit.base in ("s", "m", "kg")
    if not (alike or cents) or b.unit.scale >= a.unit.scale:
        return
    if (
        plain[first.end : last.start].strip().casefold() not in {"", *_AND}
        or b.values[0] * b.unit.scale >= a.unit.scale
    ):
        return
    total = a.values[0] + b.values[0] * b.unit.scale / a.unit.scale
    written = plain[first.start : last.end]
    joined = Token(written, first.start, last.end, replace(a, values=(total,)), low=written.casefold())
    out[-back:] = [joined]
