"""The objective of a run: what a row adds to the loss, with every weight stated.

    loss = sum over units of  weight * size * l(unit)   divided by the sum of  weight * size

A unit is a pair (preference objectives) or a turn (`sft`). `size` is 1 when every turn counts the same
(`weighting: turn`), else the unit's scored tokens (`token`). For `sft`, l is the mean negative log-likelihood per
token, so `turn` is the mean over turns of the mean over tokens and `token` is the plain mean over tokens. For
preferences, l is the objective's loss plus `sft_weight` times the chosen reply's mean negative log-likelihood
(`orpo` has that term in itself).

Invariant: terms of rows add up: the numbers of a step are the same however its rows were packed or dealt out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainers.losses import Preference, Replies, dpo, ipo, orpo, sft, simpo
from trainers.plan import TrainSettings
from trainers.rows import Row


@dataclass(frozen=True, slots=True)
class Terms:
    """What a row adds. To be divided by the mass (loss) or the number of units (the others) of the whole step."""

    loss: torch.Tensor
    margin: float = 0.0
    correct: float = 0.0


class Objective:
    """The loss that the settings ask for."""

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings
        self.preferences = settings.objective != "sft"
        self.needs_reference = settings.objective in ("dpo", "ipo")

    def mass(self, row: Row) -> float:
        """What a row's units count, together."""
        return row.mass(self._settings.weighting)

    def terms(self, row: Row, sums: torch.Tensor, counts: torch.Tensor, reference: torch.Tensor | None) -> Terms:
        """The row's share.

        Args:
            row: what was run.
            sums: summed log-probability of each reply, shape [R].
            counts: scored tokens of each reply, shape [R].
            reference: `sums` under the reference, where the objective needs them.
        """
        weights = torch.tensor(row.weights, device=sums.device)
        if self._settings.weighting == "token":
            weights = weights * torch.tensor(row.sizes, device=sums.device)
        if not self.preferences:
            return Terms(sft(sums, weights / counts))
        chosen, rejected = torch.tensor(row.pairs, device=sums.device).unbind(dim=1)
        replies = Replies(sums[chosen], sums[rejected], counts[chosen], counts[rejected])
        found = self._preference(row, replies, None if reference is None else (reference[chosen], reference[rejected]))
        loss = (weights * found.loss).sum()
        if self._settings.objective != "orpo":
            loss = loss + sft(replies.chosen, self._settings.sft_weight * weights / replies.chosen_tokens)
        return Terms(loss, float(found.margin.sum()), float(found.correct.sum()))

    def _preference(
        self, row: Row, replies: Replies, reference: tuple[torch.Tensor, torch.Tensor] | None
    ) -> Preference:
        settings = self._settings
        if settings.objective == "simpo":
            return simpo(replies, beta=settings.beta, gamma=settings.simpo_gamma)
        if settings.objective == "orpo":
            return orpo(replies, weight=settings.beta)
        assert reference is not None
        if settings.objective == "ipo":
            return ipo(replies, *reference, beta=settings.beta)
        offset: torch.Tensor | float = 0.0
        if settings.reward_gap == "offset":
            offset = torch.tensor(row.gaps, device=replies.chosen.device)
        return dpo(replies.chosen, replies.rejected, *reference, beta=settings.beta, offset=offset)
