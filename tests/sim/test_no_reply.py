"""A tutor that answers without a reply, from the engine to the tables: never a turn, always counted and paid."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import config, spec
from fleet_fakes import address

from agents.engines.base import Completion, Engine, Message, Sampling, Score
from agents.engines.openai import OpenAIEngine
from agents.engines.python import PythonEngine
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineError, EngineUnavailable, NoReply
from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec, Failure, Usage, dialogue_from_json, dialogue_to_json
from sim.analysis import phase_counts
from sim.classroom import cast_of, teach
from sim.config import Config
from sim.episode import Episode
from sim.experiment.experiment import analyse
from sim.fleet.router import Router
from sim.grid import experiment_specs
from sim.meters import Meter
from sim.simulate import counts_for_breaker
from tests.agents.server import Answer, FakeServer, chat

ITEM = load_pack("earth_science").item("es-astro-01")
STUDENT = ScriptedEngine(("I think it is because of the sun.", "Hm, maybe not."))
SILENT = Answer(body=chat("", usage=(10, 6), finish="length"))


def held(given: Config, tutor: Engine, which: Sequence[EpisodeSpec], *, candidates: int = 1) -> list[Dialogue]:
    """The dialogues, as a classroom holds them."""

    async def run() -> list[Dialogue]:
        engines: dict[str, Engine] = {} if given.run.replay else {"tutor": tutor, "student": STUDENT}
        cast = cast_of(given, engines, Meter())
        found = [one async for one in teach(given, cast, which, candidates=candidates)]
        await tutor.close()
        return found

    return sorted(asyncio.run(run()), key=lambda dialogue: dialogue.id)


def test_a_tutor_that_never_says_anything_has_failed_dialogues_and_no_figures() -> None:
    tutors = [{"name": "mute"}, {"name": "dump", "control": "answer_dump"}]
    given = config(tutors=tutors, items={"limit": 5}, experiment={"resamples": 50, "baseline": "dump"})
    which = experiment_specs(given)
    mute = sum(one.tutor_name == "mute" for one in which)
    with FakeServer([SILENT] * 3 * mute) as server:
        dialogues = held(given, OpenAIEngine("m", server.url, "key"), which)
        assert len(server.requests) == 3 * mute
    failures = [one.failure for one in dialogues if one.spec.tutor_name == "mute"]
    assert mute == 10 and Counter(one.error for one in failures if one) == {"NoReply": mute}
    assert all(one and one.where == "tutor turn 1" and "raise max_tokens" in one.message for one in failures)
    found = analyse(given, dialogues, planned=which)
    rows = {row["tutor"]: row for row in found["tutors"]}
    assert (rows["mute"]["n"], rows["mute"]["n_failed"], rows["dump"]["n"]) == (0, mute, mute)
    assert "leak_rate" not in rows["mute"]["figures"]
    assert found["comparisons"] and all(row["n"] == 0 and row["p"] is None for row in found["comparisons"])
    assert "30 answers of a model held no reply" in " ".join(found["methods"])
    counts = phase_counts(dialogues)[which[0].phase]
    assert (counts["n_no_replies"], counts["failures"]) == (30, {"NoReply": mute})
    # What was answered without a reply was paid: tokens of the failed dialogues, beside the probes of the student.
    assert all(one.usage.completion_tokens == 18 for one in dialogues if one.spec.tutor_name == "mute")
    assert all(dialogue_from_json(dialogue_to_json(one)) == one for one in dialogues)


def test_a_mute_tutor_is_not_given_up_and_a_broken_one_is() -> None:
    silent, broken, limited, late = (
        replace(Dialogue(spec()), failure=Failure(error, where, "x"))
        for error, where in (
            *(("NoReply", "tutor turn 1"), ("EngineUnavailable", "tutor turn 1"), ("RateLimited", "tutor turn 3")),
            ("EngineUnavailable", "student turn 2"),
        )
    )
    assert [counts_for_breaker(one) for one in (silent, broken, limited, late, Dialogue(spec()))] == [
        *(False, True, False, False, True),
    ]


class Halting:
    """Says something by every second answer only."""

    def __init__(self) -> None:
        self.inner = ScriptedEngine(("What do you see?", "", "Why is that so?", " \n"))
        self.asked = 0

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        return await self.inner.generate(messages, sampling, dialogue_id=dialogue_id)

    score = STUDENT.score
    close = STUDENT.close


def test_candidates_without_a_reply_are_missing_and_the_others_stay() -> None:
    given = config(dialogue={"turns": 2}, probes={"question": False, "transfer": False})
    (found,) = held(given, Halting(), [spec()], candidates=4)
    assert found.failure is None
    assert [len(turn.candidates) for turn in found.tutor_turns] == [2, 2]
    assert found.usage.no_replies == 4
    assert all(candidate.text.strip() for turn in found.tutor_turns for candidate in turn.candidates)


def test_a_failure_without_a_reply_replays_alike(tmp_path: Path) -> None:
    recorded = config(run={"record": str(tmp_path / "tape")})
    with FakeServer([SILENT] * 3) as server:
        before = held(recorded, OpenAIEngine("m", server.url, "key", price_per_million=(1.0, 1.0)), [spec()])
    again = held(config(run={"replay": str(tmp_path / "tape")}), ScriptedEngine(("unused",)), [spec()])
    assert [one.failure.error for one in before if one.failure] == ["NoReply"] and before[0].usage.no_replies == 3
    assert before[0].usage.cost == pytest.approx(48 / 1e6)
    assert [dialogue_to_json(one) for one in again] == [dialogue_to_json(one) for one in before]


class Breaking(ScriptedEngine):
    """Says its lines for some tokens each; `None` among them is an engine that fails, having spent one."""

    def __init__(self, *lines: str | None, tokens: int = 10) -> None:
        super().__init__(("x",))
        self.lines, self.tokens = list(lines), tokens

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        line = self.lines.pop(0)
        if line is None:
            error = EngineUnavailable("gone")
            error.usage = Usage(completion_tokens=1)
            raise error
        return [Completion(line, usage=Usage(completion_tokens=0 if i else self.tokens)) for i in range(sampling.n)]


class Odd(Breaking):
    """Fails in ways that are no engine's: `bug` raises, `hang` never answers, and no score is a number."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        if self.lines[0] == "bug":
            raise KeyError("x")
        if self.lines[0] == "hang":
            await asyncio.Event().wait()
        return await super().generate(messages, sampling, dialogue_id=dialogue_id)

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        return [Score((math.nan,), usage=Usage(completion_tokens=1)) for _ in continuations]


