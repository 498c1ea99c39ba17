"""One replica of a pool over all its starts: its actor now, its state, and its deaths.

Invariant: every start has a key of its own, so that nobody takes an answer of an earlier start for one of a later.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import ray

from agents.engines.load import EngineLoad
from agents.engines.vllm_settings import engine_environment
from sim.config import PoolConfig
from sim.config_training import TrainingConfig
from sim.engines import vllm_settings
from sim.fleet.host import EngineHost
from sim.fleet.wire import HostAddress
from sim.sight.records import Replica as Seen
from sim.sight.records import ReplicaState

SHORT_LIFE_SECONDS = 30.0
"""An engine that dies sooner after it began to serve died of its start or its work, not by chance."""
SHORT_LIVES = 3
"""So many short lives one after the other, and the replica is taken out."""


@dataclass
class Replica:
    """One of a pool's engines. Only the driver changes it."""

    pool: str
    index: int
    actor: Any = None
    key: str = ""
    state: ReplicaState = "starting"
    restarts: int = 0
    load: EngineLoad = EngineLoad()
    seconds: float = 0.0
    """Of its last start."""
    short_lives: int = 0
    node: str = ""
    """Short id of the node it runs on; empty until it has started."""
    spared: bool = False
    """Its next death was made on purpose and counts for nothing."""
    _served_since: float = field(default=0.0, repr=False)

    @property
    def name(self) -> str:
        """What people are told."""
        return f"{self.pool}/{self.index}"

    @property
    def address(self) -> HostAddress:
        """Where classrooms reach it."""
        return HostAddress(self.key, self.actor)

    def launch(self, pool: PoolConfig, model: str, training: TrainingConfig) -> None:
        """Makes a new actor for it; its engine is not started yet."""
        self.key = f"{self.name}#{uuid.uuid4().hex[:8]}"
        self.actor = launch_host(pool, model, training)
        self._served_since, self.node = 0.0, ""

    def serve(self) -> None:
        """From now on it serves."""
        self.state, self._served_since = "serving", time.monotonic()

    def seen(self) -> Seen:
        """As people and dashboards see it."""
        return Seen(self.pool, self.index, self.state, self.restarts, self.node, self.load)

    def die(self) -> bool:
        """Notes a death; returns whether it was one too many."""
        lived = time.monotonic() - self._served_since if self._served_since else 0.0
        if not self.spared:
            self.short_lives = self.short_lives + 1 if lived < SHORT_LIFE_SECONDS else 0
        self.spared = False
        self.state = "out" if self.short_lives >= SHORT_LIVES else "restarting"
        return self.state == "out"


def launch_host(pool: PoolConfig, model: str, training: TrainingConfig) -> Any:
    """A new actor for an engine of a pool."""
    settings = vllm_settings(pool, model, training)
    variables = engine_environment(settings) if pool.engine == "vllm" else {}
    actor: Any = ray.remote(EngineHost)  # Ray's own types do not know .remote of a wrapped class
    return actor.options(
        num_cpus=pool.cpus, num_gpus=pool.gpus, max_concurrency=1000, runtime_env={"env_vars": variables}
    ).remote(pool, model, training)
