"""From dialogues to figures with intervals: paired by student, clustered by item.

Invariant: a mean stands with its n and a 95% interval; before and after are compared on the same students only; a
dialogue that failed is counted and never averaged in; the bootstrap draws items with a fixed seed, so the same
dialogues always give the same intervals.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.records import Dialogue
from sim import metrics
from sim.metrics import Value

Floats = NDArray[np.float64]


COMPARED = (
    "reward",
    "question_share",
    "leak_rate",
    "gain",
    "net_gain",
    "transfer_gain",
    "on_item",
    "repetition",
    "words",
    "quality",
)
"""What a loop compares before and after a round."""
METRICS: dict[str, Value] = {name: metrics.METRICS[name].value for name in COMPARED}


def bootstrap_mean(
    values: Sequence[float], clusters: Sequence[str], *, confidence: float, resamples: int, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a mean, resampling whole clusters (items).

    Args:
        values: one figure per dialogue.
        clusters: the item of each dialogue.
        confidence: such as 0.95.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        Lower and upper end; both are the mean itself when there is one cluster only.
    """
    names = sorted(set(clusters))
    index = {name: i for i, name in enumerate(names)}
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for value, cluster in zip(values, clusters, strict=True):
        sums[index[cluster]] += value
        counts[index[cluster]] += 1
    draws = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    means: Floats = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def describe(dialogues: Sequence[Dialogue], *, confidence: float, resamples: int) -> dict[str, dict[str, Any]]:
    """For every metric its mean, interval and n over the dialogues that have it."""
    found: dict[str, dict[str, Any]] = {}
    for name, metric in METRICS.items():
        pairs = [(value, d.spec.item_id) for d in dialogues if d.failure is None and (value := metric(d)) is not None]
        if pairs:
            values, items = zip(*pairs, strict=True)
            interval = bootstrap_mean(values, items, confidence=confidence, resamples=resamples)
            found[name] = {"mean": float(np.mean(values)), "ci95": list(interval), "n": len(values)}
    return found


def pair(before: Sequence[Dialogue], after: Sequence[Dialogue]) -> list[tuple[Dialogue, Dialogue]]:
    """The same student under both policies; a student that failed on one side is left out."""
    first = {dialogue.spec.student_key: dialogue for dialogue in before if dialogue.failure is None}
    return [
        (first[dialogue.spec.student_key], dialogue)
        for dialogue in after
        if dialogue.failure is None and dialogue.spec.student_key in first
    ]


def paired_difference(
    pairs: Sequence[tuple[Dialogue, Dialogue]], *, confidence: float, resamples: int
) -> dict[str, dict[str, Any]]:
    """After minus before for every metric: mean, interval, n."""
    found: dict[str, dict[str, Any]] = {}
    for name, metric in METRICS.items():
        rows = [
            (second - first, old.spec.item_id)
            for old, new in pairs
            if (first := metric(old)) is not None and (second := metric(new)) is not None
        ]
        if rows:
            values, items = zip(*rows, strict=True)
            interval = bootstrap_mean(values, items, confidence=confidence, resamples=resamples)
            found[name] = {"mean": float(np.mean(values)), "ci95": list(interval), "n": len(values)}
    return found


def compare_heldout(
    before: Sequence[Dialogue], after: Sequence[Dialogue], *, confidence: float, resamples: int
) -> dict[str, Any]:
    """The held-out comparison as it stands in `summary.json` under `heldout`."""
    pairs = pair(before, after)
    sides = {"before": [old for old, _ in pairs], "after": [new for _, new in pairs]}
    figures = {side: describe(found, confidence=confidence, resamples=resamples) for side, found in sides.items()}
    by_persona: dict[str, dict[str, list[Dialogue]]] = defaultdict(lambda: {"before": [], "after": []})
    for side, found in sides.items():
        for dialogue in found:
            by_persona[dialogue.spec.persona][side].append(dialogue)
    return {
        "n_dialogues": len(pairs),
        "n_items": len({old.spec.item_id for old, _ in pairs}),
        "n_failed": sum(dialogue.failure is not None for dialogue in (*before, *after)),
        **{side: _means(found) for side, found in figures.items()},
        "difference": paired_difference(pairs, confidence=confidence, resamples=resamples),
        "intervals": {side: {name: f["ci95"] for name, f in found.items()} for side, found in figures.items()},
        "by_persona": {
            persona: {
                "n": len(found["after"]),
                **{
                    side: _means(describe(found[side], confidence=confidence, resamples=200))
                    for side in ("before", "after")
                },
            }
            for persona, found in sorted(by_persona.items())
        },
    }


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
            "turns": sum(len(dialogue.turns) for dialogue in found),
            "prompt_tokens": sum(dialogue.usage.prompt_tokens for dialogue in found),
            "completion_tokens": sum(dialogue.usage.completion_tokens for dialogue in found),
        }
        for phase, found in sorted(by_phase.items())
    }
