"""The forms that the training benchmark runs: ours and TRL's, each as one callable over the same dialogues.

Invariant: every form of one objective computes the same loss of the same adapter; `training.py` checks that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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

from agents.models import ensure_embedded
from trainers.model import PROJECTIONS, Policy, compute_dtype
from trainers.objective import Objective
from trainers.packing import build_rows, pack, plan_passes
from trainers.plan import TrainSettings
from trainers.rendering import Renderer
from trainers.trees import Tree


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
