"""Pools that grow and shrink: between their bounds, with the live policy, and without losing a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from fleet_fakes import LocalActor
from hypothesis import given
from hypothesis import strategies as st

from agents.engines.base import Sampling
from agents.engines.chat import Chat
from agents.engines.load import EngineLoad
from agents.engines.scripted import ScriptedEngine
from agents.errors import InputError
from sim.fleet import scale as scaling
from sim.fleet import supervisor as watching
from sim.fleet.renewal import Readied, made_ready
from sim.fleet.replica import Replica
from sim.fleet.router import Router
from sim.fleet.scale import PATIENCE, REST, Scale
from sim.fleet.scaler import Scaler
from sim.fleet.supervisor import Supervisor
from sim.load import load_config
from sim.sight.records import ReplicaState


@given(
    least=st.integers(1, 3),
    more=st.integers(0, 3),
    demand=st.lists(st.integers(0, 100), min_size=1, max_size=400),
)
def test_a_pool_stays_between_its_bounds_and_grows_by_one(least: int, more: int, demand: list[int]) -> None:
    scale, number = Scale(least, least + more, places=8), least
    for asked in demand:
        each = [EngineLoad(running=min(8, asked // number), waiting=max(0, asked // number - 8))] * number
        step = scale.look(each, number=number)
        number += step
        assert step <= 1 and least <= number <= least + more


def test_it_grows_after_a_while_of_shortage_and_shrinks_after_a_long_calm() -> None:
    scale = Scale(1, 2, places=4)
    short, calm = EngineLoad(running=4, waiting=4), EngineLoad(running=1)
    assert [scale.look([short], number=1) for _ in range(PATIENCE)] == [0] * (PATIENCE - 1) + [1]
    assert not any(scale.look([short], number=2, starting=1) for _ in range(3 * PATIENCE))
    steps = [scale.look([calm, calm], number=2) for _ in range(scaling.CALM)]
    assert steps == [0] * (scaling.CALM - 1) + [-1]
    assert not any(scale.look([calm], number=1) for _ in range(2 * scaling.CALM))


def test_all_that_were_spare_all_the_time_go_at_once() -> None:
    scale, idle, busy = Scale(1, 8, places=4), EngineLoad(), EngineLoad(running=4)
    steps = [scale.look([busy] + [idle] * 5, number=6) for _ in range(scaling.CALM - 1)]
    assert not any(steps) and scale.look([idle] * 6, number=6) == -4  # with 4 requests two are needed


def test_a_full_kv_cache_is_a_shortage_too() -> None:
    scale = Scale(1, 2, places=64)
    steps = [scale.look([EngineLoad(running=40, kv_usage=0.9)], number=1) for _ in range(PATIENCE)]
    assert steps[-1] == 1


def test_a_start_that_failed_is_not_tried_again_at_once() -> None:
    scale = Scale(1, 2, places=4)
    scale.refuse()
    steps = [scale.look([EngineLoad(running=4, waiting=9)], number=1) for _ in range(REST + PATIENCE)]
    assert steps.index(1) == REST + PATIENCE - 2  # the look that ends the rest is the first of the patience


class Host(LocalActor):
    """A host with one slot that starts on the node `n1`, or not at all."""

    fails: Exception | None = None
    slow = False

    async def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """See `LocalActor`."""
        if name != "start":
            return await super().run(name, arguments)
        if self.fails:
            raise self.fails
        await asyncio.sleep(1000.0 if self.slow else 0.0)
        return 0.1, "n1"


class Crew:
    """Pools of one pool, with a router in the place of the classrooms."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.said, self.renewed = list[str](), list[str]()
        self.lock, self.slow = asyncio.Lock(), False
        self.fails: Exception | None = None
        self.router = Router("p", "room")
        self.replicas = [Replica("p", 0)]
        self.launch(self.replicas[0])
        self.replicas[0].serve()
        self.changed()
        self.fails = fails

    def members(self, pool: str) -> list[Replica]:
        """See `Crew`."""
        return self.replicas

    def delivering(self, pool: str) -> asyncio.Lock:
        """See `Crew`."""
        return self.lock

    def launch(self, replica: Replica) -> None:
        """See `Staff`."""
        replica.actor, replica.key = Host(ScriptedEngine(("Why?",), latency_seconds=0.05, slots=1)), replica.name
        replica.actor.fails, replica.actor.slow = self.fails, self.slow

    async def discard(self, actor: Any) -> None:
        """See `Staff`."""
        actor.kill()

    def policy(self, pool: str) -> AbstractAsyncContextManager[Readied | None]:
        """See `Staff`."""
        return made_ready(None)

    async def renew(self, replica: Replica, readied: Readied | None = None) -> None:
        """See `Staff`."""
        assert replica.state in ("starting", "leaving")
        self.renewed.append(replica.name)
        replica.serve()

    def changed(self) -> None:
        """See `Staff`."""
        by_state = {
            state: [replica.address for replica in self.replicas if replica.state == state]
            for state in ("serving", "leaving")
        }
        self.router.update(by_state["serving"], leaving=by_state["leaving"])

    def say(self, text: str) -> None:
        """See `Staff`."""
        self.said.append(text)

    def log(self, event: str, text: str, **facts: str) -> None:
        """See `Staff`."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(scaling, "CALM", 10)


@asynccontextmanager
async def scaled(crew: Crew, most: int) -> AsyncIterator[None]:
    """The crew under a supervisor and a scaler."""
    supervisor = Supervisor(crew)
    for replica in crew.replicas:
        supervisor.take(replica)
    scaler = Scaler(crew, supervisor)
    scaler.take("p", Scale(1, most, places=1))
    try:
        yield
    finally:
        await scaler.close()
        await supervisor.close()
        await crew.router.close()


async def _ask(router: Router, number: int) -> int:
    messages = Chat([("user", "Hello")])
    return len(await router.generate(messages, Sampling(), dialogue_id=f"d{number}"))


def test_a_pool_grows_under_load_and_shrinks_without_losing_a_request() -> None:
    crew = Crew()

    async def play() -> tuple[int, list[ReplicaState]]:
        async with scaled(crew, 3):
            answered = sum(await asyncio.gather(*(_ask(crew.router, number) for number in range(80))))
            grown = [replica.state for replica in crew.replicas]
            trickle = [asyncio.create_task(_ask(crew.router, 1000 + number)) for number in range(6)]
            answered += sum(await asyncio.gather(*trickle))
            while [replica.state for replica in crew.replicas].count("left") < len(crew.replicas) - 1:
                await asyncio.sleep(0.02)
            answered += await _ask(crew.router, 2000)
        return answered, grown

    answered, grown = asyncio.run(play())
    assert answered == 87 and crew.router.rerouted == 0
    assert grown.count("serving") > 1 and crew.renewed[0] == "p/1"
    assert [replica.state for replica in crew.replicas] == ["serving"] + ["left"] * (len(grown) - 1)
    assert all(replica.actor.dead for replica in crew.replicas[1:])
    assert any("is short of places" in text for text in crew.said) and any("p/1 serves after" in t for t in crew.said)


def test_a_replica_that_does_not_start_costs_a_message_only() -> None:
    crew = Crew(fails=RuntimeError("no room on any node"))

    async def play() -> int:
        async with scaled(crew, 2):
            answered = sum(await asyncio.gather(*(_ask(crew.router, number) for number in range(40))))
        return answered

    assert asyncio.run(play()) == 40
    assert [replica.name for replica in crew.replicas] == ["p/0"]
    assert [text for text in crew.said if "could not be added" in text] == [
        "engine p/1 could not be added: RuntimeError: no room on any node; the run goes on without it"
    ]


def test_a_start_that_is_not_needed_any_more_is_called_off() -> None:
    crew = Crew()
    crew.slow = True

    async def play() -> int:
        async with scaled(crew, 2):
            answered = sum(await asyncio.gather(*(_ask(crew.router, number) for number in range(20))))
            assert [replica.state for replica in crew.replicas] == ["serving", "starting"]
            while not any("its start is called off" in text for text in crew.said) or len(crew.replicas) > 1:
                await asyncio.sleep(0.02)
        return answered

    assert asyncio.run(play()) == 20
    assert [replica.name for replica in crew.replicas] == ["p/0"]


def _two() -> tuple[Crew, Replica]:
    """A crew of two, and the one that is not needed."""
    crew, second = Crew(), Replica("p", 1)
    crew.launch(second)
    second.serve()
    crew.replicas.append(second)
    crew.changed()
    return crew, second


def test_none_leaves_during_a_delivery_nor_after_it_where_another_one_is_out() -> None:
    crew, second = _two()

    async def play() -> None:
        async with scaled(crew, 2):
            async with crew.lock:
                await asyncio.sleep(0.5)
                assert second.state == "serving"  # it would have left by now
                crew.replicas[0].state = "out"
            await asyncio.sleep(0.2)

    asyncio.run(play())
    assert second.state == "serving" and not second.actor.dead and not any("leaves" in text for text in crew.said)


def test_one_that_leaves_stays_where_no_other_serves() -> None:
    crew, second = _two()

    async def play() -> None:
        async with scaled(crew, 2):
            while second.state == "serving":
                await asyncio.sleep(0.001)
            crew.replicas[0].state = "out"
            while not any("engine p/1 stays" in text for text in crew.said):
                await asyncio.sleep(0.001)

    asyncio.run(play())
    assert second.state == "serving" and not second.actor.dead and crew.renewed == ["p/1"]


@pytest.mark.parametrize(
    ("pool", "what"),
    [
        ({"replicas": 3, "max_replicas": 2}, "2 is less than replicas"),
        ({"max_replicas": 2, "max_num_seqs": 64}, "the pool would never grow.*in_flight to at least 97"),
        (
            {"engine": "python", "callable": "asyncio.sleep", "max_replicas": 2, "max_num_seqs": 2},
            "tells no queue to grow by",
        ),
        ({"engine": "scripted", "max_replicas": 2}, "without `slots` never has a queue"),
    ],
)
def test_a_pool_that_could_not_grow_is_refused(tmp_path: Path, pool: dict[str, Any], what: str) -> None:
    raw = {"name": "t", "pools": {"class": {"roles": ["student"]}, "tutor": {"roles": ["tutor"]} | pool}}
    file = tmp_path / "t.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(InputError, match=rf"pools\.tutor\.max_replicas.*{what}"):
        load_config(file)
