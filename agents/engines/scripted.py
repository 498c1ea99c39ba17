"""An engine without a model: replies from a list or a function, scores from word overlap, faults on demand.

Invariant: what it answers depends on the messages alone, never on time, order or `dialogue_id`, so a run on it can be
repeated and resumed exactly. Only the injected faults count requests. It is the fake at the engine seam: tests and
dry runs use it where a model would be in the way. A reply is said as scripted: `max_tokens` and `stop` do not cut it.
A delivered policy changes the version that replies carry and nothing else; its proof is read back from the adapter.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.load import EngineLoad
from agents.engines.reply import outcome, replies
from agents.errors import DeliveryError, EngineRefused, EngineUnavailable, InputError, NoReply
from agents.records import Usage

Replies = Sequence[str] | Callable[[Sequence[Message]], str]
Scorer = Callable[[Sequence[Message], str], float]

_WORD = re.compile(r"[^\W_]+")
_VOCABULARY = 32_000


class ScriptedEngine:
    """Deterministic replies, latency and faults; safe to use from any number of dialogues at once.

    Args:
        replies: said in turn: the reply at place (assistant messages so far + index of the candidate), starting
            again at the end; or a function of the messages.
        latency_seconds: how long each request takes.
        fail_every: every n-th request raises `EngineUnavailable`; 0: none does.
        slots: requests answered at once, others wait; 0: any number.
        scorer: mean log-probability per word, in nats (0 or less), of a continuation; `word_overlap` when None.

    Raises:
        InputError: no replies, or a negative latency, fault rate or number of slots.
    """

    def __init__(
        self,
        replies: Replies,
        *,
        latency_seconds: float = 0.0,
        fail_every: int = 0,
        slots: int = 0,
        scorer: Scorer | None = None,
    ) -> None:
        if not callable(replies) and (isinstance(replies, str) or not replies):
            raise InputError(f"a scripted engine needs a list of replies, got {replies!r}: add some to `script`")
        if latency_seconds < 0 or fail_every < 0 or slots < 0:
            raise InputError(
                f"latency_seconds={latency_seconds}, fail_every={fail_every} and slots={slots} must be 0 or more: "
                "correct the pool"
            )
        self._replies = replies if callable(replies) else tuple(replies)
        self._latency = latency_seconds
        self._fail_every = fail_every
        self._scorer = scorer or word_overlap
        self.policy_version = "base"
        self._proof: dict[str, Any] = {}
        self._slots = asyncio.Semaphore(slots) if slots else None
        self._open = self._running = 0
        self.requests = 0
        """How many requests came in, failed ones included."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns `sampling.n` scripted completions; usage counts words, the prompt's once per request.

        Raises:
            EngineUnavailable: this request is one of every `fail_every`.
            NoReply: nothing in the scripted reply is one; it is not asked again, as a script says the same.
        """
        await self._request()
        texts: list[str] = []
        for index in range(sampling.n):
            text = f"{sampling.opener} {self._reply(messages, index)}".strip()
            # A sampled tree needs replies that differ; JSON must stay JSON, so structured replies are left alone.
            repeated = bool(text) and text in texts and sampling.schema is None
            texts.append(f"{text} ({index + 1})" if repeated else text)
        prompt = count_words(messages)
        drawn = [
            outcome(
                Completion(
                    text=text,
                    token_ids=tuple(zlib.crc32(word.encode(errors="replace")) % _VOCABULARY for word in text.split()),
                    usage=Usage(prompt if index == 0 else 0, len(text.split())),
                    policy_version=self.policy_version,
                )
            )
            for index, text in enumerate(texts)
        ]

        async def draw(n: int) -> list[Completion | NoReply]:
            return drawn

        return await replies(draw, sampling, can_differ=False)

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Returns one score per continuation, with one log-probability per word.

        Raises:
            EngineUnavailable: this request is one of every `fail_every`.
            EngineRefused: an empty continuation, or a scorer that returns something that is no log-probability.
        """
        await self._request()
        read = [count_words(messages)] + [0] * (len(continuations) - 1)
        return [self._score(messages, text, shared) for text, shared in zip(continuations, read, strict=False)]

    async def deliver(self, version: str, *, weights: str = "", adapter: str = "") -> float:
        """Takes the version, and the log-probs that `proof.json` in the adapter's folder says it has.

        Raises:
            DeliveryError: the adapter has no readable proof.
        """
        started = time.monotonic()
        try:
            proof = json.loads((Path(adapter) / "proof.json").read_text(encoding="utf-8")) if adapter else {}
        except (OSError, ValueError) as error:
            raise DeliveryError(f"{version}: no readable proof.json in {adapter} ({error}); train it again") from error
        self._proof, self.policy_version = proof, version
        return time.monotonic() - started

    async def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Returns the delivered policy's log-probs of the sequences of its own proof.

        Raises:
            DeliveryError: no policy was delivered, or these are not its sequences.
        """
        if [list(sequence) for sequence in sequences] != self._proof.get("sequences"):
            raise DeliveryError(
                f"a scripted engine knows log-probs of the delivered proof only, not under {self.policy_version!r}"
            )
        found: list[list[float]] = self._proof["new"]
        return found

    def load(self) -> EngineLoad:
        """See `LoadedEngine`; tokens are not counted."""
        running = self._running
        return EngineLoad(running, self._open - running, requests=self.requests, policy_version=self.policy_version)

    async def close(self) -> None:
        """Does nothing: there is nothing to release."""

    async def _request(self) -> None:
        self.requests += 1
        number = self.requests
        self._open += 1
        try:
            async with self._slots or nullcontext():
                self._running += 1
                try:
                    if self._latency:
                        await asyncio.sleep(self._latency)
                finally:
                    self._running -= 1
        finally:
            self._open -= 1
        if self._fail_every and number % self._fail_every == 0:
            raise EngineUnavailable(
                f"scripted fault: request {number} failed because fail_every={self._fail_every}; set it to 0 for none"
            )

    def _reply(self, messages: Sequence[Message], index: int) -> str:
        if callable(self._replies):
            return self._replies(messages)
        spoken = sum(message["role"] == "assistant" for message in messages)
        return self._replies[(spoken + index) % len(self._replies)]

    def _score(self, messages: Sequence[Message], continuation: str, shared: int) -> Score:
        words = len(continuation.split())
        if not words:
            raise EngineRefused(f"cannot score the empty continuation {continuation!r}: give each option a text")
        value = self._scorer(messages, continuation)
        if not (math.isfinite(value) and value <= 0):
            raise EngineRefused(
                f"the scorer returned {value} for {continuation!r}: return a log-probability, 0 or less"
            )
        return Score((value,) * words, Usage(shared + words, 0))


def word_overlap(messages: Sequence[Message], continuation: str) -> float:
    """Returns a made-up mean log-probability: the more often its words were said before, the likelier a text is.

    Between -4 nats per word (no word was said) and 0; a word said c times closes c / (1 + c) of that distance.
    """
    said = Counter(word for message in messages for word in _WORD.findall(message["content"].lower()))
    words = _WORD.findall(continuation.lower())
    if not words:
        return -4.0
    return -4.0 * (1.0 - sum(said[word] / (1 + said[word]) for word in words) / len(words))


def count_words(messages: Sequence[Message]) -> int:
    """Returns the number of words in the messages: what engines without a tokenizer report as usage."""
    return sum(len(message["content"].split()) for message in messages)
