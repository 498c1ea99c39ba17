"""How the report writes numbers: the measures it knows, their units, and which way is better.

Invariant: what is not a finite number is written as a dash; a difference is called better or worse only when its whole
interval lies on one side of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.report.data import finite
from sim.report.plots import Interval

MISSING = "–"


def plain(value: object, digits: int) -> str:
    """A number with thin thousands separators, or a dash."""
    number = finite(value)
    if number is None:
        return MISSING
    # + 0.0: what rounds to 0 has no sign
    return f"{round(number, digits) + 0.0:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")


def span(seconds: float) -> str:
    """A duration in words: `42.0 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def interval_of(value: object) -> Interval | None:
    """A pair of finite numbers, or None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = finite(value[0]), finite(value[1])
    return None if low is None or high is None else (low, high)


def section(summary: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A part of the summary, or None when it is missing or empty."""
    value = summary.get(name)
    return value if isinstance(value, Mapping) and value else None


@dataclass(frozen=True, slots=True)
class Metric:
    """One measure: its name in the summary, how it is written, and which way is better (1, -1, or 0 for neither)."""

    name: str
    label: str
    hint: str
    better: int = 0
    digits: int = 3
    share: bool = False

    def show(self, value: object) -> str:
        """The value in the measure's unit."""
        number = finite(value)
        if number is None:
            return MISSING
        return f"{plain(100 * number, 1)}%" if self.share else plain(number, self.digits)

    def signed(self, value: object) -> str:
        """A difference: with its sign, and in percentage points for a share."""
        number = finite(value)
        if number is None:
            return MISSING
        sign = "+" if number > 0 else ""
        return f"{sign}{plain(100 * number, 1)} pts" if self.share else f"{sign}{plain(number, self.digits)}"

    def bounds(self, interval: Interval | None, *, signed: bool = False) -> str:
        """An interval as `a to b`, or nothing."""
        if interval is None:
            return ""
        low, high = (self.signed(end).removesuffix(" pts") if signed else self.show(end) for end in interval)
        return f"{low.removesuffix('%')} to {high}"

    def reading(self, interval: Interval | None) -> tuple[str, str]:
        """Style class and word for a difference's interval."""
        if interval is None:
            return "unclear", "no interval"
        if interval[0] <= 0 <= interval[1]:
            return "unclear", "no clear difference"
        up = interval[0] > 0
        if not self.better:
            return "unclear", "higher" if up else "lower"
        return ("better", "better") if up == (self.better > 0) else ("worse", "worse")


METRICS = (
    Metric("reward", "Reward", "weighted sum of the parts below", 1, 3),
    Metric("gain", "Belief gain", "probability of the right answer, after minus before, net of echo", 1, 4),
    Metric("echo", "Echo", "the gain where the tutor's words stand in random order", 0, 4),
    Metric("raw_gain", "Raw gain", "belief gain, echo included", 0, 4),
    Metric(
        "net_gain", "Gain net of leak", "gain times 1 - the worst leak, a loss whole: learned without being told", 1, 4
    ),
    Metric("transfer_gain", "Transfer gain", "the same on a new question about the concept", 1, 4),
    Metric("question_share", "Turns with a question", "real questions about the item", 1, share=True),
    Metric("leak_rate", "Leak rate", "the answer given away; lower is better", -1, share=True),
    Metric("confirmation_share", "Turns that confirm", "a right guess of the student's is confirmed", 0, share=True),
    Metric("on_item", "On the item", "share of sentences about the concept", 1, share=True),
    Metric("repetition", "Repetition", "3-grams said before; lower is better", -1, share=True),
    Metric(
        "successive_similarity", "Like the turn before", "words in this tutor turn and the one before", -1, share=True
    ),
    Metric("opener_share", "Shipped openers", "turns that begin with an opener that training uses", -1, share=True),
    Metric("distinct_openings", "Different openings", "different first four words / dialogues", 1, share=True),
    Metric("distinct_ngrams", "Own word triples", "word triples that other dialogues do not say", 1, share=True),
    Metric("role_breaks", "Role breaks", "turns cut where the speaker went on in another's name", -1, share=True),
    Metric("quality", "Quality", "expected rating by the trained scorer; no reward alone", 1, 2),
    Metric("words", "Words per turn", "neither way is better", 0, 1),
)


def metrics_in(sides: Iterable[Mapping[str, Any] | None]) -> list[Metric]:
    """The measures that occur, known ones first; an unknown one is shown under its own name, not dropped."""
    found = {name: None for side in sides if side for name in side}
    known = {metric.name for metric in METRICS}
    extra = [Metric(name, name.replace("_", " "), "") for name in found if name not in known]
    return [metric for metric in METRICS if metric.name in found] + extra
