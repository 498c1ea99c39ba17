"""A driver that kills a worker node on purpose while dialogues are held, as `--chaos --kill node` does; not a test.

Prints a line of JSON. The process of the tests never connects to Ray (see `nodes.py`), so this one does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import ray

from sim.cluster import cluster
from sim.config import Config
from sim.fleet.chaos import Chaos
from sim.fleet.chaos_plan import ChaosPlan
from sim.fleet.dispatch import Batch
from sim.fleet.rooms import Rooms
from sim.grid import experiment_specs
from sim.pools import Pools
from sim.progress import Teller


async def strike(config: Config) -> dict[str, Any]:
    """Kills the node of an engine while a classroom is at work, and waits until all engines serve again."""
    told: list[str] = []
    pools = Pools(config, dict.fromkeys(config.pools, "scripted"), Teller())
    specs, held = experiment_specs(config), list[str]()
    try:
        await pools.start(["student", "tutor"])
        before = sorted(replica.node for replica in pools.replicas())
        async with Rooms(config, pools, Teller()) as rooms:
            chaos = Chaos(rooms, pools, ChaosPlan(1.0, ("node",)), seed=0, say=told.append)
            struck, rooms_before = False, dict[str, str]()
            async for dialogues in rooms.teach([Batch(specs, 1)]):
                held += [dialogue.id for dialogue in dialogues if dialogue.failure is None]
                if not struck:
                    rooms_before = await rooms.nodes()
                    struck = await chaos.strike("node")
            while any(replica.state != "serving" for replica in pools.replicas()):
                await asyncio.sleep(0.2)
        alive = {node["NodeID"][:8] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        after = sorted(replica.node for replica in pools.replicas())
        return {
            "struck": struck,
            "told": told,
            "engines": before,
            "classrooms": sorted(rooms_before.values()),
            "after": after,
            "alive": sorted(alive),
            "faults": dict(pools.faults),
            "short_lives": [replica.short_lives for replica in pools.replicas()],
            "once": sorted(held) == sorted(spec.id for spec in specs),
        }
    finally:
        await pools.close()


def main(address: str) -> None:
    """One strike on the cluster at an address."""
    quick = {"engine": "scripted", "latency_seconds": 0.3, "replicas": 1, "cpus": 1.0}
    config = Config.model_validate(
        {
            "name": "strike",
            "pools": {"class": {"roles": ["student"], **quick}, "tutor": {"roles": ["tutor"], **quick}},
            "items": {"pack": "earth_science", "limit": 24},
            "run": {"ray_address": address, "classrooms": 2, "in_flight": 4},
        }
    )
    with cluster(config):
        print("found", json.dumps(asyncio.run(strike(config))))


if __name__ == "__main__":
    main(sys.argv[1])
