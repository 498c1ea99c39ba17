"""The ordered values a rating may take.

Invariant: a `Levels` that exists has at least two finite values in ascending order, so a rating is either exactly one
of them or an error; nothing is rounded to fit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from agents.errors import InputError

_SAME = 1e-6
"""How far a rating may be from a level and still be that level: room for float32 columns."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of a scale, in rating points.

    Raises:
        InputError: fewer than two values, a value that is not finite, or values that do not ascend.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        pairs = zip(self.values, self.values[1:], strict=False)
        finite = all(math.isfinite(value) for value in self.values)
        if len(self.values) < 2 or not finite or any(high - low <= 2 * _SAME for low, high in pairs):
            raise InputError(
                f"levels {self.values}: give at least two finite values in ascending order, e.g. (0, 0.5, 1)"
            )

    def __len__(self) -> int:
        return len(self.values)

    def __str__(self) -> str:
        return ", ".join(f"{value:g}" for value in self.values)

    @property
    def low(self) -> float:
        """The lowest level."""
        return self.values[0]

    @property
    def high(self) -> float:
        """The highest level."""
        return self.values[-1]

    @property
    def has_parts(self) -> bool:
        """Whether whole points are divided (1, 1.5, 2, ...) on a scale of at least two points."""
        return self.high - self.low >= 2 and any(value != round(value) for value in self.values)

    def find(self, rating: float) -> int | None:
        """Returns the index of the level that a rating is, or None when it is none of them."""
        return next((index for index, value in enumerate(self.values) if abs(value - rating) <= _SAME), None)

    def counts(self, ratings: Iterable[float]) -> dict[str, int]:
        """Returns how often each level occurs, by the level as text; ratings outside the levels are not counted."""
        found = Counter(self.find(rating) for rating in ratings)
        return {f"{value:g}": found[index] for index, value in enumerate(self.values)}


def round_half_up(rating: float) -> float:
    """Returns the nearest whole point; a half goes up, so 2.5 is 3 (Python's `round` would make it 2)."""
    return float(math.floor(rating + 0.5))


def majority(ratings: Iterable[float]) -> float:
    """Returns the most frequent rating, the lowest of them on a tie. Raises `ValueError` without ratings."""
    found = Counter(ratings)
    return max(sorted(found), key=lambda rating: found[rating])


EFFECTIVENESS = Levels(tuple(half / 2 for half in range(2, 11)))
"""ConvoLearn's effectiveness: 1 to 5 with the half points that two raters one apart leave."""
THREE_STEPS = Levels((0.0, 0.5, 1.0))
"""No, to some extent, yes: the scale of MRBench's tutor evaluation."""
