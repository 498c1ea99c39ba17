"""The validity study: chunks to transcripts to teachers to a correlation, each step the mean of the one before."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401
from test_scorer_fit import HELD, TRAIN, make_settings
from test_scorer_text import make_dialogue

from agents.errors import TrainerError
from agents.records import Dialogue
from trainers.scorer.fit import fit_scorer
from trainers.scorer.scorer import Scorer, load_scorer
from trainers.scorer.text import turns_text
from trainers.scorer.validity import validity_study

SAYS = {"asks": "what do you think rain ?", "explains": "it falls because rain", "tells": "the answer is rain"}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    folder: Path = tmp_path_factory.mktemp("scorers") / "asks-v1"
    fit_scorer(TRAIN, HELD, make_settings(save_encoder(tmp_path_factory.mktemp("encoder"))), folder)
    return load_scorer(folder)


def lesson(*parts: str) -> Dialogue:
    """A lesson with 20 turns of each way to teach."""
    return make_dialogue(*(text for part in parts for text in ["why rain", SAYS[part]] * 10))


LESSONS = {
    "a": [lesson("asks", "asks", "tells"), lesson("asks")],
    "b": [lesson("explains", "asks")],
    "c": [lesson("tells"), lesson("tells", "explains"), lesson("tells")],
    "d": [lesson("explains")],
}
TRANSCRIPTS = [one for lessons in LESSONS.values() for one in lessons]
TEACHERS = [name for name, lessons in LESSONS.items() for _ in lessons]


def test_the_study_is_its_steps_one_after_the_other(scorer: Scorer) -> None:
    ratings = {"a": 4.0, "b": 3.5, "c": 1.0, "d": 2.0}
    study = validity_study(scorer, TRANSCRIPTS, TEACHERS, ratings, resamples=200)

    def by_hand(one: Dialogue) -> float:
        parts = [turns_text(one.turns[at : at + 20]) for at in range(0, len(one.turns), 20)]
        return statistics.fmean(score.expected for score in scorer.score(parts))

    expected = {name: statistics.fmean(map(by_hand, lessons)) for name, lessons in LESSONS.items()}
    assert study.scores == pytest.approx(expected)
    assert (study.transcripts, study.chunks) == (7, 11)
    pearson = study.correlations.pearson
    plain = np.corrcoef(list(expected.values()), [ratings[name] for name in expected])[0, 1]
    assert pearson.value == pytest.approx(plain) and plain > 0.5
    assert (pearson.n, pearson.clusters) == (4, 4), "the rows are teachers, not lessons or chunks"
    assert pearson.low is not None and pearson.high is not None and pearson.low <= plain <= pearson.high


def test_ratings_are_matched_by_name_and_not_by_order(scorer: Scorer) -> None:
    ratings = {"d": 2.0, "c": 1.0, "b": 3.5, "a": 4.0}
    first = validity_study(scorer, TRANSCRIPTS, TEACHERS, ratings, resamples=50).correlations
    turned = dict(zip(ratings, reversed(ratings.values()), strict=True))
    other = validity_study(scorer, TRANSCRIPTS, TEACHERS, turned, resamples=50).correlations
    assert first.spearman.value is not None and other.spearman.value is not None
    assert first.spearman.value > other.spearman.value


def test_nobody_is_left_out_in_silence(scorer: Scorer) -> None:
    with pytest.raises(TrainerError, match=r"1 teachers have transcripts and no rating \['d'\], 1 a rating .* \['e'\]"):
        validity_study(scorer, TRANSCRIPTS, TEACHERS, {"a": 1.0, "b": 1.0, "c": 2.0, "e": 2.0})
    with pytest.raises(TrainerError, match="7 transcripts and 1 teachers"):
        validity_study(scorer, TRANSCRIPTS, ["a"], {"a": 1.0})
