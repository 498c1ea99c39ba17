"""Persona by tutor: the cells of an experiment as heat maps, for the page as tables and for a paper as drawings.

Invariant: every cell has its number, interval and n; the shade only repeats the number, stronger for a larger amount,
in another hue below 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sim.report.experiment_plots import heat_plot
from sim.report.experiment_tables import Facts, series_of
from sim.report.figures import MISSING, Metric
from sim.report.measures import Shown, direction, entries, estimate, family, measure, shown, spoken
from sim.report.plots import Estimate
from sim.report.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell: its figure, its strength from -1 to 1, and the invalid verdicts behind it in words."""

    figure: Shown
    strength: float
    invalid: str

    @property
    def percent(self) -> str:
        """The shade, 0 to 45% of the hue, so that the ink stays readable on it."""
        return f"{45 * abs(self.strength):.0f}%"


Grid = dict[tuple[str, str], Estimate]


def heat(experiment: Facts, verdicts: Verdicts) -> list[dict[str, Any]]:
    """A map per measure of the family."""
    maps = []
    for name in family(experiment):
        metric, grid = measure(experiment, name), grid_of(experiment, name)
        if not grid:
            continue
        personas, tutors = _sides(experiment, grid)
        rows = [(persona, [_cell(metric, grid, persona, tutor, verdicts) for tutor in tutors]) for persona in personas]
        maps.append(
            {"label": metric.label, "direction": direction(metric), "tutors": tutors, "rows": rows,
             "negative": any(cell.strength < 0 for _, cells in rows for cell in cells)}
        )  # fmt: skip
    return maps


def grid_of(experiment: Facts, name: str) -> Grid:
    """Figures of one measure by persona and tutor; cells without one are left out."""
    found: Grid = {}
    for entry in entries(experiment, "cells"):
        one = estimate((entry.get("figures") or {}).get(name))
        if one is not None:
            found[str(entry.get("persona", MISSING)), str(entry.get("tutor", MISSING))] = one
    return found


def _sides(experiment: Facts, grid: Grid) -> tuple[list[str], list[str]]:
    known = [tutor for tutor in series_of(experiment) if any(tutor == of for _, of in grid)]
    tutors = list(dict.fromkeys([*known, *(tutor for _, tutor in grid)]))
    return list(dict.fromkeys(persona for persona, _ in grid)), tutors


def _strength(grid: Grid, one: Estimate) -> float:
    """The figure as a part of the largest amount in the map."""
    return one.mean / (max(abs(each.mean) for each in grid.values()) or 1.0)


def _cell(metric: Metric, grid: Grid, persona: str, tutor: str, verdicts: Verdicts) -> HeatCell:
    one, count = grid.get((persona, tutor)), verdicts.behind(metric.name, tutor=tutor, persona=persona)
    invalid = count.words if count else ""
    if one is None:
        return HeatCell(Shown(MISSING, "", "", ""), 0.0, invalid)
    low, high = one.interval or (None, None)
    figure = shown(metric, {"mean": one.mean, "low": low, "high": high, "n": one.n})
    return HeatCell(figure, _strength(grid, one), invalid)


def heat_figure(experiment: Facts, name: str) -> Markup:
    """The map of one measure as a drawing; empty where nothing was measured."""
    metric, grid = measure(experiment, name), grid_of(experiment, name)
    if not grid:
        return Markup("")
    personas, tutors = _sides(experiment, grid)
    cells = []
    for persona in personas:
        line = []
        for tutor in tutors:
            one = grid.get((persona, tutor))
            between = metric.bounds(one.interval) if one else ""
            below = f"{between or 'no interval'}, n {one.n}" if one else ""
            line.append((metric.show(one.mean if one else None), below, _strength(grid, one) if one else 0.0))
        cells.append(line)
    desc = "; ".join(f"{persona}, {tutor}: {spoken(metric, one)}" for (persona, tutor), one in grid.items())
    return heat_plot(personas, tutors, cells, f"{metric.label} by persona and tutor", desc)
