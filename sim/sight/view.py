"""A snapshot for eyes: a few lines and small tables on a terminal, one plain line elsewhere.

Invariant: nothing is wider than the terminal, from 40 columns on; an unknown figure is a dash. Names come from configs
and folders that others wrote, so they are shown without control characters and never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from sim.sight.seconds import Spent
from sim.sight.snapshot import PoolView, Snapshot, TutorView

DASH = "-"
MOST_ROWS = 8
"""Of a table; the rest is counted."""
WIDE = 76
"""Columns from which tables show everything."""


class View:
    """A snapshot that fits the console it is drawn on."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        snapshot, width = self._snapshot, options.max_width
        yield from _head(snapshot, width)
        for line in flowed(figures(snapshot), width):
            yield Text(line)
        if options.max_width >= 40 and (console.height >= 16 or not console.is_terminal):
            if snapshot.pools:
                yield _pools(snapshot.pools, width)
            if len(snapshot.tutors) > 1:
                yield _tutors(snapshot.tutors, width)
        for line in flowed(["seconds went to", *spent_figures(snapshot.spent)], width):
            yield Text(line, style="dim")


def _head(snapshot: Snapshot, width: int) -> RenderResult:
    share = f"{snapshot.done}/{snapshot.about.total}  ETA {duration(snapshot.eta_seconds)}"
    name = clipped(snapshot.about.what, max(8, width - len(share) - 2))
    yield Text(f"{name}  {share}"[:width], style="bold")
    yield ProgressBar(total=max(1, snapshot.about.total), completed=snapshot.done, width=min(width, WIDE))
    yield Segment.line()


def figures(snapshot: Snapshot) -> list[str]:
    """The figures of a run, each with its word."""
    return [
        f"{snapshot.in_flight} in flight of {snapshot.limit}",
        f"{number(snapshot.turns_per_second)} turns/s",
        f"{number(snapshot.tokens_per_second, 0)} tokens/s",
        f"prefix hits {percent(snapshot.prefix_share)}",
        f"queue {snapshot.queue}",
        f"failed {snapshot.failed}",
        f"restarts {snapshot.engine_restarts + snapshot.room_restarts}",
        f"cost {snapshot.cost:.4g}",
    ]


def spent_figures(spent: Spent) -> list[str]:
    """Where the seconds went. Where the engines do not say, asking stands for queue, prefill, decode and transport."""
    parts = [("queue", spent.queued), ("prefill", spent.prefill), ("decode", spent.decode)]
    asking = [("engines", spent.asking)] if spent.queued is None and spent.asking is not None else parts
    rest = [("transport", spent.transport), ("orchestration", spent.orchestration), ("storing*", spent.storing)]
    return [f"{name} {percent(share)}" for name, share in (*asking, *rest)]


def line(snapshot: Snapshot) -> str:
    """One plain line, for a log."""
    told = [
        f"{snapshot.done}/{snapshot.about.total} dialogues",
        f"{number(snapshot.turns_per_second)} turns/s",
        f"{number(snapshot.tokens_per_second, 0)} tokens/s",
        f"ETA {duration(snapshot.eta_seconds)}",
        f"{snapshot.in_flight} in flight",
        f"prefix hits {percent(snapshot.prefix_share)}",
        f"queue {snapshot.queue}",
        *([f"failed {snapshot.failed}"] if snapshot.failed else []),
        *([f"restarts {n}"] if (n := snapshot.engine_restarts + snapshot.room_restarts) else []),
        *([f"cost {snapshot.cost:.4g}"] if snapshot.cost else []),
    ]
    return f"{clean(snapshot.about.what)}: {', '.join(told)}"


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=True, overflow="ellipsis")
    return table


def _pools(pools: Sequence[PoolView], width: int) -> Table:
    wide = width >= WIDE
    table = _table(["pool", "up", "run", "queue", "KV", *(["prefix", "tokens/s", "preempted", "restarts"] * wide)])
    for pool in pools[:MOST_ROWS]:
        away = [replica.state for replica in pool.replicas if replica.state != "serving"]
        up = f"{pool.serving}/{len(pool.replicas)}" + (f" {away[0]}" if away and wide else "")
        more = [
            percent(pool.prefix_share),
            number(pool.tokens_per_second, 0),
            str(pool.preemptions),
            str(pool.restarts),
        ]
        row = [clipped(pool.pool, width // 4), up, str(pool.running), str(pool.waiting), percent(pool.kv_usage)]
        table.add_row(*map(Text, [*row, *(more if wide else [])]))
    return _counted(table, len(pools))


def _tutors(tutors: Sequence[TutorView], width: int) -> Table:
    table = _table(["tutor", "done", "failed", "in flight", *(["dialogues/s"] * (width >= WIDE))])
    for tutor in tutors[:MOST_ROWS]:
        row = [clipped(tutor.tutor, width // 3), str(tutor.done), str(tutor.failed), str(tutor.in_flight)]
        table.add_row(*map(Text, [*row, *([number(tutor.dialogues_per_second, 2)] * (width >= WIDE))]))
    return _counted(table, len(tutors))


def _counted(table: Table, n: int) -> Table:
    if n > MOST_ROWS:
        table.add_row(Text(f"and {n - MOST_ROWS} more", style="dim"))
    return table


def flowed(parts: Iterable[str], width: int) -> list[str]:
    """Parts set side by side in lines of at most `width` columns; a part that is wider is cut."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}  {part}" if lines else part
        if lines and len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(clipped(part, width))
    return lines


def clean(text: str) -> str:
    """Text without control characters: what others wrote must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def clipped(text: str, width: int) -> str:
    """Clean text of at most `width` characters."""
    text = clean(text)
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def number(value: float | None, digits: int = 1) -> str:
    """A figure, or a dash."""
    return DASH if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """A share, or a dash."""
    return DASH if share is None else f"{share:.0%}"


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units, or a dash."""
    if seconds is None:
        return DASH
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    hours = minutes // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
