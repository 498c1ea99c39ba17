"""What an experiment did not bring: failures, what is missing, what was not measured; and how it was measured.

Invariant: every failed dialogue is counted under its error, and what a report of this kind could show but this run did
not measure is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.records import Dialogue
from sim.experiment.metrics import METRICS
from sim.report.data import finite
from sim.report.experiment_tables import Facts
from sim.report.figures import MISSING, plain
from sim.report.measures import direction, entries, family, figures_of, measure, unit
from sim.report.verdicts import Count


@dataclass(frozen=True, slots=True)
class FailureRow:
    """Dialogues of one tutor that failed with one error, and the first of them."""

    tutor: str
    error: str
    where: str
    count: str
    message: str
    dialogue: str


def failures(dialogues: Sequence[Dialogue]) -> list[FailureRow]:
    """One row per tutor and error, most frequent first."""
    found: dict[tuple[str, str], list[Dialogue]] = {}
    for dialogue in dialogues:
        if dialogue.failure is not None:
            found.setdefault((dialogue.spec.tutor_name, dialogue.failure.error), []).append(dialogue)
    rows = []
    for (tutor, error), failed in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        first = failed[0].failure
        if first is not None:
            message = first.message if len(first.message) <= 300 else first.message[:299] + "…"
            rows.append(FailureRow(tutor, error, first.where, plain(len(failed), 0), message, failed[0].id))
    return rows


def gaps(experiment: Facts, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    """What was planned and done, failures, tutors given up, invalid verdicts, and what was not measured."""
    missing: Facts = experiment.get("missing") or {}
    names = (("planned", "Planned"), ("done", "Done"), ("failed", "Failed"), ("not_run", "Not run"))
    tutors = entries(experiment, "tutors")
    return {
        "counts": [(label, plain(missing.get(name), 0)) for name, label in names],
        "why": str(missing.get("why") or ""),
        "short": bool(finite(missing.get("not_run")) or finite(missing.get("failed"))),
        "stopped": [(str(t.get("tutor", MISSING)), str(t["stopped"])) for t in tutors if t.get("stopped")],
        "failures": failures(dialogues),
        "invalid": invalid_by_judge(dialogues),
        "unmeasured": _unmeasured(experiment),
    }


def invalid_by_judge(dialogues: Sequence[Dialogue]) -> list[tuple[str, str, str]]:
    """Judge, criterion, and its invalid verdicts in words; those with the largest share of them first."""
    found: dict[tuple[str, str], Count] = {}
    for dialogue in dialogues:
        for v in dialogue.verdicts:
            found[v.judge, v.name] = found.get((v.judge, v.name), Count(0, 0)) + Count(1, int(v.kind == "invalid"))
    ordered = sorted(found.items(), key=lambda pair: (-pair[1].invalid / pair[1].verdicts, pair[0]))
    return [(judge, name, count.words) for (judge, name), count in ordered]


def _unmeasured(experiment: Facts) -> list[str]:
    """What this report could show, and why it does not."""
    told = []
    if not entries(experiment, "comparisons"):
        told.append("No tutor was compared with a baseline.")
    if not entries(experiment, "mixed"):
        told.append("No mixed model was fitted.")
    if not entries(experiment, "beliefs"):
        told.append("No belief curves: they need a probe by turn.")
    if not entries(experiment, "robustness"):
        told.append("No robustness curves: they need a stressor.")
    if not entries(experiment, "corrected"):
        told.append("No rate is corrected for judge error: that needs a calibration of the judge.")
    told += _without(experiment)
    taken = {name for tutor in entries(experiment, "tutors") for name in figures_of(tutor)}
    absent = [measure(experiment, name).label for name in (*family(experiment), *METRICS) if name not in taken]
    if taken and absent:
        told.append(f"Measures without any figure: {'; '.join(dict.fromkeys(absent))}.")
    return told


def _without(experiment: Facts) -> list[str]:
    """Measures that some finished dialogues of a tutor have and others lack."""
    lacking: dict[str, list[str]] = {}
    for tutor in entries(experiment, "tutors"):
        for name, count in (tutor.get("not_measured") or {}).items():
            if name in figures_of(tutor):
                told = f"{tutor.get('tutor', MISSING)} {plain(count, 0)} of {plain(tutor.get('n'), 0)}"
                lacking.setdefault(measure(experiment, name).label, []).append(told)
    return [f"Dialogues without a figure of {label.lower()}: {', '.join(who)}." for label, who in lacking.items()]


def methods(experiment: Facts) -> dict[str, Any]:
    """The generated methods section, and the formula of every measure."""
    names = list(experiment.get("metrics") or {}) or list(METRICS)
    named = [(name, measure(experiment, name)) for name in names]
    return {
        "sentences": [str(sentence) for sentence in experiment.get("methods") or []],
        "formulas": [(m.label, name, m.hint, unit(experiment, name), direction(m)) for name, m in named],
    }
