"""What a run is made of besides its config: packs, strategies, personas, stressors, rubrics and the rest, by content.

An `Input` has a digest over what of it can reach an agent, a judge or a figure: not over the bytes of its file. Layout
and comments of a YAML file, the order of a pack's items, who wrote it (`licence`, `author`, `source`) and what it says
of itself (`about`) are none of that. A field that has its default is left out, so that a version with one field more
gives the same digests. An input is made of parts (an item, a criterion, a line of a persona), so that a change can be
named, and only the dialogues that it touches are held anew.

Invariant: names are looked up in the entries first, which are those of the run folder where a run is read or goes on,
and in the library and on disk only where there is no entry. So whoever has a run's config has its content with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import TypeAdapter

from agents.judges.rubrics import Rubric, load_rubric
from agents.library import Persona, Strategy, persona, strategy
from agents.packs import Pack, load_pack
from agents.records import Item
from agents.stressors import Stressor, stressor

Kind = Literal[
    "model",
    "pack",
    "strategy",
    "persona",
    "stressor",
    "rubric",
    "calibration",
    "scorer",
    "adapter",
    "callable",
    "tape",
]
UNHEARD = frozenset({"about", "licence", "author", "source"})
"""Fields that no agent, judge or figure ever sees."""
OF_PACK = frozenset({"name", "subject", "grade", "licence", "author", "items"})
"""Fields of a pack that are not its items' content; any other one (such as a language) belongs to every item."""
_RECORDS: dict[str, TypeAdapter[Any]] = {
    "pack": TypeAdapter(Pack),
    "strategy": TypeAdapter(Strategy),
    "persona": TypeAdapter(Persona),
    "stressor": TypeAdapter(Stressor),
    "rubric": TypeAdapter(Rubric),
}
SHOWN = 6
"""Parts that a message names at most."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input as a run uses it."""

    kind: Kind
    name: str
    """As the config gives it: a name of the library, or a path."""
    parts: tuple[tuple[str, str], ...]
    """The digest of each part that the run uses, by the part's name."""
    document: str = ""
    """Its content as JSON; empty where only the digest is kept (weights, code, a tape)."""

    @property
    def digest(self) -> str:
        """A digest of all its parts; the order in which they stand is none of it."""
        return digest_of(sorted(self.parts))


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a run, and where its config's names are looked up."""

    entries: tuple[Input, ...] = ()
    """Empty: nothing is known but what the library and the disk hold now."""

    def find(self, kind: str, name: str) -> Input | None:
        """The entry of that kind and name."""
        return next((one for one in self.entries if one.name == name and one.kind == kind), None)

    def document(self, kind: str, name: str) -> str | None:
        """Its content as JSON, where it is kept."""
        found = self.find(kind, name)
        return found.document or None if found else None

    def pack(self, name: str) -> Pack:
        """The pack of that name. Raises InputError where there is none, neither here nor on disk."""
        found = self._record("pack", name)
        return found if isinstance(found, Pack) else load_pack(name)

    def strategy(self, name: str) -> Strategy:
        """The strategy of that name. Raises InputError where there is none."""
        found = self._record("strategy", name)
        return found if isinstance(found, Strategy) else strategy(name)

    def persona(self, name: str) -> Persona:
        """The persona of that name. Raises InputError where there is none."""
        found = self._record("persona", name)
        return found if isinstance(found, Persona) else persona(name)

    def stressor(self, name: str) -> Stressor:
        """The stressor of that name. Raises InputError where there is none."""
        found = self._record("stressor", name)
        return found if isinstance(found, Stressor) else stressor(name)

    def rubric(self, name: str) -> Rubric:
        """The rubric of that name. Raises InputError where there is none."""
        found = self._record("rubric", name)
        return found if isinstance(found, Rubric) else load_rubric(name)

    def met(self, pack: Pack, item: Item, *, persona: str, stressor: str) -> str:
        """A digest of what a tutor meets in an episode: the item, and who the student is."""
        stress = content_digest(self.stressor(stressor)) if stressor else ""
        return digest_of([item_digest(pack, item), content_digest(self.persona(persona)), stress])

    def _record(self, kind: str, name: str) -> object:
        document = self.document(kind, name)
        return None if document is None else _record(kind, document)


@lru_cache(maxsize=256)
def _record(kind: str, document: str) -> object:
    return _RECORDS[kind].validate_python(json.loads(document))


@dataclass(frozen=True, slots=True)
class Change:
    """An input that is not what it was."""

    kind: Kind
    name: str
    parts: frozenset[str]
    """Names of the parts that differ."""
    says: str
    """What changed, for people."""


def changes(old: Inputs, new: Inputs) -> list[Change]:
    """How inputs of the same kind and name differ; what only one side has is the config's doing."""
    return [
        Change(one.kind, one.name, parts, f"{one.kind} {one.name}: {_told(before, one, parts)}")
        for one in new.entries
        if (before := old.find(one.kind, one.name)) and (parts := _different(before, one))
    ]


