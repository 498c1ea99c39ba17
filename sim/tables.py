"""The tables a run ends with on the terminal.

Invariant: at 80 columns nothing is cut off, neither a tutor's name nor a measure's; a figure that is missing is a dash,
and every figure has its n and its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sim.analysis import told_change
from sim.compare.text import figure_text
from sim.report.data import finite
from sim.report.measures import figures_of, unit
from sim.storage.files import Location

ROWS = {
    "reward": "reward of a dialogue",
    "question_share": "tutor turns that ask a real question",
    "leak_rate": "tutor turns that give the answer away",
    "confirmation_share": "tutor turns that confirm a right guess",
    "gain": "belief gain (probability of the right answer), net of echo",
    "echo": "gain of the tutor's words in random order",
    "net_gain": "the same net of leaks (learned without being told)",
    "transfer_gain": "the same on the transfer question",
    "on_item": "sentences that stay on the item",
    "repetition": "repeated word triples",
    "successive_similarity": "likeness of a tutor turn to the one before",
    "opener_share": "tutor turns that begin with a shipped opener",
    "distinct_openings": "different first four words / dialogues",
    "distinct_ngrams": "word triples that other dialogues do not say",
    "role_breaks": "turns that go on in another's name",
    "quality": "quality by the trained scorer",
}
PER_TABLE = 3
"""Measures side by side: more do not fit in 80 columns."""
_NO_ENDS = (None, None)
_PARTS = ("mean", "low", "high", "n")
FRONTIER = ("question_share", "gain", "net_gain", "leak_rate")


def show(summary: Mapping[str, Any], folder: Path | Location, console: Console) -> None:
    """Prints the result of a run and where its report lies."""
    if "heldout" in summary:
        _loop(summary, console)
    if "experiment" in summary:
        _experiment(summary["experiment"], console)
    if summary.get("frontier"):
        _frontier(summary["frontier"], console)
    for note in summary.get("passed_over", ()):
        console.print(f"[yellow]{escape(str(note))}[/]")
    failed, invalid, broke, silent = (
        sum(phase.get(name) or 0 for phase in summary["phases"].values())
        for name in ("n_failed", "n_invalid_verdicts", "n_role_breaks", "n_no_replies")
    )
    if failed:
        console.print(f"[yellow]{failed} dialogue{'s' if failed > 1 else ''} failed; the report lists the errors[/]")
    if invalid and "experiment" not in summary:
        console.print(f"[yellow]invalid verdicts, which give no score: {invalid}; the report says whose[/]")
    left_out = sum(phase.get("n_turns_left_out") or 0 for phase in summary["phases"].values())
    if left_out:
        judged = sum(phase.get("n_judged_turns") or 0 for phase in summary["phases"].values())
        console.print(
            f"[yellow]turns in which an invalid verdict left the judge's part of the reward out: {left_out} of "
            f"{judged}[/]"
        )
    for note in summary.get("same_judge") or ():
        console.print(f"[yellow]one judge on both sides, as the config allows: {escape(str(note))}[/]")
    if broke:
        console.print(f"[yellow]turns cut where the speaker went on in another's name (role_breaks): {broke}[/]")
    if silent:
        console.print(
            f"[yellow]answers of a model without a reply in them, which were paid and are no turns: {silent}[/]"
        )
    for note in sorted({note for phase in summary["phases"].values() for note in phase.get("fallbacks") or ()}):
        role, _, name = note.partition(": ")
        console.print(f"[yellow]the server of the {escape(role)} refused {escape(name)} and was asked without[/]")
    console.print(f"report: {folder / 'report.html'}")


def _table(title: str, *columns: str, left: int = 1) -> Table:
    """A table whose first columns are text, and which folds what does not fit instead of cutting it."""
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if place < left else "right", overflow="fold")
    return table


def _estimate(
    mean: object,
    low: object,
    high: object,
    n: object = None,
    *,
    lacking: int = 0,
    signed: bool = False,
    fine: bool = False,
) -> str:
    """A figure above its interval, such as `0.120 (n 40)` above `[0.100, 0.140]`.

    Args:
        mean, low, high, n: the figure; `n` None: not shown.
        lacking: dialogues in which it was not measured: `(n 40 of 42)`.
        signed: with its sign, as a difference.
        fine: more than three decimals.
    """
    value, ends = finite(mean), (finite(low), finite(high))
    if value is None:
        return "not measured" if lacking else "-"
    counted = f" (n {n}{f' of {n + lacking}' if lacking and isinstance(n, int) else ''})" if n is not None else ""
    told = [figure_text(one if fine or one is None else round(one, 3), signed) for one in (value, *ends)]
    between = "no interval" if None in ends else f"[{told[1]}, {told[2]}]"
    return escape(f"{told[0]}{counted}\n{between}")


def _loop(summary: Mapping[str, Any], console: Console) -> None:
    heldout = summary["heldout"]
    title = f"Held-out students: {heldout['n_dialogues']} dialogues on {heldout['n_items']} items, before and after"
    table = _table(title, "", "before", "after", "difference")
    for name, label in ROWS.items():
        if name in heldout["difference"]:
            change = heldout["difference"][name]
            means = (
                _estimate(
                    heldout[side].get(name), *((heldout.get("intervals") or {}).get(side, {}).get(name) or _NO_ENDS)
                )
                for side in ("before", "after")
            )
            table.add_row(label, *means, _estimate(change["mean"], *change["ci95"], signed=True))
    console.print(table)
    _belief(summary, console)
    if told := told_change(heldout):
        console.print(escape(told))
    colour = "green" if summary["decision"] == "promoted" else "yellow"
    reason = escape(summary["decision_reason"])
    console.print(f"[bold {colour}]{escape(summary['adapter'])} {summary['decision'].replace('_', ' ')}[/]: {reason}")


def _experiment(found: Mapping[str, Any], console: Console) -> None:
    _counts(found["tutors"], console)
    names = list(dict.fromkeys((*found["family"], "net_gain", "question_share", "leak_rate")))
    for start in range(0, len(names), PER_TABLE):
        _figures(found, names[start : start + PER_TABLE], console)
    _belief(found, console)
    _unranked(found["tutors"], console)
    for name in dict.fromkeys(row["metric"] for row in found["comparisons"]):
        _comparisons(found, name, console)
    missing = found["missing"]
    if missing["why"]:
        console.print(
            f"[yellow]{missing['done']} of {missing['planned']} dialogues finished[/]: {escape(missing['why'])}"
        )


def _belief(found: Mapping[str, Any], console: Console) -> None:
    """That belief was not measured, or by a form that is not known to be valid."""
    if said := str(found.get("belief") or ""):
        console.print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


def _counts(tutors: Sequence[Mapping[str, Any]], console: Console) -> None:
    """What each tutor's figures are made of, with the invalid verdicts where a judge gave any."""
    judged = any(row.get("n_verdicts") for row in tutors)
    table = _table("Tutors", "tutor", "finished", "failed", "not run", *(["invalid verdicts"] if judged else []))
    for row in tutors:
        cells = [str(row["n"]), str(row["n_failed"]), str(row["n_missing"])]
        if judged:
            cells.append(f"{row['n_invalid']}/{row['n_verdicts']}" if row["n_verdicts"] else "-")
        table.add_row(escape(row["tutor"]), *cells)
    console.print(table)


