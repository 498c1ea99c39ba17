"""Runs the episodes of one or more phases in classrooms and stores dialogues as they finish.

Invariant: only episodes that are not stored yet are run, so the same call after an interruption completes the set; what
was finished is stored within `run.part_seconds`, also when the run is stopped.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from agents.errors import EngineError, NoReply, RateLimited
from agents.records import Dialogue
from sim import signals
from sim.budget import Budget, TutorBreaker
from sim.config import Config
from sim.fleet.chaos import chaotic
from sim.fleet.dispatch import Batch
from sim.fleet.rooms import Rooms
from sim.pools import Pools
from sim.progress import Teller
from sim.sight.watch import Watch
from sim.storage.store import RunStore
from sim.storage.writer import Writer

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
    phase = _Phase(batches, config, store)
    if not phase.left:
        teller.say(f"{what}: all {phase.total} dialogues are stored already")
        return Outcome()
    guard = Guard(config, store, teller)
    if guard.stopped:
        left = f"{phase.left} dialogues are not run. Raise `budget` and give the command again"
        teller.say(f"{what}: {guard.stopped}; {left}")
        return Outcome(stopped=guard.stopped)
    teller.say(f"{what}: {phase.left} dialogues" + (f" ({phase.before} stored already)" if phase.before else ""))
    writer = Writer(store, config, teller)
    try:
        await _hold(phase, what, config, pools, guard, writer, teller)
    finally:
        await writer.close()
    if guard.interrupted:
        raise KeyboardInterrupt
    if guard.lost:
        raise EngineError(f"{what}: {guard.lost}. The same command with --retry-failed goes on")
    phase.conclude(what, writer, guard, teller)
    return Outcome(writer.failed, guard.stopped, guard.given_up)


class _Phase:
    """What is to be held, and what is left of it."""

    def __init__(self, batches: Sequence[Batch], config: Config, store: RunStore) -> None:
        stored = store.ids()
        self.missing = [Batch([spec for spec in b.specs if spec.id not in stored], b.candidates) for b in batches]
        self.total = sum(len(batch.specs) for batch in batches)
        self.left = sum(len(batch.specs) for batch in self.missing)
        self.before = self.total - self.left
        ids = {spec.id for batch in batches for spec in batch.specs}
        self._some_finished = bool(store.ids(with_failed=False) & ids)

    def conclude(self, what: str, writer: Writer, guard: Guard, teller: Teller) -> None:
        """Says how many failed. Raises EngineError where all of three or more did."""
        first, all_failed = writer.first, writer.failed == writer.added and not self._some_finished
        if first and all_failed and (writer.added > 2 or guard.given_up):
            raise EngineError(
                f"{what}: all {writer.added} dialogues failed; the first: {first.error} at {first.where}: "
                f"{first.message}"
            )
        if writer.failed:
            teller.say(f"{what}: {writer.failed} of {writer.added} dialogues failed; they are stored with their error")


async def _hold(
    phase: _Phase, what: str, config: Config, pools: Pools, guard: Guard, writer: Writer, teller: Teller
) -> None:
    """Holds what is missing in classrooms, until all is written or the run is stopped."""
    async with (
        Rooms(config, pools, teller) as rooms,
        _drained_by_interrupt(guard, rooms, teller),
        chaotic(rooms, pools, seed=config.seed, say=teller.say),
    ):
        with teller.watching(what, phase.total, phase.before) as watch:
            look = partial(_look, watch, phase.before, writer, rooms, pools)
            async with _ticking(look, partial(guard.check, rooms)):
                told: set[str] = set()
                async for dialogues in rooms.teach(guard.allowed(phase.missing)):
                    await writer.add(dialogues)
                    _tell_fallbacks(dialogues, told, teller)
                    await guard.watch(dialogues, rooms)
            await look()


def _tell_fallbacks(dialogues: Sequence[Dialogue], told: set[str], teller: Teller) -> None:
    """Says once what a server refused to be told: how it sampled is then not what the config says."""
    for note in sorted({note for dialogue in dialogues for note in dialogue.fallbacks} - told):
        role, _, name = note.partition(": ")
        told.add(note)
        teller.say(f"the server of the {role} refuses {name}: it is asked without, and the report says so")


async def _look(watch: Watch, before: int, writer: Writer, rooms: Rooms, pools: Pools) -> None:
    """Takes a reading of everything that counts."""
    watch.tell(
        done=before + writer.added,
        failed=writer.failed,
        rooms=await rooms.counts(),
        replicas=[replica.seen() for replica in pools.replicas()],
        store=writer.count,
    )


@asynccontextmanager
async def _drained_by_interrupt(guard: Guard, rooms: Rooms, teller: Teller) -> AsyncIterator[None]:
    """The first signal that asks to stop (sim/signals.py) finishes what is under way; a second one ends at once."""
    loop, errands = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def drain() -> None:
        guard.interrupted = True
        teller.say("stopping: dialogues under way are finished first; Ctrl-C again stops at once")
        errands.add(asyncio.create_task(rooms.drain()))

    with signals.first(lambda: loop.call_soon_threadsafe(drain)):
        yield


@asynccontextmanager
async def _ticking(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Does the works every second, also while no dialogue has finished yet."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(1.0)
            for work in works:
                await work()

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):  # a bug in what watches a run must not stay unseen
        raise ended


def _patience(config: Config) -> int:
    """Failures in a row that give a tutor up: 5, or as many dialogues as it has under way, whose failures end first."""
    at_once = config.run.in_flight * config.run.classrooms
    return max(5, math.ceil(at_once / len(config.tutor_arms())))


def counts_for_breaker(dialogue: Dialogue) -> bool:
    """Whether a dialogue says that its tutor can be reached or cannot: what the breaker is there for.

    What a student or a judge does wrong does not. Nor does a rate limit, which passes. Nor an answer without a reply:
    that is what this tutor does, so all of its dialogues are held and it is counted how many fail.
    """
    failure = dialogue.failure
    if failure is None:
        return True
    return failure.where.startswith("tutor") and failure.error not in (NoReply.__name__, RateLimited.__name__)


class Guard:
    """Ends a run cleanly: at a cap of the budget, and for a tutor that only fails. Loops are not cut."""

    def __init__(self, config: Config, store: RunStore, teller: Teller) -> None:
        self._on, self._teller = config.kind == "run", teller
        self._budget, self._breaker = Budget(config.budget), TutorBreaker(_patience(config))
        if self._on and any((config.budget.dialogues, config.budget.tokens, config.budget.cost)):
            for dialogue in store.dialogues():
                self._budget.add(dialogue)
        self.stopped = self._budget.exhausted() if self._on else ""
        self.given_up: dict[str, str] = {}
        self.interrupted = False
        self.lost = ""
        """Why no dialogue can be held any more: a pool that all of them ask is lost."""
        tutor = [config.pool_of("tutor")] if config.kind == "loop" else []
        self._needed = {*config.heard_pools(), *tutor}

    async def watch(self, dialogues: Sequence[Dialogue], rooms: Rooms) -> None:
        """Counts finished dialogues, and tells the classrooms what to begin no more of."""
        if not self._on:
            return
        for dialogue in dialogues:
            self._budget.add(dialogue)
            if counts_for_breaker(dialogue):
                self._breaker.add(dialogue)
        for tutor, reason in self._breaker.given_up().items():
            if tutor not in self.given_up:
                self.given_up[tutor] = reason
                self._teller.say(f"tutor {tutor!r} is given up: {reason}; the others go on")
                await rooms.give_up(tutor)
        await self.check(rooms)

    async def check(self, rooms: Rooms) -> None:
        """Drains the classrooms where a cap is reached, or where every dialogue would fail."""
        needed = {name: why for name, why in rooms.lost().items() if name in self._needed}
        if needed and not self.lost:
            self.lost = "; ".join(f"pool {name!r} has no engine any more: {why}" for name, why in needed.items())
            await rooms.drain()
        if self._on and not self.stopped and (reason := self._budget.exhausted()):
            self.stopped = reason
            self._teller.say(f"{reason}; dialogues under way are finished, no more are begun")
            self._teller.stopping(reason)
            await rooms.drain()

    def allowed(self, missing: list[Batch]) -> list[Batch]:
        """What a cap on dialogues leaves of the batch of a run: exactly so many, not all that fit in flight."""
        if not self._on or not self._budget.left:
            return missing
        return [Batch(batch.specs[: self._budget.left], batch.candidates) for batch in missing]
