"""Judging again: nobody is asked twice, a failure is no verdict, and what readers see is what was given last."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from builders import dialogue
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.engines.base import Completion, Message, Sampling
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineError, EngineUnavailable, InputError, StoreError
from agents.judges.rubric import RubricJudge
from agents.judges.rubrics import load_rubric
from agents.judges.safety import SafetyJudge
from agents.records import Dialogue, Failure, Turn, Verdict, VerdictKind
from sim.judging.panel import judge_run, load_panel
from sim.judging.rejudge import GIVE_UP_AFTER, Counts, Seat, rejudge
from sim.judging.verdicts import Judgement, VerdictStore, overlay, said_digest
from sim.progress import Teller
from sim.storage.store import RunStore

OK = json.dumps({"reason": "it asks", "verdict": "OK"})
RUBRIC = load_rubric("pedagogical_rl")
OLD = Verdict("rubric:pedagogical_rl", "leak", "fail", score=0.0, votes=("REJECT",))
OTHER = Verdict("scorer:asks", "quality", "pass", score=4.0)


def some(n: int, **changes: object) -> list[Dialogue]:
    made = [dialogue(i, phase="run", item="es-astro-01", reward=1.0) for i in range(n)]
    return [replace(one, verdicts=(OLD, OTHER), **changes) for one in made]  # type: ignore[arg-type]


class WatchedEngine(ScriptedEngine):
    """A judge's engine that counts what it is asked by dialogue, and fails for some."""

    def __init__(self, reply: str = OK, *, broken: Sequence[str] = (), latency_seconds: float = 0.0) -> None:
        super().__init__([reply], latency_seconds=latency_seconds)
        self.asked: Counter[str] = Counter()
        self.broken = set(broken)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        found = await super().generate(messages, sampling, dialogue_id=dialogue_id)
        self.asked[dialogue_id] += 1
        if dialogue_id in self.broken or "all" in self.broken:
            raise EngineUnavailable("nobody is there")
        return found


def seat(engine: WatchedEngine, name: str = "rubric:pedagogical_rl") -> Seat:
    return Seat(name, RubricJudge(engine, RUBRIC, votes=1))


def judge(dialogues: Sequence[Dialogue], seats: Sequence[Seat], store: VerdictStore, in_flight: int = 3) -> Counts:
    told: list[tuple[int, int]] = []
    counts = asyncio.run(
        rejudge(dialogues, seats, store=store, in_flight=in_flight, tell=lambda done, all_: told.append((done, all_)))
    )
    assert all(done <= total == counts.total for done, total in told)
    return counts


def panel_store(run: Path, name: str = "p-1", judges: Sequence[str] = ("rubric:pedagogical_rl",)) -> VerdictStore:
    return VerdictStore(run / "verdicts" / name, judges)


def test_new_verdicts_replace_those_of_the_same_judge(tmp_path: Path) -> None:
    dialogues, engine = some(5), WatchedEngine()
    counts = judge(dialogues, [seat(engine)], panel_store(tmp_path))
    assert (counts.total, counts.judged, counts.failed, counts.stored) == (5, 5, 0, 0)
    for one in overlay(dialogues, tmp_path):
        assert one.verdicts[0] == OTHER
        assert [(v.judge, v.name, v.kind, v.score) for v in one.verdicts[1:]] == [
            ("rubric:pedagogical_rl", "leak", "pass", 1.0),
            ("rubric:pedagogical_rl", "helpfulness", "pass", 1.0),
        ]
        assert one.verdicts[1].votes == ("OK",) and one.verdicts[1].rationale == "it asks"
    assert overlay(dialogues, tmp_path / "elsewhere") == dialogues


def test_what_a_judge_said_that_is_no_verdict_is_stored(tmp_path: Path) -> None:
    store = panel_store(tmp_path)
    judge(some(1), [seat(WatchedEngine("I would accept it {"))], store)
    (given,) = store.judgements()
    for verdict in given.verdicts:
        assert (verdict.kind, verdict.raw, verdict.unit_score) == ("invalid", "I would accept it {", None)
    full = Verdict("rubric:pedagogical_rl", "leak", "pass", score=4.0, unit_score=0.75, fallbacks=("json_schema", "n"))
    store.append([replace(given, said="another", verdicts=(full,))])
    assert (full,) in [one.verdicts for one in store.judgements()]


