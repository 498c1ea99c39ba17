"""What the report draws from the dialogues themselves: the leak ledger and the students' beliefs.

Invariant: every mean carries its n and a 95% interval clustered by item, because the dialogues of one item are
not independent of each other; a dialogue without the probe in question is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from agents.records import Dialogue, Probe
from sim.report.figures import plain
from sim.report.plots import BeliefRow, Estimate, belief_plot, scatter_plot
from sim.stats.paired import mean_interval

LEDGER_ROWS = 200
"""Leaks listed per phase; all of them are in the run folder."""
TUTOR_ROWS = 60
"""Leaks listed per tutor of an experiment, which may have many tutors."""
EVIDENCE = 300
"""Letters of a leak's evidence; the dialogue below has all of it."""
SCATTER_DOTS = 400
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class LeakRow:
    """One line of the leak ledger."""

    dialogue: str
    where: str
    turn: int
    kind: str
    severity: str
    evidence: str


@dataclass(frozen=True, slots=True)
class LeakPhase:
    """The leaks of one phase or tutor: how many of what kind, out of how much, and the worst of them."""

    phase: str
    dialogues: int
    tutor_turns: int
    unread: int
    """Tutor turns whose leaks could not be measured."""
    leaking: int
    kinds: dict[str, int]
    rows: tuple[LeakRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class BeliefPhase:
    """What students believed before and after the dialogues of one phase."""

    phase: str
    dumbbells: Markup
    scatter: Markup
    dots: int
    lines: tuple[tuple[str, str, str, str], ...]
    """Per belief: its label, before, after (each with its interval), and n."""


def leak_ledger(dialogues: Sequence[Dialogue], *, by_tutor: bool = False) -> list[LeakPhase]:
    """One entry per phase in the order the phases ran, or per tutor; worst leaks first."""
    groups: dict[str, list[Dialogue]] = {}
    for dialogue in dialogues:
        groups.setdefault(dialogue.spec.tutor_name if by_tutor else dialogue.spec.phase, []).append(dialogue)
    return [_leak_phase(name, found, TUTOR_ROWS if by_tutor else LEDGER_ROWS) for name, found in groups.items()]


def _leak_phase(phase: str, here: Sequence[Dialogue], listed: int) -> LeakPhase:
    found = sorted(((leak, d) for d in here for leak in d.leaks), key=lambda pair: (-pair[0].severity, pair[1].id))
    rows = [
        LeakRow(
            d.id,
            f"{d.spec.item_id}, {d.spec.persona}",
            leak.turn,
            leak.kind,
            plain(leak.severity, 2),
            _cut(leak.evidence),
        )
        for leak, d in found[:listed]
    ]
    kinds = Counter(leak.kind for leak, _ in found)
    return LeakPhase(
        phase=phase,
        dialogues=len(here),
        tutor_turns=sum(len(d.tutor_turns) for d in here),
        unread=sum(bool(turn.rules and turn.rules.leak is None) for d in here for turn in d.tutor_turns),
        leaking=sum(bool(d.leaks) for d in here),
        kinds={str(kind): kinds[kind] for kind in ("text", "claim", "letter", "number", "paraphrase")},
        rows=tuple(rows),
        total=len(found),
    )


def _cut(text: str) -> str:
    return text if len(text) <= EVIDENCE else text[: EVIDENCE - 1] + "…"


def beliefs(dialogues: Sequence[Dialogue], phases: Sequence[str]) -> list[BeliefPhase]:
    """Beliefs before and after tutoring, for each of the given phases that has probes."""
    found = (_belief_phase(phase, [d for d in dialogues if d.spec.phase == phase]) for phase in phases)
    return [entry for entry in found if entry is not None]


def _belief_phase(phase: str, here: Sequence[Dialogue]) -> BeliefPhase | None:
    kinds: tuple[tuple[str, Callable[[Dialogue], Pair | None]], ...] = (
        ("right answer", _right),
        ("held misconception", _held),
        ("transfer, right", _transfer),
    )
    rows: list[BeliefRow] = []
    for label, read in kinds:
        pairs = [(d.spec.item_id, pair) for d in here if (pair := read(d)) is not None]
        if pairs:
            before = _estimate([(item, pair[0]) for item, pair in pairs])
            rows.append(BeliefRow(label, before, _estimate([(item, pair[1]) for item, pair in pairs])))
    if not rows:
        return None
    dots = [pair for d in here if (pair := _right(d)) is not None]
    shown = dots[:: -(-len(dots) // SCATTER_DOTS)] if dots else []
    return BeliefPhase(
        phase,
        belief_plot(rows, f"{phase}: mean probabilities before and after tutoring"),
        scatter_plot(shown, f"{phase}: P(right answer) before on x, after on y, {len(shown)} dialogues"),
        len(shown),
        tuple((row.label, _words(row.before), _words(row.after), str(row.after.n if row.after else 0)) for row in rows),
    )


def _words(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    bounds = f" ({plain(estimate.interval[0], 3)} to {plain(estimate.interval[1], 3)})" if estimate.interval else ""
    return plain(estimate.mean, 3) + bounds


def _estimate(values: Sequence[tuple[str, float]]) -> Estimate:
    """Mean over dialogues with its interval, dialogues clustered by item; no interval for a single item."""
    items, figures = zip(*values, strict=True)
    found = mean_interval(figures, items)
    ends = None if found.low is None or found.high is None else (max(0.0, found.low), min(1.0, found.high))
    return Estimate(found.mean or 0.0, ends, found.n)


def _pair(before: Probe | None, after: Probe | None, option: int | None) -> Pair | None:
    if before is None or after is None:
        return None
    place = before.answer if option is None else option
    first, last = _belief(before, place), _belief(after, place)
    return None if first is None or last is None else (first, last)


def _belief(probe: Probe, option: int) -> float | None:
    """The probability of an option, or None when it was not asked about."""
    asked = probe.options or tuple(range(len(probe.probabilities)))
    return dict(zip(asked, probe.probabilities, strict=True)).get(option)


def _right(dialogue: Dialogue) -> Pair | None:
    return _pair(dialogue.probe("before"), dialogue.probe("after"), None)


def _held(dialogue: Dialogue) -> Pair | None:
    return _pair(dialogue.probe("before"), dialogue.probe("after"), dialogue.spec.held_option)


def _transfer(dialogue: Dialogue) -> Pair | None:
    return _pair(dialogue.probe("transfer_before"), dialogue.probe("transfer"), None)
