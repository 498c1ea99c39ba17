"""What the report's sections say: the run's summary turned into rows, sentences and plots.

Invariant: a figure that is missing or not a finite number is shown as a dash, never as 0; a section whose facts are
missing is None or empty, and left out of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from agents.records import Dialogue
from sim.report.data import finite
from sim.report.figures import METRICS, MISSING, Metric, interval_of, metrics_in, plain, section, span
from sim.report.plots import TradePoint, delivery_plot, interval_plot, line_plot, trade_plot
from sim.report.verdicts import invalid_by


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One measure before and after, with the paired difference."""

    label: str
    hint: str
    before: str
    before_interval: str
    after: str
    after_interval: str
    difference: str
    interval: str
    n: str
    tone: str
    reading: str
    plot: Markup


def header(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Name, model, machine, date and the decision as a sentence."""
    machine = section(summary, "machine") or {}
    parts = [str(machine["cpu"]) if machine.get("cpu") else ""]
    parts.append(f"{machine['cores']} cores" if machine.get("cores") else "")
    parts.append(f"{plain(machine.get('memory_gib'), 0)} GiB memory" if finite(machine.get("memory_gib")) else "")
    parts.append(str(machine.get("gpu") or "no GPU") if machine else "")
    return {
        "name": str(summary.get("name", "unnamed run")),
        "kind": str(summary.get("kind", "run")),
        "model": str(summary.get("model", MISSING)),
        "version": str(summary.get("tutorloop", MISSING)),
        "machine": ", ".join(part for part in parts if part) or MISSING,
        "date": _date(summary.get("started")),
        "duration": _duration(summary.get("started"), summary.get("finished")),
        "level": f"{finite(summary.get('confidence')) or 0.95:.0%}",
        "decision": _decision(summary),
        "decided": str(summary.get("decision", "")),
        "belief": str(summary.get("belief") or ""),
        "stored": [str(note) for note in summary.get("passed_over") or ()],
    }


def _decision(summary: Mapping[str, Any]) -> str:
    adapter = str(summary.get("adapter") or "the new tutor")
    reason = str(summary.get("decision_reason") or "").strip()
    reason = reason[:1].upper() + reason[1:] + ("" if reason.endswith((".", "!", "?")) or not reason else ".")
    sentence = {
        "promoted": f"Promoted: {adapter} is now the tutor.",
        "rolled_back": f"Rolled back: {adapter} was not kept, and the tutor is the one it was before.",
    }.get(str(summary.get("decision", "")), "")
    if summary.get("decision") and not sentence:
        sentence = f"Decision: {summary['decision']}."
    return f"{sentence} {reason}".strip()


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _date(value: object) -> str:
    moment = _moment(value)
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".strip() if moment else str(value or MISSING)


def _duration(started: object, finished: object) -> str:
    first, last = _moment(started), _moment(finished)
    if not first or not last or (first.tzinfo is None) != (last.tzinfo is None):
        return MISSING
    return span((last - first).total_seconds())


def phases(summary: Mapping[str, Any], dialogues: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """One row per phase: what ran, what failed, what it cost."""
    rows, verdicts = [], invalid_by(dialogues, lambda spec: spec.phase)
    for name, facts in (section(summary, "phases") or {}).items():
        seconds, completion = finite(facts.get("seconds")), finite(facts.get("completion_tokens"))
        failures = facts.get("failures") or {}
        refused = facts.get("fallbacks") or {}
        rows.append(
            {
                "name": name,
                "dialogues": plain(facts.get("n_dialogues"), 0),
                "failed": plain(facts.get("n_failed"), 0),
                "failures": ", ".join(f"{n} x {error}" for error, n in failures.items()),
                "invalid": verdicts[name].words if name in verdicts else plain(facts.get("n_invalid_verdicts"), 0),
                "refused": ", ".join(f"{note} ({n} dialogues)" for note, n in refused.items()),
                "no_replies": plain(facts.get("n_no_replies"), 0) if facts.get("n_no_replies") else "",
                "turns": plain(facts.get("turns"), 0),
                "prompt": plain(facts.get("prompt_tokens"), 0),
                "completion": plain(completion, 0),
                "timed": seconds is not None,
                "seconds": plain(seconds, 1),
                "rate": plain(completion / seconds if seconds and completion is not None else None, 0),
            }
        )
    return rows


def times(summary: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Steps of the run with their seconds and their share of the longest, for bars."""
    seconds = {step: finite(value) or 0.0 for step, value in (section(summary, "seconds") or {}).items()}
    longest = max(seconds.values(), default=0.0) or 1.0
    return [(step, span(value), 100.0 * value / longest) for step, value in seconds.items()]


def rounds(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The decisions of the rounds of a loop, with the conditions of the gate."""
    return [
        {
            "round": str(entry.get("round", MISSING)),
            "decision": str(entry.get("decision", MISSING)).replace("_", " "),
            "adapter": str(entry.get("adapter", entry.get("version", MISSING))),
            "reason": str(entry.get("decision_reason", entry.get("reason", ""))),
            "conditions": [
                f"{one.get('condition', MISSING)}: {one.get('state', MISSING)} ({one.get('says', '')})"
                for one in entry.get("conditions") or []
            ],
            "headline": _moved(entry.get("headline") or []),
        }
        for entry in summary.get("rounds") or []
    ]


def _moved(headline: Sequence[Mapping[str, Any]]) -> list[str]:
    """Headline measures by the way they went, a line for each way that any went."""
    found: dict[str, list[str]] = {}
    for one in headline:
        given_up = " (given up)" if one.get("given_up") else ""
        found.setdefault(str(one.get("moved", MISSING)), []).append(f"{one.get('metric', MISSING)}{given_up}")
    return [f"{way}: {', '.join(names)}" for way, names in found.items()]


def heldout(summary: Mapping[str, Any], dialogues: Sequence[Dialogue]) -> dict[str, Any] | None:
    """The before/after comparison on the held-out set, or None when there was none."""
    verdicts = invalid_by([d for d in dialogues if d.spec.phase.startswith("heldout/")], lambda spec: spec.phase)
    facts = section(summary, "heldout")
    if facts is None:
        return None
    before, after = facts.get("before") or {}, facts.get("after") or {}
    names = metrics_in([before, after, facts.get("difference") or {}])
    points = [trade_point(facts, "before", before, "before", False), trade_point(facts, "after", after, "after", True)]
    drawn = [point for point in points if point]
    title = "Share of turns with a question against belief gain, before and after"
    return {
        "rows": [_change(metric, facts) for metric in names],
        "pairs": plain(facts.get("n_dialogues"), 0),
        "n_items": plain(facts.get("n_items"), 0),
        "failed": plain(facts.get("n_failed"), 0),
        "invalid": "; ".join(f"{phase}: {count.words}" for phase, count in verdicts.items()),
        "trade": trade_plot(drawn, title) if drawn else "",
        "personas": _personas(facts),
        "parts": _parts(facts),
    }


def _parts(facts: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What the reward's change is made of: part, points, interval, share."""
    known = {metric.name: metric.label for metric in METRICS} | {"question": "Questions", "leak": "Leaks"}
    points = Metric("reward", "Reward", "", 1, 3)
    return [
        (
            known.get(name, name.replace("_", " ").capitalize()),
            points.signed(part.get("mean")),
            points.bounds(interval_of(part.get("ci95")), signed=True),
            MISSING if finite(part.get("share")) is None else f"{plain(100 * part['share'], 0)}%",
        )
        for name, part in (section(facts, "reward_change") or {}).items()
    ]


def _change(metric: Metric, facts: Mapping[str, Any]) -> ChangeRow:
    difference = (facts.get("difference") or {}).get(metric.name) or {}
    intervals = facts.get("intervals") or {}
    mean, interval = finite(difference.get("mean")), interval_of(difference.get("ci95"))
    tone, reading = metric.reading(interval)
    shown, between = metric.signed(mean), metric.bounds(interval, signed=True)
    title = f"{metric.label}: {shown}, interval {between}, {reading}"
    return ChangeRow(
        metric.label,
        metric.hint,
        metric.show((facts.get("before") or {}).get(metric.name)),
        metric.bounds(interval_of((intervals.get("before") or {}).get(metric.name))),
        metric.show((facts.get("after") or {}).get(metric.name)),
        metric.bounds(interval_of((intervals.get("after") or {}).get(metric.name))),
        shown,
        between,
        plain(difference.get("n"), 0),
        tone,
        reading,
        interval_plot(mean, interval, tone, title) if mean is not None and interval else Markup(""),
    )


def trade_point(
    facts: Mapping[str, Any], label: str, means: Mapping[str, Any], side: str, filled: bool
) -> TradePoint | None:
    """A policy in the plane of asking and teaching; None where one of the two was not measured."""
    x, y = finite(means.get("question_share")), finite(means.get("gain"))
    if x is None or y is None:
        return None
    bounds = (facts.get("intervals") or {}).get(side) or {}
    return TradePoint(label, x, y, interval_of(bounds.get("question_share")), interval_of(bounds.get("gain")), filled)


def _personas(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    by_persona = facts.get("by_persona") or {}
    if not by_persona:
        return None
    names = metrics_in([side for entry in by_persona.values() for side in (entry.get("before"), entry.get("after"))])
    rows = []
    for persona, entry in by_persona.items():
        for side in ("before", "after"):
            means = entry.get(side) or {}
            cells = [metric.show(means.get(metric.name)) for metric in names]
            rows.append((persona, plain(entry.get("n"), 0), side, cells))
    return {"labels": [metric.label for metric in names], "rows": rows}


def arms(summary: Mapping[str, Any], dialogues: Sequence[Dialogue]) -> dict[str, Any] | None:
    """The table of an older run's arms, or None when the run had none."""
    verdicts = invalid_by(dialogues, lambda spec: spec.arm)
    entries = summary.get("arms") or []
    if not entries:
        return None
    names = metrics_in([entry.get("mean") for entry in entries])
    rows, points = [], []
    for number, entry in enumerate(entries, 1):
        mean, bounds = entry.get("mean") or {}, entry.get("ci95") or {}
        cells = [(m.show(mean.get(m.name)), m.bounds(interval_of(bounds.get(m.name)))) for m in names]
        arm, of = str(entry.get("arm", MISSING)), f"{entry.get('strategy', MISSING)}/{entry.get('persona', MISSING)}"
        invalid = verdicts[arm].words if arm in verdicts else MISSING
        counts = (plain(entry.get("n"), 0), plain(entry.get("n_failed"), 0), invalid)
        rows.append((number, arm, "" if arm == of else of, *counts, cells))
        points.append(trade_point({"intervals": {"arm": bounds}}, str(number), mean, "arm", True))
    drawn = [point for point in points if point]
    plot = trade_plot(drawn, "Share of turns with a question against belief gain, by arm") if drawn else ""
    return {"labels": [metric.label for metric in names], "rows": rows, "trade": plot}


def training(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was trained on and how it went, or None when nothing was trained."""
    facts = section(summary, "training")
    if facts is None:
        return None
    curves = []
    for name, label in (("loss", "Loss"), ("margin", "Reward margin, nats"), ("accuracy", "Pair accuracy")):
        found = [(finite(step.get("step")), finite(step.get(name))) for step in facts.get("steps") or []]
        points = [(x, y) for x, y in found if x is not None and y is not None]
        if points:
            curves.append((label, line_plot([x for x, _ in points], [y for _, y in points], label)))
    known = (
        ("pairs", "preference pairs", 0),
        ("rows", "tree rows", 0),
        ("tokens", "tokens", 0),
        ("seconds", "seconds", 1),
        ("tokens_per_second", "tokens per second", 0),
        ("initial_margin", "margin before the first step", 4),
        ("loss_first", "first loss", 3),
        ("loss_last", "last loss", 3),
        ("accuracy_last", "last pair accuracy", 3),
    )
    figures = [(label, plain(facts.get(name), digits)) for name, label, digits in known if name in facts]
    if "saw_key" in summary:
        figures.append(("training saw the answer key", "; ".join(map(str, summary["saw_key"])) or "no"))
    figures += [
        (f"{what} begun with an opener", f"{plain(count[0], 0)} of {plain(count[1], 0)}")
        for what, count in (facts.get("openers") or {}).items()
        if isinstance(count, list) and len(count) == 2
    ]
    return {"figures": figures, "curves": curves, "rejections": facts.get("rejections") or {}}


def delivery(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The proof that the engine served the new weights, or None when nothing was delivered."""
    facts = section(summary, "delivery")
    if facts is None:
        return None
    agreement, changed, tolerance = (finite(facts.get(name)) for name in ("agreement", "changed", "tolerance"))
    plot, sentence = Markup(""), "The proof is incomplete: not all of its figures were recorded."
    if agreement is not None and changed is not None and tolerance is not None:
        plot = delivery_plot(agreement, changed, tolerance)
        sentence = "The engine serves the weights the trainer delivered."
        if agreement > tolerance:
            sentence = "NOT proved: engine and trainer disagree by more than the tolerance."
        elif (share := finite(facts.get("share"))) is not None:
            error = finite(facts.get("share_error")) or 0.0
            sentence += f" It shows {share:.2f} of what training changed (standard error {error:.2f})."
        elif changed <= agreement:
            sentence = "NOT proved: the new weights differ from the old ones by no more than the measuring error."
    return {
        "version": str(facts.get("version", MISSING)),
        "agreement": plain(agreement, 4),
        "changed": plain(changed, 4),
        "tolerance": plain(tolerance, 4),
        "seconds": plain(facts.get("seconds"), 1),
        "sentence": sentence,
        "plot": plot,
    }


def tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The few figures that stand at the top: before, after and the interval of the difference."""
    facts = section(summary, "heldout")
    if facts is None:
        return []
    chosen = [metric for metric in METRICS if metric.name in ("reward", "question_share", "gain", "leak_rate")]
    return [
        {
            "label": row.label,
            "before": row.before,
            "after": row.after,
            "tone": row.tone,
            "reading": row.reading,
            "difference": row.difference,
            "interval": row.interval,
        }
        for row in (_change(metric, facts) for metric in chosen)
    ]
