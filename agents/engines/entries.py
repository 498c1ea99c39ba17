"""What stands on a tape: requests known by their content, and how they ended.

Invariant: two requests have the same key if and only if role, kind, messages and sampling (or continuations) are equal;
an entry read back is equal to the one that was written, floats to the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from agents import errors
from agents.engines.base import Completion, Message, Sampling, Score
from agents.records import Usage

_WORDS = 60


@dataclass(frozen=True, slots=True)
class Request:
    """A request by its content."""

    role: str
    key: str
    """Digest of the messages, a dot, digest of the rest: kind, role, sampling or continuations."""
    words: str
    """How the last message begins; for messages to people."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An error in place of an answer."""

    error: str
    """Name of its class."""
    base: str
    """The class of `agents.errors` that it is of; empty: of none."""
    message: str
    usage: Usage | None = None
    """What was spent before it."""
    raw: str | None = None
    """What was answered without a reply."""

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """What is kept of an error."""
        bases = [one.__name__ for one in type(error).__mro__ if one.__module__ == errors.__name__]
        spent = error.usage if isinstance(error, errors.EngineError) and error.usage != Usage() else None
        raw = error.raw or None if isinstance(error, errors.NoReply) else None
        return cls(type(error).__name__, bases[0] if bases else "", str(error), spent, raw)

    def again(self) -> Exception:
        """An error of that class and message; a class of elsewhere is made anew under its name."""
        plain = TimeoutError if self.error == TimeoutError.__name__ else Exception
        base: type[Exception] = getattr(errors, self.base) if self.base else plain
        error = base(self.message) if base.__name__ == self.error else type(self.error, (base,), {})(self.message)
        if self.usage is not None and isinstance(error, errors.EngineError):
            error.usage = self.usage
        if self.raw is not None and isinstance(error, errors.NoReply):
            error.raw = self.raw
        return error


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a dialogue and how it ended."""

    dialogue: str
    role: str
    key: str
    branch: str
    """Which of the dialogue's concurrent tasks asked (see `branches.py`)."""
    occurrence: int
    """How many times that branch had asked this before."""
    asked: int
    """Place among all that happened in the dialogue, from 0."""
    answered: int | None
    """None: the dialogue was over before there was an answer."""
    words: str
    completions: tuple[Completion, ...] | None = None
    scores: tuple[Score, ...] | None = None
    failed: Failed | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """What an entry is known by within its dialogue."""
        return self.key, self.branch, self.occurrence


_ENTRY = TypeAdapter(Entry)


def to_line(entry: Entry) -> dict[str, Any]:
    """Returns a JSON-able dict of an entry; what it does not have is left out."""
    return {name: value for name, value in asdict(entry).items() if value is not None or name == "answered"}


def from_line(line: object) -> Entry:
    """Reads what `to_line` made. Raises ValueError on anything else."""
    return _ENTRY.validate_python(line)  # pydantic's own error is a ValueError


def generation(role: str, messages: Sequence[Message], sampling: Sampling) -> Request:
    """The content of a request for replies."""
    given = {
        name: float(value) if isinstance(value, int | float) else value for name, value in asdict(sampling).items()
    }
    return _request("generate", role, messages, given)


def scoring(role: str, messages: Sequence[Message], continuations: Sequence[str]) -> Request:
    """The content of a request for scores."""
    return _request("score", role, messages, list(continuations))


def _request(kind: str, role: str, messages: Sequence[Message], rest: object) -> Request:
    said = _digest([[message["role"], message["content"]] for message in messages])
    last = messages[-1]["content"] if messages else ""
    return Request(role, f"{said}.{_digest([kind, role, rest])}", " ".join(last.split())[:_WORDS])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
