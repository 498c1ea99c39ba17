"""YAML that somebody else wrote, read so that it can only become data.

Invariant: what comes out are maps, lists, texts, numbers, truth values, dates and None, at most `MAX_NODES` of them
when aliases are written out, and nested at most `MAX_DEPTH` deep. No tag makes an object, and a small file cannot
unfold into a large one ("billion laughs"). Whatever is wrong is an `InputError`. Cost: the text is parsed twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from agents.errors import InputError

MAX_BYTES = 16_000_000
MAX_NODES = 1_000_000
MAX_DEPTH = 64


def read_document(path: Path, what: str) -> Any:
    """Returns what a YAML file holds.

    Args:
        path: a regular file of at most `MAX_BYTES`.
        what: names the file in messages, such as `pack mine.yaml`.

    Raises:
        InputError: the file is too large, is not UTF-8, cannot be read, or `parse_document` refuses it.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{what}: {size} bytes; at most {MAX_BYTES} are read: split the file")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{what}: cannot be read ({why}); check the path") from None
    return parse_document(text, what)


def parse_document(text: str, what: str) -> Any:
    """Returns what a YAML text holds.

    Raises:
        InputError: it is no YAML, holds a tag that would make an object, unfolds too far or is nested too deep.
    """
    try:
        _check_shape(text, what)
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{what}: not a readable YAML file: {' '.join(str(error).split())}; correct it") from None
    except (ValueError, OverflowError, TypeError) as error:  # a date of month 13, a number of 5,000 digits
        raise InputError(f"{what}: holds a value that YAML cannot make ({error}); quote it") from None


def _check_shape(text: str, what: str) -> None:
    """Walks the text as a stream of events, which needs no recursion and unfolds nothing."""
    total = 0
    sizes: dict[str, int] = {}
    open_parts: list[tuple[str, int]] = []  # the anchor of each open map or list, and the nodes before it
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise InputError(
                    f"{what}: the alias *{event.anchor} stands for nothing yet, or for itself; write it out"
                )
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_parts.append((event.anchor or "", total))
            sizes.pop(event.anchor or "", None)
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_parts.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if total > MAX_NODES:
            raise InputError(f"{what}: unfolds into more than {MAX_NODES} values; write fewer, or fewer aliases")
        if len(open_parts) > MAX_DEPTH:
            raise InputError(f"{what}: is nested more than {MAX_DEPTH} deep; make it flatter")
