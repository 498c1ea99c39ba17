"""The command line: `tutorloop COMMAND`, also `python -m sim.cli COMMAND` inside a Ray job.

Invariant: what the user can mend is one message without a traceback, exit code 2; a signal that asks to stop exits 128
and its number (Ctrl-C: 130) with a hint how to go on. Heavy packages are imported only by the commands that need them,
so `--help` and `check` answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agents.errors import InputError, TutorloopError
from sim import signals
from sim.config import Config
from sim.fleet.chaos_plan import chaos_plan
from sim.load import load_config
from sim.model_command import app as model_app
from sim.terminal import terminal

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(model_app, name="model")
INTERRUPTED = 130
ConfigPath = Annotated[Path, typer.Argument(help="A YAML config, such as configs/quickstart.yaml.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE that replaces what the file says.")]
RunFolder = Annotated[str, typer.Argument(help="A run folder, such as runs/quickstart, or its URI.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Put an earlier run of this name aside and begin anew.")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="Hold stored dialogues that failed once more.")]
Renew = Annotated[
    bool,
    typer.Option("--renew", help="Put dialogues aside whose pack, strategy, ... changed, and hold them anew."),
]
Chaotic = Annotated[
    float, typer.Option("--chaos", min=0.0, help="Kill an engine or a classroom every so many seconds, at random.")
]
Kills = Annotated[
    list[str] | None,
    typer.Option(
        help="What --chaos kills, in the place of process, actor and classroom: any of these, and node. "
        "A node of the cluster ends with all that runs on it, others' work too.",
    ),
]


@app.callback()
def main() -> None:
    """Simulate tutoring dialogues, measure them, and train tutors on them."""


def _load(path: Path, overrides: list[str] | None, kind: str) -> Config:
    config = load_config(path, tuple(overrides or ()))
    if config.kind != kind:
        command = "train" if config.kind == "scorer" else config.kind
        raise InputError(f"{path}: kind: {config.kind!r}; start it with `tutorloop {command} {path}`")
    return config


def _execute(path: Path, overrides: list[str] | None, kind: str, **how: Any) -> None:
    config = _load(path, overrides, kind)
    from sim.progress import Teller
    from sim.run import execute
    from sim.tables import show

    teller = Teller()
    summary, folder = execute(config, teller, **how)
    show(summary, folder, teller.console)


@app.command()
def run(
    config: ConfigPath,
    set_: Overrides = None,
    fresh: Fresh = False,
    retry_failed: Retry = False,
    renew: Renew = False,
    chaos: Chaotic = 0.0,
    kill: Kills = None,
) -> None:
    """Run an experiment: dialogues of every tutor, measured, with a report."""
    _execute(config, set_, "run", fresh=fresh, retry_failed=retry_failed, renew=renew, chaos=chaos_plan(chaos, kill))


@app.command()
def loop(
    config: ConfigPath,
    set_: Overrides = None,
    fresh: Fresh = False,
    retry_failed: Retry = False,
    renew: Renew = False,
    chaos: Chaotic = 0.0,
    kill: Kills = None,
) -> None:
    """Run the closed loop: simulate, judge, train, deliver, replay, decide."""
    _execute(config, set_, "loop", fresh=fresh, retry_failed=retry_failed, renew=renew, chaos=chaos_plan(chaos, kill))


@app.command()
def train(
    config: ConfigPath,
    trees: Annotated[
        Path | None, typer.Argument(help="Preference trees of a loop (training/round-0001/trees.jsonl); else `data`.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for what is trained; else runs/NAME.")] = None,
    parent: Annotated[Path | None, typer.Option(help="An adapter to continue.")] = None,
    set_: Overrides = None,
) -> None:
    """Train a tutor or a scorer on the config's data, or a tutor on stored preference trees."""
    loaded = load_config(config, tuple(set_ or ()))
    from sim.progress import Teller
    from sim.tables import show_scorer, show_training
    from sim.training import train_on_data, train_on_trees, train_scorer

    teller = Teller()
    if loaded.kind == "scorer":
        report, folder = train_scorer(loaded, out, teller)
        show_scorer(report, folder, teller.console)
        return
    if trees is not None:
        result = train_on_trees(loaded, trees, (out or Path("trained")).absolute(), parent, teller)
    elif loaded.kind == "train":
        result = train_on_data(loaded, out, parent, teller)
    else:
        raise InputError(
            f"{config}: kind: {loaded.kind!r}; give the trees of a run, or a config of kind train or scorer"
        )
    show_training(result.metrics, result.adapter, teller.console)


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="A YAML config.")] = Path("configs/quickstart.yaml"),
    set_: Overrides = None,
    probes: Annotated[bool, typer.Option("--probes", help="Check the belief probe on the config's model.")] = False,
) -> None:
    """Check a config and print what it would do; with --probes also find which belief probe is valid on its model."""
    loaded = load_config(config, tuple(set_ or ()))
    from sim.checks import describe_plan
    from sim.context import told_forms

    console = terminal(soft_wrap=True)
    notes = told_forms(loaded) if loaded.kind in ("run", "loop") else []
    console.print(describe_plan(loaded, notes))
    if probes:
        from sim.probe_check import check_probes

        check_probes(loaded, console)


