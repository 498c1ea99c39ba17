"""Units of school problems, reduced to base units: 1 km is 1000 m, 1 N is 1 kg m/s², a cent is a hundredth of a dollar.

Invariant: two units fit each other exactly where their base units are equal; a plain `degree` fits every degree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import regex


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
_LISTED = """
m 1 m: m meter meters metre metres mètre mètres metro metros метр метра метров метры м 米 metri
km 1000 m: km kilometer kilometers kilometre kilometres kilomètre kilomètres kilómetro kilómetros chilometri километр километра километров км 千米 公里
cm 1/100 m: cm centimeter centimeters centimetre centimetres centimètre centimètres centímetro centímetros zentimeter сантиметр сантиметра сантиметров см 厘米
mm 1/1000 m: mm millimeter millimeters millimetre millimetres millimètre millimètres milímetros миллиметр миллиметра миллиметров мм 毫米
dm 1/10 m: dm
µm 1/1000000 m: µm μm um micrometer micrometers micron microns
nm 1/1000000000 m: nm nanometer nanometers
mi 1609344/1000 m: mi mile miles
ft 3048/10000 m: ft foot feet
inch 254/10000 m: inch inches
yd 9144/10000 m: yd yard yards
s 1 s: s sec secs second seconds seconde secondes sekunde sekunden segundo segundos секунда секунды секунд с 秒
min 60 s: min mins minute minutes minuten minuto minutos минута минуты минут мин 分钟
h 3600 s: h hr hrs hour hours heure heures stunde stunden hora horas час часа часов ч 小时
ms 1/1000 s: ms millisecond milliseconds
d 86400 s: day days jour jours tag tage tagen día días день дня дней 天
wk 604800 s: week weeks semaine semaines woche wochen semana semanas неделя недели недель
mo 1 month: month months mois monat monate mes meses
yr 12 month: year years yr yrs ans année années jahr jahre jahren año años год года лет 年
kg 1 kg: kg kilo kilos kilogram kilograms kilogramme kilogrammes kilogramm kilogramo kilogramos килограмм килограмма килограммов кг 千克 公斤
g 1/1000 kg: g gram grams gramme grammes gramm gramo gramos грамм грамма граммов г 克
mg 1/1000000 kg: mg milligram milligrams
t 1000 kg: t ton tons tonne tonnes
lb 45359237/100000000 kg: lb lbs pound pounds
oz 45359237/1600000000 kg: oz ounce ounces
N 1 kg m s-2: N newton newtons ньютон ньютона ньютонов Н 牛 牛顿
kN 1000 kg m s-2: kN
J 1 kg m2 s-2: J joule joules джоуль джоуля джоулей Дж 焦耳
kJ 1000 kg m2 s-2: kJ kilojoule kilojoules
cal 4184/1000 kg m2 s-2: cal calorie calories
kcal 4184 kg m2 s-2: kcal
kWh 3600000 kg m2 s-2: kWh
W 1 kg m2 s-3: W watt watts ватт
kW 1000 kg m2 s-3: kW kilowatt kilowatts
MW 1000000 kg m2 s-3: MW
Pa 1 kg m-1 s-2: Pa pascal pascals
kPa 1000 kg m-1 s-2: kPa
Hz 1 s-1: Hz hertz
kHz 1000 s-1: kHz
L 1/1000 m3: L l liter liters litre litres litro litros литр литра литров
mL 1/1000000 m3: mL ml milliliter milliliters millilitre millilitres
A 1 A: A amp amps ampere amperes
mA 1/1000 A: mA
V 1 kg m2 s-3 A-1: V volt volts вольт
Ω 1 kg m2 s-3 A-2: Ω Ω ohm ohms
mol 1 mol: mol mole moles
K 1 K: K kelvin kelvins
C 1 °C: C celsius
F 1 °F: F fahrenheit
degree 1 degree: ° degree degrees deg degré degrés grad grados gradi градус градуса градусов 度
mph 1609344/3600000 m s-1: mph
kmh 1000/3600 m s-1: kmh kph
usd 1 $: dollar dollars usd доллар доллара долларов
cent 1/100 ¢: cent cents centimes céntimos ¢
eur 1 €: euro euros eur евро
gbp 1 £: gbp
inr 1 ₹: rupee rupees
rub 1 ₽: рубль рубля рублей
"""  # noqa: E501
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
    for line in _LISTED.strip().splitlines():
        head, names = line.split(": ")
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
    """The unit that a list of words begins with, as in `m / s ^ 2` or `meters per second`, and how many words it takes."""  # noqa: E501
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
