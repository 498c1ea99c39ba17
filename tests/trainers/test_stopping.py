"""Objectives, packing and early stopping in the training loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import make_plan, make_tree

from agents.errors import TrainerError
from trainers.checkpoint import latest_checkpoint
from trainers.fit import fit
from trainers.trees import trees_to_jsonl

TREES = [make_tree(str(index), 1 + index % 3, leaf_chosen=[1]) for index in range(5)]


def weights(adapter: Path) -> dict[str, torch.Tensor]:
    return load_file(adapter / "adapter_model.safetensors")


def assert_same_weights(first: Path, second: Path, *, tolerance: float) -> None:
    one, other = weights(first), weights(second)
    for name, value in one.items():
        assert float((value - other[name]).abs().max()) <= tolerance, name


@pytest.mark.parametrize("objective", ["ipo", "simpo", "orpo"])
def test_other_objectives_learn(model_path: Path, tmp_path: Path, objective: str) -> None:
    result = fit(make_plan(model_path, tmp_path, TREES, objective=objective, epochs=6, reward_gap="weight"))
    assert result.metrics["accuracy_last"] == 1.0
    assert result.metrics["loss_last"] < 0.9 * result.metrics["loss_first"]


def test_packing_changes_nothing_but_speed(model_path: Path, tmp_path: Path) -> None:
    adapters = []
    for name, tokens in (("alone", 0), ("packed", 4096)):
        folder = tmp_path / name
        folder.mkdir()
        adapters.append(fit(make_plan(model_path, folder, TREES, epochs=2, pass_tokens=tokens)).adapter)
    assert_same_weights(*adapters, tolerance=1e-4)


def test_training_stops_when_validation_does_not_improve(model_path: Path, tmp_path: Path) -> None:
    """Trained on one answer and validated on another, so that validation gets worse."""
    trees_to_jsonl([make_tree("held", 2, words="zzz qqq")], tmp_path / "held.jsonl")
    trees = [dataclasses.replace(tree, pairs=()) for tree in TREES]
    settings: dict[str, Any] = {"objective": "sft", "epochs": 30, "patience": 2, "min_delta": 0.01, "rows_per_step": 5}
    plan = make_plan(model_path, tmp_path, trees, learning_rate=0.05, **settings)
    result = fit(dataclasses.replace(plan, validation_path=tmp_path / "held.jsonl"))
    losses = [entry["loss"] for entry in result.metrics["validation"]]
    assert result.metrics["stopped_early"] and len(losses) < 30
    assert result.metrics["validation_best"] == min(losses) < losses[-1]
    assert [step["validation_loss"] for step in result.steps] == losses, "an epoch of one step each"
    state = torch.load(latest_checkpoint(plan.output / "checkpoint") / "state.pt", weights_only=True)  # type: ignore
    for name, value in weights(result.adapter).items():
        key = name.replace(".weight", ".default.weight")
        assert torch.equal(value, state["best"][key]), "the adapter is the best one, not the last"
        assert not torch.equal(value, state["adapter"][key]) or not float(value.abs().max())


def test_a_run_resumed_in_the_middle_validates_as_if_it_never_stopped(model_path: Path, tmp_path: Path) -> None:
    trees_to_jsonl([make_tree("held", 2, words="zzz")], tmp_path / "held.jsonl")
    plans = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        plan = make_plan(model_path, tmp_path / name, TREES, epochs=4, patience=3, checkpoint_steps=1)
        plans.append(dataclasses.replace(plan, validation_path=tmp_path / "held.jsonl"))
    whole = fit(plans[0])

    class Killed(Exception):
        pass

    def kill(metrics: dict[str, Any], checkpoint: Path | None) -> None:
        if metrics["step"] == 5:
            raise Killed

    with pytest.raises(Killed):
        fit(plans[1], report=kill)
    resumed = fit(plans[1], resume_from=latest_checkpoint(plans[1].output / "checkpoint"))
    assert resumed.metrics["validation"] == whole.metrics["validation"]
    assert_same_weights(whole.adapter, resumed.adapter, tolerance=0.0)


def test_a_validation_loss_that_is_no_number_ends_training(model_path: Path, tmp_path: Path) -> None:
    """It would only have counted as one that did not fall; here nothing else notices, as no step comes after it."""
    trees_to_jsonl([make_tree("held", 2, words="zzz")], tmp_path / "held.jsonl")
    plan = make_plan(model_path, tmp_path, TREES, rows_per_step=5, learning_rate=1e30, warmup=0.0)
    with pytest.raises(TrainerError, match=r"After step 1 the validation loss is nan.*no good checkpoint yet"):
        fit(dataclasses.replace(plan, validation_path=tmp_path / "held.jsonl"))
    assert not (plan.output / "adapter").exists()


def test_patience_without_validation_is_refused(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="nothing to validate on"):
        fit(make_plan(model_path, tmp_path, TREES, patience=2))


def test_flex_attention_is_refused_on_a_cpu(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="CUDA only"):
        fit(make_plan(model_path, tmp_path, TREES, attention="flex"))
