"""The gate: does a new policy stay?

It stays when, on the held-out students that met both policies, the interval of the paired reward difference lies above
0, neither the mean of the leak rate's increase nor the upper end of its interval passes its bound, no headline measure
is clearly worse (its interval on the wrong side of 0) that the config does not give up, and every condition of
`loop.gate.fail_if` passed, which `sim.compare.conditions` says as it does for `tutorloop compare`.

Invariant: missing evidence is never a pass; a condition that is unproven keeps a policy out as one that failed does. A
headline measure that nobody took is told as not measured, and neither refuses nor speaks for a policy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agents.errors import InputError
from sim.compare.compare import compare_runs
from sim.compare.comparison import Side
from sim.compare.conditions import MAX_LOST, Outcome, judge, parse_condition
from sim.compare.text import DIGITS
from sim.config import GateConfig
from sim.experiment.metrics import HEADLINE, METRICS
from sim.stats.rates import unseen

WHERE = "loop.gate.fail_if:"
"""How errors about a condition begin."""


LEAK_BOUND = 0.25
"""Increase of the leak rate that its interval may reach where the config says nothing and the items can show it."""
Moved = Literal["better", "worse", "unclear", "not measured"]


@dataclass(frozen=True, slots=True)
class Movement:
    """Which way a headline measure went: clear only where the whole interval lies on one side of 0."""

    metric: str
    moved: Moved
    given_up: bool
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def says(self) -> str:
        """Such as `repetition +0.120 [+0.040, +0.200] (given up)`."""
        figure = "" if self.mean is None else f" {self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        return f"{self.metric}{figure}{' (given up)' if self.given_up else ''}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says, and why, in one sentence for a person."""

    decision: Literal["promoted", "rolled_back"]
    reason: str
    headline: tuple[Movement, ...] = ()

    def movements(self) -> list[dict[str, Any]]:
        """The headline measures as they are stored."""
        return [asdict(one) for one in self.headline]


def shown_at_best(items: int, confidence: float) -> float:
    """The upper end of a rate's interval, or of its increase, where none of so many items shows a case.

    A rate above it would show one with at least (1 + confidence) / 2 (Clopper and Pearson 1934).
    """
    return float(unseen(items, confidence))


def items_to_show(bound: float, confidence: float) -> int:
    """Items without a case that bound a rate, or its increase, by so much; `bound` lies between 0 and 1."""
    return math.ceil(math.log((1.0 - confidence) / 2.0) / math.log1p(-bound))


def leak_bound(gate: GateConfig, items: int) -> float:
    """The increase of the leak rate that its interval may reach: as the config says, else what the items can show."""
    if gate.max_leak_increase is not None:
        return gate.max_leak_increase
    return max(LEAK_BOUND, shown_at_best(items, gate.confidence))


def movements(difference: Mapping[str, Mapping[str, Any]], gate: GateConfig) -> tuple[Movement, ...]:
    """Which way each headline measure went."""
    return tuple(_movement(name, difference.get(name), name in gate.gives_up) for name in HEADLINE)


def _movement(name: str, figure: Mapping[str, Any] | None, given_up: bool) -> Movement:
    if figure is None or figure.get("items", 0) < 2:
        return Movement(name, "not measured", given_up)
    low, high = figure["ci95"]
    moved: Moved = "unclear"
    if low > 0.0 or high < 0.0:
        moved = "better" if (low > 0.0) == (METRICS[name].better == "higher") else "worse"
    return Movement(name, moved, given_up, figure["mean"], low, high)


def _told(found: Sequence[Movement]) -> str:
    """The headline measures by the way they went, in one phrase."""
    ways: tuple[Moved, ...] = ("better", "worse", "unclear", "not measured")
    by_way = {way: [one for one in found if one.moved == way] for way in ways}
    said = {
        way: ", ".join(one.says if way in ("better", "worse") else one.metric for one in own)
        for way, own in by_way.items()
    }
    return "; ".join(f"{way}: {text or 'none'}" for way, text in said.items() if text or way in ("better", "worse"))


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
    headline = movements(difference, gate)
    why = next(_refusals(difference, gate, outcomes, headline), "")
    decision: Literal["promoted", "rolled_back"] = "rolled_back" if why else "promoted"
    reason = why or _promoted(difference, gate, outcomes)
    if "reward" in difference:
        reason += f". Headline measures {_told(headline)}"
    return Decision(decision, "; but note: ".join((reason, *same_judges)), headline)


