"""How the students of a report speak, beside people who learn.

Invariant: counts are over turns that a model wrote, pooled over dialogues; what was not measured is a dash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from agents.records import Dialogue, Turn
from agents.students import stops_short
from sim.experiment.students import PEOPLE, is_terse, median_words, reads_english, sampled_student_turns
from sim.experiment.students import sounds_like_a_tutor as tutor_like
from sim.report.figures import MISSING, plain


def students(dialogues: Sequence[Dialogue]) -> dict[str, Any] | None:
    """A row for each persona and one for people; None where no model wrote a student's turn."""
    spoken: dict[str, list[Turn]] = defaultdict(list)
    english: dict[str, list[Turn]] = defaultdict(list)
    for dialogue in dialogues:
        turns = sampled_student_turns(dialogue)
        spoken[dialogue.spec.persona] += turns
        if reads_english(dialogue):
            english[dialogue.spec.persona] += turns
    rows = [
        (
            persona,
            str(len(turns)),
            plain(median_words(turn.text for turn in turns), 1),
            _share([is_terse(turn.text) for turn in turns]),
            _share([bool(tutor_like(turn.text)) for turn in english[persona]]),
            _share([stops_short(turn) for turn in turns]),
        )
        for persona, turns in sorted(spoken.items())
        if turns
    ]
    figures = PEOPLE.figures
    people = (
        "People",
        str(PEOPLE.n),
        plain(figures["student_words"], 1),
        *(plain(100.0 * figures[name], 1) + "%" for name in ("student_terse", "student_tutor_phrases")),
        MISSING,
    )
    return {"rows": rows, "people": people, "who": PEOPLE.who} if rows else None


def _share(found: Sequence[bool]) -> str:
    return plain(100.0 * sum(found) / len(found), 1) + "%" if found else MISSING
