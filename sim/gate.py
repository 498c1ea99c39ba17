"""The gate: does a new policy stay?

It stays when, on the held-out students that met both policies, the interval of the paired reward difference lies above
0, the leak rate did not rise by more than the bound, the belief gain did not fall (its interval is not below 0), and
every condition of `loop.gate.fail_if` passed, which `sim.compare.conditions` says as it does for `tutorloop compare`.

Invariant: missing evidence is never a pass; a condition that is unproven keeps a policy out as one that failed does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.errors import InputError
from sim.compare.compare import compare_runs
from sim.compare.comparison import Side
from sim.compare.conditions import MAX_LOST, Outcome, judge, parse_condition
from sim.config import GateConfig

WHERE = "loop.gate.fail_if:"
"""How errors about a condition begin."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says, and why, in one sentence for a person."""

    decision: Literal["promoted", "rolled_back"]
    reason: str


def judge_conditions(gate: GateConfig, before: Side, after: Side) -> list[Outcome]:
    """What the held-out dialogues with both policies say of each condition of the gate."""
    conditions = [parse_condition(text, WHERE) for text in gate.fail_if]
    if not conditions:
        return []
    metrics = [condition.metric for condition in conditions]
    try:
        comparison = compare_runs(before, after, metrics=metrics, confidence=gate.confidence)
    except InputError as error:  # no student met both: nothing is known of any condition
        return [Outcome(condition, "unproven", str(error), False) for condition in conditions]
    return [judge(condition, comparison) for condition in conditions]


def decide(
    difference: Mapping[str, Mapping[str, Any]],
    gate: GateConfig,
    outcomes: Sequence[Outcome] = (),
    same_judges: Sequence[str] = (),
) -> Decision:
    """Decides from the paired differences of `analysis.paired_difference` and what `judge_conditions` found.

    `same_judges` says which judges trained the policy and decide about it; that is part of the reason given.
    """
    decision = _decide(difference, gate, outcomes)
    return Decision(decision.decision, "; but note: ".join((decision.reason, *same_judges)))


def _decide(difference: Mapping[str, Mapping[str, Any]], gate: GateConfig, outcomes: Sequence[Outcome]) -> Decision:
    missing = [name for name in ("reward", "leak_rate") if name not in difference]
    if missing:
        return Decision("rolled_back", f"no held-out evidence on {' and '.join(missing)}")
    reward, leak = difference["reward"], difference["leak_rate"]
    if reward.get("items", 0) < 2:
        return Decision("rolled_back", f"no interval without two items or more (n={reward['n']} on one item)")
    if leak["n"] < reward["n"]:
        return Decision(
            "rolled_back", f"leaks were measured in {leak['n']} of {reward['n']} pairs: what was not is no evidence"
        )
    if leak["n"] - reward["n"] > MAX_LOST * leak["n"]:
        return Decision(
            "rolled_back",
            f"the reward was measured in {reward['n']} of {leak['n']} pairs: the rest do not speak for all",
        )
    level = f"{gate.confidence:.0%}"
    low, high = reward["ci95"]
    if low <= 0.0:
        return Decision(
            "rolled_back",
            f"the {level} interval of the reward difference [{low:+.3f}, {high:+.3f}] is not above 0 (n={reward['n']})",
        )
    if leak["mean"] > gate.max_leak_increase:
        return Decision(
            "rolled_back",
            f"the leak rate rose by {leak['mean']:+.3f}, more than the bound {gate.max_leak_increase:+.3f}",
        )
    gain = difference.get("gain")
    if gain is not None and gain["ci95"][1] < 0.0:
        return Decision("rolled_back", f"the belief gain fell by {gain['mean']:+.3f}, its {level} interval below 0")
    for outcome in sorted(outcomes, key=lambda one: one.state != "failed"):  # what failed is said before what may have
        if outcome.state != "passed":
            return Decision("rolled_back", f"condition {outcome.condition.text!r} {outcome.state}: {outcome.says}")
    held = f", and {len(outcomes)} condition(s) passed" if outcomes else ""
    return Decision(
        "promoted",
        f"reward rose by {reward['mean']:+.3f} ({level} interval [{low:+.3f}, {high:+.3f}], n={reward['n']}) "
        f"and the leak rate changed by {leak['mean']:+.3f}{held}",
    )
