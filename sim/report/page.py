"""The report: one HTML file that needs nothing else, not even a network.

Invariant: no text of a dialogue can become markup or script. The template escapes everything; the browser's data is
JSON without `<`, put in the page as text only; and the page's own security policy runs no script but the report's.
The file appears whole or not at all. Every figure is over all dialogues, also where the page carries a selection of
them (`sim.report.selection`). Cost: about 0.3 ms and at most 6 KB per dialogue.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from agents.errors import StoreError
from agents.packs import Pack, load_pack
from agents.records import Dialogue
from sim.report import view
from sim.report.data import browser_data, script_json
from sim.report.evidence import beliefs, leak_ledger
from sim.report.experiment import experiment_of, experiment_view, wanted
from sim.report.figures import section
from sim.report.frontier import frontier
from sim.report.selection import select
from sim.report.students import students
from sim.report.verdicts import done_without, unreadable
from sim.storage.files import Where, locate

SCRIPTS = ("report_tables.js", "report_words.js", "report.js")
STYLES = ("report.css", "report_experiment.css")


def render_report(
    summary: Mapping[str, Any],
    dialogues: Sequence[Dialogue],
    out: Where,
    *,
    find_pack: Callable[[str], Pack] = load_pack,
) -> None:
    """Writes the report of a run as one self-contained HTML file.

    Args:
        summary: the run's `summary.json` (docs/summary.md); sections whose keys are missing are left out.
        dialogues: every dialogue of the run, of all phases, failed ones too.
        out: the file to write; an older one is replaced in one step.
        find_pack: finds a pack by the name that dialogues have for it.

    Raises:
        StoreError: the file cannot be written.
    """
    # "replace": a lone surrogate, half of an emoji that sampling cut, has no UTF-8 form
    text = report_html(summary, dialogues, find_pack).encode("utf-8", "replace").decode("utf-8")
    try:
        locate(out).write_text(text)
    except OSError as error:
        raise StoreError(f"report {out}: cannot be written: {error}; give a path in a folder you may write") from error


def report_html(
    summary: Mapping[str, Any], dialogues: Sequence[Dialogue], find_pack: Callable[[str], Pack] = load_pack
) -> str:
    """The report as a string; arguments as in `render_report`."""
    before, after = _compared_phases(summary, dialogues)
    found = experiment_of(summary)
    leaks = leak_ledger(dialogues, by_tutor=found is not None)
    linked = [*wanted(summary, dialogues), *(row.dialogue for group in leaks for row in group.rows)]
    chosen, selection = select(dialogues, linked)
    named = str((found or {}).get("baseline") or "")
    data = browser_data(chosen, before, after, baseline=named, find_pack=find_pack)
    script = "".join(_asset(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        style=Markup("".join(_asset(name) for name in STYLES)),
        script=Markup(script),
        script_hash=digest,
        data=Markup(script_json(data)),
        notes=data["notes"],
        shortened=data["shortened"],
        selection=selection,
        leaks=leaks,
        n_dialogues=len(dialogues),
        n_embedded=len(chosen),
        before_phase=before,
        after_phase=after,
        experiment=experiment_view(summary, dialogues),
        **_sections(summary, dialogues, before, after),
    )


def _sections(
    summary: Mapping[str, Any], dialogues: Sequence[Dialogue], before: str | None, after: str | None
) -> dict[str, Any]:
    """What a loop and an experiment have in common, and what only a loop or an older run has."""
    named = experiment_of(summary) is not None
    probed = [phase for phase in (before, after) if phase] or list(dict.fromkeys(d.spec.phase for d in dialogues))
    return {
        "header": view.header(summary),
        "tiles": view.tiles(summary),
        "phases": view.phases(summary, dialogues),
        "times": view.times(summary),
        "unreadable": unreadable(dialogues),
        "done_without": [*_same_judge(summary), *done_without(dialogues)],
        "rounds": view.rounds(summary),
        "students": students(dialogues),
        "heldout": view.heldout(summary, dialogues),
        "arms": None if named else view.arms(summary, dialogues),
        "frontier": frontier(summary),
        "training": view.training(summary),
        "delivery": view.delivery(summary),
        "beliefs": [] if named else beliefs(dialogues, probed),
    }


def _same_judge(summary: Mapping[str, Any]) -> list[str]:
    return [f"One judge on both sides, as the config allows: {one}." for one in summary.get("same_judge") or []]


def _compared_phases(summary: Mapping[str, Any], dialogues: Sequence[Dialogue]) -> tuple[str | None, str | None]:
    """The phases of the held-out comparison: as the summary names them, else the first and last held-out phase."""
    facts = section(summary, "heldout")
    if facts is None:
        return None, None
    ran = [phase for phase in dict.fromkeys(d.spec.phase for d in dialogues) if phase.startswith("heldout/")]
    before = facts.get("before_phase") or (ran[0] if ran else None)
    after = facts.get("after_phase") or (ran[-1] if len(ran) > 1 else None)
    return before, after


def _asset(name: str) -> str:
    return files("sim").joinpath("data", name).read_text(encoding="utf-8")
