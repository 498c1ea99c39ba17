"""The measures of an experiment as its report writes them: label, formula, unit, and a figure in words.

Invariant: a figure that is missing or not finite is a dash; a mean never stands without its n, nor with half an
interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.experiment.metrics import METRICS
from sim.report.data import finite
from sim.report.figures import MISSING, Metric, plain
from sim.report.plots import Estimate, Interval

LEAD = ("gain", "question_share", "leak_rate")
"""Measures that a leaderboard shows whatever the family of comparisons is."""
FORM = ("repetition", "successive_similarity", "opener_share", "distinct_openings", "distinct_ngrams", "words")
"""Measures of how a tutor speaks, which every report shows."""
_DIGITS = {"probability": 3, "words": 1, "grade": 1, "turns": 1, "tokens": 0, "seconds": 1, "points": 2, "currency": 4}


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure in words; `sort` is its number for sorting, empty where there is none."""

    value: str
    bounds: str
    n: str
    sort: str


def entries(experiment: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """A list of the experiment's summary; empty when it is missing."""
    return [entry for entry in experiment.get(name) or [] if isinstance(entry, Mapping)]


def measure(experiment: Mapping[str, Any], name: str) -> Metric:
    """A measure as the summary describes it, else as `sim.experiment.metrics` does, else under its bare name."""
    facts: Mapping[str, Any] = (experiment.get("metrics") or {}).get(name) or {}
    known = METRICS.get(name)
    label = str(facts.get("label") or (known.label if known else name.replace("_", " ")))
    formula = str(facts.get("formula") or (known.formula if known else ""))
    better = str(facts.get("better", known.better if known else ""))
    sign, of = {"higher": 1, "lower": -1}.get(better, 0), unit(experiment, name)
    return Metric(name, label[:1].upper() + label[1:], formula, sign, _DIGITS.get(of, 3), of == "share")


def unit(experiment: Mapping[str, Any], name: str) -> str:
    """The unit of a measure; empty where it has none."""
    facts: Mapping[str, Any] = (experiment.get("metrics") or {}).get(name) or {}
    known = METRICS.get(name)
    return str(facts.get("unit", known.unit if known else ""))


def family(experiment: Mapping[str, Any]) -> list[str]:
    """Names of the measures that are compared."""
    return [str(name) for name in experiment.get("family") or []]


def columns(experiment: Mapping[str, Any]) -> list[str]:
    """The leaderboard's measures: the family, then the leading ones that were taken."""
    taken = {name for tutor in entries(experiment, "tutors") for name in figures_of(tutor)}
    return list(dict.fromkeys([*family(experiment), *(name for name in LEAD if name in taken)]))


def cost_known(tutor: Mapping[str, Any]) -> bool:
    """Whether somebody knows what a tutor cost. 0 for tokens that were used is a price that was never set."""
    each = tutor.get("per_dialogue") or {}
    cost, tokens = finite(each.get("cost")), finite(each.get("tokens"))
    return cost is not None and (cost > 0.0 or tokens == 0.0)


def figures_of(tutor: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tutor's figures by measure, without its cost where nobody knows it."""
    figures: Mapping[str, Any] = tutor.get("figures") or {}
    return figures if cost_known(tutor) else {name: value for name, value in figures.items() if name != "cost"}


def direction(metric: Metric) -> str:
    """Which way is better, in words."""
    return {1: "higher is better", -1: "lower is better"}.get(metric.better, "neither way is better")


def bounds(figure: Mapping[str, Any]) -> Interval | None:
    """The interval of a figure object, or None unless both ends are finite."""
    low, high = finite(figure.get("low")), finite(figure.get("high"))
    return None if low is None or high is None else (low, high)


def estimate(figure: object) -> Estimate | None:
    """A figure object as numbers; None without a finite mean."""
    if not isinstance(figure, Mapping):
        return None
    mean, n = finite(figure.get("mean")), finite(figure.get("n"))
    return None if mean is None else Estimate(mean, bounds(figure), int(n or 0))


def shown(metric: Metric, figure: object) -> Shown:
    """A figure object in words."""
    found = estimate(figure)
    if found is None:
        return Shown(MISSING, "", "", "")
    return Shown(metric.show(found.mean), metric.bounds(found.interval), plain(found.n, 0), f"{found.mean:.12g}")


def spoken(metric: Metric, found: Estimate) -> str:
    """A figure as a phrase: mean, interval, n."""
    between = metric.bounds(found.interval)
    return f"{metric.show(found.mean)} ({between or 'no interval'}, n {plain(found.n, 0)})"


def listed(names: Iterable[str]) -> str:
    """Names as an English list."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else ""
