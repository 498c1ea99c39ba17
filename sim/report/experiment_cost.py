"""What the tutors of an experiment cost, as the report's table.

Invariant: a cost that nobody knows is a dash, also where other tutors have a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.report.experiment_tables import Facts, series_of
from sim.report.figures import MISSING, plain
from sim.report.marks import swatch
from sim.report.measures import Shown, cost_known, entries, figures_of, listed, measure, shown

_PARTS = ("tokens", "cost", "engine_seconds")


def cost(experiment: Facts) -> dict[str, Any] | None:
    """Tokens, money and engine time, per dialogue and per resolved misconception; None without tutors."""
    tutors = entries(experiment, "tutors")
    if not tutors:
        return None
    numbers, known = series_of(experiment), [tutor for tutor in tutors if cost_known(tutor)]
    unknown = [str(tutor.get("tutor", MISSING)) for tutor in tutors if tutor not in known and tutor.get("n")]
    rows = [_row(experiment, tutor, numbers) for tutor in tutors]
    return {"rows": rows, "priced": bool(known), "unpriced": listed(unknown) if known else ""}


def _row(experiment: Facts, tutor: Facts, numbers: Mapping[str, int]) -> dict[str, Any]:
    each, resolved, figures = tutor.get("per_dialogue") or {}, tutor.get("per_resolved") or {}, figures_of(tutor)
    name, n_resolved = str(tutor.get("tutor", MISSING)), resolved.get("n_resolved")
    left: list[Shown] = []
    right: list[Shown] = []
    for part in _PARTS:
        metric = measure(experiment, part)
        if part == "cost" and not cost_known(tutor):
            left.append(shown(metric, None))
            right.append(shown(metric, None))
            continue
        left.append(shown(metric, figures.get(part) or {"mean": each.get(part), "n": tutor.get("n")}))
        right.append(shown(metric, {"mean": resolved.get(part), "n": n_resolved}))
    return {
        "tutor": name,
        "mark": swatch(numbers[name]),
        "n": plain(tutor.get("n"), 0),
        "resolved": plain(n_resolved, 0),
        "cells": [*left, *right],
    }
