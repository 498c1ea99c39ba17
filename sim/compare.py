"""Two runs side by side: paired by student, item, repeat and stress, and how far their measures lie apart.

Invariant: a difference is second minus first, over the cells that both runs finished and measured. What was left out
is counted beside it: cells of one run only, failed dialogues, measures that are missing, verdicts that are invalid. Two
runs that share no cell are refused with the reason, and so is a run that is compared with itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from agents.errors import InputError, nearest
from agents.records import Dialogue, EpisodeSpec, Verdict
from sim.config import Config
from sim.config_experiment import ExperimentConfig
from sim.metrics import METRICS, Metric, metrics_of
from sim.stats.family import holm
from sim.stats.paired import Estimate, mean_interval, paired_difference

_JUDGES = {"quality": "scorer:", "noticed": "rules:safety", "invalid_share": ""}
"""Measures that come from verdicts, and how the names of their judges begin. Rubric criteria name theirs themselves."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs: its dialogues of one phase."""

    name: str
    dialogues: tuple[Dialogue, ...]
    phase: str = ""
    config: Config | None = None
    folder: Path | None = None
    planned: frozenset[tuple[str, str]] = frozenset()
    """Tutor and cell of every dialogue that the config asks for; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one run holds of one tutor, paired or not."""

    tutor: str
    n: int
    """Stored dialogues, the failed ones included."""
    n_items: int
    n_failed: int
    n_not_run: int
    """Dialogues that the config asks for and the folder does not hold."""
    n_verdicts: int
    n_invalid: int


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One measure of two tutors. An estimate is None where there was nothing to estimate it from."""

    metric: str
    label: str
    unit: str
    better: str
    first: Estimate | None
    """Mean over the pairs, as `second` is."""
    second: Estimate | None
    difference: Estimate | None
    """Second minus first, pair by pair."""
    p_holm: float | None
    """Corrected over all comparisons of the `Comparison`."""
    own: Estimate | None
    """Mean over all finished dialogues of the second run's tutor, paired or not."""
    n_missing_first: int
    """Pairs in which the first run's dialogue finished without the measure."""
    n_missing_second: int
    n_missing: int
    """Pairs in which it is missing on one side or both."""
    n_lost: int
    """Cells that should have given a pair of values and did not: failed, not run, judged invalid, or measured on one
    side only. A measure that neither side has, such as `noticed` where nobody was in distress, is not lost."""
    n_own_lost: int
    """Dialogues of the second run that should have given a value and did not: failed, not run or judged invalid."""
    verdicts_first: tuple[int, int]
    """Invalid verdicts and all verdicts that the measure is made of."""
    verdicts_second: tuple[int, int]
    note: str


@dataclass(frozen=True, slots=True)
class TutorComparison:
    """A tutor of the first run beside one of the second, on the cells that both met."""

    first: Counts
    second: Counts
    n_shared: int
    """Cells stored in both runs: the pairs, and those in which a dialogue failed."""
    n_pairs: int
    """Shared cells that both finished."""
    n_items: int
    """Items of the pairs."""
    n_only_first: int
    n_only_second: int
    n_failed_first: int
    """Of the shared cells, as `n_failed_second` is; one that failed on both sides counts in both."""
    n_failed_second: int
    n_not_run: int
    """Cells that both configs ask for and at least one run does not hold."""
    metrics: tuple[MetricComparison, ...]


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A key in which two resolved configs differ; None where a side does not have it."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared."""

    first: str
    second: str
    phases: tuple[str, str]
    confidence: float
    metrics: tuple[str, ...]
    tutors: tuple[TutorComparison, ...]
    left_out: tuple[str, ...]
    """Tutors that were not compared, each with its run."""
    changes: tuple[ConfigChange, ...]
    """What else could be the cause of a difference."""


