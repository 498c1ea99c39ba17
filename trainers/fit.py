"""The training loop, the same for one process and for many workers.

Invariant: an optimiser step is the mean over all pairs (or turns) of its rows, whoever computes them, so the number of
workers changes speed and not the objective. A run that was killed and resumed ends with the weights of one that was
not. Each row's dropout is seeded by step and row, not by history.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import AutoTokenizer

from agents.errors import TrainerError
from trainers.checkpoint import TrainState, checkpoint_folder, fingerprint, load_checkpoint, save_checkpoint
from trainers.losses import dpo, sft
from trainers.model import Policy, load_policy
from trainers.plan import TrainPlan, TrainResult, TrainSettings, check_inputs
from trainers.proof import write_proof
from trainers.rendering import Renderer
from trainers.rows import Row, Rows, build_rows
from trainers.schedule import learning_rate_factor, plan_steps, share
from trainers.trees import count_reasons

__all__ = ["TrainPlan", "TrainResult", "TrainSettings", "check_plan", "fit"]

Report = Callable[[dict[str, Any], Path | None], None]
"""Called by every worker after every step with the step's metrics and, where one is due, the checkpoint's folder.

All workers hear of a checkpoint at the same steps; the folder is theirs to read on rank 0 only.
"""


def fit(
    plan: TrainPlan,
    *,
    rank: int = 0,
    world_size: int = 1,
    report: Report | None = None,
    resume_from: Path | None = None,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Trains an adapter.

    Args:
        plan: what to train on what.
        rank: this worker's number.
        world_size: number of workers; above 1 the process group of `torch.distributed` must exist.
        report: told of every step.
        resume_from: a checkpoint folder to go on from.
        device: where to compute; by default the CPU, or the first GPU when the settings ask for GPUs.

    Returns:
        The adapter's folder, the steps and the metrics; the folder is complete on rank 0.

    Raises:
        TrainerError: there is nothing to train on, the model is missing, or the loss stopped being a number.
    """
    rows = check_plan(plan)
    where = _device(plan.settings, device)
    cuda = [where.index or 0] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        loop = _Loop(plan, rows, rank, world_size, where, resume_from)
        loop.run(report or (lambda metrics, checkpoint: None))
        return loop.finish()


def check_plan(plan: TrainPlan) -> Rows:
    """Reads the trees and makes their rows, before any model is loaded.

    Raises:
        TrainerError: the model folder or the trees are missing, or nothing is left to train on.
    """
    trees = check_inputs(plan)
    settings = plan.settings
    tokenizer = AutoTokenizer.from_pretrained(str(plan.model_path), local_files_only=True)
    rows = build_rows(trees, Renderer(tokenizer), objective=settings.objective, max_row_tokens=settings.max_row_tokens)
    if not rows.rows:
        raise TrainerError(
            f"Nothing in {plan.trees_path} can be trained on ({count_reasons(rows.rejections) or 'no replies'}). "
            f"Raise training.max_row_tokens, which is {settings.max_row_tokens}."
        )
    return rows


@dataclass(slots=True)
class _Totals:
    """Sums over the rows of a step."""

    loss: float = 0.0
    margin: float = 0.0
    correct: float = 0.0
    tokens: float = 0.0


