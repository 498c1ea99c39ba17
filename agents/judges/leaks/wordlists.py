"""Numbers in the words of other languages than English: пятьдесят шесть, 五十六, cinquante-six, sechsundfünfzig.

Words of another script count wherever they are written; those in Latin letters only where the question's language says
so, since `once` is English and `sei` is also `you are`. The words are listed in agents/data/numbers.yaml.

Invariant: pure, and in bounded time; a number ends where the next word does not go on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

import regex
import yaml

from agents.judges.leaks.quantities import Token
from agents.judges.leaks.units import unit_at

Found = tuple[tuple[Fraction, ...], int, str]
"""The values of a number, the token after it, and its form."""
_HAN = regex.compile(r"\p{Han}|〇")
_CYRILLIC = regex.compile(r"\p{Cyrillic}")


@dataclass(frozen=True, slots=True)
class _Words:
    """The number words of a language, as agents/data/numbers.yaml lists them."""

    values: dict[str, Fraction]
    joins: frozenset[str]
    glued: bool
    teens_after: frozenset[int]
    doubtful: frozenset[str]
    counted: frozenset[str]
    numbering: frozenset[str]


@lru_cache(maxsize=1)
def _tables() -> dict[str, _Words]:
    listed = yaml.safe_load(files("agents").joinpath("data/numbers.yaml").read_text("utf-8"))
    return {
        language: _Words(
            {form: Fraction(value) for value, forms in table["numbers"].items() for form in forms.split()},
            frozenset(table.get("joins", "").split()),
            bool(table.get("glued", False)),
            frozenset(int(tens) for tens in str(table.get("teens_after", "")).split()),
            frozenset(table.get("doubtful", "").split()),
            frozenset(table.get("counted", "").split()),
            frozenset(table.get("numbering", "").split()),
        )
        for language, table in listed.items()
    }


def _words_of(token: Token, language: str) -> _Words | None:
    """The list that a word may stand in: by its script, or by the language of the question."""
    if _HAN.match(token.low):
        return _tables()["zh"]
    if not token.is_word:
        return None
    name = "ru" if _CYRILLIC.match(token.low) else language.replace("_", "-").split("-")[0].lower()
    return _tables().get(name) if name != "zh" else None


def begins_listed(token: Token, language: str) -> bool:
    """Whether a number in the words of another language may begin with that word."""
    listed = _words_of(token, language)
    return listed is not None and bool(
        token.low in listed.values
        or (listed.glued and _segments(token.low, language))
        or any(form.startswith(f"{token.low}-") for form in listed.values)
    )


class Listed:
    """Reads numbers in listed words out of the pieces of one text."""

    def __init__(self, raw: Sequence[Token], language: str) -> None:
        self._raw = raw
        self._language = language

    def _low(self, at: int) -> str:
        return self._raw[at].low if 0 <= at < len(self._raw) else ""

    def number(self, at: int) -> Found | None:
        """The number in listed words that begins there."""
        if at >= len(self._raw):
            return None
        listed = _words_of(self._raw[at], self._language)
        if listed is None:
            return None
        if _HAN.match(self._low(at)):
            return self._han(at, listed)
        count, end, pieces = _Count(listed.teens_after), at, 0
        while pieces < 20:
            begin = end
            while pieces and begin < end + 3 and self._joined(begin, listed):
                begin += 1
            following = self._piece(begin, listed)
            if following is None or not all(count.add(value, joined) for value, joined in following[0]):
                break
            end, pieces = following[1], pieces + 1
        if not pieces:
            return None
        value, after = count.value, self._raw[end] if end < len(self._raw) else None
        if pieces == 1 and (value == 1 or self._low(at) in listed.doubtful) and after is not None and after.is_word:
            return None
        return (value,), end, "word"

    def _joined(self, at: int, listed: _Words) -> bool:
        return self._low(at) == "-" or self._low(at) in listed.joins

    def _piece(self, at: int, listed: _Words) -> tuple[tuple[tuple[Fraction, bool], ...], int] | None:
        """What one word adds to a number: several values where it is glued of several; `quatre-vingt` is one piece."""
        hyphened = 2 if self._low(at + 1) == "-" else 1
        pair = f"{self._low(at)}-{self._low(at + hyphened)}"
        if pair in listed.values:
            return ((listed.values[pair], False),), at + hyphened + 1
        word = self._low(at)
        if word in listed.values:
            return ((listed.values[word], False),), at + 1
        segments = _segments(word, self._language) if listed.glued else ()
        return (segments, at + 1) if segments else None

    def _run(self, at: int, listed: _Words) -> tuple[Fraction, int] | None:
        """The number that a row of Chinese figures writes; none where they stand side by side (三四个)."""
        total, section, figure, end = Fraction(0), Fraction(0), None, at
        while self._low(end) in listed.values:
            value = listed.values[self._low(end)]
            if value < 10:
                if figure:
                    return None
                figure = value
            elif value == 10000:
                total, section, figure = (total + section + (figure or 0)) * value, Fraction(0), None
            else:
                section, figure = section + (1 if figure is None else figure) * value, None
            end += 1
        return (total + section + (figure or 0), end) if end > at else None

    def _han(self, at: int, listed: _Words) -> Found | None:
        found = self._run(at, listed)
        if found is None or self._low(at - 1) in listed.numbering:
            return None
        value, end = found
        if self._low(end) == "分" and self._low(end + 1) == "之":
            above = self._run(end + 2, listed)
            if above is not None and value:
                return (
                    ((above[0],), above[1], "percent") if value == 100 else ((above[0] / value,), above[1], "fraction")
                )
        if self._low(end) == "点" and (decimals := self._decimals(end + 1, listed)):
            return (value + Fraction(f"0.{decimals}"),), end + 1 + len(decimals), "word"
        following = self._low(end)
        if following == "月" or (following in ("日", "号") and value <= 31):
            return None
        if end == at + 1 and _HAN.match(following):
            unit = unit_at([token.text for token in self._raw[end : end + 4]])
            if unit is None and (following not in listed.counted or value == 1):
                return None
        return None if self._low(at) + following in ("千万", "万一", "十分") else ((value,), end, "word")

    def _decimals(self, at: int, listed: _Words) -> str:
        """The figures after 点; none where it is a clock time (三点五分, 九点四十五)."""
        end, figures = at, ""
        while self._low(end) in listed.values and listed.values[self._low(end)] < 10:
            figures += str(listed.values[self._low(end)])
            end += 1
        return "" if self._low(end) in listed.values or self._low(end) in ("分", "刻", "钟", "鐘") else figures

    def clock(self, at: int) -> tuple[Fraction, Fraction, int, str] | None:
        """九点半, 九点四十五分, 九点钟."""
        listed = _tables()["zh"]
        hour = self._run(at, listed) if _HAN.match(self._low(at)) else None
        if hour is None or hour[0] > 24 or self._low(hour[1]) not in ("点", "點"):
            return None
        end = hour[1] + 1
        if self._low(end) in ("半", "钟", "鐘"):
            return hour[0], Fraction(30 if self._low(end) == "半" else 0), end + 1, "clock"
        minute = self._run(end, listed)
        if minute is None or minute[0] > 59:
            return None
        if self._low(minute[1]) == "刻":
            return hour[0], minute[0] * 15, minute[1] + 1, "clock"
        if self._low(minute[1]) == "分" or minute[0] >= 10:
            return hour[0], minute[0], minute[1] + (self._low(minute[1]) == "分"), "clock"
        return None


class _Count:
    """A number as its words come one after the other."""

    def __init__(self, teens_after: frozenset[int]) -> None:
        self._teens_after = teens_after
        self._total = self._group = Fraction(0)
        self._seen = False

    @property
    def value(self) -> Fraction:
        """What the words so far are worth."""
        return self._total + self._group

    def add(self, value: Fraction, inverted: bool) -> bool:
        """Goes on with a word's value; false, and nothing changed, where it does not go on with the number."""
        group, last = self._group, self._group % 100
        if value == 1000 and not self._total and not (self._seen and not group):
            self._total, self._group = max(group, Fraction(1)) * 1000, Fraction(0)
        elif value == 100 and 1 <= group < 10:
            self._group = group * 100
        elif (
            (not group and (self._total or not self._seen))
            or (group and not last and 0 < value < 100)
            or (last >= 20 and not last % 10 and 0 < value < 10)
            or (last in self._teens_after and 10 <= value < 20)
            or (inverted and 0 < last < 10 and value < 100 and not value % 10)
        ):
            self._group = group + value
        else:
            return False
        self._seen = True
        return True


@lru_cache(maxsize=8192)
def _segments(word: str, language: str) -> tuple[tuple[Fraction, bool], ...]:
    """The values that a word is glued of, each with whether a join stands before it; none if it is no number."""
    listed = _tables().get(language.replace("_", "-").split("-")[0].lower())
    if listed is None or not 4 < len(word) <= 60:
        return ()
    out: list[tuple[Fraction, bool]] = []
    rest, joined = word, False
    while rest:
        form = next((rest[:size] for size in range(len(rest), 1, -1) if rest[:size] in listed.values), "")
        join = next((join for join in listed.joins if rest.startswith(join)), "")
        if not form and (not join or joined or not out):
            return ()
        if form:
            out.append((listed.values[form], joined))
        rest, joined = rest[len(form or join) :], not form
    count = _Count(listed.teens_after)
    return tuple(out) if not joined and len(out) > 1 and all(count.add(*part) for part in out) else ()
