"""Evidence that a serving engine serves the weights that were trained.

The trainer scores a few fixed token sequences with the new policy and with the old one, on the unquantised base that
is served. An engine that has the new weights agrees with `new` and not with `old`.

What compares log-probs needs no model, and a loop waits for it between training and replay: so torch, transformers and
peft, which take longer to import than a delivery does, are loaded where a model is scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import TrainerError
from agents.files import write_text

if TYPE_CHECKING:
    import torch

MAX_SEQUENCES = 4
MAX_TOKENS = 192


def write_proof(
    model_path: Path,
    adapter: Path,
    sequences: Sequence[Sequence[int]],
    out: Path,
    *,
    parent: Path | None = None,
    device: torch.device | str = "cpu",
) -> Path:
    """Scores sequences under the new and the old policy and writes `out/proof.json`.

    The file holds `sequences` (token ids), `new` and `old`; entry j of a sequence's log-probabilities belongs to token
    j + 1 given the tokens before it, so there is one fewer than tokens.

    Args:
        model_path: the unquantised base, computed in float32 (bfloat16 on CUDA).
        adapter: the new adapter.
        sequences: token ids; the first 4, and 192 tokens of each, are used.
        out: an existing folder.
        parent: the adapter that was continued; without one the old policy is the base.
        device: where to compute.

    Raises:
        TrainerError: no sequence has two tokens, so nothing could be proved.
    """
    usable = [sequence for sequence in sequences if len(sequence) > 1][:MAX_SEQUENCES]
    ids = [[int(token) for token in sequence[:MAX_TOKENS]] for sequence in usable]
    if not ids:
        raise TrainerError(f"No token sequence for the proof of {adapter}: give at least one with two tokens.")
    new, old = _score(model_path, adapter, parent, ids, device)
    path = out / "proof.json"
    write_text(path, json.dumps({"sequences": ids, "new": new, "old": old}))
    return path


def read_proof(adapter: Path) -> dict[str, Any]:
    """Returns the proof inside an adapter folder.

    Raises:
        TrainerError: there is none, or it cannot be read.
    """
    path = adapter / "proof.json"
    try:
        proof: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"No usable proof at {path} ({error}). Write it with write_proof.") from error
    return proof


def compare(expected: Sequence[Sequence[float]], served: Sequence[Sequence[float]]) -> float:
    """Mean absolute difference per token, in nats, between two lists of log-probabilities of the same tokens.

    Raises:
        TrainerError: the two do not cover the same tokens.
    """
    return float(np.abs(_flat(expected, served) - _flat(served, expected)).mean())


def share_served(proof: dict[str, Any], served: Sequence[Sequence[float]]) -> tuple[float, float]:
    """How much of what training changed an engine shows: near 1 with the new policy, near 0 with the old one.

    It is the least-squares slope of (served - old) on (new - old) over the tokens. An engine's rounding, which in
    bfloat16 is as large as what a short training changes, has no part in it but in the error: it does not follow the
    change from token to token.

    Returns:
        The share and its standard error; (nan, inf) where training changed nothing.

    Raises:
        TrainerError: the two do not cover the same tokens.
    """
    old = _flat(proof["old"], served)
    trained, shown = _flat(proof["new"], served) - old, _flat(served, proof["old"]) - old
    size = float(np.square(trained).sum())
    if not size > 0.0:
        return math.nan, math.inf
    share = float((shown * trained).sum()) / size
    rest = float(np.square(shown - share * trained).sum()) / max(1, len(old) - 1)
    return share, math.sqrt(rest / size)


def _flat(values: Sequence[Sequence[float]], like: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """All log-probabilities in a row. Raises TrainerError unless `like` covers the same tokens."""
    shapes = [len(part) for part in values], [len(part) for part in like]
    if shapes[0] != shapes[1] or not sum(shapes[0]):
        raise TrainerError(f"Cannot compare log-probabilities of {shapes[0]} and {shapes[1]} tokens: score the same.")
    return np.array([value for part in values for value in part], dtype=np.float64)


def _score(
    model_path: Path, adapter: Path, parent: Path | None, ids: list[list[int]], device: torch.device | str
) -> tuple[list[list[float]], list[list[float]]]:
    """Log-probabilities under the new and under the old policy."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    base: Any = AutoModelForCausalLM.from_pretrained(str(model_path), dtype=dtype, local_files_only=True)
    model: Any = PeftModel.from_pretrained(base.to(device), str(adapter), adapter_name="new")
    model.eval()  # safe: this base is not quantised
    new = [logprobs(model, sequence) for sequence in ids]
    if parent is None:
        with model.disable_adapter():
            old = [logprobs(model, sequence) for sequence in ids]
    else:
        model.load_adapter(str(parent), adapter_name="old")
        model.set_adapter("old", inference_mode=True)
        old = [logprobs(model, sequence) for sequence in ids]
    return new, old


def logprobs(model: Any, sequence: list[int]) -> list[float]:
    """Log-probability of each token but the first, in nats, as a plain causal language model scores them."""
    import torch

    ids = torch.tensor([sequence], device=model.device)
    with torch.no_grad():
        scores = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(dim=-1)
    return [float(value) for value in scores.gather(1, ids[0, 1:, None])[:, 0]]
