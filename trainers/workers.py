"""What the workers of a run do together: the same weights at the start, one sum of gradients and figures a step.

Invariant: with one worker nothing is communicated and no process group is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist


def broadcast(values: Iterable[torch.Tensor], world_size: int) -> None:
    """Gives every worker rank 0's values."""
    if world_size > 1:
        for value in values:
            dist.broadcast(value.data, src=0)


def sum_gradients(parameters: Iterable[torch.nn.Parameter], world_size: int) -> None:
    """Adds up the gradients of all workers, in one message; a worker without rows adds zeros."""
    gradients = []
    for value in parameters:
        if value.grad is None:
            value.grad = torch.zeros_like(value)
        gradients.append(value.grad)
    if world_size == 1:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def sum_figures(figures: Sequence[float], world_size: int, device: torch.device) -> list[float]:
    """Adds up figures of all workers, in float64."""
    if world_size == 1:
        return list(figures)
    sums = torch.tensor(figures, device=device, dtype=torch.float64)
    dist.all_reduce(sums)
    found: list[float] = sums.tolist()
    return found
