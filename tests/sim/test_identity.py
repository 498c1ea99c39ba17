"""A run is what its inputs were: what is a change, what is refused, what is held anew, and reading without them."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import cast, config
from rich.console import Console

from agents.catalogue import KNOWN
from agents.engines.base import Sampling
from agents.engines.recorded import RecordingEngine
from agents.engines.scripted import ScriptedEngine
from agents.engines.tape import Recorder
from agents.errors import InputError, StoreError
from agents.library import Strategy, persona, strategy
from agents.records import Dialogue, Item, Turn, Verdict, dialogue_to_json
from agents.stressors import stressor
from sim.classroom import teach
from sim.compare.compare import compare_runs
from sim.compare.comparison import Side
from sim.compare.show import compare_command
from sim.config import Config
from sim.experiment.judge_error import corrected_rates
from sim.grid import experiment_specs
from sim.identity import gather
from sim.inputs import Input, Inputs, changes, digested, record_input, strategy_input
from sim.judging.rejudge import Seat, rejudge
from sim.judging.verdicts import VerdictStore
from sim.loop import tutor_view
from sim.storage.files import locate
from sim.storage.kept import read_inputs
from sim.storage.store import RunStore, stored_config
from sim.storage.verify import verify
from sim.summary import summarise

RAW: dict[str, Any] = {}
ENVIRONMENT = {"started": "2026-01-01T00:00:00+00:00", "machine": {}}


@pytest.fixture(scope="module", autouse=True)
def raw_pack() -> None:
    text = Path(str(files("agents").joinpath("data/packs/earth_science.yaml"))).read_text("utf-8")
    RAW.update(yaml.safe_load(text))
    RAW["items"] = RAW["items"][:4]


def write(path: Path, change: Callable[[dict[str, Any]], object] = lambda raw: None, **style: Any) -> Path:
    raw = json.loads(json.dumps(RAW))
    change(raw)
    path.write_text(yaml.safe_dump(raw, **style), encoding="utf-8")
    return path


def swap_key(raw: dict[str, Any], at: int = 0) -> None:
    """Another option becomes the right one, as a corrected answer key makes it."""
    options = raw["items"][at]["options"]
    right = next(option for option in options if option.get("correct"))
    wrong = next(option for option in options if not option.get("correct"))
    right["misconception"] = wrong.pop("misconception")
    wrong["correct"], right["correct"] = True, False


def swap_keys(raw: dict[str, Any]) -> None:
    for at in range(len(raw["items"])):
        swap_key(raw, at)


def made(pack: Path, **changes: Any) -> Config:
    return config(**{"items": {"pack": str(pack)}, "students": {"personas": ["engaged"]}, **changes})


def start(
    given: Config, folder: Path, *, renew: bool = False, inputs: Inputs | None = None, only: int = 99
) -> tuple[RunStore, Config]:
    """What the run's command does, without Ray: opens the folder, holds what is missing, and writes the summary."""
    store = RunStore(folder)
    store.open(given.model_dump(mode="json"), ENVIRONMENT, inputs=inputs or gather(given), renew=renew)
    settled = store.settled(given)
    missing = [spec for spec in experiment_specs(settled) if spec.id not in store.ids()][:only]

    async def hold() -> list[Dialogue]:
        return [one async for one in teach(settled, cast(settled), missing, candidates=1)]

    store.append(asyncio.run(hold()))
    return store, settled


