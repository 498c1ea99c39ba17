"""The measures of two tutors, pair by pair: means, difference, and how much of each was lost.

Invariant: a value that should be there and is not is counted as lost; a measure that is not the same one in both runs
has no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.records import Dialogue, Verdict
from sim.compare.comparison import Arm, MetricComparison, Side, TutorComparison
from sim.compare.content import Matched, Pair, rubric_changed, scorer_changed
from sim.compare.text import some
from sim.config import Config
from sim.experiment.metrics import Metric
from sim.stats.family import holm
from sim.stats.paired import Estimate, too_few

_JUDGES = {"quality": "scorer:", "noticed": "rules:safety", "invalid_share": ""}
"""Measures that come from verdicts, and how the names of their judges begin. Rubric criteria name theirs themselves."""
_RULES = "rules:"
"""How the names of judges begin that are the same everywhere, since no model answers for them."""


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


def compare_tutors(
    a: Arm, b: Arm, met: Matched, measures: Sequence[Metric], unlike: Mapping[str, str], confidence: float
) -> TutorComparison:
    """One tutor of each run, on the cells of both; `unlike` says of a measure why it is not the same one in both."""
    pairs = met.pairs
    finished = [(x, y) for x, y in pairs if x.failure is None and y.failure is None]
    n_failed = len(pairs) - len(finished)
    n_not_run = len((a.asked & b.asked) - (a.cells.keys() & b.cells.keys()))
    n_lost = n_failed + n_not_run + len(met.apart)
    compared = [_compare_metric(one, finished, n_failed, b, unlike.get(one.name, ""), confidence) for one in measures]
    return TutorComparison(
        first=a.counts(),
        second=b.counts(),
        n_shared=len(pairs),
        n_pairs=len(finished),
        n_same=sum(_words(x) == _words(y) for x, y in finished),
        n_items=len({x.spec.item_id for x, _ in finished}),
        n_only_first=len(a.cells) - len(pairs) - len(met.apart),
        n_only_second=len(b.cells) - len(pairs) - len(met.apart),
        n_failed_first=sum(x.failure is not None for x, _ in pairs),
        n_failed_second=sum(y.failure is not None for _, y in pairs),
        n_not_run=n_not_run,
        metrics=tuple(replace(one, n_lost=one.n_lost + n_lost) for one in compared),
        n_apart=len(met.apart),
        n_unknown=met.n_unknown,
    )


def _compare_metric(
    metric: Metric, finished: Sequence[Pair], n_failed: int, b: Arm, unlike: str, confidence: float
) -> MetricComparison:
    """One measure over the pairs; `unlike` says why it cannot be compared, and then there is no difference. Nor is
    there one where most of the pairs failed or lost the measure: the few that are left are not a random part."""
    sides = (_values(metric, [pair[side] for pair in finished]) for side in (0, 1))
    readings = [
        _Reading(x.spec.item_id, mine, theirs, _is_spoilt(metric.name, (x, y)))
        for (x, y), mine, theirs in zip(finished, *sides, strict=True)
    ]
    whole = [(r.first, r.second, r.item) for r in readings if r.first is not None and r.second is not None]
    items = [item for _, _, item in whole]
    firsts, seconds = [x for x, _, _ in whole], [y for _, y, _ in whole]
    changes = [y - x for x, y in zip(firsts, seconds, strict=True)]
    n_lost = sum(r.lost for r in readings)
    few = too_few(len(whole), len(whole) + n_lost + n_failed, "pairs")
    unlike = unlike or few
    difference = metric.difference(changes, items, confidence=confidence) if whole and not unlike else None
    n_first, n_second = (sum(getattr(r, side) is None for r in readings) for side in ("first", "second"))
    own, n_own_lost = _own(metric, b, confidence)
    absent = f"none of {len(readings)} pairs has it (missing in {n_first} of the first run, {n_second} of the second)"
    return MetricComparison(
        metric=metric.name,
        label=metric.label,
        unit=metric.unit,
        better=metric.better,
        first=metric.interval(firsts, items, confidence=confidence) if whole and not few else None,
        second=metric.interval(seconds, items, confidence=confidence) if whole and not few else None,
        difference=difference,
        p_holm=None,
        own=own,
        n_missing_first=n_first,
        n_missing_second=n_second,
        n_missing=len(readings) - len(whole),
        n_lost=n_lost,
        n_own_lost=n_own_lost,
        verdicts_first=_verdicts(metric.name, (x for x, _ in finished)),
        verdicts_second=_verdicts(metric.name, (y for _, y in finished)),
        note=unlike or (difference.note if difference else absent),
    )


def _own(metric: Metric, arm: Arm, confidence: float) -> tuple[Estimate | None, int]:
    """The mean over all finished dialogues of a tutor, and how many should have had a value and have none."""
    values: list[float] = []
    items: list[str] = []
    n_lost = len(arm.asked) - len(arm.cells)
    finished = [dialogue for _, dialogue in sorted(arm.cells.items()) if dialogue.failure is None]
    n_lost += len(arm.cells) - len(finished)
    for dialogue, value in zip(finished, _values(metric, finished), strict=True):
        if value is not None:
            values.append(value)
            items.append(dialogue.spec.item_id)
        else:
            n_lost += _is_spoilt(metric.name, (dialogue,))
    return (metric.interval(values, items, confidence=confidence) if values else None), n_lost


def _words(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in dialogue.turns]


def _values(metric: Metric, dialogues: Sequence[Dialogue]) -> list[float | None]:
    """A measure of finished dialogues of one tutor, as one set."""
    found = metric.values(dialogues)
    return [value if value is not None and math.isfinite(value) else None for value in found]


def _is_spoilt(metric: str, dialogues: Sequence[Dialogue]) -> bool:
    """Whether a value is missing because a judge's verdict is invalid: of a criterion, or of a part of the reward."""
    if metric == "reward":
        verdicts = (v for d in dialogues if d.reward is None for v in d.verdicts)
        return any(v.kind == "invalid" and v.judge.startswith(("rubric:", "scorer:")) for v in verdicts)
    return _verdicts(metric, dialogues)[0] > 0


