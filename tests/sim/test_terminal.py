"""Nothing that comes from data steers the terminal; and a command starts with what it needs alone."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from report_samples import make_experiment, make_summary
from rich.markup import escape
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from sim.tables import show
from sim.terminal import terminal

STEERING = "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://elsewhere\x1b\\click\x9b31m\rover\x08\u202edlrow"
CONTROLS = "\x1b\x07\x08\x9b\x9d\r\u202e"


def test_text_from_data_is_cleaned_wherever_it_stands() -> None:
    out = io.StringIO()
    console = terminal(out, width=120)
    table = Table(title=escape(STEERING))
    table.add_column(escape(STEERING))
    table.add_row(escape(STEERING))
    for one in (STEERING, Text(STEERING), table, Panel(Text(STEERING), title=Text(STEERING))):
        console.print(one)
    console.print("[bold]plain[/] words", STEERING)
    assert "owned" in out.getvalue() and "plain words" in out.getvalue()
    assert not set(CONTROLS) & set(out.getvalue())


def test_colours_and_the_progress_bar_still_work() -> None:
    out = io.StringIO()
    console = terminal(out, force_terminal=True, color_system="standard", width=80, legacy_windows=False)
    console.print("[red]red[/]", escape(STEERING))
    assert (
        "\x1b[31mred\x1b[0m" in out.getvalue() and "\x1b[2J" not in out.getvalue() and "\x1b]0;" not in out.getvalue()
    )
    with Progress(console=console) as progress:
        progress.update(progress.add_task(escape(STEERING), total=2), completed=2)
    shown = out.getvalue()
    assert "100%" in shown and "\x1b[2K" in shown and "\x1b]0;" not in shown and "\x9b" not in shown


@pytest.mark.parametrize("kind", ["experiment", "loop"])
def test_a_runs_tables_cannot_steer_the_terminal(kind: str) -> None:
    out = io.StringIO()
    summary = make_experiment(("socratic", STEERING)) if kind == "experiment" else make_summary()
    if kind == "loop":
        summary |= {"adapter": STEERING, "decision_reason": STEERING}
    show(summary, Path("runs") / STEERING, terminal(out, width=200))
    assert "owned" in out.getvalue() and not set(CONTROLS) & set(out.getvalue())


def test_a_command_starts_without_what_only_some_need() -> None:
    """Pandas and statsmodels take longer to load than all the rest, torch and vLLM far longer."""
    heavy = ("pandas", "scipy.stats", "statsmodels", "torch", "transformers", "peft", "vllm")
    # The proof of a delivery is read and judged while nothing else goes on.
    modules = "sim.cli, sim.run, sim.delivery, trainers.proof, sys"
    code = f"import {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
