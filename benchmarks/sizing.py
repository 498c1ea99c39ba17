"""Dialogues per hour on 1 to 1,000 GPUs, and what becomes the limit first: a simulation fed with measured rates.

    python benchmarks/sizing.py --from runs/NAME/summary.json --orchestration orchestration.json \\
        --slots 64 --calls-per-second 3000 --seconds-per-part 0.2 --mb-per-second 50 --kb-per-dialogue 20 [--json FILE]

Rates have no defaults: give each one, or a file that holds it. `--from` reads turns and tokens of a dialogue and the
tokens per second of a run on one GPU; `--orchestration` reads CPU seconds a turn and bytes per dialogue in flight from
the figures of `benchmarks/orchestration.py`. What is given by hand wins. `docs/sizing.md` says how to measure them and
what the simulation leaves out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.errors import InputError, TutorloopError
from agents.hardware import describe
from benchmarks.sizing_events import simulate
from benchmarks.sizing_model import ADVICE, Plan, Rates, capacities, smallest

GPUS = (1, 8, 64, 256, 1000)
WHOLE = ("slots", "turns")


def main(argv: Sequence[str] | None = None) -> int:
    """Simulates, prints a table and writes; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        rates = rates_of(arguments)
        started, date = time.monotonic(), datetime.now(UTC)
        rows = [row(rates, plan_of(arguments, rates, gpus), arguments.bytes_per_dialogue) for gpus in arguments.gpus]
    except TutorloopError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    result = {
        "date": date.isoformat(timespec="seconds"),
        "machine": describe(),
        "rates": asdict(rates),
        "rows": rows,
        "first_limit": first_limit(rows),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(table(rows))
    print(f"\n{result['first_limit']}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="summary", type=Path, help="summary.json of a run on one GPU")
    parser.add_argument("--orchestration", type=Path, help="figures of benchmarks/orchestration.py")
    measured = parser.add_argument_group("measured rates (required unless a file holds them)")
    for field in fields(Rates):
        kind = int if field.name in WHOLE else float
        measured.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar="N")
    measured.add_argument("--bytes-per-dialogue", type=float, metavar="N", help="memory in flight; else not shown")
    plan = parser.add_argument_group("what you decide")
    plan.add_argument("--gpus", type=int, nargs="+", default=list(GPUS))
    plan.add_argument("--in-flight-per-gpu", type=int, help="default: twice the slots")
    for name in ("gpus_per_classroom", "batch", "part_dialogues", "waves", "seed"):
        default = Plan.__dataclass_fields__[name].default
        plan.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"default {default}")
    plan.add_argument("--spread", type=float, default=0.8, help="sigma of log-normal reply lengths; default 0.8")
    parser.add_argument("--json", type=Path, help="receives rates, machine, date and all figures")
    return parser


def rates_of(arguments: argparse.Namespace) -> Rates:
    """The rates from files and by hand. Raises InputError that names every one that is missing."""
    found: dict[str, Any] = {}
    if arguments.summary:
        found |= from_summary(_read(arguments.summary))
    if arguments.orchestration:
        read = _read(arguments.orchestration)
        for part, seconds in (read.get("seconds_per_turn") or {}).items():
            found[f"{part}_seconds"] = seconds
        if arguments.bytes_per_dialogue is None:
            arguments.bytes_per_dialogue = read.get("bytes_per_dialogue")
    given = {field.name: getattr(arguments, field.name) for field in fields(Rates)}
    found |= {name: value for name, value in given.items() if value is not None}
    missing = [f"--{name.replace('_', '-')}" for name in given if found.get(name) is None]
    if missing:
        raise InputError(f"no value for {', '.join(missing)}: measure them (docs/sizing.md) and give them")
    return Rates(**{name: found[name] for name in given})


def from_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Turns, tokens a turn and tokens per second of the dialogues of a run, as far as its summary has them.

    Raises:
        InputError: no phase of it has turns and tokens.
    """
    phase = (summary.get("phases") or {}).get("run") or {}
    dialogues = int(phase.get("n_dialogues") or 0) - int(phase.get("n_failed") or 0)
    turns, tokens = phase.get("turns"), phase.get("completion_tokens")
    if dialogues < 1 or not turns or not tokens:
        raise InputError("the summary has no finished dialogues with turns and tokens: give a run that finished")
    found = {"turns": max(1, round(turns / dialogues)), "tokens_per_turn": tokens / turns}
    seconds = (summary.get("seconds") or {}).get("run")
    return {**found, "tokens_per_second": tokens / seconds} if seconds else found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected an object, found {type(found).__name__}")
    return found


def plan_of(arguments: argparse.Namespace, rates: Rates, gpus: int) -> Plan:
    """The plan for so many GPUs."""
    return Plan(
        gpus=gpus,
        in_flight_per_gpu=arguments.in_flight_per_gpu or 2 * rates.slots,
        gpus_per_classroom=arguments.gpus_per_classroom,
        batch=arguments.batch,
        part_dialogues=arguments.part_dialogues,
        spread=arguments.spread,
        waves=arguments.waves,
        seed=arguments.seed,
    )


def row(rates: Rates, plan: Plan, bytes_per_dialogue: float | None) -> dict[str, Any]:
    """The figures for so many GPUs."""
    measured, formula = simulate(rates, plan), capacities(rates, plan)
    ideal = formula["gpus"]
    return {
        "gpus": plan.gpus,
        "classrooms": plan.classrooms,
        "in_flight": plan.in_flight,
        "dialogues": measured.stored,
        "dialogues_per_hour": round(measured.dialogues_per_second * 3600.0),
        "of_gpu_limit": round(measured.dialogues_per_second / ideal, 3) if ideal else None,
        "utilisation": {name: round(share, 3) for name, share in measured.utilisation.items()},
        "requests_per_call": round(measured.requests_per_call, 1),
        "limit": measured.limit,
        "advice": ADVICE[measured.limit],
        "formula_limit": smallest(formula),
        "formula_dialogues_per_hour": {
            name: None if value is None else round(value * 3600.0) for name, value in formula.items()
        },
        "orchestration_gib": None
        if bytes_per_dialogue is None
        else round(plan.in_flight * bytes_per_dialogue / 2**30, 3),
    }


def first_limit(rows: Sequence[Mapping[str, Any]]) -> str:
    """The first component beside the GPUs that limits, as a sentence."""
    for one in rows:
        if one["limit"] != "gpus":
            return f"At {one['gpus']} GPUs the limit is {one['limit']}: {one['advice']}."
    return f"Up to {rows[-1]['gpus']} GPUs the GPUs are the limit: nothing has to change."


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table."""
    parts = ("gpus", "hosts", "classrooms", "router", "driver", "store")
    head = ["GPUs", "in flight", "dialogues/h", "of GPU limit", *(f"{part} busy" for part in parts), "limit"]
    lines = [head, ["---"] * len(head)]
    for one in rows:
        busy = [f"{one['utilisation'][part]:.0%}" for part in parts]
        share = "-" if one["of_gpu_limit"] is None else f"{one['of_gpu_limit']:.0%}"
        front = [f"{one['gpus']:,}", f"{one['in_flight']:,}", f"{one['dialogues_per_hour']:,}", share]
        lines.append([*front, *busy, one["limit"]])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
