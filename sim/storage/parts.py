"""All parts of a run: small ones as dialogues finish, and bundles that take their place when a run ends.

    dialogues/
      part-000007-SHA256.parquet     what was stored at once
      bundle-000012-SHA256.parquet   what many parts held
      bundles.json                   which bundles count, and for what
      *.damaged, *.aside             put aside when a run went on

Invariant: at every instant, also for who reads meanwhile and after a kill anywhere, every stored dialogue is seen
exactly once. (Where two processes wrote all the same, the first of each counts, and `mend` puts the others aside.) A
bundle counts from the moment `bundles.json` names it, and from the same moment the parts it stands for
do not; they are deleted after that. A reader takes a listing only if `bundles.json` was the same before and after it,
for a listing that was overtaken by a deletion could lack both. One process writes a run; any number may read.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from agents.errors import LeaseLost, StoreError
from agents.records import Dialogue
from sim.storage.bundles import MANIFEST, Bundle, Manifest, commit, read_manifest
from sim.storage.files import Location
from sim.storage.part import Damaged, Row, check_part, read_part, row_of, why_unreadable, write_part

TARGET = 2000
"""Rows a bundle should have: at 5 to 15 KB a dialogue, one read of some 20 MB."""
_TRIES = 20
_NUMBER = re.compile(r"^(?:part|bundle|rows)-(\d+)-")
T = TypeVar("T")
_Looked = dict[str, list[tuple[str, str]]]
"""Of each part that was checked, by name: the id of each row, and why it cannot be read (empty: it can)."""


class Parts:
    """The folder `dialogues` of a run."""

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self.guard: Callable[[], None] = lambda: None
        """Raises where this process may not write any more (`Lease.check`)."""
        self._lock = threading.Lock()
        self._known: tuple[set[str], int] | None = None
        """For the writer: the ids that are stored, and the next number of a file; None: to be looked up."""

    def listed(self) -> list[Location]:
        """The parts that count, in the order in which they were written.

        Raises:
            Damaged: the manifest cannot be read, or a bundle it names is gone.
        """
        return self._snapshot()

    def gather(self, columns: Sequence[str] | None, take: Callable[[list[Row]], Iterable[T]]) -> list[T]:
        """What `take` makes of the rows of each part, for all parts of one instant.

        Raises:
            Damaged: a part is cut off or changed.
        """
        found: dict[str, list[T]] = {}
        for _ in range(_TRIES):
            parts = self.listed()
            try:
                for part in parts:
                    if part.name not in found:
                        found[part.name] = list(take(read_part(part, columns)))
            except FileNotFoundError:  # compacted since it was listed
                time.sleep(0.05)
                continue
            return [one for part in parts for one in found[part.name]]
        raise StoreError(f"{self.folder}: parts vanish while they are read; is another process writing? Try again")

    def append(self, dialogues: Sequence[Dialogue]) -> Location | None:
        """Stores dialogues as one new part, but for those that are stored already.

        It may be called again with the same dialogues after an error, also where nobody can tell whether the first
        call stored them: none is ever stored twice, and what was stored first stays.

        Returns:
            The part, or None where all were stored already.

        Raises:
            StoreError: it could not be written; call again when there is space.
        """
        with self._lock:
            stored, number = self._known or self._look()
            fresh: dict[str, Dialogue] = {}
            for dialogue in dialogues:
                if dialogue.id not in stored:
                    fresh.setdefault(dialogue.id, dialogue)
            self._known = None  # until it is known that the part was written
            part = None
            if fresh:
                part = self._written(number, [row_of(dialogue) for dialogue in fresh.values()])
                stored.update(fresh)
            self._known = stored, number + bool(fresh)
            return part

    def _written(self, number: int, rows: Sequence[Row]) -> Location:
        """A new part; taken back where another driver took over while it was written, for that one holds the same."""
        self.guard()
        part = write_part(self.folder, "part", number, rows)
        try:
            self.guard()
        except LeaseLost:
            with suppress(OSError):
                part.unlink()
            raise
        return part

    def rewrite(self, keep: Callable[[Row], bool], *, aside: Location | None = None) -> int:
        """Takes rows out, part by part; returns how many. They go to parts of another folder first, where one is given.

        Raises:
            StoreError: a part is corrupt or cannot be written; every row is in one of the two places then.
        """
        with self._lock:
            self._known, out = None, 0
            for part in self.listed():
                rows, _ = check_part(part)
                kept = [row for row in rows if keep(row)]
                gone = [row for row in rows if not keep(row)]
                out += len(gone)
                if gone and aside is not None:
                    write_part(aside, "part", _number(part.name), gone)
                if gone:
                    self._replace([part], kept)
            return out

    def mend(self) -> list[str]:
        """Readies a run to go on: puts damaged parts aside, and rows that stand twice or cannot be read, and clears
        what a killed compaction left.

        Nothing is deleted but files whose dialogues are all in other parts that were just read.

        Returns:
            What was put aside, for people; empty where all was well.
        """
        with self._lock:
            self._known = None
            said: list[str] = []
            looked: _Looked = {}
            manifest = self._without_damage(self._readable_manifest(said), said, looked)
            self._settle_bundles(manifest, said, looked)
            self._rows_aside(looked, said)
            return said

    def compact(self, target: int = TARGET) -> tuple[int, int]:
        """Puts small parts together to bundles of about `target` rows; returns how many parts there were and are.

        Raises:
            StoreError: a part is corrupt, a dialogue stands twice, or a bundle cannot be written. Every dialogue is
                still stored exactly once then, and the call can be repeated.
        """
        with self._lock:
            self._known = None
            before = self.listed()
            group: list[Location] = []
            rows: list[Row] = []
            bare = False
            for part in self._small(before, target):
                found, summed = check_part(part)
                group, rows, bare = [*group, part], [*rows, *found], bare or not summed
                if len(rows) >= target:
                    self._pack(group, rows, anyway=bare)
                    group, rows, bare = [], [], False
            self._pack(group, rows, anyway=bare)
            return len(before), len(self.listed())

    def orphans(self) -> list[Location]:
        """Packs that the manifest does not name: left by a killed compaction, or the manifest was lost."""
        manifest = read_manifest(self.folder)
        known = manifest.bundles.keys() | manifest.replaced
        return [part for part in self.folder.glob("bundle-*.parquet") if part.name not in known]

    def _small(self, parts: Iterable[Location], target: int) -> Iterator[Location]:
        bundles = read_manifest(self.folder).bundles
        return (part for part in parts if part.name not in bundles or bundles[part.name].rows < target)

    def _pack(self, parts: Sequence[Location], rows: Sequence[Row], *, anyway: bool) -> None:
        """One bundle in place of some parts. One part stays as it is, but for one without checksum (`anyway`)."""
        if len(parts) < 2 and not (parts and anyway):
            return
        twice = [key for key, n in Counter(row["id"] for row in rows).items() if n > 1]
        if twice:
            raise StoreError(f"{self.folder}: dialogue {twice[0]} is stored more than once; nothing is compacted")
        self._replace(parts, rows)

    def _replace(self, parts: Sequence[Location], rows: Sequence[Row]) -> None:
        """A bundle in place of parts: written, read again, named, and only then are the parts deleted."""
        self.guard()
        bundle = write_part(self.folder, "bundle", self._next_number(), rows)
        if len(check_part(bundle)[0]) != len(rows):
            raise Damaged(bundle, "it was not written as given")
        manifest, names = read_manifest(self.folder), [part.name for part in parts]
        bundles = {name: one for name, one in manifest.bundles.items() if name not in names}
        # What an earlier bundle stood for must not come back where its deletion failed.
        inherited = [old for name in names if name in manifest.bundles for old in manifest.bundles[name].replaces]
        there = {part.name for part in self.folder.glob("*.parquet")}
        self.guard()
        commit(
            self.folder,
            bundles | {bundle.name: Bundle(len(rows), (*names, *(old for old in inherited if old in there)))},
        )
        with suppress(OSError):  # they do not count any more, and `mend` deletes them later
            for part in parts:
                part.unlink()

    def _without_damage(self, manifest: Manifest, said: list[str], looked: _Looked) -> Manifest:
        """Puts damaged and lost parts aside until all that count are sound.

        Where a damaged bundle's parts are still there they count again, and are looked at as well.
        """
        while True:
            listed, bundles = self.folder.glob("*.parquet"), dict(manifest.bundles)
            for name in sorted(bundles.keys() - {part.name for part in listed}):
                said.append(f"{self.folder / name} is missing; the dialogues it held are done anew")
                del bundles[name]
            for part in listed:
                if manifest.counts(part) and (why := _damage(part, looked)):
                    bundles.pop(part.name, None)
                    said.append(self._aside(part, why))
            if bundles == manifest.bundles:
                return manifest
            manifest = commit(self.folder, bundles)

    def _settle_bundles(self, manifest: Manifest, said: list[str], looked: _Looked) -> None:
        """Deletes what bundles stand for, and unnamed ones; those that hold what nothing else does are named again."""
        listed = self.folder.glob("*.parquet")
        seen = {key for part in listed if manifest.counts(part) for key in _ids(read_part(part, ["id"]))}
        for part in listed:
            if not part.name.startswith("bundle-") or part.name in manifest.bundles or part.name in manifest.replaced:
                continue
            if why := _damage(part, looked):
                said.append(self._aside(part, why))
                continue
            ids = set(_ids(read_part(part, ["id"])))
            if ids <= seen:
                part.unlink()
            else:  # what of it other parts hold as well is put aside with the rows that stand twice
                manifest = commit(self.folder, {**manifest.bundles, part.name: Bundle(len(looked[part.name]))})
                seen |= ids
        for part in listed:
            if part.name in manifest.replaced:
                part.unlink()

    def _rows_aside(self, looked: _Looked, said: list[str]) -> None:
        """Takes rows out that must not count: of a dialogue that an earlier row holds, and those that hold none.

        Where nothing can be read the folder is of another version, and stays as it is.
        """
        listed, seen = self.listed(), set[str]()
        foreign = all(why for part in listed for _, why in looked[part.name])
        for part in listed:
            kinds: dict[str, list[int]] = {"kept": [], "repeated": [], "broken": []}
            for place, (key, why) in enumerate(looked[part.name]):
                kind = "repeated" if key in seen else "broken" if why and not foreign else "kept"
                kinds[kind].append(place)
                if kind == "kept":
                    seen.add(key)
            if len(kinds["kept"]) == len(looked[part.name]):
                continue
            rows = check_part(part)[0]
            for kind, what in (("repeated", "stand in an earlier row as well"), ("broken", "cannot be read")):
                if out := [rows[place] for place in kinds[kind]]:
                    aside = write_part(self.folder, "rows", self._next_number(), out, ending=".aside")
                    said.append(
                        f"{part}: {len(out)} of its dialogues {what}; their rows were put aside as {aside.name}"
                    )
            self._replace([part], [rows[place] for place in kinds["kept"]])

    def _readable_manifest(self, said: list[str]) -> Manifest:
        try:
            return read_manifest(self.folder)
        except Damaged as error:
            said.append(self._aside(self.folder / MANIFEST, error.why))
            return Manifest()

    def _aside(self, part: Location, why: str) -> str:
        aside = part.with_name(f"{part.name}.damaged")
        if aside.exists():
            aside = part.with_name(f"{part.name}.{uuid.uuid4().hex[:6]}.damaged")
        part.rename(aside)
        return f"{part} is corrupt ({why}); it was put aside as {aside.name}, and the dialogues it held are done anew"

    def _look(self) -> tuple[set[str], int]:
        return set(self.gather(["id"], _ids)), self._next_number()

    def _next_number(self) -> int:
        """A number that was never given, so that no manifest can mean another file by a new one's name."""
        names = {part.name for part in self.folder.iterdir()} | read_manifest(self.folder).replaced
        return max((_number(name) for name in names), default=-1) + 1

    def _snapshot(self) -> list[Location]:
        for _ in range(_TRIES):
            manifest = read_manifest(self.folder)
            listed = self.folder.glob("*.parquet")
            if read_manifest(self.folder) == manifest:
                gone = sorted(manifest.bundles.keys() - {part.name for part in listed})
                if gone:
                    raise Damaged(self.folder / gone[0], "it is missing")
                parts = [part for part in listed if manifest.counts(part)]
                return sorted(parts, key=lambda part: (_number(part.name), part.name))
        raise StoreError(f"{self.folder} is compacted over and over; is more than one run writing to it?")


def _number(name: str) -> int:
    found = _NUMBER.match(name)
    return int(found[1]) if found else -1


def _ids(rows: Iterable[Row]) -> list[str]:
    return [row["id"] for row in rows]


def _damage(part: Location, looked: _Looked) -> str:
    """Why a part is damaged; empty: it is not, and what its rows hold is known then."""
    try:
        rows = check_part(part)[0]
    except Damaged as error:
        return error.why
    looked[part.name] = [(row["id"], why_unreadable(row["record"])) for row in rows]
    return ""
