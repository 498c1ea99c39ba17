"""One part: some dialogues as a Parquet file that can be checked.

    part-000007-2c26b46b68ffc68ff99b453c1d304134.parquet     the seventh file, and the SHA-256 of its bytes (its start)

Invariant: the name of a part says what its bytes are, so there is no moment at which a part is there and its checksum
is not; who reads only some columns is guarded by a checksum of every page. A part that is not as it was written is a
`Damaged` error that says how, never a shorter list of dialogues.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from agents.errors import StoreError
from agents.records import Dialogue, Failure, Turn, dialogue_from_json, dialogue_to_json
from sim.storage.files import Location

_FIELDS = [("index", pa.int32()), ("role", pa.string()), ("text", pa.string()), ("policy_version", pa.string())]
_TURN = pa.struct([*_FIELDS, ("reasoning", pa.string()), ("role_break", pa.bool_())])
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "phase", "arm", "pack", "item", "persona", "strategy")),
        *((name, pa.string()) for name in ("student_key", "policy")),
        *((name, pa.string()) for name in ("tutor", "stressor")),
        ("intensity", pa.float64()),
        *((name, pa.float64()) for name in ("reward", "gain", "transfer_gain", "leak", "question_share")),
        ("failure", pa.string()),
        ("turns", pa.list_(_TURN)),
        ("record", pa.string()),
    ]
)
_OLDER = {"turns": pa.list_(pa.struct(_FIELDS))}
"""Types of columns in parts that an older version wrote."""
_SUM = re.compile(r"^(?:part|bundle)-\d+-([0-9a-f]{32})\.parquet$")

Row = dict[str, Any]


class Damaged(StoreError):
    """A part that is cut off, changed, or no part at all."""

    def __init__(self, part: Location, why: str) -> None:
        super().__init__(
            f"{part} is corrupt ({why}); run the same command again: the part is put aside and its dialogues are "
            f"done anew"
        )
        self.part, self.why = part, why


def row_of(dialogue: Dialogue) -> Row:
    """A dialogue as a row: columns to look at, and the whole of it as JSON in `record`."""
    dialogue, record = _storable(dialogue)
    spec = dialogue.spec
    asked = [turn.rules.question for turn in dialogue.tutor_turns if turn.rules and turn.rules.question is not None]
    return {
        "id": spec.id,
        "phase": spec.phase,
        "arm": spec.arm,
        "pack": spec.pack,
        "item": spec.item_id,
        "persona": spec.persona,
        "strategy": spec.strategy,
        "student_key": spec.student_key,
        "policy": dialogue.tutor_policy,
        "tutor": spec.tutor_name,
        "stressor": spec.stressor,
        "intensity": spec.intensity,
        "reward": dialogue.reward,
        "gain": dialogue.gain,
        "transfer_gain": dialogue.transfer_gain,
        "leak": None if dialogue.failure else dialogue.worst_leak,
        "question_share": sum(asked) / len(asked) if asked else None,
        "failure": dialogue.failure.error if dialogue.failure else None,
        "turns": [{field.name: getattr(turn, field.name) for field in _TURN} for turn in dialogue.turns],
        "record": record,
    }


def _storable(dialogue: Dialogue) -> tuple[Dialogue, str]:
    """A dialogue and its JSON, which can be read again. Half of an emoji, which sampling cuts and endpoints send, has
    no UTF-8 form: it becomes a question mark, for one such text must not end a run. A record that could not be read,
    such as one with a belief that is no number, is that of a dialogue that failed."""
    try:
        text = dialogue_to_json(dialogue)
    except PydanticSerializationError:
        plain = json.dumps(asdict(dialogue), ensure_ascii=False).encode("utf-8", "replace").decode()
        dialogue = dialogue_from_json(plain)
        text = dialogue_to_json(dialogue)
    if not (why := why_unreadable(text)):
        return dialogue, text
    failure = Failure("StoreError", "storing", f"its record cannot be read: {why}")
    turns = tuple(Turn(turn.index, turn.role, turn.text) for turn in dialogue.turns)
    spoilt = Dialogue(dialogue.spec, turns, tutor_policy=dialogue.tutor_policy, failure=failure)
    return spoilt, dialogue_to_json(spoilt)


def why_unreadable(record: object) -> str:
    """Why a stored record is no dialogue; empty: it is one."""
    try:
        dialogue_from_json(record if isinstance(record, str) else "")
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"[:300]
    except (ValueError, TypeError) as error:
        return str(error).splitlines()[0][:300]
    return ""


def write_part(folder: Location, kind: str, number: int, rows: Sequence[Row], *, ending: str = "") -> Location:
    """Writes rows as a part, whole or not at all, and returns where; with an ending it is a file that does not count.

    Raises:
        StoreError: it cannot be written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), sink, write_page_checksum=True)
    data = sink.getvalue()
    place = folder / f"{kind}-{number:06d}-{_sum(data)}.parquet{ending}"
    try:
        place.write_bytes(data)
    except OSError as error:
        raise StoreError(f"cannot write {place}: {error}; free space or set run.folder") from error
    return place


def read_part(place: Location, columns: Sequence[str] | None = None) -> list[Row]:
    """The rows of a part, of some columns or all, by page checksums.

    Raises:
        FileNotFoundError: there is no such part; it may have been compacted since it was listed.
        Damaged: it is cut off or changed.
        StoreError: it cannot be read.
    """
    if columns is not None:
        # Only those bytes are read. What fails is read again whole, to tell damage from a store that does not answer.
        with suppress(pa.ArrowException, OSError, Damaged), place.open() as source:
            return _rows(place, source, columns)
    return _rows(place, pa.BufferReader(_bytes(place)), columns)


def check_part(place: Location) -> tuple[list[Row], bool]:
    """All rows of a part, every byte checked, and whether its name has a checksum (an older version gave none).

    Raises:
        FileNotFoundError: there is no such part.
        Damaged: it is cut off or changed.
        StoreError: it cannot be read.
    """
    data, summed = _bytes(place), _SUM.match(place.name)
    if summed and summed[1] != _sum(data):
        raise Damaged(place, f"its {len(data)} bytes are not those that were written")
    return _rows(place, pa.BufferReader(data), None), bool(summed)


def _bytes(place: Location) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"{place}: cannot be read: {error}; see that the disk or store answers, and try again"
        ) from error


def _rows(place: Location, source: Any, columns: Sequence[str] | None) -> list[Row]:
    try:
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            there = file.schema_arrow
            strange = [name for name in columns or ("id", "record") if name not in there.names]
            strange += [
                n
                for n in there.names
                if n not in SCHEMA.names or there.field(n).type not in (SCHEMA.field(n).type, _OLDER.get(n))
            ]
            if strange:
                raise Damaged(place, f"its columns are not those of a part: {', '.join(map(ascii, strange))[:120]}")
            table = file.read(columns=None if columns is None else list(columns))
        table.validate(full=True)
        rows: list[Row] = table.to_pylist()
        return rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Damaged(place, f"{type(error).__name__}: {str(error)[:120]}") from error


def _sum(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
