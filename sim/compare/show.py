"""`tutorloop compare`: two run folders compared, conditions judged, both shown, and an exit code.

Invariant: nothing is cut off at 80 columns, and what was left out of the comparison is shown with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.errors import InputError
from agents.files import write_text
from sim.compare.compare import compare_runs, default_metrics
from sim.compare.comparison import Comparison, ConfigChange, Counts, JudgedAgain, TutorComparison
from sim.compare.conditions import Outcome, exit_code, judge, parse_condition
from sim.compare.read import open_run
from sim.compare.text import figure_text, interval_text, names_of, share
from sim.config import Config
from sim.judging.verdicts import FOLDER

_WARNING = "[yellow]warning[/] "


def compare_command(
    first: str,
    second: str,
    *,
    tutors: str | None = None,
    phase: str | None = None,
    metrics: Sequence[str] = (),
    conditions: Sequence[str] = (),
    accept_unproven: bool = False,
    confidence: float | None = None,
    json_path: Path | None = None,
    console: Console,
) -> int:
    """Compares two runs, judges the conditions, shows both, and returns the exit code.

    Args:
        first: run folder or RUN@PHASE of what is compared with, such as the last release.
        second: the same of what is in question.
        tutors: `A=B`, tutor A of the first run with B of the second; `A` alone is `A=A`.
        phase: which phase to read of a run that names none itself.
        metrics: measures to compare. Empty: those of the second run's experiment. Those of the conditions are added.
        conditions: see `parse_condition`.
        accept_unproven: see `exit_code`.
        confidence: of the intervals. None: that of the second run's experiment.
        json_path: where the same is written as JSON.
        console: where it is shown.

    Raises:
        InputError: anything given is wrong: exit code 2.
    """
    parsed = [parse_condition(text) for text in conditions]
    if confidence is not None and not 0.5 < confidence < 1.0:
        raise InputError(f"--confidence {confidence}: expected a number between 0.5 and 1, such as 0.95")
    named = None
    if tutors is not None:
        mine, _, theirs = tutors.partition("=")
        named = (mine.strip(), theirs.strip() or mine.strip())
    sides = open_run(first, phase=phase or ""), open_run(second, phase=phase or "")
    family = (*(metrics or default_metrics(*sides)), *(one.metric for one in parsed))
    experiment = (sides[1].config or Config(name="defaults")).experiment
    level = confidence or experiment.confidence
    found = compare_runs(*sides, tutors=named, metrics=family, confidence=level)
    outcomes = [judge(one, found) for one in parsed]
    code = exit_code(outcomes, accept_unproven=accept_unproven)
    show_comparison(found, outcomes, console)
    if json_path is not None:
        content = to_dict(found, outcomes) | {"exit_code": code, "accept_unproven": accept_unproven}
        try:
            write_text(json_path, json.dumps(content, indent=1, allow_nan=False))
        except OSError as error:
            raise InputError(f"--json {json_path}: cannot be written: {error}; give another path") from error
    return code


def to_dict(comparison: Comparison, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The comparison and the outcomes as a JSON-able dict; what was not measured is null."""
    return {**asdict(comparison), "outcomes": [asdict(one) for one in outcomes]}


