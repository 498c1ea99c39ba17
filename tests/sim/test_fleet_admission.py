"""Who begins next, how many are under way, and that nothing is lost between begin and end."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from builders import cast, config, spec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.load import EngineLoad
from agents.engines.scripted import ScriptedEngine
from agents.errors import InputError
from agents.records import Dialogue, EpisodeSpec
from sim.fleet.admission import LEAST, FairQueue, Limit
from sim.fleet.dispatch import Batch, Dispatch, Halt

LOADS = st.builds(
    EngineLoad,
    running=st.integers(0, 64),
    waiting=st.integers(0, 200),
    kv_usage=st.none() | st.floats(0, 1),
    preemptions=st.integers(0, 5),
)


def spoken(number: int, tutor: str) -> EpisodeSpec:
    from dataclasses import replace

    return replace(spec(number), id=f"{tutor}-{number}", tutor=tutor)


@given(st.integers(1, 500), st.none() | st.integers(1, 500), st.lists(st.tuples(LOADS, st.integers(0, 500))))
def test_the_limit_stays_in_its_bounds(most: int, places: int | None, seen: list[tuple[EngineLoad, int]]) -> None:
    limit = Limit(most, places)
    for load, under_way in seen:
        limit.look({"engine": load}, under_way)
        assert min(LEAST, most) <= limit.value <= most


def test_the_limit_grows_while_there_is_room_and_shrinks_when_there_is_not() -> None:
    limit = Limit(400, places=64)
    assert limit.value == 64
    roomy = EngineLoad(running=60, waiting=0, kv_usage=0.3)
    limit.look({"e": roomy}, under_way=10)
    assert limit.value == 64  # the places it has are not used
    limit.look({"e": roomy}, under_way=64)
    assert limit.value == 80
    limit.look({"e": EngineLoad(running=64, waiting=90, kv_usage=0.3)}, under_way=80)
    assert limit.value == 80  # a longer queue would only be longer
    limit.look({"e": EngineLoad(running=64, kv_usage=0.5, preemptions=3)}, under_way=80)
    assert limit.value == 64
    limit.look({"e": EngineLoad(running=64, kv_usage=0.99, preemptions=3)}, under_way=64)
    assert limit.value == 51
    limit.look({"new engine": EngineLoad(kv_usage=0.1)}, under_way=51)  # began to count anew: no preemption
    assert limit.value == 64


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 20), st.randoms())
def test_every_episode_begins_once_and_no_tutor_starves(tutors: list[str], limit: int, chance: object) -> None:
    specs = [spoken(i, tutor) for i, tutor in enumerate(tutors)]
    queue, running, begun = FairQueue(specs), list[EpisodeSpec](), list[EpisodeSpec]()
    while True:
        while len(running) < limit and (found := queue.next(limit)) is not None:
            waiting = {s.tutor_name for s in specs if s not in begun}
            assert queue.under_way[found.tutor_name] <= max(1, -(-limit // len(waiting))) or all(
                queue.under_way[t] >= max(1, -(-limit // len(waiting))) for t in waiting
            )
            running.append(found)
            begun.append(found)
        if not running:
            break
        ended = running.pop(chance.randrange(len(running)))  # type: ignore[attr-defined]
        queue.ended(ended)
    assert sorted(s.id for s in begun) == sorted(s.id for s in specs)
    for tutor in set(tutors):
        assert [s.id for s in begun if s.tutor_name == tutor] == [s.id for s in specs if s.tutor_name == tutor]


def test_a_slow_tutor_does_not_stop_the_others() -> None:
    queue = FairQueue([spoken(i, tutor) for i in range(20) for tutor in ("slow", "quick")])
    quick = 0
    for _ in range(100):
        found = queue.next(4)
        if found is None or queue.under_way["slow"] > 2:
            break
        if found.tutor_name == "quick":
            queue.ended(found)
            quick += 1
    assert quick == 20


async def _all(dispatch: Dispatch) -> list[Dialogue]:
    return [dialogue async for batch in dispatch.dialogues() for dialogue in batch]


@given(st.integers(1, 40), st.integers(1, 8))
@settings(max_examples=15, deadline=None)
def test_every_dialogue_comes_out_once_and_the_limit_holds(number: int, in_flight: int) -> None:
    made = config(run={"in_flight": in_flight}, dialogue={"turns": 1}, probes={"question": False, "transfer": False})
    most = 0

    class Counting(ScriptedEngine):
        open = 0

        async def generate(self, *arguments: object, **named: object) -> list[object]:  # type: ignore[override]
            nonlocal most
            Counting.open += 1
            most = max(most, Counting.open)
            await asyncio.sleep(0.001)
            Counting.open -= 1
            return await super().generate(*arguments, **named)  # type: ignore[arg-type,return-value]

    engine = Counting(("Why?",))
    dispatch = Dispatch(made, cast(made, tutor=engine), [Batch([spec(i) for i in range(number)], 1)])
    found = asyncio.run(_all(dispatch))
    assert Counter(dialogue.id for dialogue in found) == Counter(f"run-{i}" for i in range(number))
    assert most <= in_flight and sum(dispatch.done.values()) == number


def test_a_slow_reader_holds_the_classroom_back() -> None:
    made = config(
        run={"in_flight": 10},
        dialogue={"turns": 1},
        probes={"question": False, "transfer": False},
    )
    dispatch = Dispatch(made, cast(made), [Batch([spec(i) for i in range(500)], 1)])

    async def read_slowly() -> tuple[int, int]:
        batches = dispatch.dialogues()
        first = len(await anext(batches))
        await asyncio.sleep(0.5)
        waiting = sum(dispatch.done.values()) - first
        return waiting, first + sum([len(batch) async for batch in batches])

    waiting, found = asyncio.run(read_slowly())
    assert waiting <= 64 + 10 and found == 500


def test_a_halt_begins_no_more_and_a_bug_is_raised() -> None:
    made = config(run={"in_flight": 2}, probes={"question": False, "transfer": False})
    halt = Halt()

    async def drained() -> int:
        dispatch = Dispatch(made, cast(made), [Batch([spec(i) for i in range(50)], 1)], halt=halt)
        count = 0
        async for batch in dispatch.dialogues():
            count += len(batch)
            halt.drained = True
        return count

    assert asyncio.run(drained()) < 50
    with pytest.raises(InputError, match="no item"):
        lost = [Batch([spec(0, item="no such item")], 1)]
        asyncio.run(_all(Dispatch(made, cast(made), lost)))
