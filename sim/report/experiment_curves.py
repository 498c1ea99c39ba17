"""The figures of an experiment: gain against leak, beliefs by turn, robustness; and the worst dialogues.

Invariant: every drawing stands beside (or in) a table with the same means, intervals and n; panels that are to be
compared have the same scale; what was not measured is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sim.report.data import finite
from sim.report.experiment_plots import ParetoPoint, Series, curves_plot, frontier_of, pareto_plot
from sim.report.experiment_tables import Facts, series_of
from sim.report.figures import MISSING, Metric, plain
from sim.report.marks import Axes, padded, swatch
from sim.report.measures import Shown, entries, estimate, listed, measure, shown, spoken
from sim.report.plots import Estimate
from sim.report.verdicts import Verdicts

Curve = tuple[tuple[float, Estimate], ...]


def pareto(experiment: Facts) -> dict[str, Any] | None:
    """The plane of leaking and teaching with its frontier; None where no tutor has both."""
    name = next((n for n in ("net_gain", "gain") if any(_has(t, n) for t in entries(experiment, "tutors"))), "gain")
    across, up = measure(experiment, "leak_rate"), measure(experiment, name)
    numbers, points = series_of(experiment), []
    for tutor in entries(experiment, "tutors"):
        figures = tutor.get("figures") or {}
        x, y = estimate(figures.get("leak_rate")), estimate(figures.get(name))
        if x and y:
            label = str(tutor.get("tutor", MISSING))
            points.append(ParetoPoint(label, numbers[label], x, y))
    if not points:
        return None
    # the axes hold all means, and of wide whiskers what fits: a leak rate starts at 0
    right = max(edge for p in points for edge in (p.x.mean, *(p.x.interval or ())))
    span = padded([edge for p in points for edge in (p.y.mean, *(p.y.interval or ()))], include=(0.0,))
    axes = Axes(across.label, up.label, (-0.02 * (right or 1.0), (right or 0.05) * 1.12), span, (), True, up.share)
    best = [points[index].label for index in frontier_of([(p.x.mean, p.y.mean) for p in points])]
    missing = [str(t.get("tutor", MISSING)) for t in entries(experiment, "tutors")]
    title = f"{up.label} against {across.label[:1].lower()}{across.label[1:]}, by tutor"
    desc = "; ".join(f"{p.label}: leaks {spoken(across, p.x)}, {up.label} {spoken(up, p.y)}" for p in points)
    return {
        "plot": pareto_plot(points, axes, title, desc),
        "frontier": listed(best),
        "many": len(best) > 1,
        "across": across.label,
        "up": up.label,
        "absent": listed(name for name in missing if name not in {p.label for p in points}),
    }


def _has(tutor: Facts, name: str) -> bool:
    return estimate((tutor.get("figures") or {}).get(name)) is not None


def curve(points: object, key: str) -> Curve:
    """A summary's points as numbers, ascending; those without a mean are left out."""
    listed_points = points if isinstance(points, Sequence) else []
    found = [(finite(point.get(key)), estimate(point)) for point in listed_points if isinstance(point, Mapping)]
    return tuple(sorted(((x, y) for x, y in found if x is not None and y is not None), key=lambda pair: pair[0]))


def beliefs(experiment: Facts) -> dict[str, Any] | None:
    """A panel per tutor: belief in the right answer by tutor turn, the baseline's curve behind it."""
    found = [
        (str(entry.get("tutor", MISSING)), curve(entry.get("points"), "turn"))
        for entry in entries(experiment, "beliefs")
    ]
    found = [(tutor, points) for tutor, points in found if points]
    if not found:
        return None
    metric, numbers = Metric("belief", "P(right answer)", ""), series_of(experiment)
    baseline = str(experiment.get("baseline") or "")
    axes = Axes(
        "tutor turns so far", "P(right answer)", _across(c for _, c in found), _up(c for _, c in found), _turns(found)
    )
    panels, rows = [], []
    for tutor, points in found:
        behind = [Series(name, 0, other, True) for name, other in found if name == baseline != tutor]
        series = [*behind, Series(tutor, numbers.get(tutor, 0), points)]
        title = f"{tutor}: belief in the right answer by tutor turn"
        plot = curves_plot(series, axes, title, _said(metric, "turn", points), labels=False)
        panels.append((tutor, swatch(numbers.get(tutor, 0)), plot))
        rows.append((tutor, {turn: shown(metric, _figure(one)) for turn, one in points}))
    turns = sorted({turn for _, points in found for turn, _ in points})
    return {
        "panels": panels,
        "turns": [f"{turn:g}" for turn in turns],
        "rows": [(tutor, [cells.get(turn) for turn in turns]) for tutor, cells in rows],
        "baseline": baseline,
    }


