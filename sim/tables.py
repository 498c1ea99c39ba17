"""The tables a run ends with on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROWS = {
    "reward": "reward of a dialogue",
    "question_share": "tutor turns that ask a real question",
    "leak_rate": "tutor turns that give the answer away",
    "gain": "belief gain (probability of the right answer)",
    "net_gain": "the same net of leaks (learned without being told)",
    "transfer_gain": "the same on the transfer question",
    "on_item": "sentences that stay on the item",
    "repetition": "repeated word triples",
    "quality": "quality by the trained scorer",
}


def show(summary: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Prints the result of a run and where its report lies."""
    if "heldout" in summary:
        _loop(summary, console)
    if "experiment" in summary:
        _experiment(summary["experiment"], console)
    if summary.get("frontier"):
        _frontier(summary["frontier"], console)
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


def _experiment(found: Mapping[str, Any], console: Console) -> None:
    level = f"{found['confidence']:.0%}"
    names = [name for name in dict.fromkeys((*found["family"], "net_gain", "question_share", "leak_rate"))]
    table = Table(title=f"Tutors (mean, {level} interval)", title_justify="left")
    for column in ("tutor", "n", "failed", *names):
        table.add_column(column)
    for row in found["tutors"]:
        cells = [_figure(row["figures"].get(name)) for name in names]
        table.add_row(row["tutor"], str(row["n"]), str(row["n_failed"]), *cells)
    console.print(table)
    if found["comparisons"]:
        _comparisons(found, console)
    missing = found["missing"]
    if missing["why"]:
        console.print(
            f"[yellow]{missing['done']} of {missing['planned']} dialogues finished[/]: {escape(missing['why'])}"
        )


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['mean']:.3f}"
    return f"{figure['mean']:.3f} " + rf"\[{figure['low']:.3f}, {figure['high']:.3f}]"


def _comparisons(found: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"Differences from {found['baseline']}", title_justify="left")
    for column in ("measure", "tutor", "difference", "n", "p (Holm)", "effect"):
        table.add_column(column)
    for row in found["comparisons"]:
        tested = row["p_holm"] is not None and row["effect"] is not None
        table.add_row(
            row["metric"],
            row["tutor"],
            _figure(row if row["n"] else None),
            str(row["n"]),
            f"{row['p_holm']:.3f}" if tested else "-",
            f"{row['effect']:+.2f}" if tested else escape(row["note"] or "-"),
        )
    console.print(table)


def _frontier(found: Mapping[str, Any], console: Console) -> None:
    table = Table(title="Frontier: held-out means, and differences from the base", title_justify="left")
    shown = ("question_share", "gain", "net_gain", "leak_rate")
    for column in ("reward", "questions", "gain", "gain net of leak", "leaks", "improves on the base"):
        table.add_column(column)
    base = found["base"]["mean"]
    table.add_row("base", *(f"{base[name]:.3f}" if name in base else "-" for name in shown), "")
    for point in found["points"]:
        cells = []
        for name in shown:
            if name not in point["difference"]:
                cells.append("-")
                continue
            low, high = point["difference"][name]["ci95"]
            cells.append(f"{point['after'][name]:.3f} " + rf"\[{low:+.3f}, {high:+.3f}]")
        table.add_row(point["label"], *cells, "yes" if point["improves"] else "no")
    console.print(table)


def show_training(metrics: Mapping[str, Any], adapter: Path, console: Console) -> None:
    """Prints what a training run came to and where the adapter lies."""
    table = Table(title=f"Training ({metrics['objective']}, {metrics['quantization']})", title_justify="left")
    for column in ("", ""):
        table.add_column(column)
    table.add_row("rows, turns, pairs", f"{metrics['rows']}, {metrics['turns']}, {metrics['pairs']}")
    table.add_row("steps", f"{metrics['steps']}{' (stopped early)' if metrics['stopped_early'] else ''}")
    table.add_row("loss, first to last step", f"{metrics['loss_first']:.3f} to {metrics['loss_last']:.3f}")
    if metrics["validation"]:
        losses = [entry["loss"] for entry in metrics["validation"]]
        table.add_row("validation loss, first to best", f"{losses[0]:.3f} to {metrics['validation_best']:.3f}")
    table.add_row("tokens a second", f"{metrics['tokens_per_second']:.0f} on {metrics['device']}")
    if metrics["rejections"]:
        table.add_row("left out", ", ".join(f"{count} {reason}" for reason, count in metrics["rejections"].items()))
    console.print(table)
    for note in metrics["notes"]:
        console.print(f"note: {note}")
    console.print(f"adapter: {adapter}")


def show_scorer(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Prints a scorer's figures on the test side, with the majority's beside them."""
    title = f"Scorer on {report['n']} unseen dialogues of {report['groups']} groups"
    table = Table(title=title, title_justify="left")
    for column in ("", "scorer", "majority", "difference", "95% interval"):
        table.add_column(column, justify="left" if not column else "right")
    for name, found in report["metrics"].items():
        change = found["difference"]
        bounds = (change["low"], change["high"])
        interval = "-" if None in bounds else rf"\[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"
        values = [found[side]["value"] for side in ("scorer", "majority", "difference")]
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in values), interval)
    console.print(table)
    console.print(f"scorer: {folder}")