def _verdicts(metric: str, dialogues: Iterable[Dialogue]) -> tuple[int, int]:
    """Invalid verdicts and all verdicts that a measure is made of."""
    kinds = [verdict.kind for dialogue in dialogues for verdict in dialogue.verdicts if _makes(metric, verdict)]
    return kinds.count("invalid"), len(kinds)


def _makes(metric: str, verdict: Verdict) -> bool:
    if metric.startswith("rubric:"):
        return metric == f"{verdict.judge}/{verdict.name}"
    return _is_of(metric, verdict.judge)


def _is_of(metric: str, judge: str) -> bool:
    """Whether verdicts of a judge are behind a measure."""
    if metric.startswith("rubric:"):
        return metric.rpartition("/")[0] == judge
    return metric in _JUDGES and judge.startswith(_JUDGES[metric])


def unlike(metric: str, first: Side, second: Side) -> str:
    """Why a measure of the two runs is not the same measure; empty: it is."""
    if metric == "reward" and first.config and second.config and first.config.reward != second.config.reward:
        return "not comparable: the runs weigh the reward differently (`reward` in their configs)"
    if metric == "reward" and first.config and second.config and _judges(first.config) != _judges(second.config):
        return "not comparable: other judges give a part of the reward (`rubric`, its pool, or `scorer`)"
    if metric.startswith("rubric:") and not (_seats(metric, first) or _seats(metric, second)):
        if rubric_changed(metric, first, second):
            return "not comparable: the rubric was changed between the runs. Judge both by one panel (tutorloop judge)"
    if metric == "quality":
        if scorer_changed(first, second):
            return "not comparable: rated by scorers of other weights"
        mine, theirs = (
            {v.judge for d in side.dialogues for v in d.verdicts if v.judge.startswith("scorer:")}
            for side in (first, second)
        )
        if mine and theirs and mine != theirs:
            return f"not comparable: rated by other scorers ({some(mine)} against {some(theirs)})"
    return ""


def _judges(config: Config) -> list[object]:
    """Who gives the judged parts of a dialogue's reward, of those that weigh anything."""
    found: list[object] = []
    if config.reward.rubric and config.rubric:
        pool = config.pools[config.pool_of("judge")]
        model = config.model_of(config.pool_of("judge"))
        found.append((config.rubric.name, pool.engine, model, pool.base_url))
    if config.reward.scorer and config.scorer:
        found.append(config.scorer.path)
    return found


def other_judges(metric: str, first: Side, second: Side) -> str:
    """Why judges of one name may be two in two runs: other panels gave their verdicts again. Empty: nothing says so."""
    mine, theirs = _seats(metric, first), _seats(metric, second)
    apart = [judge for judge in sorted(mine.keys() | theirs.keys()) if mine.get(judge) != theirs.get(judge)]
    told = [
        f"{judge} by {mine.get(judge, 'the run itself')} in {first.name} and by {theirs.get(judge, 'the run itself')} "
        f"in {second.name}"
        for judge in apart
    ]
    return f"one name, perhaps two judges: {'; '.join(told)}. Judge both runs by one panel file" if told else ""


def with_judges(tutor: TutorComparison, judges: Mapping[str, str]) -> TutorComparison:
    """Puts in what `other_judges` says of each measure."""
    return replace(tutor, metrics=tuple(replace(one, other_judges=judges.get(one.metric, "")) for one in tutor.metrics))


def _seats(metric: str, side: Side) -> dict[str, str]:
    """The panel whose verdicts stand, for each judge behind a measure."""
    return {
        judge: panel.folder
        for panel in side.panels
        for judge in panel.judges
        if not judge.startswith(_RULES) and _is_of(metric, judge)
    }


def unmeasured(name: str) -> Metric:
    """A criterion that no dialogue of either run was judged on."""
    return Metric(name, name, "the judge's score", "points", "higher", lambda dialogue: None)


def corrected(found: Sequence[TutorComparison]) -> tuple[TutorComparison, ...]:
    """Puts in the p-values after Holm's correction over all measures of all tutors."""
    tests = [one.difference.p if one.difference else None for tutor in found for one in tutor.metrics]
    corrected = iter(holm(tests))
    return tuple(
        replace(tutor, metrics=tuple(replace(one, p_holm=next(corrected)) for one in tutor.metrics)) for tutor in found
    )