@app.command()
def plan(
    config: ConfigPath,
    from_run: Annotated[str | None, typer.Option("--from", help="A run folder whose rates and spread to use.")] = None,
    probe: Annotated[int, typer.Option(help="First run so many dialogues of the experiment; they are kept.")] = 0,
    effect: Annotated[list[str] | None, typer.Option(help="MEASURE=SIZE you want to be able to see.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the plan as JSON too.")] = None,
    set_: Overrides = None,
) -> None:
    """Say what an experiment will cost, and what it can show, before it runs."""
    loaded = _load(config, set_, "run")
    from sim.cluster import runs_folder
    from sim.plan.planner import plan_command
    from sim.progress import Teller

    teller = Teller()
    if probe:
        from sim.run import execute

        execute(loaded, teller, only=probe)
    plan_command(
        loaded,
        runs=runs_folder(loaded),
        from_run=from_run,
        effects=tuple(effect or ()),
        json_path=json_,
        console=teller.console,
    )


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A run folder, or FOLDER@PHASE.")],
    second: Annotated[str, typer.Argument(help="The run that is compared with it.")],
    tutors: Annotated[str, typer.Option(help="A=B: tutor A of the first run against tutor B of the second.")] = "",
    phase: Annotated[str, typer.Option(help="Which dialogues; else those of the experiment.")] = "",
    metric: Annotated[list[str] | None, typer.Option(help="Measures to compare; else the experiment's.")] = None,
    fail_if: Annotated[list[str] | None, typer.Option(help='Such as "leak_rate > +0.02".')] = None,
    accept_unproven: Annotated[bool, typer.Option(help="Exit 0 where a bound is kept but not proved.")] = False,
    confidence: Annotated[float | None, typer.Option(help="Of the intervals; else the second run's.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the comparison as JSON too.")] = None,
) -> None:
    """Compare two runs, pair by pair; with --fail-if a release gate (exit 1: failed, 3: not proved)."""
    from sim.compare.show import compare_command

    code = compare_command(
        first,
        second,
        tutors=tutors or None,
        phase=phase or None,
        metrics=tuple(metric or ()),
        conditions=tuple(fail_if or ()),
        accept_unproven=accept_unproven,
        confidence=confidence,
        json_path=json_,
        console=terminal(),
    )
    raise typer.Exit(code)


@app.command()
def judge(
    folder: RunFolder,
    panel: Annotated[Path, typer.Option(help="A YAML file with judges (docs/replay.md).")],
) -> None:
    """Judge the stored dialogues of a run again, without talking again, and renew its report."""
    from sim.judging.panel import judge_run
    from sim.progress import Teller

    teller = Teller()
    judge_run(folder, panel, teller)
    _renew(folder, teller.console)


@app.command()
def report(folder: RunFolder) -> None:
    """Compute summary.json and report.html of a run folder again."""
    _renew(folder, terminal())


@app.command()
def status(
    folder: RunFolder,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second until the run ends.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="The last snapshot as JSON.")] = False,
) -> None:
    """Say how far a run is, and whether it is still in progress (exit 1: stopped or dead)."""
    from sim.sight.show import status_command
    from sim.sight.status import NAME
    from sim.storage.files import locate

    raise typer.Exit(status_command((locate(folder) / NAME).read_text, terminal(), watch=watch, as_json=json_))


@app.command()
def verify(
    folder: RunFolder,
    mend: Annotated[
        bool, typer.Option("--mend", help="First put aside what must not count: repeated, unreadable and damaged rows.")
    ] = False,
) -> None:
    """Check that a run folder is whole: every dialogue once, nothing damaged (exit 1: it is not)."""
    from sim.storage.verified import show_verified
    from sim.storage.verify import mend as mended
    from sim.storage.verify import verify as verified

    console = terminal(soft_wrap=True)
    if mend:
        mended(folder, lambda text: console.print(escape(text)))
    raise typer.Exit(show_verified(verified(folder), console))


def _renew(folder: str, console: Console) -> None:
    from sim.storage.store import RunStore, stored_config
    from sim.summary import summarise
    from sim.tables import show

    store = RunStore(folder)
    show(summarise(stored_config(folder), store), store.folder, console)


def _report_error(error: TutorloopError) -> int:
    terminal(stderr=True, soft_wrap=True).print(f"[bold red]error[/] {escape(str(error))}")
    return error.exit_code


def entry(argv: list[str] | None = None, command: Callable[..., Any] = app) -> None:
    """The console script: runs a command and turns errors on purpose into messages and exit codes."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with signals.handled():
        _enter(argv, command)


def _enter(argv: list[str] | None, command: Callable[..., Any]) -> None:
    try:
        code = command(args=argv, standalone_mode=False)  # Ctrl-C and exits come back as a code here
    except TutorloopError as error:
        sys.exit(_report_error(error))
    except typer.Abort:
        code = INTERRUPTED
    except (KeyboardInterrupt, SystemExit) as error:
        if not signals.is_stop(error):
            raise
        code = INTERRUPTED
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the command-line library
            error.show()
            sys.exit(error.exit_code)
        raise
    if code == INTERRUPTED:
        print("\nstopped; what was finished is stored. The same command goes on from there.", file=sys.stderr)
        signals.end(signals.exit_code())
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    entry()
