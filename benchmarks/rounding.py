"""How much of a trained adapter is left when it is merged in bfloat16: rounded to nearest, and up or down at random.

Each copy of the merged model scores the fixed sequences of the adapter's proof: computed in float32, which shows what
the weights lost, and the rounded ones in bfloat16, which is what an engine serves. `share` is how much of what training
changed it shows, `agreement` its mean distance from the trainer's log-probs in nats a token. Beside them stands how far
the base in bfloat16 is from itself in float32: an engine's own rounding. For the first adapter of a lineage.

    python benchmarks/rounding.py runs/quickstart/adapters/tutor/v0001 --json FILE
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from agents.hardware import describe
from agents.models import ensure_embedded
from trainers.merge import merge
from trainers.proof import compare, logprobs, read_proof, share_served

WHOLE = "not rounded"


def served(model: Any, sequences: list[list[int]]) -> list[list[float]]:
    """What an engine with this model would say of the proof's sequences."""
    return [logprobs(model, sequence) for sequence in sequences]


def copies(adapter: Path, scratch: Path) -> Iterator[tuple[str, Any]]:
    """The merged model, not rounded and rounded in both ways, all held in float32."""
    base = ensure_embedded()
    merge(base, adapter, scratch / "whole", torch.float32)
    whole = AutoModelForCausalLM.from_pretrained(str(scratch / "whole"), dtype=torch.float32)
    yield WHOLE, whole
    yield "to nearest", whole.to(torch.bfloat16).to(torch.float32)
    merge(base, adapter, scratch / "random", torch.bfloat16)
    yield "at random", AutoModelForCausalLM.from_pretrained(str(scratch / "random"), dtype=torch.float32)


def lost_energy(adapter: Path, scratch: Path) -> float:
    """Share of the squared change of the weights that rounding to nearest takes back."""
    (before,), (after,) = (list(folder.glob("*.safetensors")) for folder in (ensure_embedded(), scratch / "whole"))
    base, whole, lost, total = load_file(before), load_file(after), 0.0, 0.0
    for name, weight in base.items():
        change = whole[name].double() - weight.double()
        kept = whole[name].to(torch.bfloat16).double() - weight.double()
        total, lost = total + float(change.square().sum()), lost + float((change - kept).square().sum())
    return lost / total


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", type=Path, help="a folder with proof.json, trained on the embedded model")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    proof, rows = read_proof(given.adapter), []
    with tempfile.TemporaryDirectory() as scratch:
        for rounding, model in copies(given.adapter, Path(scratch)):
            for dtype in (torch.float32,) if rounding == WHOLE else (torch.float32, torch.bfloat16):
                scores = served(model.to(dtype), proof["sequences"])
                share, error = share_served(proof, scores)
                row = {"weights": rounding, "computed in": str(dtype).removeprefix("torch."), "share": share}
                rows.append(row | {"share_error": error, "agreement": compare(proof["new"], scores)})
            model.to(torch.float32)
        lost = lost_energy(given.adapter, Path(scratch))
    base = AutoModelForCausalLM.from_pretrained(str(ensure_embedded()), dtype=torch.bfloat16)
    found = {
        "rows": rows,
        "lost_energy_to_nearest": lost,
        "base_in_bfloat16_to_base_in_float32": compare(proof["old"], served(base, proof["sequences"])),
        "machine": describe(),
        "date": date.today().isoformat(),
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
