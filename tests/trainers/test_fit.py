"""The training loop: it learns, it resumes exactly, and bad input is found first."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import FORGETTING, build_model, build_tokenizer, make_plan, make_tree
from transformers import LlamaModel

from agents.errors import TrainerError
from trainers.checkpoint import latest_checkpoint
from trainers.fit import check_plan, fit
from trainers.plan import TrainPlan, TrainResult, TrainSettings
from trainers.proof import read_proof
from trainers.schedule import learning_rate_factor, plan_steps, share
from trainers.trees import Tree

TREES = [make_tree(str(index), 1 + index % 3, leaf_chosen=[1]) for index in range(5)]


def weights(adapter: Path) -> dict[str, torch.Tensor]:
    return load_file(adapter / "adapter_model.safetensors")


def assert_same_weights(first: Path, second: Path, tolerance: float) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert float((value - other[name]).abs().max()) <= tolerance, name


def test_dpo_learns(model_path: Path, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    plan = make_plan(model_path, tmp_path, TREES, epochs=6)
    result = fit(plan, report=lambda metrics, checkpoint: told.append(metrics))
    assert result.metrics["accuracy_last"] == 1.0 and result.steps[0]["accuracy"] == 0.0
    assert result.metrics["loss_last"] < 0.7 * result.metrics["loss_first"]
    assert result.metrics["initial_margin"] == 0.0 and result.steps[0]["margin"] == 0.0
    assert result.metrics["pairs"] == 9 and result.metrics["rows"] == 5 and result.metrics["steps"] == 18
    assert told == result.steps == [json.loads(line) for line in (plan.output / "steps.jsonl").open()]
    assert result.metrics["tokens"] == sum(step["tokens"] for step in result.steps) > 0
    proof = read_proof(result.adapter)
    assert len(proof["sequences"]) == 4 and proof["new"] != proof["old"]
    assert TrainResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert TrainPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_nf4_learns_too(model_path: Path, tmp_path: Path) -> None:
    result = fit(make_plan(model_path, tmp_path, TREES, epochs=4, quantization="nf4", lora_dropout=0.1))
    assert result.metrics["accuracy_last"] == 1.0 and result.metrics["quantization"] == "nf4"


def test_sft_learns(model_path: Path, tmp_path: Path) -> None:
    trees = [dataclasses.replace(tree, pairs=()) for tree in TREES]
    result = fit(make_plan(model_path, tmp_path, trees, objective="sft", epochs=4))
    assert result.metrics["loss_last"] < 0.7 * result.metrics["loss_first"]
    assert result.metrics["accuracy_last"] is None and result.metrics["pairs"] == 0


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_reference_runs_once_a_row(model_path: Path, tmp_path: Path, epochs: int) -> None:
    """Reference passes are those without gradients of a model in train mode, less the check before the first step."""
    passes: list[int] = []

    def count(module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, LlamaModel) and module.training and not torch.is_grad_enabled():
            passes.append(1)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        fit(make_plan(model_path, tmp_path, TREES, epochs=epochs, pass_tokens=0))
    finally:
        hook.remove()
    checked = 2 * 2
    assert len(passes) - checked == len(TREES)


def test_continuing_starts_where_the_parent_ended(model_path: Path, tmp_path: Path) -> None:
    first = fit(make_plan(model_path, tmp_path, TREES, epochs=3))
    again = dataclasses.replace(
        make_plan(model_path, tmp_path, TREES, epochs=2), parent=first.adapter, output=tmp_path / "second"
    )
    second = fit(again)
    assert second.metrics["initial_margin"] == 0.0 and second.steps[0]["margin"] == 0.0
    proofs = read_proof(first.adapter), read_proof(second.adapter)
    flat = [torch.tensor([value for part in parts for value in part]) for parts in (proofs[0]["new"], proofs[1]["old"])]
    assert torch.allclose(flat[0], flat[1], atol=1e-5), "what the parent was is what the child calls old"


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_killed_run_ends_with_the_same_weights(model_path: Path, tmp_path: Path, dropout: float) -> None:
    plan = make_plan(model_path, tmp_path, TREES, epochs=3, checkpoint_steps=2, lora_dropout=dropout)
    whole = fit(dataclasses.replace(plan, output=tmp_path / "whole"))

    def kill(metrics: dict[str, Any], checkpoint: Path | None) -> None:
        if metrics["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(plan, report=kill)
    stored = latest_checkpoint(plan.output / "checkpoint")
    assert stored is not None and stored.name == "step-000004"
    told: list[int] = []
    resumed = fit(plan, resume_from=stored, report=lambda metrics, checkpoint: told.append(metrics["step"]))
    assert told == [5, 6, 7, 8, 9]
    assert [step["step"] for step in resumed.steps] == list(range(1, 10))
    assert [step["loss"] for step in resumed.steps] == [step["loss"] for step in whole.steps]
    assert_same_weights(whole.adapter, resumed.adapter, 0.0)
    assert resumed.metrics["tokens"] == whole.metrics["tokens"]


def test_a_checkpoint_of_other_data_is_refused(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES)
    fit(plan)
    stored = latest_checkpoint(plan.output / "checkpoint")
    other = dataclasses.replace(plan, seed=8)
    with pytest.raises(TrainerError, match="other data or settings"):
        fit(other, resume_from=stored)
    assert stored is not None
    (stored / "state.pt").write_bytes(b"half a file")
    with pytest.raises(TrainerError, match="cannot be read"):
        fit(plan, resume_from=stored)


def test_a_checkpoint_of_another_model_or_parent_is_refused(model_path: Path, tmp_path: Path) -> None:
    """Under the same names: a model folder that was replaced, and a parent that was trained again in its place."""
    base = tmp_path / "base"
    shutil.copytree(model_path, base)
    parent = fit(make_plan(base, tmp_path, TREES)).adapter
    plan = dataclasses.replace(make_plan(base, tmp_path, TREES, epochs=2), parent=parent, output=tmp_path / "child")
    fit(plan)
    stored = latest_checkpoint(plan.output / "checkpoint")
    fit(plan, resume_from=stored)
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    fit(dataclasses.replace(plan, model_path=moved), resume_from=stored)
    for path in (base / "config.json", base / "chat_template.jinja", parent / "adapter_model.safetensors"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if path.suffix == ".safetensors" else content + b"\n")
        with pytest.raises(TrainerError, match="another model or parent"):
            fit(plan, resume_from=stored)
        path.write_bytes(content)
    build_model().bfloat16().save_pretrained(base)
    with pytest.raises(TrainerError, match="another model or parent"):
        fit(plan, resume_from=stored)


def test_a_stored_adapter_has_to_fit_by_name(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES)
    fit(plan)
    stored = latest_checkpoint(plan.output / "checkpoint")
    assert stored is not None
    state = torch.load(stored / "state.pt", weights_only=True)
    state["adapter"]["model.layers.2.lora_A.default.weight"] = torch.zeros(1)
    torch.save(state, stored / "state.pt")
    with pytest.raises(TrainerError, match=r"1 of its matrices.*layers\.2"):
        fit(plan, resume_from=stored)


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(model_path: Path, tmp_path: Path) -> None:
    """The newest may hold the very weights that broke; the one that is kept trains on, as if nothing had happened."""
    plan = make_plan(model_path, tmp_path, TREES, epochs=2, checkpoint_steps=2)
    whole = fit(dataclasses.replace(plan, output=tmp_path / "whole"))

    def kill(metrics: dict[str, Any], checkpoint: Path | None) -> None:
        if metrics["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(plan, report=kill)
    folder = plan.output / "checkpoint"
    assert sorted(path.name for path in folder.iterdir()) == ["step-000002", "step-000004"]
    newest = latest_checkpoint(folder)
    assert newest is not None
    state = torch.load(newest / "state.pt", weights_only=True)
    state["adapter"] = {name: torch.full_like(value, 1e30) for name, value in state["adapter"].items()}
    torch.save(state, newest / "state.pt")
    with pytest.raises(TrainerError, match=r"Step 5.*good checkpoint is .*step-000002.*Lower training.learning_rate"):
        fit(plan, resume_from=newest)
    kept = latest_checkpoint(folder)
    assert kept is not None and kept.name == "step-000002"
    assert not (plan.output / "adapter").exists()
    assert_same_weights(whole.adapter, fit(plan, resume_from=kept).adapter, 0.0)


def test_weights_that_never_gave_a_number_leave_no_checkpoint(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES, epochs=3, checkpoint_steps=1, learning_rate=1e30, warmup=0.0)
    with pytest.raises(TrainerError, match=r"Step 2.*no good checkpoint yet.*Lower training.learning_rate"):
        fit(plan)
    assert latest_checkpoint(plan.output / "checkpoint") is None
    assert not (plan.output / "adapter").exists()


def test_only_checkpoints_that_gave_a_number_are_handed_on(model_path: Path, tmp_path: Path) -> None:
    """Ray keeps what it is told of, out of our reach; so it hears of one after the next step, or at the end."""
    told: list[tuple[int, str]] = []

    def tell(metrics: dict[str, Any], checkpoint: Path | None) -> None:
        if checkpoint is not None:
            assert (checkpoint / "state.pt").is_file()
            told.append((metrics["step"], checkpoint.name))

    plan = make_plan(model_path, tmp_path, TREES, epochs=2, checkpoint_steps=2)
    fit(plan, report=tell)
    assert told == [(3, "step-000002"), (5, "step-000004"), (6, "step-000006")]
    assert sorted(path.name for path in (plan.output / "checkpoint").iterdir()) == ["step-000004", "step-000006"]


def test_bad_input_is_found_before_the_model_is_loaded(model_path: Path, tmp_path: Path) -> None:
    bare = [Tree("t", TREES[0].messages, ())]
    empty = make_plan(model_path, tmp_path, bare)
    with pytest.raises(TrainerError, match="1 trees and no pair"):
        fit(empty)
    with pytest.raises(TrainerError, match="No model at"):
        fit(dataclasses.replace(empty, model_path=tmp_path / "nothing"))
    with pytest.raises(TrainerError, match="No adapter at"):
        fit(dataclasses.replace(empty, parent=tmp_path / "nothing"))
    with pytest.raises(TrainerError, match="No trees at"):
        fit(dataclasses.replace(empty, trees_path=tmp_path / "nothing"))
    (tmp_path / "short").mkdir()
    forgetting = tmp_path / "forgetting"
    shutil.copytree(model_path, forgetting)
    build_tokenizer(FORGETTING).save_pretrained(str(forgetting))
    with pytest.raises(TrainerError, match="training.reasoning is true, .*takes the thought out of a reply"):
        check_plan(make_plan(forgetting, tmp_path / "short", TREES, reasoning=True))
    with pytest.raises(TrainerError, match=r"too_long.*Raise training.max_row_tokens"):
        fit(make_plan(model_path, tmp_path / "short", TREES, max_row_tokens=8))
    if not torch.cuda.is_available():
        with pytest.raises(TrainerError, match="sees no GPU"):
            fit(make_plan(model_path, tmp_path / "short", TREES, gpus_per_worker=1.0, max_row_tokens=999))


def test_dropped_pairs_are_in_the_metrics(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES, max_row_tokens=80)
    result = fit(plan)
    listed = [json.loads(line) for line in (plan.output / "row_rejections.jsonl").open()]
    assert {(one["dialogue_id"], one["turn"], one["reason"]) for one in listed} == {
        (rejection.dialogue_id, rejection.turn, rejection.reason) for rejection in check_plan(plan).rejections
    }
    assert len(listed) == 9 - result.metrics["pairs"]
    assert result.metrics["rejections"] == {"too_long": 9 - result.metrics["pairs"]}
    assert 0 < result.metrics["pairs"] < 9


@given(rows=st.integers(1, 30), size=st.integers(1, 8), epochs=st.integers(1, 3), seed=st.integers(0, 9))
def test_an_epoch_sees_every_row_once(rows: int, size: int, epochs: int, seed: int) -> None:
    steps = plan_steps(rows, rows_per_step=size, epochs=epochs, seed=seed)
    assert steps == plan_steps(rows, rows_per_step=size, epochs=epochs, seed=seed)
    each = len(steps) // epochs
    for epoch in range(epochs):
        seen = [row for step in steps[epoch * each : (epoch + 1) * each] for row in step]
        assert sorted(seen) == list(range(rows))


@given(lengths=st.lists(st.integers(1, 1000), min_size=1, max_size=12), workers=st.integers(1, 5))
def test_shares_cover_the_step_and_are_even(lengths: list[int], workers: int) -> None:
    hands = share(range(len(lengths)), lengths, workers)
    assert sorted(row for hand in hands for row in hand) == list(range(len(lengths)))
    loads = [sum(lengths[row] for row in hand) for hand in hands]
    assert max(loads) - min(loads) <= max(lengths)


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert learning_rate_factor(0, 1, 0.1) == 1.0


def test_settings_mirror_the_config() -> None:
    from sim.config_training import TrainingConfig

    assert dataclasses.asdict(TrainSettings()) == TrainingConfig().model_dump()


def test_the_output_can_be_made_again(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES)
    first = weights(fit(plan).adapter)
    shutil.rmtree(plan.output / "checkpoint")
    second = weights(fit(plan).adapter)
    assert all(torch.equal(first[name], second[name]) for name in first)