def _turns(found: Sequence[tuple[str, Curve]]) -> tuple[float, ...]:
    turns = sorted({turn for _, points in found for turn, _ in points})
    return tuple(turns[:: -(-len(turns) // 8)])


def _figure(one: Estimate) -> dict[str, Any]:
    low, high = one.interval or (None, None)
    return {"mean": one.mean, "low": low, "high": high, "n": one.n}


def _said(metric: Metric, what: str, points: Curve) -> str:
    return "; ".join(f"{what} {x:g}: {spoken(metric, one)}" for x, one in points)


def _across(curves: Iterable[Curve]) -> tuple[float, float]:
    xs = [x for points in curves for x, _ in points]
    return (min(xs), max(xs)) if min(xs) < max(xs) else (min(xs) - 0.5, max(xs) + 0.5)


def _up(curves: Iterable[Curve]) -> tuple[float, float]:
    return padded([edge for points in curves for _, one in points for edge in (one.mean, *(one.interval or ()))])


def robustness(experiment: Facts, verdicts: Verdicts, dialogues: Mapping[str, str]) -> list[dict[str, Any]]:
    """Per stressor: a panel per measure, the same in numbers, and the worst dialogues.

    Args:
        experiment: the summary.
        verdicts: of all dialogues.
        dialogues: by id of a worst dialogue, its invalid verdicts in words.
    """
    found = entries(experiment, "robustness")
    worst = entries(experiment, "worst")
    names = [str(entry.get("stressor", MISSING)) for entry in (*found, *worst)]
    groups = []
    for stressor in dict.fromkeys(names):
        here = [entry for entry in found if str(entry.get("stressor", MISSING)) == stressor]
        panels = _panels(here, found, experiment)
        levels, rows = _numbers(here, stressor, experiment, verdicts)
        bad = [
            _worst(entry, experiment, dialogues) for entry in worst if str(entry.get("stressor", MISSING)) == stressor
        ]
        groups.append(
            {"stressor": stressor, "panels": panels, "levels": levels, "rows": rows, "worst": bad,
             "judged": any(cell.invalid for row in rows for cell in row["cells"] if cell)}
        )  # fmt: skip
    return groups


def curves_of(found: Sequence[Facts], metric: str) -> list[tuple[str, Curve]]:
    """The curves of one measure by tutor."""
    chosen = [entry for entry in found if str(entry.get("metric", MISSING)) == metric]
    curves = [(str(entry.get("tutor", MISSING)), curve(entry.get("points"), "intensity")) for entry in chosen]
    return [(tutor, points) for tutor, points in curves if points]


def _panels(here: Sequence[Facts], everywhere: Sequence[Facts], experiment: Facts) -> list[tuple[str, Markup]]:
    panels = []
    for name in dict.fromkeys(str(entry.get("metric", MISSING)) for entry in here):
        plot = robustness_plot(experiment, here, everywhere, name)
        if plot:
            panels.append((name, plot))
    return panels


def robustness_plot(experiment: Facts, here: Sequence[Facts], everywhere: Sequence[Facts], name: str) -> Markup:
    """One measure against the intensity of one stressor, all tutors; empty where nothing was measured.

    Args:
        experiment: the summary.
        here: the entries of the stressor.
        everywhere: the entries of all stressors, which share the scale of the measure.
        name: of the measure.
    """
    curves, metric, numbers = curves_of(here, name), measure(experiment, name), series_of(experiment)
    if not curves:
        return Markup("")
    span = _up(points for _, points in curves_of(everywhere, name))
    levels = sorted({x for _, points in curves for x, _ in points})
    axes = Axes("intensity", metric.label, _across(c for _, c in curves), span, tuple(levels[:8]), False, metric.share)
    series = [Series(tutor, numbers.get(tutor, 0), points) for tutor, points in curves]
    stressor = str(here[0].get("stressor", MISSING)).replace("_", " ")
    desc = ". ".join(f"{tutor}: {_said(metric, 'intensity', points)}" for tutor, points in curves)
    return curves_plot(series, axes, f"{metric.label} against the intensity of {stressor}", desc)


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of the robustness table, and the invalid verdicts behind it in words (empty: no judge gives it)."""

    figure: Shown
    invalid: str


def _numbers(
    here: Sequence[Facts], stressor: str, experiment: Facts, verdicts: Verdicts
) -> tuple[list[str], list[dict[str, Any]]]:
    """Intensities, and a row per measure and tutor with a cell for each of them."""
    rows: list[tuple[Metric, str, dict[float, Cell]]] = []
    for name in dict.fromkeys(str(entry.get("metric", MISSING)) for entry in here):
        metric = measure(experiment, name)
        for tutor, points in curves_of(here, name):
            cells = {}
            for level, one in points:
                count = verdicts.behind(name, tutor=tutor, stress=(stressor, level))
                cells[level] = Cell(shown(metric, _figure(one)), count.words if count else "")
            rows.append((metric, tutor, cells))
    levels = sorted({level for _, _, cells in rows for level in cells})
    table = [
        {"metric": metric.label, "tutor": tutor, "cells": [cells.get(level) for level in levels]}
        for metric, tutor, cells in rows
    ]
    return [f"{level:g}" for level in levels], table


def _worst(entry: Facts, experiment: Facts, dialogues: Mapping[str, str]) -> dict[str, str]:
    name = str(entry.get("dialogue", ""))
    return {
        "id": name,
        "tutor": str(entry.get("tutor", MISSING)),
        "persona": str(entry.get("persona", MISSING)),
        "item": str(entry.get("item", MISSING)),
        "intensity": plain(entry.get("intensity"), 2),
        "leak": plain(entry.get("leak"), 2),
        "net_gain": measure(experiment, "net_gain").signed(entry.get("net_gain")),
        "invalid": dialogues.get(name, MISSING),
    }
