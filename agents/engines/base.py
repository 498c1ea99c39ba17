"""The engine seam: how an agent thinks.

An engine turns chat messages into text (`generate`) and says how likely given texts are as the next assistant message
(`score`, what a belief probe needs). Three ship with tutorloop: `VLLMEngine`, `OpenAIEngine` and `ScriptedEngine`; all
pass one contract test. An engine is used from one asyncio loop and holds no dialogue state: `dialogue_id` only serves
routing, logging and record/replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict, runtime_checkable

from agents.records import Usage


class Message(TypedDict):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. `schema` asks for JSON that matches a JSON schema; `n` for that many independent replies.

    There is no seed: a per-request seed kills vLLM's CPU engine.
    """

    max_tokens: int = 64
    temperature: float = 0.7
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    n: int = 1
    stop: tuple[str, ...] = ()
    opener: str = ""
    """Text the reply begins with; the engine goes on from there and the completion holds both."""
    schema: str | None = None
    """A JSON schema as JSON text."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One reply: what was said, and nothing else (`agents.engines.reply`).

    `logprobs` belong to the last of `token_ids` (an opener has none); both are empty where they are not told, and where
    something was taken off what the model wrote (thoughts, marks), because then they are not those of `text`.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = Usage()
    policy_version: str = "base"
    reasoning: str = ""
    """What the model thought before it spoke; `text` holds none of it."""
    fallbacks: tuple[str, ...] = ()
    """What of the sampling the server refused to be told, so that it was asked without: `temperature`, `n`, ..."""
    unsaid: tuple[str, ...] = ()
    """What other answers to the same request held that were no reply. Like their cost, with its first completion."""


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probabilities of a continuation's tokens, given the messages before it."""

    logprobs: tuple[float, ...]
    usage: Usage = Usage()

    @property
    def mean(self) -> float:
        """Mean log-probability per token, in nats."""
        return sum(self.logprobs) / len(self.logprobs)


@runtime_checkable
class Engine(Protocol):
    """What every engine does."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns `sampling.n` replies to the conversation; fewer, but one at least, where some came out without any.

        Raises:
            NoReply: no answer held a reply, also when it was asked again.
            EngineUnavailable: nothing answered after all retries.
            EngineRefused: the answer is final, such as a prompt longer than the context.
        """
        ...

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Returns one score per continuation, each read as the whole next assistant message.

        Raises:
            EngineRefused: the engine cannot score text (some endpoints).
        """
        ...

    async def close(self) -> None:
        """Releases what the engine holds. Calling it twice is fine."""
        ...


@runtime_checkable
class PolicyEngine(Engine, Protocol):
    """An engine that can be given a trained policy while it runs."""

    async def deliver(self, version: str, *, weights: str = "", adapter: str = "") -> float:
        """Makes a policy live, once nothing is under way any more, and returns the seconds it took.

        Args:
            version: the name completions will carry, such as `tutor/v0001`, or `base`.
            weights: folder of merged weights (CPU) or of the base.
            adapter: PEFT folder; empty for the base.

        Raises:
            DeliveryError: the policy is not live.
        """
        ...

    async def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probs of token sequences under what is live now, one fewer than tokens: the first has none."""
        ...
