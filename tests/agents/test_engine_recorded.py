"""Recording and replay: the contract, the same course again, and errors that say where a run parts from the tape."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from builders import config, spec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.base import Completion, Engine, Message, PolicyEngine, Sampling, Score
from agents.engines.recorded import Player, RecordingEngine, ReplayEngine
from agents.engines.scripted import ScriptedEngine
from agents.engines.tape import Recorder, Recording
from agents.errors import DeliveryError, EngineRefused, EngineUnavailable
from agents.records import Dialogue, EpisodeSpec, Usage, dialogue_to_json
from sim.classroom import cast_of, teach
from sim.config import Config
from sim.meters import Meter
from tests.agents.contract import MESSAGES, check_engine

PATIENCE = 0.02
LONG = "a long question " * 6


class MoodyEngine:
    """Never answers the same twice: few texts, random scores, random times, and now and then an error."""

    def __init__(self, seed: int, *, fails: float = 0.0, seconds: float = 0.0) -> None:
        self._random, self._fails, self._seconds = random.Random(seed), fails, seconds
        self.requests = 0

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        await self._wait()
        said = ("What do you see when the Earth turns?", "It is fine.", '{"reason": "r", "verdict": "OK"}')
        return [Completion(self._random.choice(said), usage=Usage(7, 3, 0.1)) for _ in range(sampling.n)]

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        await self._wait()
        return [Score((-self._random.random(), -1.0 / 3.0), Usage(5, 0, 0.1)) for _ in continuations]

    async def close(self) -> None:
        pass

    async def _wait(self) -> None:
        self.requests += 1
        for _ in range(self._random.randrange(6)):
            await asyncio.sleep(0)
        await asyncio.sleep(self._seconds)
        if self._random.random() < self._fails:
            raise EngineUnavailable(f"request {self.requests} failed")


def specs(n: int) -> list[EpisodeSpec]:
    return [spec(i) for i in range(n)]


def course(
    settings: Config, engine: Engine | None, which: Sequence[EpisodeSpec], candidates: int = 1
) -> list[Dialogue]:
    """What a classroom makes of episodes, as lines; without an engine it has to be a replay."""
    roles = ("tutor", "student", "judge") if engine is not None else ()
    engines: dict[str, Engine] = {role: engine for role in roles if engine is not None}

    async def run() -> list[Dialogue]:
        cast = cast_of(settings, engines, Meter())
        return [one async for one in teach(settings, cast, which, candidates=candidates)]

    return sorted(asyncio.run(run()), key=lambda dialogue: dialogue.id)


def lines(dialogues: Sequence[Dialogue]) -> list[str]:
    return [dialogue_to_json(dialogue) for dialogue in dialogues]


def on_tape(folder: Path, *, replay: bool = False, **changes: object) -> Config:
    pools = {"class": {"roles": ("student", "judge"), "engine": "scripted"}, "tutor": {"roles": ("tutor",)}}
    return config(pools=pools, run={"replay" if replay else "record": str(folder)}, **changes)


def test_contract(tmp_path: Path) -> None:
    asyncio.run(check_engine(RecordingEngine(ScriptedEngine(["Why?", "What changes?"]), Recorder(tmp_path), "tutor")))
    asyncio.run(check_engine(ReplayEngine(Player(tmp_path), "tutor")))


class MuteEngine(ScriptedEngine):
    """Cannot score."""

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        raise EngineRefused("this engine cannot score")


def test_contract_without_scores(tmp_path: Path) -> None:
    asyncio.run(check_engine(RecordingEngine(MuteEngine(["Why?"]), Recorder(tmp_path), "tutor"), scores=False))
    asyncio.run(check_engine(ReplayEngine(Player(tmp_path), "tutor"), scores=False))


def test_a_policy_is_delivered_through_the_recording(tmp_path: Path) -> None:
    (tmp_path / "proof.json").write_text('{"sequences": [[1, 2]], "new": [[-0.5]]}')
    engine = RecordingEngine(ScriptedEngine(["Why?"]), Recorder(tmp_path / "tape"), "tutor")
    assert isinstance(engine, PolicyEngine)

    async def deliver() -> str:
        await engine.deliver("tutor/v0001", adapter=str(tmp_path))
        assert await engine.token_logprobs([[1, 2]]) == [[-0.5]]
        return (await engine.generate(MESSAGES, Sampling(), dialogue_id="d"))[0].policy_version

    assert asyncio.run(deliver()) == "tutor/v0001"
    (entry,) = Recording(tmp_path / "tape").entries("d")
    assert entry.completions is not None and entry.completions[0].policy_version == "tutor/v0001"
    plain = RecordingEngine(MoodyEngine(0), Recorder(tmp_path / "tape"), "tutor")
    with pytest.raises(DeliveryError, match="MoodyEngine cannot take a trained policy"):
        asyncio.run(plain.deliver("tutor/v0001"))


def test_dialogues_are_replayed_byte_for_byte(tmp_path: Path) -> None:
    rubric = {"name": "convolearn", "votes": 3}
    wanted = lines(course(on_tape(tmp_path, rubric=rubric, probes={"turn": True}), MoodyEngine(1), specs(6)))
    again = on_tape(tmp_path, replay=True, rubric=rubric, probes={"turn": True})
    assert lines(course(again, None, specs(6))) == wanted
    assert lines(course(again, None, specs(6)[::-1])) == wanted, "the order of dialogues does not matter"
    other = course(config(rubric=rubric, probes={"turn": True}), MoodyEngine(2), specs(6))
    assert lines(other) != wanted, "without the tape they differ"


@pytest.mark.parametrize("seed", range(5))
def test_concurrent_candidates_take_the_same_course(tmp_path: Path, seed: int) -> None:
    shape: dict[str, Any] = {"kind": "loop", "dialogue": {"turns": 2, "lookahead": 2}}
    wanted = lines(course(on_tape(tmp_path, **shape), MoodyEngine(seed), specs(3), 6))
    assert lines(course(on_tape(tmp_path, replay=True, **shape), None, specs(3), 6)) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_failed_dialogues_fail_again_alike(tmp_path: Path, seed: int) -> None:
    shape: dict[str, Any] = {"kind": "loop", "dialogue": {"turns": 2, "lookahead": 1}}
    made = course(on_tape(tmp_path, **shape), MoodyEngine(seed, fails=0.02), specs(12), 4)
    failed = {dialogue.failure.error for dialogue in made if dialogue.failure}
    assert failed == {"EngineUnavailable"} and any(dialogue.failure is None for dialogue in made)
    assert lines(course(on_tape(tmp_path, replay=True, **shape), None, specs(12), 4)) == lines(made)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("turns", [1, 2])
def test_judges_beside_the_last_probes_replay(tmp_path: Path, seed: int, turns: int) -> None:
    shape: dict[str, Any] = {"rubric": {"name": "convolearn", "votes": 2}, "dialogue": {"turns": turns}}
    made = course(on_tape(tmp_path, **shape), MoodyEngine(seed, seconds=0.001), specs(4))
    assert all(dialogue.failure is None for dialogue in made)
    assert lines(course(on_tape(tmp_path, replay=True, **shape), None, specs(4))) == lines(made)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("every_turn", [False, True])
def test_a_failure_beside_probes_replays(tmp_path: Path, seed: int, every_turn: bool) -> None:
    shape: dict[str, Any] = {"dialogue": {"turns": 3}, "probes": {"turn": every_turn}}
    made = course(on_tape(tmp_path, **shape), MoodyEngine(seed, fails=0.06), specs(24))
    places = {dialogue.failure.where.split()[0] for dialogue in made if dialogue.failure}
    assert len(places) > 2 and any(dialogue.failure is None for dialogue in made)
    assert lines(course(on_tape(tmp_path, replay=True, **shape), None, specs(24))) == lines(made)


def test_the_time_limit_comes_again_at_once(tmp_path: Path) -> None:
    slow = on_tape(tmp_path).model_dump() | {"run": {"record": str(tmp_path), "dialogue_timeout_seconds": 0.05}}
    made = course(Config.model_validate(slow), MoodyEngine(0, seconds=5.0), specs(2))
    assert [one.failure.error for one in made if one.failure] == ["TimeoutError"] * 2
    # The replay's own limit is that of the defaults, minutes: one that waited would hang here.
    assert lines(course(on_tape(tmp_path, replay=True), None, specs(2))) == lines(made)


def test_an_interrupted_recording_goes_on(tmp_path: Path) -> None:
    settings, engine = on_tape(tmp_path), MoodyEngine(3, seconds=0.001)

    async def interrupted() -> list[Dialogue]:
        cast, found = cast_of(settings, {"tutor": engine, "student": engine}, Meter()), []
        classroom = teach(settings, cast, specs(8), candidates=1)
        async for dialogue in classroom:
            found.append(dialogue)
            if len(found) == 3:
                break
        await classroom.aclose()  # as a kill does: the others are cut off
        return found

    stored = asyncio.run(interrupted())
    done = {dialogue.id for dialogue in stored}
    stored += course(settings, engine, [one for one in specs(8) if one.id not in done])
    wanted = lines(sorted(stored, key=lambda dialogue: dialogue.id))
    assert len(wanted) == 8 and len(list(tmp_path.glob("tape-*"))) == 2
    assert lines(course(on_tape(tmp_path, replay=True), None, specs(8))) == wanted


async def _branch(engine: Engine, said: tuple[str, ...], depth: int) -> tuple[str, ...]:
    """Asks on, alone or in branches, and makes what it asks next of what it heard."""
    if depth == 0:
        return said
    messages: list[Message] = [{"role": "user", "content": "/".join(said)}]
    (reply,) = await engine.generate(messages, Sampling(), dialogue_id="d")
    if len(reply.text) % 2:
        return await _branch(engine, (*said, reply.text), depth - 1)
    found = await asyncio.gather(*(_branch(engine, (reply.text[:1],), depth - 1) for _ in range(3)))
    return tuple(text for texts in found for text in texts)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_any_concurrent_program_takes_the_same_course(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inner = RecordingEngine(MoodyEngine(seed), Recorder(Path(folder)), "tutor")
        wanted = asyncio.run(_branch(inner, ("start",), 4))
        assert asyncio.run(_branch(ReplayEngine(Player(Path(folder)), "tutor"), ("start",), 4)) == wanted


def _play(folder: Path, *texts: str, role: str = "tutor", sampling: Sampling | None = None) -> None:
    """Replays requests one after the other."""

    async def play() -> None:
        player = Player(folder, patience_seconds=PATIENCE)
        engine = ReplayEngine(player, role)
        for text in texts:
            asked: list[Message] = [{"role": "user", "content": text}]
            await engine.generate(asked, sampling or Sampling(), dialogue_id="d")

    asyncio.run(play())


def _recorded(folder: Path, *texts: str, end: bool = True) -> None:
    async def record() -> None:
        recorder = Recorder(folder)
        engine = RecordingEngine(ScriptedEngine(["yes"]), recorder, "tutor")
        for text in texts:
            await engine.generate([{"role": "user", "content": text}], Sampling(), dialogue_id="d")
        if end:
            recorder.end("d", 1.0)

    asyncio.run(record())


@pytest.mark.parametrize(
    ("texts", "more", "said"),
    [
        (("one", "three"), {}, r"last message begins 'three'; the next recorded one begins 'two'"),
        (("one", "one"), {}, r"the recorded dialogue asked that 1 times only"),
        (("one", "two", LONG, "more"), {}, r"all recorded requests of this role were answered already"),
        (("one",), {"sampling": Sampling(n=2)}, r"the same messages were recorded with another sampling"),
        (("one",), {"role": "student"}, r"asks the student .* nothing was recorded of this role"),
        (("one", "two", f"{LONG} and more"), {}, r"begins the same, but goes on or was preceded differently"),
    ],
)
def test_a_request_that_was_not_recorded(
    tmp_path: Path, texts: tuple[str, ...], more: dict[str, object], said: str
) -> None:
    _recorded(tmp_path, "one", "two", LONG)
    with pytest.raises(EngineRefused, match=said) as caught:
        _play(tmp_path, *texts, **more)  # type: ignore[arg-type]
    assert "dialogue 'd'" in str(caught.value) and "changed since the recording" in str(caught.value)


def test_a_dialogue_that_was_not_recorded_or_cut_short(tmp_path: Path) -> None:
    _recorded(tmp_path, "one", end=False)
    with pytest.raises(EngineRefused, match="cut short"):
        _play(tmp_path, "one", "two")

    async def other() -> None:
        await ReplayEngine(Player(tmp_path), "tutor").generate(MESSAGES, Sampling(), dialogue_id="other")

    with pytest.raises(EngineRefused, match="nothing was recorded of this dialogue"):
        asyncio.run(other())


def test_a_replay_that_leaves_a_request_out_does_not_hang(tmp_path: Path) -> None:
    _recorded(tmp_path, "one", "two")
    with pytest.raises(EngineRefused, match="waits for .*'two', but .* the tutor was asked 'one' before"):
        _play(tmp_path, "two")


def test_begin_counts_from_the_start_and_end_gives_the_recorded_seconds(tmp_path: Path) -> None:
    _recorded(tmp_path, "one")

    async def twice() -> None:
        player = Player(tmp_path)
        engine = ReplayEngine(player, "tutor")
        asked: list[Message] = [{"role": "user", "content": "one"}]
        for _ in range(2):
            player.begin("d")
            assert [one.text for one in await engine.generate(asked, Sampling(), dialogue_id="d")] == ["yes"]
            assert player.end("d", 99.0) == 1.0 == player.seconds("d")
        with pytest.raises(EngineRefused, match="is over"):
            await engine.generate(asked, Sampling(), dialogue_id="d")
        assert player.end("unknown", 2.5) == 2.5 and player.seconds("unknown") is None

    asyncio.run(twice())


def test_a_changed_prompt_fails_the_dialogue_with_the_reason(tmp_path: Path) -> None:
    course(on_tape(tmp_path), MoodyEngine(1), specs(2))
    changed = on_tape(tmp_path, replay=True, tutor={"max_tokens": 44})
    failures = [dialogue.failure for dialogue in course(changed, None, specs(2))]
    assert [failure.error for failure in failures if failure] == ["EngineRefused"] * 2
    assert all(failure and "another sampling" in failure.message for failure in failures)


def test_dialogues_do_not_share_occurrences(tmp_path: Path) -> None:
    async def record() -> list[str]:
        engine = RecordingEngine(MoodyEngine(5), Recorder(tmp_path), "tutor")
        found = await asyncio.gather(
            *(engine.generate(MESSAGES, Sampling(n=4), dialogue_id=f"d{i % 3}") for i in range(12))
        )
        return [one.text for completions in found for one in completions]

    async def replay() -> list[str]:
        engine = ReplayEngine(Player(tmp_path), "tutor")
        found = await asyncio.gather(
            *(engine.generate(MESSAGES, Sampling(n=4), dialogue_id=f"d{i % 3}") for i in range(12))
        )
        return [one.text for completions in found for one in completions]

    assert asyncio.run(record()) == asyncio.run(replay())
