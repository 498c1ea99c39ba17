"""Forward and backward of the embedded model in float32 and bfloat16 on this CPU, side by side in one run.

Why: tutorloop chooses the dtype by machine (`agents/hardware.py`). Usage: `python benchmarks/dtype.py [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from agents.hardware import cpu_computes_bfloat16, describe
from agents.models import ensure_embedded


def tokens_per_second(dtype: torch.dtype, tokens: int, repeats: int) -> float:
    """Of a forward and backward pass over one row; the first pass warms up and is not timed."""
    model = AutoModelForCausalLM.from_pretrained(ensure_embedded(), dtype=dtype)
    row = torch.randint(5, 40000, (1, tokens))
    seconds = []
    for _ in range(repeats + 1):
        started = time.monotonic()
        model(input_ids=row, labels=row).loss.backward()
        seconds.append(time.monotonic() - started)
    return tokens * repeats / sum(seconds[1:])


def main() -> None:
    """Prints the rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128, help="tokens in the row")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rates = {
        name: tokens_per_second(getattr(torch, name), arguments.tokens, arguments.repeats)
        for name in ("float32", "bfloat16")
    }
    result = {
        "machine": describe(),
        "native_bfloat16": cpu_computes_bfloat16(),
        "tokens_per_second": rates,
        "float32_over_bfloat16": rates["float32"] / rates["bfloat16"],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
