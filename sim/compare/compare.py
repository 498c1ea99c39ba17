"""Two runs side by side: paired by student, item, repeat and stress, and how far their measures lie apart.

Invariant: a difference is second minus first, over the cells that both runs finished and measured, and in which both
met the same by content (sim/compare/content.py). What was left out is counted beside it: cells of one run only, what
was changed between the runs, failed dialogues, measures that are missing, verdicts that are invalid. Two runs
that share no cell are refused with the reason, and so is a run that is compared with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from agents.errors import InputError, nearest
from agents.records import Dialogue, EpisodeSpec
from sim.compare.comparison import Arm, Comparison, ConfigChange, Side
from sim.compare.content import input_changes, matched, told_apart, under_one_name
from sim.compare.measures import (
    compare_tutors,
    corrected,
    other_judges,
    unlike,
    unmeasured,
    with_judges,
)
from sim.compare.text import some
from sim.config import Config
from sim.config_experiment import ExperimentConfig
from sim.experiment.metrics import METRICS, SHARE_OF, metric_named, metrics_of
from sim.reward import PARTS


def compare_runs(
    first: Side | Sequence[Dialogue],
    second: Side | Sequence[Dialogue],
    *,
    tutors: tuple[str, str] | None = None,
    metrics: Sequence[str] = (),
    confidence: float = 0.95,
) -> Comparison:
    """Compares two runs where their students, items, repeats and stress coincide.

    Args:
        first: the run to compare with, such as the last release's; `sim.compare.read.open_run` reads a folder.
        second: the run in question.
        tutors: one tutor of each run. None: those with the same name in both, pair by pair; where each run has one
            tutor only, these two.
        metrics: names of sim/experiment/metrics.py. Empty: the second run's `experiment.metrics`.
        confidence: of the intervals, such as 0.95.

    Raises:
        InputError: an unknown measure or tutor, no cell in common (the reason is in the message), a cell that stands
            twice, or a run compared with itself.
    """
    a = first if isinstance(first, Side) else Side("first run", tuple(first))
    b = second if isinstance(second, Side) else Side("second run", tuple(second))
    b = under_one_name(a, b)
    names = _tutor_pairs(a, b, tutors)
    _check_not_itself(a, b, names)
    family = tuple(dict.fromkeys(metrics)) or default_metrics(a, b)
    for name in family:
        check_metric(name, "metrics")
    arms = [(Arm.of(a, mine), Arm.of(b, theirs)) for mine, theirs in names]
    met_by = [matched(x, y) for x, y in arms]
    if not any(one.pairs or one.apart for one in met_by):
        raise InputError(f"{a.name} and {b.name} have no student and item in common: {_why_apart(a, b, arms)}")
    known = metrics_of((*a.dialogues, *b.dialogues))
    measures = [known.get(name) or metric_named(name) or unmeasured(name) for name in family]
    notes = {name: unlike(name, a, b) for name in family}
    compared = [
        compare_tutors(x, y, one, measures, notes, confidence) for (x, y), one in zip(arms, met_by, strict=True)
    ]
    judges = {name: other_judges(name, a, b) for name in family}
    rest = (*_left_out(a, [mine for mine, _ in names]), *_left_out(b, [theirs for _, theirs in names]))
    changes = config_changes(a.config, b.config) if a.config and b.config else ()
    met = {mine for mine, _ in names}
    return Comparison(
        first=a.name,
        second=b.name,
        phases=(a.phase, b.phase),
        confidence=confidence,
        metrics=family,
        tutors=corrected([with_judges(tutor, judges) for tutor in compared]),
        left_out=rest,
        changes=changes,
        apart=told_apart((pair for one in met_by for pair in one.apart), a, b),
        inputs=input_changes(a, b),
        absent=() if tutors else tuple(tutor for tutor in _tutors(a) if tutor not in met),
        panels=(a.panels, b.panels),
        notes=(*a.notes, *b.notes),
    )


def default_metrics(first: Side, second: Side) -> tuple[str, ...]:
    """The measures to compare where none are named: those of the second run's experiment, else of the first's."""
    config = second.config or first.config
    return config.experiment.metrics if config else ExperimentConfig().metrics


def check_metric(name: str, where: str) -> None:
    """Raises InputError for a name that no measure can have. A criterion may be one that no dialogue was judged on."""
    if name.startswith(SHARE_OF) and metric_named(name) is None:
        part = name.removeprefix(SHARE_OF).partition("@")[0]
        raise InputError(f"{where}: the reward has no part {part!r}; {nearest(part, PARTS)}")
    if metric_named(name) is None and not (name.startswith("rubric:") and "/" in name):
        raise InputError(
            f"{where}: no measure {name!r}; {nearest(name, METRICS)}. A judged criterion is rubric:NAME/CRITERION"
        )


def config_changes(first: Config, second: Config) -> tuple[ConfigChange, ...]:
    """The keys in which two resolved configs differ, dotted; sections in a list go by their name.

    `name` and `tracking` are left out: they decide no dialogue.
    """
    sides = [config.model_dump(mode="json", exclude={"name", "tracking"}) for config in (first, second)]
    return tuple(_changes("", *sides))


def _changes(key: str, first: Any, second: Any) -> Iterator[ConfigChange]:
    first, second = _by_name(first), _by_name(second)
    if first == second:
        return
    if isinstance(first, dict) and isinstance(second, dict):
        for part in dict.fromkeys((*first, *second)):
            yield from _changes(f"{key}.{part}" if key else str(part), first.get(part), second.get(part))
    else:
        yield ConfigChange(key, first, second)


def _by_name(value: Any) -> Any:
    named = isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value)
    return {one["name"]: one for one in value} if named else value


def _tutors(side: Side) -> list[str]:
    return sorted({dialogue.spec.tutor_name for dialogue in side.dialogues} | {tutor for tutor, _ in side.planned})


def _left_out(side: Side, compared: Sequence[str]) -> list[str]:
    return [f"{tutor} ({side.name})" for tutor in _tutors(side) if tutor not in compared]


def _tutor_pairs(first: Side, second: Side, asked: tuple[str, str] | None) -> list[tuple[str, str]]:
    mine, theirs = _tutors(first), _tutors(second)
    for side, known in ((first, mine), (second, theirs)):
        if not known:
            raise InputError(f"{side.name}: holds no dialogues; nothing can be compared")
    if asked:
        for name, side, known in ((asked[0], first, mine), (asked[1], second, theirs)):
            if name not in known:
                raise InputError(f"--tutors: {side.name} has no tutor {name!r}; {nearest(name, known)}")
        return [asked]
    if len(mine) == len(theirs) == 1:
        return [(mine[0], theirs[0])]
    common = [(name, name) for name in mine if name in theirs]
    if not common:
        raise InputError(
            f"no tutor has the same name in both runs ({first.name}: {', '.join(mine)}; {second.name}: "
            f"{', '.join(theirs)}); say which two to compare with --tutors A=B"
        )
    return common


def _check_not_itself(first: Side, second: Side, names: Sequence[tuple[str, str]]) -> None:
    """Of the same dialogues every difference is 0, and a gate would pass on nothing."""
    if first.folder is None or second.folder is None or first.folder.resolve() != second.folder.resolve():
        return
    if first.phase == second.phase and any(mine == theirs for mine, theirs in names):
        raise InputError(
            f"{first.name} and {second.name} are the same dialogues (phase {first.phase!r}); give another run, "
            f"another phase as RUN@PHASE, or two tutors with --tutors A=B"
        )


def _why_apart(first: Side, second: Side, arms: Sequence[tuple[Arm, Arm]]) -> str:
    """Why no cell coincides: the parts of the specs that have nothing in common, else the seed."""
    specs: list[list[EpisodeSpec]] = [[d.spec for pair in arms for d in pair[i].cells.values()] for i in (0, 1)]
    for i, side in enumerate((first, second)):
        if not specs[i]:
            return f"{side.name} holds no dialogue of {', '.join(pair[i].tutor for pair in arms)}"
    parts: dict[str, Callable[[EpisodeSpec], str]] = {
        "packs": lambda s: s.pack,
        "items": lambda s: s.item_id,
        "personas": lambda s: s.persona,
        "repeats": lambda s: str(s.repeat),
        "stress": lambda s: f"{s.stressor or 'none'}@{s.intensity:g}",
    }
    reasons = []
    for what, part in parts.items():
        mine, theirs = ({part(spec) for spec in side} for side in specs)
        if not mine & theirs:
            reasons.append(f"other {what} ({some(mine)} against {some(theirs)})")
    if reasons:
        return "; ".join(reasons) + ". Run the second with the first one's config, and change only what is in question"
    cells = [{tuple(part(spec) for part in parts.values()) for spec in side} for side in specs]
    if not cells[0] & cells[1]:
        return "each has some of the other's items and personas, but never together. Draw the same cells in both"
    seeds = [side.config.seed for side in (first, second) if side.config]
    if len(set(seeds)) > 1:
        return f"other seed ({seeds[0]} against {seeds[1]}), so the students hold other misconceptions. Set one `seed`"
    return "the same items and personas, but the students' keys differ: the runs drew their students differently"
