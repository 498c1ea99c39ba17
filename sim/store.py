"""The run folder: config as resolved, environment, dialogues as Parquet parts, step results as JSON.

    runs/NAME/
      config.yaml        as resolved          environment.json   machine, versions, command
      dialogues/*.parquet                     steps/*.json       one per finished step of the loop
      summary.json       report.html          adapters/          trained versions with their lineage

Invariant: a file that has its final name is whole (written beside it, synced, renamed), so a killed run leaves no torn
part; a dialogue id stands in exactly one part. Nothing here is ever unpickled: a run folder is data only.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from agents.errors import InputError, StoreError
from agents.records import Dialogue, dialogue_from_json, dialogue_to_json
from sim.config import Config
from sim.verdicts import overlay

_TURN = pa.struct(
    [("index", pa.int32()), ("role", pa.string()), ("text", pa.string()), ("policy_version", pa.string())]
)
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
FREE = ("budget", "tracking", "experiment")
"""Sections that may change when a run goes on: they decide no dialogue, but for the experiment's `fraction`."""


def _deciding(resolved: dict[str, Any]) -> dict[str, Any]:
    """The parts of a config that decide dialogues; a key that an older version did not have has its default."""
    whole = {**Config(name="defaults").model_dump(mode="json"), **resolved}
    found = {key: value for key, value in whole.items() if key not in FREE}
    return found | {"fraction": (whole["experiment"] or {}).get("fraction", 1.0)}


def write_atomic(path: Path, text: str) -> None:
    """Writes a text file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _row(dialogue: Dialogue) -> dict[str, Any]:
    spec, rules = dialogue.spec, [turn.rules for turn in dialogue.tutor_turns if turn.rules is not None]
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
        "leak": None if dialogue.failure else max((leak.severity for leak in dialogue.leaks), default=0.0),
        "question_share": sum(r.question for r in rules) / len(rules) if rules else None,
        "failure": dialogue.failure.error if dialogue.failure else None,
        "turns": [
            {"index": t.index, "role": t.role, "text": t.text, "policy_version": t.policy_version}
            for t in dialogue.turns
        ],
        "record": dialogue_to_json(dialogue),
    }


def stored_config(folder: Path) -> Config:
    """The config a run folder was made with; a key that an older version did not know has its default.

    Raises:
        InputError: not a run folder, or one of a version whose config this one does not know.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: not a run folder (no config.yaml); run folders lie under runs/")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}; is it damaged?") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected the keys of a config, found {type(raw).__name__}; the file is damaged")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        told = []
        for detail in error.errors():
            what = "unknown key" if detail["type"] == "extra_forbidden" else detail["msg"]
            told.append(f"{path}: {'.'.join(map(str, detail['loc']))}: {what} (value {str(detail['input'])[:60]!r})")
        told.append("the run is of another version of tutorloop: read it with that one, or run it again with this")
        raise InputError("\n".join(told)) from error


