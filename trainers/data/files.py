"""Rows of a data file, whatever it is stored as: Parquet, JSON Lines, a JSON array or CSV, told by the suffix.

Invariant: every row of the file comes out, as a `SourceRow` or as a `BadRow` that says why it is none. A file that
cannot be read at all is an `InputError`. The whole file is held in memory.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agents.errors import InputError, nearest

_LONGEST_FIELD = 1 << 27  # the csv module's own limit, 128 KiB, is less than a long dialogue may have


class RowError(ValueError):
    """One row is of no use, and why. It never leaves this package: it becomes a `BadRow`."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row, or one reply of it, that did not become a dialogue."""

    line: int
    """Line of a JSON Lines file; position of the record in any other file. Both from 1, a CSV header not counted."""
    reason: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One record of a file with checked access: what is not there or not of the type is a `RowError` with the value."""

    line: int
    values: dict[str, Any]

    def get(self, name: str) -> Any:
        """The value, or None when it is missing, null or NaN."""
        value = self.values.get(name)
        return None if isinstance(value, float) and math.isnan(value) else value

    def text(self, name: str) -> str:
        """The text of a field; it must be there and not blank."""
        value = self.get(name)
        if not isinstance(value, str) or not value.strip():
            raise RowError(f"{name} is {_shown(self.values.get(name))}, not a text")
        return value

    def optional_text(self, name: str) -> str:
        """The text of a field, stripped; a number as text; empty when it is missing or null."""
        value = self.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise RowError(f"{name} is {_shown(value)}, not a text")
        return str(value).strip()

    def rating(self, name: str, low: float, high: float, step: float = 0.0) -> float:
        """The number of a field, from `low` to `high`, on a grid of `step` above `low` where one is given."""
        value = self.values.get(name)
        try:
            number = math.nan if value is None or isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise RowError(f"{name} is {_shown(value)}, not a number from {low:g} to {high:g}")
        if step and not ((number - low) / step).is_integer():
            raise RowError(f"{name} is {_shown(value)}, not in steps of {step:g}")
        return number

    def listed(self, name: str) -> list[Any]:
        """The list of a field."""
        value = self.get(name)
        if not isinstance(value, list):
            raise RowError(f"{name} is {_shown(value)}, not a list")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """The object of a field."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise RowError(f"{name} is {_shown(value)}, not an object")
        return value


def read_rows(path: Path, *, suffixes: Iterable[str] = ("parquet", "jsonl", "json", "csv")) -> list[SourceRow | BadRow]:
    """Reads all rows of a file in order.

    Args:
        path: the file; its suffix says how it is stored.
        suffixes: what this format may be stored as, of parquet, jsonl, json and csv.

    Raises:
        InputError: there is no such file, its suffix is not one of these, or it cannot be read, or it is empty.
    """
    allowed = tuple(suffixes)
    suffix = path.suffix.lower().lstrip(".")
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        raise InputError(f"There is no file {path}. {nearest(path.name, beside[:20])}")
    if suffix not in allowed:
        raise InputError(f"{path} ends in {path.suffix!r}, and this format is read from: {', '.join(allowed)}.")
    try:
        rows = list(_LOADERS[suffix](path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as {suffix} ({error}). Check that the file is whole.") from error
    if not rows:
        raise InputError(f"{path} holds no rows. Check that it is the right file and was written to the end.")
    return rows


def require(path: Path, rows: Iterable[SourceRow | BadRow], names: Iterable[str]) -> None:
    """Raises InputError when a column is in no row of the file, with the columns that are there."""
    found = {name for row in rows if isinstance(row, SourceRow) for name in row.values}
    missing = [name for name in names if name not in found]
    if missing:
        there = ", ".join(sorted(found)) or "none"
        raise InputError(f"{path} has no column {', '.join(map(repr, missing))}. Columns there: {there}.")


def _parquet(path: Path) -> Iterator[SourceRow | BadRow]:
    table = pq.read_table(path)
    for line, values in enumerate(table.to_pylist(), start=1):
        yield SourceRow(line, values)


def _jsonl(path: Path) -> Iterator[SourceRow | BadRow]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                yield _record(line, json.loads(text))
            except json.JSONDecodeError as error:
                yield BadRow(line, f"not JSON ({error})")


def _json(path: Path) -> Iterator[SourceRow | BadRow]:
    data = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(data, list):
        raise InputError(f"{path} holds one {type(data).__name__}, not an array of records. Check which file it is.")
    for line, value in enumerate(data, start=1):
        yield _record(line, value)


def _csv(path: Path) -> Iterator[SourceRow | BadRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line, values in enumerate(csv.DictReader(file), start=1):
            if None in values:
                yield BadRow(line, f"{len(values[None])} more fields than the header has")
            else:
                yield SourceRow(line, dict(values))


def _record(line: int, value: object) -> SourceRow | BadRow:
    return SourceRow(line, value) if isinstance(value, dict) else BadRow(line, f"{_shown(value)} is not an object")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_LOADERS: dict[str, Callable[[Path], Iterator[SourceRow | BadRow]]] = {
    "parquet": _parquet,
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
}
