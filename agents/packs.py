"""Packs: files of items, checked whole when they are read.

Invariant: an item that was loaded has two options or more that say different things, exactly one of them correct, a
distinct misconception on every wrong one, an opening that does not give the answer away, and another question of the
same shape for transfer (without misconceptions); no two items ask the same. A bad pack is an `InputError` that
names file, item and field. A pack is data from somebody else: it is read as `agents.documents` reads, its texts have a
largest length, and none holds a control character, so that none can steer a terminal or hide what it says.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agents.documents import located_in, read_document, validated
from agents.errors import InputError, nearest
from agents.judges.rules import find_leaks
from agents.records import Item, Option, Question
from agents.text import hidden_characters

MAX_TEXT = 2000
"""Characters of one text of a pack."""


_SAME = str.maketrans(
    {
        **{raised: f"^{plain}" for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True)},
        **dict.fromkeys("‘’‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
    }
)
"""What Unicode's compatibility forms would make of two different texts (10² and 102), or not of two equal ones."""
_BLANKS = frozenset("\u2800\u3164\u115f\u1160\uffa0")
"""Letters and symbols that show nothing."""


def _plain(text: str) -> str:
    if found := hidden_characters(text):
        raise ValueError(f"holds the control or invisible character U+{ord(found[0]):04X}; take it out")
    return text


def _said(text: str) -> str:
    if all(sign in _BLANKS or unicodedata.category(sign)[0] in "ZCM" for sign in text):
        raise ValueError("is blank; write a text")
    return text


def same_text(text: str) -> str:
    """What two texts have in common that say the same: without case, blanks around and between, and Unicode forms."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_SAME)).casefold().split())


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_plain), AfterValidator(_said)]
MaybeText = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_plain)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _OptionEntry(_Entry):
    text: Text
    correct: bool = False
    misconception: MaybeText = ""


class _QuestionEntry(_Entry):
    question: Text
    options: Annotated[list[_OptionEntry], Field(min_length=2, max_length=10)]


class _ItemEntry(_QuestionEntry):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    area: Text
    concept: Text
    keywords: Annotated[list[Text], Field(min_length=1)]
    opening: Text
    transfer: _QuestionEntry


def _language(code: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", code):
        raise ValueError("a language is named by its code (BCP 47), such as en, fr, pt-BR or zh-Hans")
    return code


class _PackEntry(_Entry):
    name: Text
    language: Annotated[str, AfterValidator(_language)] = "en"
    subject: Text
    grade: Text
    licence: Text
    author: Text
    items: Annotated[list[_ItemEntry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Pack:
    """A file of items with subject, grade, licence and author."""

    name: str
    subject: str
    grade: str
    licence: str
    author: str
    items: tuple[Item, ...]
    language: str = "en"
    """Code of the language that all of its items are written in; its questions carry it as well."""

    def item(self, item_id: str) -> Item:
        """The item of that id. Raises InputError when there is none."""
        for item in self.items:
            if item.id == item_id:
                return item
        raise InputError(f"pack {self.name}: no item {item_id!r}; {nearest(item_id, (i.id for i in self.items))}")

    def spread(self, limit: int | None) -> tuple[Item, ...]:
        """At most `limit` items, taken in turn from every area so that a small selection still covers the pack."""
        areas: dict[str, list[Item]] = {}
        for item in self.items:
            areas.setdefault(item.area, []).append(item)
        longest = max(len(items) for items in areas.values())
        ordered = [items[i] for i in range(longest) for items in areas.values() if i < len(items)]
        return tuple(ordered[:limit])


def shipped_packs() -> list[str]:
    """Names of the packs that come with tutorloop."""
    return sorted(Path(str(entry)).stem for entry in files("agents").joinpath("data/packs").iterdir())


def load_pack(name_or_path: str) -> Pack:
    """Reads a shipped pack by name, or a YAML file by path.

    Raises:
        InputError: there is no such pack, or it is bad; the message names file, item and field.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if name_or_path not in shipped_packs():
            raise InputError(
                f"no pack {name_or_path!r}; {nearest(name_or_path, shipped_packs())} (or the path of a .yaml file)"
            )
        path = Path(str(files("agents").joinpath(f"data/packs/{name_or_path}.yaml")))
    if not path.is_file():
        raise InputError(f"pack {path}: no such file; give a path to a .yaml pack or one of {shipped_packs()}")
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> Pack:
    """Reads a file that is there; kept until it changes, because whatever makes episodes asks for its pack anew."""
    raw = read_document(path, f"pack {path}")
    try:
        entry = validated(_PackEntry, raw)
    except ValidationError as error:
        raise InputError(_explain(path, raw, error)) from error
    repeated = [item_id for item_id, n in Counter(item.id for item in entry.items).items() if n > 1]
    if repeated:
        raise InputError(f"pack {path}: item id {repeated[0]!r} stands more than once; ids must be unique")
    items = tuple(_item(path, item, entry.language) for item in entry.items)
    asked: dict[tuple[str, frozenset[str]], str] = {}
    for item in items:
        other = asked.setdefault(_content(item.question), item.id)
        if other != item.id:
            raise InputError(
                f"pack {path}: items {other!r} and {item.id!r} ask the same question with the same options; keep one "
                f"(items.repeats gives more dialogues on it)"
            )
    return Pack(entry.name, entry.subject, entry.grade, entry.licence, entry.author, items, entry.language)


