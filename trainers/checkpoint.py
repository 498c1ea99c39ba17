"""Where a training run can go on from.

Invariant: a checkpoint folder is complete or not there, and it only resumes the plan and data that wrote it. It needs
no random state: row order and dropout are functions of the seed and the step (see `schedule` and `fit`). Weights that
make the next loss no number look like any others when they are saved. So a checkpoint is proved by the first finite
loss computed from it; until then the one before it stays, and if that loss never comes it is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from agents.errors import TrainerError
from trainers.plan import TrainPlan

_NAME = "state.pt"
_FREE = ("workers", "threads", "gpus_per_worker", "cpus_per_worker", "checkpoint_steps", "pass_tokens")
"""Settings that may differ between the run that wrote a checkpoint and the one that goes on."""

_READ = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""Small files of a base that decide its shape, or how dialogues become tokens."""


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
    """Returns a hash of everything that decides the weights: model, parent, data, seed, and settings that matter.

    A base's weights are known by their files' names and sizes, as reading them would take as long as loading them;
    its small files and a parent's weights are read. Where they lie does not matter.
    """
    settings = {name: value for name, value in asdict(plan.settings).items() if name not in _FREE}
    digest = hashlib.sha256(json.dumps([plan.seed, settings, _model(plan.model_path)], sort_keys=True).encode())
    parent = sorted(plan.parent.glob("adapter_*")) if plan.parent is not None else []
    files = {"trees": plan.trees_path, "validation": plan.validation_path} | {path.name: path for path in parent}
    for name, path in files.items():
        if path is not None:
            with path.open("rb") as file:
                digest.update(f"\n{name} ".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _model(folder: Path) -> dict[str, str | int]:
    """What tells one base from another: the bytes of what shapes it and its prompts, and the sizes of its weights."""
    read = {name: (folder / name).read_bytes() for name in _READ if (folder / name).is_file()}
    weights = [path for kind in ("*.safetensors", "*.bin") for path in folder.glob(kind)]
    return {name: hashlib.sha256(content).hexdigest() for name, content in read.items()} | {
        path.name: path.stat().st_size for path in weights
    }


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Returns where the checkpoint of a step lies."""
    return folder / f"step-{step:06d}"


class Checkpoints:
    """The checkpoints of one run: the newest, and the one before it until the newest is proved."""

    def __init__(self, folder: Path, *, resumed: int, writes: bool) -> None:
        """Makes what keeps account of them.

        Args:
            folder: where they lie.
            resumed: the step that the run goes on from, which is not proved yet; 0 begins.
            writes: whether this worker is the one that writes; the others only keep account.
        """
        self._folder, self._writes, self._resumed = folder, writes, resumed
        self._newest, self._proved = resumed, not resumed

    def save(self, state: TrainState) -> Path:
        """Writes `folder/step-000008` in one atomic step and returns it; all but the one before it are removed."""
        target = checkpoint_folder(self._folder, state.step)
        if self._writes:
            partial = self._folder / f".{target.name}.{os.getpid()}.partial"
            partial.mkdir(parents=True, exist_ok=True)
            torch.save({name: getattr(state, name) for name in TrainState.__slots__}, partial / _NAME)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
        self._keep({self._newest, state.step})
        self._newest, self._proved = state.step, False
        return target

    def prove(self) -> Path | None:
        """To be called after a finite loss: the newest needs no other beside it. Returns it if that was news.

        The one that the run goes on from is none: whoever gave it has it, and it may lie somewhere else.
        """
        if self._proved:
            return None
        self._proved = True
        self._keep({self._newest})
        return checkpoint_folder(self._folder, self._newest) if self._newest != self._resumed else None

    def fail(self) -> str:
        """To be called after a loss that is no number: throws away what is not proved, and says what is left."""
        broken = None if self._proved else checkpoint_folder(self._folder, self._newest)
        if broken is not None and self._writes:
            shutil.rmtree(broken, ignore_errors=True)
        left = [path for path in _complete(self._folder) if path != broken]
        return f"The last good checkpoint is {left[-1]}" if left else "There is no good checkpoint yet"

    def _keep(self, steps: set[int]) -> None:
        wanted = {checkpoint_folder(self._folder, step) for step in steps}
        for old in self._folder.glob("step-*"):
            if self._writes and old not in wanted:
                shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Path | None:
    """Returns the newest complete checkpoint in a folder, or None."""
    found = _complete(folder)
    return found[-1] if found else None


def _complete(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if (path / _NAME).is_file())


def load_checkpoint(folder: Path, expected: str) -> TrainState:
    """Reads a checkpoint.

    Args:
        folder: what `Checkpoints.save` returned.
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
            f"The checkpoint {folder} belongs to another model or parent, or to other data or settings. Train under "
            "another output or run name, or delete the checkpoint to train from the start."
        )
    return state


def load_weights(parameters: Mapping[str, torch.nn.Parameter], weights: Mapping[str, torch.Tensor]) -> None:
    """Puts stored weights into an adapter's parameters.

    Raises:
        TrainerError: the two do not have the same names and shapes.
    """
    shapes = [{name: tuple(value.shape) for name, value in part.items()} for part in (parameters, weights)]
    if shapes[0] != shapes[1]:
        odd = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
        raise TrainerError(
            f"The stored adapter does not fit the model: {len(odd)} of its matrices differ in name or shape, such as "
            f"{odd[0]!r}. Train under another output or run name, or delete the checkpoint to train from the start."
        )
    for name, value in parameters.items():
        value.data.copy_(weights[name])
