"""Where the training of a scorer can go on from: one file, written after every epoch.

Invariant: the file is complete or the one before it, and it only resumes the examples and settings that wrote it. It
holds no random state: order and dropout are functions of the seed and the epoch. Frozen weights are not in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.errors import TrainerError
from agents.files import sha256, written
from trainers.scorer.encoder import resolve_encoder
from trainers.scorer.settings import Example, ScorerSettings


@dataclass(slots=True)
class FitState:
    """All that changes from epoch to epoch."""

    fingerprint: str
    bad: int = 0
    """Epochs in a row that were not better."""
    best_epoch: int = 0
    """0 before the first."""
    best_loss: float = float("inf")
    history: list[dict[str, Any]] = field(default_factory=list)
    """The epochs done, as dicts."""
    weights: dict[str, Tensor] = field(default_factory=dict)
    """What is trained, after the last epoch."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The same after the best epoch; empty while that is the last one."""
    optimizer: dict[str, Any] = field(default_factory=dict)


def fingerprint(settings: ScorerSettings, train: Sequence[Example], validation: Sequence[Example]) -> str:
    """Returns a hash of everything that decides the weights: settings, examples, and the encoder's own weights.

    An encoder that is named by its hub name counts by its name.
    """
    digest = hashlib.sha256(json.dumps(settings.to_dict(), sort_keys=True).encode())
    for examples in (train, validation):
        digest.update(json.dumps([asdict(example) for example in examples]).encode())
    if settings.kind == "words":
        return digest.hexdigest()
    source = Path(resolve_encoder(settings.encoder))
    for path in sorted([*source.glob("*.safetensors"), *source.glob("*.bin")]) if source.is_dir() else []:
        digest.update(sha256(path).encode())
    return digest.hexdigest()


def save_state(state: FitState, path: Path) -> None:
    """Writes the state in one atomic step."""
    with written(path) as file:
        torch.save({entry.name: getattr(state, entry.name) for entry in fields(state)}, file)


def load_state(path: Path, expected: str) -> FitState:
    """Reads a state, or returns a new one when there is none.

    Args:
        path: what `save_state` wrote.
        expected: the fingerprint of the run that wants to go on.

    Raises:
        TrainerError: it cannot be read, or other examples or settings wrote it.
    """
    if not path.is_file():
        return FitState(expected)
    try:
        state = FitState(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # unpickling a damaged file raises nearly anything
        raise TrainerError(f"The checkpoint {path} cannot be read ({error}). Delete it to start again.") from error
    if state.fingerprint != expected:
        raise TrainerError(
            f"The checkpoint {path} belongs to other examples or settings. Train into another folder, or delete the "
            "checkpoint to train from the start."
        )
    return state
