"""A long run in which things die: is every dialogue there once, and does memory stay flat?

`--kind real` holds dialogues on the embedded model with vLLM and kills engine processes, engine actors and classrooms
at random. `--kind scripted` holds many more on engines without a model, of which one request in a hundred fails, with
the same kills. With `--full-disk` the run folder is on a small disk that is full again and again. At the end the run
folder is verified, part by part. Memory (USS) of driver and classrooms is read every
second. Of a process, from 200 dialogues after its start on: the slope of a straight line through its readings, in bytes
for each dialogue of the run, and the medians of their first and last fifth, which the jumps of a restart do not move.
It exits with an error unless every dialogue is there once, the folder is whole and, with the real model, none failed.

    make soak                                    # both, and soak_cluster.py, in full
    python benchmarks/soak.py --kind scripted --dialogues 10000 --json FILE
    python benchmarks/soak.py --kind scripted --dialogues 10000 --full-disk 10
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from chart import line_chart
from costs import Costs, ReadingTeller
from small_disk import Ballast, small_disk

from agents.errors import StoreError
from agents.hardware import describe
from sim.config import Config
from sim.fleet.chaos_plan import ChaosPlan
from sim.progress import Teller
from sim.run import execute
from sim.storage.files import locate
from sim.storage.verified import show_verified
from sim.storage.verify import verify

SETTLED = 200
"""Dialogues after which the memory of a process should be flat, and how many more it must see to tell."""

DISK_MIB, FULL_SECONDS = 512, 6.0
"""With `--full-disk`: how much it holds, and how long it is full each time."""


def config_of(arguments: argparse.Namespace, folder: str) -> Config:
    """The soak as a config."""
    pools: dict[str, dict[str, Any]] = {"class": {"roles": ["student", "judge"]}}
    pools["tutor"] = {"roles": ["tutor"], "shares": "class"}
    if arguments.kind == "scripted":
        pools["class"] |= {"engine": "scripted", "latency_seconds": 0.2, "fail_every": 100, "replicas": 2}
    else:
        pools["class"]["replicas"] = 1  # one engine, whose death stops everything
    in_flight = arguments.in_flight or (64 if arguments.kind == "real" else 1000)
    return Config.model_validate(
        {
            "name": f"soak-{arguments.kind}",
            "seed": arguments.seed,
            "pools": pools,
            "tutor": {"max_tokens": 24},
            "students": {"max_tokens": 16},
            "dialogue": {"turns": 2},
            "probes": {"question": arguments.probes and arguments.kind == "real", "transfer": False},
            "items": {"limit": 20, "repeats": -(-arguments.dialogues // 40)},
            "run": {"folder": folder, "classrooms": 2, "in_flight": in_flight // 2, "part_dialogues": 64},
        }
    )


def growth(costs: Costs, done: Sequence[tuple[float, int]]) -> dict[str, Any]:
    """Bytes a dialogue of each process that lived long enough, and all readings as (dialogues, MiB)."""
    times, counts = [at for at, _ in done], [count for _, count in done]
    found: dict[str, Any] = {"bytes_per_dialogue": {}, "mib_first_and_last_fifth": {}, "series": {}}
    for kind in ("driver", "classroom"):
        alike = [readings for (known, _), readings in sorted(costs.processes.items()) if known == kind]
        for number, readings in enumerate(alike, 1):
            points = [
                (float(np.interp(at, times, counts)), size) for at, size in readings if times[0] <= at <= times[-1]
            ]
            name = kind if kind == "driver" else f"{kind} {number}"
            settled = [(count, size) for count, size in points if count >= points[0][0] + SETTLED]
            if settled and settled[-1][0] - settled[0][0] >= SETTLED:
                x, y = np.array(settled, dtype=np.float64).T
                found["bytes_per_dialogue"][name] = float(np.polyfit(x, y, 1)[0])
                fifth = max(1, len(y) // 5)
                ends = (np.median(y[:fifth]), np.median(y[-fifth:]))
                found["mib_first_and_last_fifth"][name] = [round(float(end) / 2**20, 1) for end in ends]
            found["series"][name] = [(count, size / 2**20) for count, size in points]
    return found


def soak(arguments: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Runs it and says what became of it."""
    config, costs, done = config_of(arguments, folder), Costs(), list[tuple[float, int]]()
    teller = ReadingTeller(lambda made: done.append((time.monotonic(), made.done)))
    costs.start()
    begun = time.monotonic()
    summary, place, ends = run_through(config, teller, ChaosPlan(arguments.chaos), again=bool(arguments.full_disk))
    seconds = time.monotonic() - begun
    costs.finish()
    whole = show_verified(verify(place), teller.console)
    ids = json.loads((locate(place) / "summary.json").read_text())["experiment"]["missing"]
    return {
        "kind": arguments.kind,
        "machine": describe(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "chaos_seconds": arguments.chaos,
        "seconds": seconds,
        "dialogues": ids,
        "faults": summary["faults"],
        "verified": whole == 0,
        "times_refused_by_the_disk": teller.refusals,
        "times_ended_and_given_again": ends,
        "memory": growth(costs, done),
    }


def run_through(config: Config, teller: Teller, chaos: ChaosPlan, *, again: bool) -> tuple[dict[str, Any], str, int]:
    """The summary, the run folder, and how often the run ended for want of space and was given again: its last small
    files are not waited for.
    """
    for ends in range(100):
        try:
            return (*execute(config, teller, chaos=chaos), ends)
        except StoreError as error:
            if not again:
                raise
            teller.say(f"the run ended: {error}; the same again")
            time.sleep(FULL_SECONDS)
    sys.exit("the run ended a hundred times for want of space")


def soak_on_a_full_disk(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The same where the disk is full again and again."""
    with small_disk(scratch, DISK_MIB) as disk:
        ballast = Ballast(disk, arguments.full_disk, FULL_SECONDS, arguments.seed)
        ballast.start()
        try:
            found = soak(arguments, str(disk / "runs"))
        finally:
            ballast.stop()
    return found | {"times_the_disk_was_full": ballast.times}


def main() -> None:
    """Soaks and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("real", "scripted"), default="scripted")
    parser.add_argument("--dialogues", type=int, default=2000, help="rounded up to whole repeats of 40")
    parser.add_argument("--in-flight", type=int, default=0, help="0: 64 with the real model, else 1000")
    parser.add_argument("--chaos", type=float, default=60.0, help="mean seconds between two kills; 0: none")
    parser.add_argument("--no-probes", dest="probes", action="store_false", help="with the real model: turns alone")
    parser.add_argument("--seed", type=int, default=0, help="decides what is killed when")
    parser.add_argument("--full-disk", type=float, help="mean seconds between two times that the disk is full")
    parser.add_argument("--folder", help="where the run folder is made; else a temporary one")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="memory over dialogues as SVG")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.full_disk:
            found = soak_on_a_full_disk(arguments, Path(scratch))
        else:
            found = soak(arguments, arguments.folder or scratch)
    series = found["memory"].pop("series")
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if arguments.plot:
        chart = line_chart(series, title="Memory of driver and classrooms (USS)", x="dialogues", y="MiB")
        arguments.plot.write_text(chart, encoding="utf-8")
    lost = found["dialogues"]["not_run"] + (found["dialogues"]["failed"] if arguments.kind == "real" else 0)
    if arguments.full_disk and not found["times_refused_by_the_disk"]:
        sys.exit("the disk never refused anything: nothing was tried; give more with --dialogues")
    if lost or not found["verified"]:
        sys.exit(f"{lost} dialogues are missing or failed, or the run folder is not whole")


if __name__ == "__main__":
    main()
