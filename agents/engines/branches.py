"""Who asks: requests of one dialogue numbered so that concurrent code gets the same numbers whenever it runs.

A dialogue asks from one task or, where it looks at several candidates at once, from many. Counting equal requests in
the order they come in would give them numbers that depend on how long other answers took. So each task is a branch, a
request is counted within its branch, and branches are numbered in the order in which sibling tasks first ask. Tasks
that were started together first ask in the order they were started, whatever happens later.

Invariant: the numbers depend on what the dialogue's code does, not on how long anything takes, as long as no sibling
waits for another before it first asks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False, slots=True)
class _Branch:
    """A task's place among the tasks of its dialogue. Tasks inherit the context, and with it their parent's branch."""

    owner: Numbering
    task: asyncio.Task[Any] | None
    path: str
    children: int = 0


_BRANCH: ContextVar[_Branch | None] = ContextVar("branch of the dialogue under way", default=None)


class Numbering:
    """Numbers the requests of one dialogue, from its beginning."""

    def __init__(self) -> None:
        self._roots = 0
        self._counts: Counter[tuple[str, str]] = Counter()

    def number(self, key: str) -> tuple[str, int]:
        """The branch of the calling task, and how many times that branch has asked `key` before."""
        branch = self._branch()
        self._counts[branch, key] += 1
        return branch, self._counts[branch, key] - 1

    def _branch(self) -> str:
        task, known = _current_task(), _BRANCH.get()
        if known is not None and known.owner is self:
            if known.task is task:
                return known.path
            found = _Branch(self, task, f"{known.path}.{known.children}")
            known.children += 1
        else:
            found = _Branch(self, task, str(self._roots))
            self._roots += 1
        _BRANCH.set(found)
        return found.path


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
