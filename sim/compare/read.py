"""Reads a phase of a run folder as one side of a comparison.

Invariant: a folder that cannot be read, or is of another version, is an InputError that says what, where and what next.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import yaml

from agents.errors import InputError, StoreError, nearest
from agents.records import Dialogue
from sim.compare.comparison import JudgedAgain, Side
from sim.config import Config
from sim.grid import episodes
from sim.judging.verdicts import panels
from sim.storage.files import Location, is_uri, locate
from sim.storage.store import RunStore, stored_config

EXPERIMENT_PHASE, HELDOUT = "run", "heldout/"


def open_run(given: str, *, phase: str = "") -> Side:
    """Reads one phase of a run folder.

    Args:
        given: a run folder, or RUN@PHASE such as `runs/quickstart@heldout/base` (`runs/quickstart@base` is the same).
        phase: which phase to read where `given` names none. Empty: of an experiment its dialogues, of a loop those of
            the last decided round's new policy with the held-out students.

    Raises:
        InputError: no run folder, a config or dialogue of another version, a corrupt part, or no such phase.
    """
    folder, named = _split(given)
    store = RunStore(folder)
    try:
        config = stored_config(folder)
        chosen = _choose_phase(store, config, named or phase, given)
        dialogues = tuple(store.dialogues([chosen]))
        panels_of = tuple(JudgedAgain(one.folder.name, tuple(one.about()["judges"])) for one in panels(store.folder))
    except (StoreError, OSError, ValueError, pa.ArrowException, yaml.YAMLError) as error:
        raise InputError(
            f"{folder}: cannot be read: {error}. Compare it with the version of tutorloop that made it, or run it again"
        ) from error
    planned, notes = _planned(config, chosen, dialogues), tuple(f"{given}: {note}" for note in store.passed_over())
    return Side(given, dialogues, chosen, config, folder, planned, panels_of, notes)


def _split(given: str) -> tuple[Location, str]:
    """Folder and phase. An @ may also belong to the folder's name, or to a URI's query before the last one."""
    head, at, tail = given.rpartition("@")
    if not at:
        return locate(given), ""
    if is_uri(given):
        return locate(head), tail
    return (locate(given), "") if Path(given).is_dir() else (locate(head), tail)


def _choose_phase(store: RunStore, config: Config, wanted: str, given: str) -> str:
    stored = sorted(store.phases())
    if not stored:
        raise InputError(f"{given}: holds no dialogues (config of kind {config.kind!r}); run it first")
    if not wanted and config.kind == "loop":
        names = [f"round-{number:04d}-decide" for number in range(config.loop.rounds, 0, -1)]
        decided = next((step for name in names if (step := store.step(name)) is not None), None)
        if decided is None:
            why = "a sweep of several rewards" if config.sweep else "a loop without a decided round"
            raise InputError(f"{given}: {why}; name a phase as RUN@PHASE, one of: {', '.join(stored)}")
        wanted = HELDOUT + str(decided.get("adapter"))
    wanted = wanted or EXPERIMENT_PHASE
    for name in (wanted, HELDOUT + wanted):
        if name in stored:
            return name
    raise InputError(f"{given}: no dialogues of phase {wanted!r}; {nearest(wanted, stored)}")


def _planned(config: Config, phase: str, stored: Iterable[Dialogue]) -> frozenset[tuple[str, str]]:
    """Tutors and cells that the config asks for in a phase; empty where that cannot be told today."""
    held = config.loop.heldout if phase.startswith(HELDOUT) else None
    items, personas = (held.items, held.personas) if held else (config.items, config.students.personas)
    try:
        specs = episodes(config, phase=phase, items=items, personas=personas)
    except InputError:  # the pack has moved since
        return frozenset()
    planned = frozenset((spec.tutor_name, spec.cell) for spec in specs)
    return planned if any((d.spec.tutor_name, d.spec.cell) in planned for d in stored) else frozenset()
