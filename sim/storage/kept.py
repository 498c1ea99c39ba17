"""The inputs of a run in its folder (sim/inputs.py says what they are, sim/identity.py where they come from).

    runs/NAME/inputs.json                          per input: kind, name, digest, and the digest of each part
    runs/NAME/inputs/pack-mine-1a2b3c4d.json       the content as it is used, from which report, judge and resume read
    runs/NAME/inputs/pack-mine-1a2b3c4d.yaml       of a file of yours: the file, to be put back where it was lost
    runs/NAME/inputs/tape-5e6f7a8b/tape-*.jsonl    the recording that a replay answers from
    runs/NAME/put_aside/0001/                      what `--renew` took out: a run folder of its own

Invariant: dialogues of a run folder were held with the inputs that its `inputs.json` names, or before inputs were kept,
which is then said. Nothing is deleted: what is held anew is put aside first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agents.documents import MAX_BYTES
from agents.errors import InputError, StoreError
from sim.inputs import Input, Inputs
from sim.storage.files import Location

NAME, FOLDER, ASIDE = "inputs.json", "inputs", "put_aside"
_ENTRIES = TypeAdapter(list[Input])


def read_inputs(folder: Location) -> Inputs:
    """The inputs that a run folder keeps; none where an older version made it.

    Raises:
        StoreError: `inputs.json`, or what it names, is damaged.
    """
    place = folder / NAME
    try:
        known = json.loads(place.read_text())
        entries = [{**one, "document": _document(folder, one)} for one in known["inputs"]]
        return Inputs(tuple(_ENTRIES.validate_python(entries)))
    except FileNotFoundError as error:
        if not place.is_file():
            return Inputs()
        raise StoreError(f"{place}: names a file that is missing ({error}); put it back from a copy") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError, ValidationError) as error:
        raise StoreError(
            f"{place}: cannot be read ({str(error)[:200]}); put it back from a copy, or delete it: the run is then one "
            f"of which nobody knows with what it was held"
        ) from error


def _document(folder: Location, row: Mapping[str, Any]) -> str:
    """The content of an input, as it was written. Raises ValueError where it is not that any more."""
    if not row.get("file"):
        return ""
    data = (folder / str(row["file"])).read_bytes()
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise ValueError(f"{row['file']} is not as it was written")
    return data.decode()


def keep_inputs(folder: Location, inputs: Inputs) -> None:
    """Writes inputs into a run folder; `inputs.json` last. Raises StoreError where it cannot be written."""
    rows = []
    try:
        for one in inputs.entries:
            stem = f"{one.kind}-{re.sub(r'[^A-Za-z0-9._-]+', '-', Path(one.name).stem)[:40]}-{one.digest[:8]}"
            if one.kind == "tape":
                _keep_tape(one, folder / f"{FOLDER}/{stem}")
            row = {"kind": one.kind, "name": one.name, "digest": one.digest, "parts": one.parts}
            if one.document:
                file, data = f"{FOLDER}/{stem}.json", one.document.encode()
                (folder / file).write_bytes(data)
                _keep_source(one.name, folder / f"{FOLDER}/{stem}")
                row |= {"file": file, "sha256": hashlib.sha256(data).hexdigest()}
            rows.append(row)
        (folder / NAME).write_text(json.dumps({"version": 1, "inputs": rows}, indent=1))
    except OSError as error:
        raise StoreError(f"cannot write {folder / NAME}: {error}; free space or set run.folder") from error


def _keep_source(name: str, stem: Location) -> None:
    """The file that an input was read from, where it is one."""
    source = Path(name).expanduser()
    if source.suffix in (".yaml", ".yml") and source.is_file() and source.stat().st_size <= MAX_BYTES:
        stem.with_name(f"{stem.name}{source.suffix}").write_bytes(source.read_bytes())


def _keep_tape(one: Input, folder: Location) -> None:
    for file in tape_files(Path(one.name).expanduser()):
        there = folder / file.name
        if not there.is_file() or there.size() != file.stat().st_size:
            there.copy_from(file)


def tape_files(folder: Path) -> list[Path]:
    """The files of a recording, in order."""
    return sorted(folder.glob("tape-*-*.jsonl"))


def begin_aside(folder: Location) -> Location:
    """A new folder for dialogues that are put aside: a run folder like the one they were in, as it was."""
    aside = folder / ASIDE / f"{len(list((folder / ASIDE).iterdir())) + 1:04d}"
    try:
        for name in ("environment.json", NAME, "config.yaml"):
            (aside / name).write_bytes((folder / name).read_bytes())
        for one in (folder / FOLDER).iterdir():
            if one.is_file():
                (aside / FOLDER / one.name).write_bytes(one.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot write {aside}: {error}; free space and give the command again") from error
    return aside
