"""Words and form: how a text is taken apart, what the regression's optimum is, and what is saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from test_scorer_fit import HELD, TEST, TRAIN, make_settings

from agents.errors import TrainerError
from trainers.scorer.fit import fit_scorer, predictions, word_model
from trainers.scorer.labels import THREE_STEPS
from trainers.scorer.logistic import chances, fit_logistic
from trainers.scorer.metrics import evaluate, unproven
from trainers.scorer.scorer import Score, load_scorer
from trainers.scorer.settings import ScorerSettings
from trainers.scorer.words import FORM, Said, fit_words, form, take_apart

TEXT = "Tutor: What is 6 x 7?\nStudent: 36, I think.\nTutor: Close.\nStudent: 40\nTutor: How did you get 40?"
SETTINGS = ScorerSettings(levels=THREE_STEPS, unit="reply")


def test_a_reply_is_the_last_turn_and_a_dialogue_all_the_tutor_says() -> None:
    before = "What is 6 x 7?\n36, I think.\nClose.\n40"
    assert take_apart(TEXT, "reply") == Said("How did you get 40?", "40", before)
    assert take_apart(f"Dimension: moon\n{TEXT}\nStudent: well", "reply") == Said("How did you get 40?", "40", before)
    whole = take_apart(TEXT, "dialogue")
    assert whole.tutor == "What is 6 x 7?\nClose.\nHow did you get 40?" and whole.student == "36, I think.\n40"
    assert take_apart("only words", "reply") == Said("only words", "", "")
    assert take_apart("Student: I ask the Tutor: why?", "reply").tutor == "Student: I ask the Tutor: why?"


def test_the_form_of_a_reply() -> None:
    found = dict(zip(FORM, form(Said('You said 7 = 7! Is 1,000 right?" ', "I said 7", "I said 7 and 8")), strict=True))
    assert found["asks"] == found["ends_with_question"] == found["has_number"] == 1
    assert found["numbers"] == pytest.approx(np.log(3)) and found["new_numbers"] == pytest.approx(np.log(2))
    assert found["share_said_by_student"] == pytest.approx(1 / 4) and found["sentences"] == pytest.approx(np.log(2))
    assert form(Said("", "", "")) == [0.0] * len(FORM)


def test_the_regression_is_at_its_optimum_and_knows_no_order() -> None:
    rng = np.random.default_rng(0)
    columns, levels = rng.normal(size=(60, 5)), rng.integers(3, size=60)
    weight, intercept = fit_logistic(columns, levels, 3, 1.0)
    off = chances(columns, weight, intercept) - np.eye(3)[levels]
    np.testing.assert_allclose(columns.T @ off + weight, 0, atol=1e-3)
    np.testing.assert_allclose(off.sum(axis=0), 0, atol=1e-3)
    turned = rng.permutation(60)
    again = fit_logistic(csr_array(columns[turned]), levels[turned], 3, 1.0)
    np.testing.assert_allclose(chances(columns, *again), chances(columns, weight, intercept), atol=1e-4)


def test_a_level_without_a_rating_and_texts_without_a_known_word_have_chances() -> None:
    model = fit_words(["Tutor: yes", "Tutor: no", "Tutor: ..."], [0, 1, 0], 3, unit="reply", with_form=True)
    found = model.chances(["Tutor: yes", "Tutor: unheard", "Tutor: "])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isfinite(found).all() and found[:, 2].max() < 0.3
    silent = fit_words([" ", "\n"], [0, 1], 2, unit="reply", with_form=False)
    np.testing.assert_allclose(silent.chances(["anything"]), [[0.5, 0.5]], atol=1e-6)


def test_words_are_fitted_saved_loaded_and_never_taken_for_another_scorer(tmp_path: Path) -> None:
    result = fit_scorer(TRAIN, HELD, SETTINGS, tmp_path / "asks-v1", corpus="made up")
    assert (result.epochs, result.best_epoch, result.stop) == ((), 0, "optimum")
    assert fit_scorer(TRAIN, HELD, SETTINGS, tmp_path / "asks-v1") == result
    scorer = load_scorer(result.folder)
    texts = [example.text for example in TEST]
    wanted = word_model(TRAIN, SETTINGS, with_form=True).chances(texts)
    np.testing.assert_allclose([score.distribution for score in scorer.score(texts)], wanted, rtol=1e-12)
    assert scorer.score([]) == [] and scorer.about["trained_on"]["n"] == len(TRAIN)
    assert scorer.score(["Tutor: what do you think x ?"])[0].level == 1.0
    assert sum(score.level == example.rating for score, example in zip(scorer.score(texts), TEST, strict=True)) > 25
    with pytest.raises(TrainerError, match="other examples or settings"):
        fit_scorer(TRAIN[1:], HELD, SETTINGS, tmp_path / "asks-v1")
    (result.folder / "terms.json").write_text("[]", encoding="utf-8")
    with pytest.raises(TrainerError, match="terms.json is changed"):
        load_scorer(result.folder)


def test_settings_of_a_scorer_that_was_saved_before_there_were_kinds_are_an_encoder_s() -> None:
    data = make_settings("minilm").to_dict()
    for key in ("kind", "unit"):
        del data[key]
    assert ScorerSettings.from_dict(json.loads(json.dumps(data))).kind == "encoder"


def test_a_report_warns_where_the_words_are_not_beaten() -> None:
    scores = load_like(TEST[0].rating)
    judged = predictions(TEST, scores, TRAIN, SETTINGS)
    report = evaluate(judged, THREE_STEPS, resamples=100).to_dict()
    kappa = report["metrics"]["kappa"]
    assert kappa["baseline"]["value"] > 0.8 and kappa["over_baseline"]["high"] < 0
    told = unproven(report["metrics"])
    assert "is not shown to beat TF-IDF" in told and f"against {kappa['baseline']['value']:.3f}" in told
    over = {"value": 0.1, "low": 0.01, "high": 0.2, "clusters": 10}

    def told_of(**changes: object) -> str:
        return unproven({"kappa": kappa | {"over_baseline": over | changes}})

    assert told_of() == "" and "[+0.000, +0.200]. Give" in told_of(low=0.0)
    assert "[+0.010, +0.200] from 9 groups, where 10 are the fewest" in told_of(clusters=9)
    assert "without an interval from 1 groups" in told_of(clusters=1, low=None, high=None)
    assert "was not compared" in unproven({"kappa": kappa | {"over_baseline": None}})
    nothing = {"value": None, "low": None, "high": None}
    assert "has no difference" in unproven({"kappa": kappa | {"over_baseline": nothing}})


def load_like(level: float) -> list[Score]:
    """Scores of somebody who says one level always."""
    return [Score(level, level, (0.0, 0.0, 1.0)) for _ in TEST]
