"""An engine behind an OpenAI-compatible endpoint: a hosted model, or a vLLM server somewhere else.

Invariant: what comes back was asked for: completions that hold a reply (`agents.engines.reply`), or a typed error. What
a server refuses to be told (a temperature, `n`, a JSON schema) is left out from then on, said once, and named by every
completion that was made without it. Usage and price of every answer that could be read are counted; of attempts that
failed they are unknown. Every reply is stamped with the model that the endpoint says it is; which weights that are,
nobody tells.

`score` needs a vLLM server: the conversation and each continuation are turned into token ids by its `/tokenize`,
joined, and sent to `/completions` with `prompt_logprobs`; the rows after the conversation are the continuation's.
Joining ids, as the embedded engine does, keeps hidden text that a chat template adds to a finished assistant message
(thinking tags) out of the score. The server reads the conversation anew for each continuation and counts it each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from agents.engines.address import check_url, is_loopback
from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.endpoint import Clock, Endpoint, RefusedStatus
from agents.engines.forms import Form, Forms
from agents.engines.refusals import OFTEN_UNKNOWN, names_nothing, refused_fields, refuses_roles
from agents.engines.reply import outcome, replies, well_formed
from agents.engines.wire import ChatAnswer, UsageAnswer, read_chat, read_prompt, read_tokens, response_format
from agents.errors import EngineRefused, InputError, NoReply
from agents.records import Usage
from agents.secrets import secret

_log = logging.getLogger(__name__)
_NO_SUCH_PATH = frozenset({404, 405, 501})
_CACHED_TEXTS = 4096
RATE_LIMIT_SECONDS = 600.0
"""How long a rate limit is waited out where a pool does not say."""
FALLBACKS = {"response_format": "json_schema"}
"""What a completion calls a field that was left out; others go by their own names."""


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
        price_per_million_cached: of prompt tokens that the server says it had read before; None: as the others.
        token_details: ask for token ids and log-probabilities of replies (a vLLM server; others may refuse).
        rate_limit_seconds: longest time that one request waits for a rate limit to end.
        backoff_seconds: first pause between attempts.
        clock: time, for tests.

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
        price_per_million_cached: float | None = None,
        token_details: bool = False,
        rate_limit_seconds: float = RATE_LIMIT_SECONDS,
        backoff_seconds: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        self._endpoint = Endpoint(
            model,
            base_url,
            api_key,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            max_concurrency=max_concurrency,
            rate_limit_seconds=rate_limit_seconds,
            backoff_seconds=backoff_seconds,
            clock=clock,
        )
        self._price, self._cached_price = price_per_million, price_per_million_cached
        self._left_out: set[str] = set()
        self._forms = Forms(refuses_roles, self._say_form)
        self._token_details = token_details
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
        price_per_million_cached: float | None = None,
        token_details: bool = False,
        rate_limit_seconds: float = RATE_LIMIT_SECONDS,
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
            price_per_million_cached=price_per_million_cached,
            token_details=token_details,
            rate_limit_seconds=rate_limit_seconds,
        )

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._endpoint.where})"

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns `sampling.n` replies, fewer where some answers hold none also when asked again.

        A server that ignores `n` is asked again for the missing ones, one that refuses it by single requests.

        Raises:
            EngineUnavailable: no usable answer after all retries.
            RateLimited: the server took no more requests for longer than `rate_limit_seconds`.
            EngineRefused: the server's answer is final.
            NoReply: no answer held a reply.
            InputError: `sampling.schema` is not JSON.
        """
        if sampling.opener:
            raise EngineRefused(
                f"an endpoint cannot go on from an opener ({sampling.opener!r}); set dialogue.exploration to 0"
            )
        sent = [_sendable(message) for message in messages]
        # Where the temperature is not sent, the server's own holds, which is not 0 by any server's default.
        can_differ = sampling.temperature > 0 or "temperature" in self._left_out
        return await replies(partial(self._draw, sent, sampling), sampling, can_differ=can_differ)

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Returns one score per continuation, on a vLLM server.

        Raises:
            EngineUnavailable: no usable answer after all retries.
            EngineRefused: the server cannot score text, or a continuation has no tokens.
        """
        prompt = await self._forms.send([_sendable(message) for message in messages], self._prompt)
        tasks = [self._score(prompt, continuation) for continuation in continuations]
        scores = await asyncio.gather(*tasks, return_exceptions=True)
        for score in scores:
            if isinstance(score, BaseException):
                raise score
        return [score for score in scores if isinstance(score, Score)]

    async def close(self) -> None:
        """Closes the connections. Calling it twice is fine."""
        await self._endpoint.close()

    async def _draw(self, messages: Sequence[Message], sampling: Sampling, n: int) -> list[Completion | NoReply]:
        if n > 1 and "n" in self._left_out:
            asked = await asyncio.gather(*(self._draw(messages, sampling, 1) for _ in range(n)), return_exceptions=True)
            found = [one for drawn in asked if isinstance(drawn, list) for one in drawn]
            if found:
                return found
            raise next(error for error in asked if isinstance(error, BaseException))
        answer = await self._forms.send(messages, partial(self._chat, sampling=sampling, n=n))
        if not answer.choices:
            silent = NoReply(f"{self._endpoint.where} answered without a choice")
            usage = answer.usage or self._unknown_usage()
            silent.usage = self._cost(usage.prompt_tokens, usage.completion_tokens) + Usage(no_replies=1)
            return [silent]
        return self._outcomes(answer, sampling, n)

    async def _chat(self, messages: Sequence[Message], sampling: Sampling, n: int) -> ChatAnswer:
        without: set[str] = set()
        guesses, guessed, unnamed = [*OFTEN_UNKNOWN], frozenset[str](), None
        while True:
            body = self._body(messages, sampling, 1 if "n" in without | guessed else n, without | guessed)
            try:
                answer = await self._endpoint.ask("/chat/completions", body, read_chat)
            except RefusedStatus as error:
                named = refused_fields(body, error)
                without |= named
                if named:
                    continue
                unnamed = unnamed or error
                sent = body.keys() | guessed
                guesses = [one for one in guesses if one <= sent]
                if not guesses or not names_nothing(error):
                    raise unnamed from None
                guessed = guesses.pop(0)
            else:
                self._leave_out(without | guessed)
                return answer

    async def _prompt(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return await self._tokenize({"messages": list(messages), "add_generation_prompt": True})

    def _say_form(self, form: Form) -> None:
        _log.warning("%s refuses the roles of a dialogue: it is sent messages with %s", self._endpoint.where, form)

    def _leave_out(self, fields: set[str]) -> None:
        """Sends these no more, and says so once."""
        for field in sorted(fields - self._left_out):
            self._left_out.add(field)
            if field != "max_tokens":
                _log.warning("%s refuses %s: it is not sent any more", self._endpoint.where, field)

    def _body(self, messages: Sequence[Message], sampling: Sampling, n: int, without: set[str]) -> dict[str, object]:
        """The request. What is at its default by OpenAI's reference is not sent: some models refuse to hear of it."""
        left_out = self._left_out | without
        limit = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
        body = {"model": self._endpoint.model, "messages": list(messages), limit: sampling.max_tokens}
        return body | {name: value for name, value in self._options(sampling, n).items() if name not in left_out}

    def _options(self, sampling: Sampling, n: int) -> dict[str, object]:
        """What the sampling asks for beyond the server's defaults."""
        wanted: dict[str, object] = {}
        if sampling.temperature != 1.0:
            wanted["temperature"] = sampling.temperature
        if sampling.top_p != 1.0:
            wanted["top_p"] = sampling.top_p
        if n > 1:
            wanted["n"] = n
        if sampling.stop:
            wanted["stop"] = list(sampling.stop)
        if sampling.repetition_penalty != 1.0:
            wanted["repetition_penalty"] = sampling.repetition_penalty
        if sampling.schema is not None:
            wanted["response_format"] = response_format(sampling.schema)
        if self._token_details:
            wanted |= {"logprobs": True, "return_token_ids": True}
        return wanted

    def _outcomes(self, answer: ChatAnswer, sampling: Sampling, n: int) -> list[Completion | NoReply]:
        usage = answer.usage or self._unknown_usage()
        share, rest = divmod(usage.completion_tokens, len(answer.choices))
        wanted = self._options(sampling, sampling.n)
        fallbacks = tuple(sorted(FALLBACKS.get(name, name) for name in self._left_out & wanted.keys()))
        found = []
        for index, choice in enumerate(answer.choices):
            # An endpoint counts per request, so the prompt is charged to the first reply and the rest evenly.
            first = index == 0
            spent = self._cost(
                usage.prompt_tokens if first else 0, share + (rest if first else 0), usage.cached_tokens if first else 0
            )
            text = _until(choice.text, sampling.stop) if "stop" in self._left_out else choice.text
            written = Completion(
                text=text,
                token_ids=choice.token_ids if text == choice.text else (),
                logprobs=choice.logprobs if text == choice.text else (),
                finish_reason=choice.finish_reason,
                usage=spent,
                policy_version=answer.model or self._endpoint.model,
                fallbacks=fallbacks,
            )
            found.append(outcome(written, reasoning=choice.reasoning, refusal=choice.refusal))
        return found

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
        usage = answer.usage
        if usage is None or usage.prompt_tokens is None:
            self._unknown_usage()
            return Score(tuple(logprobs))
        return Score(tuple(logprobs), self._cost(usage.prompt_tokens, usage.completion_tokens or 0))

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

    def _cost(self, prompt: int, completion: int, cached: int = 0) -> Usage:
        read, written = self._price
        again = read if self._cached_price is None else self._cached_price
        cost = ((prompt - cached) * read + cached * again + completion * written) / 1e6
        return Usage(prompt, completion, cost, cached_prompt_tokens=cached)


def _sendable(message: Message) -> Message:
    """The message without halves of characters, which no JSON in UTF-8 can hold."""
    text = message["content"]
    if not any("\ud800" <= one <= "\udfff" for one in text):
        return message
    return {"role": message["role"], "content": well_formed(text)}


def _until(text: str, stops: Sequence[str]) -> str:
    """The text before the first of its stops, as a server that knows stops gives it."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]