class RunStore:
    """One run folder on a local filesystem."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / "dialogues"

    def open(self, resolved: dict[str, Any], environment: dict[str, Any], *, fresh: bool = False) -> bool:
        """Makes the folder, or goes on with the one of an interrupted run of the same config.

        Args:
            resolved: the whole config as it will run.
            environment: machine, versions and command; kept from the first start.
            fresh: put a folder that is there aside (renamed, not deleted) and begin anew.

        Returns:
            Whether stored work was found.

        Raises:
            InputError: the folder holds a run of another config.
        """
        if fresh and self.folder.exists():
            self.folder.rename(self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex[:6]}.old"))
        config = self.folder / "config.yaml"
        if config.is_file():
            stored = yaml.safe_load(config.read_text(encoding="utf-8"))
            old, new = _deciding(stored), _deciding(resolved)
            changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
            if changed:
                raise InputError(
                    f"{self.folder} holds a run of another config (different: {', '.join(changed)}); "
                    f"give the config another `name`, or --fresh to put that folder aside"
                )
            if stored != resolved:
                write_atomic(config, yaml.safe_dump(resolved, sort_keys=False))
            return True
        self._parts.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / "environment.json", json.dumps(environment, indent=1))
        write_atomic(config, yaml.safe_dump(resolved, sort_keys=False))
        return False

    def environment(self) -> dict[str, Any]:
        """Machine, versions and command of the first start. Raises StoreError when the file is not there or damaged."""
        path = self.folder / "environment.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); is {self.folder} a whole run folder?") from error
        return found

    def append(self, dialogues: Sequence[Dialogue]) -> Path:
        """Stores finished dialogues as one new part."""
        name = f"part-{len(self.parts()):06d}-{uuid.uuid4().hex[:8]}.parquet"
        return self._write(pa.Table.from_pylist([_row(d) for d in dialogues], schema=SCHEMA), self._parts / name)

    def _write(self, table: pa.Table, part: Path) -> Path:
        """Writes a part so that it is there whole or not at all."""
        self._parts.mkdir(parents=True, exist_ok=True)
        scratch = part.with_name(f".{part.name}")
        try:
            pq.write_table(table, scratch)
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            scratch.replace(part)
        except OSError as error:
            raise StoreError(f"cannot write {part}: {error}; free space or set run.folder") from error
        finally:
            scratch.unlink(missing_ok=True)
        return part

    def parts(self) -> list[Path]:
        """All whole parts in the order they were written."""
        return sorted(self._parts.glob("part-*.parquet"))

    def _column(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        for part in self.parts():
            try:
                rows: list[dict[str, Any]] = pq.read_table(part, columns=list(columns)).to_pylist()
            except (pa.ArrowException, OSError) as error:
                raise StoreError(
                    f"{part} is corrupt ({type(error).__name__}); move it away and run the same command again: "
                    f"its dialogues are done anew"
                ) from error
            yield from rows

    def ids(self, *, with_failed: bool = True) -> set[str]:
        """Ids of stored dialogues. Raises StoreError when one stands twice or a part is corrupt."""
        rows = list(self._column(["id", "failure"]))
        twice = [key for key, n in Counter(row["id"] for row in rows).items() if n > 1]
        if twice:
            raise StoreError(f"{self.folder}: dialogue {twice[0]} is stored more than once; the folder was mixed up")
        return {row["id"] for row in rows if with_failed or row["failure"] is None}

    def dialogues(self, phases: Iterable[str] | None = None) -> list[Dialogue]:
        """Stored dialogues, of some phases or all, ordered by id, with the verdicts of panels that judged again."""
        wanted = None if phases is None else set(phases)
        rows = (row for row in self._column(["phase", "record"]) if wanted is None or row["phase"] in wanted)
        try:
            found = [dialogue_from_json(row["record"]) for row in rows]
        except ValidationError as error:
            raise StoreError(
                f"{self.folder}: a dialogue is of another version of tutorloop, or damaged "
                f"({error.errors()[0]['msg']}); read it with the version that made it, or run the config again"
            ) from error
        return overlay(sorted(found, key=lambda dialogue: dialogue.id), self.folder)

    def forget_failed(self) -> int:
        """Takes failed dialogues out, so that the same command holds them again; returns how many there were."""
        forgotten = 0
        for part in self.parts():
            rows = pq.read_table(part).to_pylist()
            kept = [row for row in rows if row["failure"] is None]
            forgotten += len(rows) - len(kept)
            if not kept:
                part.unlink()
            elif len(kept) < len(rows):
                self._write(pa.Table.from_pylist(kept, schema=SCHEMA), part)
        return forgotten

    def step(self, name: str) -> dict[str, Any] | None:
        """The stored result of a finished step, or None."""
        path = self.folder / "steps" / f"{name}.json"
        if not path.is_file():
            return None
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result

    def finish_step(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """Stores the result of a step and returns it."""
        write_atomic(self.folder / "steps" / f"{name}.json", json.dumps(result, indent=1))
        return result
