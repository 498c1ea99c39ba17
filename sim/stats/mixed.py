"""The mixed model of an experiment: tutors as fixed effects, items and personas as crossed random intercepts.

ConvoLearn's evaluation (arXiv:2601.08950) used this family of models. Here it stands beside the default test and never
replaces it: it has no interaction of tutor and item, so it is too sure where tutors differ in which items they do well.

Invariant: a fit that cannot be trusted gives no figures but a note. A factor that cannot be estimated is left out, and
the note says so.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from sim.stats.clustered import Floats, check_confidence

_NOTHING = 1e-4
"""A variance below this share of the residual's counts as none: its standard deviation is under 1% of the residual's.
The likelihood is flat there, and statsmodels treats an exact 0 as if the effects were fixed."""
MOST_LEVELS = 500
"""Of a factor. The time of a fit grows with their cube: about 3 s of a core at this number."""


@dataclass(frozen=True, slots=True)
class TutorEffect:
    """A tutor's mean minus the baseline's, as the model estimates it."""

    tutor: str
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    """Of Wald's z-test that the difference is 0."""
    n: int
    """Values of this tutor."""


@dataclass(frozen=True, slots=True)
class MixedResult:
    """All tutors against the baseline, and where the rest of the variation lies."""

    baseline: str
    effects: tuple[TutorEffect, ...]
    """One for each tutor but the baseline, by name."""
    sd_item: float | None
    """Standard deviation between items, in the measure's unit; None where not estimated, 0 where none was found."""
    sd_persona: float | None
    sd_residual: float | None
    n: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Fit:
    beta: Floats
    se: Floats
    sds: dict[str, float]
    sd_residual: float


def mixed_model(
    values: Sequence[float],
    tutors: Sequence[str],
    items: Sequence[str],
    personas: Sequence[str],
    *,
    baseline: str,
    confidence: float = 0.95,
) -> MixedResult:
    """Fits `value = tutor + item + persona + residual` by REML with statsmodels' MixedLM.

    Args:
        values: one per dialogue.
        tutors: of each dialogue.
        items: of each dialogue; a random intercept.
        personas: of each dialogue; a random intercept, crossed with items.
        baseline: the tutor that the others are compared with.
        confidence: of the intervals, estimate +- z * standard error.

    Returns:
        The result; without estimates and with a note where the model cannot be fitted.

    Raises:
        ValueError: there are no values, the columns differ in length, or a value is not finite.
    """
    check_confidence(confidence)
    y = _checked(values, tutors, items, personas)
    others = sorted(set(tutors) - {baseline})
    columns = {"item": items, "persona": personas}
    fit, notes = None, _hopeless(y, tutors, others, baseline, columns)
    if not notes:
        names = np.asarray(tutors, dtype=np.str_)
        design = np.stack([np.ones(len(y)), *((names == tutor).astype(np.float64) for tutor in others)], axis=1)
        factors, left_out = _factors(columns)
        fit, told = _fit_or_note(y, design, factors)
        notes = "; ".join([*left_out, *told])
    if fit is None:
        nothing = tuple(TutorEffect(tutor, None, None, None, None, _count(tutors, tutor)) for tutor in others)
        return MixedResult(baseline, nothing, None, None, None, len(y), notes)
    width = float(ndtri(0.5 + confidence / 2.0))
    effects = tuple(
        _effect(tutor, float(fit.beta[at]), float(fit.se[at]), width, _count(tutors, tutor))
        for at, tutor in enumerate(others, start=1)
    )
    return MixedResult(baseline, effects, fit.sds.get("item"), fit.sds.get("persona"), fit.sd_residual, len(y), notes)


def _checked(values: Sequence[float], *columns: Sequence[str]) -> Floats:
    lengths = [len(values), *map(len, columns)]
    if not lengths[0] or len(set(lengths)) > 1:
        raise ValueError(f"The columns have lengths {lengths}. Give one value, tutor, item and persona a row.")
    y = np.asarray(values, dtype=np.float64)
    if not np.isfinite(y).all():
        raise ValueError(f"{y[~np.isfinite(y)][0]} is no measured value. Leave out dialogues without a number.")
    return y


def _count(tutors: Sequence[str], tutor: str) -> int:
    return sum(name == tutor for name in tutors)


def _effect(tutor: str, estimate: float, se: float, width: float, n: int) -> TutorEffect:
    p = float(2.0 * ndtr(-abs(estimate) / se))
    return TutorEffect(tutor, estimate, estimate - width * se, estimate + width * se, p, n)


def _factors(columns: dict[str, Sequence[str]]) -> tuple[dict[str, Floats], list[str]]:
    """Indicator matrices `(n, levels)` of the factors that have at least two levels, and a note for the others."""
    found: dict[str, Floats] = {}
    notes = []
    for name, column in columns.items():
        levels, index = np.unique(np.asarray(column, dtype=np.str_), return_inverse=True)
        if len(levels) < 2:
            notes.append(f"only one {name}: left out of the model")
        else:
            found[name] = np.eye(len(levels))[index]
    return found, notes


