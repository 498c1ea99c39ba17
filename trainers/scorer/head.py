"""The ordinal head: CORN, conditional ordinal regression (Shi, Cao and Raschka 2021, arXiv:2111.08851).

Logit k says how likely the rating is above level k, given that it is above level k-1. The product of these conditional
probabilities is the probability of being above level k, so the cumulative probabilities can never cross, whatever the
weights are. Each level keeps a weight vector of its own; a cumulative link model would share one.

Invariant: for any logits the level probabilities are in [0, 1], sum to 1, and P(above k) does not rise with k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


class CornHead(nn.Module):
    """Maps pooled vectors `(N, width)` to conditional logits `(N, levels - 1)`.

    Args:
        width: length of a pooled vector.
        levels: how many levels the scale has.
        dropout: share of the vector that is dropped in training.
    """

    def __init__(self, width: int, levels: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, levels - 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Returns the conditional logits of each vector."""
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits

    def start_at(self, counts: Sequence[int]) -> None:
        """Makes the head predict the label distribution before it has learned anything: weights 0, biases from counts.

        Each task starts at the log odds of its own examples, with half an example added to both sides.
        """
        with torch.no_grad():
            self.linear.weight.zero_()
            for task in range(len(counts) - 1):
                above, at = sum(counts[task + 1 :]) + 0.5, counts[task] + 0.5
                self.linear.bias[task] = math.log(above / at)


def corn_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean negative log-likelihood per example, in nats.

    The paper's loss is the binary cross-entropy of task k over the examples that are at or above level k, summed over
    the tasks and divided by the number of all task examples. That sum is the negative log-likelihood of the true
    levels; here it is divided by the number of examples, so it compares across batches and data sets.

    Args:
        logits: conditional logits, `(N, K - 1)`.
        targets: level indices from 0 to K - 1, `(N,)`.
    """
    tasks = torch.arange(logits.shape[1], device=logits.device)
    level = targets[:, None]
    zero = torch.zeros_like(logits)
    passed = torch.where(tasks < level, logsigmoid(logits), zero)
    stopped = torch.where(tasks == level, logsigmoid(-logits), zero)
    return -(passed + stopped).sum(dim=1).mean()


def exceedance(logits: Tensor) -> Tensor:
    """Returns P(rating above level k) for k from 0 to K - 2, `(N, K - 1)` in float64; it does not rise with k."""
    return torch.cumprod(torch.sigmoid(logits.double()), dim=1)


def distribution(logits: Tensor) -> Tensor:
    """Returns the probability of each level, `(N, K)` in float64."""
    above = exceedance(logits)
    ones = torch.ones_like(above[:, :1])
    return torch.cat([ones, above], dim=1) - torch.cat([above, torch.zeros_like(ones)], dim=1)


def predicted_index(logits: Tensor) -> Tensor:
    """Returns the index of the predicted level, `(N,)`: how many levels the rating is more likely than not above.

    This is the paper's rule; it is the median of the distribution, which is the best guess for absolute error.
    """
    return (exceedance(logits) > 0.5).sum(dim=1)