def show_comparison(comparison: Comparison, outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints a table for each pair of tutors, what was left out, how the configs differ, and the outcomes."""

    def say(text: str, markup: str = "") -> None:
        console.print(markup + escape(text), soft_wrap=True)

    for which, name, phase in zip(("first", "second"), _names(comparison), comparison.phases, strict=True):
        say(f"{which}: {name} (phase {phase})")
    tests = sum(one.p_holm is not None for tutor in comparison.tutors for one in tutor.metrics)
    for tutor in comparison.tutors:
        console.print(_table(tutor, comparison.confidence, tests))
        say(_account(tutor))
        for one in tutor.metrics:
            if one.note:
                say(f"{one.metric}: {one.note}")
            if one.other_judges:
                say(f"{one.metric}: {one.other_judges}", _WARNING)
    for changed in comparison.apart:
        say(changed, _WARNING)
    if unknown := sum(tutor.n_unknown for tutor in comparison.tutors):
        say(f"{unknown} pairs are of a version that kept no digest of items: whether these are the same nobody knows")
    if any(comparison.panels):
        told = [f"{name} by {_panels(of)}" for name, of in zip(_names(comparison), comparison.panels, strict=True)]
        say(f"judged again: {'; '.join(told)}")
    for note in comparison.notes:
        say(note, _WARNING)
    if comparison.absent:
        say(f"{comparison.second} has no {', '.join(comparison.absent)} of {comparison.first}", _WARNING)
    if comparison.left_out:
        say(f"not compared: {', '.join(comparison.left_out)}")
    if comparison.changes:
        say("The configs differ, and a difference could come from any of this:")
        for change in comparison.changes:
            say(f"  {_change(change)}")
    if comparison.inputs:
        say("What the configs name differs by content:")
        for difference in comparison.inputs:
            say(f"  {difference}")
    colours = {"passed": "green", "failed": "bold red", "unproven": "yellow"}
    for outcome in outcomes:
        mark = f"[{colours[outcome.state]}]{outcome.state.upper()}[/] "
        say(f"fail if {outcome.condition.text}: {outcome.says}", mark)


def _names(comparison: Comparison) -> tuple[str, str]:
    return comparison.first, comparison.second


def _panels(found: Sequence[JudgedAgain]) -> str:
    """Panels with the digests in their folders' names, and their judges."""
    return ", ".join(f"{FOLDER}/{one.folder} ({', '.join(one.judges)})" for one in found) or "no panel"


def _table(tutor: TutorComparison, confidence: float, tests: int) -> Table:
    """Two lines a measure, so that nothing is cut off in a log of 80 columns."""
    title = f"{names_of(tutor)}: {tutor.n_pairs} pairs on {tutor.n_items} items"
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, padding=0, leading=1, pad_edge=False)
    table.add_column("measure", overflow="fold")
    difference = f"difference\n{confidence:.0%} interval"
    for column in (
        "first\nsecond",
        difference,
        "n / items\nmissing",
        f"p\nHolm of {tests}",
        "d_z",
        "invalid\nverdicts",
    ):
        table.add_column(column, justify="right", overflow="fold")
    for one in tutor.metrics:
        found = one.difference
        tested = found if found and found.p is not None and found.effect is not None else None
        table.add_row(
            escape(one.metric),
            "\n".join(figure_text(e.mean) if e else "-" for e in (one.first, one.second)),
            escape(f"{figure_text(found.mean, signed=True)}\n{interval_text(found, signed=True)}") if found else "-",
            (f"{found.n} / {found.clusters}" if found else "0 / 0") + f"\n{one.n_missing}",
            f"{tested.p:.3g}\n{'-' if one.p_holm is None else format(one.p_holm, '.3g')}" if tested else "-",
            f"{tested.effect:+.2f}" if tested else "-",
            "\n".join(share(*counts) for counts in (one.verdicts_first, one.verdicts_second)),
        )
    return table


def _account(tutor: TutorComparison) -> str:
    """What was left out of the pairs, and the verdicts of both runs, in one line."""
    apart = f"set apart, because what they met was changed: {tutor.n_apart}; " if tutor.n_apart else ""
    return (
        f"{tutor.n_same} of {tutor.n_pairs} pairs said the same, word for word; "
        f"{tutor.n_shared} students met both, {tutor.n_only_first} only the first, {tutor.n_only_second} only the "
        f"second; {apart}left out because they failed: {tutor.n_failed_first} (first), {tutor.n_failed_second} "
        f"(second); "
        f"not run: {_not_run(tutor.first)}, {_not_run(tutor.second)}; invalid verdicts: "
        f"{share(tutor.first.n_invalid, tutor.first.n_verdicts)} (first), "
        f"{share(tutor.second.n_invalid, tutor.second.n_verdicts)} (second)"
    )


def _not_run(counts: Counts) -> str:
    return f"{counts.n_not_run} of {counts.n_not_run + counts.n} with {counts.tutor}"


def _change(change: ConfigChange) -> str:
    texts = ["-" if value is None else json.dumps(value) for value in (change.first, change.second)]
    return f"{change.key}: " + " -> ".join(text if len(text) <= 60 else text[:57] + "..." for text in texts)
