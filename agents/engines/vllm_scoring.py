"""Scores continuations on vLLM at the price of reading each once: what a belief probe needs.

vLLM gives log-probs of prompt tokens only where it computes them, so a score that reads its context from the prefix
cache lacks the rows that the cache reaches into. A prompt that ends with a block is one such case, a continuation that
begins like another or was scored before the other; what is missing then is asked for by prompts that end with a block.

Invariant: a score is the same, cached or not, within the engine's own rounding; what was remembered under one policy
is never told under another.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from vllm import SamplingParams

FIRST_ROW = "tutorloop_first_row"
"""Names the first prompt row whose log-prob is wanted; see `agents.engines.vllm_rows`."""
REMEMBERED = 4096
"""Prompts whose scores are remembered. Students with the same item and persona begin with the same prompt."""


class Scoring:
    """Scores for one engine.

    Args:
        run: sends token ids to the engine and returns its final output.
        block: tokens of one block of its prefix cache.
        named: whether a score names its first row, so that no others are computed.
    """

    def __init__(
        self, run: Callable[[Sequence[int], SamplingParams], Awaitable[Any]], block: int, named: bool = True
    ) -> None:
        self._run, self._block, self._named = run, block, named
        self._known: OrderedDict[bytes, list[tuple[float, ...]]] = OrderedDict()
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def forget(self) -> None:
        """Another policy is live: nothing that was scored holds any more."""
        self._known.clear()

    async def continuations(self, prompt: list[int], encoded: Sequence[list[int]]) -> list[tuple[float, ...]]:
        """Log-probs of the tokens of several continuations of one prompt, in nats."""
        key = hashlib.blake2b(repr((prompt, encoded)).encode(), digest_size=16).digest()
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:  # dialogues that begin alike ask the same at once: one does, the others are told
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = await self._continuations(prompt, encoded)
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
        return found

    async def _continuations(self, prompt: list[int], encoded: Sequence[list[int]]) -> list[tuple[float, ...]]:
        """Where the prompt ends with a block, the first tokens are asked for as what would be generated next."""
        if len(prompt) % self._block:
            async with _together() as group:
                scores = [group.create_task(self.continuation(prompt, tokens)) for tokens in encoded]
            return [score.result() for score in scores]
        async with _together() as group:
            first = group.create_task(self._rows(prompt, (), then=sorted({tokens[0] for tokens in encoded})))
            rest = [group.create_task(self._after_first(prompt, tokens)) for tokens in encoded]
        after = _after(first.result())
        return [(after[tokens[0]].logprob, *others.result()) for tokens, others in zip(encoded, rest, strict=True)]

    async def _after_first(self, prompt: list[int], tokens: list[int]) -> tuple[float, ...]:
        return await self.continuation([*prompt, tokens[0]], tokens[1:]) if len(tokens) > 1 else ()

    async def continuation(
        self, prompt: Sequence[int], tokens: Sequence[int], *, cached: bool = True
    ) -> tuple[float, ...]:
        """Log-probs of `tokens` after `prompt`; only their rows are computed, or at least read.

        Without `cached`, nothing is read from the prefix cache, and the whole prompt is computed.
        """
        if not tokens:
            return ()
        return await self._of_rows(prompt, tokens, await self._rows(prompt, tokens, cached=cached), cached)

    async def _rows(
        self, prompt: Sequence[int], tokens: Sequence[int], *, cached: bool = True, then: Sequence[int] = ()
    ) -> Any:
        """vLLM's answer to `prompt` with `tokens` behind it, and to each of `then` as the token after them."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            prompt_logprobs=0 if tokens else None,
            logprob_token_ids=list(then) or None,
            skip_reading_prefix_cache=not cached,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args={FIRST_ROW: len(prompt) - 1} if self._named and tokens else None,
        )
        return await self._run([*prompt, *tokens], params)

    async def _of_rows(
        self, prompt: Sequence[int], tokens: Sequence[int], answer: Any, cached: bool
    ) -> tuple[float, ...]:
        """The log-probs in vLLM's answer; where the cache reached into `tokens`, those it hid are asked for.

        They end with the first token after a block. A prompt that ends with that block is computed from the block's
        begin on, since vLLM never takes a prompt's last token from the cache, and what comes after it can be told.
        """
        if not tokens:
            return ()
        rows = answer.prompt_logprobs[1:][-len(tokens) :]
        rows = [None] * (len(tokens) - len(rows)) + rows  # vLLM's second model runner gives computed rows only
        # After a preemption rows that were computed may stand before hidden ones.
        hidden = max((at for at, token in enumerate(tokens, 1) if token not in (rows[at - 1] or ())), default=0)
        told = tuple(row[token].logprob for row, token in zip(rows[hidden:], tokens[hidden:], strict=True))
        if not hidden:
            return told
        *before, last = tokens[:hidden]
        answer = await self._rows(prompt, before, cached=cached, then=[last])
        return (*await self._of_rows(prompt, before, answer, cached), _after(answer)[last].logprob, *told)


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks that have all ended when the first error of one is raised: none is left in the engine."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _after(answer: Any) -> Any:
    """vLLM's log-probs of the token after a prompt, by token."""
    (row,) = answer.outputs[0].logprobs
    return row
