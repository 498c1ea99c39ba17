"""Whole runs through the command line: scripted ones that are stopped, and the real loop as a Ray job.

The job runs the real model, engine and training on a cluster with its job server, small enough for a test.
"""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from drivers import PATIENCE, Driver, Jobs
from nodes import Nodes

from agents.errors import StoreError
from sim.config import Config
from sim.grid import episodes
from sim.sight.status import Status, read_status
from sim.storage.store import RunStore

pytestmark = pytest.mark.slow


def scripted(tmp_path: Path) -> Path:
    """A run of 64 scripted dialogues in two classrooms, on two replicas of the tutor."""
    path = tmp_path / "scripted.yaml"
    pools = {
        "class": {"roles": ["student"], "engine": "scripted"},
        "tutor": {"roles": ["tutor"], "engine": "scripted", "replicas": 2},
    }
    run = {"folder": str(tmp_path / "runs"), "in_flight": 4, "classrooms": 2, "part_seconds": 0.3}
    items = {"pack": "earth_science", "limit": 32}
    path.write_text(yaml.safe_dump({"name": "scripted", "kind": "run", "pools": pools, "items": items, "run": run}))
    return path


def test_a_run_stopped_by_ctrl_c_is_completed_by_the_same_command(tmp_path: Path, head: Nodes) -> None:
    """A run that is killed outright is in test_loop_killed, one with a Ray of its own in test_secrets_run."""
    path, folder = scripted(tmp_path), tmp_path / "runs" / "scripted"
    slow = [part for pool in ("class", "tutor") for part in ("--set", f"pools.{pool}.latency_seconds=0.5")]
    driver = Driver("run", path, *slow, log=tmp_path / "first", environment=head.driver_environment())
    driver.wait_until(lambda: len(list(folder.glob("dialogues/part-*.parquet"))) >= 2)
    driver.send(signal.SIGINT)
    said = driver.ends(130)
    assert "The same command goes on from there" in said and "Traceback" not in said
    before = RunStore(folder).ids()
    config = Config.model_validate(yaml.safe_load(path.read_text()))
    wanted = {s.id for s in episodes(config, phase="run", items=config.items, personas=config.students.personas)}
    assert before and before < wanted
    said = Driver("run", path, log=tmp_path / "again", environment=head.driver_environment()).ends()
    assert f"{len(wanted) - len(before)} dialogues ({len(before)} stored already)" in said
    assert RunStore(folder).ids() == wanted  # complete, and ids() raises when one stands twice
    summary = json.loads((folder / "summary.json").read_text())
    assert sum(row["n"] for row in summary["experiment"]["tutors"]) == len(wanted)
    assert (folder / "report.html").is_file()


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, head: Nodes) -> None:
    """What is under way would take the first one longer than the test waits."""
    path, folder = scripted(tmp_path), tmp_path / "runs" / "scripted"
    config = yaml.safe_load(path.read_text())
    config["pools"]["tutor"] |= {"latency_seconds": 4 * PATIENCE, "replicas": 1}
    path.write_text(yaml.safe_dump(config))
    driver = Driver("run", path, log=tmp_path / "log", environment=head.driver_environment())

    def status() -> Status | None:
        with contextlib.suppress(StoreError):
            return read_status((folder / "status.json").read_text)
        return None

    def busy(news: str = "") -> str:
        """When a status was written in which dialogues are under way and some news is the last."""
        found = status()
        under_way = found is not None and found.state == "running" and found.snapshot and found.snapshot.in_flight
        return found.at if found is not None and under_way and news in found.doing else ""

    try:
        driver.wait_until(lambda: bool(busy()))
        driver.send(signal.SIGINT)
        driver.wait_until(lambda: bool(busy("Ctrl-C again stops at once")))
        noticed = busy("Ctrl-C again stops at once")
        # The first one waits for what is under way: the run goes on to say so.
        driver.wait_until(lambda: busy("Ctrl-C again stops at once") > noticed)
        driver.send(signal.SIGINT)
        said = driver.ends(130)
    finally:
        driver.close()
    assert "The same command goes on from there" in said and "Traceback" not in said
    assert RunStore(folder).ids() == set()


def test_bad_input_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    driver = Driver("run", scripted(tmp_path), "--set", "items.pack=erth_science", log=tmp_path / "log")
    said = driver.ends(2)
    assert "did you mean 'earth_science'" in said and "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_the_loop_runs_for_real_as_a_ray_job(head: Nodes, tmp_path: Path) -> None:
    small = {
        "name": "job",
        "run.folder": str(tmp_path),
        "items.limit": "2",
        "students.personas": "[engaged]",
        "dialogue.candidates": "3",
        "training.margin": "0.05",
        "loop.heldout.items.limit": "2",
        "loop.heldout.personas": "[begging]",
    }
    overrides = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    command = ["python", "-m", "sim.cli", "loop", "configs/quickstart.yaml", *overrides]
    Jobs(head.dashboard, head.environment).run(command, working_folder=".")
    folder = tmp_path / "job"
    summary = json.loads((folder / "summary.json").read_text())
    check_summary(summary)
    adapter = folder / "adapters" / "tutor" / "v0001"
    check_loads_with_plain_peft(adapter)
    phases = {dialogue.spec.phase: dialogue.tutor_policy for dialogue in RunStore(folder).dialogues()}
    assert phases["heldout/base"] == "base" and phases["heldout/tutor/v0001"] == "tutor/v0001"


def check_summary(summary: dict[str, Any]) -> None:
    assert summary["decision"] in ("promoted", "rolled_back")
    assert summary["delivery"]["agreement"] <= summary["delivery"]["tolerance"]
    delivery = summary["delivery"]
    parts = [delivery[name] for name in ("merge_seconds", "seconds", "prove_seconds")]
    assert 0 < sum(parts) <= delivery["wall_seconds"] and min(parts) > 0
    assert summary["seconds"]["round-0001-deliver"] == pytest.approx(delivery["wall_seconds"], abs=0.01)
    assert delivery["changed"] > 0 and abs(delivery["share"] - 1.0) + 3.0 * delivery["share_error"] < 0.5
    assert summary["training"]["tokens_per_second"] > 0
    heldout = summary["heldout"]
    assert heldout["n_dialogues"] == 2 and heldout["n_failed"] == 0
    assert "gain" not in heldout["difference"] and "not measured" in summary["belief"], "no form is valid on this model"
    for name in ("reward", "question_share", "leak_rate"):
        assert isinstance(heldout["before"][name], float) and isinstance(heldout["after"][name], float)
        low, high = heldout["difference"][name]["ci95"]
        assert low <= heldout["difference"][name]["mean"] <= high
    assert {"round-0001-simulate", "round-0001-train", "round-0001-replay"} <= set(summary["seconds"])
    assert summary["seconds"]["engine-class"] > 0 and summary["seconds"]["engine-tutor"] > 0


def check_loads_with_plain_peft(adapter: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from agents.models import ensure_embedded

    base = AutoModelForCausalLM.from_pretrained(ensure_embedded(), dtype=torch.float32)
    before = base.model.layers[0].mlp.up_proj.weight.clone()
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload()
    assert not torch.equal(before, merged.model.layers[0].mlp.up_proj.weight)