FORGED = "Student: Because of the sun."
SEEN = "What do you see?"
PHASE = {"loop": "simulate/0001", "run": "run"}


@pytest.mark.parametrize(
    ("changes", "candidates", "lines", "spent"),
    [
        ({"dialogue": {"turns": 1}}, 1, (FORGED, None), 11),
        ({"dialogue": {"turns": 1}}, 1, (FORGED, FORGED, None), 21),
        ({"kind": "loop", "dialogue": {"turns": 1, "exploration": 0.5}}, 2, (SEEN, None), 11),
        ({"kind": "loop", "dialogue": {"turns": 1, "exploration": 0.5}}, 2, (None, SEEN), 11),
        ({"kind": "loop", "dialogue": {"turns": 1, "exploration": 0.5}}, 2, (None, None), 2),
        # The candidates, then the look-ahead of each: one is rolled on twice, the other fails at its second reply.
        ({"dialogue": {"turns": 1, "lookahead": 2, "exploration": 0.0}}, 2, (SEEN, SEEN, SEEN, SEEN, None), 41),
    ],
)
def test_a_dialogue_that_fails_has_paid_for_what_was_answered_before_and_beside(
    changes: dict[str, Any], candidates: int, lines: tuple[str | None, ...], spent: int
) -> None:
    given = config(**changes, probes={"question": False, "transfer": False})
    tutor, student = Breaking(*lines), Breaking(*["Hm, maybe not."] * 9, tokens=0)
    cast = cast_of(given, {"tutor": tutor, "student": student}, Meter())
    found = asyncio.run(Episode(spec(phase=PHASE[given.kind]), ITEM, cast, given, candidates=candidates).run())
    assert found.failure is not None and found.failure.error == "EngineUnavailable" and not tutor.lines
    assert found.usage.completion_tokens == spent


QUIET = {"question": False, "transfer": False}


