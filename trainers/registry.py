"""The adapters that were trained: numbered, immutable, with the story of how each came to be.

    <root>/tutor/v0001/   weights, proof.json, lineage.json, and decision.json once a gate has decided
    <root>/tutor/current  the name of the promoted adapter
    <root>/tutor/.claims/ one empty file per number ever given out

Invariant: an adapter folder appears whole or not at all, its files never change (each has its SHA-256 in the lineage),
and a number is never used twice, not even after a crash between claiming and publishing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import RegistryError, nearest
from agents.files import sha256, write_text

_VERSION = re.compile(r"^v(\d{4,})$")
_FAMILY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_LINEAGE, _DECISION = "lineage.json", "decision.json"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A published adapter."""

    name: str
    """`family/v0001`."""
    path: Path

    @property
    def family(self) -> str:
        """The part before the slash."""
        return self.name.split("/", 1)[0]

    @property
    def number(self) -> int:
        """The version as a number, from 1."""
        return int(self.name.rsplit("/v", 1)[1])

    @property
    def lineage(self) -> dict[str, Any]:
        """What it was made from: whatever was given to `publish`, and the `files` with their SHA-256."""
        return _read(self.path / _LINEAGE, self.name)

    @property
    def decision(self) -> dict[str, Any] | None:
        """What the gate decided, or None before it did."""
        path = self.path / _DECISION
        return _read(path, self.name) if path.exists() else None


class Registry:
    """All adapter families under one folder. One process publishes a family at a time; any number may read."""

    def __init__(self, root: Path) -> None:
        """Args: root: the folder of the registry; made on first publication."""
        self.root = root

    def publish(self, family: str, source: Path, lineage: dict[str, Any]) -> Adapter:
        """Copies a finished adapter folder in under the family's next number.

        Args:
            family: such as `tutor`.
            source: PEFT folder.
            lineage: JSON-able: parent, dialogue ids, pairs, config, metrics.

        Raises:
            RegistryError: the source is no adapter, the name is not allowed, or the lineage is not JSON.
        """
        if not _FAMILY.match(family):
            raise RegistryError(f"{family!r} cannot name an adapter family: use letters, digits, '.', '_' and '-'.")
        if not (source / "adapter_config.json").is_file():
            raise RegistryError(f"{source} is no adapter: adapter_config.json is missing. Give a PEFT folder.")
        name = self._claim(family)
        target = self.root / name
        partial = target.with_name(f".{target.name}.partial")
        shutil.copytree(source, partial)
        files = {str(path.relative_to(partial)): sha256(path) for path in _files(partial)}
        try:
            story = json.dumps({**lineage, "name": name, "files": files}, indent=2, ensure_ascii=False)
        except TypeError as error:
            shutil.rmtree(partial)
            raise RegistryError(f"The lineage of {name} is not JSON ({error}). Give plain data.") from error
        write_text(partial / _LINEAGE, story)
        for path in _files(partial):
            path.chmod(0o444)
        if target.exists():
            raise RegistryError(f"{name} exists at {target} and is never overwritten. Publish again.")
        os.rename(partial, target)
        return Adapter(name, target)

    def get(self, name: str) -> Adapter:
        """Returns an adapter after checking every file against its checksum.

        Raises:
            RegistryError: there is none of that name, or a file is missing or changed.
        """
        family, _, version = name.partition("/")
        target = self.root / family / version
        if not _FAMILY.match(family) or not _VERSION.match(version) or not target.is_dir():
            raise RegistryError(f"No adapter {name!r} in {self.root}: {nearest(name, self._names())}")
        adapter = Adapter(name, target)
        recorded = adapter.lineage.get("files", {})
        if not recorded:
            raise RegistryError(f"{name} at {target} has a lineage without files. Train it again.")
        for file, expected in recorded.items():
            path = target / file
            if not path.is_file() or sha256(path) != expected:
                state = "changed" if path.is_file() else "missing"
                others = [other for other in self._names() if other != name]
                raise RegistryError(f"{name} is corrupt: {file} is {state}. Use another: {nearest(name, others)}")
        return adapter

    def versions(self, family: str) -> list[Adapter]:
        """Returns the family's adapters, oldest first, unchecked."""
        folder = self.root / family
        found = [path for path in folder.iterdir() if _VERSION.match(path.name)] if folder.is_dir() else []
        return [Adapter(f"{family}/{path.name}", path) for path in sorted(found, key=lambda path: int(path.name[1:]))]

    def current(self, family: str) -> Adapter | None:
        """Returns the promoted adapter, checked, or None before the first promotion."""
        path = self.root / family / "current"
        return self.get(path.read_text(encoding="utf-8").strip()) if path.is_file() else None

    def promote(self, name: str) -> Adapter:
        """Makes an adapter its family's current one, in one atomic step, and returns it."""
        adapter = self.get(name)
        write_text(self.root / adapter.family / "current", name + "\n")
        return adapter

    def decide(self, name: str, decision: dict[str, Any]) -> None:
        """Writes a gate's decision beside the lineage, once. The same decision again is no error, so rounds can resume.

        Raises:
            RegistryError: another decision was written before.
        """
        adapter = self.get(name)
        text = json.dumps(decision, indent=2, ensure_ascii=False)
        if (written := adapter.decision) is not None:
            if written == json.loads(text):
                return
            raise RegistryError(f"{name} was decided on before and that stays: see {adapter.path / _DECISION}.")
        write_text(adapter.path / _DECISION, text)

    def _claim(self, family: str) -> str:
        """Takes the next free number for ever."""
        claims = self.root / family / ".claims"
        claims.mkdir(parents=True, exist_ok=True)
        taken = [int(path.name[1:]) for path in claims.iterdir() if _VERSION.match(path.name)]
        number = max([*taken, *(adapter.number for adapter in self.versions(family))], default=0)
        while True:
            number += 1
            try:
                (claims / f"v{number:04d}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return f"{family}/v{number:04d}"

    def _names(self) -> list[str]:
        families = sorted(path.name for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []
        return [adapter.name for family in families for adapter in self.versions(family)]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegistryError(f"{name} is corrupt: {path} cannot be read ({error}). Use another adapter.") from error
    if not isinstance(data, dict):
        raise RegistryError(f"{name} is corrupt: {path} holds no object. Use another adapter.")
    return data
