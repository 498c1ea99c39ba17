"""Who sees whom in a row: causal on a spine, and for a leaf its prefix on the spine and itself.

Invariant: `attention_mask` is the definition, as one dense boolean matrix; `tree_attention` computes the same without
it. A spine runs through the causal kernel, which needs no mask, and only the leaves' queries meet a mask; trees that
share a row never see each other. On CUDA, FlexAttention can take the definition as a block mask instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from trainers.rows import Row

NAME = "tutorloop_tree"


@dataclass(frozen=True, slots=True)
class Span:
    """One tree of a row: its spine's tokens, then its leaves'."""

    spine: int
    leaves: int
    mask: torch.Tensor | None
    """What the leaves' queries may read of the span, shape [leaves, spine + leaves]; None without leaves."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A row as attention needs it."""

    spans: tuple[Span, ...]
    blocks: Any = None
    """FlexAttention's block mask, where that is used."""


def attention_mask(row: Row, device: torch.device | str = "cpu") -> torch.Tensor:
    """Returns the row's mask, shape [N, N], True where the query (rows) may read the key (columns)."""
    size = len(row.tokens)
    query, key = torch.arange(size, device=device)[:, None], torch.arange(size, device=device)[None, :]
    found: torch.Tensor = attention_rule(row, device)(None, None, query, key)
    return found


def layout(row: Row, device: torch.device | str = "cpu", *, flex: bool = False) -> Layout:
    """Prepares a row for `tree_attention`.

    Args:
        row: what will be run.
        device: where.
        flex: whether to use FlexAttention, which trains on CUDA only.
    """
    if flex:
        from torch.nn.attention.flex_attention import create_block_mask

        size = len(row.tokens)
        return Layout((), create_block_mask(attention_rule(row, device), None, None, size, size, device=str(device)))
    roots = sorted({segment.root for segment in row.segments})
    ends = [*roots[1:], len(row.tokens)]
    spans = []
    for root, end in zip(roots, ends, strict=True):
        spine = next(segment.length for segment in row.segments if segment.root == root == segment.start)
        leaves = [segment for segment in row.segments if segment.root == root != segment.start]
        mask = torch.zeros(end - root - spine, end - root, dtype=torch.bool) if leaves else None
        for leaf in leaves:
            assert mask is not None
            first, last = leaf.start - root, leaf.start - root + leaf.length
            own = torch.ones(leaf.length, leaf.length, dtype=torch.bool).tril_()
            mask[first - spine : last - spine, : leaf.prefix] = True
            mask[first - spine : last - spine, first:last] = own
        spans.append(Span(spine, end - root - spine, None if mask is None else mask.to(device)))
    return Layout(tuple(spans))


def tree_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over one row, in the form transformers calls attention functions.

    Args:
        module: the layer that calls; unused.
        query: shape [1, heads, N, width].
        key: shape [1, key heads, N, width].
        value: shape [1, key heads, N, width].
        attention_mask: unused; the layout decides.
        layout: of this row.
        scaling: of the scores.
        dropout: of the attention weights.

    Returns:
        The mixed values, shape [1, N, heads, width], and None for the weights.
    """
    if layout.blocks is not None:
        mixed = _flex()(query, key, value, block_mask=layout.blocks, scale=scaling, enable_gqa=True)
        return mixed.transpose(1, 2).contiguous(), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    sizes = [span.spine + span.leaves for span in layout.spans]
    parts = zip(layout.spans, *(torch.split(tensor, sizes, dim=2) for tensor in (query, key, value)), strict=True)
    found = []
    for span, asked, keys, values in parts:
        own, rest = torch.split(asked, [span.spine, span.leaves], dim=2)
        spine = slice(None), slice(None), slice(span.spine)
        found.append(
            scaled_dot_product_attention(
                own, keys[spine], values[spine], is_causal=True, scale=scaling, dropout_p=dropout
            )
        )
        if span.mask is not None:
            found.append(
                scaled_dot_product_attention(
                    rest, keys, values, attn_mask=span.mask[None, None], scale=scaling, dropout_p=dropout
                )
            )
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, tree_attention)


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Lets a causal language model run rows through `tree_attention`; the model is as before afterwards."""
    before = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def attention_rule(row: Row, device: torch.device | str) -> Callable[..., Any]:
    """Returns the mask as a function of index tensors (batch, head, query, key): FlexAttention's form."""
    columns = torch.tensor(
        [
            (number, segment.root, segment.root + segment.prefix)
            for number, segment in enumerate(row.segments)
            for _ in range(segment.length)
        ],
        device=device,
    )
    order = torch.tensor([index for s in row.segments for index in range(s.start, s.start + s.length)], device=device)
    placed = torch.empty_like(columns)
    placed[order] = columns
    owner, low, high = placed.unbind(dim=1)

    def rule(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        own = (owner[query] == owner[key]) & (key <= query)
        return own | ((key >= low[query]) & (key < high[query]))

    return rule


@cache
def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)
