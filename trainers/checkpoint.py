"""Where a training run can go on from.

Invariant: a checkpoint folder is complete or not there, and it only resumes the plan and data that wrote it. It needs
no random state: row order and dropout are functions of the seed and the step (see `schedule` and `fit`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from agents.errors import TrainerError
from trainers.plan import TrainPlan

_NAME = "state.pt"
_FREE = ("workers", "threads", "gpus_per_worker", "cpus_per_worker", "checkpoint_steps", "pass_tokens")
"""Settings that may differ between the run that wrote a checkpoint and the one that goes on."""


@dataclass(slots=True)
class TrainState:
    """All that changes during training."""

    fingerprint: str
    step: int = 0
    """Optimiser steps done."""
    adapter: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    initial_margin: float = 0.0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """One entry per validation: step, loss."""
    stopping: dict[str, Any] = field(default_factory=dict)
    """Fields of `Stopping`."""
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    """The adapter of the lowest validation loss."""


def fingerprint(plan: TrainPlan) -> str:
    """Returns a hash of everything that decides the weights: data, seed, and settings that matter."""
    settings = {name: value for name, value in asdict(plan.settings).items() if name not in _FREE}
    digest = hashlib.sha256(json.dumps([plan.seed, settings, str(plan.parent)], sort_keys=True).encode())
    for path in (plan.trees_path, plan.validation_path):
        digest.update(b"" if path is None else path.read_bytes())
    return digest.hexdigest()


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Returns where the checkpoint of a step lies."""
    return folder / f"step-{step:06d}"


def save_checkpoint(state: TrainState, folder: Path) -> Path:
    """Writes `folder/step-000008` in one atomic step, then removes older ones, and returns the new folder."""
    target = checkpoint_folder(folder, state.step)
    partial = folder / f".{target.name}.{os.getpid()}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    torch.save({name: getattr(state, name) for name in TrainState.__slots__}, partial / _NAME)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    for old in folder.glob("step-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """Returns the newest complete checkpoint in a folder, or None."""
    found = sorted(path for path in folder.glob("step-*") if (path / _NAME).is_file())
    return found[-1] if found else None


def load_checkpoint(folder: Path, expected: str) -> TrainState:
    """Reads a checkpoint.

    Args:
        folder: what `save_checkpoint` returned.
        expected: the fingerprint of the plan that wants to go on.

    Raises:
        TrainerError: it cannot be read, or another plan or other data wrote it.
    """
    try:
        state = TrainState(**torch.load(folder / _NAME, map_location="cpu", weights_only=True))
    except Exception as error:  # unpickling a damaged file raises nearly anything
        raise TrainerError(f"The checkpoint {folder} cannot be read ({error}). Delete it to start again.") from error
    if state.fingerprint != expected:
        raise TrainerError(
            f"The checkpoint {folder} belongs to other data or settings. Train under another output or run name, or "
            "delete the checkpoint to train from the start."
        )
    return state