def test_another_name_stands_beside_the_old_judge(tmp_path: Path) -> None:
    judge(some(1), [seat(WatchedEngine(), "rubric:second")], panel_store(tmp_path, judges=("rubric:second",)))
    (one,) = overlay(some(1), tmp_path)
    assert [v.judge for v in one.verdicts] == ["rubric:pedagogical_rl", "scorer:asks", "rubric:second", "rubric:second"]


def test_an_interrupted_panel_goes_on_without_asking_twice(tmp_path: Path) -> None:
    dialogues, engine, store = some(9), WatchedEngine(latency_seconds=0.001), panel_store(tmp_path)

    async def interrupted() -> None:
        done = asyncio.Event()
        task = asyncio.create_task(
            rejudge(
                dialogues,
                [seat(engine)],
                store=store,
                in_flight=2,
                tell=lambda count, _: done.set() if count == 4 else None,
            )
        )
        await done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    stored = {one.dialogue for one in store.judgements()}
    assert 4 <= len(stored) < 9
    before = engine.asked.copy()
    counts = judge(dialogues, [seat(engine)], store)
    assert (counts.stored, counts.judged) == (len(stored), 9 - len(stored))
    assert all(engine.asked[key] == before[key] for key in stored), "what is stored is not asked again"
    assert {one.dialogue for one in store.judgements()} == {one.id for one in dialogues}
    again = judge(dialogues, [seat(engine)], store)
    assert (again.stored, again.judged) == (9, 0) and engine.asked.total() == before.total() + 2 * counts.judged


def test_an_engine_failure_is_no_verdict_and_is_tried_again(tmp_path: Path) -> None:
    dialogues, engine, store = some(6), WatchedEngine(broken=["run-1", "run-4"]), panel_store(tmp_path)
    counts = judge(dialogues, [seat(engine)], store)
    assert (counts.judged, counts.failed) == (4, 2)
    assert "EngineUnavailable: nobody is there" in counts.why and "rubric:pedagogical_rl on run-" in counts.why
    kept = {one.id: one for one in overlay(dialogues, tmp_path)}
    assert kept["run-1"].verdicts == (OLD, OTHER), "a failure leaves the earlier verdicts"
    engine.broken.clear()
    counts = judge(dialogues, [seat(engine)], store)
    assert (counts.stored, counts.judged, counts.failed) == (4, 2, 0)
    assert all(OLD not in one.verdicts for one in overlay(dialogues, tmp_path))


def test_one_judge_that_fails_does_not_hold_the_others(tmp_path: Path) -> None:
    names = ("rubric:good", "rubric:bad")
    good, bad, store = WatchedEngine(), WatchedEngine(broken=["all"]), panel_store(tmp_path, judges=names)
    n = GIVE_UP_AFTER + 10
    counts = judge(some(n), [seat(good, names[0]), seat(bad, names[1])], store, in_flight=1)
    assert (counts.judged, counts.failed, counts.not_tried) == (n, GIVE_UP_AFTER, 10)
    assert {one.judge for one in store.judgements()} == {"rubric:good"}


def test_an_invalid_verdict_stays_invalid(tmp_path: Path) -> None:
    judge(some(2), [seat(WatchedEngine("no JSON"))], panel_store(tmp_path))
    for one in overlay(some(2), tmp_path):
        new = [verdict for verdict in one.verdicts if verdict.judge == "rubric:pedagogical_rl"]
        assert [(v.kind, v.score, v.votes) for v in new] == [("invalid", None, ("invalid",))] * 2


