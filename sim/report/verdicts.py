"""How many verdicts stand behind a figure, how many of them were invalid, and what the judges said there.

Invariant: an invalid verdict is counted with its share of all verdicts of the same kind, and is never left out because
it gave no score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agents.records import Dialogue, EpisodeSpec, Verdict
from sim.judged import all_verdicts, count_candidates
from sim.report.figures import MISSING, plain

_JUDGES = {"quality": "scorer:", "noticed": "rules:safety"}
"""The judge behind a measure that no rubric names, by the beginning of its name."""
LISTED, RAW = 20, 800
"""Unreadable answers listed per judge and criterion, and characters of each; the table `verdicts` has all of them."""
_DONE_WITHOUT = {
    "json_schema": "took no JSON schema: the answers were validated only",
    "n": "gives one answer a request: the votes were asked for one by one",
}


@dataclass(frozen=True, slots=True)
class Count:
    """Verdicts, and how many of them are invalid."""

    verdicts: int
    invalid: int

    def __add__(self, other: Count) -> Count:
        return Count(self.verdicts + other.verdicts, self.invalid + other.invalid)

    @property
    def words(self) -> str:
        """Such as `3 of 120 (2.5%)`; a dash where nothing was judged."""
        if not self.verdicts:
            return MISSING
        share = f"{plain(100 * self.invalid / self.verdicts, 1)}%"
        return f"{plain(self.invalid, 0)} of {plain(self.verdicts, 0)} ({share})"


def invalid_by(dialogues: Iterable[Dialogue], group: Callable[[EpisodeSpec], str]) -> dict[str, Count]:
    """Verdicts by phase, arm or whatever else a dialogue's place says; groups without a verdict are absent."""
    found: dict[str, Count] = {}
    for dialogue in dialogues:
        if dialogue.verdicts:
            invalid = sum(verdict.kind == "invalid" for verdict in dialogue.verdicts)
            name = group(dialogue.spec)
            found[name] = found.get(name, Count(0, 0)) + Count(len(dialogue.verdicts), invalid)
    return found


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A verdict with an answer that could not be read."""

    dialogue: str
    kind: str
    votes: str
    why: str
    raw: str


@dataclass(frozen=True, slots=True)
class UnreadableGroup:
    """What of one criterion of one judge could not be read."""

    judge: str
    name: str
    count: Count
    """Invalid verdicts among all of them."""
    total: int
    """Verdicts with an unreadable answer, the valid ones among them included."""
    rows: tuple[Unreadable, ...]


def unreadable(dialogues: Iterable[Dialogue]) -> list[UnreadableGroup]:
    """By judge and criterion, the verdicts that are invalid or hold an answer that could not be read."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    found: dict[tuple[str, str], list[tuple[str, Verdict]]] = {}
    for dialogue in dialogues:
        for verdict in all_verdicts(dialogue):
            counts[verdict.judge, verdict.name, verdict.kind == "invalid"] += 1
            if verdict.kind == "invalid" or verdict.raw:
                found.setdefault((verdict.judge, verdict.name), []).append((dialogue.id, verdict))
    return [
        UnreadableGroup(
            judge,
            name,
            Count(counts[judge, name, True] + counts[judge, name, False], counts[judge, name, True]),
            len(rows),
            tuple(_unreadable(dialogue, verdict) for dialogue, verdict in rows[:LISTED]),
        )
        for (judge, name), rows in sorted(found.items())
    ]


def _unreadable(dialogue: str, verdict: Verdict) -> Unreadable:
    raw = verdict.raw if len(verdict.raw) <= RAW else verdict.raw[: RAW - 1] + "…"
    why = verdict.rationale if verdict.kind == "invalid" else ""
    return Unreadable(dialogue, verdict.kind, ", ".join(verdict.votes), why, raw)


def done_without(dialogues: Iterable[Dialogue]) -> list[str]:
    """What judges' engines were asked for and did not take, in sentences."""
    held = list(dialogues)
    counts = Counter((v.judge, name) for d in held for v in all_verdicts(d) for name in v.fallbacks)
    told = [
        f"{judge}: the endpoint {_DONE_WITHOUT.get(name, f'did not take {name}: it was asked without')} "
        f"({plain(n, 0)} verdicts)."
        for (judge, name), n in sorted(counts.items())
    ]
    turns = count_candidates(held)
    if left_out := turns["n_turns_left_out"]:
        told.append(
            f"In {plain(left_out, 0)} of {plain(turns['n_judged_turns'], 0)} turns an invalid verdict left the judge's "
            f"part of the reward out, for all candidates of the turn."
        )
    return told


def judged_by(metric: str) -> tuple[str, str] | None:
    """The beginning of the judge's name and the criterion (empty: any) behind a measure; None for a rule or probe."""
    if metric.startswith("rubric:") and "/" in metric:
        judge, name = metric.rsplit("/", 1)
        return judge, name
    if metric == "invalid_share":
        return "", ""
    return (_JUDGES[metric], "") if metric in _JUDGES else None


class Verdicts:
    """Verdicts of dialogues, counted once by tutor, persona, stress and judge."""

    def __init__(self, dialogues: Iterable[Dialogue]) -> None:
        found: Counter[tuple[str, str, str, float, str, str, bool]] = Counter()
        for dialogue in dialogues:
            spec = dialogue.spec
            for v in dialogue.verdicts:
                stress = (spec.stressor, spec.intensity)
                found[spec.tutor_name, spec.persona, *stress, v.judge, v.name, v.kind == "invalid"] += 1
        self._counts = found

    @property
    def all(self) -> Count:
        """Every verdict of the run."""
        return self.count()

    def count(
        self,
        *,
        tutor: str | None = None,
        persona: str | None = None,
        stress: tuple[str, float] | None = None,
        judge: str = "",
        name: str = "",
    ) -> Count:
        """Verdicts of a tutor, a persona, a stressor at an intensity, a judge (its name begins so), a criterion."""
        total = invalid = 0
        for (of, who, stressor, intensity, by, criterion, bad), n in self._counts.items():
            if tutor not in (None, of) or persona not in (None, who) or (name and criterion != name):
                continue
            if _is_of(judge, by) and (stress is None or _level(*stress) == _level(stressor, intensity)):
                total += n
                invalid += n * bad
        return Count(total, invalid)

    def behind(
        self, metric: str, *, tutor: str, persona: str | None = None, stress: tuple[str, float] | None = None
    ) -> Count | None:
        """The verdicts that a measure is made of; None for a measure that no judge gives."""
        source = judged_by(metric)
        if source is None:
            return None
        return self.count(tutor=tutor, persona=persona, stress=stress, judge=source[0], name=source[1])


def _level(stressor: str, intensity: float) -> tuple[str, float]:
    """Without intensity there is no stressor: that level is shared by all of them."""
    return (stressor, intensity) if intensity else ("", 0.0)


def _is_of(judge: str, by: str) -> bool:
    return by == judge or (not judge.startswith("rubric:") and by.startswith(judge))
