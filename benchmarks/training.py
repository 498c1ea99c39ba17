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
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

import datasets
import torch
from dialogues import MARKED, make_trees, samples_of
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from agents.hardware import cpu_computes_bfloat16, describe
from agents.models import ensure_embedded
from trainers.model import PROJECTIONS, Policy, compute_dtype
from trainers.objective import Objective
from trainers.packing import build_rows, pack, plan_passes
from trainers.plan import TrainSettings
from trainers.rendering import Renderer
from trainers.trees import Tree

PRECISIONS = ("fp32", "nf4", "bf16")
LEGS = ("sft_ours", "sft_trl_turns", "sft_trl_one_row", "dpo_ours", "dpo_trl_pairs")
LABELS = ("SFT, ours", "SFT, TRL per turn", "SFT, TRL one row", "DPO, ours", "DPO, TRL pairs")
COLOURS = ("#0b6e4f", "#9c2a2a", "#d0762b", "#1f5fa8", "#6a3d9a")
HIGH_WATER = Path("/proc/self/clear_refs")
"""Where Linux resets the high-water mark; memory is not measured elsewhere."""
TOLERANCE = 1e-3
"""Relative, for float32."""
SLOW_BF16_TURNS = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """What is run."""

    turns: int
    dialogues: int
    tutor_tokens: int
    student_tokens: int
    pass_tokens: int
    threads: int


Run = Callable[[], float]
"""One forward and backward pass over all dialogues; returns the loss."""


def load_base(precision: str) -> Any:
    """The embedded model as the trainer loads it: float32, bfloat16, or 4 bits computed in the machine's type."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "nf4": compute_dtype("cpu")}[precision]
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa"}
    if precision == "nf4":
        options["device_map"] = {"": "cpu"}
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return AutoModelForCausalLM.from_pretrained(str(ensure_embedded()), local_files_only=True, **options)


def lora() -> LoraConfig:
    return LoraConfig(r=16, lora_alpha=32, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")


def prepare(model: Any) -> Any:
    """The same float32 adapter in every model, B matrices not zero; in train mode, which a 4-bit model needs."""
    generator = torch.Generator().manual_seed(0)
    for name, value in sorted(model.named_parameters()):
        if ".default." in name:
            value.data = torch.randn(value.shape, generator=generator) * 0.02
    return model.train()


def make_leg(leg: str, precision: str, shape: Shape) -> Run:
    """Builds one form, ready to run."""
    tokenizer = AutoTokenizer.from_pretrained(str(ensure_embedded()))
    trees = make_trees(
        tokenizer,
        dialogues=shape.dialogues,
        turns=shape.turns,
        tutor_tokens=shape.tutor_tokens,
        student_tokens=shape.student_tokens,
    )
    kind, _, form = leg.partition("_")
    if form == "ours":
        return our_leg(kind, precision, trees, Renderer(tokenizer), shape.pass_tokens)
    tokenizer.chat_template = MARKED
    return trl_leg(kind, form.removeprefix("trl_"), precision, trees, tokenizer)


def our_leg(objective: Any, precision: str, trees: Sequence[Tree], renderer: Renderer, pass_tokens: int) -> Run:
    """Our rows through the parts of the training loop (`trainers.fit`)."""
    base = load_base(precision)
    policy = Policy(prepare(get_peft_model(base, lora())), torch.device("cpu"), base.dtype, continues=False)
    weighting: Any = "token" if objective == "sft" else "turn"
    loss_of = Objective(TrainSettings(objective=objective, weighting=weighting, sft_weight=0.0))
    rows = build_rows(trees, renderer, objective=objective, max_row_tokens=1_000_000).rows
    groups = plan_passes([len(row.tokens) for row in rows], pass_tokens)
    passes = [pack([rows[index] for index in group]) for group in groups]
    mass = sum(loss_of.mass(row) for row in rows)

    def run() -> float:
        total = 0.0
        for row in passes:
            reference = policy.reference_logprobs(row) if loss_of.needs_reference else None
            loss = loss_of.terms(row, *policy.logprobs(row), reference).loss / mass
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        policy.model.zero_grad(set_to_none=True)
        return total

    return run


def trl_leg(kind: str, form: Any, precision: str, trees: Sequence[Tree], tokenizer: Any) -> Run:
    """A TRL trainer's own batches through its own `compute_loss`, accumulated as its training loop does."""
    trainer_class: Any = DPOTrainer if kind == "dpo" else SFTTrainer
    config: Any = DPOConfig if kind == "dpo" else SFTConfig
    options = {"assistant_only_loss": True} if form == "one_row" else {}
    folder = tempfile.TemporaryDirectory()
    trainer = trainer_class(
        model=load_base(precision),
        args=config(
            output_dir=folder.name,
            use_cpu=True,
            report_to="none",
            bf16=False,
            gradient_checkpointing=False,
            max_length=None,
            per_device_train_batch_size=1,
            **options,
        ),
        train_dataset=datasets.Dataset.from_list(samples_of(trees, form)),
        processing_class=tokenizer,
        peft_config=lora(),
    )
    folder.cleanup()
    prepare(trainer.model)
    batches = list(trainer.get_train_dataloader())
    scored = None if kind == "dpo" else sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)

    def run() -> float:
        total = 0.0
        for batch in batches:
            loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=scored)
            if scored is None:
                loss = loss / len(batches)
            loss.backward()
            total += float(loss.detach())
        trainer.model.zero_grad(set_to_none=True)
        return total

    return run


