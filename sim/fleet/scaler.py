"""Adds replicas to a pool that is short of places and takes away those it can do without.

Invariant: a replica that is added serves only after it was given the live policy and proved to serve it. One that
leaves gets no more requests and finishes those it has; only then its actor ends, unless nobody else serves any more:
then it stays. A start that fails costs the run nothing but a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from sim.fleet import supervisor
from sim.fleet.calls import asked
from sim.fleet.replica import Replica
from sim.fleet.scale import Scale
from sim.fleet.supervisor import HUNG_SECONDS, Staff, Supervisor

START_SECONDS = 900.0
"""A replica that has not started after so long (no node with room for it) is not waited for any more."""
LEAVE_SECONDS = 600.0
"""A replica that leaves has so long to finish; what it still holds then is sent again elsewhere."""
QUIET = 2
"""Looks in a row without a request before a replica that leaves is gone: one may be on its way to it."""


class Crew(Staff, Protocol):
    """What the scaler needs of the pools."""

    def members(self, pool: str) -> list[Replica]:
        """The replicas of a pool, to be added to and taken from."""
        ...

    def delivering(self, pool: str) -> asyncio.Lock:
        """Held while a policy is delivered to a pool: nobody leaves in the middle of that."""
        ...


class Scaler:
    """Changes the number of replicas. Lives in the driver's asyncio loop."""

    def __init__(self, crew: Crew, watcher: Supervisor) -> None:
        self._crew, self._watcher = crew, watcher
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts: dict[str, asyncio.Task[None]] = {}
        """By replica, those on their way in."""

    def take(self, pool: str, scale: Scale) -> None:
        """Looks after a pool from now on."""
        if scale.most > scale.least:
            self._spawn(self._watch(pool, scale))

    async def close(self) -> None:
        """Changes nothing any more; a replica that is on its way in or out stays as it is."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crew.say(f"changing the size of a pool went wrong: {type(error).__name__}: {error}")

    async def _watch(self, pool: str, scale: Scale) -> None:
        while True:
            await asyncio.sleep(supervisor.CHECK_SECONDS)
            members = [replica for replica in self._crew.members(pool) if replica.state != "left"]
            serving = [replica for replica in members if replica.state == "serving"]
            starting = [replica for replica in members if replica.state == "starting"]
            step = scale.look([replica.load for replica in serving], number=len(members), starting=len(starting))
            if step > 0:
                replica = Replica(pool, 1 + max(known.index for known in self._crew.members(pool)))
                self._crew.members(pool).append(replica)
                self._starts[replica.name] = self._spawn(self._add(replica, scale))
            for replica in (serving + starting)[step:] if step < 0 else ():
                self._spawn(self._call_off(replica) if replica in starting else self._dismiss(replica, scale.least))

    async def _add(self, replica: Replica, scale: Scale) -> None:
        begun = time.monotonic()
        self._crew.say(f"pool {replica.pool!r} is short of places: engine {replica.name} is started beside the others")
        try:
            await self._watcher.begin(replica, START_SECONDS)
        except Exception as error:  # whatever it was, the run goes on with the replicas it has
            cause = getattr(error, "cause", None) or error
            why = f"{type(cause).__name__}: {cause}"[:500]
            scale.refuse()
            self._crew.log("scale", why, level="warning", pool=replica.pool)
            self._crew.say(f"engine {replica.name} could not be added: {why}; the run goes on without it")
            await self._forget(replica)
            return
        finally:
            self._starts.pop(replica.name, None)
        self._watcher.take(replica)
        self._crew.changed()
        self._crew.say(f"engine {replica.name} serves after {time.monotonic() - begun:.1f} s")

    async def _call_off(self, replica: Replica) -> None:
        """Ends a start that is not needed any more; one that has just succeeded leaves like the others."""
        start = self._starts.pop(replica.name, None)
        if start is None:
            return
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        if replica.state == "starting" and replica in self._crew.members(replica.pool):
            self._crew.say(f"engine {replica.name} is not needed any more; its start is called off")
            await self._forget(replica)

    async def _forget(self, replica: Replica) -> None:
        """Takes out one that never served."""
        try:
            if replica.actor is not None:
                await self._crew.discard(replica.actor)
        finally:
            self._crew.members(replica.pool).remove(replica)
            self._crew.changed()

    async def _dismiss(self, replica: Replica, least: int) -> None:
        """Lets a replica finish what it has, and go."""
        async with self._crew.delivering(replica.pool):
            serving = sum(other.state == "serving" for other in self._crew.members(replica.pool))
            if replica.state != "serving" or serving <= least:
                return  # it, or another one, died or was taken out while a policy was delivered
            self._watcher.release(replica)
            replica.state = "leaving"
        self._crew.changed()
        self._crew.say(f"pool {replica.pool!r} has more places than it needs: engine {replica.name} leaves")
        if await self._finished(replica) or not await self._kept(replica):
            await self._crew.discard(replica.actor)
            replica.state = "left"
        self._crew.changed()

    async def _kept(self, replica: Replica) -> bool:
        """Lets one that was about to leave serve again, with the live policy; False where that failed."""
        try:
            await self._crew.renew(replica)
        except Exception as error:  # it is no use then: those that start anew will serve
            self._crew.say(f"engine {replica.name} cannot stay: {type(error).__name__}: {error}"[:500])
            return False
        self._watcher.take(replica)
        self._crew.say(f"engine {replica.name} stays: no other of pool {replica.pool!r} serves now")
        return True

    async def _finished(self, replica: Replica) -> bool:
        """Waits until one that leaves has nothing left to do, or died; False where it is needed after all."""
        late, quiet = time.monotonic() + LEAVE_SECONDS, 0
        while quiet < QUIET and time.monotonic() < late:
            await asyncio.sleep(supervisor.CHECK_SECONDS)
            try:
                async with asyncio.timeout(HUNG_SECONDS):
                    replica.load = await asked(replica.actor.health)
                    quiet = quiet + 1 if await asked(replica.actor.idle) else 0
            except Exception:  # it died of itself, or hangs: whoever waits for it asks elsewhere
                return True
            if not any(other.state == "serving" for other in self._crew.members(replica.pool)):
                return False
        return True
