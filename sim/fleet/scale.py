"""How many replicas a pool needs, between the least and the most it may have.

Invariant: a pool grows by one replica at a time, and only after it was short for `PATIENCE` looks in a row; it shrinks
by as many as it could have done without for all of `CALM` looks, and never below its least. While one is starting it
does not grow, so that a slow start does not ask for a second one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agents.engines.load import EngineLoad
from sim.fleet.admission import ROOMY

PATIENCE = 20
"""Looks (seconds) of too much work before a replica is added: less than an engine's start takes, more than the burst of
probes takes with which many dialogues begin at once."""
CALM = 60
"""Looks of too little work before replicas go: starting them again costs more than keeping them a while."""
REST = 300
"""Looks before another start is tried after one that failed."""
BUSY = 0.5
"""More requests than this share of those computed wait: short of places. Replicas that would not be needed to have no
more than this share of all places taken could go."""


@dataclass
class Scale:
    """One pool's replicas over time; looked at about once a second."""

    least: int
    most: int
    places: int
    """Sequence slots of one replica."""
    short: int = 0
    """Looks in a row at which it was short of places."""
    calm: int = 0
    """Looks in a row at which it had more replicas than it needed."""
    spare: int = 0
    """The fewest it had too many in those looks."""
    rest: int = 0
    """Looks until it may grow again."""

    def look(self, loads: Sequence[EngineLoad], *, number: int, starting: int = 0) -> int:
        """1 to add a replica, -n to take n away, 0 to leave them.

        Args:
            loads: of the replicas that serve.
            number: of all that the pool has, whatever their state.
            starting: of those, the ones that are on their way in.
        """
        self.rest = max(0, self.rest - 1)
        wanted = bool(loads) and not starting and not self.rest and number < self.most and _is_short(loads)
        self.short = self.short + 1 if wanted else 0
        asked = sum(load.running + load.waiting for load in loads)
        needed = max(self.least, math.ceil(asked / (BUSY * self.places)))
        spare = len(loads) + starting - needed if loads else 0
        self.spare = min(self.spare, spare) if self.calm else spare
        self.calm = self.calm + 1 if spare > 0 else 0
        if self.short >= PATIENCE:
            self.short = 0
            return 1
        if self.calm >= CALM:
            self.calm = 0
            return -self.spare
        return 0

    def refuse(self) -> None:
        """Notes that a start failed."""
        self.rest = REST


def _is_short(loads: Sequence[EngineLoad]) -> bool:
    """Whether requests wait for places; or dialogues do, which classrooms hold back while the KV cache is full."""
    running, waiting = sum(load.running for load in loads), sum(load.waiting for load in loads)
    fullest = max(load.kv_usage or 0.0 for load in loads)
    return waiting > BUSY * max(1, running) or fullest > ROOMY
