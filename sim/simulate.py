"""Runs the episodes of one or more phases in classrooms and stores dialogues as they finish.

Invariant: only episodes that are not stored yet are run, so the same call after an interruption completes the set; what
was finished is stored within `run.part_seconds`, also when the run is stopped.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agents.errors import EngineError
from agents.records import Dialogue
from sim.budget import Budget, TutorBreaker
from sim.config import Config
from sim.fleet.chaos import chaotic
from sim.fleet.dispatch import Batch
from sim.fleet.rooms import Rooms
from sim.pools import Pools
from sim.progress import Teller
from sim.sight.records import RoomCount
from sim.store import RunStore
from sim.writer import Writer

__all__ = ["Batch", "Guard", "Outcome", "simulate"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call of `simulate`."""

    failed: int = 0
    stopped: str = ""
    """Why the run stopped before its end, by budget; empty: it did not."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Tutors that were given up, with the reason."""


async def simulate(
    batches: Sequence[Batch],
    *,
    what: str,
    config: Config,
    pools: Pools,
    store: RunStore,
    teller: Teller,
) -> Outcome:
    """Runs what is missing of the batches, within the budget of a run.

    Args:
        batches: the episodes.
        what: the phase, for people.
        config: the run's.
        pools: engines that are started, and whether deaths are made on purpose.
        store: where dialogues are stored.
        teller: told of progress.

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
    writer = Writer(store, config, teller.say)
    try:
        async with (
            Rooms(config, pools, teller.say) as rooms,
            _drained_by_interrupt(guard, rooms, teller),
            chaotic(rooms, pools, seed=config.seed, say=teller.say),
        ):
            with teller.counting(what, total, total - left) as tell:
                async with _ticking(rooms, guard, teller, lambda counts: tell(total - left + writer.added, counts)):
                    async for dialogues in rooms.teach(missing):
                        await writer.add(dialogues)
                        await guard.watch(dialogues, rooms, teller)
    finally:
        await writer.close()
    if guard.interrupted:
        raise KeyboardInterrupt
    if writer.first and writer.failed == writer.added and not finished and (writer.added > 2 or guard.given_up):
        first = writer.first
        raise EngineError(
            f"{what}: all {writer.added} dialogues failed; the first: {first.error} at {first.where}: {first.message}"
        )
    if writer.failed:
        teller.say(f"{what}: {writer.failed} of {writer.added} dialogues failed; they are stored with their error")
    return Outcome(writer.failed, guard.stopped, guard.given_up)


@asynccontextmanager
async def _drained_by_interrupt(guard: Guard, rooms: Rooms, teller: Teller) -> AsyncIterator[None]:
    """The first Ctrl-C (or the SIGTERM of `ray job stop`) finishes what is under way; a second one ends at once."""
    loop, errands = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    signals = (signal.SIGINT, signal.SIGTERM)

    def drain() -> None:
        guard.interrupted = True
        forget()
        teller.say("stopping: dialogues under way are finished first; Ctrl-C again stops at once")
        errands.add(asyncio.create_task(rooms.drain()))

    def forget() -> None:
        for one in signals:
            loop.remove_signal_handler(one)

    try:
        for one in signals:
            loop.add_signal_handler(one, drain)
    except (NotImplementedError, RuntimeError, ValueError):
        pass  # not the main thread: whoever owns it handles signals
    try:
        yield
    finally:
        forget()


@asynccontextmanager
async def _ticking(rooms: Rooms, guard: Guard, teller: Teller, tell: Any) -> AsyncIterator[None]:
    """Tells the counts and looks at the caps every second, also while no dialogue has finished yet."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(1.0)
            tell(_totals(await rooms.counts()))
            await guard.check(rooms, teller)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _totals(counts: Sequence[RoomCount]) -> dict[str, int]:
    return {name: sum(getattr(count, name) for count in counts) for name in ("turns", "completion_tokens")}


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
        self.interrupted = False

    async def watch(self, dialogues: Sequence[Dialogue], rooms: Rooms, teller: Teller) -> None:
        """Counts finished dialogues, and tells the classrooms what to begin no more of."""
        if not self._on:
            return
        for dialogue in dialogues:
            self._budget.add(dialogue)
            # What a student or a judge does wrong is no reason to give a tutor up.
            if dialogue.failure is None or dialogue.failure.where.startswith("tutor"):
                self._breaker.add(dialogue)
        for tutor, reason in self._breaker.given_up().items():
            if tutor not in self.given_up:
                self.given_up[tutor] = reason
                teller.say(f"tutor {tutor!r} is given up: {reason}; the others go on")
                await rooms.give_up(tutor)
        await self.check(rooms, teller)

    async def check(self, rooms: Rooms, teller: Teller) -> None:
        """Drains the classrooms where a cap is reached."""
        if self._on and not self.stopped and (reason := self._budget.exhausted()):
            self.stopped = reason
            teller.say(f"{reason}; dialogues under way are finished, no more are begun")
            await rooms.drain()

    def allowed(self, missing: list[Batch]) -> list[Batch]:
        """What a cap on dialogues leaves of the batch of a run: exactly so many, not all that fit in flight."""
        if not self._on or not self._budget.left:
            return missing
        return [Batch(batch.specs[: self._budget.left], batch.candidates) for batch in missing]
