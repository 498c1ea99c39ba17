"""Whole dialogues set against each other: the better rated on an opening against a worse rated on the same.

ConvoLearn's authors name this as the second use of their quality spectrum; the loss is that of multi-turn preference
optimisation, where a dialogue's log-probability is that of all the learner's turns and the other side's turns are
given (Xiong et al. 2024, "Building math agents with multi-turn iterative preference learning", section 3).

Invariant: both dialogues are computed as in rows of their own; what they share at the beginning is computed once.
A side is one causal run of tokens, or there is no contrast: with a template that rewrites earlier turns (Qwen3's takes
their empty thought away) a side is several rows, or a spine with leaves, and "the whole dialogue" is no sequence.
"""

from __future__ import annotations

from trainers.rendering import Renderer
from trainers.rows import Reply, Row, Rows, Segment, sft_rows
from trainers.trees import Rejection, Tree


def contrast_rows(tree: Tree, renderer: Renderer, *, max_row_tokens: int) -> Rows:
    """Makes the row of a dialogue and its rival, each kept to half of the row's tokens by dropping later turns."""
    if not tree.rival:
        return Rows(())
    sides = [
        sft_rows(
            Tree(tree.dialogue_id, messages, (), openers=tree.openers), renderer, max_row_tokens=max_row_tokens // 2
        )
        for messages in (tree.messages, tree.rival)
    ]
    rejections = tuple(rejection for side in sides for rejection in side.rejections)
    if any(len(side.rows) > 1 or any(len(row.segments) > 1 for row in side.rows) for side in sides):
        return Rows((), (Rejection(tree.dialogue_id, 0, "template"),), sides[0].notes)
    if not all(side.rows for side in sides):
        return Rows((), rejections or (Rejection(tree.dialogue_id, 0, "empty"),))
    chosen, rejected = (side.rows[0] for side in sides)
    if chosen.tokens == rejected.tokens:
        return Rows((), (*rejections, Rejection(tree.dialogue_id, 0, "equal_texts")))
    return Rows((_join(tree, chosen, rejected),), rejections)


def _join(tree: Tree, chosen: Row, rejected: Row) -> Row:
    shared = 0
    for ours, theirs in zip(chosen.tokens, rejected.tokens, strict=False):
        if ours != theirs:
            break
        shared += 1
    size = len(chosen.tokens)
    moved = {index: index if index < shared else size + index - shared for index in range(len(rejected.tokens))}
    leaf = Segment(size, len(rejected.tokens) - shared, shared)
    return Row(
        (tree.dialogue_id,),
        "tree",
        chosen.tokens + rejected.tokens[shared:],
        chosen.positions + rejected.positions[shared:],
        (*chosen.segments, leaf) if leaf.length else chosen.segments,
        (_whole(chosen, {}), _whole(rejected, moved)),
        ((0, 1),),
        (tree.weight,),
        (tree.rival_gap,),
    )


def _whole(row: Row, moved: dict[int, int]) -> Reply:
    """All of a row's replies as one."""
    sources = tuple(moved.get(source, source) for reply in row.replies for source in reply.sources)
    return Reply(row.replies[0].turn, sources, tuple(target for reply in row.replies for target in reply.targets))
