"""Splits that keep what belongs together on one side, with the dimensions spread as evenly as that allows.

Invariant: the dialogues of one group (`spec.item_id`) are all in one part, every dialogue is in exactly one part, no
part is empty, and the parts depend on the dialogues and the seed only, not on their order. A part's size is off its
target by at most the size of the largest group.

A part has a target for each dimension (`spec.arm`) and for its size; what is made small is the sum of the squared
differences from the targets, each over its target. Groups are placed greedily, large ones first. Then the two parts
swap a group each, or one gives a group away, as long as that makes the sum smaller. Last, groups are moved, those first
that disturb the dimensions least, while that brings the sizes nearer to their targets: this gives the bound above.
Cost of a swap: groups of one part x groups of the other x dimensions, as one matrix product.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import TrainerError
from agents.records import Dialogue
from trainers.data.corpus import digest

_MOST_SWAPS = 1000
_LEAST = 1e-9  # a smaller improvement is rounding
_SIZE = 0  # the first column counts all dialogues, the others one dimension each


def split_corpus(
    dialogues: Sequence[Dialogue], *, test: float, seed: int
) -> tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]:
    """Splits dialogues into a training and a test side.

    Args:
        dialogues: what to split.
        test: share of the dialogues wanted on the test side, between 0 and 1 (ConvoLearn's is 0.15).
        seed: another seed gives another split, where there is more than one that is as good.

    Returns:
        Training and test dialogues, each in the order given.

    Raises:
        TrainerError: the share is not between 0 and 1, or a side would be empty because there are too few groups.
    """
    if not 0 < test < 1:
        raise TrainerError(f"A test share of {test} leaves a side empty. Give a share between 0 and 1, such as 0.15.")
    place = _places(dialogues, (1 - test, test), seed)
    sides = [tuple(d for d in dialogues if place[d.spec.item_id] == side) for side in (0, 1)]
    return sides[0], sides[1]


def folds(dialogues: Sequence[Dialogue], n: int, seed: int) -> list[tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]]:
    """Makes the folds of a cross-validation: every dialogue is tested exactly once.

    Args:
        dialogues: what to split.
        n: number of folds, at least 2.
        seed: another seed gives other folds, where there are others that are as good.

    Returns:
        (training, test) dialogues of each fold, each in the order given.

    Raises:
        TrainerError: n is below 2, or there are fewer groups than folds.
    """
    if n < 2:
        raise TrainerError(f"{n} folds cannot be trained and tested on. Ask for at least 2.")
    place = _places(dialogues, (1 / n,) * n, seed)
    return [
        (
            tuple(d for d in dialogues if place[d.spec.item_id] != fold),
            tuple(d for d in dialogues if place[d.spec.item_id] == fold),
        )
        for fold in range(n)
    ]


def _places(dialogues: Sequence[Dialogue], shares: Sequence[float], seed: int) -> dict[str, int]:
    """The part of each group."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for dialogue in dialogues:
        found[dialogue.spec.item_id][dialogue.spec.arm] += 1
    if len(found) < len(shares):
        raise TrainerError(
            f"{len(dialogues)} dialogues form {len(found)} groups that must stay together (by spec.item_id), too few "
            f"for {len(shares)} parts: one would be empty. Use fewer parts or dialogues on more problems."
        )
    # Large groups first; among those of about one size the seed decides, not the order of the dialogues.
    groups = sorted(found, key=lambda group: (-found[group].total().bit_length(), digest(seed, group)))
    arms = sorted({dialogue.spec.arm for dialogue in dialogues})
    sizes = np.array([[found[group].total(), *(found[group][arm] for arm in arms)] for group in groups], dtype=float)
    parts = _Parts(sizes, shares)
    parts.fill()
    parts.mix()
    parts.level()
    return dict(zip(groups, parts.place.tolist(), strict=True))


class _Parts:
    """Groups being placed into parts.

    Args:
        sizes: (groups, 1 + dimensions), how many dialogues a group has in all and of each dimension.
        shares: of the dialogues, one a part; their sum is 1.
    """

    def __init__(self, sizes: NDArray[Any], shares: Sequence[float]) -> None:
        self.place = np.full(len(sizes), -1)
        self._sizes = sizes
        self._targets = np.outer(shares, sizes.sum(axis=0))
        self._counts = np.zeros_like(self._targets)

    def fill(self) -> None:
        """Places each group where it brings the counts nearest to their targets; no part stays empty."""
        for group, size in enumerate(self._sizes):
            changes = 2 * size * (self._counts - self._targets) + size * size
            self._put(group, int(np.argmin((changes / self._targets).sum(axis=1))))
        for part in range(len(self._targets)):
            if not len(self._members(part)):
                spare = [group for donor in self._donors() for group in self._members(donor)]
                self._put(min(spare, key=lambda group: (self._sizes[group, _SIZE], group)), part)

    def mix(self) -> None:
        """Swaps or moves groups as long as the counts come nearer to their targets."""
        for _ in range(_MOST_SWAPS):
            pairs = combinations(range(len(self._targets)), 2)
            change, ours, theirs, a, b = min(self._best_swap(a, b) + (a, b) for a, b in pairs)
            if change > -_LEAST:
                return
            if ours >= 0:
                self._put(ours, b)
            if theirs >= 0:
                self._put(theirs, a)

    def level(self) -> None:
        """Moves groups while that brings the sizes nearer to their targets.

        A group of g dialogues does so when g is less than what its part exceeds its target by more than the other part:
        then the sum of the squared excesses falls, so this ends.
        """
        while True:
            excess = self._counts[:, _SIZE] - self._targets[:, _SIZE]
            moves = [
                (float(self._swaps(a, b, np.array([group]), np.array([-1]))[0, 0]), int(group), b)
                for a, b in permutations(range(len(self._targets)), 2)
                if a in self._donors() and excess[a] - excess[b] > 1
                for group in self._members(a)
                if self._sizes[group, _SIZE] < excess[a] - excess[b] - _LEAST
            ]
            if not moves:
                return
            _, group, part = min(moves)
            self._put(group, part)

    def _best_swap(self, a: int, b: int) -> tuple[float, int, int]:
        """What the best swap between two parts changes, the group that a gives and the one that b gives (-1: none)."""
        ours, theirs = np.append(self._members(a), -1), np.append(self._members(b), -1)
        changes = self._swaps(a, b, ours, theirs)
        if len(ours) == 2:
            changes[0, -1] = np.inf  # would empty a
        if len(theirs) == 2:
            changes[-1, 0] = np.inf
        best = int(np.argmin(changes))
        row, column = divmod(best, len(theirs))
        return float(changes[row, column]), int(ours[row]), int(theirs[column])

    def _swaps(self, a: int, b: int, ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
        """What each swap of one of `ours` for one of `theirs` does to the sum, (ours, theirs).

        With d what part a gains, the sum changes by w d^2 + v d in each column; w and v depend on the parts alone.
        """
        w = 1 / self._targets[a] + 1 / self._targets[b]
        v = 2 * (self._counts[a] / self._targets[a] - self._counts[b] / self._targets[b])
        padded = np.vstack([self._sizes, np.zeros_like(self._sizes[:1])])  # index -1 is no group
        given, gained = padded[ours], padded[theirs]
        changes: NDArray[Any] = (
            (given * given @ w - given @ v)[:, None]
            + (gained * gained @ w + gained @ v)[None, :]
            - 2 * (given * w) @ gained.T
        )
        return changes

    def _put(self, group: int, part: int) -> None:
        if self.place[group] >= 0:
            self._counts[self.place[group]] -= self._sizes[group]
        self.place[group] = part
        self._counts[part] += self._sizes[group]

    def _members(self, part: int) -> NDArray[Any]:
        return np.flatnonzero(self.place == part)

    def _donors(self) -> list[int]:
        """The parts that can give a group away."""
        return [part for part in range(len(self._targets)) if len(self._members(part)) > 1]