def compare_runs(
    first: Side | Sequence[Dialogue],
    second: Side | Sequence[Dialogue],
    *,
    tutors: tuple[str, str] | None = None,
    metrics: Sequence[str] = (),
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Comparison:
    """Compares two runs where their students, items, repeats and stress coincide.

    Args:
        first: the run to compare with, such as the last release's; `conditions.open_run` reads a folder.
        second: the run in question.
        tutors: one tutor of each run. None: those with the same name in both, pair by pair; where each run has one
            tutor only, these two.
        metrics: names of sim/metrics.py. Empty: the second run's `experiment.metrics`.
        confidence: of the intervals, such as 0.95.
        resamples: passed on to the intervals (today's need none).

    Raises:
        InputError: an unknown measure or tutor, no cell in common (the reason is in the message), a cell that stands
            twice, or a run compared with itself.
    """
    a = first if isinstance(first, Side) else Side("first run", tuple(first))
    b = second if isinstance(second, Side) else Side("second run", tuple(second))
    names = _tutor_pairs(a, b, tutors)
    _check_not_itself(a, b, names)
    family = tuple(dict.fromkeys(metrics)) or default_metrics(a, b)
    for name in family:
        check_metric(name, "metrics")
    arms = [(_Arm.of(a, mine), _Arm.of(b, theirs)) for mine, theirs in names]
    if not any(x.cells.keys() & y.cells.keys() for x, y in arms):
        raise InputError(f"{a.name} and {b.name} have no student and item in common: {_why_apart(a, b, arms)}")
    known, method = metrics_of((*a.dialogues, *b.dialogues)), _Method.of(confidence, resamples)
    measures = [known.get(name) or _unmeasured(name) for name in family]
    notes = {name: _unlike(name, a, b) for name in family}
    compared = [_compare_tutors(x, y, measures, notes, method) for x, y in arms]
    rest = (*_left_out(a, [mine for mine, _ in names]), *_left_out(b, [theirs for _, theirs in names]))
    changes = config_changes(a.config, b.config) if a.config and b.config else ()
    return Comparison(a.name, b.name, (a.phase, b.phase), confidence, family, _corrected(compared), rest, changes)


def default_metrics(first: Side, second: Side) -> tuple[str, ...]:
    """The measures to compare where none are named: those of the second run's experiment, else of the first's."""
    config = second.config or first.config
    return config.experiment.metrics if config else ExperimentConfig().metrics


def check_metric(name: str, where: str) -> None:
    """Raises InputError for a name that no measure can have. A criterion may be one that no dialogue was judged on."""
    if name not in METRICS and not (name.startswith("rubric:") and "/" in name):
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


# ---- tutors and cells


@dataclass(frozen=True, slots=True)
class _Arm:
    """One tutor of one run: its dialogues by cell, and the cells it was to have."""

    tutor: str
    cells: dict[str, Dialogue]
    planned: frozenset[str]

    @classmethod
    def of(cls, side: Side, tutor: str) -> _Arm:
        cells: dict[str, Dialogue] = {}
        for dialogue in side.dialogues:
            if dialogue.spec.tutor_name != tutor:
                continue
            if dialogue.spec.cell in cells:
                raise InputError(
                    f"{side.name}: tutor {tutor!r} met student {dialogue.spec.cell} twice (dialogues "
                    f"{cells[dialogue.spec.cell].id} and {dialogue.id}); compare one phase at a time"
                )
            cells[dialogue.spec.cell] = dialogue
        return cls(tutor, cells, frozenset(cell for name, cell in side.planned if name == tutor))

    @property
    def asked(self) -> set[str]:
        """Cells that are stored or still to be run."""
        return self.cells.keys() | self.planned

    def counts(self) -> Counts:
        stored = self.cells.values()
        verdicts = [verdict for dialogue in stored for verdict in dialogue.verdicts]
        return Counts(
            tutor=self.tutor,
            n=len(stored),
            n_items=len({dialogue.spec.item_id for dialogue in stored}),
            n_failed=sum(dialogue.failure is not None for dialogue in stored),
            n_not_run=len(self.asked) - len(stored),
            n_verdicts=len(verdicts),
            n_invalid=sum(verdict.kind == "invalid" for verdict in verdicts),
        )


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


def _why_apart(first: Side, second: Side, arms: Sequence[tuple[_Arm, _Arm]]) -> str:
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
            reasons.append(f"other {what} ({_some(mine)} against {_some(theirs)})")
    if reasons:
        return "; ".join(reasons) + ". Run the second with the first one's config, and change only what is in question"
    cells = [{tuple(part(spec) for part in parts.values()) for spec in side} for side in specs]
    if not cells[0] & cells[1]:
        return "each has some of the other's items and personas, but never together. Draw the same cells in both"
    seeds = [side.config.seed for side in (first, second) if side.config]
    if len(set(seeds)) > 1:
        return f"other seed ({seeds[0]} against {seeds[1]}), so the students hold other misconceptions. Set one `seed`"
    return "the same items and personas, but the students' keys differ: the runs drew their students differently"


def _some(values: set[str]) -> str:
    found = sorted(values)
    return ", ".join(found[:3]) + (f", ... ({len(found)} in all)" if len(found) > 3 else "")


# ---- measures


class _Method(NamedTuple):
    """How intervals are made."""

    mean: Callable[[Sequence[float], Sequence[str]], Estimate]
    difference: Callable[[Sequence[float], Sequence[str]], Estimate]

    @classmethod
    def of(cls, confidence: float, resamples: int) -> _Method:
        mean = partial(mean_interval, confidence=confidence, resamples=resamples)
        return cls(mean, partial(paired_difference, confidence=confidence, resamples=resamples))


@dataclass(frozen=True, slots=True)
class _Reading:
    """One measure of a pair of finished dialogues."""

    item: str
    first: float | None
    second: float | None
    spoilt: bool
    """Whether one of the two holds an invalid verdict of the measure."""

    @property
    def lost(self) -> bool:
        """Whether a pair of values should be there and is not."""
        have = (self.first is not None) + (self.second is not None)
        return have == 1 or (have == 0 and self.spoilt)


def _compare_tutors(
    a: _Arm, b: _Arm, measures: Sequence[Metric], unlike: Mapping[str, str], method: _Method
) -> TutorComparison:
    pairs = [(a.cells[cell], b.cells[cell]) for cell in sorted(a.cells.keys() & b.cells.keys())]
    finished = [(x, y) for x, y in pairs if x.failure is None and y.failure is None]
    n_not_run = len(a.asked & b.asked) - len(pairs)
    n_lost = len(pairs) - len(finished) + n_not_run
    compared = [_compare_metric(one, finished, b, unlike.get(one.name, ""), method) for one in measures]
    return TutorComparison(
        first=a.counts(),
        second=b.counts(),
        n_shared=len(pairs),
        n_pairs=len(finished),
        n_items=len({x.spec.item_id for x, _ in finished}),
        n_only_first=len(a.cells) - len(pairs),
        n_only_second=len(b.cells) - len(pairs),
        n_failed_first=sum(x.failure is not None for x, _ in pairs),
        n_failed_second=sum(y.failure is not None for _, y in pairs),
        n_not_run=n_not_run,
        metrics=tuple(replace(one, n_lost=one.n_lost + n_lost) for one in compared),
    )


def _compare_metric(
    metric: Metric, finished: Sequence[tuple[Dialogue, Dialogue]], b: _Arm, unlike: str, method: _Method
) -> MetricComparison:
    """One measure over the pairs; `unlike` says why it cannot be compared, and then there is no difference."""
    readings = [
        _Reading(x.spec.item_id, _value(metric, x), _value(metric, y), bool(_verdicts(metric.name, (x, y))[0]))
        for x, y in finished
    ]
    whole = [(r.first, r.second, r.item) for r in readings if r.first is not None and r.second is not None]
    items = [item for _, _, item in whole]
    firsts, seconds = [x for x, _, _ in whole], [y for _, y, _ in whole]
    changes = [y - x for x, y in zip(firsts, seconds, strict=True)]
    difference = method.difference(changes, items) if whole and not unlike else None
    n_first, n_second = (sum(getattr(r, side) is None for r in readings) for side in ("first", "second"))
    own, n_own_lost = _own(metric, b, method)
    absent = f"none of {len(readings)} pairs has it (missing in {n_first} of the first run, {n_second} of the second)"
    return MetricComparison(
        metric=metric.name,
        label=metric.label,
        unit=metric.unit,
        better=metric.better,
        first=method.mean(firsts, items) if whole else None,
        second=method.mean(seconds, items) if whole else None,
        difference=difference,
        p_holm=None,
        own=own,
        n_missing_first=n_first,
        n_missing_second=n_second,
        n_missing=len(readings) - len(whole),
        n_lost=sum(r.lost for r in readings),
        n_own_lost=n_own_lost,
        verdicts_first=_verdicts(metric.name, (x for x, _ in finished)),
        verdicts_second=_verdicts(metric.name, (y for _, y in finished)),
        note=unlike or (difference.note if difference else absent),
    )


def _own(metric: Metric, arm: _Arm, method: _Method) -> tuple[Estimate | None, int]:
    """The mean over all finished dialogues of a tutor, and how many should have had a value and have none."""
    values: list[float] = []
    items: list[str] = []
    n_lost = len(arm.asked) - len(arm.cells)
    for _, dialogue in sorted(arm.cells.items()):
        value = None if dialogue.failure else _value(metric, dialogue)
        if value is not None:
            values.append(value)
            items.append(dialogue.spec.item_id)
        else:
            n_lost += dialogue.failure is not None or _verdicts(metric.name, (dialogue,))[0] > 0
    return (method.mean(values, items) if values else None), n_lost


def _value(metric: Metric, dialogue: Dialogue) -> float | None:
    value = metric.value(dialogue)
    return value if value is not None and math.isfinite(value) else None


def _verdicts(metric: str, dialogues: Iterable[Dialogue]) -> tuple[int, int]:
    """Invalid verdicts and all verdicts that a measure is made of."""
    kinds = [verdict.kind for dialogue in dialogues for verdict in dialogue.verdicts if _makes(metric, verdict)]
    return kinds.count("invalid"), len(kinds)


def _makes(metric: str, verdict: Verdict) -> bool:
    if metric.startswith("rubric:"):
        return metric == f"{verdict.judge}/{verdict.name}"
    return metric in _JUDGES and verdict.judge.startswith(_JUDGES[metric])


def _unlike(metric: str, first: Side, second: Side) -> str:
    """Why a measure of the two runs is not the same measure; empty: it is."""
    if metric == "reward" and first.config and second.config and first.config.reward != second.config.reward:
        return "not comparable: the runs weigh the reward differently (`reward` in their configs)"
    if metric == "quality":
        mine, theirs = (
            {v.judge for d in side.dialogues for v in d.verdicts if v.judge.startswith("scorer:")}
            for side in (first, second)
        )
        if mine and theirs and mine != theirs:
            return f"not comparable: rated by other scorers ({_some(mine)} against {_some(theirs)})"
    return ""


def _unmeasured(name: str) -> Metric:
    """A criterion that no dialogue of either run was judged on."""
    return Metric(name, name, "the judge's score", "points", "higher", lambda dialogue: None)


def _corrected(found: Sequence[TutorComparison]) -> tuple[TutorComparison, ...]:
    """Puts in the p-values after Holm's correction over all measures of all tutors."""
    tests = [one.difference.p if one.difference else None for tutor in found for one in tutor.metrics]
    corrected = iter(holm(tests))
    return tuple(
        replace(tutor, metrics=tuple(replace(one, p_holm=next(corrected)) for one in tutor.metrics)) for tutor in found
    )
