"""An engine behind an OpenAI-compatible endpoint: a hosted model, or a vLLM server somewhere else.

Invariant: what comes back was asked for: `sampling.n` completions with text, or a typed error. Usage and price of every
answer that was used are counted; of attempts that failed they are unknown. Every reply is
stamped with the model that the endpoint says it is; which weights that are, nobody tells.

`score` needs a vLLM server: the conversation and each continuation are turned into token ids by its `/tokenize`,
joined, and sent to `/completions` with `prompt_logprobs`; the rows after the conversation are the continuation's.
Joining ids, as the embedded engine does, keeps hidden text that a chat template adds to a finished assistant message
(thinking tags) out of the score. The server reads the conversation anew for each continuation and counts it each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from agents.engines.address import is_loopback
from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.endpoint import Endpoint, RefusedStatus, check_url
from agents.engines.wire import (
    ChatAnswer,
    UsageAnswer,
    read_chat,
    read_prompt,
    read_tokens,
    response_format,
    token_details,
)
from agents.errors import EngineRefused, InputError
from agents.records import Usage
from agents.secrets import secret

_log = logging.getLogger(__name__)
_NO_SUCH_PATH = frozenset({404, 405, 501})
_CACHED_TEXTS = 4096


class OpenAIEngine:
    """Generates, and scores where the server can.

    Args:
        model: name the server knows the model by.
        base_url: of the API, usually ending in `/v1`.
        api_key: empty for a server that wants none.
        timeout_seconds: limit of one attempt.
        max_retries: attempts after the first, with growing pauses.
        max_concurrency: requests in flight at once.
        price_per_million: price of a million prompt and of a million completion tokens.
        token_details: ask for token ids and log-probabilities of replies (a vLLM server; others may refuse).
        backoff_seconds: first pause between attempts.

    Raises:
        InputError: the base URL is not one.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float = 60.0,
        max_retries: int = 4,
        max_concurrency: int = 32,
        price_per_million: tuple[float, float] = (0.0, 0.0),
        token_details: bool = False,
        backoff_seconds: float = 0.5,
    ) -> None:
        self._endpoint = Endpoint(
            model,
            base_url,
            api_key,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            max_concurrency=max_concurrency,
            backoff_seconds=backoff_seconds,
        )
        self._price = price_per_million
        self._token_details = token_details
        self._limit = "max_tokens"
        self._cannot_score = ""
        self._warned = False
        self._ids: dict[str, tuple[int, ...]] = {}

    @classmethod
    def from_env(
        cls,
        model: str,
        base_url: str,
        api_key_env: str,
        *,
        timeout_seconds: float = 60.0,
        max_retries: int = 4,
        max_concurrency: int = 32,
        price_per_million: tuple[float, float] = (0.0, 0.0),
        token_details: bool = False,
    ) -> OpenAIEngine:
        """Reads the key from the environment variable `api_key_env`, or from the file that `api_key_env`_FILE names.

        Raises:
            InputError: there is no key and the server is not on this machine, the key cannot be read or sent, or the
                base URL is not one.
        """
        key = secret(api_key_env) or ""
        if not key and not is_loopback(check_url(base_url)):
            raise InputError(
                f"the environment variable {api_key_env!r} holds no key for {base_url}: set it, or {api_key_env}_FILE "
                "(to any word if the server wants no key), or name another one in the pool's api_key_env"
            )
        return cls(
            model,
            base_url,
            key,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            max_concurrency=max_concurrency,
            price_per_million=price_per_million,
            token_details=token_details,
        )

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._endpoint.where})"

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns `sampling.n` completions; a server that ignores `n` is asked again for the missing ones.

        Raises:
            EngineUnavailable: no usable answer after all retries.
            EngineRefused: a final status, a filtered reply, or `max_tokens` spent before any text.
            InputError: `sampling.schema` is not JSON.
        """
        if sampling.opener:
            raise EngineRefused(
                f"an endpoint cannot go on from an opener ({sampling.opener!r}); set dialogue.exploration to 0"
            )
        completions: list[Completion] = []
        while len(completions) < sampling.n:
            answer = await self._chat(messages, sampling, sampling.n - len(completions))
            completions += self._completions(answer)
        return completions[: sampling.n]

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Returns one score per continuation, on a vLLM server.

        Raises:
            EngineUnavailable: no usable answer after all retries.
            EngineRefused: the server cannot score text, or a continuation has no tokens.
        """
        prompt = await self._tokenize({"messages": list(messages), "add_generation_prompt": True})
        tasks = [self._score(prompt, continuation) for continuation in continuations]
        scores = await asyncio.gather(*tasks, return_exceptions=True)
        for score in scores:
            if isinstance(score, BaseException):
                raise score
        return [score for score in scores if isinstance(score, Score)]

    async def close(self) -> None:
        """Closes the connections. Calling it twice is fine."""
        await self._endpoint.close()

    async def _chat(self, messages: Sequence[Message], sampling: Sampling, n: int) -> ChatAnswer:
        body = self._body(messages, sampling, n)
        try:
            return await self._endpoint.ask("/chat/completions", body, read_chat)
        except RefusedStatus as error:
            # Reasoning models of some hosts know the limit only by its newer name, and say so.
            if "max_tokens" not in body or "max_completion_tokens" not in str(error):
                raise
        self._limit = "max_completion_tokens"
        return await self._endpoint.ask("/chat/completions", self._body(messages, sampling, n), read_chat)

    def _body(self, messages: Sequence[Message], sampling: Sampling, n: int) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self._endpoint.model,
            "messages": list(messages),
            self._limit: sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if n > 1:
            body["n"] = n
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        if sampling.schema is not None:
            body["response_format"] = response_format(sampling.schema)
        if self._token_details:
            body["logprobs"] = True
            body["return_token_ids"] = True
        return body

    def _completions(self, answer: ChatAnswer) -> list[Completion]:
        usage = answer.usage or self._unknown_usage()
        share, rest = divmod(usage.completion_tokens, len(answer.choices))
        completions = []
        for index, choice in enumerate(answer.choices):
            # An endpoint counts per request, so the prompt is charged to the first reply and the rest evenly.
            prompt, written = (usage.prompt_tokens, share + rest) if index == 0 else (0, share)
            ids, logprobs = token_details(choice)
            completions.append(
                Completion(
                    text=(choice.message.content or "").strip(),
                    token_ids=ids,
                    logprobs=logprobs,
                    finish_reason=choice.finish_reason or "stop",
                    usage=self._cost(prompt, written),
                    policy_version=answer.model or self._endpoint.model,
                )
            )
        return completions

    async def _tokenize(self, body: Mapping[str, object]) -> tuple[int, ...]:
        if self._cannot_score:
            raise EngineRefused(self._cannot_score)
        parts = urlsplit(self._endpoint.base_url)
        url = f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/v1')}/tokenize"
        try:
            return await self._endpoint.ask(url, {"model": self._endpoint.model, **body}, read_tokens)
        except RefusedStatus as error:
            if error.status not in _NO_SUCH_PATH:
                raise
        raise self._no_scoring("it has no /tokenize")

    async def _continuation_ids(self, text: str) -> tuple[int, ...]:
        ids = self._ids.get(text)
        if ids is None:
            ids = await self._tokenize({"prompt": text, "add_special_tokens": False})
            if not ids:
                raise EngineRefused(f"cannot score the empty continuation {text!r}: give each option a text")
            if len(self._ids) >= _CACHED_TEXTS:
                self._ids.clear()
            self._ids[text] = ids
        return ids

    async def _score(self, prompt: tuple[int, ...], text: str) -> Score:
        ids = await self._continuation_ids(text)
        body = {
            "model": self._endpoint.model,
            "prompt": [*prompt, *ids],
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
        }
        answer = await self._endpoint.ask("/completions", body, read_prompt)
        rows = answer.choices[0].prompt_logprobs
        if rows is None:
            raise self._no_scoring("it ignores prompt_logprobs")
        logprobs = []
        for token, row in zip(ids, rows[len(prompt) :], strict=False):
            if row is not None and token in row:
                logprobs.append(row[token].logprob)
        if len(logprobs) != len(ids):
            raise EngineRefused(
                f"{self._endpoint.where} told {len(logprobs)} of the {len(ids)} log-probabilities of {text!r}: "
                "check that the server's vLLM is 0.32 or newer"
            )
        usage = answer.usage or self._unknown_usage()
        return Score(tuple(logprobs), self._cost(usage.prompt_tokens, usage.completion_tokens))

    def _no_scoring(self, why: str) -> EngineRefused:
        self._cannot_score = (
            f"{self._endpoint.where} cannot score text ({why}): belief probes need the student on a vLLM server "
            "or on the engine `vllm`"
        )
        return EngineRefused(self._cannot_score)

    def _unknown_usage(self) -> UsageAnswer:
        if not self._warned:
            self._warned = True
            _log.warning("%s reports no usage: its tokens and cost count as 0", self._endpoint.where)
        return UsageAnswer()

    def _cost(self, prompt: int, completion: int) -> Usage:
        cost = (prompt * self._price[0] + completion * self._price[1]) / 1e6
        return Usage(prompt, completion, cost)
