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
class Script:
    """What a scripted student says: it takes up the tutor's turn, then asks, one rung of a ladder a turn.

    Fields: {belief} (the wrong option it holds), {topic} (the item's concept), {word} (a word of the tutor's turn that
    is about the item). A form whose field is empty is not said.
    """

    asked: tuple[str, ...]
    """How it takes up a turn that asks something, in several forms."""
    told: tuple[str, ...]
    """How it takes up any other turn."""
    asks: tuple[tuple[str, ...], ...]
    """What it asks for, from mild to strong, each in several forms; the last rung is repeated."""


@dataclass(frozen=True, slots=True)
class Persona:
    """Who a simulated student is."""

    name: str
    about: str
    prompt: str
    prior: float
    """How firmly the misconception is held, 0 to 1: it chooses the words that the prompt has for it."""
    lines: tuple[str, ...] = ()
    """What it says whatever the tutor does, turn by turn; empty: the engine speaks."""
    stressors: Mapping[str, float] = field(default_factory=dict)
    sentences: int = 0
    """How many sentences of what its model wrote are said at most; 0: all."""
    script: Script | None = None
    """What it says in place of its model."""
    terse: float = 0.0
    """Share of its turns that are one to three words."""
    examples: tuple[tuple[str, str], ...] = ()
    """What the tutor and the student say before a terse turn, so that its model sees how short one is."""

    @property
    def is_scripted(self) -> bool:
        """Whether no model is asked for its turns."""
        return bool(self.lines) or self.script is not None


def _read(name: str) -> dict[str, Any]:
    text = files("agents").joinpath(f"data/{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = parse_document(text, f"data/{name}.yaml")
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
    loaded: Mapping[str, Any] = _read("personas")
    return MappingProxyType({name: _persona(name, raw, loaded) for name, raw in loaded["personas"].items()})


def with_prior(name: str, prior: float) -> Persona:
    """A shipped persona that holds its misconception as firmly as told."""
    loaded = _read("personas")
    return _persona(name, loaded["personas"][name] | {"prior": prior}, loaded)


PARTS = ("identity", "style", "learning", "donts", "reminder")
"""What a persona's prompt is made of, in order."""


def _persona(name: str, raw: Mapping[str, Any], loaded: Mapping[str, Any]) -> Persona:
    prior, terse = float(raw["prior"]), float(raw.get("terse", 0.0))
    sure = next(words for limit, words in loaded["sure"] if prior <= limit)
    prompt = "\n".join(raw[part].strip() for part in PARTS if part in raw)
    return Persona(
        name,
        raw["about"],
        prompt.replace("{sure}", sure),
        prior,
        tuple(raw.get("lines", ())),
        MappingProxyType({key: float(value) for key, value in raw.get("stressors", {}).items()}),
        int(raw.get("sentences", 0)),
        _script(raw.get("script")),
        terse,
        tuple((heard, said) for heard, said in loaded["terse"]) if terse else (),
    )


def _script(raw: Mapping[str, Any] | None) -> Script | None:
    return Script(tuple(raw["asked"]), tuple(raw["told"]), tuple(map(tuple, raw["asks"]))) if raw else None


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
