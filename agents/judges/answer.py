"""What a judge's answer holds: exactly one JSON object, whatever stands around it.

A judge that was asked for JSON often puts a thought before it, a fence around it or a greeting after it. One object is
taken out of all that; a second one, a part of one, or a key that stands twice leaves open which was meant.

Invariant: an answer is read as one object or not at all. Whatever begins like an object and is none (cut off, single
quotes, a comma too many) makes the answer unreadable, also where another object is whole, so that a verdict never
depends on which of two a reader happened to find. No answer raises anything but `Unreadable`, whatever its size, depth
or numbers.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NoReturn

from agents.engines.reasoning import told_apart
from agents.text import visible

MAX_CHARACTERS = 200_000
"""Longest answer that is looked at; a thought of fifty thousand tokens fits."""
RAW_CHARACTERS = 2000
"""How much of an answer is kept where it could not be read."""
_WHOLE = re.compile(r"[+-]?\d{1,15}(?:\.0{1,15})?", re.ASCII)
_BEGINS = re.compile(r"\{\s*[\"}]")
_BROKEN = "a JSON object that is broken or cut off"
_HIDDEN = frozenset({"Cc", "Cf"})


class Unreadable(ValueError):
    """The answer holds no single object; the message says why, for a person."""


def read_object(text: str) -> Mapping[str, object]:
    """Returns the one JSON object of an answer, its keys in lower case (`key_name`).

    Raises:
        Unreadable: there is none, more than one, a part of one, or one with a key twice.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"{len(text)} characters are more than an answer has")
    if text.count("{") and (whole := _whole(text.strip().lstrip("\ufeff").strip())) is not None:
        return whole
    said, thought = told_apart(text)
    if thought and not said.strip():
        raise Unreadable("only a thought, and no answer after it")
    return _only(said)


def read_whole(value: object) -> int:
    """Returns the whole number that a value is: 4, 4.0 or "4".

    Raises:
        Unreadable: it is none; a half, a word and true are not.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(float(value))
    raise Unreadable(f"{shown(value)} is no whole number")


def key_name(key: str) -> str:
    """A key as it is looked up: `Verdict` and `verdict` are one key, which stands twice where both are there."""
    plain = unicodedata.normalize("NFKC", key).casefold()
    return "".join(one for one in plain if unicodedata.category(one) not in _HIDDEN).strip()


def kept(text: str) -> str:
    """An answer as it is stored for a person: visible characters only, and no more than `RAW_CHARACTERS`."""
    text = visible(text[: RAW_CHARACTERS + 1])
    return text if len(text) <= RAW_CHARACTERS else text[: RAW_CHARACTERS - 1] + "…"


def shown(value: object) -> str:
    """A value as an error quotes it, cut."""
    try:
        told = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        told = type(value).__name__
    return visible(told if len(told) <= 60 else told[:59] + "…")


def _whole(text: str) -> Mapping[str, object] | None:
    """The object where the text is nothing else; None where it is something else, too."""
    if not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        found, end = _decoded(text, 0)
    except _NoObject:
        return None
    return found if end == len(text) else None


def _only(text: str) -> Mapping[str, object]:
    """The one object in a text."""
    found: list[Mapping[str, object]] = []
    start = end = place = 0
    while (brace := text.find("{", place)) >= 0:
        if not _BEGINS.match(text, brace):
            place = _past_prose(text, brace)
            continue
        try:
            one, place = _decoded(text, brace)
        except _NoObject:
            raise Unreadable(_BROKEN) from None
        start, end = brace, place
        found.append(one)
        if len(found) > 1:
            raise Unreadable("more than one JSON object")
    if not found:
        raise Unreadable("no JSON object" if text.strip() else "nothing was said")
    before, after = text[:start].rstrip(), text[end:].lstrip()
    if before.endswith("[") != after.startswith("]") or after.startswith(","):
        raise Unreadable("a list that is cut off")
    return found[0]


def _past_prose(text: str, brace: int) -> int:
    """The place after braces that only group something, as in {1, 2} or \\frac{1}{2}.

    Raises:
        Unreadable: they look like an object that is broken or cut off; any object inside is not the answer.
    """
    depth = 0
    for place in range(brace, len(text)):
        character = text[place]
        if character in "\"':":
            break
        depth += (character == "{") - (character == "}")
        if not depth:
            return place + 1
    raise Unreadable(_BROKEN)


class _NoObject(Exception):
    """No JSON object begins here."""


def _decoded(text: str, start: int) -> tuple[Mapping[str, object], int]:
    """The object that begins at a place, and where it ends."""
    try:
        found, end = _DECODER.raw_decode(text, start)
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise _NoObject from error
    assert isinstance(found, dict)  # it begins with a brace
    return found, end


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        name = key_name(key)
        if name in found:
            raise Unreadable(f"the key {shown(key)} stands twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable(f"{text[:20]} is no finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > 20:
        raise Unreadable(f"a number of {len(text)} digits")
    return int(text)


def _refused(text: str) -> NoReturn:
    raise Unreadable(f"{text} is no JSON number")


# Line breaks inside a string are what models write into a reason; they leave nothing open.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_finite, parse_int=_integer, parse_constant=_refused, strict=False
)
