"""The gate of a release: run folders read and compared, conditions judged, the result shown, an exit code for CI.

A condition says when to fail: `leak_rate > +0.02` bounds the paired difference (a signed value), `leak_rate > 0.1` the
second run's own mean (an unsigned one).

Invariant: missing evidence is never a pass. A condition passes only when neither its estimate nor the end of the
interval meets it, and when nearly all that should have been measured was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.errors import InputError, StoreError, nearest
from agents.records import Dialogue
from sim.compare import (
    Comparison,
    ConfigChange,
    Counts,
    MetricComparison,
    Side,
    TutorComparison,
    check_metric,
    compare_runs,
    default_metrics,
)
from sim.config import Config
from sim.grid import episodes
from sim.stats.paired import Estimate
from sim.store import RunStore, write_atomic

State = Literal["passed", "failed", "unproven"]
PASSED, FAILED, UNPROVEN = 0, 1, 3
"""Exit codes; 2 is that of wrong input."""
MAX_LOST = 0.1
"""Largest share of lost values with which a condition can pass. What failed is not a random part of the dialogues, so
beyond a few the rest does not speak for all."""
EXPERIMENT_PHASE, HELDOUT = "run", "heldout/"
_CONDITION = re.compile(r"\s*([^<>=]*[^<>=\s])\s*(>=|<=|>|<)\s*([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_DIGITS = 12
"""Figures are rounded to so many decimals before they are held against a bound: 0.1 - 0.08 is not more than 0.02."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When to fail."""

    text: str
    """As it was given."""
    metric: str
    op: Literal[">", ">=", "<", "<="]
    value: float
    of_difference: bool
    """Whether it bounds the paired difference; else the second run's own mean."""

    def meets(self, figure: float) -> bool:
        """Whether a figure is one to fail at."""
        x, bound = round(figure, _DIGITS), round(self.value, _DIGITS)
        return {">": x > bound, ">=": x >= bound, "<": x < bound, "<=": x <= bound}[self.op]

    def worst(self, estimate: Estimate) -> float | None:
        """The end of the interval that lies nearer to failing, or None without an interval."""
        return estimate.high if self.op in (">", ">=") else estimate.low


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison says of a condition."""

    condition: Condition
    state: State
    says: str
    evidence: bool
    """Whether there was an estimate at all, for every tutor compared."""


def parse_condition(text: str) -> Condition:
    """Reads METRIC OP VALUE. Raises InputError for other text and for a measure that does not exist."""
    found = _CONDITION.fullmatch(text)
    value = float(found[3] + found[4]) if found else math.nan
    if found is None or not math.isfinite(value):
        raise InputError(
            f"--fail-if {text!r}: expected METRIC OP VALUE with OP one of > >= < <=, such as 'leak_rate > +0.02' (the "
            f"difference, signed) or 'leak_rate > 0.1' (the second run's own mean, unsigned)"
        )
    check_metric(found[1], f"--fail-if {text!r}")
    return Condition(text.strip(), found[1], found[2], value, bool(found[3]))  # type: ignore[arg-type]


def judge(condition: Condition, comparison: Comparison) -> Outcome:
    """Says whether a condition passed, failed, or is unproven. Of several tutors the worst one decides."""
    found = [_judge_tutor(condition, tutor) for tutor in comparison.tutors]
    several = len(found) > 1
    says = [
        f"{_names(tutor)}: {one.says}" if several else one.says
        for tutor, one in zip(comparison.tutors, found, strict=True)
    ]
    states = {one.state for one in found}
    state: State = "failed" if "failed" in states else "passed" if states == {"passed"} else "unproven"
    evidence = bool(found) and all(one.evidence for one in found)
    return Outcome(condition, state, "; ".join(says) or "no tutor was compared", evidence)


def exit_code(outcomes: Iterable[Outcome], *, accept_unproven: bool = False) -> int:
    """0: all passed; 1: one failed; 3: none failed, and one is unproven.

    Args:
        outcomes: of all conditions.
        accept_unproven: let an unproven condition pass when it has an estimate; one without any stays unproven.
    """
    found = list(outcomes)
    if any(one.state == "failed" for one in found):
        return FAILED
    unproven = [one for one in found if one.state == "unproven"]
    return UNPROVEN if any(not (accept_unproven and one.evidence) for one in unproven) else PASSED


def _judge_tutor(condition: Condition, tutor: TutorComparison) -> Outcome:
    measure = next((one for one in tutor.metrics if one.metric == condition.metric), None)
    if measure is None:
        return Outcome(condition, "unproven", f"{condition.metric} was not compared", False)
    estimate = measure.difference if condition.of_difference else measure.own
    what = "difference" if condition.of_difference else "mean of the second run"
    if estimate is None or estimate.mean is None:
        why = measure.note if condition.of_difference else "no finished dialogue of the second run has it"
        return Outcome(condition, "unproven", f"no evidence: {why or 'it was not measured'}", False)
    says = f"{what} {_estimate(estimate, condition.of_difference)}, n={estimate.n} on {estimate.clusters} items"
    if estimate.note:
        says += f" ({estimate.note})"
    if condition.meets(estimate.mean):
        return Outcome(condition, "failed", says, True)
    doubt = _doubt(condition, measure, estimate)
    return Outcome(condition, "unproven" if doubt else "passed", f"{says}; {doubt}" if doubt else says, True)


def _doubt(condition: Condition, measure: MetricComparison, estimate: Estimate) -> str:
    """Why an estimate on the good side is no proof; empty: it is one."""
    worst = condition.worst(estimate)
    if worst is None or estimate.clusters < 2:
        return "without an interval nothing is shown: run more items"
    if condition.meets(worst):
        bound = _figure(condition.value, condition.of_difference)
        return f"the interval reaches {condition.op} {bound}: more items would tell"
    lost = measure.n_lost if condition.of_difference else measure.n_own_lost
    if lost > MAX_LOST * (lost + estimate.n):
        return f"{lost} of {lost + estimate.n} values were lost (failed, not run, judged invalid or on one side only)"
    return ""


# ---- run folders


def open_run(given: str, *, phase: str = "") -> Side:
    """Reads one phase of a run folder.

    Args:
        given: a run folder, or RUN@PHASE such as `runs/quickstart@heldout/base` (`runs/quickstart@base` is the same).
        phase: which phase to read where `given` names none. Empty: of an experiment its dialogues, of a loop those of
            the last decided round's new policy with the held-out students.

    Raises:
        InputError: no run folder, a config or dialogue of another version, a corrupt part, or no such phase.
    """
    head, at, tail = given.rpartition("@")
    folder, named = (Path(head), tail) if at and not Path(given).is_dir() else (Path(given), "")
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder}: not a run folder (no config.yaml); run folders lie under runs/")
    store = RunStore(folder.absolute())
    try:
        config = _config(folder / "config.yaml")
        chosen = _choose_phase(store, config, named or phase, given)
        dialogues = tuple(store.dialogues([chosen]))
    except (StoreError, OSError, ValueError, pa.ArrowException, yaml.YAMLError) as error:
        raise InputError(
            f"{folder}: cannot be read: {error}. Compare it with the version of tutorloop that made it, or run it again"
        ) from error
    return Side(given, dialogues, chosen, config, folder, _planned(config, chosen, dialogues))


def _config(path: Path) -> Config:
    """The resolved config of a run; a key that an older version did not know has its default."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected the keys of a config, found {type(raw).__name__}; the file is damaged")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        told = []
        for detail in error.errors():
            what = "unknown key" if detail["type"] == "extra_forbidden" else detail["msg"]
            told.append(f"{path}: {'.'.join(map(str, detail['loc']))}: {what} (value {str(detail['input'])[:60]!r})")
        told.append("the run is of another version of tutorloop: compare it with that one, or run it again with this")
        raise InputError("\n".join(told)) from error


