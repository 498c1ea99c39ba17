"""Who sees whom in a row: causal on the spine, and for a leaf its prefix on the spine and itself.

The mask is a dense boolean tensor for scaled dot-product attention, which trains on CPU and CUDA alike; a row of 1,500
tokens costs 2.3 MB. A row that is only a spine needs none.
"""

from __future__ import annotations

import torch

from trainers.rows import Row


def attention_mask(row: Row, device: torch.device | str = "cpu") -> torch.Tensor | None:
    """Returns the row's mask, shape [1, 1, N, N], True where the query (rows) may read the key (columns).

    None stands for the plain causal mask of a row without leaves, which kernels know by themselves.
    """
    if len(row.segments) == 1:
        return None
    size = len(row.tokens)
    mask = torch.zeros(size, size, dtype=torch.bool, device=device)
    for segment in row.segments:
        end = segment.start + segment.length
        own = torch.ones(segment.length, segment.length, dtype=torch.bool, device=device)
        mask[segment.start : end, segment.start : end] = own.tril_()
        mask[segment.start : end, : segment.prefix] = True
    return mask[None, None]
