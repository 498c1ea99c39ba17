"""`status.json` of a run folder: what a run is doing now, and for how long nobody has heard of it.

Invariant: the file is replaced whole, and at least every `BEAT_SECONDS` while the driver lives, whatever the run does
(it may be training); so one that was not renewed for `DEAD_SECONDS` and does not say that the run ended is of a run
that was killed. It is data from elsewhere: read with a schema, shown without control characters.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from agents.errors import StoreError
from sim.sight.records import from_json
from sim.sight.snapshot import Snapshot

NAME = "status.json"
BEAT_SECONDS = 5.0
DEAD_SECONDS = 15.0
MOST_BYTES = 4 * 1024 * 1024
"""A larger file is not one of ours: a thousand replicas take a tenth."""
State = Literal["running", "stopped", "finished"]
Verdict = Literal["running", "stopped", "finished", "dead"]


@dataclass(frozen=True, slots=True)
class Status:
    """What the driver says of its run."""

    run: str
    state: State
    started: str
    """When the command began: UTC, ISO 8601."""
    at: str
    """When this was written: UTC, ISO 8601."""
    doing: str = ""
    """The last news."""
    reason: str = ""
    """Of a stopped run: why."""
    command: str = ""
    """Goes on with the run."""
    snapshot: Snapshot | None = None
    """The last figures; None before the first dialogue."""


Read = Callable[[], str]
"""Reads the status file, wherever it lies; raises FileNotFoundError or another OSError."""


def resume_command(arguments: Sequence[str], program: str = "tutorloop") -> str:
    """The command that goes on with a run: the one that began it, but for what would begin it anew.

    Args:
        arguments: those of the first command, without the program.
        program: its name.
    """
    return shlex.join([program, *(one for one in arguments if one != "--fresh")])


def read_status(read: Read) -> Status:
    """What the status file says.

    Raises:
        StoreError: it has no status, or not one of this version.
    """
    try:
        text = read()
    except FileNotFoundError as error:
        raise StoreError(f"no {NAME} there: no run folder, an older version's, or one that has not begun") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{NAME} cannot be read: {error}; is the store reachable?") from error
    if len(text) > MOST_BYTES:
        raise StoreError(f"{NAME} has {len(text)} characters, more than any run writes; is this a run folder?")
    try:
        return from_json(Status, text)
    except ValidationError as error:
        problem = error.errors()[0]
        raise StoreError(
            f"{NAME} cannot be read ({'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}); "
            f"read it with the version that wrote it"
        ) from error


def age(status: Status, now: datetime | None = None) -> float:
    """Seconds since the driver was last heard of, by this machine's clock. Raises StoreError where no time stands."""
    try:
        at = datetime.fromisoformat(status.at)
    except ValueError as error:
        raise StoreError(f"{NAME}: {status.at[:40]!r} is no time; read it with the version that wrote it") from error
    return ((now or datetime.now(UTC)) - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()


def verdict(status: Status, now: datetime | None = None) -> Verdict:
    """What became of the run: what it says, unless it says that it runs and was not heard of for `DEAD_SECONDS`."""
    if status.state == "running" and age(status, now) > DEAD_SECONDS:
        return "dead"
    return status.state
