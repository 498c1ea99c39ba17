"""YAML that somebody else wrote, read so that it can only become data, and the same data whoever reads it.

    temperature: yes     the text "yes": a reader of YAML 1.1 would make it true, and 1.0 where a number is wanted
    turns: 1:30          the text "1:30": once 90, in base 60
    seed: 010            the text "010": 8 to one reader and 10 to another

Plain scalars are read by the core schema of YAML 1.2, of which numbers are decimal: what versions of YAML read
differently is a text, so that an option may be `No` and a persona `on`, and a field that wants a number or a truth
value refuses it (`validated`, which also takes no text, truth value or infinite number for a number). A key is the
text that JSON makes of it, and one that stands twice is an error with both lines: `1`, `1.0` and `"1"` are one.

Invariant: what comes out are maps with text keys, lists, texts, numbers, truth values and None, at most `MAX_NODES` of
them when aliases are written out, and nested at most `MAX_DEPTH` deep. No tag makes an object, and a small file cannot
unfold into a large one ("billion laughs"). Whatever is wrong is an `InputError`. Cost: the text is parsed twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from agents.errors import InputError

MAX_BYTES = 16_000_000
MAX_NODES = 1_000_000
MAX_DEPTH = 64
T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

_TAG = "tag:yaml.org,2002:"
_CORE = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": r"<<",
}
_DOUBTFUL = re.compile(
    r"(?i:y|n|yes|no|on|off)|[-+]?0[0-9_]+|[-+]?0(?i:[xob])[0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_.]*"
    r"|[-+]?[0-9]+(?::[0-9]+)+(?:\.[0-9]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
)
"""Plain scalars that versions of YAML read differently: truth values, octal, grouped and base-60 numbers, dates."""


class _Loader(yaml.CSafeLoader):
    """Tags plain scalars by YAML 1.2's core schema, and keeps `<<`, which every reader of YAML knows."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would not read as text, besides what PyYAML quotes for readers of YAML 1.1."""


for _kind, _pattern in _CORE.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), None)
_Dumper.add_implicit_resolver(_TAG + "float", re.compile(f"^(?:{_CORE['float']})$"), list("-+.0123456789"))


def read_document(path: Path, what: str) -> Any:
    """Returns what a YAML file holds.

    Raises:
        InputError: `read_text` or `parse_document` refuses it.
    """
    return parse_document(read_text(path, what), what)


def read_text(path: Path, what: str) -> str:
    """Returns the text of a file that may be of any size.

    Args:
        path: a regular file of at most `MAX_BYTES`.
        what: names the file in messages, such as `pack mine.yaml`.

    Raises:
        InputError: the file is too large, is not UTF-8, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{what}: {size} bytes; at most {MAX_BYTES} are read: split the file")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{what}: cannot be read ({why}); check the path") from None


def parse_document(text: str, what: str) -> Any:
    """Returns what a YAML text holds.

    Raises:
        InputError: it is no YAML, has a key twice, holds a tag that would make an object, unfolds too far or is nested
            too deep.
    """
    try:
        _check_shape(text, what)
        root = yaml.compose(text, Loader=_Loader)
        return None if root is None else _Builder(what).value(root)
    except yaml.YAMLError as error:
        raise InputError(f"{what}: not a readable YAML file: {' '.join(str(error).split())}; correct it") from None
    except (ValueError, OverflowError) as error:  # a number of 5,000 digits
        raise InputError(f"{what}: holds a value that YAML cannot make ({error}); quote it") from None


def dump_document(value: Any) -> str:
    """Returns plain data as YAML that this module, and other readers of YAML 1.1 or 1.2, read as the same data."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False))


def validated(model: type[Model], raw: Any) -> Model:
    """Makes a model of what a document holds, and takes nothing for what it is not: no truth value or text for a
    number, no number for a text, no infinite number where the model refuses them.

    Raises:
        pydantic.ValidationError: the document does not fit the model.
    """
    return model.model_validate_json(json.dumps(raw), strict=True)


def adapted(form: TypeAdapter[T], raw: Any) -> T:
    """`validated` for a type that is no model. Raises `pydantic.ValidationError`."""
    return form.validate_json(json.dumps(raw), strict=True)


