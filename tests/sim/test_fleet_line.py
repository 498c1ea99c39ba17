"""Lines and routers: batches, answers that belong to their requests, and hosts that die."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from fleet_fakes import LocalActor, MortalEngine, address
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.base import Message, Sampling
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineDied, EngineRefused, EngineUnavailable
from sim.fleet import router as routing
from sim.fleet.host import engine_processes
from sim.fleet.line import Line
from sim.fleet.router import SLACK, TRIES, Router
from sim.fleet.wire import HostAddress


def said(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def echo(messages: Sequence[Message]) -> str:
    return f"heard {messages[-1]['content']}"


async def ask(engine: Line | Router, text: str, dialogue: str = "d") -> str:
    if isinstance(engine, Line):
        found = await engine.ask(said(text), dialogue, sampling=Sampling())
    else:
        found = await engine.generate(said(text), Sampling(), dialogue_id=dialogue)
    return str(found[0].text)


async def until(holds: Callable[[], bool]) -> None:
    """Looks in every turn of the loop, so that nothing comes between."""
    while not holds():
        await asyncio.sleep(0)


def at_host(host: HostAddress) -> int:
    """Requests that a host has in hand."""
    return sum(box.open for box in host.actor.host._boxes.values())


def test_thousands_of_requests_take_few_calls_and_each_gets_its_own_answer() -> None:
    host = address("a", ScriptedEngine(echo, latency_seconds=0.05))

    async def play() -> list[str]:
        line = Line(host, "room")
        try:
            return list(await asyncio.gather(*(ask(line, f"request {i}") for i in range(3000))))
        finally:
            line.close()

    assert asyncio.run(play()) == [f"heard request {i}" for i in range(3000)]
    assert host.actor.calls["submit"] < 50 and host.actor.calls["collect"] < 300


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_errors_and_scores_reach_the_one_who_asked(program: list[tuple[bool, int]]) -> None:
    host = address("a", ScriptedEngine(echo))

    async def one(line: Line, number: int, score: bool, options: int) -> str:
        try:
            if score:
                texts = tuple("w " * (i + 1) for i in range(options)) or ("",)
                scores = await line.ask(said("x"), f"d{number}", continuations=texts)
                return ",".join(str(len(one.logprobs)) for one in scores)
            return await ask(line, str(number))
        except EngineRefused:
            return "refused"

    async def play() -> list[str]:
        line = Line(host, "room")
        try:
            return list(await asyncio.gather(*(one(line, i, *step) for i, step in enumerate(program))))
        finally:
            line.close()

    expected = [
        (",".join(str(i + 1) for i in range(options)) or "refused") if score else f"heard {number}"
        for number, (score, options) in enumerate(program)
    ]
    assert asyncio.run(play()) == expected


def test_a_request_that_nobody_wants_any_more_is_cancelled_at_the_host() -> None:
    host = address("a", ScriptedEngine(echo, latency_seconds=3600.0))

    async def play() -> bool:
        line = Line(host, "room")
        asked = asyncio.create_task(ask(line, "never mind"))
        await until(lambda: at_host(host) == 1)
        asked.cancel()
        await until(lambda: at_host(host) == 0)
        line.close()
        return asked.cancelled()

    assert asyncio.run(play())


def test_a_dead_host_ends_every_request_and_refuses_new_ones() -> None:
    host = address("a", ScriptedEngine(echo, latency_seconds=3600.0))

    async def play() -> list[BaseException | str]:
        line = Line(host, "room")
        asked = [asyncio.create_task(ask(line, str(i))) for i in range(5)]
        await until(lambda: at_host(host) == 5)
        host.actor.kill()
        found = await asyncio.gather(*asked, ask(line, "late"), return_exceptions=True)
        line.close()
        return list(found)

    assert all(isinstance(one, EngineDied) for one in asyncio.run(play()))


def test_a_dialogue_stays_with_its_replica_and_is_sent_again_when_that_dies() -> None:
    engines = [MortalEngine(echo, latency_seconds=0.02) for _ in range(3)]
    hosts = [address(f"h{i}", engine) for i, engine in enumerate(engines)]

    async def play() -> tuple[int, int]:
        router = Router("p", "room")
        router.update(hosts)
        for turn in range(4):
            await asyncio.gather(*(ask(router, f"{turn}", f"d{i}") for i in range(30)))
        by_turn = [engine.requests for engine in engines]
        assert sum(by_turn) == 120 and all(count % 4 == 0 for count in by_turn)  # nobody moved
        answers = asyncio.gather(*(ask(router, "last", f"d{i}") for i in range(30)))
        await until(lambda: engines[0].requests == by_turn[0] + 10)
        hosts[0].actor.kill()
        assert await answers == ["heard last"] * 30
        await router.close()
        return router.rerouted, router.moved

    rerouted, moved = asyncio.run(play())
    assert rerouted == 10 and moved == 0


def test_requests_wait_while_no_replica_serves() -> None:
    async def play() -> str:
        router = Router("p", "room", patience_seconds=5.0)
        router.update([])
        asked = asyncio.create_task(ask(router, "hello"))
        await asyncio.sleep(0.1)
        assert not asked.done()
        router.update([address("new", ScriptedEngine(echo))])
        answer = await asked
        await router.close()
        return answer

    assert asyncio.run(play()) == "heard hello"


def test_a_lost_pool_and_a_long_silence_are_errors_that_say_so() -> None:
    async def play() -> None:
        router = Router("p", "room", patience_seconds=0.1)
        router.update([])
        with pytest.raises(EngineUnavailable, match="no engine served for 0 s"):
            await ask(router, "hello")
        router.update([], "all its replicas were taken out")
        with pytest.raises(EngineUnavailable, match="taken out"):
            await ask(router, "hello")

    asyncio.run(play())


def test_a_request_that_kills_every_engine_ends() -> None:
    async def play() -> int:
        router, starts = Router("p", "room"), 0

        async def supervise() -> None:
            nonlocal starts
            while True:
                if not router.lines:
                    engine = MortalEngine(echo)
                    engine.alive = False
                    router.update([address(f"start{starts}", engine)])
                    starts += 1
                await asyncio.sleep(0.01)

        supervisor = asyncio.create_task(supervise())
        with pytest.raises(EngineUnavailable, match=f"{TRIES} engines died"):
            await ask(router, "poison")
        supervisor.cancel()
        await router.close()
        return starts

    assert asyncio.run(play()) >= TRIES


def test_dialogues_move_to_a_replica_that_joins() -> None:
    slow, fresh = ScriptedEngine(echo, latency_seconds=0.2), ScriptedEngine(echo, latency_seconds=0.2)

    async def play() -> int:
        router = Router("p", "room")
        first = address("first", slow)
        router.update([first])

        async def dialogue(name: str) -> None:
            for turn in range(4):
                await ask(router, str(turn), name)

        running = asyncio.gather(*(dialogue(f"d{i}") for i in range(4 * SLACK)))
        await asyncio.sleep(0.1)
        router.update([first, address("second", fresh)])
        await running
        await router.close()
        return router.moved

    assert asyncio.run(play()) > 0
    assert fresh.requests > SLACK and slow.requests + fresh.requests == 16 * SLACK


def test_dialogues_move_away_from_a_replica_that_lags() -> None:
    quick, lagging = ScriptedEngine(echo, latency_seconds=0.01), ScriptedEngine(echo, latency_seconds=0.5)

    async def play() -> tuple[int, int]:
        router = Router("p", "room")
        router.update([address("lagging", lagging), address("quick", quick)])

        async def dialogue(name: str, turns: int) -> None:
            for turn in range(turns):
                await ask(router, str(turn), name)

        await asyncio.gather(*(dialogue(f"d{i}", 8) for i in range(8 * SLACK)))
        await router.close()
        return router.moved, router.rerouted

    moved, rerouted = asyncio.run(play())
    assert moved > SLACK and rerouted == 0
    assert quick.requests + lagging.requests == 64 * SLACK and quick.requests > 2 * lagging.requests


def test_the_fake_actor_raises_as_ray_does() -> None:
    async def play() -> None:
        engine = MortalEngine(echo)
        actor = LocalActor(engine)
        engine.alive = False
        with pytest.raises(EngineDied):
            await actor.health.remote()

    asyncio.run(play())


def test_a_line_that_broke_is_opened_anew_and_takes_no_answers_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "REOPEN_SECONDS", 0.2)
    # With five slots the new ones are answered only after the old ones were: not by the call that is still answered.
    host = address("a", ScriptedEngine(echo, latency_seconds=0.3, slots=5))

    async def play() -> tuple[list[str], int]:
        router = Router("p", "room", patience_seconds=10.0)
        router.update([host])
        await ask(router, "warm")
        asked = [asyncio.create_task(ask(router, f"old {i}", f"d{i}")) for i in range(5)]
        await until(lambda: at_host(host) == 5)
        host.actor.lose.add("collect")  # the host goes on computing what the old line asked
        answers = await asyncio.gather(*asked, *(ask(router, f"new {i}", f"e{i}") for i in range(5)))
        await router.close()
        return list(answers), router.rerouted

    answers, rerouted = asyncio.run(play())
    assert answers == [f"heard old {i}" for i in range(5)] + [f"heard new {i}" for i in range(5)]
    assert rerouted >= 5


def test_an_engines_process_is_found_whichever_thread_started_it() -> None:
    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"])

    with ThreadPoolExecutor(1) as threads:
        children = [started(), threads.submit(started).result()]
        try:
            assert {child.pid for child in children} <= set(engine_processes(os.getpid()))
        finally:
            for child in children:
                child.kill()
                child.wait()
