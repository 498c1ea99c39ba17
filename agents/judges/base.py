"""The judge seam: whoever reads a finished dialogue and says what it thinks of it.

Invariant: a judge answers with verdicts, `invalid` ones where it cannot tell; it never raises for what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agents.records import Item, Turn, Verdict

UNJUDGED = "unavailable"
"""Name of the invalid verdict of a judge that broke; `tutorloop judge` judges such a dialogue again."""


class Judge(Protocol):
    """What every judge of whole dialogues does."""

    name: str
    """What its verdicts carry, such as `rubric:pedagogical_rl`."""

    async def judge(
        self, item: Item, transcript: Sequence[Turn], *, dialogue_id: str, dimension: str = ""
    ) -> tuple[Verdict, ...]:
        """Returns the verdicts on a dialogue.

        Args:
            item: what it is about.
            transcript: its turns.
            dialogue_id: for routing and the record.
            dimension: what its tutor's strategy practises; empty: none. Some scorers read it.
        """
        ...
