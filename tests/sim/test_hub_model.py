"""A tutor that is named by its hub name is trained and merged, from a cache and without network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import build_model, build_tokenizer, make_tree

from trainers.trees import trees_to_jsonl

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = """
name: hub
kind: train
model: owner/tiny
data: {path: trees.jsonl}
training: {objective: sft, quantization: none, lora_rank: 4, rows_per_step: 2, workers: 0, threads: 1}
"""
MERGE = """
from pathlib import Path
from sim.config import PoolConfig
from sim.delivery import _merge
pool = PoolConfig(roles=("tutor",), dtype="float32")
print(_merge(pool, "owner/tiny", Path("out/adapter"), Path("merged").absolute()))
"""


def cached(home: Path) -> Path:
    """The tiny model in a hub cache, as the client lays it out; returns its snapshot."""
    repository = home / "hub" / "models--owner--tiny"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    build_model().save_pretrained(snapshot)
    build_tokenizer().save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    return snapshot


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of its own: the hub's client reads its environment once."""
    settings = {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | settings
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_hub_model_is_trained_and_merged_from_the_cache(tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "home")
    (tmp_path / "hub.yaml").write_text(CONFIG)
    trees_to_jsonl([make_tree(str(index), 2) for index in range(3)], tmp_path / "trees.jsonl")
    train = ("-m", "sim.cli", "train", "hub.yaml", "trees.jsonl", "--out", "out")
    trained = run(tmp_path, *train)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "out" / "adapter" / "proof.json").is_file()
    merged = run(tmp_path, "-c", MERGE)
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "merged" / "model.safetensors").is_file()

    (snapshot / "model.safetensors").unlink()
    refused = run(tmp_path, *train)
    assert refused.returncode == 2 and "hf download owner/tiny" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