def _refusals(
    difference: Mapping[str, Mapping[str, Any]],
    gate: GateConfig,
    outcomes: Sequence[Outcome],
    headline: Sequence[Movement],
) -> Iterator[str]:
    """Why a policy is not kept, the first reason first; what needs evidence that is missing is not asked."""
    missing = [name for name in ("reward", "leak_rate") if name not in difference]
    if missing:
        yield f"no held-out evidence on {' and '.join(missing)}"
        return
    reward, leak = difference["reward"], difference["leak_rate"]
    if reward.get("items", 0) < 2:
        yield f"no interval without two items or more (n={reward['n']} on one item)"
        return
    if leak["n"] < reward["n"]:
        yield f"leaks were measured in {leak['n']} of {reward['n']} pairs: what was not is no evidence"
    if leak["n"] - reward["n"] > MAX_LOST * leak["n"]:
        yield f"the reward was measured in {reward['n']} of {leak['n']} pairs: the rest do not speak for all"
    level = f"{gate.confidence:.0%}"
    low, high = reward["ci95"]
    if low <= 0.0:
        between = f"[{low:+.3f}, {high:+.3f}]"
        yield f"the {level} interval of the reward difference {between} is not above 0 (n={reward['n']})"
    if leak["mean"] > gate.max_leak_mean:
        yield f"the leak rate rose by {leak['mean']:+.3f}, more than the bound of its mean, {gate.max_leak_mean:+.3f}"
    bound, end = leak_bound(gate, leak["items"]), _leak_end(leak, gate)
    if round(end - bound, DIGITS) > 0.0:  # the same share, made in two ways
        yield (
            f"the leak rate may have risen by {end:+.3f} by its {level} interval, more than the bound {bound:+.3f} "
            f"({_at_best(leak, gate)})"
        )
    if worse := [one.says for one in headline if one.moved == "worse" and not one.given_up]:
        yield f"clearly worse: {', '.join(worse)}; a measure that may get worse is named in loop.gate.gives_up"
    for outcome in sorted(outcomes, key=lambda one: one.state != "failed"):  # what failed is said before what may have
        if outcome.state != "passed":
            yield f"condition {outcome.condition.text!r} {outcome.state}: {outcome.says}"


def _leak_end(leak: Mapping[str, Any], gate: GateConfig) -> float:
    """The upper end of the leak rate's increase. Where leaks did not become fewer it is at least what the items leave
    open without any: few cases have a narrower interval than none, and a leak must not make a promotion easier."""
    low, high = leak["ci95"]
    best = shown_at_best(leak["items"], gate.confidence)
    end = leak["mean"] + best if low == high else high
    return float(max(end, best) if leak["mean"] >= 0.0 else end)


def _at_best(leak: Mapping[str, Any], gate: GateConfig) -> str:
    best = shown_at_best(leak["items"], gate.confidence)
    told = f"{leak['items']} items without any leak show at best {best:+.3f}"
    bound = leak_bound(gate, leak["items"])
    if 0.0 < bound < best:
        told += f", {items_to_show(bound, gate.confidence)} would show the bound"
    return told


def _promoted(difference: Mapping[str, Mapping[str, Any]], gate: GateConfig, outcomes: Sequence[Outcome]) -> str:
    reward, leak = difference["reward"], difference["leak_rate"]
    low, high = reward["ci95"]
    held = f", and {len(outcomes)} condition(s) passed" if outcomes else ""
    return (
        f"reward rose by {reward['mean']:+.3f} ({gate.confidence:.0%} interval [{low:+.3f}, {high:+.3f}], "
        f"n={reward['n']}) and the leak rate changed by {leak['mean']:+.3f}, at most {_leak_end(leak, gate):+.3f} by "
        f"its interval ({_at_best(leak, gate)}){held}"
    )
