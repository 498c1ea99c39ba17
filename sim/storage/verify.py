"""`tutorloop verify RUN`: whether a run folder is whole, and what to do where it is not.

Checked: every part against its checksum and row count, every record, each dialogue once, all dialogues that the config
asks for, the steps, the adapters against the hashes of their lineage, the verdicts of panels, the summary.
Invariant: `verify` changes nothing, all damage is listed and not only the first, and what cannot be proved is no pass.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from agents.errors import InputError, StoreError
from agents.records import dialogue_from_json
from sim.config import Config
from sim.grid import episodes, experiment_specs
from sim.judging.verdicts import panels
from sim.rounds import BASE, heldout_phase, round_name, training_phase
from sim.storage.files import Location, Where
from sim.storage.kept import read_inputs
from sim.storage.part import Damaged, Row, check_part, row_of
from sim.storage.parts import Parts
from sim.storage.store import RunStore, stored_config
from sim.storage.verified import Gathered, Verified

AGAIN = "give the run's command again: {}"


def verify(folder: Where) -> Verified:
    """Checks a run folder. Reads every byte of it, changes none.

    Raises:
        InputError: it is no run folder, or its config cannot be read.
    """
    config, store, found = stored_config(folder, with_inputs=False), RunStore(folder), Gathered()
    try:
        config = config.with_inputs(read_inputs(store.folder))
    except StoreError as error:
        found.add("inputs.json", str(error), "put it back from a copy; without it nobody knows with what it was held")
    dialogues = store.folder / "dialogues"
    parts = _parts(dialogues, found)
    _once(found)
    steps = _steps(store.folder, found)
    planned = _complete(config, steps, found)
    adapters = list(_adapters(store.folder / "adapters", found))
    _trained(steps, adapters, found)
    _texts(store, found)
    return Verified(
        folder=str(store.folder),
        parts=parts,
        dialogues=len(found.rows),
        failed=sum(row["failure"] is not None for row in found.rows),
        planned=planned,
        steps=len(steps),
        adapters=len(adapters),
        verdicts=_verdicts(store.folder, found),
        findings=tuple(found.findings),
        put_aside=tuple(one.name for end in ("damaged", "aside") for one in dialogues.glob(f"*.{end}")),
    )


def mend(folder: Where, say: Callable[[str], object]) -> None:
    """Puts aside, within the folder, what must not count: damaged parts, and rows that stand twice or cannot be read.

    Raises:
        InputError: it is no run folder, or a driver that lives writes it.
    """
    stored_config(folder)
    store = RunStore(folder)
    with store.held(say):
        done = store.mend()
    for what in done or ["nothing to mend"]:
        say(what)


def _parts(folder: Location, found: Gathered) -> int:
    """Checks all parts; their dialogues go into `found`."""
    parts = Parts(folder)
    try:
        listed, orphans = parts.listed(), parts.orphans()
    except StoreError as error:
        found.add("dialogues", str(error), AGAIN.format("what can be read is kept"))
        # A manifest nobody can read says nothing of what counts: every file is looked at.
        listed, orphans = folder.glob("*.parquet"), []
    for part in orphans:
        found.add(
            part.name,
            "bundles.json does not name it, so it does not count",
            AGAIN.format("it is named or cleared away"),
        )
    for part in listed:
        try:
            rows, summed = check_part(part)
        except Damaged as error:
            found.add(part.name, error.why, AGAIN.format("the part is put aside and its dialogues are held anew"))
            continue
        except (StoreError, OSError) as error:
            found.add(part.name, str(error), "see that the disk or store answers, then verify again")
            continue
        if not summed:
            found.add(
                part.name,
                "carries no checksum (an older version wrote it), so nobody can tell that it is as it was written",
                AGAIN.format("its parts are put together with checksums"),
            )
        found.rows += [{"id": row["id"], "failure": row["failure"]} for row in rows]
        _records(part, rows, found)
    return len(listed)


def _records(part: Location, rows: list[Row], found: Gathered) -> None:
    """Whether each record is a dialogue, and that of its row."""
    for row in rows:
        try:
            dialogue = dialogue_from_json(row["record"])
        except (ValidationError, ValueError, TypeError) as error:
            found.add(
                f"{part.name}, {row['id']}",
                f"is no dialogue of this version: {str(error).splitlines()[0]}",
                AGAIN.format("it is put aside and held again")
                + "; where none can be read, use the version of tutorloop that made them, or run again with --fresh",
            )
            continue
        same = row_of(dialogue)
        differs = [
            name for name in ("id", "phase", "tutor", "failure", "turns") if name in row and row[name] != same[name]
        ]
        if differs:
            found.add(
                f"{part.name}, {row['id']}",
                f"its columns {', '.join(differs)} are not those of its record",
                "move the part out of the folder and give the run's command again: its dialogues are held anew",
            )


def _once(found: Gathered) -> None:
    twice = sorted(key for key, n in Counter(row["id"] for row in found.rows).items() if n > 1)
    if twice:
        found.add(
            "dialogues",
            f"{len(twice)} stand more than once: {_some(twice)}",
            AGAIN.format("the first of each stays, the others are put aside")
            + " (`tutorloop verify --mend RUN` does that alone)",
        )


def _steps(folder: Location, found: Gathered) -> dict[str, dict[str, Any]]:
    steps: dict[str, dict[str, Any]] = {}
    for path in (folder / "steps").glob("*.json"):
        result = _object(path, f"steps/{path.name}", found, "delete it and " + AGAIN.format("the step is done anew"))
        if result is not None:
            steps[path.stem] = result
    return steps


def _complete(config: Config, steps: dict[str, dict[str, Any]], found: Gathered) -> int | None:
    """Compares what is stored with what the config asks for; returns how many dialogues that is."""
    try:
        planned = _loop_ids(config, steps, found) if config.kind == "loop" else {s.id for s in experiment_specs(config)}
    except InputError as error:
        found.add("dialogues", f"what the config asks for cannot be told: {error}", "put the pack back where it was")
        return None
    stored = {row["id"] for row in found.rows}
    if missing := sorted(planned - stored):
        found.add(
            "dialogues",
            f"{len(missing)} of {len(planned)} are not stored: {_some(missing)}",
            AGAIN.format("they are held"),
        )
    if strange := sorted(stored - planned):
        found.add(
            "dialogues",
            f"{len(strange)} are not of this config: {_some(strange)}",
            "a pack or the config has changed since: run it again with --fresh, or put the old one back",
        )
    return len(planned)


def _loop_ids(config: Config, steps: dict[str, dict[str, Any]], found: Gathered) -> set[str]:
    """The dialogues of the rounds that began, by the adapters they trained; an undecided round is a finding."""

    held, ids = config.loop.heldout, set()
    for label in [f"-{point.name}" for point in config.sweep] or [""]:
        policies = [BASE]
        for number in range(1, config.loop.rounds + 1):
            name = round_name(number, label)
            phase = training_phase(number, label)
            ids |= {s.id for s in episodes(config, phase=phase, items=config.items, personas=config.students.personas)}
            if f"{name}-train" in steps:
                policies.append(str(steps[f"{name}-train"].get("adapter")))
            if f"{name}-decide" not in steps:
                found.add(name, "is not decided", AGAIN.format("the loop goes on from there"))
                break
        for policy in policies:
            phase = heldout_phase(policy)
            ids |= {s.id for s in episodes(config, phase=phase, items=held.items, personas=held.personas)}
    return ids


def _adapters(folder: Location, found: Gathered) -> Iterator[str]:
    """The names of all adapters, each checked by the hashes of its lineage."""
    for family in folder.iterdir():
        for version in (one for one in family.iterdir() if one.is_dir() and one.name.startswith("v")):
            name = f"{family.name}/{version.name}"
            yield name
            advice = "train it again: delete the folder and the round's step, and " + AGAIN.format("it is trained anew")
            lineage = _object(version / "lineage.json", f"adapters/{name}/lineage.json", found, advice)
            if lineage is None:
                continue
            files = lineage.get("files")
            if not isinstance(files, dict) or not files:
                found.add(f"adapters/{name}", "its lineage names no files", advice)
                continue
            for file, expected in files.items():
                state = _state(version, str(file), expected)
                if state:
                    found.add(f"adapters/{name}/{file}", f"is {state}", advice)


def _state(version: Location, file: str, expected: object) -> str:
    try:
        digest = hashlib.sha256((version / file).read_bytes()).hexdigest()
    except FileNotFoundError:
        return "missing"
    except (OSError, InputError) as error:
        return f"not to be read ({error})"
    return "" if digest == expected else "changed"


def _trained(steps: dict[str, dict[str, Any]], adapters: list[str], found: Gathered) -> None:
    for name, result in steps.items():
        adapter = result.get("adapter")
        if name.endswith("-train") and adapter not in adapters:
            found.add(
                f"adapters/{adapter}", f"is missing, and {name} made it", "put it back, or run again with --fresh"
            )


def _verdicts(folder: Location, found: Gathered) -> int:
    given = 0
    try:
        for panel in panels(folder):
            given += len(panel.judgements())
    except (StoreError, ValueError, KeyError, TypeError) as error:
        found.add("verdicts", str(error), "move the part away and judge again")
    return given


def _texts(store: RunStore, found: Gathered) -> None:
    """The files that say where a run comes from and what came of it."""
    _object(store.folder / "environment.json", "environment.json", found, "it cannot be made again; keep the rest")
    again = "give `tutorloop report RUN`: it is computed again"
    _object(store.folder / "summary.json", "summary.json", found, again)
    if not (store.folder / "report.html").is_file():
        found.add("report.html", "is missing", again)


def _object(path: Location, what: str, found: Gathered, advice: str) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        found.add(what, "is missing", advice)
        return None
    except (OSError, ValueError) as error:
        found.add(what, f"cannot be read ({error})", advice)
        return None
    if not isinstance(data, dict):
        found.add(what, "holds no object", advice)
        return None
    return data


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
