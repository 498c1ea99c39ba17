"""The training loop, the same for one process and for many workers.

Invariant: an optimiser step is the weighted mean over all pairs (or turns) of its rows, whoever computes them and
however they are packed, so the number of workers and the size of a pass change speed and not the objective. A run that
was killed and resumed ends with the weights of one that was not. Dropout is seeded by step and pass, not by history.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from agents.errors import TrainerError
from trainers.checkpoint import Checkpoints, TrainState, fingerprint, load_checkpoint, load_weights
from trainers.inputs import check_plan, validation_rows
from trainers.model import Policy, load_policy
from trainers.objective import Objective
from trainers.outcome import outcome
from trainers.packing import pack, plan_passes
from trainers.plan import TrainPlan, TrainResult, TrainSettings
from trainers.proof import write_proof
from trainers.rows import Rows
from trainers.schedule import learning_rate_factor, plan_steps, share
from trainers.stopping import Stopping
from trainers.trees import rejections_to_jsonl
from trainers.workers import broadcast, sum_figures, sum_gradients

__all__ = ["TrainPlan", "TrainResult", "TrainSettings", "check_plan", "fit"]

Report = Callable[[dict[str, Any], Path | None], None]
"""Called by every worker after every step with the step's metrics and, where there is one, a checkpoint to keep.

That is the one which this step's loss proved to be good, and after the last step the last one. All workers hear of a
checkpoint at the same steps; the folder is theirs to read on rank 0 only.
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


