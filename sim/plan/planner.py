"""`tutorloop plan`: which dialogues to probe with, and a plan shown and written.

Invariant: the choice of a probe depends on the episodes and the number alone, and what was probed is part of the
experiment: it is stored in its run folder and not run again.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from agents.errors import InputError, nearest
from agents.files import write_text
from agents.records import EpisodeSpec
from sim.config import Config
from sim.plan.plan import Plan, plan
from sim.plan.rates import newest_run
from sim.plan.view import show_plan
from sim.storage.files import Where, locate
from sim.storage.store import RunStore

__all__ = ["Plan", "choose_probe", "plan", "plan_command", "read_effects", "show_plan"]


def plan_command(
    config: Config,
    *,
    runs: Where,
    from_run: Where | None,
    effects: Sequence[str],
    json_path: Path | None,
    console: Console,
) -> Plan:
    """Plans a config and shows the plan.

    Args:
        config: of kind `run`.
        runs: the folder of run folders.
        from_run: the run folder of the pilot; None: the newest run of the config's name, if there is one.
        effects: `MEASURE=VALUE`, the differences that matter.
        json_path: where the plan goes as JSON too.
        console: where it is shown.

    Raises:
        InputError: what `plan` raises, an effect that cannot be read, or a pilot that is no run folder.
    """
    wanted = read_effects(effects, config)
    skipped: tuple[str, ...] = ()
    if from_run is not None:
        pilot: RunStore | None = RunStore(from_run)
    else:
        pilot, skipped = newest_run(runs, config.name)
    made = plan(config, pilot=pilot, effect=wanted, store=RunStore(locate(runs) / config.name))
    show_plan(made, console)
    for reason in skipped:
        console.print(f"[yellow]not used as a pilot:[/] {escape(reason)}")
    if json_path is not None:
        write_text(json_path, json.dumps(made.to_dict(), indent=1, allow_nan=False))
        console.print(f"plan: {json_path}")
    return made


def read_effects(texts: Sequence[str], config: Config) -> dict[str, float]:
    """Reads `MEASURE=VALUE` texts. Raises InputError on a measure outside the family or a value that is not above 0."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if name not in config.experiment.metrics:
            raise InputError(
                f"--effect {text!r}: {name!r} is not compared; {nearest(name, config.experiment.metrics)} "
                f"(experiment.metrics; write MEASURE=VALUE, such as net_gain=0.05)"
            )
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = math.nan
        if not (math.isfinite(found[name]) and found[name] > 0.0):
            raise InputError(
                f"--effect {text!r}: {value!r} is no number above 0; write MEASURE=VALUE, as net_gain=0.05"
            )
    return found


def choose_probe(specs: Sequence[EpisodeSpec], n: int) -> list[EpisodeSpec]:
    """Picks at most n episodes to try an experiment out on: whole cells, so that tutors can be compared on them.

    Cells are taken one after the other, the next always on an item that was used least, then of a persona and a stress
    that were; ties go by the order of `specs`. The last cell is cut where n is no multiple of the tutors. The choice
    depends on the arguments alone and comes in the order of `specs`.

    Raises:
        InputError: n is below 1.
    """
    if n < 1:
        raise InputError(f"a probe of {n} dialogues says nothing; give --probe 1 or more, best 4 for each tutor")
    if n >= len(specs):
        return list(specs)
    cells: dict[str, list[EpisodeSpec]] = defaultdict(list)
    for spec in specs:
        cells[spec.cell].append(spec)
    used: Counter[tuple[str, object]] = Counter()
    chosen: set[str] = set()
    while len(chosen) < n:
        cell = min(cells, key=lambda name: [used[key] for key in _traits(cells[name][0])])
        used.update(_traits(cells[cell][0]))
        chosen.update(spec.id for spec in cells.pop(cell)[: n - len(chosen)])
    return [spec for spec in specs if spec.id in chosen]


def _traits(spec: EpisodeSpec) -> list[tuple[str, object]]:
    return [("item", spec.item_id), ("persona", spec.persona), ("stress", (spec.stressor, spec.intensity))]