class _Loop:
    """One worker's side of a run."""

    def __init__(
        self, plan: TrainPlan, rows: Rows, rank: int, world_size: int, device: torch.device, resume: Path | None
    ) -> None:
        self.plan, self.settings, self.device = plan, plan.settings, device
        self.rank, self.world_size = rank, world_size
        self.data, self.rows = rows, rows.rows
        self.preferences = self.settings.objective == "dpo"
        started = time.perf_counter()
        torch.manual_seed(plan.seed)
        self.policy: Policy = load_policy(
            plan.model_path, settings=self.settings, parent=plan.parent, reference=self.preferences, device=device
        )
        self.parameters = self.policy.trainable
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.reference: dict[int, torch.Tensor] = {}
        self.state = TrainState(fingerprint(plan))
        self.steps = plan_steps(
            len(self.rows), rows_per_step=self.settings.rows_per_step, epochs=self.settings.epochs, seed=plan.seed
        )
        if self.preferences:
            self.state.initial_margin = self.policy.check_start(min(self.rows, key=lambda row: len(row.tokens)))
        self._synchronise()
        if resume is not None:
            self._restore(load_checkpoint(resume, self.state.fingerprint))
        self.load_seconds = time.perf_counter() - started

    def run(self, report: Report) -> None:
        """Takes the steps that are left."""
        if self.rank == 0:
            self.plan.output.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(step) + "\n" for step in self.state.steps)
            (self.plan.output / "steps.jsonl").write_text(lines, encoding="utf-8")
        for number in range(self.state.step, len(self.steps)):
            metrics = self._step(number)
            self.state.step = number + 1
            self.state.steps.append(metrics)
            due = self.state.step % self.settings.checkpoint_steps == 0 or self.state.step == len(self.steps)
            folder = self.plan.output / "checkpoint"
            if self.rank == 0:
                with (self.plan.output / "steps.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(metrics) + "\n")
                if due:
                    self._save(folder)
            report(metrics, checkpoint_folder(folder, self.state.step) if due else None)

    def finish(self) -> TrainResult:
        """Writes the adapter and its proof (rank 0) and returns the result."""
        adapter = self.plan.output / "adapter"
        result = TrainResult(adapter, self.state.steps, self._metrics())
        if self.rank == 0:
            self.policy.save(adapter)
        del self.policy, self.optimizer, self.parameters
        if self.rank == 0:
            sequences = [list(row.tokens[: row.segments[0].length]) for row in self.rows[:4]]
            write_proof(self.plan.model_path, adapter, sequences, adapter, parent=self.plan.parent, device=self.device)
        return result

    def _step(self, number: int) -> dict[str, Any]:
        started = time.perf_counter()
        indices = self.steps[number]
        units = sum(self.rows[index].units for index in indices)
        rate = self.settings.learning_rate * learning_rate_factor(number, len(self.steps), self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        totals = _Totals()
        mine = share(indices, [len(row.tokens) for row in self.rows], self.world_size)[self.rank]
        for index in mine:
            self._row(index, number, units, totals)
        self._sum_over_workers(totals)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.max_grad_norm))
        if not (math.isfinite(totals.loss) and math.isfinite(norm)):
            raise TrainerError(
                f"Step {number + 1}: the loss is {totals.loss / units} and the gradient norm {norm}. "
                f"The last checkpoint is kept in {self.plan.output / 'checkpoint'}. Lower training.learning_rate."
            )
        self.optimizer.step()
        return {
            "step": number + 1,
            "loss": totals.loss / units,
            "margin": totals.margin / units if self.preferences else None,
            "accuracy": totals.correct / units if self.preferences else None,
            "units": units,
            "tokens": int(totals.tokens),
            "seconds": time.perf_counter() - started,
            "learning_rate": rate,
            "grad_norm": norm,
        }

    def _row(self, index: int, number: int, units: int, totals: _Totals) -> None:
        """Adds one row's gradient, its share of the step's mean."""
        row = self.rows[index]
        if self.preferences and index not in self.reference:
            self.reference[index] = self.policy.reference_logprobs(row)
        torch.manual_seed(hash((self.plan.seed, number, index)) % 2**63)
        sums, counts = self.policy.logprobs(row)
        totals.tokens += len(row.tokens)
        if self.preferences:
            loss = self._preference_loss(row, self.reference[index], sums, counts, totals)
        else:
            loss = sft(sums, 1.0 / counts)
        (loss / units).backward()  # type: ignore[no-untyped-call]
        totals.loss += float(loss.detach())

    def _preference_loss(
        self, row: Row, reference: torch.Tensor, sums: torch.Tensor, counts: torch.Tensor, totals: _Totals
    ) -> torch.Tensor:
        """Sum over the row's pairs of the DPO loss and the weighted mean NLL per token of the chosen reply."""
        chosen = torch.tensor([pair[0] for pair in row.pairs], device=sums.device)
        rejected = torch.tensor([pair[1] for pair in row.pairs], device=sums.device)
        terms = dpo(sums[chosen], sums[rejected], reference[chosen], reference[rejected], beta=self.settings.beta)
        totals.margin += float(terms.margin.sum())
        totals.correct += float(terms.correct.sum())
        return terms.loss.sum() + sft(sums[chosen], self.settings.sft_weight / counts[chosen])

    def _sum_over_workers(self, totals: _Totals) -> None:
        """Adds up gradients and totals; a worker without rows adds zeros."""
        for value in self.parameters.values():
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        if self.world_size == 1:
            return
        gradients = [value.grad for value in self.parameters.values() if value.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
        sums = torch.tensor([totals.loss, totals.margin, totals.correct, totals.tokens], device=self.device)
        dist.all_reduce(sums)
        totals.loss, totals.margin, totals.correct, totals.tokens = sums.tolist()

    def _synchronise(self) -> None:
        """Gives every worker rank 0's adapter."""
        if self.world_size > 1:
            for value in self.parameters.values():
                dist.broadcast(value.data, src=0)

    def _save(self, folder: Path) -> None:
        self.state.adapter = {name: value.detach().cpu() for name, value in self.parameters.items()}
        self.state.optimizer = self.optimizer.state_dict()
        save_checkpoint(self.state, folder)

    def _restore(self, state: TrainState) -> None:
        for name, value in self.parameters.items():
            value.data.copy_(state.adapter[name])
        self.optimizer.load_state_dict(state.optimizer)
        self.state = state

    def _metrics(self) -> dict[str, Any]:
        steps = self.state.steps
        tokens, seconds = sum(step["tokens"] for step in steps), sum(step["seconds"] for step in steps)
        return {
            "learner": self.plan.learner,
            "objective": self.settings.objective,
            "pairs": sum(len(row.pairs) for row in self.rows),
            "rows": len(self.rows),
            "steps": len(steps),
            "tokens": tokens,
            "seconds": seconds,
            "load_seconds": self.load_seconds,
            "tokens_per_second": tokens / seconds,
            "loss_first": steps[0]["loss"],
            "loss_last": steps[-1]["loss"],
            "accuracy_last": steps[-1]["accuracy"],
            "initial_margin": self.state.initial_margin,
            "workers": self.world_size,
            "device": self.device.type,
            "quantization": self.settings.quantization,
            "compute_dtype": str(self.policy.dtype).removeprefix("torch."),
            "rejections": count_reasons(self.data.rejections),
            "notes": list(self.data.notes),
        }


def _device(settings: TrainSettings, given: torch.device | str | None) -> torch.device:
    if given is not None:
        return torch.device(given)
    if settings.gpus_per_worker <= 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainerError(
            f"training.gpus_per_worker is {settings.gpus_per_worker} but this process sees no GPU. Set it to "
            "0 to train on the CPU."
        )
    return torch.device("cuda", 0)