def _hopeless(
    y: Floats, tutors: Sequence[str], others: Sequence[str], baseline: str, columns: dict[str, Sequence[str]]
) -> str:
    """Why there is nothing to fit; empty where there is."""
    if baseline not in set(tutors):
        return f"no values of the baseline {baseline!r}"
    if not others:
        return "no tutor but the baseline has values"
    if np.ptp(y) <= 1e-10 * float(np.abs(y).max()):
        return "no variation"
    if len(y) <= len(others) + 1:
        return f"{len(y)} values are too few for {len(others) + 1} tutors"
    name, most = max(((name, len(set(column))) for name, column in columns.items()), key=lambda pair: pair[1])
    return f"{most} {name}s are too many for this model (at most {MOST_LEVELS})" if most > MOST_LEVELS else ""


def _fit_or_note(y: Floats, design: Floats, factors: dict[str, Floats]) -> tuple[_Fit | None, list[str]]:
    """The fit without the factors that turn out to have no variance; None with a note where it fails."""
    import statsmodels.regression.mixed_linear_model  # noqa: F401  # it sets a filter of its own, so before ours

    notes: list[str] = []
    rest = y - design @ np.linalg.lstsq(design, y)[0]
    if np.abs(rest).max() <= 1e-10 * np.abs(y).max():
        return None, ["no variation but that between tutors"]
    # The optimiser's tolerances and its boundary warning are absolute: give it values of unit size.
    centre, size = float(y.mean()), float(y.std())
    scaled, kept, gone = (y - centre) / size, dict(factors), dict.fromkeys(factors, False)
    while True:
        try:
            # What its warnings tell (no convergence, a variance of 0) is checked here and goes into the note.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = _fit(scaled, design, kept)
        except (np.linalg.LinAlgError, ValueError, ArithmeticError) as error:
            return None, [*notes, f"the model could not be fitted ({error})"]
        if fit is None:
            return None, [*notes, "the fit did not converge"]
        empty = [name for name in kept if fit.sds[name] ** 2 < _NOTHING * fit.sd_residual**2]
        if not empty:
            break
        for name in empty:
            kept.pop(name)
            gone[name] = True
            notes.append(f"no variation between {name}s was found (singular fit)")
    if not (np.isfinite(fit.se).all() and np.isfinite(fit.beta).all() and (fit.se > 0.0).all()):
        return None, [*notes, "the standard errors could not be computed"]
    sds = {name: 0.0 if gone[name] else fit.sds[name] * size for name in factors}
    return _Fit(fit.beta * size, fit.se * size, sds, fit.sd_residual * size), notes


def _fit(y: Floats, design: Floats, factors: dict[str, Floats]) -> _Fit | None:
    """One REML fit; None where it did not converge."""
    # Both come with pandas: a second that most commands do not need.
    from statsmodels.regression.linear_model import OLS
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    k = design.shape[1]
    if not factors:
        plain = OLS(y, design).fit()
        return _Fit(np.asarray(plain.params), np.asarray(plain.bse), {}, math.sqrt(plain.scale))
    n, rows, indicators = _compress(y, design, list(factors.values()))
    spec = VCSpec(
        list(factors), [[[str(at) for at in range(z.shape[1])]] for z in indicators], [[z] for z in indicators]
    )
    model = MixedLM(rows[:, -1], rows[:, :k], groups=np.zeros(len(rows), dtype=np.int64), exog_vc=spec)
    model.n_totobs = n
    # The gradient methods get stuck where a variance is 0, and one of them then reports success.
    result = model.fit(reml=True, method="powell", ftol=1e-10, maxiter=1000)
    if not result.converged or not result.scale > 0.0:
        return None
    sds = {name: math.sqrt(max(0.0, float(value))) for name, value in zip(factors, result.vcomp, strict=True)}
    return _Fit(np.asarray(result.fe_params), np.asarray(result.bse_fe), sds, math.sqrt(float(result.scale)))


def _compress(y: Floats, design: Floats, indicators: Sequence[Floats]) -> tuple[int, Floats, list[Floats]]:
    """The same model on as few rows as it has columns: n, `[design, y]` and the indicators, all rotated alike.

    Rotating the rows changes neither the residual's covariance nor the likelihood. After a QR decomposition all rows
    below the triangle are zero, and they count only in n. 10,000 dialogues on 200 items become 210 rows.
    """
    columns = np.concatenate([design, *indicators, y[:, None]], axis=1)
    if len(y) > columns.shape[1]:
        columns = np.linalg.qr(columns, mode="r")
    edges = np.cumsum([design.shape[1], *(z.shape[1] for z in indicators)])
    parts = np.split(columns, edges, axis=1)
    return len(y), np.concatenate([parts[0], parts[-1]], axis=1), parts[1:-1]
