"""Runs on several Ray nodes of this machine: nodes are lost, come and go while dialogues are held.

All drivers are processes of their own, as a user's are, and end with the same promise: every id stored exactly once.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from drivers import ROOT, Driver, Jobs, wait_until
from nodes import Nodes, nodes

from sim.config import Config
from sim.grid import experiment_specs
from sim.storage.store import RunStore

pytestmark = pytest.mark.slow
AT_ONCE = [
    part
    for setting in ("run.in_flight=240", "pools.class.latency_seconds=0", "pools.tutor.latency_seconds=0")
    for part in ("--set", setting)
]


def scripted(path: Path, *, address: str, dialogues: int, latency: float = 0.0, **pools: dict[str, Any]) -> Path:
    """Writes a config of so many scripted dialogues."""
    quick = {"engine": "scripted", "latency_seconds": latency}
    repeats = max(1, dialogues // 96)
    config = {
        "name": "nodes",
        "pools": {
            "class": {"roles": ["student"], **quick, **pools.get("student", {})},
            "tutor": {"roles": ["tutor"], **quick, **pools.get("tutor", {})},
        },
        "items": {"pack": "earth_science", "limit": dialogues // 2 // repeats, "repeats": repeats},
        "run": {
            "folder": str(path.parent / "runs"),
            "ray_address": address,
            "classrooms": 2,
            "in_flight": 12,
            "part_seconds": 0.3,
        },
    }
    path.write_text(yaml.safe_dump(config))
    return path


def start(cluster: Nodes, config: Path, *options: str, folder: Path = ROOT) -> Driver:
    """Starts `tutorloop run` as a driver of the cluster, which has the cluster's token and is not told to use it."""
    known = {name: value for name, value in cluster.environment.items() if name != "RAY_AUTH_MODE"}
    return Driver("run", config, *options, log=config.with_suffix(""), environment=known, folder=folder)


def stored(config: Path) -> int:
    return len(RunStore(config.parent / "runs" / "nodes").ids())


def everything_is_stored_once(config: Path, driver: Driver) -> None:
    """Waits for the run's end; `ids` raises where a dialogue stands twice."""
    driver.ends()
    wanted = {spec.id for spec in experiment_specs(Config.model_validate(yaml.safe_load(config.read_text())))}
    assert RunStore(config.parent / "runs" / "nodes").ids(with_failed=False) == wanted


def test_a_node_is_lost_while_a_run_goes_on_and_another_gets_its_work(two_nodes: Nodes, tmp_path: Path) -> None:
    """The run is slow while nodes come and go, so it cannot end too early; the rest is held at once."""
    busy = {"replicas": 3, "cpus": 1.0}
    path = scripted(
        tmp_path / "lost.yaml", address=two_nodes.address, dialogues=1920, latency=2.0, student=busy, tutor=busy
    )
    run = start(two_nodes, path)
    run.wait_until(lambda: sum(two_nodes.hosts().values()) == 6)
    assert sorted(two_nodes.hosts().values()) == [0, 3, 3]  # none where there is no CPU
    run.wait_until(lambda: stored(path) > 0)
    lost = max(two_nodes.hosts(), key=two_nodes.hosts().__getitem__)
    two_nodes.ask(f"kill {lost}")
    run.wait_until(lambda: lost not in two_nodes.alive())
    # Three engines are left and nowhere is room for the others: the run goes on with those.
    before = stored(path)
    run.wait_until(lambda: stored(path) > before)
    joined = two_nodes.ask("add 3")
    run.wait_until(lambda: two_nodes.hosts().get(joined, 0) == 3)
    before = stored(path)
    run.wait_until(lambda: stored(path) > before)
    run.send(signal.SIGINT)
    assert "serves again" in run.ends(130)
    assert before < stored(path) < 1920
    everything_is_stored_once(path, start(two_nodes, path, *AT_ONCE))


def test_chaos_kills_a_worker_node_but_not_the_head_and_counts_it_for_no_engine(two_nodes: Nodes) -> None:
    two_nodes.ask("add 2")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("node_strike.py")), two_nodes.address],
        cwd=ROOT,
        env={**two_nodes.environment, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("found ")), "")
    assert line, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(line.removeprefix("found "))
    (told,) = found["told"]
    lost = told.removeprefix("chaos: killed ").split()[0]
    assert found["struck"] and told == f"chaos: killed {lost} (worker node)"
    assert lost not in found["alive"] and lost not in found["after"]
    dead = {"engine restarted": found["engines"].count(lost), "classroom restarted": found["classrooms"].count(lost)}
    assert {kind: found["faults"].get(kind, 0) for kind in dead} == dead and any(dead.values())
    assert found["faults"]["killed worker node"] == 1
    assert found["short_lives"] == [0, 0]
    assert found["once"]


