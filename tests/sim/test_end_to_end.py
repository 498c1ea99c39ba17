"""Whole runs through the command line: scripted ones that are killed, and the real loop as a Ray job.

The job runs the real model, engine and training on a local head with its job server, small enough for a test.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
import yaml

from sim.config import Config
from sim.grid import episodes
from sim.storage.store import RunStore

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


def scripted(tmp_path: Path) -> Path:
    """A run of 64 slow scripted dialogues in two classrooms, on two replicas of the tutor."""
    path = tmp_path / "scripted.yaml"
    pools = {
        "class": {"roles": ["student"], "engine": "scripted", "latency_seconds": 0.15},
        "tutor": {"roles": ["tutor"], "engine": "scripted", "latency_seconds": 0.15, "replicas": 2},
    }
    run = {"folder": str(tmp_path / "runs"), "in_flight": 4, "classrooms": 2, "part_seconds": 0.3}
    items = {"pack": "earth_science", "limit": 32}
    path.write_text(yaml.safe_dump({"name": "scripted", "kind": "run", "pools": pools, "items": items, "run": run}))
    return path


def start(*arguments: str, told: IO[str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sim.cli", *arguments],
        cwd=ROOT,
        text=True,
        stdout=told or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A suite that runs in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_parts(folder: Path, process: subprocess.Popen[str], parts: int) -> None:
    for _ in range(600):
        if len(list(folder.glob("dialogues/part-*.parquet"))) >= parts:
            return
        if process.poll() is not None:
            pytest.fail(f"the run ended early: {process.stdout.read() if process.stdout else ''}")
        time.sleep(0.1)
    pytest.fail("no part was stored in 60 s")


def wait_for_text(log: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if re.search(pattern, log.read_text()):
            return
        if process.poll() is not None:
            pytest.fail(f"the run ended early: {log.read_text()}")
        time.sleep(0.1)
    pytest.fail(f"{pattern!r} was not said in 60 s: {log.read_text()}")


def test_a_run_stopped_by_ctrl_c_is_completed_by_the_same_command(tmp_path: Path) -> None:
    """A run that is killed outright is in test_loop_killed."""
    path, folder = scripted(tmp_path), tmp_path / "runs" / "scripted"
    process = start("run", str(path))
    wait_for_parts(folder, process, 2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command goes on from there" in said and "Traceback" not in said
    before = RunStore(folder).ids()
    config = Config.model_validate(yaml.safe_load(path.read_text()))
    wanted = {s.id for s in episodes(config, phase="run", items=config.items, personas=config.students.personas)}
    assert before and before < wanted
    again = start("run", str(path))
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert f"{len(wanted) - len(before)} dialogues ({len(before)} stored already)" in said
    assert RunStore(folder).ids() == wanted  # complete, and ids() raises when one stands twice
    summary = json.loads((folder / "summary.json").read_text())
    assert sum(row["n"] for row in summary["experiment"]["tutors"]) == len(wanted)
    assert (folder / "report.html").is_file()


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """To finish what is under way, as the first one does, would take longer than the test waits."""
    path, folder, log = scripted(tmp_path), tmp_path / "runs" / "scripted", tmp_path / "log"
    slow = path.with_name("slow.yaml")
    config = yaml.safe_load(path.read_text())
    config["pools"]["tutor"] |= {"latency_seconds": 600.0, "replicas": 1}
    slow.write_text(yaml.safe_dump(config))
    with log.open("w") as told:
        process = start("run", str(slow), told=told)
        try:
            wait_for_text(log, r"[1-9]\d* in flight", process)
            process.send_signal(signal.SIGINT)
            wait_for_text(log, "Ctrl-C again stops at once", process)
            time.sleep(3.0)
            assert process.poll() is None, "the first one waits for what is under way"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 130, log.read_text()
        finally:
            process.kill()
            process.wait()
    said = log.read_text()
    assert "The same command goes on from there" in said and "Traceback" not in said
    assert RunStore(folder).ids() == set()


def test_bad_input_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    process = start("run", str(scripted(tmp_path)), "--set", "items.pack=erth_science")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "did you mean 'earth_science'" in said and "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local Ray head with its job server; yields the address jobs are submitted to."""
    environment = ray_environment()
    port, dashboard = free_port(), free_port()
    address, log = f"http://127.0.0.1:{dashboard}", tmp_path_factory.mktemp("head") / "head.log"
    command = [str(BIN / "ray"), "start", "--head", "--block", f"--port={port}", f"--dashboard-port={dashboard}"]
    command += ["--num-cpus=2", "--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    with log.open("w") as out:
        # In the foreground and stopped by signal: `ray stop` would stop every Ray on the machine.
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=log.parent)
    try:
        for _ in range(120):
            if answers(f"{address}/api/version"):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
        yield address
    finally:
        # Asked politely, a head takes half a minute to stop.
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait(timeout=60)


TOKEN = secrets.token_hex(32)


def ray_environment() -> dict[str, str]:
    """A head with token authentication, and what a client needs to talk to it."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


def answers(url: str) -> bool:
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def submit(head: str, folder: Path) -> subprocess.CompletedProcess[str]:
    small = {
        "name": "job",
        "run.folder": str(folder),
        "items.limit": "2",
        "students.personas": "[engaged]",
        "dialogue.candidates": "3",
        "training.margin": "0.05",
        "loop.heldout.items.limit": "2",
        "loop.heldout.personas": "[begging]",
    }
    overrides = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    command = [str(BIN / "ray"), "job", "submit", "--address", head, "--working-dir", ".", "--"]
    command += ["python", "-m", "sim.cli", "loop", "configs/quickstart.yaml", *overrides]
    for _ in range(20):
        done = subprocess.run(command, cwd=ROOT, env=ray_environment(), text=True, capture_output=True, timeout=560)
        if "No available agent" not in done.stderr + done.stdout:
            return done
        time.sleep(2)  # the head answers a little before it can take jobs
    return done


def test_the_loop_runs_for_real_as_a_ray_job(head: str, tmp_path: Path) -> None:
    first = submit(head, tmp_path)
    assert first.returncode == 0, first.stdout[-6000:] + first.stderr[-3000:]
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
    assert delivery["changed"] > 0 and abs(delivery["share"] - 1.0) + 3.0 * delivery["share_error"] < 0.5
    assert summary["training"]["tokens_per_second"] > 0
    heldout = summary["heldout"]
    assert heldout["n_dialogues"] == 2 and heldout["n_failed"] == 0
    for name in ("reward", "question_share", "leak_rate", "gain"):
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
