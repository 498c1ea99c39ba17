"""The tables of an experiment: leaderboard, comparisons with the baseline, mixed model, corrected rates.

Invariant: a p-value is shown only beside its n and its effect; a difference is called better or worse only when it is
so after the correction for the whole family; every row says how many verdicts behind it were invalid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sim.report.data import finite
from sim.report.experiment_plots import difference_plot
from sim.report.figures import MISSING, Metric, plain
from sim.report.marks import swatch
from sim.report.measures import (
    FORM,
    Shown,
    bounds,
    columns,
    direction,
    entries,
    estimate,
    family,
    figures_of,
    measure,
    shown,
)
from sim.report.plots import Interval
from sim.report.verdicts import Count, Verdicts

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TutorRow:
    """One line of the leaderboard."""

    tutor: str
    mark: Markup
    kind: str
    about: str
    n: str
    items: str
    failed: str
    missing: str
    invalid: str
    stopped: str
    cells: tuple[tuple[Shown, str], ...]
    """Per measure: the figure, and its rank with the rank's interval in words."""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One tutor against the baseline on one measure."""

    tutor: str
    difference: str
    between: str
    n: str
    items: str
    p: str
    p_corrected: str
    effect: str
    plot: Markup
    tone: str
    reading: str
    no_worse: str
    note: str
    invalid: str


def series_of(experiment: Facts) -> dict[str, int]:
    """The number of each tutor, which decides its colour and shape everywhere."""
    return {str(tutor.get("tutor", MISSING)): index for index, tutor in enumerate(entries(experiment, "tutors"))}


def leaderboard(experiment: Facts) -> dict[str, Any] | None:
    """A row per tutor, best first on the first measure of the family; None without tutors."""
    tutors = entries(experiment, "tutors")
    if not tutors:
        return None
    metrics = [measure(experiment, name) for name in columns(experiment)]
    numbers = series_of(experiment)
    leading = family(experiment)[0] if family(experiment) else ""
    ordered = sorted(tutors, key=lambda tutor: _place(tutor, leading))
    return {
        "columns": [(m.label, m.hint, direction(m), m.better) for m in metrics],
        "rows": [_tutor_row(tutor, metrics, numbers) for tutor in ordered],
        "total": sum((verdicts_of(tutor) for tutor in tutors), Count(0, 0)).words,
    }


def form(experiment: Facts) -> dict[str, Any] | None:
    """How each tutor speaks: what a leaderboard of outcomes does not show; None where nothing of it was taken."""
    tutors = entries(experiment, "tutors")
    taken = {name for tutor in tutors for name in figures_of(tutor)}
    metrics = [measure(experiment, name) for name in FORM if name in taken]
    if not metrics:
        return None
    rows = [
        (str(tutor.get("tutor", MISSING)), [shown(m, figures_of(tutor).get(m.name)) for m in metrics])
        for tutor in tutors
    ]
    return {"columns": [(m.label, m.hint, direction(m)) for m in metrics], "rows": rows}


def _place(tutor: Facts, metric: str) -> float:
    found = finite(((tutor.get("rank") or {}).get(metric) or {}).get("rank"))
    return float("inf") if found is None else found


def _tutor_row(tutor: Facts, metrics: Sequence[Metric], numbers: Mapping[str, int]) -> TutorRow:
    name, figures, ranks = str(tutor.get("tutor", MISSING)), figures_of(tutor), tutor.get("rank") or {}
    why = tutor.get("unranked") or {}
    unranked = {str(name): f"not ranked: {reason}" for name, reason in why.items()}
    cells = tuple(
        (
            shown(m, figures.get(m.name)),
            rank_words(ranks.get(m.name), figures.get(m.name)) or unranked.get(m.name, ""),
        )
        for m in metrics
    )
    counts = (plain(tutor.get(key), 0) for key in ("n", "n_items", "n_failed", "n_missing"))
    n, items, failed, missing = counts
    kind, policy = str(tutor.get("kind") or ""), str(tutor.get("policy") or "")
    kind += f", {policy}" if policy not in ("", "base", kind) else ""
    about, stopped = str(tutor.get("about") or ""), str(tutor.get("stopped") or "")
    invalid = verdicts_of(tutor).words
    return TutorRow(name, swatch(numbers[name]), kind, about, n, items, failed, missing, invalid, stopped, cells)


