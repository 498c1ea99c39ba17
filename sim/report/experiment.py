"""What the report shows of an experiment: tutors compared on the same students.

Invariant: as for the other sections; besides, every figure is over all dialogues of the run, also where the page does
not carry all of them, and a section without facts is left out and named among what was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.records import Dialogue
from sim.report.data import finite
from sim.report.experiment_cost import cost
from sim.report.experiment_curves import beliefs, pareto, robustness
from sim.report.experiment_gaps import failures, gaps, methods
from sim.report.experiment_heat import heat
from sim.report.experiment_tables import Facts, comparisons, corrected, form, leaderboard, mixed
from sim.report.figures import MISSING, plain
from sim.report.measures import direction, entries, family, figures_of, listed, measure, shown
from sim.report.verdicts import Count, Verdicts

_CONTROL = "control"
_LEADERS = 3
"""Tied tutors that a tile names."""


def experiment_of(summary: Mapping[str, Any]) -> Facts | None:
    """The experiment's part of a summary; None where there is none, as in older runs."""
    value = summary.get("experiment")
    return value if isinstance(value, Mapping) else None


def experiment_view(summary: Mapping[str, Any], dialogues: Sequence[Dialogue]) -> dict[str, Any] | None:
    """Everything that the template of the experiment's sections needs; None outside an experiment."""
    experiment = experiment_of(summary)
    if experiment is None:
        return None
    verdicts, worst = Verdicts(dialogues), {str(e.get("dialogue", "")) for e in entries(experiment, "worst")}
    invalid = {dialogue.id: _invalid(dialogue).words for dialogue in dialogues if dialogue.id in worst}
    groups = comparisons(experiment, verdicts)
    return {
        "baseline": str(experiment.get("baseline") or MISSING),
        "level": f"{finite(experiment.get('confidence')) or 0.95:.0%}",
        "correction": str(experiment.get("correction") or "none").capitalize(),
        "sentence": _sentence(groups, experiment),
        "tiles": tiles(experiment),
        "invalid": verdicts.all.words,
        "leaderboard": leaderboard(experiment),
        "form": form(experiment),
        "comparisons": groups,
        "mixed": mixed(experiment, verdicts),
        "pareto": pareto(experiment),
        "heat": heat(experiment, verdicts),
        "beliefs": beliefs(experiment),
        "robustness": robustness(experiment, verdicts, invalid),
        "cost": cost(experiment),
        "corrected": corrected(experiment, verdicts),
        "gaps": gaps(experiment, dialogues),
        "methods": methods(experiment),
    }


def _invalid(dialogue: Dialogue) -> Count:
    return Count(len(dialogue.verdicts), sum(v.kind == "invalid" for v in dialogue.verdicts))


def _sentence(groups: Sequence[Mapping[str, Any]], experiment: Facts) -> str:
    """What came of the comparisons, in one sentence."""
    rows = [row for group in groups for row in group["rows"]]
    baseline = experiment.get("baseline") or "the baseline"
    if not rows:
        return "No comparison with a baseline was made."
    clear = [row for row in rows if row.reading in ("better", "worse", "higher", "lower")]
    made = f"{plain(len(rows), 0)} comparison{'' if len(rows) == 1 else 's'} with {baseline}"
    which = {word: sum(row.reading == word for row in clear) for word in ("better", "worse", "higher", "lower")}
    split = ", ".join(f"{count} {word}" for word, count in which.items() if count)
    return f"Of {made}, {plain(len(clear), 0)} {'is' if len(clear) == 1 else 'are'} clear after correction" + (
        f" ({split})." if split else "."
    )


def tiles(experiment: Facts) -> list[dict[str, Any]]:
    """Per measure of the family that has a better direction, who leads and whether it clearly does.

    A control is nobody's choice: it is never shown as the first, but told where it does as well or better.
    """
    found = []
    for name in family(experiment):
        metric = measure(experiment, name)
        places = {
            str(tutor.get("tutor", MISSING)): (place, tutor)
            for tutor in entries(experiment, "tutors")
            if (place := finite(_rank(tutor, name).get("rank"))) is not None
        }
        chosen = {label: place for label, (place, tutor) in places.items() if tutor.get("kind") != _CONTROL}
        if not chosen or not metric.better:
            continue
        best = min(chosen.values())
        leaders = [label for label, place in chosen.items() if place == best]
        as_good = [label for label, (place, _) in places.items() if place <= best and label not in chosen]
        last = finite(_rank(places[leaders[0]][1], name).get("high"))
        clear = len(leaders) == 1 and not as_good and last == 1
        figures = [(label, shown(metric, figures_of(places[label][1]).get(name))) for label in leaders[:_LEADERS]]
        found.append(
            {
                "label": metric.label,
                "direction": direction(metric),
                "tutor": _names(leaders),
                "figures": [(label if len(leaders) > 1 else "", figure) for label, figure in figures],
                "tone": "better" if clear else "unclear",
                "reading": "clearly first" if clear else _not_first(leaders, as_good, last),
            }
        )
    return found


def _names(leaders: Sequence[str]) -> str:
    more = len(leaders) - _LEADERS
    return listed([*leaders[:_LEADERS], f"{more} more"] if more > 0 else leaders)


def _not_first(leaders: Sequence[str], as_good: Sequence[str], last: float | None) -> str:
    """Why the best tutor is not called the first; `as_good` are controls that do as well or better."""
    if as_good:
        return f"not first: the control {_names(as_good)} does as well or better"
    if len(leaders) > 1:
        return "tied: none is first"
    return (
        "rank 1 without an interval: not clearly first" if last is None else f"rank 1 to {last:.0f}: not clearly first"
    )


def _rank(tutor: Facts, name: str) -> Mapping[str, Any]:
    rank = (tutor.get("rank") or {}).get(name)
    return rank if isinstance(rank, Mapping) else {}


def wanted(summary: Mapping[str, Any], dialogues: Sequence[Dialogue]) -> list[str]:
    """Ids of the dialogues that the experiment's sections link to."""
    experiment = experiment_of(summary)
    if experiment is None:
        return []
    worst = [str(entry.get("dialogue", "")) for entry in entries(experiment, "worst")]
    return [*worst, *(row.dialogue for row in failures(dialogues))]
