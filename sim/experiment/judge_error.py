"""Rates corrected for what is known of a judge's errors (Rogan and Gladen, 1978).

A calibration file says, for each judge and criterion, how a judge did on dialogues whose truth is known:

    rubric:pedagogical_rl:
      no_leak: {sensitivity: 0.91, specificity: 0.84, n_positive: 120, n_negative: 80}
    rules:
      leak_rate: {sensitivity: 0.9, specificity: 0.98, n_positive: 37, n_negative: 631}

`rules` is the rule judge, whose verdicts are of single tutor turns: a leak there is positive. `benchmarks/leaks.py
--calibration FILE` writes what it measured against people.

Invariant: invalid verdicts are neither passes nor fails; a judge without a calibration has no corrected rate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from agents.documents import adapted, located_in, read_document
from agents.errors import InputError, nearest
from agents.records import Dialogue, TurnRules
from sim.config import Config
from sim.experiment.measured import as_figure, precision
from sim.section import Fraction, Positive, Section
from sim.stats.calibration import design_effect, rogan_gladen
from sim.stats.paired import mean_interval


class Calibration(Section):
    """How a judge did where the truth is known."""

    sensitivity: Fraction
    """Share of true passes that it passed; of the rules, of what is there that they found."""
    specificity: Fraction
    """Share of true fails that it failed; of the rules, of turns without it that they let be."""
    n_positive: Positive
    n_negative: Positive


RULES = "rules"
"""The judge of a calibration whose criteria are measures of single tutor turns."""
_TURN_RULES: dict[str, Callable[[TurnRules], bool | None]] = {
    "leak_rate": lambda rules: None if rules.leak is None else rules.leak > 0.0,
    "question_share": lambda rules: rules.question,
    "confirmation_share": lambda rules: rules.confirmation,
}
_FILE = TypeAdapter(dict[str, Annotated[dict[str, Calibration], Field(min_length=1)]])


def load_calibration(path: str, document: str | None = None) -> dict[str, dict[str, Calibration]]:
    """Reads a calibration file, or its content as JSON where a run keeps it. Raises InputError naming file, judge and
    field."""
    try:
        if document is not None:
            return _checked(_FILE.validate_python(json.loads(document)), path)
        return _checked(
            adapted(_FILE, read_document(Path(path).expanduser(), f"experiment.calibration: {path!r}")), path
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        end = located_in(Path(path).expanduser(), first)
        raise InputError(f"experiment.calibration: {path}: {place}: {first['msg']}{end}") from error


def _checked(known: dict[str, dict[str, Calibration]], path: str) -> dict[str, dict[str, Calibration]]:
    for name in known.get(RULES, {}):
        if name not in _TURN_RULES:
            near = nearest(name, _TURN_RULES)
            raise InputError(f"experiment.calibration: {path}: {RULES}: {name!r} is no yes or no about a turn; {near}")
    return known


def corrected_rates(config: Config, dialogues: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """Observed and corrected rates by tutor, judge and criterion; empty without a calibration."""
    path = config.experiment.calibration
    if not path:
        return []
    rows = []
    for judge, criteria in load_calibration(path, config.inputs.document("calibration", path)).items():
        for criterion, known in criteria.items():
            for arm in config.tutor_arms():
                row = _row(config, dialogues, arm.name, judge, criterion, known)
                rows.extend([row] if row else [])
    return rows


def _row(
    config: Config, dialogues: Sequence[Dialogue], tutor: str, judge: str, criterion: str, known: Calibration
) -> dict[str, Any] | None:
    own = [d for d in dialogues if d.failure is None and d.spec.tutor_name == tutor]
    passed = [(float(said), d.spec.item_id) for d in own for said in _said(d, judge, criterion)]
    if not passed:
        return None
    values, items = zip(*passed, strict=True)
    found = rogan_gladen(
        int(sum(values)),
        len(values),
        sensitivity=known.sensitivity,
        specificity=known.specificity,
        n_positive=known.n_positive,
        n_negative=known.n_negative,
        confidence=config.experiment.confidence,
        design_effect=design_effect(values, items),
    )
    corrected = {"mean": found.mean, "low": found.low, "high": found.high, "n": len(values)}
    return {
        "tutor": tutor,
        "judge": judge,
        "criterion": criterion,
        "observed": as_figure(mean_interval(values, items, rate=True, **precision(config))),
        "corrected": None if found.mean is None else corrected,
        "sensitivity": known.sensitivity,
        "specificity": known.specificity,
        "note": found.note,
    }


def _said(dialogue: Dialogue, judge: str, criterion: str) -> list[bool]:
    """The valid verdicts of a judge on a dialogue; of the rules one for each tutor turn that they could read."""
    if judge != RULES:
        own = (v for v in dialogue.verdicts if (v.judge, v.name) == (judge, criterion) and v.kind != "invalid")
        return [verdict.kind == "pass" for verdict in own]
    read = (_TURN_RULES[criterion](turn.rules) for turn in dialogue.tutor_turns if turn.rules is not None)
    return [bool(said) for said in read if said is not None]
