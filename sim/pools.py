"""Pools: Ray actors that host engines, and the driver's view of them.

A pool with `shares` has no engine of its own until the first adapter is delivered to it: until then its roles speak
through the pool whose weights they share, because a second engine on a small machine costs throughput.

Invariant: engines start once per pool and are never restarted for a round; one that dies is started anew and serves
only after it was given the live policy and proved to serve it. While a policy is being delivered nothing else is.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Literal

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from agents.errors import DeliveryError, EngineDied, EngineError, TutorloopError
from sim.config import Config, Role
from sim.fleet.calls import asked
from sim.fleet.chaos_plan import CALM, ChaosPlan
from sim.fleet.renewal import Readied, Renewal, made_ready, put_live
from sim.fleet.replica import Replica
from sim.fleet.scale import Scale
from sim.fleet.scaler import Scaler
from sim.fleet.supervisor import FleetEvent, Supervisor
from sim.fleet.wire import Directory
from sim.progress import Teller
from sim.rounds import BASE


class Pools:
    """All pools of a run, from the driver."""

    def __init__(self, config: Config, models: dict[str, str], report: Teller, *, chaos: ChaosPlan = CALM) -> None:
        """Makes pools whose engines are not started.

        Args:
            config: the run's.
            models: by pool, the folder or name of what its engines load.
            report: told of starts and deaths.
            chaos: deaths that are made on purpose while dialogues are held.
        """
        self._config, self._models, self._report = config, models, report
        self._replicas: dict[str, list[Replica]] = {}
        self._renewals: dict[str, Renewal] = {}
        self._delivering: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._readying: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._listeners: list[Callable[[Directory], None]] = []
        self._supervisor = Supervisor(self)
        self._scaler = Scaler(self, self._supervisor)
        self._changes = 0
        self.live: dict[str, str] = {}
        """What the engines of pools serve that were given a policy; empty while that is not known, absent: the base."""
        self.seconds: dict[str, float] = {}
        """Engine start by pool; an engine starts once."""
        self.chaos = chaos
        self.faults: Counter[str] = Counter()
        """What died and was started anew, and what was killed on purpose, by kind."""

    async def start(self, roles: Sequence[Role], others: Sequence[str] = ()) -> None:
        """Starts the engines that the roles and other pools need now, side by side."""
        names = {self._serving(name) for name in (*map(self._config.pool_of, roles), *others)}
        await asyncio.gather(*(self._start(name) for name in sorted(names)))

    def _serving(self, pool: str) -> str:
        shared = self._config.pools[pool].shares
        return shared if shared and pool not in self._replicas else pool

    async def _start(self, name: str) -> None:
        if name in self._replicas:
            return
        pool = self._config.pools[name]
        self._report.say(f"starting {pool.replicas} {pool.engine} engine(s) of pool {name!r} ({self._models[name]})")
        replicas = self._replicas[name] = [Replica(name, index) for index in range(pool.replicas)]
        for replica in replicas:
            self.launch(replica)
        try:
            await asyncio.gather(*map(self._begin, replicas))
        except RayActorError as error:
            raise EngineError(f"an engine of pool {name!r} died while it started: {error}") from error
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, TutorloopError) else error) from None
        for replica in replicas:
            replica.serve()
            self._supervisor.take(replica)
        self.seconds[name] = max(replica.seconds for replica in replicas)
        self._scaler.take(name, Scale(pool.replicas, pool.max_replicas, pool.slots or pool.max_num_seqs))
        self._report.say(f"pool {name!r} ready in {self.seconds[name]:.0f} s")

    async def _begin(self, replica: Replica) -> None:
        replica.seconds, replica.node = await asked(replica.actor.start)

    def launch(self, replica: Replica) -> None:
        """Makes a new actor for a replica."""
        replica.launch(self._config.pools[replica.pool], self._models[replica.pool], self._config.training)

    async def discard(self, actor: Any) -> None:
        """Ends an actor with the processes it left; one whose engine died may still answer, so it is asked first."""
        try:
            with suppress(RayError, TimeoutError):
                async with asyncio.timeout(5.0):
                    await asked(actor.close)
        finally:
            ray.kill(actor)

    def policy(self, pool: str) -> AbstractAsyncContextManager[Readied | None]:
        """Makes the live policy of a pool ready for an engine that is being started."""
        return made_ready(self._renewals.get(pool), self._readying[pool])

    async def renew(self, replica: Replica, readied: Readied | None = None) -> None:
        """Gives a replica that started or stays the policy of its pool, proves it, and lets it serve."""
        async with self._delivering[replica.pool]:
            renewal = self._renewals.get(replica.pool)
            await put_live(renewal, readied, replica.actor)
            if replica.state == "restarting":
                self.faults["engine restarted"] += 1
            replica.load = await asked(replica.actor.health)  # not that of an engine before it, nor of none
            if renewal is None and replica.load.policy_version not in ("", BASE):
                raise DeliveryError(f"{replica.name} serves {replica.load.policy_version} and the base is live")
            replica.serve()

    def say(self, text: str) -> None:
        """News for people."""
        self._report.say(text)

    def log(self, event: FleetEvent, text: str, *, level: Literal["warning"], pool: str) -> None:
        """News for the run's log."""
        self._report.log(event, text, level=level, pool=pool)

    def changed(self) -> None:
        """Tells all that listen which replicas serve now."""
        self._changes += 1
        for listener in self._listeners:
            listener(self.directory())

    def listen(self, listener: Callable[[Directory], None]) -> Callable[[], None]:
        """Calls the listener whenever replicas come or go; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def directory(self) -> Directory:
        """Who speaks for whom now."""
        serving = {name: self._serving(name) for name in self._config.pools}
        hosts = {name: [r.address for r in found if r.state == "serving"] for name, found in self._replicas.items()}
        leaving = {name: [r.address for r in found if r.state == "leaving"] for name, found in self._replicas.items()}
        lost = {name: "all its replicas were taken out" for name in hosts if self._is_lost(name)}
        known = {name: server for name, server in serving.items() if server in hosts}
        return Directory(known, hosts, lost, leaving, self._changes)

    def _is_lost(self, pool: str) -> bool:
        return all(replica.state in ("out", "left") for replica in self._replicas[pool])

    def delivering(self, pool: str) -> asyncio.Lock:
        """Held while a policy is delivered to a pool."""
        return self._delivering[pool]

    def members(self, pool: str) -> list[Replica]:
        """The replicas of a pool, to be added to and taken from."""
        return self._replicas[pool]

    def replicas(self) -> list[Replica]:
        """All replicas that were ever started."""
        return [replica for found in self._replicas.values() for replica in found]

    async def own_engine(self, pool: str) -> None:
        """Gives a pool its own engine if it still shares one."""
        await self._start(pool)

    async def deliver(
        self, pool: str, version: str, *, weights: str, adapter: str, renewal: Renewal | None = None
    ) -> float:
        """Makes a policy live on every replica of a pool with its own engine; returns the seconds of the slowest.

        Args:
            pool: its name.
            version: of the policy.
            weights: merged weights, or those of the base.
            adapter: its folder; empty for the base.
            renewal: how the same policy is put on a replica that is started anew later, and proved; None: nothing has
                to be done, a fresh engine serves it.

        Raises:
            DeliveryError: an engine did not take it, or no replica is left.
        """
        async with self._delivering[pool]:
            self.live[pool] = ""
            self._renewals.pop(pool, None)
            if renewal is not None:
                self._renewals[pool] = renewal
            took = await asyncio.gather(
                *(_delivered(r, version, weights, adapter) for r in self._replicas[pool] if r.state == "serving")
            )
            self.live[pool] = version
        seconds = [one for one in took if one is not None]
        return max(seconds) if seconds else await self._renewed(pool)

    async def _renewed(self, pool: str) -> float:
        """Where every replica died of, or during, a delivery: waits for one that was started anew with the policy."""
        begun = asyncio.get_running_loop().time()
        while not any(replica.state == "serving" for replica in self._replicas[pool]):
            if self._is_lost(pool):
                raise DeliveryError(f"pool {pool!r} has no engine any more that could be given a policy")
            await asyncio.sleep(0.5)
        return asyncio.get_running_loop().time() - begun

    async def token_logprobs(self, pool: str, sequences: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        """Of every replica that speaks for a pool now, the log-probs of the sequences."""
        while True:
            hosts = self.directory().hosts[self._serving(pool)]
            asking = (asked(host.actor.token_logprobs, sequences) for host in hosts)
            found = await asyncio.gather(*asking, return_exceptions=True)
            told = [one for one in found if isinstance(one, list)]
            for error in found:
                if isinstance(error, RayTaskError) and not isinstance(error.cause, EngineDied):
                    raise (error.cause if isinstance(error.cause, TutorloopError) else error)
            if told:
                return told  # one that died meanwhile is proved by its renewal
            await asyncio.sleep(1.0)
            await self._renewed(self._serving(pool))

    async def close(self) -> None:
        """Stops every engine and its actor."""
        await self._scaler.close()
        await self._supervisor.close()
        for replica in self.replicas():
            if replica.actor is None or replica.state in ("out", "left"):
                continue
            try:
                # One that has no node yet cannot answer.
                async with asyncio.timeout(10 if replica.node else 1):
                    await replica.actor.close.remote()
            except (RayError, TimeoutError):
                self._report.say(f"engine {replica.name} did not close by itself and was killed")
            ray.kill(replica.actor)
        self._replicas.clear()


async def _delivered(replica: Replica, version: str, weights: str, adapter: str) -> float | None:
    """The seconds a replica took; None where it died, which the supervisor mends."""
    actor = replica.actor
    try:
        seconds: float = await actor.deliver.remote(version, weights, adapter)
    except RayTaskError as error:
        if not isinstance(error.cause, EngineDied):
            raise (error.cause if isinstance(error.cause, TutorloopError) else error) from None
    except RayError:
        pass
    else:
        return seconds
    if replica.state == "serving":
        replica.state = "restarting"
    ray.kill(actor)  # if it lives after all: the supervisor must see a death, for this policy is not in it
    return None