def verdicts_of(tutor: Facts) -> Count:
    """All verdicts on a tutor's dialogues."""
    verdicts, invalid = finite(tutor.get("n_verdicts")), finite(tutor.get("n_invalid"))
    return Count(int(verdicts or 0), int(invalid or 0))


def rank_words(rank: object, figure: object = None) -> str:
    """Such as `rank 2 (1 to 3), n 18 on 4 items`, its n only where it is not the figure's own.

    Empty where the measure has no better direction.
    """
    if not isinstance(rank, Mapping) or finite(rank.get("rank")) is None:
        return ""
    ends = bounds(rank)
    between = f"({plain(ends[0], 0)} to {plain(ends[1], 0)})" if ends else "(no interval)"
    own = figure.get("n") if isinstance(figure, Mapping) else None
    if finite(rank.get("n")) is None or rank.get("n") == own:
        return f"rank {plain(rank.get('rank'), 0)} {between}".rstrip()
    # its n is not the figure's: ranks are over the students that all ranked tutors have in common
    shared = f", n {plain(rank.get('n'), 0)}" if finite(rank.get("n")) is not None else ""
    n_items = finite(rank.get("items"))
    items = f" on {plain(n_items, 0)} item{'' if n_items == 1 else 's'}" if shared and n_items is not None else ""
    return f"rank {plain(rank.get('rank'), 0)} {between}{shared}{items}"


