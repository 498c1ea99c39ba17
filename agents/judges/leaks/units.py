"""Units of school problems, reduced to base units: 1 km is 1000 m, 1 N is 1 kg m/s², a cent is a hundredth of a dollar.

Invariant: two units fit each other exactly where their base units are equal; a plain `degree` fits every degree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

import regex
import yaml


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: how many of its base it is worth, and the base as text, as in `kg m s-2`."""

    scale: Fraction
    base: str

    def fits(self, other: Unit) -> bool:
        """Whether quantities in the two can be compared."""
        degrees = {"degree", "°C", "°F"}
        if "degree" in (self.base, other.base):
            return self.base in degrees and other.base in degrees
        if "¢" in (self.base, other.base):
            return {self.base, other.base} <= {"¢", "$", "€"}
        return self.base == other.base


_F = Fraction
_CASED = frozenset("N J W V A K C F L t h s m g l d".split()) | {"kN", "kJ", "kW", "MW", "mA", "Pa", "Hz", "mL"}
"""Symbols of which the case counts, so that `5 a day` holds no ampere."""
CURRENCY = {sign: Unit(_F(1), sign) for sign in "$€£¥₹₽"}
"""Signs of money, before or after the number."""
PER = frozenset(["per", "/", "par", "pro", "por", "в", "每", "a", "each"])
_POWERS = {"squared": 2, "cubed": 3}
_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "quadrat": 2, "квадратных": 2, "平方": 2, "立方": 3}


def _read() -> tuple[dict[str, Unit], dict[str, Unit]]:
    cased: dict[str, Unit] = {}
    uncased: dict[str, Unit] = {}
    listed = yaml.safe_load(files("agents").joinpath("data/units.yaml").read_text("utf-8"))
    for head, names in listed.items():
        _, scale, base = head.split(" ", 2)
        unit = Unit(_F(scale), base)
        for name in names.split():
            (cased if name in _CASED or len(name) == 1 else uncased)[name if name in _CASED else name.casefold()] = unit
            if name not in _CASED:
                uncased[name.casefold()] = unit
    return cased, uncased


_BY_SYMBOL, _BY_NAME = _read()


def _atom(words: Sequence[str], at: int) -> tuple[Unit, int] | None:
    """The unit that begins there, and how many words it takes."""
    if at >= len(words):
        return None
    word = words[at]
    if word in CURRENCY:
        return CURRENCY[word], 1
    if (
        word in ("°", "degree", "degrees")
        and at + 1 < len(words)
        and words[at + 1].casefold() in ("c", "f", "celsius", "fahrenheit")
    ):
        return Unit(_F(1), "°C" if words[at + 1].casefold() in ("c", "celsius") else "°F"), 2
    for length in (3, 2, 1):  # 牛顿, 千米: one character a word
        joined = "".join(words[at : at + length])
        if at + length > len(words) or length > 1 and not regex.fullmatch(r"\p{Han}+", joined):
            continue
        unit = _BY_SYMBOL.get(joined) or (_BY_NAME.get(joined.casefold()) if joined not in ("a", "in") else None)
        if unit is not None and not (len(joined) == 1 and joined.isascii() and joined not in _BY_SYMBOL):
            return unit, length
    return None


def _powered(words: Sequence[str], at: int) -> tuple[Unit, int, int] | None:
    """A unit with its power: m^2, square meters, s^-1. The third is the power."""
    power, start = 1, at
    if at < len(words) and words[at].casefold() in _BEFORE:
        power = _BEFORE[words[at].casefold()]
        at += 1
    found = _atom(words, at)
    if found is None:
        return None
    unit, used = found
    at += used
    if at < len(words) and words[at].casefold() in _POWERS:
        power = _POWERS[words[at].casefold()]
        at += 1
    elif at + 1 < len(words) and words[at] == "^":
        negative = words[at + 1] == "-"
        digits = at + 1 + negative
        if digits < len(words) and words[digits].isdecimal() and len(words[digits]) == 1:
            power = int(words[digits]) * (-1 if negative else 1)
            at = digits + 1
    return unit, at - start, power


def unit_at(words: Sequence[str]) -> tuple[Unit, int] | None:
    """The unit that a list of words begins with, as in `m / s ^ 2` or `meters per second`, and how many words it "
    "takes."""
    return _unit_of(tuple(words))


@lru_cache(maxsize=8192)
def _unit_of(words: tuple[str, ...]) -> tuple[Unit, int] | None:
    first = _powered(words, 0)
    if first is None:
        return None
    scale, dims = _F(1), dict[str, int]()
    unit, at, power = first
    scale = _times(dims, scale, unit, power)
    while at < len(words):
        word = words[at].casefold()
        over = word in PER - {"a", "each", "в"} or (word in ("a", "each", "в") and _by_name(words, at + 1))
        joined = word in ("·", "*", "×")
        follows = _powered(words, at + (over or joined))
        if follows is None or not (over or joined or _is_symbol(words[at - 1], words[at])):
            break
        scale = _times(dims, scale, follows[0], -follows[2] if over else follows[2])
        at += (over or joined) + follows[1]
    if at < len(words) and words[at] == "^":  # a power that was not understood
        return None
    order = ("$", "€", "¢", "£", "¥", "₹", "₽", "kg", "m", "s", "A", "K", "mol")
    names = sorted(dims, key=lambda name: (order.index(name) if name in order else 99, name))
    base = " ".join(name if dims[name] == 1 else f"{name}{dims[name]}" for name in names if dims[name])
    return Unit(scale, base), at


def _times(dims: dict[str, int], scale: Fraction, unit: Unit, power: int) -> Fraction:
    for part in unit.base.split():
        found = regex.fullmatch(r"(.+?)(-?\d+)?", part)
        if found is not None:
            dims[found[1]] = dims.get(found[1], 0) + int(found[2] or 1) * power
    return scale * unit.scale**power


def _by_name(words: Sequence[str], at: int) -> bool:
    return at < len(words) and len(words[at]) > 2 and _atom(words, at) is not None


def _is_symbol(before: str, word: str) -> bool:
    """Whether two unit symbols stand side by side, as in `kg m`."""
    return len(before) <= 3 and len(word) <= 3 and word in ("m", "s", "kg", "N", "A", "K", "h") and before.isalnum()
