"""The run folder, on a local disk or at any URI that pyarrow knows (docs/storage.md).

    runs/NAME/
      config.yaml        as resolved          environment.json   machine, versions, command
      inputs.json        digests              inputs/            packs, strategies, ... as used (sim/storage/kept.py)
      dialogues/         Parquet parts        steps/*.json       one per finished step of the loop
      summary.json       report.html          adapters/          trained versions with their lineage

Invariant: a file that has its final name is whole, so a killed run leaves no torn part; a dialogue id stands in exactly
one part that counts (sim/storage/parts.py). Nothing here is ever unpickled: a run folder is data only.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from agents.documents import dump_document, parse_document, validated
from agents.errors import InputError, StoreError
from agents.records import Dialogue, dialogue_from_json
from sim.config import Config
from sim.identity import (
    Renamed,
    Touched,
    known_as,
    renamed,
    settled_inputs,
    touched_by,
    under_names,
    with_stored_names,
)
from sim.inputs import Change, Inputs, changes
from sim.judging.verdicts import overlay
from sim.storage.files import Location, Where, locate
from sim.storage.kept import FOLDER as INPUTS
from sim.storage.kept import begin_aside, keep_inputs, read_inputs
from sim.storage.lease import FOLDER as LEASE_FOLDER
from sim.storage.lease import Lease, hold
from sim.storage.mirror import Mirror
from sim.storage.part import Row, why_unreadable
from sim.storage.parts import TARGET, Parts

FREE = ("budget", "tracking", "experiment", "run")
"""Sections that may change when a run goes on: they decide no dialogue, but for a few of their keys."""
POOL_DECIDES = ("roles", "shares", "engine", "model", "dtype", "base_url", "callable", "script", "fail_every")
"""What of a pool decides its dialogues; how many engines it has, and how large they are, does not."""


T = TypeVar("T")


def _deciding(resolved: dict[str, Any]) -> dict[str, Any]:
    """The parts of a config that decide dialogues; a key that an older version did not have has its default."""
    try:
        whole = validated(Config, resolved).model_dump(mode="json")
    except ValidationError:  # of another version: what it has and this one does not know differs
        whole = {**Config(name="defaults").model_dump(mode="json"), **resolved}
    found = {key: value for key, value in whole.items() if key not in FREE}
    found["pools"] = {
        name: {key: pool.get(key) for key in POOL_DECIDES} for name, pool in (whole["pools"] or {}).items()
    }
    found |= {f"run.{key}": (whole["run"] or {}).get(key, "") for key in ("record", "replay")}
    return found | {"experiment.fraction": (whole["experiment"] or {}).get("fraction", 1.0)}


def _changed(key: str, old: Any, new: Any) -> Iterator[str]:
    """The dotted keys in which two resolved configs differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in {*old, *new}:
            yield from _changed(f"{key}.{part}" if key else str(part), old.get(part), new.get(part))
    elif old != new:
        yield key


