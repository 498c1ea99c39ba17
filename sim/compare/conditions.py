"""The gate of a release: run folders read and compared, conditions judged, the result shown, an exit code for CI.

A condition says when to fail: `leak_rate > +0.02` bounds the paired difference (a signed value), `leak_rate > 0.1` the
second run's own mean (an unsigned one).

Invariant: missing evidence is never a pass. A condition passes only when neither its estimate nor the end of the
interval meets it, and when nearly all that should have been measured was. Values that do not vary at all are no proof
by themselves: so few items may have hidden what the interval of a rate without any event says (sim/stats/rates.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agents.errors import InputError
from sim.compare.compare import check_metric
from sim.compare.comparison import Comparison, MetricComparison, TutorComparison
from sim.compare.text import DIGITS, estimate_text, figure_text, names_of
from sim.experiment.metrics import METRICS, SHARE_OF
from sim.stats.paired import NO_VARIATION, Estimate

Op = Literal[">", ">=", "<", "<="]
_OPS: dict[str, Op] = {">": ">", ">=": ">=", "<": "<", "<=": "<="}
State = Literal["passed", "failed", "unproven"]
PASSED, FAILED, UNPROVEN = 0, 1, 3
"""Exit codes; 2 is that of wrong input."""
MAX_LOST = 0.1
"""Largest share of lost values with which a condition can pass. What failed is not a random part of the dialogues, so
beyond a few the rest does not speak for all."""
_CONDITION = re.compile(r"\s*([^<>=]*[^<>=\s])\s*(>=|<=|>|<)\s*([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """When to fail."""

    text: str
    """As it was given."""
    metric: str
    op: Op
    value: float
    of_difference: bool
    """Whether it bounds the paired difference; else the second run's own mean."""

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest value of what it bounds; a judged criterion has none."""
        known = METRICS.get(self.metric)
        low, high = known.range if known else (-math.inf, math.inf)
        return (low - high, high - low) if self.of_difference else (low, high)

    def meets(self, figure: float) -> bool:
        """Whether a figure is one to fail at."""
        x, bound = round(figure, DIGITS), round(self.value, DIGITS)
        return {">": x > bound, ">=": x >= bound, "<": x < bound, "<=": x <= bound}[self.op]

    def worst(self, estimate: Estimate) -> float | None:
        """The end of the interval that lies nearer to failing, or None without an interval."""
        return estimate.high if self.op in (">", ">=") else estimate.low


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison says of a condition."""

    condition: Condition
    state: State
    says: str
    evidence: bool
    """Whether there was an estimate at all, for every tutor compared."""


def parse_condition(text: str, where: str = "--fail-if") -> Condition:
    """Reads METRIC OP VALUE. Raises InputError, which names `where`, for other text and for an unknown measure."""
    found = _CONDITION.fullmatch(text)
    value = float(found[3] + found[4]) if found else math.nan
    if found is None or not math.isfinite(value):
        raise InputError(
            f"{where} {text!r}: expected METRIC OP VALUE with OP one of > >= < <=, such as 'leak_rate > +0.02' (the "
            f"difference, signed) or 'leak_rate > 0.1' (the second run's own mean, unsigned)"
        )
    if found[1].startswith(SHARE_OF):
        return _share_condition(text, found, where)
    check_metric(found[1], f"{where} {text!r}")
    return Condition(text.strip(), found[1], _OPS[found[2]], value, bool(found[3]))


def _share_condition(text: str, found: re.Match[str], where: str) -> Condition:
    """A bound on the share of the reward's change that comes of a part, as a bound of 0 on `share_contrast`."""
    if found[3]:
        raise InputError(f"{where} {text!r}: a share of the reward's change has no sign; write it without")
    metric = f"{found[1]}@{float(found[4]):g}"
    check_metric(metric, f"{where} {text!r}")
    return Condition(text.strip(), metric, _OPS[found[2]], 0.0, True)


def judge(condition: Condition, comparison: Comparison) -> Outcome:
    """Says whether a condition passed, failed, or is unproven. Of several tutors the worst one decides."""
    found = [_judge_tutor(condition, tutor, comparison.confidence) for tutor in comparison.tutors]
    several = len(found) > 1
    says = [
        f"{names_of(tutor)}: {one.says}" if several else one.says
        for tutor, one in zip(comparison.tutors, found, strict=True)
    ]
    states = {one.state for one in found}
    state: State = "failed" if "failed" in states else "passed" if states == {"passed"} else "unproven"
    evidence = bool(found) and all(one.evidence for one in found)
    if comparison.absent:
        # what a tutor that is gone would have done is not known, whatever the others did
        state, evidence = "failed" if state == "failed" else "unproven", False
        names = ", ".join(comparison.absent)
        says.append(
            f"no evidence of {names}: {comparison.second} has no such tutor; run it, or name whom to compare (--tutors)"
        )
    return Outcome(condition, state, "; ".join(says) or "no tutor was compared", evidence)


