"""The frontier of a sweep as the report shows it.

Invariant: as for the other sections: what is missing is a dash, and a run without a sweep has no such section.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.report.data import finite
from sim.report.figures import MISSING, interval_of, plain, section
from sim.report.plots import trade_plot
from sim.report.view import trade_point

_SHOWN = ("question_share", "gain", "net_gain", "leak_rate")


def frontier(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sweep's points as rows, and in the plane of asking and teaching; None outside a sweep."""
    facts = section(summary, "frontier")
    if facts is None:
        return None
    base = facts["base"]
    points = [trade_point({"intervals": {"base": base["ci95"]}}, "base", base["mean"], "base", False)]
    rows = []
    for point in facts["points"]:
        leaks = finite(point["after"].get("leak_rate"))
        label = f"{point['label']} (leaks {MISSING if leaks is None else f'{leaks:.0%}'})"
        points.append(trade_point({"intervals": {"after": point["ci95"]}}, label, point["after"], "after", True))
        rows.append(
            {
                "label": point["label"],
                "cells": [
                    (plain(point["after"].get(name), 3), _change(point["difference"].get(name))) for name in _SHOWN
                ],
                "n": point["n"],
                "improves": point["improves"],
            }
        )
    drawn = [point for point in points if point is not None]
    title = "Share of turns with a question against belief gain, by reward"
    return {
        "base": [plain(base["mean"].get(name), 3) for name in _SHOWN],
        "rows": rows,
        "plot": trade_plot(drawn, title) if drawn else "",
        "improving": facts["improving"],
    }


def _change(difference: Mapping[str, Any] | None) -> str:
    bounds = interval_of((difference or {}).get("ci95"))
    return MISSING if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}".replace("-", "\u2212")
