"""A plan as tables on the terminal.

Invariant: a figure that is not known is a dash, and every range says whether it is a forecast or a bound.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sim.plan import Plan
from sim.rates import CONFIDENCE, Range
from sim.volume import Volume

WIDE = 120
"""Columns that a plan's tables fit in."""


def show_plan(plan: Plan, console: Console) -> None:
    """Prints a plan."""
    _print(_volumes(plan), console)
    bounded = any(one.source == "bound" for one in plan.tutors)
    ranges = "≤: a bound" if bounded else f"± and brackets: where {CONFIDENCE:.0%} of such runs end"
    console.print(escape(f"{plan.pilot}; {ranges}"))
    console.print(_ahead(plan))
    if plan.metrics:
        _print(_metrics(plan), console)
    for note, names in _shared_notes(plan).items():
        console.print(escape(f"{', '.join(names)}: {note}"))
    for cut in plan.cuts:
        console.print(f"[yellow]cut[/] {escape(cut.says)}; what is under way then is still finished")
    for warning in plan.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}")
    for note in plan.notes:
        console.print(f"note: {escape(note)}")


def _print(table: Table, console: Console) -> None:
    """A table, in a log or a pipe as wide as it needs to be."""
    wide = console.is_terminal or console.width >= WIDE
    (console if wide else Console(file=console.file, width=WIDE, highlight=False)).print(table)


def _volumes(plan: Plan) -> Table:
    table = Table(
        title=f"Plan of {escape(plan.name)}: {plan.total.dialogues} dialogues, {len(plan.tutors)} tutor(s) x "
        f"{plan.cells} students on {plan.items} items",
        title_justify="left",
    )
    for column in ("tutor", "kind", "dialogues", "left", "replies", "scores", "read", "written", "cost", "from"):
        table.add_column(column, justify="left" if column in ("tutor", "kind", "from") else "right", overflow="fold")
    for one in plan.tutors:
        cells = [str(one.total.dialogues), str(one.left), *_cells(one.total)]
        table.add_row(escape(one.tutor), one.kind, *cells, escape(one.source))
    table.add_section()
    table.add_row("all", "", str(plan.total.dialogues), str(plan.left.dialogues), *_cells(plan.total), "")
    return table


def _cells(volume: Volume) -> list[str]:
    """Requests for replies and for scores, tokens read and written, cost."""
    tokens = [_brief(one, _short) for one in (volume.prompt_tokens, volume.completion_tokens)]
    return [f"{volume.generate:,}", f"{volume.score:,}", *tokens, _brief(volume.cost, _money)]


def _ahead(plan: Plan) -> str:
    left = plan.left
    if not left.dialogues:
        return "everything is stored already; nothing is left to run"
    start = f" after {_minutes(plan.start_minutes)} of engine start" if plan.start_minutes else ""
    return (
        f"[bold]to run: {left.dialogues} dialogues[/], {left.generate + left.score:,} requests, "
        f"{_range(left.tokens, _short)} tokens, cost {_range(left.cost, _money)}, " + _time(plan.minutes) + start
    )


def _time(minutes: Range) -> str:
    if not minutes.known:
        return "minutes unknown without a pilot's pace"
    if minutes.mean is None or minutes.low is None or minutes.high is None:
        return f"{_range(minutes, _minutes)} minutes"
    return f"{_minutes(minutes.mean)} minutes (at best {_minutes(minutes.low)}, at worst {_minutes(minutes.high)})"


def _metrics(plan: Plan) -> Table:
    table = Table(
        title=f"What {plan.items} items can show, at {plan.power:.0%} power and level {plan.alpha:.4f} (1 - "
        f"{plan.confidence:g}, divided by {plan.comparisons} comparisons: Bonferroni's bound on Holm)",
        title_justify="left",
    )
    for column in (
        "measure",
        "tutor",
        "sd of a pair",
        "pilot pairs",
        "on items",
        "smallest effect",
        "effect",
        "items needed",
    ):
        table.add_column(column, justify="left" if column in ("measure", "tutor") else "right", overflow="fold")
    for one in plan.metrics:
        table.add_row(
            escape(one.metric),
            escape(one.tutor) or "-",
            _number(one.sd),
            str(one.n),
            str(one.items),
            _number(one.detectable),
            _number(one.effect),
            "-" if one.items_needed is None else str(one.items_needed),
        )
    return table


def _brief(value: Range, tell: Callable[[float], str]) -> str:
    """A range for a narrow column: a mean with half its width in percent, a bound, or a dash."""
    if value.mean is None:
        return "-" if value.high is None else f"≤ {tell(value.high)}"
    if value.low is None or value.high is None or not value.mean or value.low == value.high:
        return tell(value.mean)
    return f"{tell(value.mean)} ±{(value.high - value.low) / 2.0 / value.mean:.0%}"


def _range(value: Range, tell: Callable[[float], str]) -> str:
    """A range in words: a mean with its ends, a bound, or a dash."""
    if value.mean is None:
        ends = [
            f"{word} {tell(end)}" for word, end in (("at least", value.low), ("at most", value.high)) if end is not None
        ]
        return ", ".join(ends) or "-"
    if value.low is None or value.high is None or value.low == value.high:
        return tell(value.mean)
    return rf"{tell(value.mean)} \[{tell(value.low)}, {tell(value.high)}]"


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def _money(number: float) -> str:
    return f"{number:.2f}" if number >= 0.01 or not number else f"{number:.2g}"


def _minutes(number: float) -> str:
    return f"{number:.0f}" if number >= 10.0 else f"{number:.1f}"


def _shared_notes(plan: Plan) -> dict[str, list[str]]:
    """The measures of each note."""
    found: dict[str, list[str]] = {}
    for one in plan.metrics:
        if one.note:
            found.setdefault(one.note, []).append(one.metric)
    return found


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"
