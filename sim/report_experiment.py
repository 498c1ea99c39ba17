"""What the report shows of an experiment: tutors compared on the same students.

Invariant: as for the other sections; besides, every figure is over all dialogues of the run, also where the page does
not carry all of them, and a section without facts is left out and named among what was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.records import Dialogue
from sim.report_data import finite
from sim.report_experiment_curves import beliefs, pareto, robustness
from sim.report_experiment_gaps import failures, gaps, methods
from sim.report_experiment_heat import heat
from sim.report_experiment_tables import Facts, comparisons, corrected, cost, leaderboard, mixed
from sim.report_figures import MISSING, plain
from sim.report_measures import Shown, direction, entries, family, measure, shown
from sim.report_verdicts import Count, Verdicts


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
    """Per measure of the family that has a better direction, the tutor that leads and whether it clearly does."""
    found = []
    for name in family(experiment):
        metric = measure(experiment, name)
        ranked = [t for t in entries(experiment, "tutors") if finite(_rank(t, name).get("rank")) is not None]
        if not ranked or not metric.better:
            continue
        first = min(ranked, key=lambda tutor: float(_rank(tutor, name)["rank"]))
        figure: Shown = shown(metric, (first.get("figures") or {}).get(name))
        last = finite(_rank(first, name).get("high"))
        clear = last == 1
        found.append(
            {
                "label": metric.label,
                "direction": direction(metric),
                "tutor": str(first.get("tutor", MISSING)),
                "figure": figure,
                "tone": "better" if clear else "unclear",
                "reading": "clearly first" if clear else f"rank 1 to {plain(last, 0)}: not clearly first",
            }
        )
    return found


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