def comparisons(experiment: Facts, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Per measure, every tutor against the baseline; plots of one measure share a scale."""
    found = entries(experiment, "comparisons")
    groups = []
    for name in dict.fromkeys(str(entry.get("metric", MISSING)) for entry in found):
        here = [entry for entry in found if str(entry.get("metric", MISSING)) == name]
        metric = measure(experiment, name)
        edges = [abs(edge) for entry in here if (known := bounds(entry)) for edge in known]
        edges += [abs(limit) for entry in here if (limit := _limit(entry)) is not None]
        reach = max(edges, default=0.0) * 1.08 or 1.0
        rows = [_comparison(entry, metric, reach, experiment, verdicts) for entry in here]
        groups.append({"label": metric.label, "hint": metric.hint, "direction": direction(metric), "rows": rows,
                       "bounded": any(row.no_worse for row in rows)})  # fmt: skip
    return groups


def _comparison(entry: Facts, metric: Metric, reach: float, experiment: Facts, verdicts: Verdicts) -> ComparisonRow:
    found, effect, n = estimate(entry), finite(entry.get("effect")), finite(entry.get("n"))
    interval = found.interval if found else None
    tone, reading = reading_of(entry, metric, 1.0 - (finite(experiment.get("confidence")) or 0.95))
    tutor, difference, between = str(entry.get("tutor", MISSING)), MISSING, ""
    plot, note = Markup(""), str(entry.get("note") or "")
    told = effect is not None and bool(n)
    if not told and finite(entry.get("p")) is not None:
        note = f"{note} p is not shown: there is no effect size.".strip()
    if found:
        difference, between = metric.signed(found.mean), metric.bounds(interval, signed=True)
        if interval:
            title = f"{tutor}: {metric.label}, {difference}, interval {between}, {reading}"
            limit = _limit(entry)
            against = None if limit is None else -abs(limit) * (metric.better or 1)
            plot = difference_plot(found.mean, interval, reach, tone, title, against)
    names = dict.fromkeys([tutor, str(entry.get("baseline") or experiment.get("baseline") or "")])
    return ComparisonRow(
        tutor,
        difference,
        between,
        plain(n, 0),
        plain(entry.get("items"), 0),
        p_words(entry.get("p")) if told else MISSING,
        p_words(entry.get("p_holm")) if told else MISSING,
        plain(effect, 2),
        plot,
        tone,
        reading,
        _no_worse(entry, metric, told),
        note,
        _behind(verdicts, metric, [name for name in names if name]),
    )


def reading_of(entry: Facts, metric: Metric, alpha: float) -> tuple[str, str]:
    """Style class and words for a comparison: clear only when it is so after the correction for the family."""
    interval, corrected = bounds(entry), finite(entry.get("p_holm"))
    if finite(entry.get("mean")) is None or interval is None:
        return "unclear", "not measured" if finite(entry.get("mean")) is None else "no interval"
    apart = not interval[0] <= 0 <= interval[1]
    if corrected is None:
        return "unclear", "not tested"
    if corrected >= alpha:
        return "unclear", "not clear after correction" if apart else "no clear difference"
    return metric.reading(interval) if apart else ("unclear", "not clear by its interval")


def _limit(entry: Facts) -> float | None:
    facts = entry.get("no_worse")
    return finite(facts.get("bound")) if isinstance(facts, Mapping) else None


def _no_worse(entry: Facts, metric: Metric, told: bool) -> str:
    facts, limit = entry.get("no_worse"), _limit(entry)
    if not isinstance(facts, Mapping) or limit is None:
        return ""
    chance = finite(facts.get("p"))
    by = f"by more than {metric.show(abs(limit)).removesuffix('%')}{' pts' if metric.share else ''}"
    tested = f" (p {p_words(chance)}, not corrected)" if told and chance is not None else ""
    return f"{'shown' if facts.get('shown') is True else 'not shown'}: no worse {by}{tested}"


def _behind(verdicts: Verdicts, metric: Metric, tutors: Sequence[str]) -> str:
    """Invalid verdicts behind a measure, over the tutors compared; empty for a measure that no judge gives."""
    counts = [found for name in tutors if (found := verdicts.behind(metric.name, tutor=name)) is not None]
    return sum(counts, Count(0, 0)).words if counts else ""


def p_words(value: object) -> str:
    """A p-value to three places, never 0."""
    number = finite(value)
    if number is None:
        return MISSING
    return "< 0.001" if number < 0.001 else plain(number, 3)


def mixed(experiment: Facts, verdicts: Verdicts) -> list[dict[str, str]]:
    """The mixed model's estimates."""
    rows = []
    for entry in entries(experiment, "mixed"):
        metric, value, n = (
            measure(experiment, str(entry.get("metric", ""))),
            finite(entry.get("estimate")),
            entry.get("n"),
        )
        interval: Interval | None = bounds(entry)
        tutor, baseline = (
            str(entry.get("tutor", MISSING)),
            str(entry.get("baseline") or experiment.get("baseline") or ""),
        )
        rows.append(
            {
                "metric": metric.label,
                "tutor": tutor,
                "estimate": metric.signed(value),
                "between": metric.bounds(interval, signed=True) if value is not None else "",
                "p": p_words(entry.get("p")) if value is not None and finite(n) else MISSING,
                "n": plain(n, 0),
                "sd_item": _spread(metric, entry.get("sd_item")),
                "sd_persona": _spread(metric, entry.get("sd_persona")),
                "note": str(entry.get("note") or ""),
                "invalid": _behind(verdicts, metric, list(dict.fromkeys(name for name in (tutor, baseline) if name))),
            }
        )
    return rows


def _spread(metric: Metric, value: object) -> str:
    number = finite(value)
    if number is None or not metric.share:
        return plain(number, metric.digits)
    return f"{plain(100 * number, 1)} pts"


def corrected(experiment: Facts, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Rates as the judge saw them, and corrected for its measured error."""
    rows = []
    for entry in entries(experiment, "corrected"):
        tutor, judge, name = (str(entry.get(key, MISSING)) for key in ("tutor", "judge", "criterion"))
        rate = Metric(name, name, "", 0, 3, True)
        rows.append(
            {
                "tutor": tutor,
                "judge": judge,
                "criterion": name.replace("_", " "),
                "observed": shown(rate, entry.get("observed")),
                "corrected": shown(rate, entry.get("corrected")),
                "sensitivity": plain(entry.get("sensitivity"), 2),
                "specificity": plain(entry.get("specificity"), 2),
                "invalid": verdicts.count(tutor=tutor, judge=judge, name=name).words,
                "note": str(entry.get("note") or ""),
            }
        )
    return rows
