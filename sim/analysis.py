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
from sim.judged import count_candidates
from sim.stats.paired import Estimate
from sim.stats.paired import paired_difference as clustered_difference

COMPARED = (
    "reward",
    "question_share",
    "leak_rate",
    "confirmation_share",
    "gain",
    "echo",
    "net_gain",
    "transfer_gain",
    "on_item",
    "repetition",
    "successive_similarity",
    "opener_share",
    "distinct_openings",
    "distinct_ngrams",
    "words",
    "role_breaks",
    "quality",
)
"""What a loop compares before and after a round."""
METRICS = {name: metrics.METRICS[name] for name in COMPARED}


def describe(dialogues: Sequence[Dialogue], *, confidence: float) -> dict[str, dict[str, Any]]:
    """For every metric its mean, interval and n over the dialogues that have it."""
    found: dict[str, dict[str, Any]] = {}
    finished = [dialogue for dialogue in dialogues if dialogue.failure is None]
    for name, metric in METRICS.items():
        taken = zip(metric.values(finished), finished, strict=True)
        pairs = [(value, d.spec.item_id) for value, d in taken if value is not None]
        if pairs:
            values, items = zip(*pairs, strict=True)
            found[name] = _figure(
                metric.interval(values, items, confidence=confidence), (0.0, 1.0) if metric.is_rate else None
            )
    return found


def _figure(estimate: Estimate, possible: tuple[float, float] | None = None) -> dict[str, Any]:
    """An estimate as it stands in `summary.json`. A single item has no interval: its ends are those of all that is
    possible, and where that has no ends, the mean."""
    unknown = possible or (estimate.mean, estimate.mean)
    known = estimate.low is not None and estimate.high is not None
    ends = [estimate.low, estimate.high] if known else list(unknown)
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
    items = [old.spec.item_id for old, _ in pairs]
    for name, metric in METRICS.items():
        sides = (metric.values([pair[side] for pair in pairs]) for side in (0, 1))
        rows = [
            (second - first, item)
            for first, second, item in zip(*sides, items, strict=True)
            if first is not None and second is not None
        ]
        if rows:
            values, where = zip(*rows, strict=True)
            estimate = metric.difference(values, where, confidence=confidence)
            found[name] = _figure(estimate, (-1.0, 1.0) if metric.is_rate else None)
    return found


def reward_change(pairs: Sequence[tuple[Dialogue, Dialogue]], *, confidence: float) -> dict[str, dict[str, Any]]:
    """How much of the reward's change comes of each of its parts, the largest first: mean, interval, n, items, share.

    A part that one side does not have adds nothing to its reward, so the parts add up to the change. The share is None
    where the change itself is not clear of 0: of nothing there are no shares.
    """
    known = [(old, new) for old, new in pairs if old.reward is not None and new.reward is not None]
    if not known:
        return {}
    items = [old.spec.item_id for old, _ in known]
    total = _figure(
        clustered_difference([_reward(new) - _reward(old) for old, new in known], items, confidence=confidence)
    )
    low, high = total["ci95"]
    found = {}
    for name in sorted({name for pair in known for side in pair for name in side.components}):
        changes = [new.components.get(name, 0.0) - old.components.get(name, 0.0) for old, new in known]
        part = _figure(clustered_difference(changes, items, confidence=confidence))
        clear = low > 0.0 or high < 0.0
        found[name] = part | {"share": part["mean"] / total["mean"] if clear else None}
    return dict(sorted(found.items(), key=lambda entry: -abs(entry[1]["mean"])))


def _reward(dialogue: Dialogue) -> float:
    assert dialogue.reward is not None
    return dialogue.reward


def told_change(heldout: Mapping[str, Any]) -> str:
    """What the reward's change is made of, in one sentence; empty where no reward was compared."""
    parts, total = heldout.get("reward_change") or {}, (heldout.get("difference") or {}).get("reward")
    if not parts or not total:
        return ""
    of = ", ".join(
        f"{name} {part['mean']:+.3f}" + ("" if part["share"] is None else f" ({part['share']:.0%})")
        for name, part in parts.items()
    )
    shares = "" if any(part["share"] is not None for part in parts.values()) else ", which is not clear of 0"
    return f"of the reward's change {total['mean']:+.3f}{shares}: {of}"


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
        "reward_change": reward_change(pairs, confidence=confidence),
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
    counts = {name: metric.values(found).count(None) for name, metric in METRICS.items()}
    return {name: count for name, count in counts.items() if count}


def _means(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: figure["mean"] for name, figure in figures.items()}


def opened_counts(dialogues: Sequence[Dialogue], pairs: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """What openers had a part in: of candidates, of replies that were said, and of chosen replies of pairs, how many
    were begun with one, and how many there are.

    Args:
        dialogues: of a training phase.
        pairs: by dialogue, the chosen reply of each preference pair.
    """
    turns = [turn for dialogue in dialogues for turn in dialogue.turns if turn.candidates]
    begun = {d.id: {c.text for turn in d.turns for c in turn.candidates if c.opener} for d in dialogues}
    chosen = [text in begun.get(dialogue, ()) for dialogue, texts in pairs.items() for text in texts]
    candidates = [bool(candidate.opener) for turn in turns for candidate in turn.candidates]
    said = [bool(turn.candidates[turn.chosen].opener) for turn in turns]
    return {
        name: [sum(found), len(found)]
        for name, found in (("candidates", candidates), ("said", said), ("pairs", chosen))
    }


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
