"""The Ray Train job: the same result as one process, live steps, errors with their cause, and life after a kill."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny import make_plan, make_tree

from agents.errors import TrainerError
from trainers.job import failure_cause, train

TREES = [make_tree(str(index), 1 + index % 3, leaf_chosen=[1]) for index in range(5)]


def largest_difference(first: Path, second: Path) -> float:
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    return max(float((value - other[name]).abs().max()) for name, value in one.items())


def test_without_workers_it_trains_here_and_goes_on(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES, epochs=2, checkpoint_steps=2)
    told: list[int] = []

    def tell(step: dict[str, Any]) -> None:
        told.append(step["step"])
        if told == [1, 2, 3]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan, workers=0, run_name="r", storage_path=tmp_path, on_step=tell)
    result = train(plan, workers=0, run_name="r", storage_path=tmp_path, on_step=tell)
    assert told == [1, 2, 3, 3, 4, 5, 6]
    assert len(result.steps) == 6 and (result.adapter / "proof.json").is_file()


def test_bad_plans_are_refused_before_anything_starts(model_path: Path, tmp_path: Path) -> None:
    plan = make_plan(model_path, tmp_path, TREES)
    with pytest.raises(TrainerError, match="output is the relative path"):
        train(dataclasses.replace(plan, output=Path("out")), workers=1, run_name="r", storage_path=tmp_path)
    with pytest.raises(TrainerError, match="No model at"):
        train(dataclasses.replace(plan, model_path=tmp_path), workers=1, run_name="r", storage_path=tmp_path)


@pytest.mark.slow
def test_two_workers_equal_one_process_also_after_one_was_killed(
    local_ray: Path, model_path: Path, tmp_path: Path
) -> None:
    # Five rows in steps of two: in the last step of each epoch one worker has nothing to do and still joins. Rows run
    # alone, because the dropout of a packed row depends on its company.
    plan = make_plan(
        model_path,
        tmp_path,
        TREES,
        epochs=5,
        checkpoint_steps=3,
        learning_rate=1e-3,
        lora_dropout=0.1,
        pass_tokens=0,
    )
    alone = train(dataclasses.replace(plan, output=tmp_path / "alone"), workers=0, run_name="-", storage_path=tmp_path)
    local_ray.touch()
    told: list[dict[str, Any]] = []
    with pytest.raises(TrainerError, match="'round-0002' failed"):
        train(plan, workers=2, run_name="round-0002", storage_path=tmp_path / "ray", on_step=told.append)
    assert not local_ray.exists() and not (plan.output / "adapter").exists()
    assert [step["step"] for step in told] == [1, 2, 3, 4, 5, 6]
    told.clear()
    result = train(plan, workers=2, run_name="round-0002", storage_path=tmp_path / "ray", on_step=told.append)
    assert result.metrics["workers"] == 2 and result.adapter == plan.output / "adapter"
    assert told == result.steps and [step["step"] for step in told] == list(range(1, 16)), "told from the first"
    assert [step["loss"] for step in result.steps] == pytest.approx([step["loss"] for step in alone.steps], rel=1e-4)
    seconds = [step["seconds"] for step in result.steps]
    assert len(seconds) == 15 and result.metrics["seconds"] == pytest.approx(sum(seconds))
    assert largest_difference(alone.adapter, result.adapter) < 1e-4


def test_a_worker_error_keeps_its_message() -> None:
    """As Ray hands it over: the worker's own error is the cause of what the failed run carries for each rank."""
    inner = TrainerError("Raise training.max_row_tokens")
    wrapped = RuntimeError("worker 0 raised")
    wrapped.__cause__ = inner
    failed = RuntimeError("training failed")
    failed.worker_failures = {1: RuntimeError("later"), 0: wrapped}  # type: ignore[attr-defined]
    assert failure_cause(failed) == "Raise training.max_row_tokens"
    assert failure_cause(RuntimeError("plain")) == "plain" and "ValueError" in failure_cause(ValueError())
