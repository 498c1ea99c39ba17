"""The supervisor: whatever goes wrong with a replica, it is revived, or taken out, and never forgotten."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from fleet_fakes import LocalActor, MortalEngine

from agents.engines.load import EngineLoad
from sim.fleet import supervisor as watching
from sim.fleet.renewal import Readied, made_ready
from sim.fleet.replica import SHORT_LIVES, Replica
from sim.fleet.supervisor import Supervisor


class Host(LocalActor):
    """A host that starts, on the node `n1`."""

    async def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """See `LocalActor`."""
        return (0.1, "n1") if name == "start" else await super().run(name, arguments)


class Crew:
    """A staff whose renewals fail as told."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures, self.said, self.states = failures, list[str](), list[str]()
        self.replica = Replica("p", 0)
        self.launch(self.replica)
        self.replica.serve()

    def launch(self, replica: Replica) -> None:
        """See `Staff`."""
        replica.actor, replica.key = Host(MortalEngine(("Why?",))), f"start {len(self.states)}"

    async def discard(self, actor: Any) -> None:
        """See `Staff`."""
        actor.kill()

    def policy(self, pool: str) -> AbstractAsyncContextManager[Readied | None]:
        """See `Staff`."""
        return made_ready(None)

    async def renew(self, replica: Replica, readied: Readied | None = None) -> None:
        """See `Staff`."""
        if self.failures:
            raise self.failures.pop(0)
        replica.serve()

    def changed(self) -> None:
        """See `Staff`."""
        self.states.append(self.replica.state)

    def say(self, text: str) -> None:
        """See `Staff`."""
        self.said.append(text)

    def log(self, event: str, text: str, **facts: str) -> None:
        """See `Staff`."""


async def _watched(crew: Crew, news: str) -> None:
    """Watches until something is said."""
    supervisor = Supervisor(crew)
    supervisor.take(crew.replica)
    while not any(news in text for text in crew.said):
        await asyncio.sleep(0.01)
    await supervisor.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "CHECK_SECONDS", 0.02)


def test_an_actor_or_an_engine_that_died_is_started_anew() -> None:
    for way in ("actor", "engine"):
        crew = Crew([])
        if way == "actor":
            crew.replica.actor.kill()
        else:
            crew.replica.actor.host._engine.alive = False
        asyncio.run(_watched(crew, "serves again"))
        assert crew.replica.state == "serving" and crew.replica.restarts == 1 and crew.replica.node == "n1"


def test_a_renewal_that_fails_in_any_way_is_tried_again() -> None:
    crew = Crew([OSError(28, "No space left on device")])
    crew.replica.actor.kill()
    asyncio.run(_watched(crew, "serves again"))
    assert crew.replica.state == "serving"
    assert any("No space left" in text for text in crew.said)


def test_one_that_never_gets_up_is_taken_out() -> None:
    crew = Crew([RuntimeError("no")] * 20)
    crew.replica.actor.kill()
    asyncio.run(_watched(crew, "taken out"))
    assert crew.replica.state == "out" and len(crew.failures) == 20 - SHORT_LIVES + 1
    assert crew.states[-1] == "out"


def test_a_death_on_purpose_does_not_count() -> None:
    crew = Crew([])

    async def play() -> None:
        supervisor = Supervisor(crew)
        supervisor.take(crew.replica)
        for _ in range(2 * SHORT_LIVES):
            crew.replica.spared = True
            crew.replica.actor.kill()
            restarts = crew.replica.restarts
            while crew.replica.restarts == restarts:
                await asyncio.sleep(0.01)
        await supervisor.close()

    asyncio.run(play())
    assert crew.replica.state == "serving" and crew.replica.restarts == 2 * SHORT_LIVES


@pytest.mark.parametrize("beats", range(8))
def test_it_is_closed_also_where_an_engine_answers_at_that_moment(beats: int) -> None:
    crew, answer = Crew([]), asyncio.Event()

    class Late(Host):
        async def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
            """See `LocalActor`."""
            self.calls["seen"] += 1
            await answer.wait()
            return EngineLoad()

    async def play() -> None:
        crew.replica.actor = Late(MortalEngine(("Why?",)))
        supervisor = Supervisor(crew)
        supervisor.take(crew.replica)
        while not crew.replica.actor.calls["seen"]:
            await asyncio.sleep(0.001)
        answer.set()
        for _ in range(beats):  # of the loop, from the answer to the one that waits for it
            await asyncio.sleep(0)
        async with asyncio.timeout(60):  # a close that hangs, hangs for ever
            await supervisor.close()

    asyncio.run(play())
