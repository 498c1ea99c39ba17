"""The belief probes of one dialogue that are under way beside its turns.

Invariant: answers are taken in the order in which the probes were asked. Which are taken and kept never depends on how
long an answer takes, so that a recording can be replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.records import Probe, ProbeKind


@dataclass(slots=True)
class Asked:
    """A probe that was asked, and its answer."""

    kind: ProbeKind
    turn: int
    """Index of the last turn the student had heard."""
    answer: asyncio.Task[Probe]

    @property
    def where(self) -> str:
        """Its place, as a failure names it."""
        return f"{self.kind} probe at turn {self.turn + 1}"


class AskedProbes:
    """Probes whose answers were not taken yet, in the order they were asked."""

    __slots__ = ("_asked", "failed")

    def __init__(self) -> None:
        self._asked: list[Asked] = []
        self.failed: tuple[Asked, Exception] | None = None
        """Once they were let go: the first, in the order of asking, that failed otherwise than by a time limit."""

    @property
    def last(self) -> Asked | None:
        """The one that was asked last; None where every answer was taken."""
        return self._asked[-1] if self._asked else None

    async def ask(self, kind: ProbeKind, turn: int, answer: Coroutine[Any, Any, Probe]) -> None:
        """Asks a probe after a turn; its request goes out before anything that is asked later."""
        self._asked.append(Asked(kind, turn, asyncio.create_task(answer)))
        await asyncio.sleep(0)

    def due(self, before: int) -> list[Asked]:
        """Those that were asked before a turn was said."""
        return [asked for asked in self._asked if asked.turn < before]

    async def take(self, asked: Asked) -> Probe:
        """Waits for an answer and takes it; raises what the probe raised, and has it still then."""
        found = await asked.answer
        self._asked.remove(asked)
        return found

    async def settled(self) -> None:
        """Waits for all of them, whatever they answer."""
        await asyncio.gather(*(asked.answer for asked in self._asked), return_exceptions=True)

    async def let_go(self) -> list[Probe]:
        """Cuts off those that have no answer; returns the answers of the others."""
        await ended([asked.answer for asked in self._asked])
        found = []
        for asked in self._asked:
            error = asyncio.CancelledError() if asked.answer.cancelled() else asked.answer.exception()
            if error is None:
                found.append(asked.answer.result())
            elif isinstance(error, Exception) and not isinstance(error, TimeoutError):
                self.failed = self.failed or (asked, error)
        self._asked.clear()
        return found


async def again(measured: asyncio.Task[Probe], kind: ProbeKind) -> Probe:
    """What another probe of the same belief measures, under another name and at no cost."""
    return replace(await asyncio.shield(measured), kind=kind)


async def copied(probe: Probe, kind: ProbeKind) -> Probe:
    """A measurement that was made already, under another name and at no cost."""
    return replace(probe, kind=kind)


async def ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cuts off the tasks that are under way and waits until they are."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
