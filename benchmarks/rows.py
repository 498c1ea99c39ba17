"""Tree rows, as the loop trains them, beside plain pair rows, on the preference trees that a run left behind.

Timed is what a training step does with its rows: reference pass, forward and backward. Both forms give the same loss,
which is checked.

Usage: `python benchmarks/rows.py runs/quickstart/training/round-0001/trees.jsonl --json FILE`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoTokenizer

from agents.hardware import describe
from agents.models import ensure_embedded
from trainers.losses import dpo
from trainers.model import Policy, load_policy
from trainers.objective import Objective
from trainers.packing import build_rows, pack, plan_passes
from trainers.plan import TrainSettings
from trainers.rendering import Renderer
from trainers.rows import pair_rows
from trainers.trees import Tree, read_trees

BETA = 0.1


def trees_form(policy: Policy, trees: list[Tree], renderer: Renderer, settings: TrainSettings) -> float:
    """Backward through packed tree rows; returns the mean loss over pairs."""
    rows = build_rows(trees, renderer, objective="dpo", max_row_tokens=settings.max_row_tokens).rows
    objective, total = Objective(settings), 0.0
    for group in plan_passes([len(row.tokens) for row in rows], settings.pass_tokens):
        row = pack([rows[index] for index in group])
        reference = policy.reference_logprobs(row)
        loss = objective.terms(row, *policy.logprobs(row), reference).loss
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total / sum(len(row.pairs) for row in rows)


def pairs_form(policy: Policy, trees: list[Tree], renderer: Renderer) -> float:
    """Backward through a plain row per reply, pair by pair."""
    losses = []
    for tree in trees:
        for chosen, rejected in pair_rows(tree, renderer):
            old = [policy.reference_logprobs(row) for row in (chosen, rejected)]
            new = [policy.logprobs(row)[0] for row in (chosen, rejected)]
            loss = dpo(new[0], new[1], old[0], old[1], beta=BETA).loss.sum()
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
    return sum(losses) / len(losses)


def main() -> None:
    """Measures both forms in alternating order and prints the ratio of their median times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", type=Path)
    parser.add_argument("--dialogues", type=int, default=6, help="how many of the trees")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quantization", choices=("nf4", "none"), default="nf4")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    trees = [tree for tree in read_trees(given.trees) if tree.pairs][: given.dialogues]
    settings = TrainSettings(quantization=given.quantization, sft_weight=0.0, beta=BETA)
    policy = load_policy(ensure_embedded(), settings=settings, parent=None, reference=True)
    renderer = Renderer(AutoTokenizer.from_pretrained(str(ensure_embedded())))
    torch.manual_seed(0)
    for name, value in policy.trainable.items():
        if "lora_B" in name:
            value.data.normal_(std=0.02)
    forms = {
        "tree": lambda: trees_form(policy, trees, renderer, settings),
        "pairs": lambda: pairs_form(policy, trees, renderer),
    }
    losses = {name: run() for name, run in forms.items()}
    error = abs(losses["tree"] - losses["pairs"]) / losses["pairs"]
    if error > 1e-3:
        sys.exit(f"the two forms give other losses: {losses}")
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for repeat in range(given.repeats):
        for name in sorted(forms, reverse=bool(repeat % 2)):
            policy.model.zero_grad(set_to_none=True)
            started = time.perf_counter()
            forms[name]()
            seconds[name].append(time.perf_counter() - started)
            print(f"repeat {repeat + 1}: {name} {seconds[name][-1]:.2f} s", flush=True)
    result: dict[str, Any] = {
        "speedup": median(seconds["pairs"]) / median(seconds["tree"]),
        "loss_relative_error": error,
        "pairs": sum(len(tree.pairs) for tree in trees),
        "dialogues": len(trees),
        "quantization": given.quantization,
        "seconds": seconds,
        "machine": describe(),
        "date": date.today().isoformat(),
    }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