def stored_config(folder: Where, *, with_inputs: bool = True) -> Config:
    """The config a run folder was made with; a key that an older version did not know has its default.

    Args:
        folder: the run folder.
        with_inputs: look the names in it up in the folder's own copies of packs and the rest, where it has them.

    Raises:
        InputError: not a run folder, or one of a version whose config this one does not know.
        StoreError: its copies are damaged.
    """
    path = locate(folder) / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: not a run folder (no config.yaml); run folders lie under runs/")
    try:
        raw = parse_document(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}; is it damaged?") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected the keys of a config, found {type(raw).__name__}; the file is damaged")
    try:
        config = validated(Config, raw)
        return config.with_inputs(read_inputs(locate(folder))) if with_inputs else config
    except ValidationError as error:
        told = []
        for detail in error.errors():
            what = "unknown key" if detail["type"] == "extra_forbidden" else detail["msg"]
            told.append(f"{path}: {'.'.join(map(str, detail['loc']))}: {what} (value {str(detail['input'])[:60]!r})")
        told.append("the run is of another version of tutorloop: read it with that one, or run it again with this")
        raise InputError("\n".join(told)) from error


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A stored row that holds no dialogue of this version."""

    id: str
    why: str


def _dialogue(row: Row) -> Dialogue | Unreadable:
    try:
        return dialogue_from_json(row["record"])
    except (ValidationError, ValueError, TypeError):
        return Unreadable(str(row["id"]), why_unreadable(row["record"]))


class RunStore:
    """One run folder. One process writes it (`held`), any number may read."""

    def __init__(self, folder: Where) -> None:
        """Args: folder: nothing has to be there. Raises InputError for a URI that cannot be used."""
        self.folder = locate(folder)
        self._parts = Parts(self.folder / "dialogues")
        self._mirror: Mirror | None = None
        self.put_aside: list[str] = []
        """What `open` found damaged and put aside, in words; to be told to whoever runs it."""
        self.notes: list[str] = []
        """What else `open` found that whoever runs it should know."""
        self.repeated = 0
        """Rows of the last reading that were passed over, because an earlier one holds the same dialogue."""
        self.unreadable: tuple[Unreadable, ...] = ()
        """Rows of the last reading of whole dialogues that hold none."""
        self._lease: Lease | None = None

    @contextmanager
    def held(self, say: Callable[[str], object], *, fresh: bool = False) -> Iterator[Lease]:
        """Makes this process the folder's only writer for the length of a block (sim/storage/lease.py).

        Args:
            say: told why a start waits, and of a driver that is taken over from.
            fresh: puts a folder that is there aside first (renamed, not deleted), if nobody writes it.

        Raises:
            RunHeld: another driver writes it.
            StoreError: it cannot be written.
        """
        if fresh and self.folder.exists():
            with hold(self.folder, say):
                self._whole_aside()
        with hold(self.folder, say) as lease:
            self._lease, self._parts.guard = lease, lease.check
            try:
                yield lease
            finally:
                self._lease, self._parts.guard = None, lambda: None

    def check(self) -> None:
        """Raises LeaseLost where another driver took the folder over that this process held."""
        if self._lease is not None:
            self._lease.check()

    def _whole_aside(self) -> None:
        aside = self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex[:6]}.old")
        self.folder.rename(aside)
        for claim in (aside / LEASE_FOLDER).walk():
            claim.unlink()

    def open(
        self,
        resolved: dict[str, Any],
        environment: dict[str, Any],
        *,
        fresh: bool = False,
        inputs: Inputs | None = None,
        renew: bool = False,
    ) -> bool:
        """Makes the folder, or goes on with the one of an interrupted run of the same config.

        Damaged parts are put aside as `*.damaged` and told in `put_aside`; their dialogues are missing from then on.

        Args:
            resolved: the whole config as it will run.
            environment: machine, versions and command; kept from the first start.
            fresh: put a folder that is there aside (renamed, not deleted) and begin anew.
            inputs: what the config names, as it is now; None: neither kept nor compared.
            renew: put dialogues aside that were held with other inputs, so that they are held anew.

        Returns:
            Whether stored work was found.

        Raises:
            InputError: the folder holds a run of another config, or of other inputs; which is in the message.
            StoreError: it cannot be read or written.
        """
        if fresh and self.folder.exists():
            self._whole_aside()
        self._mirror = None
        config = self.folder / "config.yaml"
        if not config.is_file():
            if self._parts.listed():
                raise InputError(
                    f"{self.folder} holds dialogues but no config.yaml, so nobody knows of which run; put the file "
                    f"back, or give --fresh to put the folder aside"
                )
            self.check()
            (self.folder / "dialogues").mkdir()
            if inputs is not None:
                keep_inputs(self.folder, inputs)
            known = {"run": uuid.uuid4().hex[:12]} | environment
            self._write("environment.json", json.dumps(known, indent=1))
            self._write("config.yaml", dump_document(resolved))
            return False
        stored = parse_document(config.read_text(), str(config))
        kept, names = read_inputs(self.folder), dict[Renamed, str]()
        if inputs is not None:
            names = renamed(stored, resolved, kept, inputs)
        old, new = _deciding(stored), _deciding(under_names(resolved, names))
        changed = sorted(_changed("", old, new))
        if changed:
            raise InputError(
                f"{self.folder} holds a run of another config (different: {', '.join(changed)}); "
                f"give the config another `name`, or --fresh to put that folder aside"
            )
        self.put_aside = self._parts.mend()
        self.notes = [f"{kind} {now} holds what {names[kind, now]} held" for kind, now in names]
        if inputs is not None:
            config_now = validated(Config, under_names(resolved, names))
            self._settle_inputs(config_now, kept, inputs, names, renew=renew)
            resolved = under_names(resolved, {key: old for key, old in names.items() if key[0] == "pack"})
        if stored != resolved:
            self._write("config.yaml", dump_document(resolved))
        return True

    def settled(self, config: Config) -> Config:
        """A config as this run goes on with it: its packs under the names they have here, all inputs as kept here."""
        stored = parse_document((self.folder / "config.yaml").read_text(), str(self.folder / "config.yaml"))
        return with_stored_names(config, stored).with_inputs(read_inputs(self.folder))

    def _settle_inputs(
        self, config: Config, kept: Inputs, now: Inputs, names: Mapping[Renamed, str], *, renew: bool
    ) -> None:
        """Compares inputs with those of the run's beginning; what was held with others is refused, or put aside."""
        found = changes(kept, known_as(now, names))
        stored = len(self._parts.gather(["id"], list))
        if not kept.entries and stored:
            self.notes.append(
                f"{stored} dialogues are of a version that kept no packs, strategies and the like in the run folder: "
                f"whether these have changed since nobody can tell; from now on they are kept"
            )
        if found and stored:
            self._take_over(found, touched_by(found, config, kept, known_as(now, names)), stored, renew=renew)
        settled = settled_inputs(kept, now, names)
        if settled != kept:
            self.check()
            keep_inputs(self.folder, settled)

    def _take_over(self, found: Sequence[Change], touched: Touched, stored: int, *, renew: bool) -> None:
        """Puts aside what was held with other inputs. A change that no stored dialogue met is taken as it is, but not
        where a loop has trained: its later rounds would be held and decided on other students or items than those
        before. A calibration decides figures alone, which are computed anew at each end."""
        told = "\n".join(f"  {one.says}" for one in found)
        trained = sorted(name for name in self.steps() if name.endswith("-train"))
        if trained and any(one.kind != "calibration" for one in found):
            raise InputError(
                f"{self.folder}: what the run is made of has changed since it began:\n{told}\nThe loop has trained "
                f"with what it was ({trained[0]}), and its rounds are compared, so none of it can be another from now "
                f"on. Put back what it was (a copy is in {self.folder / INPUTS}), or give --fresh or another `name`"
            )
        n = sum(self._parts.gather(None, lambda rows: map(touched, rows)))
        if n and not renew:
            raise InputError(
                f"{self.folder}: what the run is made of has changed since it began, and {n} of its {stored} dialogues "
                f"were held with what it was:\n{told}\nPut back what it was (a copy is in {self.folder / INPUTS}), or "
                f"give --renew to put those {n} aside and hold them anew, or --fresh or another `name` for a new run"
            )
        self.notes += [f"changed: {one.says}" for one in found]
        if not n:
            self.notes.append(f"none of the {stored} stored dialogues was held with what it was: all of them stay")
            return
        self.check()
        aside = begin_aside(self.folder)
        self._parts.rewrite(lambda row: not touched(row), aside=aside / "dialogues")
        self.notes.append(f"{n} dialogues were held with what it was: they are put aside in {aside}, and held anew")

    @property
    def mirror(self) -> Mirror:
        """Its local side: of a local folder itself, else a scratch folder that this run has for its own."""
        if self._mirror is None:
            mark = ""
            if self.folder.remote and (self.folder / "environment.json").is_file():
                mark = str(self.environment().get("run", ""))
            self._mirror = Mirror(self.folder, mark)
        return self._mirror

    @property
    def scratch(self) -> Path:
        """The local folder for what must be a real local file: see `sim.storage.mirror`."""
        return self.mirror.local

    def environment(self) -> dict[str, Any]:
        """Machine, versions and command of the first start. Raises StoreError when the file is not there or damaged."""
        return self._json("environment.json", f"is {self.folder} a whole run folder?")

    def append(self, dialogues: Sequence[Dialogue]) -> Location | None:
        """Stores finished dialogues as one new part, but for those that are stored already: safe to repeat.

        Returns:
            The part, or None where all were stored already.

        Raises:
            StoreError: it could not be written; call again with the same when there is space.
        """
        return self._parts.append(dialogues)

    def parts(self) -> list[Location]:
        """All parts that count, in the order they were written."""
        return self._parts.listed()

    def compact(self, target: int = TARGET) -> tuple[int, int]:
        """Puts small parts together; returns how many there were and are. Raises StoreError, and then none is lost."""
        return self._parts.compact(target)

    def phases(self) -> set[str]:
        """The phases that dialogues are stored of. Raises StoreError when a part is corrupt."""
        return set(self._parts.gather(["phase"], lambda rows: {row["phase"] for row in rows}))

    def ids(self, *, with_failed: bool = True) -> set[str]:
        """Ids of stored dialogues; of one that stands twice the first row says whether it failed.

        Raises:
            StoreError: a part is corrupt.
        """
        rows: list[Row] = self._parts.gather(["id", "failure"], list)
        first: dict[str, Row] = {}
        for row in rows:
            first.setdefault(row["id"], row)
        self.repeated = len(rows) - len(first)
        return {key for key, row in first.items() if with_failed or row["failure"] is None}

    def passed_over(self) -> list[str]:
        """What was passed over in the last reading, in words; empty where nothing was."""
        told = []
        if self.repeated:
            told.append(
                f"{self.repeated} stored rows are of dialogues that an earlier row holds: the first of each counts. "
                f"The run's own command, or `tutorloop verify --mend RUN`, puts the others aside"
            )
        if self.unreadable:
            first = self.unreadable[0]
            told.append(
                f"{len(self.unreadable)} stored dialogues cannot be read and are left out (first: {first.id}: "
                f"{first.why}). The run's own command puts them aside and holds them again"
            )
        return told

    def dialogues(self, phases: Iterable[str] | None = None) -> list[Dialogue]:
        """Stored dialogues, of some phases or all, ordered by id, with the verdicts of panels that judged again.

        Of one that stands twice it is the first; one whose record cannot be read is left out. `passed_over` says both.

        Raises:
            StoreError: a part is corrupt, or nothing of what is there can be read.
        """
        wanted = None if phases is None else set(phases)

        def take(rows: list[Row]) -> list[Dialogue | Unreadable]:
            return [_dialogue(row) for row in rows if wanted is None or row["phase"] in wanted]

        found = self._parts.gather(["id", "phase", "record"], take)
        read: dict[str, Dialogue] = {}
        for one in found:
            if isinstance(one, Dialogue):
                read.setdefault(one.id, one)
        broken = {one.id: one for one in found if isinstance(one, Unreadable) and one.id not in read}
        self.unreadable, self.repeated = tuple(broken.values()), len(found) - len(read) - len(broken)
        if broken and not read:
            first = self.unreadable[0]
            raise StoreError(
                f"{self.folder}: no dialogue can be read (first: {first.id}: {first.why}): they are of another version "
                f"of tutorloop, or damaged; read them with the version that made them, or run the config again"
            )
        return overlay(sorted(read.values(), key=lambda dialogue: dialogue.id), self.folder)

    def mend(self) -> list[str]:
        """Puts what must not count aside: damaged parts, rows of dialogues that stand twice, records that are none.

        Returns:
            What was done, in words; empty where all was well.
        """
        self.check()
        return self._parts.mend()

    def forget_failed(self) -> int:
        """Takes failed dialogues out, so that the same command holds them again; returns how many there were."""
        return self._parts.rewrite(lambda row: row["failure"] is None)

    def step(self, name: str) -> dict[str, Any] | None:
        """The stored result of a finished step, or None. Raises StoreError when it is damaged."""
        if not (self.folder / "steps" / f"{name}.json").is_file():
            return None
        return self._json(f"steps/{name}.json", "delete it and give the run's command again: the step is done anew")

    def steps(self) -> dict[str, dict[str, Any]]:
        """The results of all finished steps by name. Raises StoreError when one is damaged."""
        names = [path.stem for path in (self.folder / "steps").glob("*.json")]
        return {name: found for name in names if (found := self.step(name)) is not None}

    def finish_step(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """Stores the result of a step and returns it."""
        self._write(f"steps/{name}.json", json.dumps(result, indent=1))
        return result

    def _json(self, name: str, advice: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {advice}") from error
        if not isinstance(found, dict):
            raise StoreError(f"{path}: holds no object; {advice}")
        return found

    def _write(self, name: str, text: str) -> None:
        self.check()
        try:
            (self.folder / name).write_text(text)
        except OSError as error:
            raise StoreError(f"cannot write {self.folder / name}: {error}; free space or set run.folder") from error
