"""Numbers and clock times in English words: twenty-one, two thirds, half past nine, nine forty-five.

They count in every text; what `wordlists` knows of other languages is asked where English knows nothing.

Invariant: pure, and in bounded time; a number ends where the next word does not go on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from agents.judges.leaks.quantities import Quantity, Token
from agents.judges.leaks.units import unit_at
from agents.judges.leaks.wordlists import Found, Listed, begins_listed

HALF_OF_DAY = {"am": "am", "a.m": "am", "pm": "pm", "p.m": "pm"}
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
NUMBER_NAMES = tuple(_ONES)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORDS = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9,
    "ninths": 9, "tenth": 10, "tenths": 10, "hundredth": 100, "hundredths": 100,
}  # fmt: skip
_NUMERIC = frozenset(NUMBER_WORDS) | frozenset(SCALES) | frozenset(_PARTS) | {"noon", "midnight"}


def begins_number(token: Token, language: str) -> bool:
    """Whether a number in words may begin with that word."""
    return token.low in _NUMERIC or begins_listed(token, language)


class Spoken:
    """Reads numbers in words out of the pieces of one text."""

    def __init__(self, raw: Sequence[Token], language: str) -> None:
        self._raw = raw
        self._listed = Listed(raw, language)

    def _low(self, at: int) -> str:
        return self._raw[at].low if 0 <= at < len(self._raw) else ""

    def number(self, at: int) -> Found | None:
        """The number in words that begins there."""
        return self._english(at) or self._listed.number(at)

    def _english(self, at: int) -> Found | None:
        """A number in English words: twenty-one, a hundred and five, two thirds, one and a half, half a dozen."""
        total, group, end, seen = 0, 0, at, False
        while end < len(self._raw):
            word = self._low(end)
            if word in NUMBER_WORDS and (not seen or _continues(group or total, NUMBER_WORDS[word])):
                group, seen = group + NUMBER_WORDS[word], True
            elif word in SCALES and (seen or self._low(end - 1) in ("a", "the", "per")):
                group = max(group, 1) * SCALES[word]
                if SCALES[word] >= 1000:
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
        parts = self.parts(end, value if seen else None)
        if parts is not None:
            return (parts[0],), parts[1], "fraction"
        return ((value,), end, "word") if seen else None

    def _more(self, at: int, group: int) -> bool:
        following = NUMBER_WORDS.get(self._low(at + 1))
        return following is not None and _continues(group, following)

    def parts(self, at: int, number: Fraction | None) -> tuple[Fraction, int] | None:
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
        of_one = self._low(at + 1) == "of" and self._low(at + 2) in ("a", "an")
        if word in _PARTS and (self._low(at - 1) in ("a", "an") or of_one):
            return Fraction(1, _PARTS[word]), at + 1
        return None

    def clock(self, at: int) -> tuple[Quantity, int, int] | None:
        """half past twelve, quarter to three, 10 past four, noon, nine forty-five, twelve oh five, 九点半."""
        word = self._low(at)
        if word in ("noon", "midnight"):
            hour = Fraction(12 if word == "noon" else 0)
            day = "pm" if word == "noon" else "am"
            return Quantity((hour,), None, "clock", (hour, Fraction(0)), day), at, at + 1
        found = self._past(at) or self._hour_and_minutes(at) or self._listed.clock(at)
        if found is None:
            return None
        hour, minute, after, form = found
        day = HALF_OF_DAY.get(self._low(after), "")
        after += bool(day)
        if not day:
            day = {"a.m.": "am", "p.m.": "pm"}.get("".join(self._low(after + i) for i in range(4)), "")
            after += 4 * bool(day)
        return Quantity((hour,), None, "clock" if day else form, (hour, minute), day), at, min(after, len(self._raw))

    def _whole(self, at: int) -> tuple[int, int] | None:
        """A whole number there in digits or in English words, and the token after it."""
        if at >= len(self._raw):
            return None
        quantity = self._raw[at].quantity
        values, end = (quantity.values, at + 1) if quantity is not None else (self._english(at) or ((), at, ""))[:2]
        return (int(values[0]), end) if values and values[0].denominator == 1 else None

    def _past(self, at: int) -> tuple[Fraction, Fraction, int, str] | None:
        word = self._low(at)
        part, end, in_minutes = {"half": 30, "quarter": 15}.get(word), at + 1, False
        if part is None:
            minutes = self._whole(at)
            if minutes is None or not 0 < minutes[0] < 60:
                return None
            part, end = minutes
            in_minutes = self._low(end) in ("minutes", "minute")
            end += in_minutes
        way = self._low(end)
        if way not in ("past", "to", "after", "before") or (way in ("to", "after", "before") and word != "quarter"):
            in_words = self._raw[at].quantity is None and part % 5 == 0
            if not (way in ("past", "to") and in_words) and not (way == "past" and (in_minutes or part % 5 == 0)):
                return None
        hour = self._whole(end + 1)
        if hour is None or not 0 < hour[0] <= 12:
            return None
        if way in ("to", "before"):
            return Fraction((hour[0] - 1) or 12), Fraction(60 - part), hour[1], "clock"
        return Fraction(hour[0]), Fraction(part), hour[1], "clock"

    def _hour_and_minutes(self, at: int) -> tuple[Fraction, Fraction, int, str] | None:
        """`nine forty-five`, `twelve oh five`: also twelve dollars fifty, so its form is `spoken`."""
        hour = NUMBER_WORDS.get(self._low(at), 0)
        if not 0 < hour <= 12 or self._low(at - 1) == "-":
            return None
        if self._low(at + 1) in ("oh", "o"):
            minute = NUMBER_WORDS.get(self._low(at + 2), 0)
            return (Fraction(hour), Fraction(minute), at + 3, "spoken") if 0 < minute < 10 else None
        found = self._english(at + 1)
        if found is None or found[2] != "word" or not 10 <= found[0][0] < 60 or self._low(found[1]) == "-":
            return None
        after = [token.text for token in self._raw[found[1] : found[1] + 4]]
        if after and unit_at(after) is not None and self._low(found[1]) not in ("a", "in"):
            return None
        return Fraction(hour), found[0][0], found[1], "spoken"


def _continues(group: int, following: int) -> bool:
    """Whether `twenty` goes on with `one`, `hundred` with `five`; `two three` does not."""
    last = group % 100
    if group and last == 0:
        return 0 < following < 100
    return 20 <= last < 100 and last % 10 == 0 and 0 < following < 10