@dataclass(slots=True)
class _Totals:
    """Sums over the rows of a step, or of a validation."""

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
        self.data, self.rows = rows, [*rows.rows, *validation_rows(plan)]
        self.training = len(rows.rows)
        self.objective = Objective(self.settings)
        started = time.perf_counter()
        torch.manual_seed(plan.seed)
        self.policy: Policy = load_policy(
            plan.model_path,
            settings=self.settings,
            parent=plan.parent,
            reference=self.objective.needs_reference,
            device=device,
        )
        self.parameters = self.policy.trainable
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.reference: dict[int, torch.Tensor] = {}
        self.state, self.stopping = TrainState(fingerprint(plan)), Stopping()
        self.steps = plan_steps(
            self.training, rows_per_step=self.settings.rows_per_step, epochs=self.settings.epochs, seed=plan.seed
        )
        if self.objective.needs_reference:
            self.state.initial_margin = self._check_start()
        broadcast(self.parameters.values(), world_size)
        if resume is not None:
            self._restore(load_checkpoint(resume, self.state.fingerprint))
        self.checkpoints = Checkpoints(plan.output / "checkpoint", resumed=self.state.step, writes=rank == 0)
        self.load_seconds = time.perf_counter() - started

    def run(self, report: Report) -> None:
        """Takes the steps that are left, until the end or until validation says stop."""
        if self.rank == 0:
            self.plan.output.mkdir(parents=True, exist_ok=True)
            rejections_to_jsonl(self.data.rejections, self.plan.output / "row_rejections.jsonl")
            lines = "".join(json.dumps(step) + "\n" for step in self.state.steps)
            (self.plan.output / "steps.jsonl").write_text(lines, encoding="utf-8")
        while self.state.step < len(self.steps) and not self.stopping.exhausted(self.settings.patience):
            metrics = self._step(self.state.step)
            good = self.checkpoints.prove()
            self.state.step += 1
            self.state.steps.append(metrics)
            if self.training < len(self.rows) and self._epoch_ended():
                metrics["validation_loss"] = self._validate()
            ended = self.state.step == len(self.steps) or self.stopping.exhausted(self.settings.patience)
            due = ended or self.state.step % self.settings.checkpoint_steps == 0
            if self.rank == 0:
                with (self.plan.output / "steps.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(metrics) + "\n")
            saved = self._save() if due else None
            report(metrics, saved if ended else good)

    def _check_start(self) -> float:
        """Compares policy and reference on the longest and the shortest row: with and without leaves, mostly."""
        ordered = sorted(self.rows[: self.training], key=lambda row: len(row.tokens))
        return max(self.policy.check_start(row) for row in (ordered[0], ordered[-1]))

    def finish(self) -> TrainResult:
        """Writes the adapter and its proof (rank 0) and returns the result."""
        if self.state.best:
            load_weights(self.parameters, self.state.best)
        adapter = self.plan.output / "adapter"
        facts = outcome(self.plan, self.state, self.data, self.stopping)
        facts |= {
            "load_seconds": self.load_seconds,
            "workers": self.world_size,
            "device": self.device.type,
            "compute_dtype": str(self.policy.dtype).removeprefix("torch."),
        }
        if self.rank == 0:
            self.policy.save(adapter)
        del self.policy, self.optimizer, self.parameters
        if self.rank == 0:
            sequences = [list(row.tokens[: row.segments[0].length]) for row in self.rows[:4]]
            write_proof(self.plan.model_path, adapter, sequences, adapter, parent=self.plan.parent, device=self.device)
        return TrainResult(adapter, self.state.steps, facts)

    def _step(self, number: int) -> dict[str, Any]:
        started = time.perf_counter()
        indices = self.steps[number]
        mass, units = self._mass(indices), sum(self.rows[index].units for index in indices)
        rate = self.settings.learning_rate * learning_rate_factor(number, len(self.steps), self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        totals = _Totals()
        for chosen in self._passes(indices):
            torch.manual_seed(hash((self.plan.seed, number, chosen[0])) % 2**63)
            (self._pass(chosen, totals) / mass).backward()  # type: ignore[no-untyped-call]
        sum_gradients(self.parameters.values(), self.world_size)
        totals = self._together(totals)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.max_grad_norm))
        if not (math.isfinite(totals.loss) and math.isfinite(norm)):
            raise self._broken(f"Step {number + 1}: the loss is {totals.loss / mass} and the gradient norm {norm}")
        self.optimizer.step()
        preferences = self.objective.preferences
        return {
            "step": number + 1,
            "loss": totals.loss / mass,
            "margin": totals.margin / units if preferences else None,
            "accuracy": totals.correct / units if preferences else None,
            "units": units,
            "tokens": int(totals.tokens),
            "seconds": time.perf_counter() - started,
            "learning_rate": rate,
            "grad_norm": norm,
        }

    def _passes(self, indices: Sequence[int]) -> list[list[int]]:
        """This worker's rows, grouped into forward passes."""
        mine = share(indices, [len(row.tokens) for row in self.rows], self.world_size)[self.rank]
        groups = plan_passes([len(self.rows[index].tokens) for index in mine], self.settings.pass_tokens)
        return [[mine[place] for place in group] for group in groups]

    def _pass(self, indices: Sequence[int], totals: _Totals) -> torch.Tensor:
        """Runs rows together; returns the sum of their terms, still to be divided by the mass."""
        row = pack([self.rows[index] for index in indices])
        reference = self._reference(indices) if self.objective.needs_reference else None
        sums, counts = self.policy.logprobs(row)
        terms = self.objective.terms(row, sums, counts, reference)
        totals.loss += float(terms.loss.detach())
        totals.margin += terms.margin
        totals.correct += terms.correct
        totals.tokens += len(row.tokens)
        return terms.loss

    def _reference(self, indices: Sequence[int]) -> torch.Tensor:
        """The reference's log-probs of the rows' replies, computed once per row and kept across epochs."""
        if missing := [index for index in indices if index not in self.reference]:
            rows = [self.rows[index] for index in missing]
            parts = torch.split(self.policy.reference_logprobs(pack(rows)), [len(row.replies) for row in rows])
            self.reference.update(zip(missing, parts, strict=True))
        return torch.cat([self.reference[index] for index in indices])

    def _mass(self, indices: Sequence[int]) -> float:
        return sum(self.objective.mass(self.rows[index]) for index in indices)

    def _together(self, totals: _Totals) -> _Totals:
        figures = [totals.loss, totals.margin, totals.correct, totals.tokens]
        return _Totals(*sum_figures(figures, self.world_size, self.device))

    def _epoch_ended(self) -> bool:
        return self.state.step % (len(self.steps) // self.settings.epochs) == 0

    def _validate(self) -> float:
        """Measures the validation loss, keeps the adapter if it is the best so far, and returns the loss."""
        indices, totals = list(range(self.training, len(self.rows))), _Totals()
        with self.policy.measuring():
            for chosen in self._passes(indices):
                self._pass(chosen, totals)
        loss = self._together(totals).loss / self._mass(indices)
        if not math.isfinite(loss):
            raise self._broken(f"After step {self.state.step} the validation loss is {loss}")
        if self.stopping.update(loss, self.settings.min_delta):
            self.state.best = self._weights()
        self.state.stopping = asdict(self.stopping)
        self.state.evaluations.append({"step": self.state.step, "loss": loss})
        return loss

    def _broken(self, what: str) -> TrainerError:
        return TrainerError(
            f"{what}. {self.checkpoints.fail()}. Lower training.learning_rate, under another name or output: a "
            "checkpoint only goes on with its own settings."
        )

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.parameters.items()}

    def _save(self) -> Path:
        self.state.adapter = self._weights()
        self.state.optimizer = self.optimizer.state_dict()
        return self.checkpoints.save(self.state)

    def _restore(self, state: TrainState) -> None:
        load_weights(self.parameters, state.adapter)
        self.optimizer.load_state_dict(state.optimizer)
        self.state = state
        if state.stopping:
            self.stopping = Stopping(**state.stopping)


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