def _different(old: Input, new: Input) -> frozenset[str]:
    first, second = dict(old.parts), dict(new.parts)
    return frozenset(part for part in first.keys() | second.keys() if first.get(part) != second.get(part))


def _told(old: Input, new: Input, parts: frozenset[str]) -> str:
    """The parts that differ, in words; of an item also in which fields."""
    before, after = dict(old.parts), dict(new.parts)
    what = {"pack": "item", "tape": "dialogue", "scorer": "file", "adapter": "file"}.get(new.kind, "")
    said = []
    for part in sorted(parts):
        name = f"{what} {part!r}" if what else part
        if part not in after:
            said.append(f"{name} is not used any more" if new.kind == "pack" else f"{name} is gone")
        elif part not in before:
            said.append(f"{name} is new")
        else:
            said.append(f"{name} changed" + (_fields_of(old, new, part) if new.kind == "pack" else ""))
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return "; ".join(said[:SHOWN]) + more


def _fields_of(old: Input, new: Input, item: str) -> str:
    """Which fields of an item differ; the right answer with both values, for that is what corrections are about."""
    packs = [_record("pack", one.document) for one in (old, new) if one.document]
    found = [one for pack in packs if isinstance(pack, Pack) for one in pack.items if one.id == item]
    if len(found) != 2:
        return ""
    first, second = found
    named = list(_unequal("", canonical(first), canonical(second)))
    key = ""
    if first.question.answer_text != second.question.answer_text:
        key = f"right answer {first.question.answer_text[:60]!r} -> {second.question.answer_text[:60]!r}; "
    return f" ({key}{', '.join(named[:SHOWN])})" if named else " (what the pack says of all its items)"


def _unequal(key: str, first: object, second: object) -> Iterator[str]:
    if first == second:
        return
    if isinstance(first, dict) and isinstance(second, dict):
        for part in dict.fromkeys((*first, *second)):
            yield from _unequal(f"{key}.{part}" if key else str(part), first.get(part), second.get(part))
    else:
        yield key


def plain(record: object) -> Any:
    """A record as JSON-able data, all its fields."""
    return _plain(record, drop=False)


def canonical(record: object) -> Any:
    """What of a record counts as its content: no field that has its default, none of `UNHEARD`, no space at the ends
    of lines."""
    return _plain(record, drop=True)


def _plain(value: object, *, drop: bool) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: (field, getattr(value, field.name)) for field in fields(value)}
        return {
            name: _plain(one, drop=drop)
            for name, (field, one) in named.items()
            if not drop or (name not in UNHEARD and not _is_default(field, one))
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(one, drop=drop) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, drop=drop) for one in value]
    if isinstance(value, str) and drop:
        return "\n".join(line.rstrip() for line in value.strip().splitlines())
    return value


def _is_default(field: Any, value: object) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return default is not MISSING and bool(value == default)


def digest_of(value: object) -> str:
    """A 16-digit hexadecimal digest of JSON-able data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@lru_cache(maxsize=512)
def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_digest(record: object) -> str:
    """The digest of a record's content."""
    return _digest_of_text(json.dumps(canonical(record), sort_keys=True))


def item_digest(pack: Pack, item: Item) -> str:
    """The digest of an item's content, with what its pack says of all its items."""
    return digest_of([canonical(item), *_of_all_items(pack)])


def _of_all_items(pack: Pack) -> list[Any]:
    named = {field.name: (field, getattr(pack, field.name)) for field in fields(pack) if field.name not in OF_PACK}
    shared = {name: canonical(value) for name, (field, value) in named.items() if not _is_default(field, value)}
    return [shared] if shared else []


def pack_input(name: str, pack: Pack, used: Sequence[Item]) -> Input:
    """A pack of which some items are used."""
    parts = tuple((item.id, item_digest(pack, item)) for item in used)
    return Input("pack", name, parts, json.dumps(plain(pack)))


def strategy_input(found: Strategy, settings: Sequence[Mapping[str, str]]) -> Input:
    """A strategy with the settings that tutors have of it: guidance that nobody is given is no part of it."""
    given = {(key, found.setting(key, one)) for one in settings for key in found.settings}
    content = canonical(found)
    parts = {name: content.get(name) for name in ("prompt", "hints", "openers")}
    parts |= {f"settings.{key}.{value}": found.settings[key][value] for key, value in given}
    return Input("strategy", found.name, digested(parts), json.dumps(plain(found)))


def record_input(kind: Kind, name: str, record: object) -> Input:
    """A persona or stressor by its fields, a rubric by scale and criteria."""
    content = canonical(record)
    criteria = {f"criterion {one['name']!r}": one for one in content.pop("criteria", ())}
    return Input(kind, name, digested(content | criteria), json.dumps(plain(record)))


def digested(parts: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Parts with the digest of each."""
    return tuple((name, digest_of(value)) for name, value in sorted(parts.items()))
