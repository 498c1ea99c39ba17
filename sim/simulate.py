"""Runs the episodes of one or more phases in classrooms and stores dialogues as they finish.

Invariant: only episodes that are not stored yet are run, so the same call after an interruption completes the set; what
was finished is stored within `run.part_seconds`, also when the run is stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray

from agents.errors import EngineError
from agents.records import Dialogue, EpisodeSpec, Failure
from sim.budget import Budget, TutorBreaker
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
        self.first: Failure | None = None
        """The first failure."""

    async def add(self, dialogue: Dialogue) -> None:
        self._held.append(dialogue)
        self.added += 1
        self.failed += dialogue.failure is not None
        self.first = self.first or dialogue.failure
        old = time.monotonic() - self._since > self._config.run.part_seconds
        if old or len(self._held) >= self._config.run.part_dialogues:
            await self.flush()

    async def flush(self) -> None:
        held, self._held, self._since = self._held, [], time.monotonic()
        if held:
            await asyncio.to_thread(self._store.append, held)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call of `simulate`."""

    failed: int = 0
    stopped: str = ""
    """Why the run stopped before its end, by budget; empty: it did not."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Tutors that were given up, with the reason."""


async def simulate(
    batches: Sequence[Batch], *, what: str, config: Config, pools: Pools, store: RunStore, teller: Teller
) -> Outcome:
    """Runs what is missing of the batches, within the budget of a run.

    Raises:
        EngineError: every dialogue of a batch of three or more failed: nothing sensible can follow.
    """
    stored = store.ids()
    total = sum(len(batch.specs) for batch in batches)
    missing = [Batch([spec for spec in b.specs if spec.id not in stored], b.candidates) for b in batches]
    left = sum(len(batch.specs) for batch in missing)
    if not left:
        teller.say(f"{what}: all {total} dialogues are stored already")
        return Outcome()
    finished = store.ids(with_failed=False) & {spec.id for batch in batches for spec in batch.specs}
    guard = Guard(config, store)
    if guard.stopped:
        teller.say(f"{what}: {guard.stopped}; {left} dialogues are not run. Raise `budget` and give the command again")
        return Outcome(stopped=guard.stopped)
    missing = guard.allowed(missing)
    teller.say(f"{what}: {left} dialogues" + (f" ({total - left} stored already)" if left < total else ""))
    actor: Any = ray.remote(Classroom)
    rooms = [
        actor.options(num_cpus=0, max_concurrency=1000).remote(config, pools.hosts_by_pool())
        for _ in range(config.run.classrooms)
    ]
    writer = _Writer(store, config)
    try:
        with teller.counting(what, total, total - left) as tell:
            shown = partial(_shown, tell, total - left, writer)
            ticker = asyncio.create_task(_tick(rooms, shown, partial(guard.check, rooms, teller)))
            async for dialogue in _finished(rooms, missing):
                await writer.add(dialogue)
                await guard.watch(dialogue, rooms, teller)
            ticker.cancel()
    finally:
        await writer.flush()
        for room in rooms:
            ray.kill(room)
    if writer.first and writer.failed == writer.added and not finished and (writer.added > 2 or guard.given_up):
        first = writer.first
        raise EngineError(
            f"{what}: all {writer.added} dialogues failed; the first: {first.error} at {first.where}: {first.message}"
        )
    if writer.failed:
        teller.say(f"{what}: {writer.failed} of {writer.added} dialogues failed; they are stored with their error")
    return Outcome(writer.failed, guard.stopped, guard.given_up)


class Guard:
    """Ends a run cleanly: at a cap of the budget, and for a tutor that only fails. Loops are not cut."""

    def __init__(self, config: Config, store: RunStore) -> None:
        self._on = config.kind == "run"
        self._budget, self._breaker = Budget(config.budget), TutorBreaker()
        if self._on and any((config.budget.dialogues, config.budget.tokens, config.budget.cost)):
            for dialogue in store.dialogues():
                self._budget.add(dialogue)
        self.stopped = self._budget.exhausted() if self._on else ""
        self.given_up: dict[str, str] = {}

    async def watch(self, dialogue: Dialogue, rooms: Sequence[Any], teller: Teller) -> None:
        """Counts a finished dialogue, and tells the classrooms what to begin no more of."""
        if not self._on:
            return
        self._budget.add(dialogue)
        # What a student or a judge does wrong is no reason to give a tutor up.
        if dialogue.failure is None or dialogue.failure.where.startswith("tutor"):
            self._breaker.add(dialogue)
        for tutor, reason in self._breaker.given_up().items():
            if tutor not in self.given_up:
                self.given_up[tutor] = reason
                teller.say(f"tutor {tutor!r} is given up: {reason}; the others go on")
                await asyncio.gather(*(room.give_up.remote(tutor) for room in rooms))
        await self.check(rooms, teller)

    async def check(self, rooms: Sequence[Any], teller: Teller) -> None:
        """Drains the classrooms where a cap is reached."""
        if self._on and not self.stopped and (reason := self._budget.exhausted()):
            self.stopped = reason
            teller.say(f"{reason}; dialogues under way are finished, no more are begun")
            await asyncio.gather(*(room.drain.remote() for room in rooms))

    def allowed(self, missing: list[Batch]) -> list[Batch]:
        """What a cap on dialogues leaves of the batch of a run: exactly so many, not all that fit in flight."""
        if not self._on or not self._budget.left:
            return missing
        return [Batch(batch.specs[: self._budget.left], batch.candidates) for batch in missing]


async def _tick(
    rooms: Sequence[Any], tell: Callable[[dict[str, int]], None], check: Callable[[], Awaitable[None]]
) -> None:
    """Tells the counts and looks at the clock every second, also while no dialogue has finished yet."""
    while True:
        await asyncio.sleep(1.0)
        tell(await _counts(rooms))
        await check()


def _shown(tell: Callable[[int, dict[str, int]], None], before: int, writer: _Writer, counts: dict[str, int]) -> None:
    tell(before + writer.added, counts)


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
