"""What an engine was asked and what it did step by step, and the figures that follow; pure functions of records.

Invariant: nothing here is estimated. A figure that the records do not hold is None.

The fewest prompt tokens that a set of requests can cost is read off the prompts themselves: token sequences go into a
tree, and a prompt costs what the tree does not hold yet. What the engine wrote goes into the tree too (its keys and
values lie in the cache after decoding, the last token's apart), so an agent's own replies cost nothing when they come
back as a part of a prompt. Where they come back as other tokens (cut to whole sentences, encoded anew) they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the engine got it, with its answer. Times are of the machine's monotonic clock, in seconds."""

    dialogue: str
    scored: bool
    """Whether it scored a text (the end of its prompt) instead of writing one."""
    prompt: tuple[int, ...]
    written: tuple[int, ...]
    cached: int
    """Tokens of the prompt that were read from the prefix cache."""
    hidden: bool
    """Whether it asked for a token behind a block, whose log-prob the prefix cache hides."""
    begun: float
    ended: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the engine, when its outputs were read."""

    at: float
    written: int
    """Tokens sampled, the one of every scoring request included."""
    running: int
    """Requests in a slot."""


@dataclass(slots=True)
class Counters:
    """Sums of vLLM's own statistics."""

    prompt: int = 0
    """Tokens of prompts that were prefilled or read from the cache."""
    computed: int = 0
    """Of those, the ones prefilled."""
    queries: int = 0
    """Tokens looked for in the prefix cache; requests that may not read it are not looked for."""
    hits: int = 0
    preemptions: int = 0


BLOCKS = (1, 8, 16, 32)
"""Tokens in a block of a prefix cache: 16 by default on a GPU; on a CPU 16 or 32, see `vllm_settings.cpu_block`."""

Nodes = dict[tuple[Any, tuple[int, ...]], int]


def fewest_prompt_tokens(
    requests: Sequence[Asked], *, block: int = 1, shared: bool = False, replies_kept: bool = True
) -> int:
    """The fewest prompt tokens that must be computed for these requests, in the order they were begun.

    Args:
        requests: a dialogue's requests stand in the order of their begin.
        block: the cache keeps whole blocks of so many tokens; 1 keeps every token.
        shared: a dialogue may read what another dialogue's requests computed (equal system prompts).
        replies_kept: what was written is known when it comes back in a prompt; without it every token of a view costs
            once, an agent's own replies too.
    """
    nodes: Nodes = {}
    computed = 0
    for request in requests:
        root = None if shared else request.dialogue
        held = _add(nodes, root, request.prompt, block)
        # A prompt's last token is computed for its logits, and with it the block that it stands in.
        computed += len(request.prompt) - min(held, (len(request.prompt) - 1) // block * block)
        if replies_kept:
            _add(nodes, root, (*request.prompt, *request.written[:-1]), block)
    return computed


def _add(nodes: Nodes, root: str | None, tokens: Sequence[int], block: int) -> int:
    """Puts a sequence's whole blocks into the tree; returns how many leading tokens it held already."""
    place: Any = root
    held, unbroken = 0, True
    for start in range(0, len(tokens) - block + 1, block):
        key = (place, tuple(tokens[start : start + block]))
        known = nodes.get(key)
        unbroken = unbroken and known is not None
        held += block if unbroken else 0
        place = nodes.setdefault(key, len(nodes))
    return held


def steady_rate(steps: Sequence[Step]) -> float | None:
    """Tokens a second between a quarter and three quarters of all tokens written; None where that is one step."""
    total, seen = sum(step.written for step in steps), 0
    first: tuple[float, int] | None = None
    for step in steps:
        seen += step.written
        if first is None and seen >= total / 4:
            first = (step.at, seen)
        if seen >= 3 * total / 4:
            if first is None or step.at <= first[0]:
                return None
            return (seen - first[1]) / (step.at - first[0])
    return None


def slots_filled(steps: Sequence[Step], slots: int) -> float | None:
    """Share of the sequence slots that were taken, a mean over time; None below two steps."""
    if len(steps) < 2:
        return None
    spans = [(after.at - before.at, after.running) for before, after in zip(steps, steps[1:], strict=False)]
    seconds = sum(span for span, _ in spans)
    return sum(span * running for span, running in spans) / (seconds * slots) if seconds else None


def figures(requests: Sequence[Asked], steps: Sequence[Step], counted: Counters, slots: int) -> dict[str, Any]:
    """Rates, cache and slots of one leg, from its first request to its last answer.

    `completion_tokens` are what replies hold; the one token that vLLM samples for a scoring request is in none of them.
    """
    if not requests:
        raise ValueError("no request reached the engine while it was watched")
    begun, ended = min(one.begun for one in requests), max(one.ended for one in requests)
    written = sum(len(one.written) for one in requests if not one.scored)
    read = sum(len(one.prompt) for one in requests)
    own = sum(len(one.prompt) - one.cached for one in requests)
    return {
        "begun": begun,
        "ended": ended,
        "seconds": ended - begun,
        "dialogues": len({one.dialogue for one in requests}),
        "replies": sum(not one.scored for one in requests),
        "scored": sum(one.scored for one in requests),
        "scored_behind_blocks": sum(one.hidden for one in requests),
        "completion_tokens": written,
        "prompt_tokens": read,
        "completion_tokens_per_second": written / (ended - begun),
        "tokens_per_second": (written + read) / (ended - begun),
        "steady_tokens_per_second": steady_rate(steps),
        "slots_filled": slots_filled(steps, slots),
        "prompt_tokens_computed": counted.computed,
        "prompt_tokens_computed_by_request": own,
        "prefix_hit_share": (counted.prompt - counted.computed) / counted.prompt if counted.prompt else None,
        "prefix_queries": counted.queries,
        "prefix_hits": counted.hits,
        "preemptions": counted.preemptions,
    }


def recompute(requests: Sequence[Asked], computed: int, block: int) -> dict[str, Any]:
    """Prompt tokens computed over the fewest possible, counted in four ways; the first is the issue's figure.

    `floor_by_block`: what that figure would be at the least if the engine's cache keeps whole blocks of so many tokens.
    """
    ordered = sorted(requests, key=lambda one: one.begun)
    fewest = {
        "each_token_once_per_view": fewest_prompt_tokens(ordered, replies_kept=False),
        "own_replies_free": fewest_prompt_tokens(ordered),
        "whole_blocks": fewest_prompt_tokens(ordered, block=block),
        "whole_blocks_shared_by_dialogues": fewest_prompt_tokens(ordered, block=block, shared=True),
    }
    once = fewest["each_token_once_per_view"]
    return {
        "block": block,
        "prompt_tokens_computed": computed,
        "fewest": fewest,
        "ratio": {name: computed / tokens for name, tokens in fewest.items()},
        "floor_by_block": {size: fewest_prompt_tokens(ordered, block=size) / once for size in BLOCKS},
    }
