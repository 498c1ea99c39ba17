"""Counts what passes through an engine: for progress, and into the usage of every request.

Invariant: a metered engine changes nothing of an answer but its usage: the first completion (or score) of a request
carries `requests=1` and the seconds it took, so that sums over a dialogue are exact. An error carries what answers cost
that ended in it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from agents.engines.base import Completion, Engine, Message, Sampling, Score
from agents.errors import EngineError
from agents.records import Dialogue, Usage

Bill = dict[str, Usage]
"""What was spent for each dialogue."""
Notes = dict[str, set[str]]
"""What servers refused to be told while a dialogue was held, as `role: field`."""


class Meter:
    """Counts of one classroom. Seconds are sums; those of dialogues are added when a dialogue has ended."""

    def __init__(self) -> None:
        self.turns = self.requests = self.prompt_tokens = self.completion_tokens = self.scored = 0
        self.cost = self.engine_seconds = self.dialogue_seconds = 0.0
        self.dialogue_request_seconds = self.asking_seconds = 0.0
        self._asking: dict[str, _Asking] = {}

    def snapshot(self) -> dict[str, int]:
        """Turns and tokens so far."""
        return {name: getattr(self, name) for name in ("turns", "prompt_tokens", "completion_tokens", "scored")}

    def begin(self, dialogue_id: str) -> float:
        """A request of a dialogue begins; returns the time."""
        now = time.monotonic()
        asking = self._asking.get(dialogue_id)
        if asking is None:
            asking = self._asking[dialogue_id] = _Asking()
        if not asking.open:
            asking.since = now
        asking.open += 1
        return now

    def end(self, dialogue_id: str, begun: float) -> float:
        """It has ended; returns the seconds it took."""
        now = time.monotonic()
        asking = self._asking.get(dialogue_id)
        if asking is not None:
            asking.open -= 1
            if not asking.open:
                asking.seconds += now - asking.since
        self.requests += 1
        self.engine_seconds += now - begun
        return now - begun

    def ended(self, dialogue: Dialogue) -> None:
        """A dialogue has ended."""
        self.dialogue_seconds += dialogue.seconds
        self.dialogue_request_seconds += dialogue.usage.seconds
        asking = self._asking.pop(dialogue.id, None)
        self.asking_seconds += asking.seconds if asking else 0.0


class _Asking:
    """The time in which at least one request of a dialogue was open."""

    __slots__ = ("open", "seconds", "since")

    def __init__(self) -> None:
        self.open, self.since, self.seconds = 0, 0.0, 0.0


class MeteredEngine:
    """An engine that counts turns and tokens on its way, and prices them where its pool has a price."""

    def __init__(self, engine: Engine, meter: Meter, price: tuple[float, float] = (0.0, 0.0)) -> None:
        self._engine, self._meter, self._price = engine, meter, price

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`."""
        begun = self._meter.begin(dialogue_id)
        try:
            found = await self._engine.generate(messages, sampling, dialogue_id=dialogue_id)
        except EngineError as error:
            seconds = self._meter.end(dialogue_id, begun)
            if error.usage != Usage():
                self._count([error.usage])
                error.usage = self._spent(error.usage, seconds, first=True)
            raise
        except BaseException:
            self._meter.end(dialogue_id, begun)
            raise
        seconds = self._meter.end(dialogue_id, begun)
        self._meter.turns += 1
        self._count([completion.usage for completion in found])
        return [replace(one, usage=self._spent(one.usage, seconds, first=i == 0)) for i, one in enumerate(found)]

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`."""
        begun = self._meter.begin(dialogue_id)
        try:
            found = await self._engine.score(messages, continuations, dialogue_id=dialogue_id)
        finally:
            seconds = self._meter.end(dialogue_id, begun)
        self._meter.scored += len(found)
        self._meter.prompt_tokens += sum(score.usage.prompt_tokens for score in found)
        return [replace(one, usage=self._spent(one.usage, seconds, first=i == 0)) for i, one in enumerate(found)]

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._engine.close()

    def _count(self, spent: Sequence[Usage]) -> None:
        self._meter.prompt_tokens += sum(usage.prompt_tokens for usage in spent)
        self._meter.completion_tokens += sum(usage.completion_tokens for usage in spent)

    def _spent(self, usage: Usage, seconds: float, *, first: bool) -> Usage:
        """The usage with its price; the first answer of a request carries the request and its seconds."""
        cost = (usage.prompt_tokens * self._price[0] + usage.completion_tokens * self._price[1]) / 1e6
        request = Usage(requests=1, seconds=seconds) if first else Usage()
        self._meter.cost += usage.cost + cost
        return usage + request + Usage(cost=cost)


class NotedEngine:
    """An engine of a role; what its server refused to be told is noted by dialogue."""

    def __init__(self, engine: Engine, role: str, notes: Notes) -> None:
        self._engine, self._role, self._notes = engine, role, notes

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`."""
        found = await self._engine.generate(messages, sampling, dialogue_id=dialogue_id)
        if found[0].fallbacks:
            self._notes.setdefault(dialogue_id, set()).update(f"{self._role}: {name}" for name in found[0].fallbacks)
        return found

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`."""
        return await self._engine.score(messages, continuations, dialogue_id=dialogue_id)

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._engine.close()


class BilledEngine:
    """An engine of which is kept by dialogue what was spent: it is paid also where nothing comes of the answer, because
    a time limit, another error or a cancelled neighbour ends what asked for it."""

    def __init__(self, engine: Engine, bill: Bill) -> None:
        self._engine, self._bill = engine, bill

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`."""
        try:
            found = await self._engine.generate(messages, sampling, dialogue_id=dialogue_id)
        except EngineError as error:
            self._add(dialogue_id, [error.usage])
            raise
        self._add(dialogue_id, [completion.usage for completion in found])
        return found

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`."""
        try:
            found = await self._engine.score(messages, continuations, dialogue_id=dialogue_id)
        except EngineError as error:
            self._add(dialogue_id, [error.usage])
            raise
        self._add(dialogue_id, [score.usage for score in found])
        return found

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._engine.close()

    def _add(self, dialogue_id: str, spent: Sequence[Usage]) -> None:
        self._bill[dialogue_id] = sum(spent, self._bill.get(dialogue_id, Usage()))