def exit_code(outcomes: Iterable[Outcome], *, accept_unproven: bool = False) -> int:
    """0: all passed; 1: one failed; 3: none failed, and one is unproven.

    Args:
        outcomes: of all conditions.
        accept_unproven: let an unproven condition pass when it has an estimate; one without any stays unproven.
    """
    found = list(outcomes)
    if any(one.state == "failed" for one in found):
        return FAILED
    unproven = [one for one in found if one.state == "unproven"]
    return UNPROVEN if any(not (accept_unproven and one.evidence) for one in unproven) else PASSED


def _judge_tutor(condition: Condition, tutor: TutorComparison, confidence: float) -> Outcome:
    measure = next((one for one in tutor.metrics if one.metric == condition.metric), None)
    if measure is None:
        return Outcome(condition, "unproven", f"{condition.metric} was not compared", False)
    estimate = measure.difference if condition.of_difference else measure.own
    what = "difference" if condition.of_difference else "mean of the second run"
    if condition.metric.startswith(SHARE_OF):
        what = f"change of {measure.label}'s"
    if estimate is None or estimate.mean is None:
        why = measure.note if condition.of_difference else "no finished dialogue of the second run has it"
        return Outcome(condition, "unproven", f"no evidence: {why or 'it was not measured'}", False)
    says = f"{what} {estimate_text(estimate, condition.of_difference)}, n={estimate.n} on {estimate.clusters} items"
    if estimate.note:
        says += f" ({estimate.note})"
    if condition.meets(estimate.mean):
        return Outcome(condition, "failed", says, True)
    # the same words and the same figures: a replay, which differs nowhere
    replayed = condition.of_difference and 0 < tutor.n_pairs == tutor.n_same and not round(estimate.mean, DIGITS)
    replayed = replayed and _is_still(estimate)
    doubt = _doubt(condition, measure, estimate, "" if replayed else _reaches(condition, estimate, confidence))
    return Outcome(condition, "unproven" if doubt else "passed", f"{says}; {doubt}" if doubt else says, True)


def _doubt(condition: Condition, measure: MetricComparison, estimate: Estimate, reaches: str) -> str:
    """Why an estimate on the good side is no proof; empty: it is one."""
    if condition.worst(estimate) is None or estimate.clusters < 2:
        return "without an interval nothing is shown: run more items"
    reasons = [reaches] if reaches else []
    lost = measure.n_lost if condition.of_difference else measure.n_own_lost
    if lost > MAX_LOST * (lost + estimate.n):
        reasons.append(
            f"{lost} of {lost + estimate.n} values were lost (failed, not run, judged invalid or on one side only)"
        )
    if condition.of_difference and measure.other_judges:
        reasons.append(measure.other_judges)
    return "; ".join(reasons)


def _reaches(condition: Condition, estimate: Estimate, confidence: float) -> str:
    """Why the interval of an estimate on the good side is no proof; empty: it is one."""
    worst = condition.worst(estimate)
    if worst is None or estimate.clusters < 2:
        return ""
    unseen = _unseen(condition, estimate, confidence) if _is_still(estimate) else ""
    if unseen or not condition.meets(worst):
        return unseen
    bound = figure_text(condition.value, condition.of_difference)
    return f"the interval reaches {condition.op} {bound}: more items would tell"


def _is_still(estimate: Estimate) -> bool:
    """Whether all values are one and the same."""
    return estimate.note == NO_VARIATION or estimate.low == estimate.high


def _unseen(condition: Condition, estimate: Estimate, confidence: float) -> str:
    """Why values that do not vary are no proof; empty: they are one.

    None of N items differs, so up to 1 - alpha^(1/N) of such items may, alpha being half of what the confidence leaves
    (3.7/N at 95%). Each of them could lie as far off as the measure's range allows.
    """
    assert estimate.mean is not None
    rising, tail = condition.op in (">", ">="), (1.0 - confidence) / 2.0
    least, most = condition.range
    reach = most - estimate.mean if rising else estimate.mean - least
    share = 1.0 - tail ** (1.0 / estimate.clusters)
    end = estimate.mean + share * (reach if rising else -reach)
    if not condition.meets(end):
        return ""
    says = f"nothing varies on {estimate.clusters} items, and up to {share:.1%} of such items may differ unseen"
    room = round(abs(condition.value - estimate.mean), DIGITS)
    if not math.isfinite(reach):
        return f"{says} by any amount: items on which it varies would tell"
    if not room:
        return f"{says}: only a bound with a margin could be shown"
    needed = math.ceil(math.log(tail) / math.log(1.0 - room / reach)) if room < reach else 2
    return f"{says}, so it may be {figure_text(end, condition.of_difference)}: about {needed} items would tell"
