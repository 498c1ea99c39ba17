"""The mixed model against closed forms of balanced designs, and its notes where it cannot be fitted."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from sim.stats.mixed import MixedResult, mixed_model

TUTORS = ("base", "a", "b")


def crossed(
    seed: int, *, items: int = 12, personas: int = 4, repeats: int = 1, sd: tuple[float, float, float] = (1.0, 0.8, 0.5)
) -> NDArray[np.float64]:
    """Values `(tutor, item, persona, repeat)` with effects 0, 0.3 and 0 of the tutors."""
    rng = np.random.default_rng(seed)
    shape = (len(TUTORS), items, personas, repeats)
    item, persona = rng.normal(0, sd[0], (1, items, 1, 1)), rng.normal(0, sd[1], (1, 1, personas, 1))
    tutor = np.array([0.0, 0.3, 0.0]).reshape(-1, 1, 1, 1)
    values: NDArray[np.float64] = tutor + item + persona + rng.normal(0, sd[2], shape)
    return values


def fitted(
    values: NDArray[np.float64], *, keep: NDArray[np.bool_] | None = None, baseline: str = "base"
) -> MixedResult:
    """The model on such values, or on some of them."""
    rows = [
        (float(value), TUTORS[t], f"i{i}", f"p{p}")
        for (t, i, p, r), value in np.ndenumerate(values)
        if keep is None or keep[t, i, p, r]
    ]
    y, tutors, items, personas = (list(column) for column in zip(*rows, strict=True))
    return mixed_model(y, tutors, items, personas, baseline=baseline)


def test_a_balanced_design_has_the_figures_of_its_analysis_of_variance() -> None:
    values = crossed(1)[..., 0]
    found = fitted(values[..., None])
    t, i, p = values.shape
    grand = values.mean()
    tutor, item, persona = values.mean(axis=(1, 2)), values.mean(axis=(0, 2)), values.mean(axis=(0, 1))
    rest = values - tutor[:, None, None] - item[None, :, None] - persona[None, None, :] + 2 * grand
    residual = (rest**2).sum() / (values.size - 1 - (t - 1) - (i - 1) - (p - 1))
    between_items = (t * p * ((item - grand) ** 2).sum() / (i - 1) - residual) / (t * p)
    between_personas = (t * i * ((persona - grand) ** 2).sum() / (p - 1) - residual) / (t * i)
    assert found.sd_residual == pytest.approx(math.sqrt(residual), rel=1e-3)
    assert found.sd_item == pytest.approx(math.sqrt(between_items), rel=1e-3)
    assert found.sd_persona == pytest.approx(math.sqrt(between_personas), rel=1e-3)
    se = math.sqrt(2 * residual / (i * p))
    assert [effect.tutor for effect in found.effects] == ["a", "b"]
    for effect, mean in zip(found.effects, tutor[1:] - tutor[0], strict=True):
        assert effect.estimate == pytest.approx(mean, abs=1e-6)
        assert effect.low == pytest.approx(mean - norm.ppf(0.975) * se, abs=1e-3)
        assert effect.high == pytest.approx(mean + norm.ppf(0.975) * se, abs=1e-3)
        assert effect.p == pytest.approx(2 * norm.sf(abs(mean) / se), rel=2e-2)
        assert effect.n == i * p
    assert found.note == "" and found.n == values.size


def test_rotated_rows_give_what_statsmodels_gives_on_all_rows() -> None:
    values = crossed(2, items=7, personas=3, repeats=4)
    keep = np.random.default_rng(3).random(values.shape) > 0.2
    found = fitted(values, keep=keep)
    at = np.argwhere(keep)
    design = np.stack([np.ones(len(at)), at[:, 0] == 1, at[:, 0] == 2], axis=1).astype(np.float64)
    blocks = [np.eye(7)[at[:, 1]], np.eye(3)[at[:, 2]]]
    names = [[[str(column) for column in range(block.shape[1])]] for block in blocks]
    spec = VCSpec(["item", "persona"], names, [[block] for block in blocks])
    plain = MixedLM(values[keep], design, groups=np.zeros(len(at)), exog_vc=spec).fit(reml=True)
    assert found.sd_residual == pytest.approx(math.sqrt(plain.scale), rel=1e-4)
    assert found.sd_item == pytest.approx(math.sqrt(plain.vcomp[0]), rel=1e-3)
    assert found.sd_persona == pytest.approx(math.sqrt(plain.vcomp[1]), rel=1e-3)
    for effect, estimate, p in zip(found.effects, plain.fe_params[1:], plain.pvalues[1:3], strict=True):
        assert effect.estimate == pytest.approx(estimate, rel=1e-4)
        assert effect.p == pytest.approx(p, rel=1e-2)


def test_the_unit_of_the_measure_scales_all_figures() -> None:
    values = crossed(4)
    one, thousandth = fitted(values), fitted(values / 1000.0)
    assert one.sd_item is not None and thousandth.sd_item == pytest.approx(one.sd_item / 1000.0, rel=1e-6)
    assert one.effects[0].low is not None
    assert thousandth.effects[0].low == pytest.approx(one.effects[0].low / 1000.0, rel=1e-6)
    assert thousandth.effects[0].p == pytest.approx(one.effects[0].p, rel=1e-6)


def test_a_factor_with_one_level_is_left_out_and_told() -> None:
    found = fitted(crossed(5, personas=1))
    assert found.sd_persona is None and found.sd_item is not None and found.sd_item > 0
    assert found.note == "only one persona: left out of the model" and found.effects[0].p is not None


def test_no_variation_between_personas_is_a_singular_fit_and_told() -> None:
    values = crossed(6, sd=(1.0, 0.0, 0.5))
    values -= values.mean(axis=(0, 1, 3), keepdims=True)
    found = fitted(values)
    assert found.sd_persona == 0.0 and "no variation between personas was found (singular fit)" in found.note
    assert found.sd_item is not None and found.sd_item > 0.3 and found.effects[0].p is not None


@pytest.mark.long
def test_a_first_fit_of_a_process_warns_of_nothing() -> None:
    """What statsmodels would warn of stands in the note, and it turns its warnings on as it is loaded."""
    columns = "[0.1, 0.5, 0.4, 0.3] * 4, ['a', 'b'] * 8, list('iijj') * 4, list('ppqq') * 4"
    fit = f"mixed_model({columns}, baseline='a')"
    code = f"from sim.stats.mixed import mixed_model; print({fit}.note)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "singular fit" in done.stdout and done.stderr == ""


def test_noise_alone_falls_back_to_plain_least_squares() -> None:
    values = crossed(7, sd=(0.0, 0.0, 1.0))
    values -= values.mean(axis=(0, 1, 3), keepdims=True)
    values -= values.mean(axis=(0, 2, 3), keepdims=True)
    found = fitted(values)
    assert found.sd_item == found.sd_persona == 0.0 and found.note.count("singular fit") == 2
    assert found.effects[0].estimate == pytest.approx(float(values[1].mean() - values[0].mean()))


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        (([1.0, 1.0, 1.0, 1.0], ["base", "a", "base", "a"], list("iijj"), list("pppp")), "no variation"),
        (([1.0, 2.0, 3.0], ["a", "a", "b"], list("iij"), list("pqp")), "no values of the baseline 'base'"),
        (([1.0, 2.0, 3.0], ["base"] * 3, list("iij"), list("pqp")), "no tutor but the baseline has values"),
        (([1.0, 2.0], ["base", "a"], list("ij"), list("pq")), "2 values are too few for 2 tutors"),
        (
            ([0.0, 1.0, 0.0, 1.0], ["base", "a", "base", "a"], list("iijj"), list("pqpq")),
            "no variation but that between tutors",
        ),
        (
            (
                [float(at % 7) for at in range(1200)],
                ["base", "a"] * 600,
                [f"i{at // 2}" for at in range(1200)],
                ["p"] * 1200,
            ),
            "600 items are too many",
        ),
    ],
)
def test_what_cannot_be_fitted_gives_a_note_and_no_figures(
    columns: tuple[list[float], list[str], list[str], list[str]], note: str
) -> None:
    found = mixed_model(*columns, baseline="base")
    assert note in found.note
    assert all(effect.estimate is None and effect.p is None for effect in found.effects)
    assert found.sd_residual is None and found.n == len(columns[0])


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths"):
        mixed_model([1.0], ["a", "b"], ["i"], ["p"], baseline="a")
    with pytest.raises(ValueError, match="nan is no measured value"):
        mixed_model([1.0, math.nan], ["a", "b"], ["i", "i"], ["p", "p"], baseline="a")