def _choose_phase(store: RunStore, config: Config, wanted: str, given: str) -> str:
    parts = (pq.read_table(part, columns=["phase"]).column("phase").to_pylist() for part in store.parts())
    stored = sorted({phase for part in parts for phase in part})
    if not stored:
        raise InputError(f"{given}: holds no dialogues (config of kind {config.kind!r}); run it first")
    if not wanted and config.kind == "loop":
        names = [f"round-{number:04d}-decide" for number in range(config.loop.rounds, 0, -1)]
        decided = next((step for name in names if (step := store.step(name)) is not None), None)
        if decided is None:
            why = "a sweep of several rewards" if config.sweep else "a loop without a decided round"
            raise InputError(f"{given}: {why}; name a phase as RUN@PHASE, one of: {', '.join(stored)}")
        wanted = HELDOUT + str(decided.get("adapter"))
    wanted = wanted or EXPERIMENT_PHASE
    for name in (wanted, HELDOUT + wanted):
        if name in stored:
            return name
    raise InputError(f"{given}: no dialogues of phase {wanted!r}; {nearest(wanted, stored)}")


def _planned(config: Config, phase: str, stored: Iterable[Dialogue]) -> frozenset[tuple[str, str]]:
    """Tutors and cells that the config asks for in a phase; empty where that cannot be told today."""
    held = config.loop.heldout if phase.startswith(HELDOUT) else None
    items, personas = (held.items, held.personas) if held else (config.items, config.students.personas)
    try:
        specs = episodes(config, phase=phase, items=items, personas=personas)
    except InputError:  # the pack has moved since
        return frozenset()
    planned = frozenset((spec.tutor_name, spec.cell) for spec in specs)
    return planned if any((d.spec.tutor_name, d.spec.cell) in planned for d in stored) else frozenset()


