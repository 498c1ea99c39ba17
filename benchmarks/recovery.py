"""How long a dead engine is away: killed under load, started anew, given its adapter, proved, serving a turn again.

The embedded model on vLLM serves a LoRA adapter with random weights while dialogues go on. The engine's own process is
killed, then the actor that hosts it. Timed from each kill: until the engine serves with its policy proved (what the
supervisor says) and until the first request of a dialogue was answered by it. The figure is the latter less a start:
the seconds that this start of the engine took by its own clock, and what the first start of the run took besides, which
is a new process. (Whole starts cannot be compared: a machine's speed moves between them.) It exits with an error unless
every dialogue is there once, none failed, and every tutor turn carries the delivered version.

    python benchmarks/recovery.py --json FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from agents.hardware import describe
from agents.models import ensure_embedded
from sim.cluster import cluster
from sim.config import Config
from sim.delivery import deliver
from sim.fleet.replica import Replica
from sim.grid import experiment_specs
from sim.pools import Pools
from sim.progress import Teller
from sim.run import models_of
from sim.simulate import Batch, simulate
from sim.storage.store import RunStore
from trainers.model import load_policy
from trainers.plan import TrainSettings
from trainers.proof import write_proof

VERSION = "tutor/v0001"
WAYS = ("engine process", "engine actor")
LOOK_SECONDS = 0.1
PROOF_REQUESTS = 4
"""The proof scores four sequences."""
PATIENCE_SECONDS = 600.0


def config_of(dialogues: int, in_flight: int) -> Config:
    """One engine for tutor and student, so that its death stops everything."""
    return Config.model_validate(
        {
            "name": "recovery",
            "pools": {"class": {"roles": ["tutor", "student", "judge"]}},
            "tutor": {"max_tokens": 24},
            "students": {"max_tokens": 16},
            "dialogue": {"turns": 2},
            "probes": {"question": False, "transfer": False},
            "items": {"limit": 20, "repeats": -(-dialogues // 40)},
            "run": {"classrooms": 2, "in_flight": in_flight // 2, "part_dialogues": 32},
        }
    )


def make_adapter(model: Path, folder: Path) -> Path:
    """An adapter of random weights, large enough to be told from the base, with its proof."""
    policy = load_policy(model, settings=TrainSettings(quantization="none"), parent=None, reference=False)
    torch.manual_seed(0)
    for name, value in policy.trainable.items():
        if "lora_B" in name:
            value.data.normal_(std=0.005)
    policy.save(folder)
    generator = torch.Generator().manual_seed(0)
    sequences = torch.randint(1000, 20_000, (4, 48), generator=generator).tolist()
    write_proof(model, folder, sequences, folder)
    return folder


async def strike(replica: Replica, way: str, running: asyncio.Task[Any]) -> dict[str, Any]:
    """Kills the engine and times its return."""
    restarts, killed = replica.restarts, time.monotonic()
    replica.spared = True
    if way == "engine process":
        assert await replica.actor.injure.remote(), "the engine has no process of its own to kill"
    else:
        ray.kill(replica.actor)

    async def back() -> bool:
        return replica.restarts > restarts

    await _until(back, running)
    served = time.monotonic()
    await _until(lambda: _answered(replica), running)
    return {
        "way": way,
        "seconds_until_proved": served - killed,
        "seconds_until_first_answer": time.monotonic() - killed,
        "own_start_seconds": replica.seconds,
    }


async def _until(true: Callable[[], Awaitable[bool]], running: asyncio.Task[Any]) -> None:
    """Waits for something that only comes while dialogues are held."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await true():
            if running.done():
                running.result()  # what ended it, if it was an error
                sys.exit("the dialogues ended before the engine was back: give more with --dialogues")
            await asyncio.sleep(LOOK_SECONDS)


async def _answered(replica: Replica) -> bool:
    """Whether the engine has answered a request of a dialogue since it started, beside those of its proof."""
    try:
        load = await replica.actor.health.remote()
    except RayError:
        return False
    return bool(load.requests > PROOF_REQUESTS)


async def measure(config: Config, folder: Path, specs: Any) -> dict[str, Any]:
    """Holds dialogues, kills twice, and waits for the end."""
    models, teller, store = models_of(config), Teller(), RunStore(folder / "run")
    base = ensure_embedded()
    store.open(config.model_dump(mode="json"), {})
    pools, running = Pools(config, models, teller), None
    try:
        begun = time.monotonic()
        await pools.start(["tutor"])
        first = time.monotonic() - begun
        besides = first - pools.seconds["class"]
        adapter = make_adapter(base, folder / "adapter")
        delivered = await deliver(
            config, pools, base=str(base), adapter=adapter, version=VERSION, scratch=folder, pool_name="class"
        )
        running = asyncio.create_task(
            simulate([Batch(specs, 1)], what="recovery", config=config, pools=pools, store=store, teller=teller)
        )
        (replica,) = pools.replicas()
        strikes = []
        for way in WAYS:
            await asyncio.sleep(10.0)
            strikes.append(await strike(replica, way, running))
        await running
    finally:
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await pools.close()
    dialogues = store.dialogues()
    turns = [turn for dialogue in dialogues for turn in dialogue.tutor_turns]
    return {
        "first_start_seconds": first,
        "delivery_seconds": delivered.seconds + delivered.merge_seconds,
        "strikes": strikes,
        "new_process_seconds": besides,
        "recovery_over_start_seconds": [
            one["seconds_until_first_answer"] - one["own_start_seconds"] - besides for one in strikes
        ],
        "dialogues": len(dialogues),
        "planned": len(specs),
        "failed": sum(dialogue.failure is not None for dialogue in dialogues),
        "tutor_turns": len(turns),
        "turns_of_the_adapter": sum(turn.policy_version == VERSION for turn in turns),
    }


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=120)
    parser.add_argument("--in-flight", type=int, default=32, help="dialogues that wait for the engine")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ensure_embedded()
    config = config_of(arguments.dialogues, arguments.in_flight)
    specs = experiment_specs(config)[: arguments.dialogues]
    with tempfile.TemporaryDirectory() as folder, cluster(config):
        found = asyncio.run(measure(config, Path(folder), specs))
    found |= {"machine": describe(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    whole = found["dialogues"] == found["planned"] and found["turns_of_the_adapter"] == found["tutor_turns"]
    sys.exit(0 if whole and not found["failed"] else "a dialogue is missing or failed, or a turn was not the adapter's")


if __name__ == "__main__":
    main()
