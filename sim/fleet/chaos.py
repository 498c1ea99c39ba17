"""Kills parts of a run at random while it goes on: what `--chaos` does.

Invariant: only processes of this run are killed, but where worker nodes are asked for, which end with all they run; the
driver's node and the head are never killed. Every kill is counted and told. Deaths made on purpose do not count when it
is decided whether a replica or a classroom dies again and again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import LocalRayletDiedError, NodeDiedError, RayError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sim.fleet.chaos_plan import ChaosPlan, Kill
from sim.fleet.replica import Replica
from sim.fleet.rooms import Rooms
from sim.pools import Pools

HEAD = "node:__internal_head__"
"""The resource by which Ray marks the head; a cluster does not outlive it."""
NODE_SECONDS = 60.0
"""A node that has not started the killer's process after so long is left alone."""


class Chaos:
    """Kills something every so many seconds, at random times.

    Args:
        rooms: classrooms that may be killed.
        pools: engines that may be killed; one that is starting is left alone.
        plan: what is killed, and how often.
        seed: decides what is killed when.
        say: told of every kill.
    """

    def __init__(self, rooms: Rooms, pools: Pools, plan: ChaosPlan, *, seed: int, say: Callable[[str], None]) -> None:
        self._rooms, self._pools, self._plan, self._say = rooms, pools, plan, say
        self._random = random.Random(seed)
        self._told: set[str] = set()

    async def run(self) -> None:
        """Kills until cancelled."""
        while True:
            await asyncio.sleep(self._random.expovariate(1.0 / self._plan.every_seconds))
            await self.strike(self._random.choice(self._plan.kinds))

    async def strike(self, kind: Kill) -> bool:
        """Kills one of a kind; False where there is none to kill now. An engine without a process loses its actor."""
        if kind == "classroom":
            what, killed = "classroom", self._rooms.kill(self._random)
        elif kind == "node":
            what, killed = "worker node", await self._strike_node()
        else:
            what, killed = await self._strike_engine(kind)
        if killed:
            self._pools.faults[f"killed {what}"] += 1
            self._say(f"chaos: killed {killed} ({what})")
        return bool(killed)

    async def _strike_engine(self, kind: Kill) -> tuple[str, str]:
        serving = self._serving()
        if not serving:
            return "", ""
        replica = self._random.choice(serving)
        replica.spared = True
        try:
            if kind == "process" and await replica.actor.injure.remote():
                return "engine process", replica.name
        except RayError:
            return "", ""  # it died by itself at that very moment
        ray.kill(replica.actor)
        return "engine actor", replica.name

    async def _strike_node(self) -> str:
        """Kills a worker node that has a part of this run; none while an engine is starting or about to die.

        An engine that starts has no node yet, so its death could not be told from one of its own.
        """
        replicas = self._pools.replicas()
        if any(replica.spared or replica.state in ("starting", "restarting") for replica in replicas):
            return ""
        rooms = await self._rooms.nodes()
        held = {*rooms.values(), *(replica.node for replica in replicas)}
        nodes = sorted(node for node in _workers() if node[:8] in held)
        if not nodes:
            self._say_once("chaos: no node is killed: nothing of the run is on a node but the head's and the driver's")
            return ""
        node = self._random.choice(nodes)
        # All that will die is noted first: its death may be noticed before the killer's answer.
        spared = [replica for replica in self._serving() if replica.node == node[:8]]
        for replica in spared:
            replica.spared = True
        lost = self._rooms.lose([name for name, of_room in rooms.items() if of_room == node[:8]])
        if await _ended(node):
            return node[:8]
        for replica in spared:
            replica.spared = False
        self._rooms.keep(lost)
        self._say_once(f"chaos: node {node[:8]} could not be killed: no answer, or its processes are no raylet's")
        return ""

    def _serving(self) -> list[Replica]:
        return [replica for replica in self._pools.replicas() if replica.state == "serving" and not replica.spared]

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)


def _workers() -> list[str]:
    """Ids of the nodes that are alive, without the head and the driver's own."""
    own = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    workers = [node["NodeID"] for node in nodes if node["Alive"] and HEAD not in node["Resources"]]
    return [node for node in workers if node != own]


async def _ended(node: str) -> bool:
    """Kills a node from within; False where that did not come about in time. A cancelled killer does nothing later."""
    killer: Any = ray.remote(_end_node)
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    task = killer.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote(time.time() + NODE_SECONDS)
    try:
        async with asyncio.timeout(NODE_SECONDS):
            return bool(await task)
    except (WorkerCrashedError, NodeDiedError, LocalRayletDiedError):
        return True  # the killer died with its node before it could answer
    except (RayError, TimeoutError):
        return False
    finally:
        ray.cancel(task, force=True)


def _end_node(deadline: float) -> bool:
    """Runs on a node: kills its raylet, with which all its processes end. False where the parent is no raylet."""
    parent = os.getppid()
    late = time.time() > deadline
    if late or Path(f"/proc/{parent}/comm").read_text(encoding="utf-8").strip() != "raylet":
        return False
    os.kill(parent, signal.SIGKILL)
    return True


@asynccontextmanager
async def chaotic(rooms: Rooms, pools: Pools, *, seed: int, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Kills at random while inside, as often as the plan of the pools says; where that is 0, never."""
    if not pools.chaos.every_seconds:
        yield
        return
    task = asyncio.create_task(Chaos(rooms, pools, pools.chaos, seed=seed, say=say).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
