"""`tutorloop train`: training on stored trees, outside the loop."""

from __future__ import annotations

from pathlib import Path

from agents.errors import InputError
from agents.models import resolve_model
from sim.cluster import cluster
from sim.config import Config
from sim.progress import Teller
from trainers.job import train
from trainers.plan import TrainPlan, TrainResult, TrainSettings


def train_alone(config: Config, trees: Path, out: Path, parent: Path | None, teller: Teller) -> TrainResult:
    """Trains an adapter on a trees file; the same call goes on after an interruption.

    Raises:
        InputError: the trees file or the parent is not there.
    """
    if not trees.is_file():
        raise InputError(f"no trees file {trees}; a loop writes them to RUN/training/round-0001/trees.jsonl")
    if parent is not None and not (parent / "adapter_config.json").is_file():
        raise InputError(f"no adapter in {parent}: adapter_config.json is missing")
    training = config.training
    model = Path(resolve_model(config.model_of(config.pool_of("tutor"))))
    settings = TrainSettings(**training.model_dump())
    plan = TrainPlan(
        model, trees.absolute(), out, parent.absolute() if parent else None, config.seed, settings, "tutor"
    )
    with cluster(config):
        return train(
            plan,
            workers=training.workers,
            run_name=out.name,
            storage_path=str(out.parent / "ray"),
            cpus_per_worker=training.cpus_per_worker,
            gpus_per_worker=training.gpus_per_worker,
            on_step=lambda step: teller.say(f"step {step['step']}: loss {step['loss']:.3f}"),
        )
