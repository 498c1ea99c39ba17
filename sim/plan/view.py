"""A plan as tables on the terminal.

Invariant: a figure that is not known is a dash, and every range says whether it is a forecast or a bound. A terminal of
80 columns shows names and figures whole, unless a tutor's name is longer than any of the library's.
"""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from sim.plan.plan import Plan
from sim.plan.rates import CONFIDENCE, Range
from sim.plan.volume import Volume

WIDE = 120
"""Columns that a plan's tables fit in, lines between their columns included."""
_FREE = Range(0.0, 0.0, 0.0)


def show_plan(plan: Plan, console: Console) -> None:
    """Prints a plan."""
    _print(_volumes(plan), console)
    for line in filter(None, (_sources(plan), _cost_told(plan))):
        console.print(escape(line))
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
    """A table, in a log or a pipe as wide as it needs to be; without lines where it is too wide for a terminal."""
    if not console.is_terminal and console.width < WIDE:
        console = Console(file=console.file, width=WIDE, highlight=False)
    # a table's own width; the console's options would cut it to the console's
    if Measurement.get(console, console.options.update(width=10 * WIDE), table).maximum > console.width:
        table.box, table.show_edge, table.padding = box.SIMPLE, False, 0
    console.print(table)


def _volumes(plan: Plan) -> Table:
    table = Table(
        title=f"Plan of {escape(plan.name)}: {plan.total.dialogues} dialogues, {len(plan.tutors)} tutor(s) x "
        f"{plan.cells} students on {plan.items} items",
        title_justify="left",
    )
    billed = _billed(plan)
    for column in ("tutor", "dialogues", "left", "replies", "scores", "read", "written", *(["cost"] if billed else [])):
        table.add_column(column, justify="left" if column == "tutor" else "right", overflow="fold")
    for one in plan.tutors:
        table.add_row(escape(one.tutor), str(one.total.dialogues), str(one.left), *_cells(one.total, billed))
    table.add_section()
    table.add_row("all", str(plan.total.dialogues), str(plan.left.dialogues), *_cells(plan.total, billed))
    return table


def _billed(plan: Plan) -> bool:
    """Whether a tutor's cost is known and not 0."""
    return any(one.total.cost.known and one.total.cost != _FREE for one in plan.tutors)


def _cells(volume: Volume, billed: bool) -> list[str]:
    """Requests for replies and for scores, tokens read and written, and the cost where a tutor has one."""
    tokens = [_brief(one, _short) for one in (volume.prompt_tokens, volume.completion_tokens)]
    cost = [_brief(volume.cost, _money)] if billed else []
    return [f"{volume.generate:,}", f"{volume.score:,}", *tokens, *cost]


def _sources(plan: Plan) -> str:
    """Where each tutor's tokens and cost come from."""
    found: dict[str, list[str]] = {}
    for one in plan.tutors:
        found.setdefault(one.source, []).append(one.tutor)
    alone = len(found) == 1
    return "figures from: " + "; ".join(
        source + ("" if alone else f" ({', '.join(names)})") for source, names in found.items()
    )


def _cost_told(plan: Plan) -> str:
    """What stands in for the column of costs where the table has none."""
    if _billed(plan):
        return ""
    unknown = [one.tutor for one in plan.tutors if not one.total.cost.known]
    if len(unknown) == len(plan.tutors):
        return "cost: unknown"
    if unknown:
        return f"cost: unknown of {', '.join(unknown)}; 0 of the others, no pool of theirs has a price"
    return "cost: 0, no pool in use has a price"


def _ahead(plan: Plan) -> str:
    left = plan.left
    if not left.dialogues:
        return "everything is stored already; nothing is left to run"
    start = f" after {_minutes(plan.start_minutes)} of engine start" if plan.start_minutes else ""
    return (
        f"[bold]to run: {left.dialogues} dialogues[/], {left.generate + left.score:,} requests, "
        f"{_range(left.tokens, _short)} tokens, {_cost(plan)}" + _time(plan.minutes) + start
    )


def _cost(plan: Plan) -> str:
    if not _billed(plan):
        return ""
    return f"cost {_range(plan.left.cost, _money)}, " if plan.left.cost.known else "cost unknown, "


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
        "sd of\na pair",
        "pilot\npairs",
        "on\nitems",
        "smallest\neffect",
        "effect",
        "items\nneeded",
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
        ends = [f"{sign} {tell(end)}" for sign, end in (("≥", value.low), ("≤", value.high)) if end is not None]
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
