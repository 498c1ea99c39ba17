"""Kills parts of a run at random while it goes on: what `--chaos` does.

Invariant: only processes of this run are killed, and every kill is counted and told. Deaths made on purpose do not
count when it is decided whether a replica or a classroom dies again and again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import ray
from ray.exceptions import RayError

from sim.fleet.rooms import Rooms
from sim.pools import Pools

KINDS = ("engine process", "engine actor", "classroom")


class Chaos:
    """Kills something every so many seconds, at random times.

    Args:
        rooms: classrooms that may be killed.
        pools: engines that may be killed; one that is starting is left alone.
        every_seconds: mean time between two kills.
        seed: decides what is killed when.
        say: told of every kill.
    """

    def __init__(
        self, rooms: Rooms, pools: Pools, *, every_seconds: float, seed: int, say: Callable[[str], None]
    ) -> None:
        self._rooms, self._pools, self._every, self._say = rooms, pools, every_seconds, say
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Kills until cancelled."""
        while True:
            await asyncio.sleep(self._random.expovariate(1.0 / self._every))
            await self.strike(self._random.choice(KINDS))

    async def strike(self, kind: str) -> bool:
        """Kills one of a kind; False where there is none to kill now. An engine without a process loses its actor."""
        if kind == "classroom":
            killed = self._rooms.kill(self._random)
        else:
            kind, killed = await self._strike_engine(kind)
        if killed:
            self._pools.faults[f"killed {kind}"] += 1
            self._say(f"chaos: killed {killed} ({kind})")
        return bool(killed)

    async def _strike_engine(self, kind: str) -> tuple[str, str]:
        serving = [replica for replica in self._pools.replicas() if replica.state == "serving"]
        if not serving:
            return kind, ""
        replica = self._random.choice(serving)
        replica.spared = True
        try:
            if kind == "engine process" and await replica.actor.injure.remote():
                return kind, replica.name
        except RayError:
            return kind, ""  # it died by itself at that very moment
        ray.kill(replica.actor)
        return "engine actor", replica.name


@asynccontextmanager
async def chaotic(rooms: Rooms, pools: Pools, *, seed: int, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Kills at random while inside, as often as the pools say; where they say 0, never."""
    if not pools.chaos_seconds:
        yield
        return
    chaos = Chaos(rooms, pools, every_seconds=pools.chaos_seconds, seed=seed, say=say)
    task = asyncio.create_task(chaos.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
