"""The objectives, as pure functions of log-probabilities.

Invariant: nothing here knows a model, a row or a device; every weight is an argument, so that the objective that was
trained can be read off the call. Log-probabilities are natural logs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True)
class Preference:
    """DPO on P pairs, one entry per pair."""

    loss: torch.Tensor
    margin: torch.Tensor
    """beta times the difference of the policy-to-reference log-ratios, detached; 0 when policy == reference."""
    correct: torch.Tensor
    """1.0 where the margin is above 0, else 0.0."""


def dpo(
    policy_chosen: torch.Tensor,
    policy_rejected: torch.Tensor,
    ref_chosen: torch.Tensor,
    ref_rejected: torch.Tensor,
    *,
    beta: float,
) -> Preference:
    """Direct preference optimisation (Rafailov et al. 2023, equation 7), per pair.

    Args:
        policy_chosen: summed log-probability of each chosen reply under the policy, shape [P].
        policy_rejected: the same of each rejected reply.
        ref_chosen: the same under the reference.
        ref_rejected: the same under the reference.
        beta: how strongly the policy is held to the reference.
    """
    margin = beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))
    held = margin.detach()
    return Preference(-logsigmoid(margin), held, (held > 0).to(held.dtype))


def sft(logprobs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted negative log-likelihood, a scalar.

    Args:
        logprobs: log-probability of each target token, or of each reply summed over its tokens, shape [N].
        weights: weight of each entry, shape [N]; 1 / (tokens of its reply) makes every reply count the same.
    """
    return -(logprobs * weights).sum()
