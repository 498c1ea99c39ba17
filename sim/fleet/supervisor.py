"""Watches the engines of a run and starts those anew that died.

Invariant: a replica that was started anew serves only after it was given the policy that is live and was proved to
serve it. One that dies again and again is taken out, and that is said; a pool without replicas is lost, and requests
to it fail at once with the reason.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from ray.exceptions import RayActorError, RayTaskError

from agents.errors import EngineError
from sim.fleet.calls import asked
from sim.fleet.renewal import Readied
from sim.fleet.replica import SHORT_LIVES, Replica

CHECK_SECONDS = 1.0
"""Between two looks at an engine."""
HUNG_SECONDS = 60.0
"""An engine's host that does not say a word for so long is taken for dead; it answers while its engine computes."""


FleetEvent = Literal["restart", "out", "scale"]
"""What befalls the engines of a run, as its log names it."""


class Staff(Protocol):
    """What the supervisor needs of the pools."""

    def launch(self, replica: Replica) -> None:
        """Makes a new actor for a replica."""
        ...

    async def discard(self, actor: Any) -> None:
        """Ends an actor that is dead or as good as dead."""
        ...

    def policy(self, pool: str) -> AbstractAsyncContextManager[Readied | None]:
        """Makes the live policy of a pool ready for an engine that is being started."""
        ...

    async def renew(self, replica: Replica, readied: Readied | None = None) -> None:
        """Gives a freshly started replica the live policy, proves it, and lets it serve."""
        ...

    def changed(self) -> None:
        """Replicas came or went: whoever routes to them is told."""
        ...

    def say(self, text: str) -> None:
        """News for people."""
        ...

    def log(self, event: FleetEvent, text: str, *, level: Literal["warning"], pool: str) -> None:
        """News for the run's log."""
        ...


class Supervisor:
    """Keeps replicas alive. Lives in the driver's asyncio loop."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff
        self._watches: dict[str, asyncio.Task[None]] = {}

    def take(self, replica: Replica) -> None:
        """Watches a replica that serves from now on."""
        self._watches[replica.name] = asyncio.create_task(self._watch(replica))

    def release(self, replica: Replica) -> None:
        """Watches a replica no more; its death is nobody's business from now on."""
        watch = self._watches.pop(replica.name, None)
        if watch is not None:
            watch.cancel()

    async def close(self) -> None:
        """Watches no more."""
        watches = list(self._watches.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            why = await _illness(replica)
            if replica.state in ("leaving", "left"):
                return  # released while it was looked at
            while why:
                if replica.die():
                    await self._take_out(replica, why)
                    return
                why = await self._revive(replica, why)

    async def _take_out(self, replica: Replica, why: str) -> None:
        await self._staff.discard(replica.actor)
        self._staff.changed()
        self._staff.log("out", why, level="warning", pool=replica.pool)
        self._staff.say(
            f"engine {replica.name} is taken out: it died {SHORT_LIVES} times soon after its start; the last: {why}"
        )

    async def _revive(self, replica: Replica, why: str) -> str:
        """Starts a dead replica anew; returns why that failed, empty when it serves."""
        begun = time.monotonic()
        await self._staff.discard(replica.actor)
        self._staff.changed()
        self._staff.log("restart", why, level="warning", pool=replica.pool)
        self._staff.say(f"engine {replica.name} died: {why}; it is started anew")
        try:
            await self.begin(replica)
        except RayTaskError as error:
            return f"{type(error.cause).__name__}: {error.cause}"[:500]
        except Exception as error:  # whatever it was (a full disk while merging): the next start may fare better
            return f"{type(error).__name__}: {error}"[:500]
        replica.restarts += 1
        self._staff.changed()
        self._staff.say(f"engine {replica.name} serves again after {time.monotonic() - begun:.1f} s")
        return ""

    async def begin(self, replica: Replica, seconds: float | None = None) -> None:
        """Starts a replica's engine, and makes it serve the live policy, which is made ready meanwhile.

        Args:
            replica: has no actor yet, or a dead one.
            seconds: that the start may take; None: as long as it likes.

        Raises:
            EngineError: the engine was not started in time.
        """
        self._staff.launch(replica)
        async with self._staff.policy(replica.pool) as readied:
            try:
                async with asyncio.timeout(seconds) as limit:
                    replica.seconds, replica.node = await self._started(replica)
            except TimeoutError:
                if not limit.expired():
                    raise  # of the engine's own: a download, a lock
                raise EngineError(
                    f"it was not started after {seconds:.0f} s; is there a node with room for it?"
                ) from None
            await self._staff.renew(replica, readied)

    async def _started(self, replica: Replica) -> tuple[float, str]:
        """Starts the engine; where the cluster has no place for it, that is said every minute."""
        starting: asyncio.Future[Any] = asyncio.ensure_future(asked(replica.actor.start))
        try:
            while not (await asyncio.wait([starting], timeout=60.0))[0]:
                self._staff.say(
                    f"engine {replica.name} is not started yet; it waits for a node with room, or its model"
                )
            found: tuple[float, str] = starting.result()
            return found
        finally:
            starting.cancel()


async def _illness(replica: Replica) -> str:
    """Why a replica is dead; empty while it lives. Its load is kept."""
    try:
        # `wait_for` of Python 3.11 swallows a cancellation that comes as the answer does: `close` would wait for ever.
        async with asyncio.timeout(HUNG_SECONDS):
            replica.load = await asked(replica.actor.health)
    except RayActorError as error:
        return f"its actor is no more ({type(error).__name__})"
    except RayTaskError as error:
        return str(error.cause)
    except TimeoutError:
        return f"its host said nothing for {HUNG_SECONDS:.0f} s"
    except Exception as error:  # Ray has more ways to say that an actor is gone, such as its node's memory
        return f"{type(error).__name__}: {error}"[:500]
    return ""