def test_nodes_come_because_pools_ask_and_go_when_nobody_needs_them(tmp_path: Path) -> None:
    with nodes("autoscaling") as cluster:
        head = cluster.alive()
        assert len(head) == 1
        busy = {"replicas": 2, "cpus": 1.0}
        path = scripted(
            tmp_path / "scaled.yaml", address=cluster.address, dialogues=24, latency=0.1, student=busy, tutor=busy
        )
        run = start(cluster, path)
        run.wait_until(lambda: len(cluster.alive()) == 3)  # four CPUs, two a node
        run.wait_until(lambda: sum(cluster.hosts().values()) == 4)
        assert cluster.hosts()[next(iter(head))] == 0
        everything_is_stored_once(path, run)
        wait_until(lambda: cluster.alive() == head, lambda: str(cluster.alive()))


PACK = """
name: mine
subject: Earth science
grade: 6-8
licence: Apache-2.0
author: A teacher
items:
- id: seasons-01
  area: Astronomy
  concept: cause of the seasons
  keywords: [season, tilt]
  opening: I don't get why summer is warmer.
  question: Why is summer warmer than winter?
  options:
    - {text: The tilt of the axis brings more direct sunlight., correct: true}
    - {text: The Earth is closer to the sun in summer., misconception: Thinks that distance causes the seasons.}
  transfer:
    question: Why is it summer in Australia when it is winter in Canada?
    options:
      - {text: Australia is tilted toward the sun then., correct: true}
      - {text: Australia is closer to the sun then.}
"""


def test_a_pack_of_the_user_reaches_nodes_that_do_not_have_the_file(two_nodes: Nodes, tmp_path: Path) -> None:
    """The nodes run in another folder, so a relative path that the driver finds leads nowhere there."""
    (tmp_path / "mine.yaml").write_text(PACK)
    path = scripted(tmp_path / "packed.yaml", address=two_nodes.address, dialogues=2)
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "items": {"pack": "mine.yaml"}}))
    start(two_nodes, path, folder=tmp_path).ends()
    assert len(RunStore(tmp_path / "runs" / "nodes").ids(with_failed=False)) == 2


def test_a_cluster_that_asks_for_no_token_takes_a_driver_that_has_one(tmp_path: Path) -> None:
    """Shown there, the token would be asked of the cluster's workers, which have none."""
    with nodes("cluster", token=False) as open_cluster:
        open_cluster.ask("add 3")
        assert open_cluster.environment["RAY_AUTH_TOKEN"]
        path = scripted(tmp_path / "open.yaml", address=open_cluster.address, dialogues=2)
        everything_is_stored_once(path, start(open_cluster, path))


def test_a_driver_without_the_token_is_told_so_at_once(two_nodes: Nodes, tmp_path: Path) -> None:
    path = scripted(tmp_path / "stranger.yaml", address=two_nodes.address, dialogues=2)
    stranger = {name: value for name, value in two_nodes.environment.items() if not name.startswith("RAY_AUTH")}
    stranger["HOME"] = str(tmp_path)  # a token lies in the home folder
    said = Driver("run", path, log=tmp_path / "stranger", environment=stranger).ends(2)
    assert "asks for a token and this machine has none" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_job_from_another_folder_takes_code_config_and_pack_along(two_nodes: Nodes, tmp_path: Path) -> None:
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    elsewhere.mkdir()
    work.mkdir()
    for part in ("agents", "trainers", "sim"):
        (work / part).symlink_to(ROOT / part)
    (work / "mine.yaml").write_text(PACK)
    path = scripted(work / "job.yaml", address="", dialogues=2)
    config = yaml.safe_load(path.read_text())
    config["run"]["folder"] = str(tmp_path / "runs")
    path.write_text(yaml.safe_dump({**config, "items": {"pack": "mine.yaml"}}))
    # The job must find its code in what was uploaded, not through this checkout's installation.
    command = ["python", "-c", f"import sys; sys.path.insert(0, '.'); {WHERE}; from sim.cli import entry; entry()"]
    jobs = Jobs(two_nodes.dashboard, two_nodes.environment)
    said = jobs.run([*command, "run", "job.yaml"], working_folder=str(work), folder=elsewhere)
    assert "runtime_resources" in next(line for line in said.splitlines() if line.startswith("code in "))
    assert len(RunStore(tmp_path / "runs" / "nodes").ids(with_failed=False)) == 2
    environment = json.loads((tmp_path / "runs" / "nodes" / "environment.json").read_text())
    assert "run job.yaml" in environment["command"]


WHERE = "import agents; print('code in', agents.__file__)"
