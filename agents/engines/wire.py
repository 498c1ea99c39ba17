"""What an OpenAI-compatible server answers, as far as tutorloop reads it.

Invariant: an answer is read through one of these models or not at all, so a malformed one fails here, as a
`ValueError`, and nowhere later. Fields that are not read are ignored. `token_ids`, `prompt_logprobs` and `/tokenize`
are vLLM's own.
"""

from __future__ import annotations

import json

from pydantic import BaseModel, Field

from agents.errors import EngineRefused, InputError


class UsageAnswer(BaseModel):
    """Tokens of one request."""

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class TokenAnswer(BaseModel):
    """One token's log-probability."""

    logprob: float = Field(allow_inf_nan=False)


class LogprobsAnswer(BaseModel):
    """Log-probabilities of a choice, one per token."""

    content: list[TokenAnswer] | None = None


class MessageAnswer(BaseModel):
    """The assistant's message."""

    content: str | None = None
    refusal: str | None = None


class ChoiceAnswer(BaseModel):
    """One of the replies."""

    message: MessageAnswer
    finish_reason: str | None = None
    logprobs: LogprobsAnswer | None = None
    token_ids: list[int] | None = None


class ChatAnswer(BaseModel):
    """Answer of `/chat/completions`."""

    model: str = ""
    """Who says it answered."""
    choices: list[ChoiceAnswer] = Field(min_length=1)
    usage: UsageAnswer | None = None


class PromptChoiceAnswer(BaseModel):
    """A completion of which only the prompt's log-probabilities are read, one row per token: token id -> value."""

    prompt_logprobs: list[dict[int, TokenAnswer] | None] | None = None


class PromptAnswer(BaseModel):
    """Answer of `/completions` to a scoring request."""

    choices: list[PromptChoiceAnswer] = Field(min_length=1)
    usage: UsageAnswer | None = None


class TokensAnswer(BaseModel):
    """Answer of `/tokenize`."""

    tokens: list[int]


def read_chat(text: str) -> ChatAnswer:
    """Reads an answer in which every choice has text.

    Raises:
        EngineRefused: a choice was filtered, refused, or cut before any text.
        ValueError: anything else that is not such an answer.
    """
    answer = ChatAnswer.model_validate_json(text)
    for choice in answer.choices:
        if choice.message.content is not None:
            continue
        if choice.finish_reason == "content_filter" or choice.message.refusal:
            said = choice.message.refusal or "content filter"
            raise EngineRefused(f"the model refused to reply ({said[:200]}): change the prompt or the model")
        if choice.finish_reason == "length":
            raise EngineRefused(
                "max_tokens were spent before any text, as models that think first do: raise max_tokens"
            )
        raise ValueError(f"a choice without content, finish_reason {choice.finish_reason!r}")
    return answer


def read_prompt(text: str) -> PromptAnswer:
    """Reads the answer to a scoring request, or raises `ValueError`."""
    return PromptAnswer.model_validate_json(text)


def read_tokens(text: str) -> tuple[int, ...]:
    """Reads token ids, or raises `ValueError`."""
    return tuple(TokensAnswer.model_validate_json(text).tokens)


def token_details(choice: ChoiceAnswer) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Returns token ids and log-probabilities; the latter only when each belongs to a known id."""
    ids = tuple(choice.token_ids or ())
    content = choice.logprobs.content if choice.logprobs else None
    logprobs = tuple(token.logprob for token in content or ())
    return (ids, logprobs) if len(ids) == len(logprobs) else (ids, ())


def response_format(schema: str) -> dict[str, object]:
    """Returns the request field that holds a reply to a JSON schema. Raises `InputError` when it is not JSON."""
    try:
        parsed = json.loads(schema)
    except ValueError as error:
        raise InputError(f"the JSON schema is not JSON ({error}): {schema[:80]!r}; correct it") from None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": parsed, "strict": True}}
