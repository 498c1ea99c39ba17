"""Early stopping: when a validation loss has not fallen far enough for long enough.

Invariant: the best loss seen is kept apart from the loss that patience is measured against, so a slow crawl downwards
ends a run, and the weights that are kept are still those of the lowest loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Stopping:
    """How validation went so far."""

    best: float = math.inf
    """Lowest validation loss."""
    anchor: float = math.inf
    """The loss that the next one has to undercut by the minimum delta."""
    stale: int = 0
    """Evaluations since the anchor moved."""

    def update(self, loss: float, min_delta: float) -> bool:
        """Takes in a validation loss and returns whether it is the lowest so far."""
        if loss <= self.anchor - min_delta:
            self.anchor, self.stale = loss, 0
        else:
            self.stale += 1
        lowest = loss < self.best
        self.best = min(self.best, loss)
        return lowest

    def exhausted(self, patience: int) -> bool:
        """Whether training should end; a patience of 0 never ends it."""
        return 0 < patience <= self.stale