def _explain(path: Path, raw: object, error: ValidationError) -> str:
    first = error.errors()[0]
    place = list(first["loc"])
    where = ".".join(str(part) for part in place) or "the file"
    if len(place) >= 2 and place[0] == "items" and isinstance(place[1], int) and isinstance(raw, dict):
        item = raw["items"][place[1]]
        name = item.get("id", f"number {place[1] + 1}") if isinstance(item, dict) else f"number {place[1] + 1}"
        where = f"item {name!r}, field {'.'.join(str(part) for part in place[2:]) or 'all'}"
    end = located_in(path, first)
    return f"pack {path}: {where}: {first['msg']} (got {_shown(first.get('input'))}){end}. See docs/packs.md"


def _shown(value: object) -> str:
    """What was given, in a few characters; of a map or list only its size, as its text could be long to make."""
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, dict | list) else repr(str(value)[:80])


def _item(path: Path, entry: _ItemEntry, language: str) -> Item:
    question = _question(path, entry.id, "options", entry, language)
    for option in question.options:
        if not option.correct and not option.misconception.strip():
            raise InputError(f"pack {path}: item {entry.id!r}, field options: {option.text!r} has no misconception")
    beliefs = [same_text(option.misconception) for option in question.options if not option.correct]
    if len(set(beliefs)) < len(beliefs):
        raise InputError(f"pack {path}: item {entry.id!r}, field options: two wrong options share a misconception")
    transfer = _question(path, entry.id, "transfer.options", entry.transfer, language)
    if (same_text(transfer.text), same_text(transfer.answer_text)) == (
        same_text(question.text),
        same_text(question.answer_text),
    ):
        raise InputError(
            f"pack {path}: item {entry.id!r}, field transfer: asks what the item asks, with the same answer; ask about "
            f"the same concept in another situation"
        )
    if leaks := find_leaks(entry.opening, question, turn=0):
        raise InputError(
            f"pack {path}: item {entry.id!r}, field opening: {entry.opening[:80]!r} gives the answer away "
            f"({leaks[0].evidence[:80]!r}), so nothing would be left to teach; open without it"
        )
    keywords = tuple(word.lower() for word in entry.keywords)
    return Item(entry.id, entry.area, entry.concept, keywords, entry.opening, question, transfer)


def _question(path: Path, item_id: str, field: str, entry: _QuestionEntry, language: str) -> Question:
    options = [Option(option.text, option.correct, option.misconception) for option in entry.options]
    correct = sum(option.correct for option in options)
    if correct != 1:
        raise InputError(
            f"pack {path}: item {item_id!r}, field {field}: {correct} options are marked correct, expected exactly 1"
        )
    texts = [same_text(option.text) for option in options]
    if twice := [one.text for one, text in zip(options, texts, strict=True) if texts.count(text) > 1]:
        raise InputError(
            f"pack {path}: item {item_id!r}, field {field}: two options have the same text ({twice[0][:60]!r} and "
            f"{twice[1][:60]!r}, but for case, blanks and Unicode forms)"
        )
    return Question(entry.question, tuple(options), language)


def _content(question: Question) -> tuple[str, frozenset[str]]:
    """What makes two questions one, in whatever order their options stand."""
    return same_text(question.text), frozenset(same_text(option.text) for option in question.options)


def pack_warnings(pack: Pack) -> list[str]:
    """What a pack may have and its author should know; empty where there is nothing to say."""
    uneven = [item.id for item in pack.items if _uneven(item.question) or _uneven(item.transfer)]
    if not uneven:
        return []
    shown = ", ".join(uneven[:3]) + (f" and {len(uneven) - 3} more" if len(uneven) > 3 else "")
    return [
        f"pack {pack.name}: in {len(uneven)} of {len(pack.items)} items the longest option is more than half "
        f"longer than the shortest ({shown}); the belief probe, a mean log-probability a token, favours long options"
    ]


def _uneven(question: Question) -> bool:
    lengths = [len(option.text) for option in question.options]
    return max(lengths) > 1.5 * min(lengths)
