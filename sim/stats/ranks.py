"""Who comes first, and how sure that is.

The interval of a place leaves out only what tests of all pairs of tutors, corrected together by Holm, rule out
(Mohamad, Goeman and van Zwet 2019): as many places as tutors are surely better, and surely worse. So with
equal tutors all of the intervals hold place 1 in at least 95% of experiments. Where draws of items scatter further, it
is as wide as they.

Invariant: tutors are ranked on the cells that all of them have, so nobody gains by what it failed at. A tutor without
any value, or with too few to stand for it (`rankable`), has no rank, and does not take the others' cells away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.stats.clustered import Clustered, Floats, check_confidence, item_index
from sim.stats.family import holm
from sim.stats.paired import MEASURED

_CHUNK = 200
"""Draws made at a time, which bounds the memory at many items."""


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of a tutor, 1 for the best; ties share the better place."""

    rank: int
    low: int | None
    high: int | None
    """Interval of the place, simultaneous for all tutors; None with a single item."""
    n: int
    """Cells that all ranked tutors have in common."""
    items: int
    """Items those cells are in."""


def rankable(
    values: Mapping[str, Mapping[str, float]], items: Mapping[str, str], failed: Mapping[str, Collection[str]]
) -> tuple[dict[str, Mapping[str, float]], dict[str, str]]:
    """Leaves out tutors whose cells do not allow a rank.

    Such are tutors with values in fewer than half of the cells that count for them: those in which any tutor has a
    value, and those that they failed in. Then, while the tutors that are left share fewer than half of the cells, or
    one item only, the one with the fewest; and a tutor that nobody is left to be ranked against.

    Args:
        values: by tutor, the value of each cell it has one for.
        items: the item of each cell.
        failed: by tutor, the cells it failed in.

    Returns:
        The values of the tutors to rank, and by tutor why it is not ranked; tutors without values are in neither.
    """
    found = {tutor: cells for tutor, cells in values.items() if cells}
    every = {cell for cells in found.values() for cell in cells}
    why: dict[str, str] = {}
    for tutor, cells in found.items():
        expected = every | set(failed.get(tutor, ()))
        if len(cells) < MEASURED * len(expected):
            why[tutor] = f"{len(cells)} of {len(expected)} cells"
        elif len({items[cell] for cell in cells}) < 2:
            why[tutor] = "one item only"
    left = {tutor: cells for tutor, cells in found.items() if tutor not in why}
    while len(left) > 1:
        shared = set.intersection(*(set(cells) for cells in left.values()))
        whole = {cell for cells in left.values() for cell in cells}
        if len(shared) >= MEASURED * len(whole) and len({items[cell] for cell in shared}) > 1:
            return left, why
        fewest = min(left, key=lambda tutor: len(left[tutor]))
        why[fewest] = f"shares {len(shared)} of {len(whole)} cells with the other tutors"
        del left[fewest]
    return {}, why | dict.fromkeys(left, "no other tutor can be ranked")


def rank_table(
    values: Mapping[str, Mapping[str, float]],
    items: Mapping[str, str],
    *,
    better: Literal["higher", "lower"],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Rank]:
    """Ranks tutors by their mean over the common cells, with intervals that hold for all of them together.

    Args:
        values: by tutor, the value of each cell it has one for.
        items: the item of each cell; cells of one item are drawn together.
        better: which direction is better.
        confidence: of the interval.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        A rank for each tutor with values, in the order given; empty where nobody has a value.

    Raises:
        ValueError: tutors with values have no cell in common, a cell has no item, or a value is not finite.
    """
    check_confidence(confidence)
    ranked = {tutor: found for tutor, found in values.items() if found}
    if not ranked:
        return {}
    table, item = _common(ranked, items)
    sizes = np.bincount(item).astype(np.float64)
    sums = np.zeros((len(sizes), len(ranked)))
    np.add.at(sums, item, table if better == "higher" else -table)
    place = _places(sums.sum(axis=0)[None, :] / len(table))[0]
    alone = len(sizes) < 2
    low, high = _interval(sums, sizes, confidence, resamples, seed)
    if not alone:
        first, last = _not_ruled_out(sums, sizes, confidence)
        low, high = np.minimum(low, first), np.maximum(high, last)
    return {
        tutor: Rank(
            int(place[at]), None if alone else int(low[at]), None if alone else int(high[at]), len(table), len(sizes)
        )
        for at, tutor in enumerate(ranked)
    }


def _common(ranked: Mapping[str, Mapping[str, float]], items: Mapping[str, str]) -> tuple[Floats, NDArray[np.int64]]:
    """Values of the cells that all tutors have, `(cells, tutors)`, and the number of each cell's item."""
    cells = sorted(set.intersection(*(set(found) for found in ranked.values())))
    if not cells:
        sizes = ", ".join(f"{tutor}: {len(found)}" for tutor, found in ranked.items())
        raise ValueError(f"No cell was taken by all of the tutors ({sizes}). Rank tutors that met the same students.")
    homeless = [cell for cell in cells if cell not in items]
    if homeless:
        raise ValueError(f"Cell {homeless[0]!r} has no item. Give the item of each cell.")
    table = np.array([[found[cell] for found in ranked.values()] for cell in cells], dtype=np.float64)
    if not np.isfinite(table).all():
        raise ValueError(f"{table[~np.isfinite(table)][0]} is no measured value. Leave out cells without a number.")
    return table, item_index([items[cell] for cell in cells])[0]


def _interval(sums: Floats, sizes: Floats, confidence: float, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Ends of the percentile interval of each place; `sums` is `(items, tutors)`."""
    generator, places = np.random.default_rng(seed), []
    chances = np.full(len(sizes), 1.0 / len(sizes))
    for start in range(0, resamples, _CHUNK):
        drawn = generator.multinomial(len(sizes), chances, size=min(_CHUNK, resamples - start)).astype(np.float64)
        places.append(_places((drawn @ sums) / (drawn @ sizes)[:, None]))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(places), [tail, 1.0 - tail], axis=0, method="inverted_cdf")
    return low, high


def _not_ruled_out(sums: Floats, sizes: Floats, confidence: float) -> tuple[Floats, Floats]:
    """First and last place of each tutor that tests of all pairs leave open; `sums` is `(items, tutors)`."""
    tutors = sums.shape[1]
    changes = sums.T[:, None, :] - sums.T[None, :, :]
    found = Clustered.of(changes, np.broadcast_to(sizes, changes.shape))
    p = np.array(found.p())
    # What is the same on every item has no spread to be tested by: that all have one sign is all that is known.
    still = np.isnan(p)
    p[still] = np.where(found.ratio[still] == 0.0, 1.0, 2.0 ** (1 - len(sizes)))
    above, below = np.triu_indices(tutors, 1)
    corrected = np.ones((tutors, tutors))
    corrected[above, below] = corrected[below, above] = [one or 0.0 for one in holm(p[above, below].tolist())]
    sure = corrected < 1.0 - confidence
    worse = (sure & (found.ratio > 0.0)).sum(axis=1)
    better = (sure & (found.ratio < 0.0)).sum(axis=1)
    return 1.0 + better, tutors - worse.astype(np.float64)


def _places(means: Floats) -> Floats:
    """Places in each row of `(draws, tutors)`, where more is better: 1 + how many are truly above."""
    # Equal tutors may differ in the last bit after a matrix product.
    margin = 1e-9 * np.maximum(np.abs(means).max(axis=1, keepdims=True), 1e-300)
    above = means[:, None, :] > means[:, :, None] + margin[:, :, None]
    places: Floats = 1.0 + above.sum(axis=2)
    return places
