"""What a training run came to, as figures for people and for `summary.json`.

Invariant: every figure is computed from the steps that were taken, those of interrupted tries included.
"""

from __future__ import annotations

import math
from typing import Any

from trainers.checkpoint import TrainState
from trainers.plan import TrainPlan
from trainers.rows import Rows
from trainers.stopping import Stopping
from trainers.trees import count_reasons


def outcome(plan: TrainPlan, state: TrainState, data: Rows, stopping: Stopping) -> dict[str, Any]:
    """Returns the figures that do not depend on who computed them."""
    steps, settings = state.steps, plan.settings
    tokens, seconds = sum(step["tokens"] for step in steps), sum(step["seconds"] for step in steps)
    return {
        "learner": plan.learner,
        "objective": settings.objective,
        "weighting": settings.weighting,
        "pairs": sum(len(row.pairs) for row in data.rows),
        "rows": len(data.rows),
        "turns": sum(len(row.replies) for row in data.rows),
        "steps": len(steps),
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "loss_first": steps[0]["loss"],
        "loss_last": steps[-1]["loss"],
        "accuracy_last": steps[-1]["accuracy"],
        "initial_margin": state.initial_margin,
        "quantization": settings.quantization,
        "validation": state.evaluations,
        "validation_best": stopping.best if math.isfinite(stopping.best) else None,
        "stopped_early": stopping.exhausted(settings.patience),
        "rejections": count_reasons(data.rejections),
        "notes": list(data.notes),
    }