# ---- the command


def compare_command(
    first: str,
    second: str,
    *,
    tutors: str | None = None,
    phase: str | None = None,
    metrics: Sequence[str] = (),
    conditions: Sequence[str] = (),
    accept_unproven: bool = False,
    confidence: float | None = None,
    json_path: Path | None = None,
    console: Console,
) -> int:
    """Compares two runs, judges the conditions, shows both, and returns the exit code.

    Args:
        first: run folder or RUN@PHASE of what is compared with, such as the last release.
        second: the same of what is in question.
        tutors: `A=B`, tutor A of the first run with B of the second; `A` alone is `A=A`.
        phase: which phase to read of a run that names none itself.
        metrics: measures to compare. Empty: those of the second run's experiment. Those of the conditions are added.
        conditions: see `parse_condition`.
        accept_unproven: see `exit_code`.
        confidence: of the intervals. None: that of the second run's experiment.
        json_path: where the same is written as JSON.
        console: where it is shown.

    Raises:
        InputError: anything given is wrong: exit code 2.
    """
    parsed = [parse_condition(text) for text in conditions]
    if confidence is not None and not 0.5 < confidence < 1.0:
        raise InputError(f"--confidence {confidence}: expected a number between 0.5 and 1, such as 0.95")
    named = None
    if tutors is not None:
        mine, _, theirs = tutors.partition("=")
        named = (mine.strip(), theirs.strip() or mine.strip())
    sides = open_run(first, phase=phase or ""), open_run(second, phase=phase or "")
    family = (*(metrics or default_metrics(*sides)), *(one.metric for one in parsed))
    experiment = (sides[1].config or Config(name="defaults")).experiment
    level = confidence or experiment.confidence
    found = compare_runs(*sides, tutors=named, metrics=family, confidence=level, resamples=experiment.resamples)
    outcomes = [judge(one, found) for one in parsed]
    code = exit_code(outcomes, accept_unproven=accept_unproven)
    show_comparison(found, outcomes, console)
    if json_path is not None:
        content = to_dict(found, outcomes) | {"exit_code": code, "accept_unproven": accept_unproven}
        try:
            write_atomic(json_path, json.dumps(content, indent=1, allow_nan=False))
        except OSError as error:
            raise InputError(f"--json {json_path}: cannot be written: {error}; give another path") from error
    return code


