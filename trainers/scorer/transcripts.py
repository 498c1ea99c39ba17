"""Scores of whole lessons: a long transcript is scored chunk by chunk, a teacher by their transcripts.

This is how ConvoLearn v4 (section 6) applies a scorer of short dialogues to classroom transcripts: non-overlapping
chunks of 20 turns, averaged. Invariant: every spoken turn is in exactly one chunk, and a mean is over all its parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from agents.errors import TrainerError
from agents.records import Dialogue
from trainers.scorer.scorer import Score, Scorer
from trainers.scorer.text import CHUNK_TURNS, chunks


@dataclass(frozen=True, slots=True)
class TranscriptScore:
    """The score of a long dialogue."""

    expected: float
    """Mean of the chunks' expected scores, in rating points."""
    chunks: tuple[Score, ...]


def score_transcript(scorer: Scorer, dialogue: Dialogue, *, turns: int = CHUNK_TURNS) -> TranscriptScore:
    """Scores a transcript by its chunks, each counting the same, with the dimension in front if the scorer reads it so.

    Raises:
        TrainerError: nobody says anything in it, or it has no dimension and the scorer reads one.
    """
    scores = scorer.score(chunks(dialogue, turns, dimension_tag=scorer.dimension_tag))
    if not scores:
        raise TrainerError(f"dialogue {dialogue.id!r} has no turn with text to score: leave it out")
    return TranscriptScore(sum(score.expected for score in scores) / len(scores), tuple(scores))


def average_by(keys: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """Returns the mean score of each key, such as the teacher of each transcript, in the order of first appearance."""
    found: dict[str, list[float]] = defaultdict(list)
    for key, score in zip(keys, scores, strict=True):
        found[key].append(score)
    return {key: sum(values) / len(values) for key, values in found.items()}
