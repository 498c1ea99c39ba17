"""Scores read with a prefix cache are those read without it, whatever it holds; and little is computed for them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from agents.engines.vllm_scoring import FIRST_ROW, Scoring

pytestmark = pytest.mark.long
BLOCK = 4


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """vLLM, where it is used and not where tests are collected: loading it takes longer than these tests."""
    pytest.importorskip("vllm")


def logprob(before: Sequence[int], token: int) -> float:
    return -float(int(hashlib.md5(repr((tuple(before), token)).encode()).hexdigest()[:6], 16))


class Cached:
    """Answers as vLLM does: whole blocks of a prompt are read from the cache, its last token never.

    Rows of what was read hold no log-prob, or are `dropped`. With `trimmed`, rows before the one that was named are
    left out. A request that was `preempted` goes on behind what others have cached meanwhile, so that a gap is left.
    """

    def __init__(self, kind: str) -> None:
        self.kind, self.blocks, self.computed = kind, set[tuple[int, ...]](), list[int]()

    async def run(self, prompt: Sequence[int], params: Any) -> Any:
        cached = 0
        if not params.skip_reading_prefix_cache:
            while cached + BLOCK < len(prompt) and tuple(prompt[: cached + BLOCK]) in self.blocks:
                cached += BLOCK
        self.computed.append(len(prompt) - cached)
        self.blocks |= {tuple(prompt[:end]) for end in range(BLOCK, len(prompt) + 1, BLOCK)}
        await asyncio.sleep(0)
        gap = range(cached, cached)
        if self.kind == "preempted" and cached < len(prompt) - 1 and not params.skip_reading_prefix_cache:
            gap = range(cached + 1, (len(prompt) - 1) // BLOCK * BLOCK)
        rows: list[Any] = [None]
        for at in range(1, len(prompt)):  # row `at - 1` tells token `at`
            token = prompt[at] if at - 1 >= cached and at - 1 not in gap else -1
            rows.append({token: SimpleNamespace(logprob=logprob(prompt[:at], token))})
        if self.kind in ("trimmed", "preempted") and params.extra_args:
            rows = [None, *rows[params.extra_args[FIRST_ROW] + 1 :]]
        if self.kind == "dropped":
            rows = [None, *rows[cached + 1 :]]
        after = {token: SimpleNamespace(logprob=logprob(prompt, token)) for token in params.logprob_token_ids or ()}
        told = rows if params.prompt_logprobs is not None else None
        return SimpleNamespace(prompt_logprobs=told, outputs=[SimpleNamespace(logprobs=[after])])


TOKENS = some.integers(0, 2)
TEXT = some.lists(TOKENS, min_size=1, max_size=11)
ASKED = some.lists(some.tuples(TEXT, some.lists(TEXT, min_size=1, max_size=4)), min_size=1, max_size=5)


def exact(prompt: list[int], tokens: list[int]) -> tuple[float, ...]:
    return tuple(logprob([*prompt, *tokens[:at]], token) for at, token in enumerate(tokens))


@settings(max_examples=300, deadline=None)
@given(asked=ASKED, kind=some.sampled_from(["whole", "trimmed", "dropped", "preempted"]), together=some.booleans())
def test_scores_do_not_depend_on_what_is_cached(
    asked: list[tuple[list[int], list[list[int]]]], kind: str, together: bool
) -> None:
    async def course() -> None:
        engine = Cached(kind)
        scoring = Scoring(engine.run, BLOCK, named=kind != "whole")
        each = [scoring.continuations(prompt, options) for prompt, options in asked]
        found = await asyncio.gather(*each) if together else [await one for one in each]
        for (prompt, options), scores in zip(asked, found, strict=True):
            assert scores == [exact(prompt, option) for option in options]

    asyncio.run(course())


@pytest.mark.parametrize("length", range(4 * BLOCK, 5 * BLOCK))
def test_of_what_the_cache_hides_only_its_last_blocks_are_computed_again(length: int) -> None:
    async def course() -> None:
        engine = Cached("trimmed")
        prompt, option = [1] * length, [2] * (2 * BLOCK)
        first = await Scoring(engine.run, BLOCK).continuations(prompt, [option])
        engine.computed.clear()
        again = await Scoring(engine.run, BLOCK).continuations(prompt, [option])  # remembers nothing
        assert again == first == [exact(prompt, option)]
        assert sum(engine.computed) <= len(option) + 2 * BLOCK

    asyncio.run(course())


def test_equal_prompts_that_are_asked_at_once_are_read_once() -> None:
    async def course() -> None:
        engine = Cached("trimmed")
        scoring = Scoring(engine.run, BLOCK)
        found = await asyncio.gather(*(scoring.continuations([1, 2, 3], [[1], [2, 0]]) for _ in range(5)))
        assert found == [[exact([1, 2, 3], [1]), exact([1, 2, 3], [2, 0])]] * 5
        assert len(engine.computed) == 2

    asyncio.run(course())


def test_a_failure_is_told_to_nobody_else() -> None:
    async def course() -> None:
        engine, failed = Cached("trimmed"), list[int]()

        async def run(prompt: Sequence[int], params: Any) -> Any:
            if not failed:
                failed.append(1)
                raise RuntimeError("once")
            return await engine.run(prompt, params)

        scoring = Scoring(run, BLOCK)
        told = await asyncio.gather(*(scoring.continuations([1, 2], [[0]]) for _ in range(3)), return_exceptions=True)
        assert isinstance(told[0], RuntimeError) and told[1:] == [[exact([1, 2], [0])]] * 2

    asyncio.run(course())


def test_all_requests_of_a_score_have_ended_when_one_fails() -> None:
    async def course() -> None:
        engine, under_way = Cached("trimmed"), list[int]()

        async def run(prompt: Sequence[int], params: Any) -> Any:
            if prompt[-1] == 9:
                raise RuntimeError("refused")
            under_way.append(1)
            try:
                await asyncio.sleep(0.05)
                return await engine.run(prompt, params)
            finally:
                under_way.pop()

        for prompt in ([1, 2], [1, 2, 3, 4]):  # with and without the end of a block
            with pytest.raises(RuntimeError, match="refused"):
                await Scoring(run, BLOCK).continuations(prompt, [[0, 1], [0, 9], [2, 2]])
            assert not under_way

    asyncio.run(course())