def problems(error: ValidationError) -> list[ErrorDetails]:
    """What is wrong, without what only follows: of a list whose entries are wrong, that it lacks entries."""
    found = error.errors()
    places = [one["loc"] for one in found]
    return [
        one
        for one in found
        if one["type"] != "too_short"
        or not any(place[: len(one["loc"])] == one["loc"] and place != one["loc"] for place in places)
    ]


def located(text: str, detail: ErrorDetails) -> str:
    """Where in a document a validation error is, and what is to be said of how the value was written.

    Args:
        text: the document; it was parsed before.
        detail: one error of what `validated` raised.

    Returns:
        The end of a message, such as "; line 7; `yes` is read differently by versions of YAML: write true or false";
        empty where there is nothing to say.
    """
    node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    if node is None:
        return ""
    line = 0
    for part in detail["loc"]:
        key, inner = _step(node, part)
        if inner is not None and key is not None:  # the name of a union's branch is in no document
            line, node = key.start_mark.line + 1, inner
    doubt = _doubt(node, detail["type"])
    return (f"; line {line}" if line else "") + (f"; {doubt}" if doubt else "")


def located_in(path: Path, detail: ErrorDetails) -> str:
    """`located` for a file; nothing to say where it cannot be read any more."""
    try:
        return located(path.read_text(encoding="utf-8"), detail)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""


def _step(node: yaml.Node, part: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The node that shows where an entry begins, and the entry."""
    if isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                return key, inner
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None, None


def _doubt(node: yaml.Node, kind: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.style or kind in ("missing", "extra_forbidden"):
        return ""
    if node.tag in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null") and kind == "string_type":
        return f"`{node.value[:40]}` without quotes is no text: quote it"
    if not _DOUBTFUL.fullmatch(node.value):
        return ""
    wanted = {"bool": "write true or false", "int_": "write a decimal number", "floa": "write a decimal number"}
    advice = wanted.get(kind[:4], "quote it where a text is meant")
    return f"`{node.value[:40]}` is read differently by versions of YAML: {advice}"


class _Builder:
    """Makes plain data of the nodes of one document. What an alias stands for is made once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._made: dict[int, Any] = {}

    def value(self, node: yaml.Node) -> Any:
        if id(node) not in self._made:
            self._made[id(node)] = self._make(node)
        return self._made[id(node)]

    def _make(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(one) for one in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._map(node)
        raise self._error(node, f"the tag {node.tag[:60]!r} would make an object, and only plain data is read")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix(_TAG), str(node.value)
        if kind in ("str", "merge"):
            return text
        if kind not in ("null", "bool", "int", "float"):
            raise self._error(node, f"the tag {node.tag[:60]!r} would make an object, and only plain data is read")
        if not re.fullmatch(_CORE[kind], text) and not (kind == "float" and re.fullmatch(_CORE["int"], text)):
            raise self._error(node, f"{text[:40]!r} is no {kind}")
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        return int(text) if kind == "int" else float(re.sub(r"\.(?=inf|nan)", "", text.lower()))

    def _map(self, node: yaml.MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        first: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key_node, inner in node.value:
            key, line = self._key(key_node), key_node.start_mark.line + 1
            if key in first:
                raise InputError(
                    f"{self._what}: line {line}: the key {key[:60]!r} stands twice, first on line {first[key]}; "
                    f"keep one of them"
                )
            first[key] = line
            if key_node.tag == _TAG + "merge":
                for source in self._merged(inner):
                    merged |= {name: value for name, value in source.items() if name not in merged}
            else:
                own[key] = self.value(inner)
        return merged | own

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "a key is a map or a list; write a text")
        key = self._scalar(node)
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        return key if isinstance(key, str) else json.dumps(key)

    def _merged(self, node: yaml.Node) -> Iterator[Mapping[str, Any]]:
        """What `<<` puts into a map, the strongest first."""
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            source = self.value(one)
            if not isinstance(source, dict):
                raise self._error(one, "`<<` takes a map, or a list of maps")
            yield source

    def _error(self, node: yaml.Node, why: str) -> InputError:
        return InputError(f"{self._what}: line {node.start_mark.line + 1}: {why}; correct it")


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
