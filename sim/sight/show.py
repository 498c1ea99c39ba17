"""`tutorloop status RUN`: tells what a run is doing, or what became of it.

Invariant: nothing is written and no Ray is needed, so it can be asked from any machine that reads the run folder. Exit
code 0: the run goes on or has finished; 1: it was stopped or seems dead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sim.sight.records import to_json
from sim.sight.status import Read, Status, Verdict, age, read_status, verdict
from sim.sight.view import View, clean, duration

WATCH_SECONDS = 1.0
_WORDS: dict[Verdict, tuple[str, str]] = {
    "running": ("in progress", "green"),
    "stopped": ("stopped", "yellow"),
    "finished": ("finished", "green"),
    "dead": ("seems dead", "bold red"),
}


def status_command(
    read: Read,
    console: Console,
    *,
    watch: bool = False,
    as_json: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Shows the status of a run.

    Args:
        read: reads the run folder's status file.
        console: where to show it.
        watch: go on until the run ends or seems dead. With `as_json` one object a line.
        as_json: the file itself, with `verdict` and `age_seconds`.
        sleep: between two looks.

    Returns:
        The exit code.

    Raises:
        StoreError: the folder has no status that can be read.
    """
    status = read_status(read)
    if as_json or not console.is_terminal or console.is_dumb_terminal or not watch:
        return _printed(read, status, console, watch, as_json, sleep)
    with Live(described(status), console=console, auto_refresh=False) as live:
        while (code := verdict(status)) == "running":
            sleep(WATCH_SECONDS)
            status = read_status(read)
            live.update(described(status), refresh=True)
    return _exit_code(code)


def _printed(
    read: Read, status: Status, console: Console, watch: bool, as_json: bool, sleep: Callable[[float], None]
) -> int:
    while True:
        console.print(Text(_json(status)) if as_json else described(status), soft_wrap=as_json)
        code = verdict(status)
        if not watch or code != "running":
            return _exit_code(code)
        sleep(WATCH_SECONDS if console.is_terminal or as_json else 15.0)
        status = read_status(read)


def described(status: Status) -> RenderableType:
    """The status in words, with the last figures."""
    found, since = verdict(status), max(0.0, age(status))
    word, style = _WORDS[found]
    told = f" ({clean(status.reason)})" if status.reason else ""
    lines: list[RenderableType] = [Text.assemble(f"{clean(status.run)}: ", (word, style), told)]
    heard = f"last heard of {duration(since)} ago; " if found in ("running", "dead") else f"{duration(since)} ago; "
    lines.append(Text(f"{heard}begun {clean(status.started)}", style="dim"))
    if status.doing:
        lines.append(Text(clean(status.doing)))
    if status.snapshot is None:
        lines.append(Text("no figures yet: no dialogue was begun", style="dim"))
    else:
        lines.append(View(status.snapshot))
    if found in ("stopped", "dead") and status.command:
        lines.append(Text(f"go on with: {clean(status.command)}"))
    return Group(*lines)


def _json(status: Status) -> str:
    return json.dumps(json.loads(to_json(status)) | {"verdict": verdict(status), "age_seconds": age(status)})


def _exit_code(found: Verdict) -> int:
    return 0 if found in ("running", "finished") else 1
