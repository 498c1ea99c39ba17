"""`dialogues/bundles.json`: which bundles count, and which files they stand for.

Invariant: it changes in one step, so a bundle and the parts it stands for change places at one instant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from agents.errors import StoreError
from sim.storage.files import Location
from sim.storage.part import Damaged

MANIFEST = "bundles.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the manifest says of a bundle."""

    rows: int
    replaces: tuple[str, ...] = ()
    """Names of files that no longer count, as far as they may still be there."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which bundles count. The number tells two manifests apart that say the same."""

    number: int = 0
    bundles: dict[str, Bundle] = field(default_factory=dict)

    @property
    def replaced(self) -> set[str]:
        """Names that do not count, because a bundle holds their dialogues."""
        return {name for bundle in self.bundles.values() for name in bundle.replaces}

    def counts(self, part: Location) -> bool:
        """Whether a listed file is one of the run's parts."""
        return part.name not in self.replaced and (not part.name.startswith("bundle-") or part.name in self.bundles)

    def text(self) -> str:
        """As it is stored."""
        bundles = {name: {"rows": bundle.rows, "replaces": bundle.replaces} for name, bundle in self.bundles.items()}
        return json.dumps({"number": self.number, "bundles": bundles}, indent=1)


def read_manifest(folder: Location) -> Manifest:
    """The manifest of a folder of parts; an empty one where there is none.

    Raises:
        Damaged: it is no manifest.
        StoreError: it cannot be read.
    """
    place = folder / MANIFEST
    try:
        found: dict[str, Any] = json.loads(place.read_text())
        bundles = {
            str(name): Bundle(int(p["rows"]), tuple(map(str, p["replaces"]))) for name, p in found["bundles"].items()
        }
        return Manifest(int(found["number"]), bundles)
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise StoreError(
            f"{place}: cannot be read: {error}; see that the disk or store answers, and try again"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(place, f"no manifest of bundles: {type(error).__name__}: {error}") from error


def commit(folder: Location, bundles: dict[str, Bundle]) -> Manifest:
    """Makes bundles count from now on, in one step. Raises StoreError when it cannot be written."""
    try:
        number = read_manifest(folder).number
    except Damaged:
        number = 0
    manifest = Manifest(number + 1, bundles)
    try:
        (folder / MANIFEST).write_text(manifest.text())
    except OSError as error:
        raise StoreError(f"cannot write {folder / MANIFEST}: {error}; free space and try again") from error
    return manifest
