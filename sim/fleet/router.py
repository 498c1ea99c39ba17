"""Sends each request of a classroom to a replica of a pool, and again to another when that one dies.

A dialogue stays with the replica that holds its prefix. It moves when that replica dies, is taken out, or has so much
more in hand than the least busy one that reading the dialogue anew there is cheaper than waiting.

Invariant: a dialogue's request is answered by one replica; a request whose replica died is sent again at most `TRIES`
times. While no replica serves, requests wait, at most `patience_seconds`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from agents.engines.base import Completion, Message, Sampling, Score
from agents.errors import EngineDied, EngineUnavailable
from sim.fleet.line import Line
from sim.fleet.wire import HostAddress

TRIES = 5
"""Times a request is sent; one that kills every engine it meets must end."""
SLACK = 16
"""Requests a replica may have in hand beyond twice the least busy one's before dialogues move away from it."""
REOPEN_SECONDS = 3.0
"""After so long the supervisor has noticed a dead host, and a host that is still named is alive."""
REMEMBERED = 50_000
"""Dialogues whose replica is remembered; a forgotten one is placed anew, which costs one prefix."""


class Router:
    """An `Engine` whose replicas live in actors."""

    def __init__(self, pool: str, room: str, *, patience_seconds: float = 600.0) -> None:
        self._pool, self._room, self._patience = pool, room, patience_seconds
        self._lines: dict[str, Line] = {}
        self._named: dict[str, HostAddress] = {}
        self._placed: OrderedDict[str, str] = OrderedDict()
        self._changed = asyncio.Event()
        self._lost = ""
        self.rerouted = 0
        """Requests sent again because their replica died."""
        self.moved = 0
        """Dialogues that went to another replica while theirs was alive."""

    @property
    def lines(self) -> list[Line]:
        """The connections to replicas that are alive and stay."""
        return [line for key, line in self._lines.items() if key in self._named and not line.dead]

    def update(self, hosts: Sequence[HostAddress], lost: str = "", leaving: Sequence[HostAddress] = ()) -> None:
        """Takes the replicas that serve now; those no longer named are let go.

        Args:
            hosts: the replicas.
            lost: why there will be none.
            leaving: replicas that finish what they were asked and are asked nothing more.
        """
        named = self._named = {host.key: host for host in hosts}
        for key in self._lines.keys() - named.keys() - {host.key for host in leaving}:
            self._lines.pop(key).close()
        for key in named:
            if key not in self._lines or self._lines[key].dead:
                self._lines[key] = Line(named[key], self._room)
        self._lost = lost
        self._changed.set()

    # Thousands of requests wait in here, so neither of the two puts a frame of its own around `_ask`.
    def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> Coroutine[Any, Any, list[Completion]]:
        """See `Engine.generate`. Raises EngineUnavailable where no replica answers any more."""
        return self._ask(messages, dialogue_id, sampling, ())

    def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> Coroutine[Any, Any, list[Score]]:
        """See `Engine.score`. Raises EngineUnavailable where no replica answers any more."""
        return self._ask(messages, dialogue_id, None, continuations)

    async def close(self) -> None:
        """Ends the connections; the pools close their own actors."""
        self.update([])

    async def _ask(
        self, messages: Sequence[Message], dialogue_id: str, sampling: Sampling | None, continuations: Sequence[str]
    ) -> Any:
        why = ""
        for _ in range(TRIES):
            line = await self._line(dialogue_id)
            try:
                return await line.ask(messages, dialogue_id, sampling=sampling, continuations=continuations)
            except EngineDied as error:
                self.rerouted += 1
                why = str(error)
        raise EngineUnavailable(f"pool {self._pool}: {TRIES} engines died over one request ({why})")

    async def _line(self, dialogue_id: str) -> Line:
        """The replica of a dialogue, once there is one."""
        self._reopen()
        if not self.lines:
            await self._serving()
        held = self._lines.get(self._placed.get(dialogue_id, ""))
        least = min(self.lines, key=lambda line: line.pressure)
        if held is None or held.dead or held.host.key not in self._named:
            held = least
        elif held.pressure > 2 * least.pressure + SLACK:
            held, self.moved = least, self.moved + 1
        self._placed[dialogue_id] = held.host.key
        self._placed.move_to_end(dialogue_id)
        if len(self._placed) > REMEMBERED:
            self._placed.popitem(last=False)
        return held

    def _reopen(self) -> None:
        """A line may die while its host lives; where the host is still named after a while, there is a new one."""
        late = time.monotonic() - REOPEN_SECONDS
        for key, line in self._lines.items():
            if line.dead and line.died < late and key in self._named:
                self._lines[key] = Line(self._named[key], self._room)

    async def _serving(self) -> None:
        """Waits until a replica serves."""
        try:
            async with asyncio.timeout(self._patience):
                while not self.lines:
                    if self._lost:
                        raise EngineUnavailable(f"pool {self._pool} has no engine any more: {self._lost}")
                    self._changed.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(REOPEN_SECONDS):
                            await self._changed.wait()
                    self._reopen()
        except TimeoutError:
            raise EngineUnavailable(
                f"pool {self._pool}: no engine served for {self._patience:.0f} s; see the run's log for its deaths"
            ) from None