def by_item(store: RunStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in store.dialogues():
        found.setdefault(one.spec.item_id, []).append(dialogue_to_json(one))
    return found


def test_a_corrected_key_is_refused_and_only_its_dialogues_are_held_anew(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    given = made(pack)
    before, first = by_item(start(given, run)[0]), RAW["items"][0]["id"]
    write(pack, swap_key)
    with pytest.raises(InputError) as refused:
        start(given, run)
    said = str(refused.value)
    assert f"mine.yaml: item {first!r} changed (right answer" in said and "1 of its 4 dialogues" in said
    assert "--renew" in said and "question.options" in said
    assert by_item(RunStore(run)) == before, "nothing was touched"
    store, settled = start(given, run, renew=True)
    after = by_item(store)
    assert {item for item in after if after[item] != before[item]} == {first} and after.keys() == before.keys()
    (probe,) = {one.probe("before").answer for one in store.dialogues() if one.spec.item_id == first}  # type: ignore[union-attr]
    assert probe == gather(given).pack(str(pack)).item(first).question.answer
    aside = RunStore(run / "put_aside" / "0001")
    assert by_item(aside) == {first: before[first]}, "what was computed is kept"
    old = stored_config(aside.folder).inputs.pack(str(pack)).item(first)
    assert old.question.answer_text != settled.inputs.pack(str(pack)).item(first).question.answer_text
    _, said = compared(aside.folder.local, run)
    assert "1 item changed" in said and "0 of 0 pairs" in said, "what was put aside is read like any run"
    assert start(given, run)[0].notes == [], "and the run goes on as any other"
    assert not [f for f in verify(run).findings if f.what == "dialogues"]


SAME: dict[str, Callable[[Path], object]] = {
    "wrapped": lambda path: write(path, width=20),
    "flow": lambda path: write(path, default_flow_style=True),
    "keys in another order": lambda path: write(path, sort_keys=False),
    "comments": lambda path: path.write_text("# mine\n" + path.read_text().replace("items:", "items:  # all\n")),
    "items in another order": lambda path: write(path, lambda raw: raw["items"].reverse()),
    "spaces at the ends of lines": lambda path: write(path, lambda raw: trail(raw)),
    "author and licence": lambda path: write(path, lambda raw: raw.update(author="Somebody", licence="CC-BY-4.0")),
}


def trail(raw: dict[str, Any]) -> None:
    raw["items"][0]["question"] += " \n"


@pytest.mark.parametrize("how", SAME)
def test_what_no_agent_sees_is_no_change(tmp_path: Path, how: str) -> None:
    pack = write(tmp_path / "mine.yaml")
    before = by_item(start(made(pack), tmp_path / "run")[0])
    SAME[how](pack)
    assert by_item(start(made(pack), tmp_path / "run")[0]) == before


OTHER: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "question": (lambda raw: raw["items"][1].update(question="Why?"), "(question.text)"),
    "opening": (lambda raw: raw["items"][1].update(opening="Hm?"), "(opening)"),
    "transfer": (lambda raw: raw["items"][1]["transfer"].update(question="Why?"), "(transfer.text)"),
    "keywords": (lambda raw: raw["items"][1].update(keywords=["x"]), "(keywords)"),
    "option": (lambda raw: raw["items"][1]["options"][0].update(text="Quite other"), "question.options"),
    "taken out": (lambda raw: raw["items"].pop(1), "is not used any more"),
}


@pytest.mark.parametrize("how", OTHER)
def test_what_an_agent_sees_is_a_change_that_is_named(tmp_path: Path, how: str) -> None:
    pack = write(tmp_path / "mine.yaml")
    start(made(pack), tmp_path / "run")
    write(pack, OTHER[how][0])
    with pytest.raises(InputError) as refused:
        start(made(pack), tmp_path / "run")
    assert OTHER[how][1] in str(refused.value)
    store, settled = start(made(pack), tmp_path / "run", renew=True)
    assert store.ids() == {spec.id for spec in experiment_specs(settled)}
    assert len(store.ids()) == {"taken out": 3}.get(how, 4)


def add_item(raw: dict[str, Any]) -> None:
    raw["items"].append({**raw["items"][1], "id": "new-1", "question": "And?"})


UNMET: dict[str, tuple[Callable[[dict[str, Any]], object], str, int, int]] = {
    "added": (add_item, "item 'new-1' is new", 4, 5),
    "changed": (lambda raw: swap_key(raw, 1), "changed (right answer", 1, 4),
    "taken out": (lambda raw: raw["items"].pop(1), "is not used any more", 1, 3),
}


@pytest.mark.parametrize("how", UNMET)
@pytest.mark.parametrize("renew", [False, True])
def test_what_no_stored_dialogue_met_may_change_and_is_told(tmp_path: Path, how: str, renew: bool) -> None:
    change, says, stored, planned = UNMET[how]
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    before = by_item(start(made(pack), run, only=stored)[0])
    write(pack, change)
    store, settled = start(made(pack), run, renew=renew)
    assert says in store.notes[0] and f"none of the {stored} stored dialogues" in store.notes[1]
    after = by_item(store)
    assert len(after) == planned and all(after[item] == before[item] for item in before)
    assert not changes(gather(made(pack)), settled.inputs) and not (run / "put_aside").exists()
    assert start(made(pack), run)[0].notes == []


def test_a_new_item_in_a_design_that_is_drawn_touches_what_is_drawn_no_more(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    drawn = {"experiment": {"fraction": 0.4}, "students": {"personas": ["engaged", "limited"]}}
    given = made(pack, items={"pack": str(pack), "repeats": 3}, **drawn)
    before = start(given, run)[0].ids()
    write(pack, add_item)
    planned = {spec.id for spec in experiment_specs(given.with_inputs(gather(given)))}
    assert before - planned, "the repeats after the new item have others"
    with pytest.raises(InputError, match=f"{len(before - planned)} of its {len(before)} dialogues"):
        start(given, run)
    assert start(given, run, renew=True)[0].ids() == planned


def test_an_item_that_the_run_does_not_use_may_change(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    given = made(pack, items={"pack": str(pack), "limit": 2})
    used = {spec.item_id for spec in experiment_specs(given)}
    start(given, tmp_path / "run")
    at = next(i for i, item in enumerate(RAW["items"]) if item["id"] not in used)
    write(pack, lambda raw: raw["items"][at].update(opening="Other?"))
    assert len(start(given, tmp_path / "run")[0].ids()) == 2


def test_a_pack_of_another_name_with_the_same_content_goes_on(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    before = by_item(start(made(pack), run, only=3)[0])
    other = tmp_path / "moved.yaml"
    pack.rename(other)
    store, settled = start(made(other), run)
    assert settled.items.pack == str(pack) and "holds what" in store.notes[0]
    after = by_item(store)
    assert len(after) == 4 and all(after[item] == before[item] for item in before)
    write(other, swap_key)
    with pytest.raises(InputError, match=r"another config \(different: items.pack\)"):
        start(made(other), run)


def test_a_known_model_is_kept_by_the_sum_of_its_file_and_another_file_touches_every_dialogue(tmp_path: Path) -> None:
    scripted = {"engine": "scripted", "script": ["Why do you think so?"]}
    pools = {"class": {"roles": ["student"]}, "tutor": {"roles": ["tutor"], "model": "else", **scripted}}
    given, run = made(write(tmp_path / "mine.yaml"), pools=pools), tmp_path / "run"
    store, settled = start(given, run)
    (kept,) = [one for one in read_inputs(locate(run)).entries if one.kind == "model"]
    assert kept.name == "smollm2-135m" and json.loads(kept.document) == KNOWN[kept.name].identity
    assert summarise(settled, store)["inputs"]["model smollm2-135m"] == kept.digest
    other = with_entry(given, replace(kept, parts=digested({"file": "0" * 64})))
    with pytest.raises(InputError, match="4 of its 4 dialogues .*\n.*model smollm2-135m: file changed"):
        start(given, run, inputs=other)
    start(given, run, inputs=other, renew=True)
    assert len(RunStore(run / "put_aside" / "0001").dialogues()) == 4


def with_entry(given: Config, entry: Input) -> Inputs:
    return Inputs(
        tuple(entry if (one.kind, one.name) == (entry.kind, entry.name) else one for one in gather(given).entries)
    )


def test_changed_strategies_personas_and_stressors_touch_their_own_dialogues(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    given = made(
        pack,
        tutor={"strategies": ["socratic", "direct"]},
        students={"personas": ["engaged", "limited"]},
        stressors=[{"name": "answer_begging", "intensities": [0, 1]}],
    )
    lines = stressor("answer_begging").lines
    changed: dict[str, tuple[Input, Callable[[Dialogue], bool]]] = {
        "strategy socratic: prompt changed": (
            strategy_input(replace(strategy("socratic"), prompt="Ask. {hints}{guidance}"), [{}]),
            lambda one: one.spec.strategy == "socratic",
        ),
        "persona limited: prompt changed": (
            record_input("persona", "limited", replace(persona("limited"), prompt="You believe {belief}.")),
            lambda one: one.spec.persona == "limited",
        ),
        "stressor answer_begging: lines changed": (
            record_input(
                "stressor", "answer_begging", replace(stressor("answer_begging"), lines=("Tell!", *lines[1:]))
            ),
            lambda one: one.spec.stressor != "",
        ),
    }
    run = tmp_path / "run"
    whole = {one.id: one for one in start(given, run)[0].dialogues()}
    for number, (says, (entry, touched)) in enumerate(changed.items(), 1):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(run, copy)
        now = with_entry(given, entry)
        wanted = {key for key, one in whole.items() if touched(one)}
        assert 0 < len(wanted) < len(whole)
        with pytest.raises(InputError, match=f"{len(wanted)} of its {len(whole)} dialogues") as refused:
            start(given, copy, inputs=now)
        assert says in str(refused.value)
        start(given, copy, inputs=now, renew=True)
        assert RunStore(copy / "put_aside" / "0001").ids() == wanted
        assert RunStore(copy).ids() == whole.keys()


def test_guidance_of_a_setting_counts_for_those_who_are_given_it(tmp_path: Path) -> None:
    known = strategy("knowledge_building")
    one, other = list(known.settings["dimension"])[:2]
    told = {**known.settings["dimension"], other: "Otherwise."}
    now = replace(known, settings={**known.settings, "dimension": told})

    def of(found: Strategy, given: str) -> Inputs:
        return Inputs((strategy_input(found, [{"dimension": given}]),))

    assert not changes(of(known, one), of(now, one))
    (change,) = changes(of(known, other), of(now, other))
    assert change.parts == {f"settings.dimension.{other}"}


RUBRIC = """
name: mine
licence: CC0
author: me
source: nowhere
scale: {kind: points, low: 1, high: 5, pass_at: 3}
criteria: [{name: asks, question: Does it ask?}]
"""


def test_a_changed_rubric_criterion_is_named_and_touches_all(tmp_path: Path) -> None:
    pack, rubric = write(tmp_path / "mine.yaml"), tmp_path / "rubric.yaml"
    rubric.write_text(RUBRIC)
    pools = {name: pool.model_dump() for name, pool in config().pools.items()}
    pools["judge"] = {"roles": ["judge"], "engine": "scripted"}
    given = made(pack, rubric={"name": str(rubric)}, pools=pools)
    inputs = gather(given)
    rubric.write_text(RUBRIC.replace("author: me", "author: you").replace("low: 1, high: 5", "high: 5, low: 1"))
    assert not changes(inputs, gather(given))
    rubric.write_text(RUBRIC.replace("Does it ask?", "Does it ask twice?"))
    (change,) = changes(inputs, gather(given))
    assert change.says == f"rubric {rubric}: criterion 'asks' changed"


def test_a_calibration_is_the_one_of_the_run_until_it_goes_on_with_another(tmp_path: Path) -> None:
    pack, known = write(tmp_path / "mine.yaml"), tmp_path / "judges.yaml"
    rates = "r: {asks: {sensitivity: %s, specificity: 0.9, n_positive: 50, n_negative: 50}}"
    known.write_text(rates % 0.9)
    given = made(pack, experiment={"calibration": str(known)})
    store, settled = start(given, tmp_path / "run")
    store.finish_step("round-0001-train", {})
    judged = [replace(d, verdicts=(Verdict("r", "asks", "pass"),)) for d in store.dialogues()]

    def read() -> float:
        found: float = corrected_rates(stored_config(tmp_path / "run"), judged)[0]["sensitivity"]
        return found

    assert read() == 0.9
    known.unlink()
    assert read() == 0.9
    known.write_text(rates % 0.6)
    store, _ = start(given, tmp_path / "run")
    assert "judges.yaml: r asks changed" in store.notes[0] and len(store.ids()) == 4 and read() == 0.6


def record(folder: Path, answers: Mapping[str, str]) -> None:
    async def play() -> None:
        recorder = Recorder(folder)
        for name, answer in answers.items():
            recorder.begin(name)
            engine = RecordingEngine(ScriptedEngine((answer,)), recorder, "tutor")
            await engine.generate([{"role": "user", "content": name}], Sampling(), dialogue_id=name)
            recorder.end(name, 1.0)
        recorder.close()

    asyncio.run(play())


def test_a_tape_is_kept_and_known_by_dialogue(tmp_path: Path) -> None:
    pack, tape = write(tmp_path / "mine.yaml"), tmp_path / "tape"
    record(tape, {"a": "Why?", "b": "How?"})
    given = made(pack, run={"replay": str(tape)})
    inputs, store = gather(given), RunStore(tmp_path / "run")
    store.open(given.model_dump(mode="json"), ENVIRONMENT, inputs=inputs)
    (kept,) = (tmp_path / "run" / "inputs").glob("tape-*")
    assert {p.name: p.read_bytes() for p in kept.iterdir()} == {p.name: p.read_bytes() for p in tape.iterdir()}
    tape.rename(tmp_path / "elsewhere")
    moved = made(pack, run={"replay": str(tmp_path / "elsewhere")})
    assert store.open(moved.model_dump(mode="json"), ENVIRONMENT, inputs=gather(moved))
    (file,) = (tmp_path / "elsewhere").iterdir()
    file.write_text(file.read_text().replace("How?", "Who?"))
    (change,) = changes(
        inputs, Inputs(tuple(replace(e, name=str(tape)) for e in gather(moved).entries if e.kind == "tape"))
    )
    assert change.parts == {"b"} and "dialogue 'b' changed" in change.says


def test_a_callable_is_its_module_without_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack, module = write(tmp_path / "mine.yaml"), tmp_path / "identity_tutor.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    module.write_text("def tutor(messages):\n    return 'Why?'\n")
    pools = {**{n: p.model_dump() for n, p in config().pools.items()}}
    pools["own"] = {"engine": "python", "callable": "identity_tutor:tutor"}
    given = made(pack, pools=pools, tutors=[{"name": "a"}, {"name": "own", "pool": "own"}])
    inputs = gather(given)
    module.write_text("# mine\ndef tutor( messages ):\n\n        return 'Why?'  # asks\n")
    assert not changes(inputs, gather(given))
    module.write_text("def tutor(messages):\n    return 'How?'\n")
    (change,) = changes(inputs, gather(given))
    assert change.kind == "callable" and change.says == "callable identity_tutor:tutor: its module changed"


class Asks:
    name = "rubric:x"

    async def judge(
        self, item: Item, transcript: Sequence[Turn], *, dialogue_id: str, dimension: str = ""
    ) -> tuple[Verdict, ...]:
        return (Verdict(self.name, "asks", "pass", 1.0),)


def test_a_run_is_read_judged_and_trained_from_without_its_pack(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    start(made(pack), tmp_path / "here")
    question = RAW["items"][0]["question"]
    pack.unlink()
    run = tmp_path / "there"
    (tmp_path / "here").rename(run)
    kept, store = stored_config(run), RunStore(run)
    summary = summarise(kept, store)
    assert summary["experiment"]["missing"] | {"why": ""} == {
        "planned": 4,
        "done": 4,
        "failed": 0,
        "not_run": 0,
        "why": "",
    }
    assert question[:30] in (run / "report.html").read_text()
    assert "no readable pack" not in (run / "report.html").read_text()
    dialogues = store.dialogues()
    seen = {one.spec.item_id: tutor_view(kept, one)[0]["content"] for one in dialogues}
    assert question in seen[RAW["items"][0]["id"]]

    verdicts = VerdictStore(run / "verdicts" / "p-1", ["rubric:x"])
    how: dict[str, Any] = {"store": verdicts, "in_flight": 2, "tell": lambda done, total: None}
    assert asyncio.run(rejudge(dialogues, [Seat("rubric:x", Asks())], **how, packs=kept.inputs.pack)).judged == 4
    assert not [f for f in verify(run).findings if f.what == "dialogues"]


def test_a_verdict_on_an_item_is_none_on_its_correction(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    store, kept = start(made(pack), tmp_path / "run")

    verdicts = VerdictStore(store.folder / "verdicts/p-1", ["rubric:x"])
    how: dict[str, Any] = {"store": verdicts, "in_flight": 2, "tell": lambda done, total: None}
    asyncio.run(rejudge(store.dialogues(), [Seat("rubric:x", Asks())], **how, packs=kept.inputs.pack))
    write(pack, swap_key)
    store, _ = start(made(pack), tmp_path / "run", renew=True)
    first = RAW["items"][0]["id"]
    assert {d.spec.item_id: len(d.verdicts) for d in store.dialogues()}[first] == 0
    assert sum(len(d.verdicts) for d in store.dialogues()) == 3


def compared(first: Path, second: Path, *conditions: str, **how: Any) -> tuple[int, str]:
    out = Console(file=io.StringIO(), width=240, highlight=False)
    code = compare_command(str(first), str(second), conditions=conditions, console=out, **how)
    return code, out.file.getvalue()  # type: ignore[attr-defined]


def test_runs_before_and_after_a_correction_are_compared_on_the_other_items(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    start(made(pack), tmp_path / "before")
    write(pack, swap_key)
    start(made(pack), tmp_path / "after")
    first = RAW["items"][0]["id"]
    _, said = compared(tmp_path / "before", tmp_path / "after")
    assert f"1 item changed between the runs: {first}; 1 pair is set apart and in no figure" in said
    assert "3 of 3 pairs said the same" in said and "3 pairs on 3 items" in said
    assert "right answer" in said and "set apart, because what they met was changed: 1" in said
    _, said = compared(tmp_path / "before", tmp_path / "after", "leak_rate > +0.5")
    assert "UNPROVEN" in said and "1 of 4 values were lost" in said


def test_a_pack_in_which_everything_was_corrected_leaves_no_pair_and_no_proof(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    start(made(pack), tmp_path / "before")
    write(pack, swap_keys)
    start(made(pack), tmp_path / "after")
    code, said = compared(tmp_path / "before", tmp_path / "after", "leak_rate > +0.5", accept_unproven=True)
    assert code == 3 and "4 items changed between the runs" in said and "0 of 0 pairs said the same" in said
    assert "+1.000" not in said and "+0.000" not in said


def test_a_pack_that_was_only_moved_is_compared_as_itself(tmp_path: Path) -> None:
    pack, two = write(tmp_path / "mine.yaml"), {"experiment": {"metrics": ["gain"]}}
    start(made(pack, **two), tmp_path / "before")
    moved = write(tmp_path / "moved.yaml", lambda raw: raw["items"].reverse(), width=30)
    start(made(moved, **two), tmp_path / "after")
    _, said = compared(tmp_path / "before", tmp_path / "after")
    assert "4 of 4 pairs said the same" in said and "not run: 0 of 4" in said and "warning" not in said
    write(moved, swap_key)
    start(made(moved, **two), tmp_path / "third")
    _, said = compared(tmp_path / "before", tmp_path / "third")
    assert "1 item changed" in said and "3 of 3 pairs said the same" in said
    other = write(tmp_path / "other.yaml", lambda raw: [one.update(opening="Hm.") for one in raw["items"]])
    start(made(other), tmp_path / "fourth")
    with pytest.raises(InputError, match="other packs"):
        compared(tmp_path / "before", tmp_path / "fourth")


def test_changed_students_are_apart_and_changed_tutors_are_what_is_compared(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    given = made(pack, students={"personas": ["engaged", "limited"]})
    start(given, tmp_path / "before")
    told = replace(persona("limited"), prompt="You believe {belief}.")
    start(given, tmp_path / "after", inputs=with_entry(given, record_input("persona", "limited", told)))
    _, said = compared(tmp_path / "before", tmp_path / "after")
    assert "1 persona changed between the runs: limited; 4 pairs are set apart" in said
    assert "4 of 4 pairs said the same" in said
    asks = strategy_input(replace(strategy("socratic"), prompt="Ask. {hints}{guidance}"), [{}])
    start(given, tmp_path / "third", inputs=with_entry(given, asks))
    _, said = compared(tmp_path / "before", tmp_path / "third")
    assert "8 of 8 pairs said the same" in said and "set apart" not in said
    assert "differs by content:" in said and "strategy socratic: prompt changed" in said


def test_older_records_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    pack = write(tmp_path / "mine.yaml")
    runs = []
    for name in ("before", "after"):
        store, _ = start(made(pack), tmp_path / name)
        runs.append([replace(one, spec=replace(one.spec, content="")) for one in store.dialogues()])
        write(pack, swap_key)
    (found,) = compare_runs(*runs, metrics=["gain"]).tutors
    assert (found.n_pairs, found.n_apart, found.n_unknown) == (3, 1, 3)


def test_verdicts_by_another_criterion_have_no_difference(tmp_path: Path) -> None:
    pack, rubric = write(tmp_path / "mine.yaml"), tmp_path / "rubric.yaml"
    pools = {name: pool.model_dump() for name, pool in config().pools.items()}
    pools["judge"] = {"roles": ["judge"], "engine": "scripted"}
    sides = []
    for question in ("Does it ask?", "Does it ask?", "Does it ask twice?"):
        rubric.write_text(RUBRIC.replace("Does it ask?", question))
        given = made(pack, rubric={"name": str(rubric)}, pools=pools)
        given = given.with_inputs(gather(given))
        verdicts = (Verdict("rubric:mine", "asks", "pass", 4.0),)
        dialogues = [Dialogue(spec, verdicts=verdicts) for spec in experiment_specs(given)]
        sides.append(Side(question, tuple(dialogues), config=given))
    same, other = (compare_runs(sides[0], one, metrics=["rubric:mine/asks"]).tutors[0].metrics[0] for one in sides[1:])
    assert same.difference is not None and other.difference is None
    assert other.note.startswith("not comparable: the rubric was changed")


def test_an_older_run_goes_on_and_says_what_nobody_knows(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    before = by_item(start(made(pack), run, only=2)[0])
    shutil.rmtree(run / "inputs")
    (run / "inputs.json").unlink()
    store, _ = start(made(pack), run)
    assert "2 dialogues are of a version that kept no packs" in store.notes[0]
    after = by_item(store)
    assert len(after) == 4 and all(after[item] == before[item] for item in before)
    assert start(made(pack), run)[0].notes == []
    write(pack, swap_key)
    with pytest.raises(InputError, match="has changed since it began"):
        start(made(pack), run)


def test_an_older_run_without_its_pack_is_reported_and_says_what_is_missing(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    start(made(pack), run)
    shutil.rmtree(run / "inputs")
    (run / "inputs.json").unlink()
    pack.unlink()
    summary = summarise(stored_config(run), RunStore(run))
    assert summary["experiment"]["missing"]["done"] == 4
    assert "what else was planned is not known" in summary["experiment"]["missing"]["why"]


def test_a_run_without_dialogues_takes_what_there_is_now(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    start(made(pack), run, only=0)
    write(pack, swap_key)
    store, kept = start(made(pack), run)
    assert len(store.ids()) == 4 and not changes(gather(made(pack)), kept.inputs)


@pytest.mark.parametrize("renew", [False, True])
@pytest.mark.parametrize("change", [swap_key, add_item])
def test_a_loop_that_has_trained_on_it_takes_nothing_else(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], renew: bool
) -> None:
    pack = write(tmp_path / "mine.yaml")
    store, _ = start(made(pack), tmp_path / "run", only=1)
    store.finish_step("round-0001-train", {"adapter": "tutor/v0001"})
    write(pack, change)
    with pytest.raises(InputError, match=r"has trained with what it was \(round-0001-train\)"):
        start(made(pack), tmp_path / "run", renew=renew)


def test_damaged_inputs_are_told(tmp_path: Path) -> None:
    pack, run = write(tmp_path / "mine.yaml"), tmp_path / "run"
    start(made(pack), run, only=1)
    (file,) = (run / "inputs").glob("pack-*.json")
    text = file.read_text()
    for broken in ("{", "{}", "[]"):
        file.write_text(broken)
        with pytest.raises((StoreError, InputError), match="inputs.json"):
            RunStore(run).settled(made(pack)).inputs.pack(str(pack))
    file.write_text(text)
    known = json.loads((run / "inputs.json").read_text())
    for value in ("../../secret", "/etc/passwd", "inputs/gone.json"):
        changed = {**known, "inputs": [{**known["inputs"][0], "file": value}]}
        (run / "inputs.json").write_text(json.dumps(changed))
        with pytest.raises(StoreError, match="inputs.json"):
            read_inputs(locate(run))


def test_digests_are_over_content_and_not_over_fields_that_were_added_later() -> None:
    one = record_input("persona", "engaged", persona("engaged"))
    told = replace(persona("engaged"), about="Other words about it")
    assert record_input("persona", "engaged", told).digest == one.digest
    assert dict(one.parts).keys() <= {"name", "prompt", "prior", "lines", "stressors", "sentences", "terse", "examples"}
