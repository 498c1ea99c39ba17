"""Which rows make which optimiser step, who computes them, and at what learning rate.

Invariant: everything is a function of the seed and the step alone, so a resumed run, and a run with another number of
workers, takes the same steps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def plan_steps(rows: int, *, rows_per_step: int, epochs: int, seed: int) -> list[list[int]]:
    """Returns the row indices of each optimiser step; every epoch sees each row once, in an order of its own."""
    steps = []
    for epoch in range(epochs):
        order = list(range(rows))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        steps += [order[start : start + rows_per_step] for start in range(0, rows, rows_per_step)]
    return steps


def share(indices: Sequence[int], lengths: Sequence[int], world_size: int) -> list[list[int]]:
    """Deals a step's rows to the workers, longest first to the least loaded, so that they finish together.

    Args:
        indices: the step's rows.
        lengths: tokens of every row, by row index.
        world_size: number of workers; some may get nothing.
    """
    hands: list[list[int]] = [[] for _ in range(world_size)]
    loads = [0] * world_size
    for index in sorted(indices, key=lambda row: (-lengths[row], row)):
        worker = loads.index(min(loads))
        hands[worker].append(index)
        loads[worker] += lengths[index]
    return hands


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Linear warm-up over a share of all steps, then linear decay towards 0; `step` counts from 0."""
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    return (total - step) / max(1, total - rising)
