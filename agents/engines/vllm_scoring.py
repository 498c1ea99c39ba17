"""Scores continuations on vLLM at the price of reading each once: what a belief probe needs.

vLLM gives log-probs of prompt tokens only where it computes them, so a score that reads its context from the prefix
cache lacks the rows that the cache reaches into. A prompt that ends with a block is one such case and is asked for in
another way; the other, a continuation that was scored before, is answered from memory.

Invariant: a score is the same, cached or not, within the engine's own rounding; what was remembered under one policy
is never told under another.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm import SamplingParams

REMEMBERED = 4096
"""Prompts whose scores are remembered. Students with the same item and persona begin with the same prompt."""


class Scoring:
    """Scores for one engine.

    Args:
        run: sends token ids to the engine and returns its final output.
        block: tokens of one block of its prefix cache.
    """

    def __init__(self, run: Callable[[Sequence[int], SamplingParams], Awaitable[Any]], block: int) -> None:
        self._run, self._block = run, block
        self._known: OrderedDict[bytes, list[tuple[float, ...]]] = OrderedDict()

    def forget(self) -> None:
        """Another policy is live: nothing that was scored holds any more."""
        self._known.clear()

    async def continuations(self, prompt: list[int], encoded: Sequence[list[int]]) -> list[tuple[float, ...]]:
        """Log-probs of the tokens of several continuations of one prompt, in nats."""
        key = hashlib.blake2b(repr((prompt, encoded)).encode(), digest_size=16).digest()
        found = self._known.get(key)
        if found is None:
            found = await self._continuations(prompt, encoded)
            self._known[key] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found

    async def _continuations(self, prompt: list[int], encoded: Sequence[list[int]]) -> list[tuple[float, ...]]:
        """Where the prompt ends with a block, the first tokens are asked for as what would be generated next."""
        if len(prompt) % self._block:
            return list(await asyncio.gather(*(self.continuation(prompt, tokens) for tokens in encoded)))
        first, rest = await asyncio.gather(
            self._next_token(prompt, sorted({tokens[0] for tokens in encoded})),
            asyncio.gather(*(self._after_first(prompt, tokens) for tokens in encoded)),
        )
        return [(first[tokens[0]], *others) for tokens, others in zip(encoded, rest, strict=True)]

    async def _after_first(self, prompt: list[int], tokens: list[int]) -> tuple[float, ...]:
        return await self.continuation([*prompt, tokens[0]], tokens[1:]) if len(tokens) > 1 else ()

    async def continuation(
        self, prompt: Sequence[int], tokens: Sequence[int], *, cached: bool = True
    ) -> tuple[float, ...]:
        """Log-probs of `tokens` after `prompt`.

        With `cached`, rows of the cached part hold uninitialised memory: only the continuation's rows are read, and a
        row that does not hold its own token (the cache reached into the continuation) sends the request again uncached.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            prompt_logprobs=0,
            skip_reading_prefix_cache=not cached,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        output = await self._run([*prompt, *tokens], params)
        rows = output.prompt_logprobs[len(prompt) :]
        if cached and any(row is None or token not in row for row, token in zip(rows, tokens, strict=True)):
            return await self.continuation(prompt, tokens, cached=False)
        return tuple(row[token].logprob for row, token in zip(rows, tokens, strict=True))

    async def _next_token(self, prompt: Sequence[int], tokens: list[int]) -> dict[int, float]:
        """Log-probs of single tokens after a prompt."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=tokens,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        output = await self._run(prompt, params)
        (row,) = output.outputs[0].logprobs
        return {token: row[token].logprob for token in tokens}
