"""The tables a run ends with on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROWS = {
    "reward": "reward of a dialogue",
    "question_share": "tutor turns that ask a real question",
    "leak_rate": "tutor turns that give the answer away",
    "gain": "belief gain (probability of the right answer)",
    "transfer_gain": "the same on the transfer question",
    "on_item": "sentences that stay on the item",
    "repetition": "repeated word triples",
}


def show(summary: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Prints the result of a run and where its report lies."""
    if "heldout" in summary:
        _loop(summary, console)
    if "arms" in summary:
        _arms(summary, console)
    failed = sum(phase["n_failed"] for phase in summary["phases"].values())
    if failed:
        console.print(f"[yellow]{failed} dialogues failed; the report lists their errors[/]")
    console.print(f"report: {folder / 'report.html'}")


def _loop(summary: Mapping[str, Any], console: Console) -> None:
    heldout = summary["heldout"]
    table = Table(
        title=f"Held-out students: {heldout['n_dialogues']} dialogues on {heldout['n_items']} items, before and after",
        title_justify="left",
    )
    for column in ("", "before", "after", "difference", "95% interval"):
        table.add_column(column, justify="left" if not column else "right")
    for name, label in ROWS.items():
        if name in heldout["difference"]:
            change = heldout["difference"][name]
            low, high = change["ci95"]
            table.add_row(
                label,
                f"{heldout['before'][name]:.3f}",
                f"{heldout['after'][name]:.3f}",
                f"{change['mean']:+.3f}",
                f"[{low:+.3f}, {high:+.3f}]".replace("[", r"\["),
            )
    console.print(table)
    colour = "green" if summary["decision"] == "promoted" else "yellow"
    reason = summary["decision_reason"].replace("[", r"\[")
    console.print(f"[bold {colour}]{summary['adapter']} {summary['decision'].replace('_', ' ')}[/]: {reason}")


def _arms(summary: Mapping[str, Any], console: Console) -> None:
    table = Table(title="Arms (mean, 95% interval)", title_justify="left")
    for column in ("arm", "n", "failed", "questions", "leaks", "gain"):
        table.add_column(column)
    for arm in summary["arms"]:
        cells = []
        for name in ("question_share", "leak_rate", "gain"):
            if name in arm["mean"]:
                low, high = arm["ci95"][name]
                cells.append(f"{arm['mean'][name]:.3f} " + rf"\[{low:.3f}, {high:.3f}]")
            else:
                cells.append("-")
        table.add_row(arm["arm"], str(arm["n"]), str(arm["n_failed"]), *cells)
    console.print(table)