def _unranked(tutors: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Whose cells are too few for a rank, and how few."""
    for row in tutors:
        reasons: dict[str, list[str]] = {}
        for name, why in (row.get("unranked") or {}).items():
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            told = f"{row['tutor']} is not ranked in {', '.join(names)}: {why}"
            console.print(f"[yellow]{escape(told)}[/]", soft_wrap=True)


def _figures(found: Mapping[str, Any], names: Sequence[str], console: Console) -> None:
    table = _table(f"Means, {found['confidence']:.0%} intervals below", "tutor", *map(_broken, names))
    for row in found["tutors"]:
        figures, lacking = figures_of(row), row.get("not_measured") or {}
        cells = (
            _estimate(
                *((figures.get(name) or {}).get(part) for part in _PARTS),
                lacking=lacking.get(name, 0),
                fine=unit(found, name) == "currency",
            )
            for name in names
        )
        table.add_row(escape(row["tutor"]), *cells)
    console.print(table)


def _broken(name: str) -> str:
    """A measure's name with a place to break: a judge's criterion is long."""
    return name.replace("/", "/\n")


def _comparisons(found: Mapping[str, Any], name: str, console: Console) -> None:
    """The differences of one measure, with their notes below."""
    better = found["metrics"].get(name, {}).get("better")
    title = f"Difference from {found['baseline']}: {name}" + (f" ({better} is better)" if better else "")
    fine = unit(found, name) == "currency"
    table, notes = _table(title, "tutor", "difference", "n / items", "p (Holm)", "d_z"), []
    for row in found["comparisons"]:
        if row["metric"] != name:
            continue
        tested = row["n"] and row["p_holm"] is not None and row["effect"] is not None
        table.add_row(
            escape(row["tutor"]),
            _estimate(row["mean"] if row["n"] else None, row["low"], row["high"], signed=True, fine=fine),
            f"{row['n']} / {row['items']}",
            f"{row['p_holm']:.3g}" if tested else "-",
            f"{row['effect']:+.2f}" if tested else "-",
        )
        notes += [f"{row['tutor']}: {row['note']}"] if row["note"] else []
    console.print(table)
    for note in notes:
        console.print(escape(note))


def _frontier(found: Mapping[str, Any], console: Console) -> None:
    """One row per reward and measure."""
    table = _table(
        "Frontier: held-out means, and differences from the base", "reward", "measure", "mean", "difference", left=2
    )
    base = found["base"]["mean"]
    for name in FRONTIER:
        table.add_row("base" if name == FRONTIER[0] else "", name, figure_text(finite(base.get(name))), "")
    for point in found["points"]:
        table.add_section()
        says = (escape(point["label"]), "improves" if point["improves"] else "not better")
        for place, name in enumerate(FRONTIER):
            change = point["difference"].get(name)
            mean = figure_text(finite(point["after"].get(name))) if change else "-"
            cell = _estimate(change["mean"], *change["ci95"], signed=True) if change else "-"
            table.add_row(says[place] if place < len(says) else "", name, mean, cell)
    console.print(table)


def show_training(metrics: Mapping[str, Any], adapter: Path, console: Console) -> None:
    """Prints what a training run came to and where the adapter lies."""
    table = _table(f"Training ({metrics['objective']}, {metrics['quantization']})", "", "", left=2)
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
    """Prints a scorer's figures on the test side, beside those of the majority and of TF-IDF on the tutor's words."""
    title = f"Scorer on {report['n']} unseen dialogues of {report['groups']} groups"
    table = _table(title, "", "scorer", "majority", "TF-IDF", "over TF-IDF", "95% interval")
    for name, found in report["metrics"].items():
        change = found["over_baseline"]
        bounds = (change["low"], change["high"])
        interval = "-" if None in bounds else rf"\[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"
        values = [found[side]["value"] for side in ("scorer", "majority", "baseline", "over_baseline")]
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in values), interval)
    console.print(table)
    if report["warning"]:
        console.print(f"warning: {report['warning']}", markup=False)
    console.print(f"scorer: {folder}")
