"""What an OpenAI-compatible server answers, as far as tutorloop reads it.

Invariant: an answer is read here or not at all, so what is wrong with one is found here and nowhere later: a text that
is no JSON is a `ValueError` (a torn answer, worth asking again), JSON of another shape is `OtherShape` (it would come
back the same), and an error in the place of an answer is `ErrorBody`. Fields that decide nothing may be missing, null
or of another type; fields that are not read are ignored. `token_ids`, `prompt_logprobs` and `/tokenize` are vLLM's own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from agents.engines.parts import read_message
from agents.errors import InputError

_A = TypeVar("_A", bound=BaseModel)
_ESCAPES = re.compile(
    r"\\u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


class OtherShape(Exception):
    """An answer in JSON that is not the one that was asked for: what was found."""


class ErrorBody(Exception):
    """A server's error with the status of a success; `status` is what it says itself, 0 where it does not."""

    def __init__(self, message: str, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """Tokens of one request; None: not told."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's."""


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """One of the answers."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str = "stop"
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """Answer of `/chat/completions`."""

    model: str
    """Who says it answered; empty: nobody."""
    choices: tuple[ChoiceAnswer, ...]
    """Empty where the server answered without any."""
    usage: UsageAnswer | None


class TokenAnswer(BaseModel):
    """One token's log-probability."""

    logprob: float = Field(allow_inf_nan=False)


class ScoringUsage(BaseModel):
    """Tokens of a scoring request."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class PromptChoiceAnswer(BaseModel):
    """A completion of which only the prompt's log-probabilities are read, one row per token: token id -> value."""

    prompt_logprobs: list[dict[int, TokenAnswer] | None] | None = None


class PromptAnswer(BaseModel):
    """Answer of `/completions` to a scoring request."""

    choices: list[PromptChoiceAnswer] = Field(min_length=1)
    usage: ScoringUsage | None = None


class TokensAnswer(BaseModel):
    """Answer of `/tokenize`."""

    tokens: list[int]


def read_chat(text: str) -> ChatAnswer:
    """Reads the answer to a chat request.

    Raises:
        OtherShape: it is JSON and no such answer.
        ErrorBody: it is an error.
        ValueError: it is no JSON.
    """
    body = _object(text, "choices")
    choices = body["choices"]
    if choices is not None and not isinstance(choices, list):
        raise OtherShape(f"`choices` is {_kind(choices)}, not a list")
    read = tuple(_choice(choice, place) for place, choice in enumerate(choices or ()) if choice is not None)
    return ChatAnswer(_text(body.get("model")), read, _usage(body.get("usage")))


def read_prompt(text: str) -> PromptAnswer:
    """Reads the answer to a scoring request. Raises as `read_chat` does."""
    return _validated(PromptAnswer, text, "choices")


def read_tokens(text: str) -> tuple[int, ...]:
    """Reads token ids. Raises as `read_chat` does."""
    return tuple(_validated(TokensAnswer, text, "tokens").tokens)


def response_format(schema: str) -> dict[str, object]:
    """Returns the request field that holds a reply to a JSON schema. Raises `InputError` when it is not JSON."""
    try:
        parsed = json.loads(schema)
    except ValueError as error:
        raise InputError(f"the JSON schema is not JSON ({error}): {schema[:80]!r}; correct it") from None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": parsed, "strict": True}}


def _object(text: str, key: str) -> dict[str, object]:
    """The JSON object of a text, which has the key."""
    text = text.lstrip("\ufeff \t\r\n")
    if "\\ud" in text or "\\uD" in text:
        # Half a character, as cut-off emoji are: not to be had in a str that is to be sent on.
        text = _ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)
    try:
        body = json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if isinstance(body, list) and len(body) == 1 and isinstance(body[0], dict):
        body = body[0]  # some hosts send their errors so
    if not isinstance(body, dict):
        raise OtherShape(f"it is {_kind(body)}, not an object")
    if key not in body or (not body[key] and body.get("error")):
        _raise_error(body)
        raise OtherShape(f"it has no `{key}`, but {', '.join(sorted(map(str, body)))[:120] or 'nothing'}")
    return body


