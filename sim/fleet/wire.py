"""What travels between a classroom and an engine's host.

Invariant: an answer has the number of its request and holds either what was found or the error; numbers are unique
within one line. Requests change nothing but caches, so one may be sent again elsewhere when its host dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.load import EngineLoad


@dataclass(frozen=True, slots=True)
class Request:
    """One call of an engine: to generate where `sampling` is given, else to score `continuations`."""

    number: int
    messages: Sequence[Message]
    dialogue_id: str
    sampling: Sampling | None = None
    continuations: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    number: int
    found: list[Completion] | list[Score] | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """Answers that were ready for one classroom, and how busy their engine is."""

    answers: list[Answer]
    load: EngineLoad
    in_hand: int
    """Requests that the host has and has not answered, of all classrooms."""


@dataclass(frozen=True, slots=True)
class HostAddress:
    """A replica that serves: its actor, and a key that no other start of it has."""

    key: str
    actor: Any


@dataclass(frozen=True, slots=True)
class Directory:
    """Who speaks for whom now."""

    serving: dict[str, str]
    """For every pool whose engine was started, the pool whose engines speak for it: itself, or the one it shares."""
    hosts: dict[str, list[HostAddress]]
    """By pool with own engines, the replicas that serve now; empty while all of them start anew."""
    lost: dict[str, str] = field(default_factory=dict)
    """Pools that no longer have a replica and get none, with the reason."""
    leaving: dict[str, list[HostAddress]] = field(default_factory=dict)
    """By pool, the replicas that finish what they have and get nothing new."""
    number: int = 0
    """Grows with every change; calls of an actor may overtake each other."""
