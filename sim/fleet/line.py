"""One classroom's connection to one engine host: requests go out and answers come back in batches.

Invariant: every `ask` ends once, with the answer, the engine's error, or EngineDied when the host is no more. At most
one `submit` and one `collect` are under way, so batches grow by themselves when the calls get slow.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from itertools import count, islice
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from agents.engines.base import Message, Sampling
from agents.engines.load import EngineLoad
from agents.errors import EngineDied
from sim.fleet.wire import Answer, Collected, HostAddress, Request

LINGER_SECONDS = 0.002
"""How long requests are gathered once there is one."""
BATCH_REQUESTS = 512
"""Most requests of one call, which keeps a call's argument at a few megabytes."""


class Line:
    """A connection to a host. Used from one asyncio loop."""

    def __init__(self, host: HostAddress, room: str) -> None:
        self.host = host
        self.load = EngineLoad()
        self.dead = False
        # A box of its own at the host: answers to an earlier line of this classroom are none of this one's.
        self._actor, self._box = host.actor, f"{room}/{uuid.uuid4().hex[:8]}"
        self.died = 0.0
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._out: list[Request] = []
        self._cancelled: list[int] = []
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._others = 0

    @property
    def open(self) -> int:
        """Requests of this classroom that have no answer yet."""
        return len(self._waiting)

    @property
    def pressure(self) -> int:
        """Requests the host has in hand, of this classroom and, as of the last answer, of others."""
        return len(self._waiting) + self._others

    async def ask(
        self,
        messages: Sequence[Message],
        dialogue_id: str,
        *,
        sampling: Sampling | None = None,
        continuations: Sequence[str] = (),
    ) -> Any:
        """The completions of a conversation, or the scores of continuations.

        Raises:
            EngineDied: the host is no more; nothing came of the request.
            TutorloopError: what the engine raised.
        """
        if self.dead:
            raise EngineDied(f"engine host {self.host.key} died")
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._fetch())]
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._out.append(Request(number, messages, dialogue_id, sampling, continuations))
        self._some.set()
        try:
            return await future
        except asyncio.CancelledError:
            unsent = [one for one in self._out if one.number != number]
            if len(unsent) == len(self._out):
                self._cancelled.append(number)
                self._some.set()
            self._out = unsent
            raise
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ends the connection; what is still asked ends with EngineDied."""
        self._die(f"the line to engine host {self.host.key} was closed")
        for task in self._tasks:
            task.cancel()

    async def _send(self) -> None:
        while not self.dead:
            await self._some.wait()
            await asyncio.sleep(LINGER_SECONDS)
            self._some.clear()
            while (self._out or self._cancelled) and not self.dead:
                cancelled, self._cancelled = self._cancelled, []
                batch, self._out = list(islice(self._out, BATCH_REQUESTS)), self._out[BATCH_REQUESTS:]
                await self._call(self._actor.submit, self._box, batch, cancelled)

    async def _fetch(self) -> None:
        while not self.dead:
            found: Collected | None = await self._call(self._actor.collect, self._box)
            if found is not None:
                self.load = found.load
                for answer in found.answers:
                    self._settle(answer)
                self._others = max(0, found.in_hand - len(self._waiting))

    async def _call(self, method: Any, *arguments: Any) -> Any:
        """A call of the host; whatever goes wrong with it is the end of the line, and nobody waits for ever."""
        try:
            return await method.remote(*arguments)
        except RayActorError as error:
            self._die(f"an engine host died: {type(error).__name__}")
        except Exception as error:
            # Ray's own message holds a traceback with paths and addresses, which is no record's business.
            cause = error.cause if isinstance(error, RayTaskError) else error
            self._die(f"an engine host failed: {type(cause).__name__}: {cause}")
        return None

    def _settle(self, answer: Answer) -> None:
        future = self._waiting.get(answer.number)
        if future is None or future.done():
            return
        if isinstance(answer.error, EngineDied):
            self._die(str(answer.error))
        elif answer.error is not None:
            future.set_exception(answer.error)
        else:
            future.set_result(answer.found)

    def _die(self, why: str) -> None:
        if not self.dead:
            self.dead, self.died = True, time.monotonic()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(EngineDied(why))
        self._out.clear()
        self._some.set()
