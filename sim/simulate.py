"""Runs the episodes of one or more phases in classrooms and stores dialogues as they finish.

Invariant: only episodes that are not stored yet are run, so the same call after an interruption completes the set; what
was finished is stored within `run.part_seconds`, also when the run is stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import ray

from agents.errors import EngineError
from agents.records import Dialogue, EpisodeSpec
from sim.classroom import Classroom
from sim.config import Config
from sim.pools import Pools
from sim.progress import Teller
from sim.store import RunStore


class Batch:
    """Episodes that sample the same number of candidates per turn."""

    def __init__(self, specs: Sequence[EpisodeSpec], candidates: int) -> None:
        self.specs, self.candidates = list(specs), candidates


class _Writer:
    """Stores dialogues in parts: when a part is full or old enough, and at the end."""

    def __init__(self, store: RunStore, config: Config) -> None:
        self._store, self._config = store, config
        self._held: list[Dialogue] = []
        self._since = time.monotonic()
        self.added = self.failed = 0

    async def add(self, dialogue: Dialogue) -> None:
        self._held.append(dialogue)
        self.added += 1
        self.failed += dialogue.failure is not None
        old = time.monotonic() - self._since > self._config.run.part_seconds
        if old or len(self._held) >= self._config.run.part_dialogues:
            await self.flush()

    async def flush(self) -> None:
        held, self._held, self._since = self._held, [], time.monotonic()
        if held:
            await asyncio.to_thread(self._store.append, held)


async def simulate(
    batches: Sequence[Batch], *, what: str, config: Config, pools: Pools, store: RunStore, teller: Teller
) -> int:
    """Runs what is missing of the batches; returns how many dialogues failed.

    Raises:
        EngineError: every dialogue of a batch of three or more failed: nothing sensible can follow.
    """
    stored = store.ids()
    total = sum(len(batch.specs) for batch in batches)
    missing = [Batch([spec for spec in b.specs if spec.id not in stored], b.candidates) for b in batches]
    left = sum(len(batch.specs) for batch in missing)
    if not left:
        teller.say(f"{what}: all {total} dialogues are stored already")
        return 0
    teller.say(f"{what}: {left} dialogues" + (f" ({total - left} stored already)" if left < total else ""))
    actor: Any = ray.remote(Classroom)
    rooms = [
        actor.options(num_cpus=0, max_concurrency=1000).remote(config, pools.hosts_by_role())
        for _ in range(config.run.classrooms)
    ]
    writer = _Writer(store, config)
    try:
        with teller.counting(what, total, total - left) as tell:
            ticker = asyncio.create_task(_tick(rooms, lambda counts: tell(total - left + writer.added, counts)))
            async for dialogue in _finished(rooms, missing):
                await writer.add(dialogue)
            ticker.cancel()
    finally:
        await writer.flush()
        for room in rooms:
            ray.kill(room)
    if writer.failed == left and left > 2:
        last = next(d.failure for d in store.dialogues() if d.failure is not None)
        raise EngineError(
            f"{what}: all {left} dialogues failed; the first: {last.error} at {last.where}: {last.message}"
        )
    if writer.failed:
        teller.say(f"{what}: {writer.failed} of {left} dialogues failed; they are stored with their error")
    return writer.failed


async def _tick(rooms: Sequence[Any], tell: Callable[[dict[str, int]], None]) -> None:
    """Tells the counts every second, also while no dialogue has finished yet."""
    while True:
        await asyncio.sleep(1.0)
        tell(await _counts(rooms))


async def _counts(rooms: Sequence[Any]) -> dict[str, int]:
    found: list[dict[str, int]] = await asyncio.gather(*(room.progress.remote() for room in rooms))
    return {key: sum(counts[key] for counts in found) for key in found[0]}


async def _finished(rooms: Sequence[Any], batches: Sequence[Batch]) -> AsyncIterator[Dialogue]:
    """Dialogues of all classrooms in the order they finish; a bounded queue holds the classrooms back."""
    queue: asyncio.Queue[Dialogue | BaseException | None] = asyncio.Queue(maxsize=64)

    async def drain(room: Any, specs: Sequence[EpisodeSpec], candidates: int) -> None:
        try:
            async for reference in room.teach.options(num_returns="streaming").remote(specs, candidates):
                await queue.put(await reference)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    shares = [
        (room, batch.specs[i :: len(rooms)], batch.candidates)
        for batch in batches
        for i, room in enumerate(rooms)
        if batch.specs[i :: len(rooms)]
    ]
    tasks = [asyncio.create_task(drain(*share)) for share in shares]
    try:
        open_streams = len(tasks)
        while open_streams:
            found = await queue.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                open_streams -= 1
            else:
                yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
