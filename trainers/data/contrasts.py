"""Good against poor dialogues on the same seed question: the contrastive use that ConvoLearn's authors name.

Invariant: both dialogues of a contrast are of one group and say different things, the chosen one is rated higher by
`gap`, and no dialogue is in two contrasts. Each dialogue is in a contrast or counted under a reason. The order of the
input does not matter.

Within a group the best goes with the worst, the next best with the next worst, and so on while the gap is large enough:
this gives the clearest contrasts first. Other couples could give more contrasts, with narrower gaps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from agents.errors import TrainerError
from agents.records import Dialogue
from trainers.data.quality import rating


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two rated dialogues of one group."""

    group: str
    """Their `spec.item_id`."""
    chosen: Dialogue
    rejected: Dialogue
    gap: float
    """Rating of the chosen dialogue minus that of the rejected one, above 0."""


def contrasts(
    dialogues: Iterable[Dialogue], *, min_gap: float, max_per_group: int, name: str = "effectiveness"
) -> list[Contrast]:
    """Returns the contrasts of `contrasts_counted` without the reasons."""
    return contrasts_counted(dialogues, min_gap=min_gap, max_per_group=max_per_group, name=name)[0]


def contrasts_counted(
    dialogues: Iterable[Dialogue], *, min_gap: float, max_per_group: int, name: str = "effectiveness"
) -> tuple[list[Contrast], Counter[str]]:
    """Sets higher rated dialogues against lower rated ones of the same group.

    Args:
        dialogues: any dialogues, of any arms; give those of one dimension to compare within it.
        min_gap: smallest difference of the ratings, in points; a difference of 0 never makes a contrast.
        max_per_group: most contrasts of one group.
        name: which rating.

    Returns:
        The contrasts by group, widest gap first, and how many dialogues are in none, by reason: `no_rating`, `alone`
        (the only rated one of its group), `gap_below_min`, `equal_texts`, `over_max_per_group`, or `left_over` (the
        middle one of a group whose others are all used).

    Raises:
        TrainerError: `max_per_group` is below 1.
    """
    if max_per_group < 1:
        raise TrainerError(f"max_per_group is {max_per_group}; ask for at least 1 contrast a group.")
    reasons: Counter[str] = Counter()
    groups: dict[str, list[tuple[float, Dialogue]]] = defaultdict(list)
    for dialogue in dialogues:
        score = rating(dialogue, name)
        if score is None:
            reasons["no_rating"] += 1
        else:
            groups[dialogue.spec.item_id].append((score, dialogue))
    made: list[Contrast] = []
    for group in sorted(groups):
        made += _of_group(group, groups[group], min_gap, max_per_group, reasons)
    return made, +reasons


def _of_group(
    group: str, rated: list[tuple[float, Dialogue]], min_gap: float, most: int, reasons: Counter[str]
) -> list[Contrast]:
    if len(rated) == 1:
        reasons["alone"] += 1
        return []
    ranked = sorted(rated, key=lambda entry: (entry[0], entry[1].id))
    made: list[Contrast] = []
    for place in range(len(ranked) // 2):
        (low, rejected), (high, chosen) = ranked[place], ranked[-1 - place]
        gap = high - low
        if gap <= 0 or gap < min_gap:
            reasons["gap_below_min"] += len(ranked) - 2 * place
            return made  # every further couple is closer still
        if len(made) == most:
            reasons["over_max_per_group"] += len(ranked) - 2 * place
            return made
        if [turn.text for turn in chosen.turns] == [turn.text for turn in rejected.turns]:
            reasons["equal_texts"] += 2
        else:
            made.append(Contrast(group, chosen, rejected, gap))
    reasons["left_over"] += len(ranked) % 2  # the middle one
    return made
