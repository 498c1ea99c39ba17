"""From a plan's files to the rows of a run, before any model is loaded.

Invariant: a run that starts has something to train on, and something to validate on where that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import AutoTokenizer

from agents.errors import TrainerError
from trainers.packing import build_rows
from trainers.plan import TrainPlan, check_inputs
from trainers.rendering import Renderer
from trainers.rows import Row, Rows
from trainers.trees import Tree, count_reasons, read_trees


def check_plan(plan: TrainPlan) -> Rows:
    """Reads the trees and makes their rows, before any model is loaded.

    Raises:
        TrainerError: the model folder or the trees are missing, or nothing is left to train on.
    """
    rows = _rows_of(plan, check_inputs(plan))
    if not rows.rows:
        raise TrainerError(
            f"Nothing in {plan.trees_path} can be trained on ({count_reasons(rows.rejections) or 'no replies'}). "
            f"Raise training.max_row_tokens, which is {plan.settings.max_row_tokens}."
        )
    return rows


def _rows_of(plan: TrainPlan, trees: Sequence[Tree]) -> Rows:
    tokenizer = AutoTokenizer.from_pretrained(str(plan.model_path), local_files_only=True)
    renderer = Renderer(tokenizer)
    if plan.settings.reasoning and not renderer.keeps_thoughts:
        raise TrainerError(
            f"training.reasoning is true, and the chat template in {plan.model_path} takes the thought out of a reply, "
            "so none would be trained. Set it to false, or use a template that keeps `<think>` in the last reply."
        )
    return build_rows(
        trees,
        renderer,
        objective=plan.settings.objective,
        max_row_tokens=plan.settings.max_row_tokens,
        weigh_by_gap=plan.settings.reward_gap == "weight",
    )


def validation_rows(plan: TrainPlan) -> tuple[Row, ...]:
    """Reads the validation trees and makes their rows; none without a validation file.

    Raises:
        TrainerError: there is a file, and nothing in it can be validated on.
    """
    if plan.validation_path is None:
        return ()
    rows = _rows_of(plan, read_trees(plan.validation_path)).rows
    if not rows:
        raise TrainerError(f"Nothing in {plan.validation_path} can be validated on. Give other validation data.")
    return rows
