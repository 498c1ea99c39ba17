"""From dialogues to figures with intervals: paired by student, clustered by item.

Invariant: a mean stands with its n and a 95% interval; before and after are compared on the same students only; a
dialogue that failed is counted and never averaged in; the intervals are those of experiments
(sim/stats): the same dialogues always give the same ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from agents.records import Dialogue
from sim.experiment import metrics
from sim.experiment.metrics import Value
from sim.judged import count_candidates
from sim.stats import paired as stats

COMPARED = (
    "reward",
    "question_share",
    "leak_rate",
    "confirmation_share",
    "gain",
    "net_gain",
    "transfer_gain",
    "on_item",
    "repetition",
    "words",
    "role_breaks",
    "quality",
)
"""What a loop compares before and after a round."""
METRICS: dict[str, Value] = {name: metrics.METRICS[name].value for name in COMPARED}


def describe(dialogues: Sequence[Dialogue], *, confidence: float) -> dict[str, dict[str, Any]]:
    """For every metric its mean, interval and n over the dialogues that have it."""
    found: dict[str, dict[str, Any]] = {}
    for name, metric in METRICS.items():
        pairs = [(value, d.spec.item_id) for d in dialogues if d.failure is None and (value := metric(d)) is not None]
        if pairs:
            values, items = zip(*pairs, strict=True)
            estimate = metrics.METRICS[name].bounded(stats.mean_interval(values, items, confidence=confidence))
            found[name] = _figure(estimate)
    return found


def _figure(estimate: stats.Estimate) -> dict[str, Any]:
    """An estimate as it stands in `summary.json`; of a single item, which has no interval, both ends are the mean."""
    ends = [estimate.mean if end is None else end for end in (estimate.low, estimate.high)]
    return {"mean": estimate.mean, "ci95": ends, "n": estimate.n, "items": estimate.clusters}


def pair(before: Sequence[Dialogue], after: Sequence[Dialogue]) -> list[tuple[Dialogue, Dialogue]]:
    """The same student under both policies; a student that failed on one side is left out."""
    first = {dialogue.spec.student_key: dialogue for dialogue in before if dialogue.failure is None}
    return [
        (first[dialogue.spec.student_key], dialogue)
        for dialogue in after
        if dialogue.failure is None and dialogue.spec.student_key in first
    ]


def paired_difference(pairs: Sequence[tuple[Dialogue, Dialogue]], *, confidence: float) -> dict[str, dict[str, Any]]:
    """After minus before for every metric: mean, interval, n, items."""
    found: dict[str, dict[str, Any]] = {}
    for name, metric in METRICS.items():
        rows = [
            (second - first, old.spec.item_id)
            for old, new in pairs
            if (first := metric(old)) is not None and (second := metric(new)) is not None
        ]
        if rows:
            values, items = zip(*rows, strict=True)
            estimate = stats.paired_difference(values, items, confidence=confidence)
            found[name] = _figure(metrics.METRICS[name].bounded(estimate, difference=True))
    return found


def compare_heldout(before: Sequence[Dialogue], after: Sequence[Dialogue], *, confidence: float) -> dict[str, Any]:
    """The held-out comparison as it stands in `summary.json` under `heldout`."""
    pairs = pair(before, after)
    sides = {"before": [old for old, _ in pairs], "after": [new for _, new in pairs]}
    figures = {side: describe(found, confidence=confidence) for side, found in sides.items()}
    by_persona: dict[str, dict[str, list[Dialogue]]] = defaultdict(lambda: {"before": [], "after": []})
    for side, found in sides.items():
        for dialogue in found:
            by_persona[dialogue.spec.persona][side].append(dialogue)
    return {
        "n_dialogues": len(pairs),
        "n_items": len({old.spec.item_id for old, _ in pairs}),
        "n_failed": sum(dialogue.failure is not None for dialogue in (*before, *after)),
        **{side: _means(found) for side, found in figures.items()},
        "difference": paired_difference(pairs, confidence=confidence),
        "not_measured": {side: unmeasured(found) for side, found in sides.items()},
        "intervals": {side: {name: f["ci95"] for name, f in found.items()} for side, found in figures.items()},
        "by_persona": {
            persona: {
                "n": len(found["after"]),
                **{side: _means(describe(found[side], confidence=confidence)) for side in ("before", "after")},
            }
            for persona, found in sorted(by_persona.items())
        },
    }


def unmeasured(dialogues: Sequence[Dialogue]) -> dict[str, int]:
    """How many finished dialogues lack a measure, for those measures that any lacks."""
    found = [dialogue for dialogue in dialogues if dialogue.failure is None]
    counts = {name: sum(metric(dialogue) is None for dialogue in found) for name, metric in METRICS.items()}
    return {name: count for name, count in counts.items() if count}


def _means(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: figure["mean"] for name, figure in figures.items()}


def phase_counts(dialogues: Sequence[Dialogue]) -> dict[str, dict[str, Any]]:
    """What was run, phase by phase, with failures and invalid verdicts counted."""
    by_phase: dict[str, list[Dialogue]] = defaultdict(list)
    for dialogue in dialogues:
        by_phase[dialogue.spec.phase].append(dialogue)
    return {
        phase: {
            "n_dialogues": len(found),
            "n_failed": sum(dialogue.failure is not None for dialogue in found),
            "failures": dict(Counter(dialogue.failure.error for dialogue in found if dialogue.failure)),
            "n_invalid_verdicts": sum(v.kind == "invalid" for dialogue in found for v in dialogue.verdicts),
            **count_candidates(found),
            "n_role_breaks": sum(turn.role_break for dialogue in found for turn in dialogue.turns),
            "n_no_replies": sum(dialogue.usage.no_replies for dialogue in found),
            "fallbacks": dict(Counter(note for dialogue in found for note in dialogue.fallbacks)),
            "turns": sum(len(dialogue.turns) for dialogue in found),
            "prompt_tokens": sum(dialogue.usage.prompt_tokens for dialogue in found),
            "completion_tokens": sum(dialogue.usage.completion_tokens for dialogue in found),
        }
        for phase, found in sorted(by_phase.items())
    }
