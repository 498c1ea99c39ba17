"""Pools: Ray actors that host engines, and the driver's view of them.

A pool with `shares` has no engine of its own until the first adapter is delivered to it: until then its roles speak
through the pool whose weights they share, because a second engine on a small machine costs throughput.

Invariant: a dialogue always talks to the same replica of a pool (its prefix cache holds the dialogue). Engines start
once per pool and are never restarted for a round.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from agents.engines.base import Completion, Engine, Message, PolicyEngine, Sampling, Score
from agents.engines.vllm import engine_environment
from agents.errors import DeliveryError, EngineError, EngineUnavailable, TutorloopError
from sim.config import Config, PoolConfig, Role
from sim.config_training import TrainingConfig
from sim.engines import make_engine, vllm_settings


class EngineHost:
    """The actor: one engine. All methods are async; nothing in them blocks the loop."""

    def __init__(self, pool: PoolConfig, model: str, training: TrainingConfig) -> None:
        self._pool, self._model, self._training = pool, model, training
        self._engine: Engine | None = None

    async def start(self) -> float:
        """Starts the engine and returns the seconds it took."""
        started = time.monotonic()
        self._engine = await make_engine(self._pool, self._model, self._training)
        return time.monotonic() - started

    async def generate(self, messages: Sequence[Message], sampling: Sampling, dialogue_id: str) -> list[Completion]:
        """See `Engine.generate`."""
        return await self._live().generate(messages, sampling, dialogue_id=dialogue_id)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str], dialogue_id: str) -> list[Score]:
        """See `Engine.score`."""
        return await self._live().score(messages, continuations, dialogue_id=dialogue_id)

    async def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See `PolicyEngine.token_logprobs`."""
        return await self._policy().token_logprobs(sequences)

    async def deliver(self, version: str, weights: str, adapter: str) -> float:
        """See `PolicyEngine.deliver`."""
        return await self._policy().deliver(version, weights=weights, adapter=adapter)

    async def close(self) -> None:
        """Stops the engine."""
        if self._engine is not None:
            await self._engine.close()

    def _live(self) -> Engine:
        if self._engine is None:
            raise EngineError("the engine was used before it was started")
        return self._engine

    def _policy(self) -> PolicyEngine:
        engine = self._live()
        if not isinstance(engine, PolicyEngine):
            raise DeliveryError(f"a {self._pool.engine} engine cannot take a trained policy; only vllm can")
        return engine


class RemoteEngine:
    """An `Engine` whose replicas live in actors; sticky by dialogue."""

    def __init__(self, pool: str, hosts: Sequence[ActorHandle[Any]]) -> None:
        self._pool, self._hosts = pool, list(hosts)

    def _host(self, dialogue_id: str) -> Any:
        return self._hosts[zlib.crc32(dialogue_id.encode()) % len(self._hosts)]

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`. A dead actor is EngineUnavailable."""
        found: list[Completion] = await self._answer(
            self._host(dialogue_id).generate.remote(messages, sampling, dialogue_id)
        )
        return found

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`. A dead actor is EngineUnavailable."""
        found: list[Score] = await self._answer(
            self._host(dialogue_id).score.remote(messages, continuations, dialogue_id)
        )
        return found

    async def _answer(self, asked: Any) -> Any:
        try:
            return await asked
        except RayActorError as error:
            raise EngineUnavailable(f"an engine of pool {self._pool} died: {type(error).__name__}") from error
        except RayTaskError as error:
            # Ray's own class name and message hold a traceback with paths and addresses, which is no record's business.
            raise (error.cause if isinstance(error.cause, TutorloopError) else error) from None

    async def close(self) -> None:
        """The pools close their own actors."""


class Report(Protocol):
    """Where progress is told."""

    def say(self, text: str) -> None:
        """One line of news."""
        ...


class Pools:
    """All pools of a run, from the driver."""

    def __init__(self, config: Config, models: dict[str, str], report: Report) -> None:
        self._config, self._models, self._report = config, models, report
        self._hosts: dict[str, list[ActorHandle[Any]]] = {}
        self.live: dict[str, str] = {}
        """What the engines of pools serve that were given a policy; empty while that is not known, absent: the base."""
        self.seconds: dict[str, float] = {}
        """Engine start by pool; an engine starts once."""

    async def start(self, roles: Sequence[Role], others: Sequence[str] = ()) -> None:
        """Starts the engines that the roles and other pools need now, side by side."""
        names = {self._serving(name) for name in (*map(self._config.pool_of, roles), *others)}
        await asyncio.gather(*(self._start(name) for name in sorted(names)))

    def _serving(self, pool: str) -> str:
        shared = self._config.pools[pool].shares
        return shared if shared and pool not in self._hosts else pool

    async def _start(self, name: str) -> None:
        if name in self._hosts:
            return
        self._hosts[name] = []
        pool, model = self._config.pools[name], self._models[name]
        self._report.say(f"starting {pool.replicas} {pool.engine} engine(s) of pool {name!r} ({model})")
        settings = vllm_settings(pool, model, self._config.training)
        variables = engine_environment(settings) if pool.engine == "vllm" else {}
        actor: Any = ray.remote(EngineHost)  # Ray's own types do not know .remote of a wrapped class
        hosts = [
            actor.options(
                num_cpus=pool.cpus,
                num_gpus=pool.gpus,
                max_concurrency=1000,
                runtime_env={"env_vars": variables},
            ).remote(pool, model, self._config.training)
            for _ in range(pool.replicas)
        ]
        try:
            took = await asyncio.gather(*(host.start.remote() for host in hosts))
        except RayActorError as error:
            raise EngineError(f"an engine of pool {name!r} died while it started: {error}") from error
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, TutorloopError) else error) from None
        self._hosts[name] = hosts
        self.seconds[name] = max(took)
        self._report.say(f"pool {name!r} ready in {max(took):.0f} s")

    def hosts_by_pool(self) -> dict[str, list[ActorHandle[Any]]]:
        """For every pool whose engine runs, the actors that speak for it now."""
        serving = {name: self._serving(name) for name in self._config.pools}
        return {name: self._hosts[server] for name, server in serving.items() if server in self._hosts}

    async def own_engine(self, pool: str) -> None:
        """Gives a pool its own engine if it still shares one."""
        await self._start(pool)

    async def deliver(self, pool: str, version: str, *, weights: str, adapter: str) -> float:
        """Makes a policy live on every replica of a pool with its own engine; returns the seconds of the slowest."""
        hosts: list[Any] = self._hosts[pool]
        self.live[pool] = ""
        seconds: list[float] = await asyncio.gather(*(host.deliver.remote(version, weights, adapter) for host in hosts))
        self.live[pool] = version
        return max(seconds)

    async def token_logprobs(self, pool: str, sequences: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        """Of every replica that speaks for a pool, the log-probs of the sequences."""
        hosts: list[Any] = self._hosts[self._serving(pool)]
        return list(await asyncio.gather(*(host.token_logprobs.remote(sequences) for host in hosts)))

    async def close(self) -> None:
        """Stops every engine and its actor."""
        for host in [host for hosts in self._hosts.values() for host in hosts]:
            try:
                await asyncio.wait_for(host.close.remote(), timeout=10)
            except (RayActorError, TimeoutError):
                self._report.say("an engine did not close by itself and was killed")
            ray.kill(host)
        self._hosts.clear()
