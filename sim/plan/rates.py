"""What a dialogue took in an earlier run, tutor by tutor: tokens, cost and time, with their spread.

Invariant: rates are over dialogues that finished (a failed one is shorter than a plan may hope for) and have their n;
what the run did not measure is None. A range of a sum is a prediction interval: it holds the spread of the dialogues to
come and the uncertainty of the pilot's mean, as far as the dialogues to come are like the pilot's.
"""

from __future__ import annotations

import glob
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from agents.errors import InputError, StoreError
from agents.records import Dialogue
from sim.config import Config
from sim.experiment.tables import kind_of
from sim.storage.files import Location, Where, locate
from sim.storage.store import RunStore, stored_config

PHASE = "run"
CONFIDENCE = 0.9
"""Of the ranges in a plan."""


@dataclass(frozen=True, slots=True)
class Range:
    """A figure nobody knows exactly. `mean` is None where only an end is known, all three where nothing is."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return any(figure is not None for figure in (self.mean, self.low, self.high))

    def __add__(self, other: Range) -> Range:
        """Ends are added to ends, so the range of a sum is rather too wide; an unknown part makes it unknown."""
        return Range(_sum(self.mean, other.mean), _sum(self.low, other.low), _sum(self.high, other.high))

    def scaled(self, factor: float) -> Range:
        """Times a factor of 0 or more."""
        return Range(*(None if x is None else x * factor for x in (self.mean, self.low, self.high)))


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure of n dialogues."""

    mean: float
    sd: float | None
    """Sample standard deviation; None of one dialogue."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, len(values))

    def total(self, dialogues: int) -> Range:
        """The sum over so many new dialogues, with its 90% prediction interval (no ends from one dialogue alone).

        Half its width is t(n - 1) * sd * sqrt(m + m^2 / n) for m new dialogues after n of the pilot.
        """
        mean = dialogues * self.mean
        if not dialogues or self.sd is None:
            return Range(mean, None if dialogues else mean, None if dialogues else mean)
        t = float(stdtrit(self.n - 1, 0.5 + CONFIDENCE / 2.0))
        half = t * self.sd * math.sqrt(dialogues + dialogues**2 / self.n)
        return Range(mean, max(0.0, mean - half), mean + half)


@dataclass(frozen=True, slots=True)
class Rates:
    """Of some dialogues of a pilot: what one takes."""

    tutors: tuple[str, ...]
    """Whose dialogues they are."""
    n: int
    n_failed: int
    """Left out of the rates."""
    prompt_tokens: Spread
    completion_tokens: Spread
    cost: Spread
    seconds: Spread
    """From its first request to its last answer, waiting included."""
    requests: Spread | None
    """None where the run did not count them."""
    dialogues: tuple[Dialogue, ...]
    """Those that finished."""

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue]) -> Rates | None:
        """None where no dialogue finished."""
        done = [dialogue for dialogue in dialogues if dialogue.failure is None]
        if not done:
            return None
        usage = [dialogue.usage for dialogue in done]
        counted = any(one.requests for one in usage)
        return cls(
            tutors=tuple(sorted({dialogue.spec.tutor_name for dialogue in done})),
            n=len(done),
            n_failed=len(dialogues) - len(done),
            prompt_tokens=Spread.of([one.prompt_tokens for one in usage]),
            completion_tokens=Spread.of([one.completion_tokens for one in usage]),
            cost=Spread.of([one.cost for one in usage]),
            seconds=Spread.of([dialogue.seconds for dialogue in done]),
            requests=Spread.of([one.requests for one in usage]) if counted else None,
            dialogues=tuple(done),
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a run went as a whole."""

    dialogues_per_minute: float
    at_once: float
    """Dialogues under way on average: the sum of their seconds over the run's (Little's law)."""
    measured: bool
    """False: the run kept no whole wall time, so the slots of its classrooms are taken to have been busy all the time.
    The true pace is then at most this one."""
    start_seconds: float
    """Of the slowest engine; engines start side by side."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """An earlier run of an experiment, read as evidence for a plan."""

    name: str
    config: Config
    machine: dict[str, Any]
    dialogues: tuple[Dialogue, ...]
    """All that are stored of its episodes, failed ones too."""
    by_tutor: dict[str, Rates]
    by_kind: dict[str, Rates]
    """By what kind of tutor it is, as in `summary.json`."""
    all: Rates
    pace: Pace | None
    """None of a replayed run: it asked no engine."""


def read_pilot(store: RunStore) -> Pilot:
    """Reads a finished or partial run of an experiment.

    Raises:
        InputError: the folder is no run folder of kind `run` that this version can read, or no dialogue finished.
    """
    config = stored_config(store.folder)
    if config.kind != "run":
        raise InputError(f"{store.folder}: a {config.kind}; a plan needs the run folder of an experiment (kind: run)")
    dialogues = store.dialogues([PHASE])
    rates = Rates.of(dialogues)
    if rates is None:
        raise InputError(
            f"{store.folder}: none of its {len(dialogues)} dialogues finished, so it says nothing of what one takes; "
            f"name another run with --from, or probe with --probe N"
        )
    kinds = {arm.name: kind_of(config, arm) for arm in config.tutor_arms()}
    return Pilot(
        name=store.folder.name,
        config=config,
        machine=_machine(store.folder),
        dialogues=tuple(dialogues),
        by_tutor=_split(dialogues, {dialogue.spec.tutor_name: dialogue.spec.tutor_name for dialogue in dialogues}),
        by_kind=_split(dialogues, kinds),
        all=rates,
        pace=None if config.run.replay else _pace(config, store, dialogues),
    )


def newest_run(runs: Where, name: str) -> tuple[RunStore | None, tuple[str, ...]]:
    """The newest experiment of a name that has a finished dialogue, also one that was put aside.

    Returns:
        The run folder, or None; and why newer ones cannot be read.
    """
    skipped: list[str] = []
    home = locate(runs)
    for folder in sorted([home / name, *home.glob(f"{glob.escape(name)}.??????.old")], key=_last_change, reverse=True):
        store = RunStore(folder)
        if not store.parts():
            continue
        try:
            if stored_config(folder).kind == "run" and store.ids(with_failed=False):
                return store, tuple(skipped)
        except (InputError, StoreError) as error:
            skipped.append(str(error))
    return None, tuple(skipped)


def _last_change(folder: Location) -> float:
    return max((part.modified() for part in (folder / "dialogues").glob("*.parquet")), default=0.0)


def _machine(folder: Location) -> dict[str, Any]:
    path = folder / "environment.json"
    machine = json.loads(path.read_text()).get("machine") if path.is_file() else None
    return dict(machine) if isinstance(machine, dict) else {}


def _split(dialogues: Sequence[Dialogue], keys: dict[str, str]) -> dict[str, Rates]:
    """Rates by the key of each dialogue's tutor, where one finished."""
    found = {}
    for key in sorted(set(keys.values())):
        rates = Rates.of([dialogue for dialogue in dialogues if keys.get(dialogue.spec.tutor_name) == key])
        if rates is not None:
            found[key] = rates
    return found


def _pace(config: Config, store: RunStore, dialogues: Sequence[Dialogue]) -> Pace | None:
    """Dialogues over wall time; failed ones count, they took their time as well."""
    busy = sum(dialogue.seconds for dialogue in dialogues)
    if busy <= 0.0:
        return None
    slots = min(config.run.in_flight * config.run.classrooms, len(dialogues))
    wall = float((store.step("run") or {}).get("seconds", 0.0))
    # With every slot busy the run lasted at least busy / slots: a shorter wall time leaves out starts that were killed.
    measured = wall >= busy / slots * 0.99
    seconds = wall if measured else busy / slots
    starts = [store.step(f"engine-{name}") or {} for name in config.pools]
    return Pace(
        dialogues_per_minute=len(dialogues) / seconds * 60.0,
        at_once=busy / seconds,
        measured=measured,
        start_seconds=max((float(start.get("seconds", 0.0)) for start in starts), default=0.0),
    )