def measure(precision: str, shape: Shape, repeats: int) -> dict[str, Any]:
    """Runs all forms once to warm up, then in alternating order; returns their losses and seconds."""
    runs = {leg: make_leg(leg, precision, shape) for leg in LEGS}
    losses: dict[str, float] = {}
    seconds: dict[str, list[float]] = {leg: [] for leg in LEGS}
    for leg, run in runs.items():
        losses[leg] = run()
        say(f"{precision}, {shape.turns} turns: {leg} warm, loss {losses[leg]:.6f}")
    errors = {name: relative_error(losses, name) for name in ("sft", "dpo")}
    if precision == "fp32" and max(errors.values()) > TOLERANCE:
        sys.exit(f"The losses of ours and TRL differ by {errors} relative ({losses}): not the same computation.")
    for repeat in range(repeats):
        for leg in LEGS if repeat % 2 == 0 else reversed(LEGS):
            started = time.perf_counter()
            runs[leg]()
            seconds[leg].append(time.perf_counter() - started)
            say(f"{precision}, {shape.turns} turns, repeat {repeat + 1}: {leg} {seconds[leg][-1]:.2f} s")
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


def line_chart(lines: dict[str, list[tuple[float, float]]], *, title: str, x: str, y: str) -> str:
    """An SVG line chart from 0, each line with its name at its end.

    Args:
        lines: points by name.
        title: shown above, and read out.
        x: unit of the horizontal axis.
        y: unit of the vertical axis.
    """
    width, height, left, right, top, bottom = 640, 360, 56, 150, 40, 44
    most_x = max(a for points in lines.values() for a, _ in points)
    highest = max(b for points in lines.values() for _, b in points)
    step = next(n * 10**e for e in range(-3, 9) for n in (1, 2, 5) if n * 10**e * 5 >= highest)
    most_y = step * math.ceil(highest / step)

    def place(a: float, b: float) -> tuple[float, float]:
        across, up = (width - left - right) * a / most_x, (height - top - bottom) * b / most_y
        return round(left + across, 1), round(height - bottom - up, 1)

    def text(at: tuple[float, float], words: str, more: str = "") -> str:
        return f'<text x="{at[0]}" y="{at[1]}"{more}>{escape(words)}</text>'

    parts = [text((left, 20), title, ' font-weight="600"'), text(((left + width - right) / 2, height - 6), x)]
    parts.append(text((8, top - 8), y))
    for count in range(round(most_y / step) + 1):
        start, end = place(0, count * step), place(most_x, count * step)
        parts.append(f'<path d="M{start[0]} {start[1]}H{end[0]}" stroke="#d9d9d9"/>')
        parts.append(text((left - 8, start[1] + 4), f"{count * step:g}", ' text-anchor="end"'))
    for tick in sorted({a for points in lines.values() for a, _ in points}):
        parts.append(text((place(tick, 0)[0], height - bottom + 18), f"{tick:g}", ' text-anchor="middle"'))
    ends = label_places({name: place(*points[-1])[1] for name, points in lines.items()})
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        drawn = " ".join(f"{a},{b}" for a, b in (place(*point) for point in points))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text((width - right + 8, ends[name] + 4), name, f' fill="{colour}"'))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-size="12"'
    return f'{head} font-family="sans-serif"><title>{escape(title)}</title><rect width="100%" height="100%" ' + (
        f'fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def label_places(wanted: dict[str, float], gap: float = 15.0) -> dict[str, float]:
    """Heights as wanted, moved up where two names would overlap."""
    placed: dict[str, float] = {}
    above = math.inf
    for name, height in sorted(wanted.items(), key=lambda entry: -entry[1]):
        above = placed[name] = min(height, above - gap)
    return placed


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
    turns = {name: given.turns for name in given.precisions} | {"bf16": given.bf16_turns or slow}
    measured = {name: measure(name, shape(turns[name]), given.repeats) for name in given.precisions}
    sweep = [measure("fp32", shape(count), given.repeats) for count in given.sweep]
    first = given.precisions[0]
    found = {} if given.no_memory or not HIGH_WATER.exists() else memory(first, shape(turns[first]))
    result = summarise(measured, found)
    say(table(measured) + "\n" + json.dumps(result, indent=1))
    result |= {
        "machine": describe(),
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl", "bitsandbytes")},
        "settings": asdict(shape(given.turns)) | {"bf16_turns": turns["bf16"], "repeats": given.repeats},
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
