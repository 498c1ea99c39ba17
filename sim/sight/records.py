"""What the parts of a run count, and tell the driver about once a second.

Invariant: a count only grows while its engine or classroom lives and begins at 0 in the next one, whose `restarts` is
one higher; a level (in flight, waiting, KV use) is of this moment. What cannot be told is None, never 0. Every record
goes through `to_json` and `from_json` unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args

from pydantic import TypeAdapter

from agents.engines.load import EngineLoad

ReplicaState = Literal["starting", "serving", "restarting", "out", "leaving", "left"]
"""`out`: taken out after too many deaths. `leaving`, `left`: the pool needs fewer."""
REPLICA_STATES: tuple[str, ...] = get_args(ReplicaState)
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Replica:
    """One engine of a pool, as its supervisor sees it."""

    pool: str
    index: int
    state: ReplicaState = "serving"
    restarts: int = 0
    node: str = ""
    """Short id of the node it runs on."""
    load: EngineLoad = EngineLoad()


@dataclass(frozen=True, slots=True)
class TutorCount:
    """Dialogues of one tutor in one classroom; `in_flight` is a level."""

    in_flight: int = 0
    begun: int = 0
    done: int = 0
    """Finished, the failed ones included."""
    failed: int = 0


@dataclass(frozen=True, slots=True)
class RoomCount:
    """One classroom; it takes the same place in every reading, and whatever replaces it takes its place."""

    turns: int = 0
    requests: int = 0
    """Answered."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    scored: int = 0
    """Continuations."""
    cost: float = 0.0
    in_flight: int = 0
    """Level: dialogues under way."""
    limit: int = 0
    """Level: dialogues it admits now."""
    waiting: int = 0
    """Level: episodes that have not begun."""
    by_tutor: dict[str, TutorCount] = field(default_factory=dict)
    dialogue_seconds: float = 0.0
    """From the beginning to the end of a dialogue, summed over finished ones (`Dialogue.seconds`)."""
    dialogue_request_seconds: float | None = None
    """Of the same dialogues: the times of their requests (`Dialogue.usage.seconds`); overlapping ones each count."""
    asking_seconds: float | None = None
    """Of the same dialogues: the time in which at least one of their requests was open."""
    engine_seconds: float = 0.0
    """Times of all answered requests, as dialogues saw them, those of unfinished dialogues included."""
    rerouted: int = 0
    """Requests that were sent again after an engine died."""
    moved: int = 0
    """Dialogues that went to a less busy engine while theirs was alive; each reads its prefix anew there."""
    restarts: int = 0
    """How often this classroom was replaced."""


@dataclass(frozen=True, slots=True)
class StoreCount:
    """What the driver stored in this phase."""

    parts: int = 0
    dialogues: int = 0
    seconds: float = 0.0
    """Spent storing, beside the dialogues."""
    held: int = 0
    """Level: dialogues in memory that no part holds yet."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was told at one moment of a phase."""

    seconds: float
    """Since the phase began."""
    done: int
    """Dialogues that are finished, those stored before the phase included."""
    failed: int
    rooms: tuple[RoomCount, ...] = ()
    replicas: tuple[Replica, ...] = ()
    store: StoreCount = StoreCount()


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(record: object) -> str:
    """A record of this package as one line of JSON."""
    return _adapter(cast(Any, type(record))).dump_json(record).decode()


def from_json(kind: type[Record], text: str | bytes) -> Record:
    """Reads what `to_json` wrote. Raises `pydantic.ValidationError` on anything else."""
    found: Record = _adapter(cast(Any, kind)).validate_json(text)
    return found
