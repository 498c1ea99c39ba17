"""Engine hosts in this process, behind the same `.method.remote()` calls as their actors."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from agents.engines.base import Engine
from agents.engines.load import EngineLoad
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineDied
from sim.config import PoolConfig
from sim.config_training import TrainingConfig
from sim.fleet.host import EngineHost
from sim.fleet.wire import HostAddress
from sim.progress import Teller


class Told(Teller):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """See `Teller.say`."""
        self.said.append(text)
        super().say(text)


class LocalActor:
    """An `EngineHost` that is called like an actor, counts its calls, and can be killed."""

    def __init__(self, engine: Engine) -> None:
        self.host = EngineHost(PoolConfig(roles=("student",), engine="scripted"), "scripted", TrainingConfig())
        self.host._engine = engine
        self.calls: Counter[str] = Counter()
        self.dead = False
        self.lose: set[str] = set()
        """Methods whose next call is lost on the way, as by a network that was away for a moment."""
        self._running: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return _Method(self, name)

    def kill(self) -> None:
        """Ends it as the death of its process would."""
        self.dead = True
        for task in self._running:
            task.cancel()

    async def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
        self.calls[name] += 1
        if self.dead:
            raise ActorDiedError()
        if name in self.lose:
            self.lose.discard(name)
            raise ActorUnavailableError("away for a moment", None)
        work: Coroutine[Any, Any, Any] = getattr(self.host, name)(*arguments)
        task = asyncio.create_task(work)
        self._running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if self.dead:
                raise ActorDiedError() from None
            raise
        except Exception as error:
            failed: Any = RayTaskError  # Ray has no types for it
            raise failed(name, "traceback", error).as_instanceof_cause() from None
        finally:
            self._running.discard(task)


class _Method:
    def __init__(self, actor: LocalActor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *arguments: Any) -> Any:
        return asyncio.ensure_future(self._actor.run(self._name, arguments))


class MortalEngine(ScriptedEngine):
    """A scripted engine whose process can die, as vLLM's can."""

    alive = True

    def load(self) -> EngineLoad:
        """See `LoadedEngine`."""
        if not self.alive:
            raise EngineDied("the process of a scripted engine died")
        return EngineLoad(requests=self.requests)

    async def _request(self) -> None:
        await super()._request()
        if not self.alive:
            raise EngineDied("the process of a scripted engine died")


def address(key: str, engine: Engine | None = None, **script: Any) -> HostAddress:
    """A host that serves."""
    return HostAddress(key, LocalActor(engine or ScriptedEngine(("Why do you think so?",), **script)))
