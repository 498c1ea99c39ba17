"""Training as a Ray Train job, or in this process when there are no workers.

Invariant: the same run name goes on where it was killed, so a run name belongs to one plan (one round of the loop).
Every worker reports every checkpoint, because `ray.train.report` is a barrier; steps are told through the step log,
which costs no barrier. torch is imported in the workers only, except without workers.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.errors import TrainerError
from agents.hub import Fetch
from agents.models import is_a_name, local_model
from trainers.plan import TrainPlan, TrainResult, check_inputs

OnStep = Callable[[dict[str, Any]], None]
"""Told of each optimiser step's metrics, in order and once each."""
_POLL_SECONDS = 0.5


def train(
    plan: TrainPlan,
    *,
    workers: int,
    run_name: str,
    storage_path: Path | str,
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
    on_step: OnStep | None = None,
) -> TrainResult:
    """Trains an adapter on Ray workers; `ray.init` has been called, except for 0 workers.

    The cluster must have `workers` times the CPUs and GPUs free, or Ray waits for them.

    Args:
        plan: what to train; its paths absolute and, on a cluster, on shared storage. A model given by its name is
            made or downloaded by the workers, each node for itself where the cache is not shared.
        workers: Ray Train workers; 0 trains here.
        run_name: name of the Ray Train run. The same name and storage resume a killed run.
        storage_path: where Ray keeps the run's checkpoints.
        cpus_per_worker: logical CPUs of a worker.
        gpus_per_worker: logical GPUs of a worker; above 0 workers talk over NCCL, else over gloo.
        on_step: told of every step while training goes on.

    Raises:
        TrainerError: the plan cannot be trained, or a worker failed; with the cause's message.
        InputError: without workers: the model cannot be had.
    """
    for name, path in (("model_path", plan.model_path), ("trees_path", plan.trees_path), ("output", plan.output)):
        if not (path.is_absolute() or (name == "model_path" and is_a_name(str(path)))):
            raise TrainerError(f"{name} is the relative path {path}, which workers cannot find. Give an absolute one.")
    check_inputs(plan)
    if workers == 0:
        return _here(plan, on_step)
    with _tail(plan.output / "steps.jsonl", on_step):
        return _on_ray(plan, workers, run_name, str(storage_path), cpus_per_worker, gpus_per_worker)


def placed(plan: TrainPlan, *, fetch: Fetch | None = None) -> TrainPlan:
    """The plan with its model as a folder on this machine, made or downloaded first where it is given by its name.

    Raises:
        InputError: the model cannot be had; see `agents.models.local_model`.
    """
    if plan.model_path.is_absolute():
        return plan
    return replace(plan, model_path=local_model(str(plan.model_path), fetch=fetch))


def _here(plan: TrainPlan, on_step: OnStep | None) -> TrainResult:
    import torch

    from trainers.checkpoint import latest_checkpoint
    from trainers.fit import fit

    def report(metrics: dict[str, Any], checkpoint: Path | None) -> None:
        if on_step is not None:
            on_step(metrics)

    before = torch.get_num_threads()
    torch.set_num_threads(plan.settings.threads or len(os.sched_getaffinity(0)))
    try:
        return fit(placed(plan), report=report, resume_from=latest_checkpoint(plan.output / "checkpoint"))
    finally:
        torch.set_num_threads(before)


def _on_ray(plan: TrainPlan, workers: int, run_name: str, storage_path: str, cpus: float, gpus: float) -> TrainResult:
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    resources = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    # Ray's annotations are those of Train V1, which knew neither return values nor the environment of workers.
    loop: Any = _worker
    settings: Any = RunConfig
    trainer = TorchTrainer(
        loop,
        train_loop_config={"plan": plan.to_dict()},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources),
        run_config=settings(
            name=run_name,
            storage_path=storage_path,
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            # On cores that engines also use, threads that spin while they wait made training over 10x slower.
            worker_runtime_env={"env_vars": {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}},
        ),
    )
    try:
        result: Any = trainer.fit()
    except TrainingFailedError as error:
        raise TrainerError(f"Training run {run_name!r} failed: {failure_cause(error)}") from error
    if result.return_value is None:
        raise TrainerError(f"Training run {run_name!r} returned nothing. Look at the worker logs of Ray.")
    return TrainResult.from_dict(result.return_value)


def _worker(config: dict[str, Any]) -> dict[str, Any]:
    """What each Ray Train worker runs."""
    import ray.train
    import torch
    from ray.train import Checkpoint
    from ray.train.torch import get_device

    from trainers.fit import fit

    plan = placed(TrainPlan.from_dict(config["plan"]))
    context = ray.train.get_context()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(plan.settings.threads or max(1, cores // context.get_local_world_size()))

    def report(metrics: dict[str, Any], checkpoint: Path | None) -> None:
        # A report waits for Ray's controller, which looks every 2 s: so only checkpoints are reported, by all workers.
        if checkpoint is not None:
            saved = Checkpoint.from_directory(str(checkpoint)) if context.get_world_rank() == 0 else None
            ray.train.report(metrics, checkpoint=saved)

    def run(resume_from: Path | None) -> TrainResult:
        return fit(
            plan,
            rank=context.get_world_rank(),
            world_size=context.get_world_size(),
            report=report,
            resume_from=resume_from,
            device=get_device(),
        )

    stored = ray.train.get_checkpoint()
    if stored is None:
        return run(None).to_dict()
    with stored.as_directory() as folder:
        return run(Path(folder)).to_dict()


def failure_cause(error: BaseException) -> str:
    """Returns the message of the error that a worker raised, else of Ray's own."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", {})
    failure = failures[min(failures)] if failures else error
    while failure.__cause__ is not None:
        failure = failure.__cause__
    return str(failure).strip() or repr(failure)


@contextmanager
def _tail(path: Path, on_step: OnStep | None) -> Iterator[None]:
    """Calls `on_step` for lines as they are appended to the step log, and for the last ones at the end."""
    if on_step is None:
        yield
        return
    done = threading.Event()
    told = 0

    def follow() -> None:
        nonlocal told
        while True:
            last = done.wait(_POLL_SECONDS)
            for step in _steps(path):
                if step["step"] == told + 1:
                    told += 1
                    on_step(step)
            if last:
                return

    # A log left by a killed run is rewritten by the workers; until then it must not be told.
    path.unlink(missing_ok=True)
    thread = threading.Thread(target=follow, name="training-steps", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _steps(path: Path) -> list[dict[str, Any]]:
    """The complete lines of the step log."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