def _validated(kind: type[_A], text: str, key: str) -> _A:
    _object(text, key)
    try:
        return kind.model_validate_json(text.lstrip("\ufeff \t\r\n"))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found[:3])
        raise OtherShape(said) from None


def _raise_error(body: Mapping[str, object]) -> None:
    """Raises what a body says went wrong; some hosts send that with the status of a success."""
    error = body.get("error") or body.get("detail") or body.get("errors")
    if error is True or (not error and isinstance(body.get("message"), str)):
        error = body
    if isinstance(error, list) and error and isinstance(error[0], dict):
        error = error[0]
    if not error:
        return
    if not isinstance(error, dict):
        raise ErrorBody(_text(error) or json.dumps(error)[:400])
    said = _text(error.get("message")) or json.dumps(error)[:400]
    code, status = error.get("code"), error.get("status")
    numbers = [one for one in map(_count, (code, status, body.get("status"))) if one is not None and 100 <= one < 600]
    words = [one for one in (code, error.get("type"), status) if isinstance(one, str)]
    raise ErrorBody(said, " ".join(words), numbers[0] if numbers else 0)


def _choice(choice: object, place: int) -> ChoiceAnswer:
    if not isinstance(choice, dict):
        raise OtherShape(f"`choices.{place}` is {_kind(choice)}, not an object")
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {**choice, "content": choice["text"]}
    if not isinstance(message, dict):
        raise OtherShape(f"`choices.{place}.message` is {_kind(message)}, not an object")
    content = message.get("content")
    if content is not None and not isinstance(content, str | list | dict):
        raise OtherShape(f"`choices.{place}.message.content` is {_kind(content)}, not text or a list of parts")
    told = read_message(message)
    ids, logprobs = _token_details(choice)
    return ChoiceAnswer(
        told.said,
        "\n\n".join(dict.fromkeys(told.thoughts)),  # some servers tell them twice
        next(iter(told.refusals), ""),
        _finish(choice.get("finish_reason")),
        ids,
        logprobs,
    )


def _usage(usage: object) -> UsageAnswer | None:
    if not isinstance(usage, dict):
        return None
    prompt, written, total = (_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if prompt is None and written is None:
        return None
    if total is not None and (prompt is None or written is None):
        prompt, written = (total - (written or 0) if prompt is None else prompt), written
        written = total - prompt if written is None else written
    details = usage.get("prompt_tokens_details")
    told = details.get("cached_tokens") if isinstance(details, dict) else None
    known = (told, usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens"))
    cached = next((count for count in map(_count, known) if count is not None), 0)
    prompt, written = max(0, prompt or 0), max(0, written or 0)
    return UsageAnswer(prompt, written, min(cached, prompt))


def _count(value: object) -> int | None:
    """A number of tokens; None for what is none."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return int(value) if value == int(value) else None


def _finish(reason: object) -> str:
    if isinstance(reason, str):
        return reason.strip() or "stop"
    return str(reason) if isinstance(reason, int) and not isinstance(reason, bool) else "stop"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _token_details(choice: Mapping[str, object]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Token ids and log-probabilities; the latter only when each belongs to a known id."""
    ids, told = choice.get("token_ids"), choice.get("logprobs")
    rows = told.get("content") if isinstance(told, dict) else None
    known = [_count(one) for one in ids] if isinstance(ids, list) else []
    if None in known:
        known = []
    values = [row.get("logprob") if isinstance(row, dict) else None for row in rows] if isinstance(rows, list) else []
    found = [float(one) for one in values if isinstance(one, int | float) and math.isfinite(one)]
    numbers = tuple(one for one in known if one is not None)
    return numbers, tuple(found) if len(found) == len(values) == len(numbers) else ()


def _kind(value: object) -> str:
    names = {type(None): "null", dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "a number")
