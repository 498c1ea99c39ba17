"""Stores dialogues in parts beside the run: when enough are held, or they are old enough, and at the end.

Invariant: a dialogue that was added is in a part or in memory until it is; a store that cannot write is tried again and
again while the run is held back, and only then is it an error. Parts are written one after the other, and grow by
themselves where dialogues come faster than parts are written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from agents.errors import StoreError
from agents.records import Dialogue, Failure
from sim.config import Config
from sim.progress import Teller
from sim.sight.records import StoreCount
from sim.storage.store import RunStore

RETRY_SECONDS = 5.0
"""Between two tries of a store that cannot write."""
HELD_DIALOGUES = 1000
"""Dialogues in memory at which whoever adds more has to wait: tens of megabytes. A disk may take a second for a part,
however small it is, so a part holds all that came meanwhile."""


class Writer:
    """Stores dialogues. `run` it as a task; `close` it at the end, however the run ends."""

    def __init__(self, store: RunStore, config: Config, teller: Teller) -> None:
        self._store, self._config, self._teller = store, config.run, teller
        self._held: list[Dialogue] = []
        self._writing: list[Dialogue] = []
        self._since = time.monotonic()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._parts = self._stored = 0
        self._seconds = 0.0
        self.added = self.failed = 0
        self.first: Failure | None = None
        """The first failure."""

    @property
    def count(self) -> StoreCount:
        """What was stored so far."""
        return StoreCount(self._parts, self._stored, self._seconds, len(self._held) + len(self._writing))

    async def add(self, dialogues: Sequence[Dialogue]) -> None:
        """Takes finished dialogues; waits while too many are held. Raises StoreError where they cannot be stored."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        async with self._changed:
            bound = max(HELD_DIALOGUES, self._config.part_dialogues, len(dialogues))
            await self._changed.wait_for(lambda: len(self._held) + len(dialogues) <= bound or self._broken())
            self._check()
            self._held.extend(dialogues)
            self._changed.notify_all()
        self.added += len(dialogues)
        for dialogue in dialogues:
            self.failed += dialogue.failure is not None
            self.first = self.first or dialogue.failure
            if (failure := dialogue.failure) is not None:
                facts = {"error": failure.error, "where": failure.where}
                self._teller.log("failed", failure.message, level="warning", dialogue=dialogue.id, **facts)

    async def close(self) -> None:
        """Stores what is held. Raises StoreError where that cannot be done."""
        if self._task is None:
            return
        self._closing = True
        async with self._changed:
            self._changed.notify_all()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()
        elif left := [*self._writing, *self._held]:  # the whole loop is being ended; storing twice is safe
            self._store.append(left)

    def _broken(self) -> bool:
        return self._task is not None and self._task.done()

    def _check(self) -> None:
        if self._task is not None and self._task.done():
            self._task.result()

    def _due(self) -> bool:
        return self._closing or len(self._held) >= self._config.part_dialogues

    async def _run(self) -> None:
        try:
            while not (self._closing and not self._held):
                async with self._changed:
                    try:
                        async with asyncio.timeout(self._config.part_seconds):
                            await self._changed.wait_for(self._due)
                    except TimeoutError:
                        pass
                    self._writing, self._held = self._held, []
                    self._changed.notify_all()
                if self._writing:
                    await self._store_part()
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _store_part(self) -> None:
        begun, told = time.monotonic(), False
        while True:
            try:
                await asyncio.to_thread(self._store.append, self._writing)
                break
            except StoreError as error:
                if time.monotonic() - begun > self._config.store_wait_seconds:
                    raise
                if not told:
                    held = len(self._writing) + len(self._held)
                    self._teller.say(f"{error}; the run waits, {held} dialogues are in memory")
                    self._teller.log("storing", str(error), level="error", held=held)
                told = True
                await asyncio.sleep(RETRY_SECONDS)
        if told:
            self._teller.say("the run folder can be written again; the run goes on")
        self._parts, self._stored = self._parts + 1, self._stored + len(self._writing)
        self._seconds += time.monotonic() - begun
        self._writing = []