def to_dict(comparison: Comparison, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The comparison and the outcomes as a JSON-able dict; what was not measured is null."""
    return {**asdict(comparison), "outcomes": [asdict(one) for one in outcomes]}


def show_comparison(comparison: Comparison, outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints a table for each pair of tutors, what was left out, how the configs differ, and the outcomes."""

    def say(text: str, markup: str = "") -> None:
        console.print(markup + escape(text), soft_wrap=True)

    for which, name, phase in zip(
        ("first", "second"), (comparison.first, comparison.second), comparison.phases, strict=True
    ):
        say(f"{which}: {name} (phase {phase})")
    tests = sum(one.p_holm is not None for tutor in comparison.tutors for one in tutor.metrics)
    for tutor in comparison.tutors:
        console.print(_table(tutor, comparison.confidence, tests))
        say(_account(tutor))
        for one in tutor.metrics:
            if one.note:
                say(f"{one.metric}: {one.note}")
    if comparison.left_out:
        say(f"not compared: {', '.join(comparison.left_out)}")
    if comparison.changes:
        say("The configs differ, and a difference could come from any of this:")
        for change in comparison.changes:
            say(f"  {_change(change)}")
    colours = {"passed": "green", "failed": "bold red", "unproven": "yellow"}
    for outcome in outcomes:
        mark = f"[{colours[outcome.state]}]{outcome.state.upper()}[/] "
        say(f"fail if {outcome.condition.text}: {outcome.says}", mark)


def _table(tutor: TutorComparison, confidence: float, tests: int) -> Table:
    """Two lines a measure, so that nothing is cut off in a log of 80 columns."""
    title = f"{_names(tutor)}: {tutor.n_pairs} pairs on {tutor.n_items} items"
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, padding=0, leading=1, pad_edge=False)
    table.add_column("measure", overflow="fold")
    difference = f"difference\n{confidence:.0%} interval"
    for column in (
        "first\nsecond",
        difference,
        "n / items\nmissing",
        f"p\nHolm of {tests}",
        "d_z",
        "invalid\nverdicts",
    ):
        table.add_column(column, justify="right", overflow="fold")
    for one in tutor.metrics:
        found = one.difference
        tested = found if found and found.p is not None and found.effect is not None else None
        table.add_row(
            escape(one.metric),
            "\n".join(_figure(e.mean) if e else "-" for e in (one.first, one.second)),
            escape(f"{_figure(found.mean, signed=True)}\n{_interval(found, signed=True)}") if found else "-",
            (f"{found.n} / {found.clusters}" if found else "0 / 0") + f"\n{one.n_missing}",
            f"{tested.p:.3g}\n{'-' if one.p_holm is None else format(one.p_holm, '.3g')}" if tested else "-",
            f"{tested.effect:+.2f}" if tested else "-",
            "\n".join(_share(*counts) for counts in (one.verdicts_first, one.verdicts_second)),
        )
    return table


def _account(tutor: TutorComparison) -> str:
    """What was left out of the pairs, and the verdicts of both runs, in one line."""
    return (
        f"{tutor.n_shared} students met both, {tutor.n_only_first} only the first, {tutor.n_only_second} only the "
        f"second; left out because they failed: {tutor.n_failed_first} (first), {tutor.n_failed_second} (second); "
        f"not run: {_not_run(tutor.first)}, {_not_run(tutor.second)}; invalid verdicts: "
        f"{_share(tutor.first.n_invalid, tutor.first.n_verdicts)} (first), "
        f"{_share(tutor.second.n_invalid, tutor.second.n_verdicts)} (second)"
    )


def _not_run(counts: Counts) -> str:
    return f"{counts.n_not_run} of {counts.n_not_run + counts.n} with {counts.tutor}"


def _names(tutor: TutorComparison) -> str:
    mine, theirs = tutor.first.tutor, tutor.second.tutor
    return mine if mine == theirs else f"{mine} -> {theirs}"


def _change(change: ConfigChange) -> str:
    texts = ["-" if value is None else json.dumps(value) for value in (change.first, change.second)]
    return f"{change.key}: " + " -> ".join(text if len(text) <= 60 else text[:57] + "..." for text in texts)


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({part / whole:.1%})" if whole else "-"


def _estimate(estimate: Estimate, signed: bool) -> str:
    return f"{_figure(estimate.mean, signed)} {_interval(estimate, signed)}"


def _interval(estimate: Estimate, signed: bool) -> str:
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"[{_figure(estimate.low, signed)}, {_figure(estimate.high, signed)}]"


def _figure(value: float | None, signed: bool = False) -> str:
    """Three decimals; fewer for large figures, three significant digits for small ones such as costs."""
    if value is None:
        return "-"
    value = round(value, _DIGITS) + 0.0  # no -0.000, and no 1e-17
    sign = "+" if signed else ""
    size = abs(value)
    form = ",.1f" if size >= 100 else ".3f" if size >= 0.001 or size == 0 else ".3g"
    return f"{value:{sign}{form}}"
