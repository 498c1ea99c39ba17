"""The classrooms of one phase, from the driver: their episodes, their dialogues, and what happens when one dies.

Invariant: every episode's dialogue comes out exactly once. A classroom that dies is replaced by one that gets the
episodes whose dialogues have not arrived; what it had finished and not handed over is done anew.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from agents.errors import EngineError, TutorloopError
from agents.records import Dialogue, EpisodeSpec
from sim.classroom import Classroom, Library
from sim.config import Config
from sim.fleet.calls import asked, forgiven
from sim.fleet.dispatch import Batch
from sim.fleet.wire import Directory
from sim.pools import Pools
from sim.progress import Teller
from sim.sight.records import RoomCount

HANDED_OVER = 8
"""Lists of dialogues that may lie between a classroom and the driver before the classroom waits."""
DEATHS = 5
"""A classroom that died so often without handing over a dialogue in between is not replaced again."""


@dataclass
class _Room:
    """One classroom over all its starts."""

    left: dict[str, tuple[EpisodeSpec, int]]
    """What has not arrived, with the candidates of its batch."""
    actor: Any = None
    killed: Any = None
    """The actor that was killed on purpose; the driver learns of it when it has read what that one handed over."""
    name: str = ""
    restarts: int = 0
    fruitless: int = 0
    count: RoomCount = RoomCount()

    def batches(self) -> list[Batch]:
        by_candidates: dict[int, list[EpisodeSpec]] = {}
        for spec, candidates in self.left.values():
            by_candidates.setdefault(candidates, []).append(spec)
        return [Batch(specs, candidates) for candidates, specs in by_candidates.items()]


class Rooms:
    """Classrooms with their share of the episodes. Use as an async context manager."""

    def __init__(self, config: Config, pools: Pools, teller: Teller) -> None:
        self._config, self._pools, self._teller = config, pools, teller
        self._rooms: list[_Room] = []
        self._library = Library()
        self._drained, self._given_up = False, set[str]()
        self._unlisten: Callable[[], None] = lambda: None
        self._errands: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Rooms:
        self._unlisten = self._pools.listen(self._direct)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unlisten()
        for room in self._rooms:
            self._discard(room)

    async def teach(self, batches: Sequence[Batch]) -> AsyncIterator[list[Dialogue]]:
        """Dialogues of all classrooms as they finish, some at a time; a slow reader holds the classrooms back.

        Raises:
            EngineError: a classroom died again and again.
            TutorloopError: what a classroom raised.
        """
        entries = [(spec, batch.candidates) for batch in batches for spec in batch.specs]
        self._library = _library(self._config, [spec for spec, _ in entries])
        number = min(self._config.run.classrooms, len(entries))
        self._rooms = [_Room({e[0].id: e for e in entries[i::number]}) for i in range(number)]
        queue: asyncio.Queue[list[Dialogue] | BaseException | None] = asyncio.Queue(maxsize=2 * number)
        for room in self._rooms:
            self._open(room)
        tasks = [asyncio.create_task(self._follow(room, queue)) for room in self._rooms]
        try:
            open_rooms = number
            while open_rooms:
                found = await queue.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    open_rooms -= 1
                else:
                    yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def lost(self) -> dict[str, str]:
        """Pools that have no engine any more, with the reason, by every pool they speak for."""
        directory = self._pools.directory()
        return {name: directory.lost[one] for name, one in directory.serving.items() if one in directory.lost}

    async def counts(self) -> list[RoomCount]:
        """What each classroom has done so far; of one that does not answer, what it said last."""
        await asyncio.gather(*(self._counted(room) for room in self._rooms))
        return [room.count for room in self._rooms]

    async def drain(self) -> None:
        """Begins no more episodes; those under way are finished."""
        self._drained = True
        await self._tell(lambda actor: actor.drain.remote())

    async def give_up(self, tutor: str) -> None:
        """Begins no more episodes of a tutor."""
        self._given_up.add(tutor)
        await self._tell(lambda actor: actor.give_up.remote(tutor))

    def kill(self, chance: random.Random) -> str:
        """Kills a classroom that still has episodes, as a crash would; its name, or nothing where there is none."""
        working = [room for room in self._rooms if room.left and room.actor is not room.killed]
        if not working:
            return ""
        room = chance.choice(working)
        self.lose([room.name])
        ray.kill(room.actor)
        return room.name

    async def nodes(self) -> dict[str, str]:
        """By name of a classroom: the short id of the node it is on. One that does not answer is missing."""

        async def ask(room: _Room) -> tuple[str, str]:
            with suppress(RayError, TimeoutError):
                async with asyncio.timeout(5.0):
                    return room.name, await asked(room.actor.node)
            return room.name, ""

        found = dict(await asyncio.gather(*map(ask, self._rooms)))
        return {name: node for name, node in found.items() if node}

    def lose(self, names: Sequence[str]) -> list[str]:
        """Notes that classrooms are about to die on purpose; returns those that were not already."""
        lost = [room for room in self._rooms if room.name in names and room.actor is not room.killed]
        for room in lost:
            room.fruitless, room.killed = room.fruitless - 1, room.actor
        return [room.name for room in lost]

    def keep(self, names: Sequence[str]) -> None:
        """Takes back that classrooms die on purpose."""
        for room in self._rooms:
            if room.name in names:
                room.fruitless, room.killed = room.fruitless + 1, None

    def _open(self, room: _Room) -> None:
        room.name = uuid.uuid4().hex[:8]
        actor: Any = ray.remote(Classroom)
        options = actor.options(num_cpus=0, max_concurrency=1000, scheduling_strategy="SPREAD")
        directory = self._pools.directory()
        room.actor = options.remote(self._config, room.name, directory, self._library, self._places())
        if self._drained:
            self._send(room.actor.drain)
        for tutor in self._given_up:
            self._send(room.actor.give_up, tutor)

    def _places(self) -> int | None:
        """Sequence slots of the engines for each classroom; None where an engine has no such number."""
        pools = [self._config.pools[r.pool] for r in self._pools.replicas() if r.state in ("serving", "restarting")]
        if not pools or any(pool.engine != "vllm" for pool in pools):
            return None
        return sum(pool.max_num_seqs for pool in pools) // self._config.run.classrooms

    async def _follow(self, room: _Room, queue: asyncio.Queue[list[Dialogue] | BaseException | None]) -> None:
        """Passes a classroom's dialogues on until none is left or it was drained."""
        try:
            while room.left:
                try:
                    await self._pass_on(room, queue)
                    break
                except RayTaskError as error:
                    raise (error.cause if isinstance(error.cause, TutorloopError) else error) from None
                except RayError as error:
                    self._replace(room, type(error).__name__)
            await self._counted(room)
            lost = [
                spec for spec, _ in room.left.values() if not self._drained and spec.tutor_name not in self._given_up
            ]
            if lost:
                raise EngineError(f"a classroom ended without {len(lost)} of its dialogues, such as {lost[0].id}")
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    async def _pass_on(self, room: _Room, queue: asyncio.Queue[list[Dialogue] | BaseException | None]) -> None:
        teach = room.actor.teach.options(num_returns="streaming", _generator_backpressure_num_objects=HANDED_OVER)
        async for reference in teach.remote(room.batches()):
            dialogues: list[Dialogue] = await reference
            fresh = [dialogue for dialogue in dialogues if room.left.pop(dialogue.id, None) is not None]
            room.fruitless = 0
            await queue.put(fresh)

    def _replace(self, room: _Room, why: str) -> None:
        room.restarts, room.fruitless = room.restarts + 1, room.fruitless + 1
        if room.fruitless >= DEATHS:
            raise EngineError(f"a classroom died {DEATHS} times without finishing a dialogue ({why}); see Ray's logs")
        self._pools.faults["classroom restarted"] += 1
        self._teller.log("restart", f"a classroom died ({why})", level="warning", left=len(room.left))
        self._teller.say(f"a classroom died ({why}); {len(room.left)} of its episodes go to a new one")
        self._discard(room)
        room.count = RoomCount(restarts=room.restarts)
        self._open(room)

    def _discard(self, room: _Room) -> None:
        ray.kill(room.actor)
        directory = self._pools.directory()
        for hosts in (*directory.hosts.values(), *directory.leaving.values()):
            for host in hosts:
                self._send(host.actor.dismiss, room.name)

    def _direct(self, directory: Directory) -> None:
        for room in self._rooms:
            self._send(room.actor.direct, directory)

    async def _counted(self, room: _Room) -> None:
        actor = room.actor
        try:
            async with asyncio.timeout(5.0):
                count: RoomCount = await asked(actor.count)
        except (RayError, TimeoutError):
            return
        if actor is room.actor:
            room.count = replace(count, restarts=room.restarts)

    async def _tell(self, message: Callable[[Any], Any]) -> None:
        for room in self._rooms:
            try:
                await message(room.actor)
            except RayError:
                continue  # its successor is told when it opens

    def _send(self, method: Any, *arguments: Any) -> None:
        """Sends a message, now and so before all that is sent later; nobody waits for the answer."""
        errand = asyncio.ensure_future(forgiven(method.remote(*arguments)))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)


def _library(config: Config, specs: Sequence[EpisodeSpec]) -> Library:
    rubric = config.inputs.rubric(config.rubric.name) if config.rubric else None
    judge = config.reward.judge
    reward_rubric = config.inputs.rubric(judge.rubric) if judge and judge.rubric else None
    packs = {name: config.inputs.pack(name) for name in {spec.pack for spec in specs}}
    return Library(packs, rubric, reward_rubric)
