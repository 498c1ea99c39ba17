"""The scorer as a judge of dialogues, with the interface of the rubric judge.

Invariant: one verdict per dialogue, named `quality`. The model computes in a thread, one dialogue at a time, so the
event loop goes on. A transcript in which the tutor says nothing is `invalid`, never a low score.

A scorer trained on ratings of one dimension per dialogue does not tell the dimensions apart: its score is one general
figure of dialogue quality, and it is at home only on dialogues like those it was trained on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from agents.errors import TrainerError
from agents.records import Item, Turn, Verdict, VerdictKind
from trainers.scorer.scorer import Score, Scorer
from trainers.scorer.text import turns_text

QUALITY = "quality"
"""Name of the verdict."""


class ScorerJudge:
    """Judges whole dialogues with a trained scorer.

    Args:
        scorer: see `load_scorer`.
        pass_at: lowest expected score that passes, in rating points; by default the middle of the scale.
        dimension: put before every dialogue as a header, whatever it is about; empty: a scorer that was trained with
            headers reads each dialogue's own, another one none.
    """

    def __init__(self, scorer: Scorer, *, pass_at: float | None = None, dimension: str = "") -> None:
        self.name = f"scorer:{scorer.folder.resolve().name}"
        self._scorer = scorer
        self._pass_at = (scorer.levels.low + scorer.levels.high) / 2 if pass_at is None else pass_at
        self._dimension = dimension
        # A thread's lock, not the loop's: a cancelled caller leaves its thread at work, and the next must wait for it.
        self._lock = threading.Lock()

    async def judge(
        self, item: Item, transcript: Sequence[Turn], *, dialogue_id: str, dimension: str = ""
    ) -> tuple[Verdict, ...]:
        """Returns the verdict: pass or fail by the expected score, or `invalid` when no tutor turn says anything.

        Args:
            item: not used; the scorer reads the dialogue alone.
            transcript: the dialogue's turns in order.
            dialogue_id: for the message of an error.
            dimension: put before the dialogue as a header where the scorer was trained with headers.

        Raises:
            TrainerError: the scorer reads a header and the dialogue has no dimension.
        """
        if not any(turn.role == "tutor" and turn.text.strip() for turn in transcript):
            return (Verdict(self.name, QUALITY, "invalid", rationale="The tutor says nothing."),)
        header = self._dimension or (dimension if self._scorer.dimension_tag else "")
        if self._scorer.dimension_tag and not header:
            raise TrainerError(
                f"{self.name} was trained on texts that begin with their dimension, and dialogue {dialogue_id!r} has "
                "none. Give its tutor a strategy with a dimension, or train a scorer without scorer.dimension_tag."
            )
        score = await asyncio.to_thread(self._score, turns_text(transcript, dimension=header))
        kind: VerdictKind = "pass" if score.expected >= self._pass_at else "fail"
        levels = self._scorer.levels
        place = (score.expected - levels.low) / (levels.high - levels.low)
        rationale = self._rationale(score)
        return (Verdict(self.name, QUALITY, kind, score=score.expected, rationale=rationale, unit_score=place),)

    def _score(self, text: str) -> Score:
        with self._lock:
            return self._scorer.score([text])[0]

    def _rationale(self, score: Score) -> str:
        levels, trained = self._scorer.levels, self._scorer.about["trained_on"]
        chance = score.distribution[levels.values.index(score.level)]
        cut = f" The first {score.dropped_tokens} tokens did not fit and were not read." if score.dropped_tokens else ""
        return (
            f"Expected {score.expected:.2f} on {levels.low:g} to {levels.high:g}; predicted level {score.level:g} "
            f"(probability {chance:.2f}).{cut} Trained on {trained['n']} rated dialogues of "
            f"{trained['corpus'] or 'an unnamed corpus'}; elsewhere the score is a guess."
        )
