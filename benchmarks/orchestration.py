"""What the orchestration itself costs: thousands of dialogues in flight against engines without a model.

The engine is scripted, with a latency for every reply, so all that is measured is tutorloop and Ray: classrooms, the
batches between them and the engine's host, the driver, the store. Turns are tutor and student turns, one request each.
Rates and CPU seconds are of the time between the first and the last look of a second at which turns had been spoken, so
the start of classrooms is not in them; `turns_per_second_whole` has it. CPU seconds are of all processes of the run,
Ray's own included. Memory per dialogue is the memory of their own (USS: without pages shared with the object store)
that classrooms and hosts, which hold the dialogues, gained between the small and the large number in flight at their
peaks, over the dialogues between; the driver's gain (the plan of all episodes, what waits to be stored) stands beside.

    python benchmarks/orchestration.py --json FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from costs import Costs, ReadingTeller

from agents.hardware import describe
from sim.cluster import cluster
from sim.config import Config
from sim.grid import experiment_specs
from sim.pools import Pools
from sim.simulate import Batch, simulate
from sim.storage.store import RunStore


def config_of(in_flight: int, dialogues: int, arguments: argparse.Namespace) -> Config:
    """An experiment with a scripted class; `in_flight` dialogues over all classrooms."""
    return Config.model_validate(
        {
            "name": f"flight-{in_flight}",
            "pools": {
                "class": {
                    "roles": ["student", "judge"],
                    "engine": "scripted",
                    "latency_seconds": arguments.latency,
                    "replicas": arguments.hosts,
                },
                "tutor": {"roles": ["tutor"], "shares": "class"},
            },
            "dialogue": {"turns": arguments.turns},
            "probes": {"question": arguments.probes, "transfer": False},
            "items": {"limit": 10, "repeats": -(-dialogues // 20)},
            "run": {
                "classrooms": arguments.classrooms,
                "in_flight": -(-in_flight // arguments.classrooms),
                "part_dialogues": 64,
            },
        }
    )


async def flight(in_flight: int, dialogues: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Holds so many dialogues, so many at once; engine and classroom start are not in the seconds of the engine."""
    config = config_of(in_flight, dialogues, arguments)
    costs = Costs()
    store, teller = RunStore(folder / config.name), ReadingTeller(costs.mark)
    store.open(config.model_dump(mode="json"), {})
    pools = Pools(config, dict.fromkeys(config.pools, "scripted"), teller)
    try:
        await pools.start(config.heard_roles())
        specs = experiment_specs(config)[:dialogues]
        costs.start()
        begun = time.monotonic()
        await simulate([Batch(specs, 1)], what=config.name, config=config, pools=pools, store=store, teller=teller)
        seconds = time.monotonic() - begun
        costs.finish()
    finally:
        await pools.close()
    assert len(store.ids()) == dialogues
    turns = dialogues * (2 * arguments.turns - 1)
    (first, spoken, before), last = costs.marks[0], costs.marks[-1]
    cpu = {kind: spent - before.get(kind, 0.0) for kind, spent in last[2].items()}
    steady = max(1, last[1] - spoken)
    return {
        "in_flight": in_flight,
        "dialogues": dialogues,
        "turns": turns,
        "seconds": seconds,
        "turns_per_second_whole": turns / seconds,
        "steady_turns": steady,
        "turns_per_second": steady / (last[0] - first),
        "cpu_seconds_per_turn": sum(cpu.values()) / steady,
        "seconds_per_turn": {kind: spent / steady for kind, spent in cpu.items()},
        "peak_bytes": costs.memory,
    }


def figures(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    """What the two flights say."""
    kinds = ("classroom", "host", "driver")
    gained = {kind: large["peak_bytes"].get(kind, 0) - small["peak_bytes"].get(kind, 0) for kind in kinds}
    return {
        "turns_per_second": large["turns_per_second"],
        "bytes_per_dialogue": (gained["classroom"] + gained["host"]) / (large["in_flight"] - small["in_flight"]),
        "bytes_gained": gained,
        "driver_bytes_per_dialogue": gained["driver"] / (large["in_flight"] - small["in_flight"]),
        "cost_ratio_10000_to_100": large["cpu_seconds_per_turn"] / small["cpu_seconds_per_turn"],
        "seconds_per_turn": {kind: large["seconds_per_turn"].get(kind, 0.0) for kind in (*kinds, "ray")},
    }


def main() -> None:
    """Flies small, then large, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=100, help="dialogues in flight of the small flight")
    parser.add_argument("--large", type=int, default=10_000, help="and of the large one")
    parser.add_argument("--small-dialogues", type=int, default=400, help="dialogues of the small flight")
    parser.add_argument("--large-dialogues", type=int, default=20_000, help="and of the large one")
    parser.add_argument("--classrooms", type=int, default=2)
    parser.add_argument("--hosts", type=int, default=1, help="engine replicas")
    parser.add_argument("--turns", type=int, default=5, help="tutor turns of a dialogue")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds for each reply")
    parser.add_argument("--probes", action="store_true", help="probe beliefs before and after")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": describe(), "arguments": {k: str(v) for k, v in vars(arguments).items()}}
    with tempfile.TemporaryDirectory() as folder, cluster(config_of(1, 1, arguments)):
        for name in ("small", "large"):
            in_flight, dialogues = getattr(arguments, name), getattr(arguments, f"{name}_dialogues")
            found[name] = asyncio.run(flight(in_flight, dialogues, arguments, Path(folder)))
    found |= figures(found["small"], found["large"])
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
