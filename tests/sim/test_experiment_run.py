"""Whole experiments on a real Ray and scripted engines: failing tutors, budgets, recordings."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agents.errors import EngineError, InputError
from agents.records import dialogue_to_json
from sim.config import Config
from sim.progress import Teller
from sim.run import execute
from sim.storage.store import RunStore

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]
POOLS: dict[str, Any] = {"class": {"roles": ["tutor", "student"], "engine": "scripted", "latency_seconds": 0.01}}


def made(folder: Path, **changes: Any) -> Config:
    content = {
        "name": "t",
        "pools": POOLS,
        "items": {"limit": 6},
        "students": {"personas": ["engaged", "limited"]},
        "tutors": [{"name": "a"}, {"name": "dump", "control": "answer_dump"}],
        "experiment": {"resamples": 100},
        **changes,
    }
    run = {"folder": str(folder), "in_flight": 2, "part_dialogues": 2, **content.pop("run", {})}
    return Config.model_validate({**content, "run": run})


def run(config: Config, **options: Any) -> tuple[dict[str, Any], RunStore, str]:
    said = io.StringIO()
    summary, folder = execute(config, Teller(Console(file=said, width=200)), **options)
    return summary, RunStore(folder), said.getvalue()


def test_a_failing_tutor_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    pools = {**POOLS, "broken": {"engine": "python", "callable": "json:loads"}}  # raises TypeError for messages
    tutors = [{"name": "a"}, {"name": "broken", "pool": "broken"}]
    summary, store, said = run(made(tmp_path, pools=pools, tutors=tutors))
    counts = Counter((d.spec.tutor_name, d.failure is None) for d in store.dialogues())
    assert counts["a", True] == 12 and counts["a", False] == 0 and counts["broken", True] == 0
    assert 5 <= counts["broken", False] < 12
    assert {d.failure.error for d in store.dialogues() if d.failure} == {"EngineError"}  # not Ray's own wrapper
    assert "tutor 'broken' is given up" in said
    rows = {row["tutor"]: row for row in summary["experiment"]["tutors"]}
    assert "raised TypeError" in rows["broken"]["stopped"] or "5" in rows["broken"]["stopped"]
    assert rows["broken"]["n_failed"] + rows["broken"]["n_missing"] == 12
    assert all(row["n"] == 0 and row["p"] is None for row in summary["experiment"]["comparisons"])


def test_a_tutor_that_says_nothing_fails_to_the_end_and_makes_no_difference(tmp_path: Path) -> None:
    pools = {**POOLS, "mute": {"engine": "scripted", "script": [""]}}
    summary, store, said = run(made(tmp_path, pools=pools, tutors=[{"name": "mute", "pool": "mute"}, {"name": "a"}]))
    failures = Counter((d.spec.tutor_name, d.failure.error if d.failure else "") for d in store.dialogues())
    assert failures == {("mute", "NoReply"): 12, ("a", ""): 12}
    assert "given up" not in said and "answers of a model" not in said  # that is the command's line, not the run's
    assert summary["phases"]["run"]["n_no_replies"] == 12
    assert all(row["n"] == 0 and row["p"] is None for row in summary["experiment"]["comparisons"])


def test_all_tutors_failing_is_an_error(tmp_path: Path) -> None:
    pools = {**POOLS, "broken": {"engine": "python", "callable": "json:loads"}}
    with pytest.raises(EngineError, match="failed; the first"):
        run(made(tmp_path, pools=pools, tutors=[{"name": "broken", "pool": "broken"}]))


def test_a_probe_and_a_budget_are_part_of_the_whole_whose_comparison_may_change(tmp_path: Path) -> None:
    summary, store, _ = run(made(tmp_path), only=4)
    probed = store.ids()
    assert Counter(d.spec.tutor_name for d in store.dialogues()) == {"a": 2, "dump": 2}
    assert "not run yet" in summary["experiment"]["missing"]["why"]

    summary, store, said = run(made(tmp_path, budget={"dialogues": 6}))
    first = store.ids()
    assert len(first) == 6 and probed < first and "cap" in said
    missing = summary["experiment"]["missing"]
    assert missing["not_run"] == 24 - len(first) and missing["why"]
    again, _, said = run(made(tmp_path, budget={"dialogues": 6}))
    assert store.ids() == first and "Raise `budget`" in said
    assert again["experiment"]["missing"]["not_run"] == 24 - len(first)

    done, _, _ = run(made(tmp_path))
    assert first < store.ids() and len(store.ids()) == 24
    assert done["experiment"]["missing"] == {"planned": 24, "done": 24, "failed": 0, "not_run": 0, "why": ""}
    leaves_tables_figures_and_a_report(store)

    changed = {"resamples": 100, "baseline": "dump", "metrics": ["gain"]}
    summary, _, said = run(made(tmp_path, experiment=changed))
    assert "nothing is run" in said and summary["experiment"]["baseline"] == "dump"
    with pytest.raises(InputError, match="fraction"):
        run(made(tmp_path, experiment={"fraction": 0.5}))


def leaves_tables_figures_and_a_report(store: RunStore) -> None:
    names = {path.name for path in (store.folder / "tables").iterdir()}
    assert {"leaderboard.csv", "leaderboard.parquet", "dialogues.csv", "comparisons.parquet"} <= names
    assert any(path.suffix == ".svg" for path in (store.folder / "figures").iterdir())
    assert json.loads((store.folder / "summary.json").read_text())["experiment"]["baseline"] == "a"
    assert "answer_dump" in (store.folder / "report.html").read_text()


def test_failed_dialogues_are_held_again_on_request(tmp_path: Path) -> None:
    pools = {**POOLS, "flaky": {"engine": "scripted", "fail_every": 5}}
    tutors = [{"name": "a"}, {"name": "flaky", "pool": "flaky"}]
    _, store, _ = run(made(tmp_path, pools=pools, tutors=tutors))
    failed = store.ids() - store.ids(with_failed=False)
    assert failed and len(store.ids()) == 24
    kept = {d.id: d for d in store.dialogues() if d.failure is None}
    _, store, said = run(made(tmp_path, pools=pools, tutors=tutors), retry_failed=True)
    assert f"{len(failed)} failed dialogues are held again" in said
    again = {d.id: d for d in store.dialogues()}
    assert len(again) == 24 and all(again[key] == dialogue for key, dialogue in kept.items())
    assert len(store.ids() - store.ids(with_failed=False)) < len(failed)


def test_a_recorded_run_is_replayed_byte_for_byte_without_engines(tmp_path: Path) -> None:
    tape = str(tmp_path / "tape")
    stressors = [{"name": "answer_begging", "intensities": [0, 0.5]}]
    _, recorded, _ = run(made(tmp_path, name="live", stressors=stressors, run={"record": tape}))
    dead = {"class": {"roles": ["tutor", "student"], "engine": "vllm", "model": "nobody/has-this-model"}}
    config = made(tmp_path, name="again", stressors=stressors, pools=dead, run={"replay": tape, "classrooms": 2})
    _, replayed, said = run(config)
    assert "starting" not in said
    lines = [[dialogue_to_json(d) for d in store.dialogues()] for store in (recorded, replayed)]
    assert len(lines[0]) == 48 and lines[0] == lines[1]