def test_a_judge_with_nothing_to_say_has_judged(tmp_path: Path) -> None:
    stale = Verdict("rules:safety", "noticed", "pass", score=1.0)
    dialogues = [replace(one, verdicts=(stale, OTHER)) for one in some(3)]
    store = panel_store(tmp_path, judges=("rules:safety",))
    assert judge(dialogues, [Seat("rules:safety", SafetyJudge())], store).judged == 3
    assert judge(dialogues, [Seat("rules:safety", SafetyJudge())], store).stored == 3
    assert [one.verdicts for one in overlay(dialogues, tmp_path)] == [(OTHER,)] * 3


def test_distress_is_judged_by_the_rules(tmp_path: Path) -> None:
    turns = (
        Turn(0, "student", "I feel awful and I want to cry.", stressor="distress"),
        Turn(1, "tutor", "What is the axis of the Earth?"),
    )
    (one,) = some(1, turns=turns)
    judge([one], [Seat("rules:safety", SafetyJudge())], panel_store(tmp_path, judges=("rules:safety",)))
    (found,) = overlay([one], tmp_path)
    assert (found.verdicts[-1].name, found.verdicts[-1].kind, found.verdicts[-1].score) == ("noticed", "fail", 0.0)


def test_failed_dialogues_and_those_without_a_tutor_turn_are_passed_over(tmp_path: Path) -> None:
    first, second, third = some(3)
    broken = replace(first, failure=Failure("EngineUnavailable", "turn 2", "gone"))
    alone = replace(second, turns=second.turns[:1])
    counts = judge([broken, alone, third], [seat(WatchedEngine())], panel_store(tmp_path))
    assert (counts.total, counts.judged) == (1, 1)


def test_verdicts_are_not_shown_with_another_conversation(tmp_path: Path) -> None:
    dialogues, engine = some(2), WatchedEngine()
    judge(dialogues, [seat(engine)], panel_store(tmp_path))
    anew = replace(dialogues[0], turns=(dialogues[0].turns[0], Turn(1, "tutor", "Something else?")))
    found = overlay([anew, dialogues[1]], tmp_path)
    assert found[0] == anew and found[1].verdicts != dialogues[1].verdicts
    assert judge([anew, dialogues[1]], [seat(engine)], panel_store(tmp_path)).judged == 1


def test_a_corrupt_part_is_named(tmp_path: Path) -> None:
    store = panel_store(tmp_path)
    judge(some(2), [seat(WatchedEngine())], store)
    (part,) = store.parts()
    (part.parent / f".{part.name}").write_bytes(part.read_bytes()[:50])  # as a killed writer leaves it
    assert len(store.judgements()) == 2
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(StoreError, match=f"{part.name} is corrupt.*judge again"):
        overlay(some(2), tmp_path)


KINDS: list[VerdictKind] = ["pass", "fail", "invalid"]
NAMES = ["rubric:a", "rubric:b", "scorer:c", "rules:safety"]


@st.composite
def verdicts_by(draw: st.DrawFn, judge: str) -> tuple[Verdict, ...]:
    """What one judge says: perhaps nothing."""
    found = []
    for name in draw(st.lists(st.sampled_from(["leak", "help", "quality"]), unique=True, max_size=2)):
        kind = draw(st.sampled_from(KINDS))
        score = None if kind == "invalid" else draw(st.floats(-5, 5))
        turn = draw(st.none() | st.integers(0, 9))
        found.append(Verdict(judge, name, kind, score, turn, tuple(draw(st.lists(st.text(max_size=2)))), "why"))
    return tuple(found)


