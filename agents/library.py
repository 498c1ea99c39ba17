"""The library of strategies and personas: named prompt templates kept as data files.

Invariant: a name that was looked up exists; an unknown one is an `InputError` with the nearest valid name. A process
reads the files once and everybody shares the records, so nothing of them can be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from agents.documents import parse_document
from agents.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a tutor is told to teach."""

    name: str
    about: str
    prompt: str
    hints: tuple[str, ...] = ()
    openers: tuple[str, ...] = ()
    """How a reply in this strategy may begin: what exploring candidates are started with in training dialogues."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For each parameter, its values and the guidance each value puts into the prompt."""

    def render(self, settings: Mapping[str, str]) -> str:
        """The instruction, with guidance and the whole hint ladder filled in.

        It is the same at every turn, so that the tutor's view only ever grows (see `agents.views`).
        """
        hints = " ".join(f"{i}. {hint}" for i, hint in enumerate(self.hints, start=1))
        guidance = " ".join(values[self.setting(name, settings)] for name, values in self.settings.items())
        return self.prompt.format(hints=hints, guidance=guidance)

    def setting(self, name: str, settings: Mapping[str, str]) -> str:
        """The value of a parameter: as given, else the first one of the library."""
        return settings.get(name, next(iter(self.settings[name])))

    def check(self, settings: Mapping[str, str]) -> None:
        """Raises InputError for a parameter this strategy does not have, or a value it does not know."""
        for name, value in settings.items():
            if name not in self.settings:
                raise InputError(f"strategy {self.name} has no setting {name!r}; {nearest(name, self.settings)}")
            if value not in self.settings[name]:
                raise InputError(
                    f"strategy {self.name}: {name} = {value!r} is unknown; {nearest(value, self.settings[name])}"
                )


@dataclass(frozen=True, slots=True)
class Persona:
    """Who a simulated student is."""

    name: str
    about: str
    prompt: str
    prior: float
    """How firmly the misconception is held, 0 to 1 (told in the report; the prompt carries it)."""
    engagement: float
    lines: tuple[str, ...] = ()
    """What it says whatever the tutor does, turn by turn; empty: the engine speaks."""
    stressors: Mapping[str, float] = field(default_factory=dict)


def _read(name: str) -> dict[str, dict[str, Any]]:
    text = files("agents").joinpath(f"data/{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = parse_document(text, f"data/{name}.yaml")
    return loaded


@cache
def strategies() -> Mapping[str, Strategy]:
    """All strategies by name."""
    return MappingProxyType(
        {
            name: Strategy(
                name,
                raw["about"],
                raw["prompt"],
                tuple(raw.get("hints", ())),
                tuple(raw.get("openers", ())),
                MappingProxyType({key: MappingProxyType(values) for key, values in raw.get("settings", {}).items()}),
            )
            for name, raw in _read("strategies").items()
        }
    )


@cache
def shipped_openers() -> tuple[str, ...]:
    """Every opener of the library, of now and of older versions."""
    keys = ("openers", "earlier_openers")
    return tuple(dict.fromkeys(one for raw in _read("strategies").values() for key in keys for one in raw.get(key, ())))


@cache
def personas() -> Mapping[str, Persona]:
    """All personas by name."""
    return MappingProxyType(
        {
            name: Persona(
                name,
                raw["about"],
                raw["prompt"],
                float(raw["prior"]),
                float(raw["engagement"]),
                tuple(raw.get("lines", ())),
                MappingProxyType({key: float(value) for key, value in raw.get("stressors", {}).items()}),
            )
            for name, raw in _read("personas").items()
        }
    )


def strategy(name: str) -> Strategy:
    """The strategy of that name. Raises InputError when there is none."""
    known = strategies()
    if name not in known:
        raise InputError(f"no strategy {name!r}; {nearest(name, known)}")
    return known[name]


def persona(name: str) -> Persona:
    """The persona of that name. Raises InputError when there is none."""
    known = personas()
    if name not in known:
        raise InputError(f"no persona {name!r}; {nearest(name, known)}")
    return known[name]
