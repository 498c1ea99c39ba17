"""Ratings of a dialogue, and the choice of the good ones.

ConvoLearn's high-quality subset asks for effectiveness of at least 3, completeness of at least 2 and no quality issue
that both annotators flagged (arXiv 2601.08950v4, section 4). The flags are no column of the public file, so this is the
part of the rule that its columns allow, and it keeps more than the authors' 1,250.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from agents.records import Dialogue
from trainers.data.convolearn import MIN_COMPLETENESS, MIN_EFFECTIVENESS


def rating(dialogue: Dialogue, name: str) -> float | None:
    """The score of the whole dialogue by that name (`effectiveness`, `completeness`), or None when it has none."""
    found = (v for v in dialogue.verdicts if v.name == name and v.turn is None and v.kind != "invalid")
    return next((verdict.score for verdict in found), None)


def select_quality(
    dialogues: Iterable[Dialogue],
    min_effectiveness: float = MIN_EFFECTIVENESS,
    min_completeness: float = MIN_COMPLETENESS,
) -> tuple[list[Dialogue], Counter[str]]:
    """Keeps the dialogues whose ratings are at least these; a bound of 0 asks for no rating at all.

    Returns:
        Those kept, in order, and how many were not, by reason: `no_effectiveness`, `no_completeness`,
        `low_effectiveness` or `low_completeness`. A dialogue has one reason, the first of these that holds.
    """
    kept: list[Dialogue] = []
    reasons: Counter[str] = Counter()
    for dialogue in dialogues:
        effectiveness, completeness = rating(dialogue, "effectiveness"), rating(dialogue, "completeness")
        if min_effectiveness and effectiveness is None:
            reasons["no_effectiveness"] += 1
        elif min_completeness and completeness is None:
            reasons["no_completeness"] += 1
        elif (effectiveness or 0.0) < min_effectiveness:
            reasons["low_effectiveness"] += 1
        elif (completeness or 0.0) < min_completeness:
            reasons["low_completeness"] += 1
        else:
            kept.append(dialogue)
    return kept, reasons
