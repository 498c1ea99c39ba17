"""How figures of a comparison are written.

Invariant: a figure that is missing is a dash, and a difference has its sign.
"""

from __future__ import annotations

from sim.compare.comparison import TutorComparison
from sim.stats.paired import Estimate

DIGITS = 12
"""Figures are rounded to so many decimals before they are held against a bound: 0.1 - 0.08 is not more than 0.02."""


def names_of(tutor: TutorComparison) -> str:
    """The two tutors, once where they have one name."""
    mine, theirs = tutor.first.tutor, tutor.second.tutor
    return mine if mine == theirs else f"{mine} -> {theirs}"


def share(part: int, whole: int) -> str:
    """A count of a whole with its share."""
    return f"{part}/{whole} ({part / whole:.1%})" if whole else "-"


def estimate_text(estimate: Estimate, signed: bool) -> str:
    """A figure and its interval."""
    return f"{figure_text(estimate.mean, signed)} {interval_text(estimate, signed)}"


def interval_text(estimate: Estimate, signed: bool) -> str:
    """The interval of a figure."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"[{figure_text(estimate.low, signed)}, {figure_text(estimate.high, signed)}]"


def figure_text(value: float | None, signed: bool = False) -> str:
    """Three decimals; fewer for large figures, three significant digits for small ones such as costs."""
    if value is None:
        return "-"
    value = round(value, DIGITS) + 0.0  # no -0.000, and no 1e-17
    sign = "+" if signed else ""
    size = abs(value)
    form = ",.1f" if size >= 100 else ".3f" if size >= 0.001 or size == 0 else ".3g"
    return f"{value:{sign}{form}}"


def some(values: set[str]) -> str:
    """Some of the values, and how many there are."""
    found = sorted(values)
    return ", ".join(found[:3]) + (f", ... ({len(found)} in all)" if len(found) > 3 else "")
