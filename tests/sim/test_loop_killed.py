"""A loop that is killed at several steps, and completed each time by the same command.

Real Ray, real training of the tiny model (in the driver), and scripted engines, which take a delivered policy and
answer with its proof.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from drivers import Driver
from nodes import Nodes
from tiny import build_model, build_tokenizer

from sim.config import Config
from sim.grid import episodes
from sim.storage.store import RunStore
from trainers.registry import Registry

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two short rounds on scripted engines."""
    model = tmp_path / "tiny"
    build_model().save_pretrained(model)
    build_tokenizer().save_pretrained(model)
    script = ["What do you think happens to the air here, and why?", "It is so.", "Look at the wind and tell me more."]
    engine = {"engine": "scripted", "script": script}
    held = {"items": {"pack": "physics", "limit": 6}, "personas": ["begging"]}
    content = {
        "name": "killed",
        "kind": "loop",
        "model": str(model),
        "pools": {"class": {"roles": ["student"], **engine}, "tutor": {"roles": ["tutor"], **engine}},
        "items": {"pack": "earth_science", "limit": 4},
        "dialogue": {"candidates": 3},
        "training": {
            "quantization": "none",
            "margin": 0.05,
            "checkpoint_steps": 1,
            "rows_per_step": 2,
            "lora_rank": 4,
            "workers": 0,
        },
        "loop": {"rounds": 2, "heldout": held},
        "run": {"folder": str(tmp_path / "runs"), "in_flight": 4, "part_dialogues": 2, "part_seconds": 0.2},
    }
    path = tmp_path / "killed.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def stored(folder: Path, phase: str) -> int:
    return sum(dialogue.spec.phase == phase for dialogue in RunStore(folder).dialogues())


def test_a_killed_loop_is_completed_by_the_same_command(config: Path, tmp_path: Path, head: Nodes) -> None:
    folder = tmp_path / "runs" / "killed"

    def start(latency: float) -> Driver:
        """How long a reply takes decides no dialogue: long where the loop is to be hit, not at all where it is not."""
        slow = [part for pool in ("class", "tutor") for part in ("--set", f"pools.{pool}.latency_seconds={latency}")]
        return Driver("loop", config, *slow, log=config, environment=head.driver_environment())

    driver = start(0.1)
    driver.wait_until(lambda: (folder / "adapters/tutor/v0001").is_dir())
    driver.killed()  # trained and published, and perhaps not noted yet
    driver = start(0.5)
    driver.wait_until(lambda: stored(folder, "heldout/tutor/v0001") > 0)
    driver.killed()  # in the middle of the replay
    start(0.0).ends()
    check_whole(Config.model_validate(yaml.safe_load(config.read_text())), folder)
    assert "everything is stored already" in start(0.0).ends()


def check_whole(config: Config, folder: Path) -> None:
    store, held = RunStore(folder), config.loop.heldout
    dialogues = store.dialogues()
    wanted: set[str] = set()
    for number in (1, 2):
        phase = f"simulate/{number:04d}"
        wanted |= {s.id for s in episodes(config, phase=phase, items=config.items, personas=config.students.personas)}
    for policy in ("base", "tutor/v0001", "tutor/v0002"):
        phase = f"heldout/{policy}"
        wanted |= {s.id for s in episodes(config, phase=phase, items=held.items, personas=held.personas)}
    assert Counter(dialogue.id for dialogue in dialogues) == Counter(wanted), "complete, and nothing twice"
    for dialogue in dialogues:
        assert dialogue.failure is None
        if dialogue.spec.phase.startswith("heldout/"):
            assert f"heldout/{dialogue.tutor_policy}" == dialogue.spec.phase, (
                "a replay met the policy it is named after"
            )
    versions = Registry(folder / "adapters").versions("tutor")
    assert [version.name for version in versions] == ["tutor/v0001", "tutor/v0002"], "nothing was trained twice"
    assert all(version.decision is not None for version in versions)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["decision"] in ("promoted", "rolled_back")
    assert summary["heldout"]["n_dialogues"] == 6
