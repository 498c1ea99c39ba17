"""Our rows and TRL's trainers side by side: the same dialogues, weights and losses, in one process and one run.

Timed is the forward and backward pass over all dialogues (for DPO with the reference pass), batches made before. Ours
is one row per dialogue; TRL's are one sample per turn or pair, alone in its batch so that nothing is padded for another
sample, and for SFT also one row per dialogue (`assistant_only_loss`). Both sides: LoRA of rank 16 on all seven
projections, no dropout, no gradient checkpointing. SFT is the mean over all scored tokens and DPO the mean over pairs,
so the losses of all forms must agree: that is the check that the same thing is computed.

What is changed in TRL, and what is not: its template is ours with generation marks and without the newline behind the
last message, which it would score; on a 4-bit base it turns the adapter to bfloat16, and here it is turned back to
float32, as ours is. On a CPU its fused vocabulary pass runs every position (on CUDA the scored ones), as it comes.

Memory is measured in processes of their own, one per form: after one pass the high-water mark of the resident set is
reset (Linux, /proc/self/clear_refs), a second pass runs, and the mark is read. It is the whole process, model included,
in the first of the precisions.

Usage: `python benchmarks/training.py --json FILE --sweep 5,10,15,20 --plot FILE`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import datasets
import torch
from chart import line_chart
from legs import Shape, make_leg
from transformers.utils import logging as transformers_logging

from agents.hardware import cpu_computes_bfloat16, describe

PRECISIONS = ("fp32", "nf4", "bf16")
LEGS = ("sft_ours", "sft_trl_turns", "sft_trl_one_row", "dpo_ours", "dpo_trl_pairs")
LABELS = ("SFT, ours", "SFT, TRL per turn", "SFT, TRL one row", "DPO, ours", "DPO, TRL pairs")
HIGH_WATER = Path("/proc/self/clear_refs")
"""Where Linux resets the high-water mark; memory is not measured elsewhere."""
TOLERANCE = 1e-3
"""Relative, for float32."""
SLOW_BF16_TURNS = 3


def measure(precision: str, shape: Shape, repeats: int, warm_turns: int) -> dict[str, Any]:
    """Warms all forms up, then times them in alternating order; returns their losses and seconds."""
    warm = replace(shape, turns=warm_turns or shape.turns)
    for leg in LEGS:
        loss = make_leg(leg, precision, warm)()
        say(f"{precision}, {warm.turns} turns: {leg} warm, loss {loss:.6f}")
    runs = {leg: make_leg(leg, precision, shape) for leg in LEGS}
    losses: dict[str, float] = {}
    seconds: dict[str, list[float]] = {leg: [] for leg in LEGS}
    for repeat in range(repeats):
        for leg in LEGS if repeat % 2 == 0 else reversed(LEGS):
            started = time.perf_counter()
            losses[leg] = runs[leg]()
            seconds[leg].append(time.perf_counter() - started)
            say(f"{precision}, {shape.turns} turns, repeat {repeat + 1}: {leg} {seconds[leg][-1]:.2f} s")
    errors = {name: relative_error(losses, name) for name in ("sft", "dpo")}
    if precision == "fp32" and max(errors.values()) > TOLERANCE:
        sys.exit(f"The losses of ours and TRL differ by {errors} relative ({losses}): not the same computation.")
    return {"turns": shape.turns, "losses": losses, "loss_relative_error": errors, "seconds": seconds}


def relative_error(losses: dict[str, float], name: str) -> float:
    """The largest difference of a TRL form's loss from ours."""
    mine = losses[f"{name}_ours"]
    return max(abs(loss - mine) / abs(loss) for leg, loss in losses.items() if leg.startswith(f"{name}_trl"))


def measure_memory(leg: str, precision: str, shape: Shape) -> dict[str, int]:
    """Resident bytes of this process before and at most during a pass; run in a process of its own."""
    torch.set_num_threads(shape.threads)
    quiet()
    run = make_leg(leg, precision, shape)
    run()
    HIGH_WATER.write_text("5", encoding="ascii")
    before = resident("VmRSS")
    run()
    return {"before": before, "peak": resident("VmHWM")}


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def memory(precision: str, shape: Shape) -> dict[str, dict[str, int]]:
    found = {}
    for leg in LEGS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[leg] = pool.apply(measure_memory, (leg, precision, shape))
        say(f"{precision}, memory: {leg} at most {found[leg]['peak'] / 2**20:.0f} MiB")
    return found


