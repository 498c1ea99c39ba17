"""What `--chaos` is to kill, and how often.

Invariant: a plan that came from a user names only things that can be killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from agents.errors import InputError

Kill = Literal["process", "actor", "classroom", "node"]
"""An engine's own process, the actor that hosts an engine, a classroom's actor, a whole worker node."""
USUAL: tuple[Kill, ...] = ("process", "actor", "classroom")
"""What ends nothing but parts of the run itself."""


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """Deaths made on purpose while dialogues are held; none where `every_seconds` is 0."""

    every_seconds: float = 0.0
    """Mean time between two."""
    kinds: tuple[Kill, ...] = USUAL


CALM = ChaosPlan()


def chaos_plan(every_seconds: float, kinds: Sequence[str] | None) -> ChaosPlan:
    """The plan of `--chaos` and `--kill`.

    Raises:
        InputError: a kind is not known, or kinds are named and nothing is to be killed.
    """
    if kinds and not every_seconds:
        raise InputError(f"--kill {kinds[0]} kills nothing by itself; say how often with --chaos SECONDS")
    for kind in kinds or ():
        if kind not in get_args(Kill):
            raise InputError(f"--kill {kind}: can be killed are {', '.join(get_args(Kill))}")
    return ChaosPlan(every_seconds, cast(tuple[Kill, ...], tuple(kinds or USUAL)))
