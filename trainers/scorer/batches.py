"""Which examples make which batch.

Invariant: training batches are a function of lengths, seed and epoch alone, so a resumed run sees what an uninterrupted
one sees. Texts of like length share a batch, which keeps padding small.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

_POOL = 32
"""Batches whose examples are sorted together: enough to sort well, few enough to leave the order random."""


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns the seed of an epoch's order and dropout, from 0 to 2**63 - 1."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big") >> 1


def training_batches(lengths: Sequence[int], *, batch_size: int, seed: int) -> list[list[int]]:
    """Returns the indices of each batch: every example once, pools sorted by length, batches in random order."""
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), _POOL * batch_size):
        pool = order[start : start + _POOL * batch_size]
        batches += _cut(sorted(pool, key=lambda index: lengths[index]), batch_size)
    chance.shuffle(batches)
    return batches


def scoring_batches(lengths: Sequence[int], *, batch_size: int) -> list[list[int]]:
    """Returns the indices of each batch: every text once, longest first, so that a lack of memory shows at once."""
    return _cut(sorted(range(len(lengths)), key=lambda index: -lengths[index]), batch_size)


def _cut(indices: Sequence[int], size: int) -> list[list[int]]:
    return [list(indices[start : start + size]) for start in range(0, len(indices), size)]
