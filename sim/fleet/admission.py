"""How many dialogues a classroom holds at once, and whose turn it is to begin.

More dialogues fill an engine's places; too many push each other's prefixes out of its cache, and what was pushed out
is computed again. So the limit grows while the engines have room and shrinks when they say that they have not.

Invariant: the limit stays between `LEAST` (or the most allowed, if less) and the most allowed. The tutor that has
begun the fewest begins next, so a run that is cut has compared its tutors on the same cells; but one that holds its
share of the places waits while others have episodes, so a slow tutor does not stop the rest. Within a tutor the given
order is kept.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from agents.engines.load import EngineLoad
from agents.records import EpisodeSpec

LEAST = 4
GROW, SHRINK = 1.25, 0.8
ROOMY, FULL = 0.8, 0.95
"""Shares of the KV cache below which the limit may grow, and above which it shrinks."""


class Limit:
    """How many dialogues may be under way; looked at about once a second."""

    def __init__(self, most: int, places: int | None = None) -> None:
        """Starts at the engines' places for this classroom where they are known, else at the most."""
        self._most = most
        self._least = min(LEAST, most)
        self._value = float(max(self._least, min(most, places or most)))
        self._preemptions: dict[str, int] = {}

    @property
    def value(self) -> int:
        """The limit now."""
        return int(self._value)

    def look(self, loads: dict[str, EngineLoad], under_way: int) -> None:
        """Grows or shrinks by what the engines say.

        Args:
            loads: of every engine this classroom speaks with, by a key that an engine started anew does not keep.
            under_way: dialogues now; a limit that is not reached does not grow.
        """
        preempted = any(load.preemptions > self._preemptions.get(key, 0) for key, load in loads.items())
        self._preemptions = {key: load.preemptions for key, load in loads.items()}
        usage = max((load.kv_usage or 0.0 for load in loads.values()), default=0.0)
        if preempted or usage > FULL:
            self._value = max(self._least, self._value * SHRINK)
        elif usage < ROOMY and under_way >= self.value and all(_has_room(load) for load in loads.values()):
            self._value = min(self._most, max(self._value + 1, self._value * GROW))


def _has_room(load: EngineLoad) -> bool:
    """Whether an engine computes most of what it was asked; a longer queue would only make it longer."""
    return load.waiting <= load.running


class FairQueue:
    """Episodes that wait to begin."""

    def __init__(self, specs: Iterable[EpisodeSpec]) -> None:
        self._waiting: dict[str, deque[EpisodeSpec]] = {}
        for spec in specs:
            self._waiting.setdefault(spec.tutor_name, deque()).append(spec)
        self._order = {tutor: place for place, tutor in enumerate(self._waiting)}
        self.begun: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def next(self, limit: int) -> EpisodeSpec | None:
        """The episode to begin now, which then counts as under way; None where none waits.

        Args:
            limit: dialogues that may be under way at once.
        """
        tutors = [tutor for tutor, specs in self._waiting.items() if specs]
        if not tutors:
            return None
        share = max(1, math.ceil(limit / len(tutors)))
        tutor = min(tutors, key=lambda name: (self.under_way[name] >= share, self.begun[name], self._order[name]))
        self.under_way[tutor] += 1
        self.begun[tutor] += 1
        return self._waiting[tutor].popleft()

    def ended(self, spec: EpisodeSpec) -> None:
        """One that was under way is so no more."""
        self.under_way[spec.tutor_name] -= 1

    def drop(self, tutors: Sequence[str] | None = None) -> None:
        """Forgets episodes that wait: of some tutors, or all."""
        for tutor in list(self._waiting) if tutors is None else tutors:
            self._waiting.pop(tutor, None)
