"""The validity study: do a scorer's figures go with what observers said of the same teachers?

As ConvoLearn v4 (section 6): a transcript is scored in chunks of 20 turns, a teacher by the mean of their transcripts,
and teachers' means are correlated with an observation instrument's ratings of them. Invariant: every transcript counts
for one teacher and every teacher for one row of the correlation, so the interval is over teachers; nobody is left out
in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.errors import TrainerError
from agents.records import Dialogue
from trainers.scorer.correlation import Correlations, correlate_with_ratings
from trainers.scorer.scorer import Scorer
from trainers.scorer.text import CHUNK_TURNS
from trainers.scorer.transcripts import average_by, score_transcript


@dataclass(frozen=True, slots=True)
class ValidityStudy:
    """What came of a validity study."""

    scores: dict[str, float]
    """Each teacher's mean score, in rating points of the scorer."""
    correlations: Correlations
    """Of teachers' scores and ratings; `n` is teachers."""
    transcripts: int
    chunks: int
    tokens_dropped: int
    """Tokens cut from the starts of chunks that are too long for the scorer."""


def validity_study(
    scorer: Scorer,
    transcripts: Sequence[Dialogue],
    teachers: Sequence[str],
    ratings: Mapping[str, float],
    *,
    turns: int = CHUNK_TURNS,
    resamples: int = 1000,
    seed: int = 0,
) -> ValidityStudy:
    """Scores transcripts and correlates teachers' means with outside ratings of the teachers.

    Args:
        scorer: see `load_scorer`.
        transcripts: lessons; the teacher speaks as the tutor.
        teachers: whose lesson each transcript is, in the same order.
        ratings: by teacher, from an instrument that the scorer was not trained on.
        turns: of a chunk.
        resamples: draws of the bootstrap over teachers.
        seed: of the draws.

    Raises:
        TrainerError: a transcript without teacher or text, a teacher without a rating, or a rating without transcript.
    """
    if len(transcripts) != len(teachers):
        raise TrainerError(f"{len(transcripts)} transcripts and {len(teachers)} teachers: give one teacher to each.")
    unrated, unheard = sorted(set(teachers) - set(ratings)), sorted(set(ratings) - set(teachers))
    if unrated or unheard:
        raise TrainerError(
            f"{len(unrated)} teachers have transcripts and no rating {unrated[:3]}, {len(unheard)} a rating and no "
            f"transcript {unheard[:3]}. Leave both out, and say how many in what you report."
        )
    found = [score_transcript(scorer, transcript, turns=turns) for transcript in transcripts]
    scores = average_by(teachers, [one.expected for one in found])
    correlations = correlate_with_ratings(
        list(scores.values()), [ratings[name] for name in scores], resamples=resamples, seed=seed
    )
    chunks = [score for one in found for score in one.chunks]
    return ValidityStudy(scores, correlations, len(found), len(chunks), sum(score.dropped_tokens for score in chunks))