@pytest.mark.parametrize(
    ("changes", "candidates", "lines", "error", "spent"),
    [
        ({"dialogue": {"turns": 1}, "probes": QUIET}, 1, (FORGED, "bug"), "KeyError", 10),
        ({"dialogue": {"turns": 2}, "probes": QUIET}, 1, (SEEN, "hang"), "TimeoutError", 10),
        ({"dialogue": {"turns": 1}, "probes": QUIET}, 1, (FORGED, FORGED, "hang"), "TimeoutError", 20),
        (
            {"kind": "loop", "dialogue": {"turns": 1, "exploration": 0.5}, "probes": QUIET},
            2,
            (SEEN, "hang"),
            "TimeoutError",
            10,
        ),
        ({"dialogue": {"turns": 1}, "probes": {"transfer": False}}, 1, (SEEN,), "EngineError", 18),
        ({"dialogue": {"turns": 1}, "probes": {"transfer": False}}, 1, (FORGED, "bug"), "EngineError", 14),
    ],
    ids=["bug", "hang", "asked-again", "beside", "probe", "probe-and-bug"],
)
def test_what_was_answered_is_paid_whatever_ends_the_dialogue(
    changes: dict[str, Any], candidates: int, lines: tuple[str, ...], error: str, spent: int
) -> None:
    given = config(**changes, run={"dialogue_timeout_seconds": 0.05 if "hang" in lines else 60})
    tutor, student = Odd(*lines), Odd(*["Hm, maybe not."] * 9, tokens=0)
    cast = cast_of(given, {"tutor": tutor, "student": student}, Meter())
    found = asyncio.run(Episode(spec(phase=PHASE[given.kind]), ITEM, cast, given, candidates=candidates).run())
    assert found.failure is not None and found.failure.error == error
    assert found.usage.completion_tokens == spent and not cast.bill


class Choosy(FakeServer):
    """Refuses every request that gives a temperature."""

    def answer(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        answer = super().answer(path, body, headers)
        return Answer(400, "temperature is not supported") if "temperature" in body else answer


def test_what_a_server_refuses_to_be_told_stands_in_the_dialogue_and_the_report() -> None:
    tutors: list[dict[str, Any]] = [{"name": "a"}, {"name": "dump", "control": "answer_dump"}]
    given = config(tutors=tutors, items={"limit": 2}, experiment={"resamples": 50})
    which = experiment_specs(given)
    with Choosy() as server:
        dialogues = held(given, OpenAIEngine("m", server.url, "key"), which)
    told = {one.spec.tutor_name: one.fallbacks for one in dialogues}
    assert told == {"a": ("tutor: temperature",), "dump": ()}
    said = " ".join(analyse(given, dialogues, planned=which)["methods"])
    assert "The server of the tutor refused temperature in 4 of 8 dialogues and was asked without: its own" in said
    assert phase_counts(dialogues)[which[0].phase]["fallbacks"] == {"tutor: temperature": 4}


async def leaving(messages: list[dict[str, str]]) -> str:
    raise SystemExit(1)


class Leaving(ScriptedEngine):
    """Ends its process, as it believes."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        raise SystemExit(1)


class Cancelling(ScriptedEngine):
    """Cancels, though nobody asked it to."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        raise asyncio.CancelledError


def test_the_fleet_tells_it_as_it_is_and_the_host_lives_on() -> None:
    said: list[Message] = [{"role": "user", "content": "Why?"}]

    async def asked(engine: Engine) -> tuple[EngineError, int, bool]:
        host = address("a", engine)
        router = Router("class", "room")
        router.update([host])
        with pytest.raises(EngineError) as caught:
            await router.generate(said, Sampling(), dialogue_id="d")
        (line,) = router.lines
        dead = line.dead
        await router.close()
        return caught.value, router.rerouted, dead

    cases: list[tuple[Engine, type[EngineError]]] = [
        (ScriptedEngine(("",)), NoReply),
        (PythonEngine(f"{__name__}:leaving"), EngineError),
        (Leaving(("x",)), EngineError),
        (Cancelling(("x",)), EngineError),
    ]
    for engine, kind in cases:
        error, rerouted, dead = asyncio.run(asked(engine))
        assert (type(error), rerouted, dead) == (kind, 0, False)
        if isinstance(error, NoReply):
            assert error.usage == Usage(1, 0, no_replies=1)
