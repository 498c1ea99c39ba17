"""The actor that hosts one engine, and speaks with classrooms in batches.

A Ray call costs about as much as a short request, so a classroom does not make one for each: `submit` takes many
requests, `collect` waits until answers are there and returns all of them.

Invariant: every request that was submitted is answered once into the box of its classroom, with an error if need be,
unless it was cancelled. All methods are async; nothing in them blocks the loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import ray

from agents.engines.base import Completion, Engine, PolicyEngine, Score
from agents.engines.load import EngineLoad, LoadedEngine
from agents.errors import DeliveryError, EngineError, TutorloopError
from agents.models import is_a_name, local_model
from sim.config import PoolConfig
from sim.config_training import TrainingConfig
from sim.engines import make_engine
from sim.fleet.wire import Answer, Collected, Request

LINGER_SECONDS = 0.003
"""How long answers are gathered once there is one: less than a reply takes, more than a Ray call."""
ABANDONED_SECONDS = 10.0
"""A box that nobody came to for so long belongs to a line that is no more."""
HEARTBEAT_SECONDS = 1.0
"""A `collect` returns at the latest after so long, so that a classroom knows the load of an engine it waits for."""


class EngineHost:
    """The actor: one engine and a box of answers for each classroom."""

    def __init__(self, pool: PoolConfig, model: str, training: TrainingConfig) -> None:
        self._pool, self._model, self._training = pool, model, training
        self._engine: Engine | None = None
        self._boxes: dict[str, _Box] = {}
        self._policy_calls = 0

    async def start(self) -> tuple[float, str]:
        """Starts the engine; returns the seconds it took and the short id of the node it is on."""
        started = time.monotonic()
        self._engine = await make_engine(self._pool, self._model, self._training)
        return time.monotonic() - started, ray.get_runtime_context().get_node_id()[:8]

    async def submit(self, room: str, requests: Sequence[Request], cancelled: Sequence[int] = ()) -> None:
        """Takes requests of a classroom, and forgets those it no longer wants."""
        engine = self._live()
        box = self._boxes.setdefault(room, _Box())
        for number in cancelled:
            box.cancel(number)
        for request in requests:
            box.take(engine, request)

    async def collect(self, room: str) -> Collected:
        """Waits for answers of a classroom's requests, at most `HEARTBEAT_SECONDS`, and hands over all that are there.

        Raises:
            EngineDied: the engine behind the host is no more.
        """
        answers = await self._boxes.setdefault(room, _Box()).handed_over()
        return Collected(answers, self._load(), sum(box.open for box in self._boxes.values()))

    async def dismiss(self, room: str) -> None:
        """Forgets a classroom that is no more, with its requests."""
        for name in [name for name in self._boxes if name.partition("/")[0] == room]:
            self._boxes.pop(name).close()

    async def health(self) -> EngineLoad:
        """The engine's load. Raises EngineDied where it is no more."""
        return self._load()

    async def idle(self) -> bool:
        """Whether nothing is asked of it and every answer was fetched that somebody still fetches."""
        return not self._policy_calls and all(box.empty for box in self._boxes.values())

    async def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See `PolicyEngine.token_logprobs`."""
        with self._busy():
            return await self._policy().token_logprobs(sequences)

    async def deliver(self, version: str, weights: str, adapter: str) -> float:
        """See `PolicyEngine.deliver`; weights may be a model's name."""
        with self._busy():
            if is_a_name(weights) and self._pool.engine == "vllm" and not self._pool.gpus:
                weights = str(await asyncio.to_thread(local_model, weights))
            return await self._policy().deliver(version, weights=weights, adapter=adapter)

    async def injure(self) -> bool:
        """Kills the engine's own process, as a crash would; False where it has none. What `--chaos` does."""
        children = engine_processes(os.getpid())
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        return bool(children)

    async def close(self) -> None:
        """Stops the engine."""
        if self._engine is not None:
            await self._engine.close()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._policy_calls += 1
        try:
            yield
        finally:
            self._policy_calls -= 1

    def _load(self) -> EngineLoad:
        engine = self._live()
        load = engine.load() if isinstance(engine, LoadedEngine) else EngineLoad()
        if any(box.open for box in self._boxes.values()):
            return load
        return replace(load, running=0, waiting=0)  # levels are read at an engine's steps, and an idle one makes none

    def _live(self) -> Engine:
        if self._engine is None:
            raise EngineError("the engine was used before it was started")
        return self._engine

    def _policy(self) -> PolicyEngine:
        engine = self._live()
        if not isinstance(engine, PolicyEngine):
            raise DeliveryError(f"a {self._pool.engine} engine cannot take a trained policy; only vllm can")
        return engine


def engine_processes(parent: int) -> list[int]:
    """Ids of the processes that a process has started itself, from any of its threads: Linux lists them by thread."""
    found: list[int] = []
    for listed in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found += map(int, listed.read_text(encoding="ascii").split())
    return found


class _Box:
    """Requests under way for one classroom, and answers it has not fetched."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ready: list[Answer] = []
        self._some = asyncio.Event()
        self._fetched = time.monotonic()

    @property
    def open(self) -> int:
        return len(self._tasks)

    @property
    def empty(self) -> bool:
        """Whether nothing is in it, or nobody has come for what is."""
        return not self._tasks and (not self._ready or time.monotonic() - self._fetched > ABANDONED_SECONDS)

    def take(self, engine: Engine, request: Request) -> None:
        self._tasks[request.number] = asyncio.create_task(self._work(engine, request))

    def cancel(self, number: int) -> None:
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()

    async def handed_over(self) -> list[Answer]:
        self._fetched = time.monotonic()
        if not self._ready:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._some.wait()
            except TimeoutError:
                return []
            await asyncio.sleep(LINGER_SECONDS)
        ready, self._ready = self._ready, []
        self._some.clear()
        return ready

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _work(self, engine: Engine, request: Request) -> None:
        try:
            answer = Answer(request.number, await _asked(engine, request))
        except TutorloopError as error:
            answer = Answer(request.number, error=error)
        except BaseException as error:  # a bug in an engine fails the dialogue that met it, not all that share the host
            task = asyncio.current_task()
            if isinstance(error, GeneratorExit) or (task is not None and task.cancelling()):
                raise
            answer = Answer(request.number, error=EngineError(f"{type(error).__name__}: {error}"))
        self._tasks.pop(request.number, None)
        self._ready.append(answer)
        self._some.set()


def _asked(engine: Engine, request: Request) -> Awaitable[list[Completion] | list[Score]]:
    if request.sampling is None:
        return engine.score(request.messages, request.continuations, dialogue_id=request.dialogue_id)
    return engine.generate(request.messages, request.sampling, dialogue_id=request.dialogue_id)
