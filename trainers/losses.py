"""The objectives, as pure functions of log-probabilities.

Invariant: nothing here knows a model, a row or a device; every weight is an argument, so that the objective that was
trained can be read off the call. Log-probabilities are natural logs, summed over a reply's tokens; every function
returns one loss per pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True)
class Replies:
    """The chosen and the rejected replies of P pairs; every tensor has shape [P]."""

    chosen: torch.Tensor
    """Log-probability under the policy."""
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor


@dataclass(frozen=True, slots=True)
class Preference:
    """A preference objective on P pairs, one entry per pair."""

    loss: torch.Tensor
    margin: torch.Tensor
    """By how much the policy prefers the chosen reply, in the objective's own units, detached."""
    correct: torch.Tensor
    """1.0 where the margin is above 0, else 0.0."""


def dpo(
    policy_chosen: torch.Tensor,
    policy_rejected: torch.Tensor,
    ref_chosen: torch.Tensor,
    ref_rejected: torch.Tensor,
    *,
    beta: float,
    offset: torch.Tensor | float = 0.0,
) -> Preference:
    """Direct preference optimisation (Rafailov et al. 2023, equation 7), per pair.

    The margin is beta times the difference of the log-ratios of policy to reference: 0 while the two are equal.

    Args:
        policy_chosen: summed log-probability of each chosen reply under the policy, shape [P].
        policy_rejected: the same of each rejected reply.
        ref_chosen: the same under the reference.
        ref_rejected: the same under the reference.
        beta: how strongly the policy is held to the reference.
        offset: margin that is asked for beyond 0, a scalar or of shape [P] (Amini et al. 2024, equation 8).
    """
    margin = beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))
    return _preference(-logsigmoid(margin - offset), margin)


def ipo(replies: Replies, ref_chosen: torch.Tensor, ref_rejected: torch.Tensor, *, beta: float) -> Preference:
    """Identity preference optimisation (Azar et al. 2023, equation 17) on log-ratios per token.

    Per token because the squared distance would otherwise grow with the replies' length, as TRL does with the
    authors' consent. The margin is the difference of the mean log-ratios; the loss pulls it to 1 / (2 beta).
    """
    chosen = (replies.chosen - ref_chosen) / replies.chosen_tokens
    margin = chosen - (replies.rejected - ref_rejected) / replies.rejected_tokens
    return _preference((margin - 1.0 / (2.0 * beta)) ** 2, margin)


def simpo(replies: Replies, *, beta: float, gamma: float) -> Preference:
    """Simple preference optimisation without a reference (Meng et al. 2024, equation 6).

    The margin is beta times the difference of the mean log-probabilities per token; gamma is how much is asked for.
    """
    margin = beta * (replies.chosen / replies.chosen_tokens - replies.rejected / replies.rejected_tokens)
    return _preference(-logsigmoid(margin - gamma), margin)


def orpo(replies: Replies, *, weight: float) -> Preference:
    """Odds-ratio preference optimisation (Hong et al. 2024, equations 6 and 7): likelihood and odds ratio in one.

    The margin is the log of the odds ratio, with a reply's probability taken per token (geometric mean).
    """
    chosen, rejected = replies.chosen / replies.chosen_tokens, replies.rejected / replies.rejected_tokens
    margin = (chosen - rejected) - (_log_one_minus_exp(chosen) - _log_one_minus_exp(rejected))
    return _preference(-chosen - weight * logsigmoid(margin), margin)


def sft(logprobs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted negative log-likelihood, a scalar.

    Args:
        logprobs: log-probability of each target token, or of each reply summed over its tokens, shape [N].
        weights: weight of each entry, shape [N]; 1 / (tokens of its reply) makes every reply count the same.
    """
    return -(logprobs * weights).sum()


def _preference(loss: torch.Tensor, margin: torch.Tensor) -> Preference:
    held = margin.detach()
    return Preference(loss, held, (held > 0).to(held.dtype))


def _log_one_minus_exp(value: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(value)) for value < 0; a reply that is certain is taken as just short of it."""
    return torch.log(-torch.expm1(torch.clamp(value, max=-1e-6)))
