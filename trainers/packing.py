"""Rows for an objective, and several rows in one forward pass.

A pass has a fixed cost (a 4-bit base is unpacked once for each), so short rows are run side by side, without attention
between them.

Invariant: packing changes speed only. Every token, position, reply, pair and weight of a row is in exactly one pass,
and a pass is longer than the budget only when a single row is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.errors import TrainerError
from trainers.contrast import contrast_rows
from trainers.rendering import Renderer
from trainers.rows import Reply, Row, Rows, Segment, sft_rows, tree_rows
from trainers.trees import Tree


def build_rows(
    trees: Sequence[Tree], renderer: Renderer, *, objective: str, max_row_tokens: int, weigh_by_gap: bool = False
) -> Rows:
    """Makes the rows of all trees for an objective, in the order of the trees.

    Args:
        trees: what to train on.
        renderer: the model's chat template.
        objective: `sft`, or any preference objective.
        max_row_tokens: longest row.
        weigh_by_gap: whether a pair counts in proportion to its reward gap; the mean weight stays what it was.

    Raises:
        TrainerError: pairs are to count by their gaps, and one has none.
    """
    parts = []
    for tree in trees:
        if objective == "sft":
            parts.append(sft_rows(tree, renderer, max_row_tokens=max_row_tokens))
            continue
        parts.append(tree_rows(tree, renderer, max_row_tokens=max_row_tokens))
        parts.append(contrast_rows(tree, renderer, max_row_tokens=max_row_tokens))
    rows = [row for part in parts for row in part.rows]
    return Rows(
        tuple(_weigh(rows) if weigh_by_gap else rows),
        tuple(rejection for part in parts for rejection in part.rejections),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _weigh(rows: Sequence[Row]) -> list[Row]:
    gaps = [gap for row in rows for gap in row.gaps]
    if bad := [(row.tree_ids[0], gap) for row in rows for gap in row.gaps if gap <= 0.0]:
        raise TrainerError(
            f"training.reward_gap is 'weight', but a pair of dialogue {bad[0][0]} has the gap {bad[0][1]:g}, which "
            "would count it for nothing or turn it round. Give every pair a gap above 0, or set reward_gap to 'ignore'."
        )
    mean = sum(gaps) / max(1, len(gaps))
    return [
        replace(row, weights=tuple(w * gap / mean for w, gap in zip(row.weights, row.gaps, strict=True)))
        for row in rows
    ]


def plan_passes(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Groups rows into passes of at most `budget` tokens: longest first, each into the first pass with room.

    Args:
        lengths: tokens of each row.
        budget: most tokens of a pass; 0 runs every row alone.

    Returns:
        Indices into `lengths`, every one exactly once.
    """
    passes: list[list[int]] = []
    loads: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        place = next((i for i, load in enumerate(loads) if load + lengths[index] <= budget), None)
        if place is None:
            passes.append([index])
            loads.append(lengths[index])
        else:
            passes[place].append(index)
            loads[place] += lengths[index]
    return passes


def pack(rows: Sequence[Row]) -> Row:
    """Lays rows side by side; one row is returned as it is."""
    if len(rows) == 1:
        return rows[0]
    segments: list[Segment] = []
    replies: list[Reply] = []
    pairs: list[tuple[int, int]] = []
    tokens: list[int] = []
    for row in rows:
        at, first = len(tokens), len(replies)
        segments += [replace(segment, start=segment.start + at, root=segment.root + at) for segment in row.segments]
        replies += [replace(reply, sources=tuple(at + source for source in reply.sources)) for reply in row.replies]
        pairs += [(first + chosen, first + rejected) for chosen, rejected in row.pairs]
        tokens += row.tokens
    return Row(
        tuple(tree_id for row in rows for tree_id in row.tree_ids),
        rows[0].kind,
        tuple(tokens),
        tuple(position for row in rows for position in row.positions),
        tuple(segments),
        tuple(replies),
        tuple(pairs),
        tuple(weight for row in rows for weight in row.weights),
        tuple(gap for row in rows for gap in row.gaps),
    )