def summarise(measured: dict[str, dict[str, Any]], found: dict[str, dict[str, int]]) -> dict[str, Any]:
    """The figures by precision; one that was not measured is absent."""
    seconds = {name: {leg: median(part["seconds"][leg]) for leg in LEGS} for name, part in measured.items()}

    def ratio(high: str, low: str) -> dict[str, float]:
        return {name: part[high] / part[low] for name, part in seconds.items()}

    result: dict[str, Any] = {
        "sft_speedup": ratio("sft_trl_turns", "sft_ours"),
        "sft_over_trl_one_row": ratio("sft_trl_one_row", "sft_ours"),
        "dpo_speedup": ratio("dpo_trl_pairs", "dpo_ours"),
        "loss_relative_error": {
            part: {name: entry["loss_relative_error"][part] for name, entry in measured.items()}
            for part in ("sft", "dpo")
        },
    }
    if found:
        result["peak_memory_ratio"] = {
            "sft": found["sft_ours"]["peak"] / found["sft_trl_turns"]["peak"],
            "dpo": found["dpo_ours"]["peak"] / found["dpo_trl_pairs"]["peak"],
        }
    return result


def table(measured: dict[str, dict[str, Any]]) -> str:
    """Median seconds by form and precision."""
    lines = ["form".ljust(20) + "".join(name.rjust(12) for name in measured)]
    for leg, label in zip(LEGS, LABELS, strict=True):
        cells = "".join(f"{median(part['seconds'][leg]):>10.2f} s" for part in measured.values())
        lines.append(label.ljust(20) + cells)
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


def quiet() -> None:
    datasets.disable_progress_bars()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def precisions(text: str) -> list[str]:
    names = text.split(",")
    if wrong := [name for name in names if name not in PRECISIONS]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: known are {', '.join(PRECISIONS)}")
    return names


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", type=precisions, default=list(PRECISIONS), help="comma-separated")
    parser.add_argument("--turns", type=int, default=10, help="tutor turns of a dialogue")
    parser.add_argument("--bf16-turns", type=int, help="turns of the bf16 part; 3 by default on a CPU without bf16")
    parser.add_argument("--dialogues", type=int, default=1)
    parser.add_argument("--tutor-tokens", type=int, default=45)
    parser.add_argument("--student-tokens", type=int, default=20)
    parser.add_argument("--pass-tokens", type=int, default=0, help="our rows share a pass up to this; 0: each alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm-turns", type=int, default=0, help="length of the warm-up dialogue; 0: the full one")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sweep", type=numbers, default=[], help="turns to measure in fp32 for the plot: 5,10,15,20")
    parser.add_argument("--no-memory", action="store_true", help="skip the memory part")
    parser.add_argument("--plot", type=Path, help="where the sweep's chart goes (SVG)")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measures, prints a table and the summary, and writes the files that were asked for."""
    given = options()
    torch.set_num_threads(given.threads)
    quiet()

    def shape(turns: int) -> Shape:
        return Shape(turns, given.dialogues, given.tutor_tokens, given.student_tokens, given.pass_tokens, given.threads)

    slow = given.turns if cpu_computes_bfloat16() else min(given.turns, SLOW_BF16_TURNS)
    turns = {name: given.turns for name in PRECISIONS} | {"bf16": given.bf16_turns or slow}
    measured: dict[str, dict[str, Any]] = {}
    for name in given.precisions:
        measured[name] = measure(name, shape(turns[name]), given.repeats, given.warm_turns)
        if given.json:  # a run takes many minutes: what is measured is kept as it comes
            given.json.write_text(json.dumps({"unfinished": measured}, indent=1) + "\n", encoding="utf-8")
    sweep = []
    for count in given.sweep:  # the length of the first part is measured already
        known = measured.get("fp32") if count == turns["fp32"] else None
        sweep.append(known or measure("fp32", shape(count), given.repeats, given.warm_turns))
    first = given.precisions[0]
    found = {} if given.no_memory or not HIGH_WATER.exists() else memory(first, shape(turns[first]))
    result = summarise(measured, found)
    say(table(measured) + "\n" + json.dumps(result, indent=1))
    result |= {
        "machine": describe(),
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl", "bitsandbytes")},
        "settings": asdict(shape(given.turns))
        | {"bf16_turns": turns["bf16"], "repeats": given.repeats, "warm_turns": given.warm_turns},
        "seconds": {name: part["seconds"] for name, part in measured.items()},
        "losses": {name: part["losses"] for name, part in measured.items()},
        "memory": {"precision": first, "bytes": found} if found else {},
        "sweep": sweep,
    }
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.plot and sweep:
        lines = {
            label: [(part["turns"], median(part["seconds"][leg])) for part in sweep]
            for leg, label in zip(LEGS, LABELS, strict=True)
        }
        given.plot.write_text(
            line_chart(lines, title="Training time by length of dialogue", x="tutor turns", y="seconds"),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