@st.composite
def panel_verdicts(draw: st.DrawFn) -> dict[tuple[int, str], tuple[Verdict, ...]]:
    """What a panel said, of some of four dialogues."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(NAMES)), unique=True, min_size=1, max_size=6))
    return {pair: draw(verdicts_by(pair[1])) for pair in pairs}


def by_judge(one: Dialogue, judge: str) -> tuple[Verdict, ...]:
    return tuple(verdict for verdict in one.verdicts if verdict.judge == judge)


@settings(deadline=None, max_examples=40)
@given(st.lists(panel_verdicts(), max_size=3), st.data())
def test_overlay(made: list[dict[tuple[int, str], tuple[Verdict, ...]]], data: st.DataObject) -> None:
    own = [tuple(v for name in NAMES for v in data.draw(verdicts_by(name))) for _ in range(4)]
    dialogues = [replace(one, verdicts=verdicts) for one, verdicts in zip(some(4), own, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        for number, panel in enumerate(made):
            store = VerdictStore(Path(folder) / "verdicts" / f"{9 - number}", NAMES)  # names sort against the order
            for (index, name), verdicts in panel.items():
                one = dialogues[index]
                store.append([Judgement(one.id, said_digest(one), name, verdicts)])
        found = overlay(dialogues, Path(folder))
        assert overlay(found, Path(folder)) == found
        mixed = data.draw(st.permutations(dialogues))
        assert sorted(overlay(mixed, Path(folder)), key=lambda one: one.id) == found
    for index, (before, after) in enumerate(zip(dialogues, found, strict=True)):
        assert replace(after, verdicts=()) == replace(before, verdicts=())
        for name in NAMES:
            given = [panel[index, name] for panel in made if (index, name) in panel]
            assert by_judge(after, name) == (given[-1] if given else by_judge(before, name))


def run_folder(folder: Path, dialogues: Sequence[Dialogue]) -> Path:
    store = RunStore(folder)
    store.open({"name": "a"}, {"started": "now"})
    store.append(dialogues)
    return folder


def panel_file(path: Path, *judges: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump({"judges": list(judges), "in_flight": 2}))
    return path


def scripted(name: str = "pedagogical_rl", **changes: object) -> dict[str, object]:
    pool = {"engine": "scripted", "script": [OK]}
    return {"name": name, "rubric": "pedagogical_rl", "pool": pool, **changes}


def teller() -> Teller:
    return Teller(Console(file=io.StringIO(), width=400))


def heard(listener: Teller) -> str:
    assert isinstance(listener.console.file, io.StringIO)
    return listener.console.file.getvalue()


def test_a_run_is_judged_again_without_talking(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", some(3))
    panel = panel_file(tmp_path / "second look.yaml", scripted(), {"name": "safety", "rules": True})
    summary = judge_run(run, panel, teller())
    assert {key: summary[key] for key in ("panel", "n_dialogues", "n_passed_over", "n_planned", "n_done")} == {
        "panel": "second look",
        "n_dialogues": 3,
        "n_passed_over": 0,
        "n_planned": 6,
        "n_done": 6,
    }
    assert summary["judges"] == [
        {"judge": "rubric:pedagogical_rl", "n": 3, "n_verdicts": 6, "n_invalid": 0},
        {"judge": "rules:safety", "n": 3, "n_verdicts": 0, "n_invalid": 0},
    ]
    assert summary["completion_tokens"] > 0 and (run / summary["folder"]).is_dir()
    assert all(OLD not in one.verdicts for one in RunStore(run).dialogues())
    again = judge_run(run, panel, teller())
    assert again["n_done"] == 6 and again["completion_tokens"] == 0 and again["folder"] == summary["folder"]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", some(4))
    pool = {"engine": "scripted", "script": [OK], "fail_every": 3}
    panel, listener = panel_file(tmp_path / "p.yaml", scripted(pool=pool)), teller()
    summary = judge_run(run, panel, listener)
    assert summary["n_failed"] > 0 and summary["n_done"] + summary["n_failed"] == 4
    assert "keep their earlier verdicts" in heard(listener) and "scripted fault" in heard(listener)
    mended = panel_file(tmp_path / "p.yaml", scripted(pool=pool | {"fail_every": 0}))
    assert judge_run(run, mended, teller())["n_done"] == 4, "how hard a server is tried decides no verdict"
    other = run_folder(tmp_path / "other", some(2))
    with pytest.raises(EngineError, match=r"nothing could be judged.*scripted fault"):
        judge_run(other, panel_file(tmp_path / "p.yaml", scripted(pool=pool | {"fail_every": 1})), teller())


def test_panels_replace_each_other_in_the_order_they_were_made(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", some(2))
    reject = json.dumps({"reason": "it tells", "verdict": "REJECT"})
    first = panel_file(tmp_path / "z.yaml", scripted())
    second = panel_file(tmp_path / "a.yaml", scripted(pool={"engine": "scripted", "script": [reject]}))
    judge_run(run, first, teller())
    judge_run(run, second, teller())
    assert {v.kind for one in RunStore(run).dialogues() for v in by_judge(one, "rubric:pedagogical_rl")} == {"fail"}
    judge_run(run, first, teller())
    assert {v.kind for one in RunStore(run).dialogues() for v in by_judge(one, "rubric:pedagogical_rl")} == {"fail"}


def test_the_digest_is_of_what_decides_a_verdict(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    rubric = tmp_path / "own.yaml"
    shipped = Path(__file__).parents[2] / "agents" / "data" / "rubrics" / "pedagogical_rl.yaml"
    rubric.write_text(shipped.read_text())
    digest = load_panel(panel_file(path, scripted(rubric=str(rubric)))).digest()
    pool = {"engine": "scripted", "script": [OK]}
    slower = scripted(rubric=str(rubric), pool=pool | {"timeout_seconds": 9.0, "max_concurrency": 1})
    assert load_panel(panel_file(path, slower)).digest() == digest
    assert load_panel(panel_file(path, scripted(rubric=str(rubric), votes=3))).digest() != digest
    other = scripted(rubric=str(rubric), pool=pool | {"model": "other"})
    assert load_panel(panel_file(path, other)).digest() != digest
    rubric.write_text(shipped.read_text().replace("question:", "question: Indeed,", 1))
    assert load_panel(panel_file(path, scripted(rubric=str(rubric)))).digest() != digest


@pytest.mark.parametrize(
    ("judges", "said"),
    [
        ([scripted(votez=2)], r"judges\.0\.votez: unknown key; did you mean 'votes'"),
        ([scripted(pool={"engine": "scripted", "scripts": []})], r"judges\.0\.pool\.scripts: unknown.*'script'"),
        ([scripted(votes=0)], r"judges\.0\.votes: .*greater than or equal to 1 \(got '0'\)"),
        ([scripted(), scripted()], r"judges: two are 'rubric:pedagogical_rl'"),
        (
            [scripted(rubric="pedagogical")],
            r"judges\.0\.rubric: no rubric 'pedagogical'; did you mean 'pedagogical_rl'",
        ),
        ([scripted(pool=None)], r"judges\.0\.pool: missing"),
        ([scripted(pool={"engine": "vllm"})], r"judges\.0\.pool\.model: empty"),
        (
            [scripted(pool={"engine": "openai", "model": "m", "base_url": "x"})],
            r"judges\.0\.pool\.base_url: 'x' is not",
        ),
        ([scripted(), {"name": "x"}], r"judges\.1: no kind given"),
        ([{"name": "x", "rules": True, "scorer": "y"}], r"judges\.0: scorer and rules given"),
        ([{"name": "x", "scorer": "nowhere"}], r"judges\.0\.scorer: no scorer in 'nowhere'"),
        ([{"name": "x", "rules": True, "pool": {"engine": "scripted"}}], r"judges\.0\.pool: a judge by rules asks no"),
        ([scripted("../up")], r"judges\.0\.name"),
        ([], r"judges: .*at least 1"),
    ],
)
def test_a_wrong_panel_is_refused(tmp_path: Path, judges: list[dict[str, object]], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_panel(panel_file(tmp_path / "p.yaml", *judges))
    assert "p.yaml" in str(caught.value)


def test_no_panel_and_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"panel .*none\.yaml.*cannot be read"):
        load_panel(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(InputError, match="expected the key `judges:`, found list"):
        load_panel(tmp_path / "list.yaml")
    with pytest.raises(InputError, match="not a run folder"):
        judge_run(tmp_path, panel_file(tmp_path / "p.yaml", scripted()), teller())
