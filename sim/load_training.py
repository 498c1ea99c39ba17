"""What is checked about training data, scorers, served adapters and sweeps before anything starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from agents.errors import InputError
from sim.config import Config
from sim.config_training import ENCODER_KEYS, DataConfig, ScorerConfig


def check_training(config: Config, where: str) -> None:
    """Checks a config of any kind for what it says about training. Raises InputError naming the key."""
    training, data = config.training, config.data
    if training.attention == "flex" and not training.gpus_per_worker:
        raise InputError(f"{where}: training.attention: 'flex' trains on CUDA only; set it to 'sdpa'")
    if training.reasoning and (training.objective == "sft" or config.kind != "loop"):
        raise InputError(
            f"{where}: training.reasoning: true is for the preference pairs of a loop, not kind {config.kind!r} with "
            f"objective {training.objective!r}; leave it out"
        )
    if training.reward_gap == "offset" and training.objective != "dpo":
        raise InputError(
            f"{where}: training.reward_gap: 'offset' is for objective 'dpo', not {training.objective!r}; use 'weight'"
        )
    if config.kind == "loop" and training.patience:
        raise InputError(
            f"{where}: training.patience: {training.patience}, but a loop keeps no validation data; set it to 0"
        )
    if config.kind not in ("train", "scorer"):
        return
    if data is None:
        raise InputError(f"{where}: data: missing; a config of kind {config.kind!r} says which file to train on")
    if not Path(data.path).expanduser().is_file():
        raise InputError(f"{where}: data.path: {data.path!r} is not there; give the path of a {data.format} file")
    if config.kind == "train":
        _check_tutor(config, data, where)
    elif config.scorer is None:
        raise InputError(f"{where}: scorer: missing; a config of kind 'scorer' needs the section")
    elif not 0.0 < data.validation < 0.5:
        raise InputError(
            f"{where}: data.validation: {data.validation}; a scorer keeps that share for choosing the epoch and as "
            f"much again for the test: give a value between 0 and 0.5"
        )
    else:
        _check_kind(config.scorer, where)


def _check_kind(scorer: ScorerConfig, where: str) -> None:
    """A key of the encoder that decides nothing is an error, not a surprise."""
    changed = [key for key in ENCODER_KEYS if getattr(scorer, key) != ScorerConfig.model_fields[key].default]
    if scorer.kind == "words" and changed:
        raise InputError(
            f"{where}: scorer.{changed[0]}: {getattr(scorer, changed[0])!r} is for an encoder, but scorer.kind is "
            f"'words'; set scorer.kind to encoder, or leave out {', '.join(changed)}"
        )


def _check_tutor(config: Config, data: DataConfig, where: str) -> None:
    objective = config.training.objective
    if (objective == "sft") != (data.use == "sft"):
        wanted = "sft" if objective == "sft" else "contrast"
        raise InputError(
            f"{where}: data.use: {data.use!r} does not go with training.objective {objective!r}; set it to {wanted!r}, "
            f"or the objective to {'sft' if data.use == 'sft' else 'dpo'!r}"
        )
    if config.training.patience and not data.validation:
        raise InputError(
            f"{where}: training.patience: {config.training.patience}, but data.validation is 0; keep some data back"
        )


def check_served(config: Config, where: str) -> None:
    """Checks what a run or loop serves and judges with. Raises InputError naming the key."""
    if config.scorer is not None:
        path = Path(config.scorer.path).expanduser()
        if not config.scorer.path or not (path / "scorer.json").is_file():
            raise InputError(
                f"{where}: scorer.path: no scorer in {config.scorer.path!r} (scorer.json is missing); train one with "
                f"`tutorloop train` and a config of kind scorer"
            )
    if config.tutor.adapter and config.kind != "run":
        raise InputError(f"{where}: tutor.adapter: only a config of kind 'run' serves a finished adapter")
    names = Counter(point.name for point in config.sweep)
    if config.sweep and config.kind != "loop":
        raise InputError(f"{where}: sweep: only a config of kind 'loop' can sweep rewards")
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{where}: sweep: two points are named {twice[0]!r}; their adapters would be mixed up")
