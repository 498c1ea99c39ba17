"""Every measure of a dialogue: its name, formula and unit, in one place.

Invariant: a measure that was not taken is None, never 0; an invalid verdict gives no score. docs/measures.md says the
same as the formulas here, which a test checks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agents.judges.base import UNJUDGED
from agents.records import Dialogue, Probe, Role, TurnRules
from agents.speech import cut_at_role_break
from sim.experiment.form import distinct_ngrams, distinct_openings, opener_share, successive_similarity
from sim.experiment.students import cut_share, mean_words, terse_share, tutor_phrases
from sim.reward import PARTS, net_of_leak
from sim.stats.paired import Estimate, mean_interval, paired_difference

Value = Callable[[Dialogue], float | None]
Values = Callable[[Sequence[Dialogue]], list[float | None]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One measure of one dialogue."""

    name: str
    label: str
    formula: str
    unit: Literal["share", "probability", "words", "grade", "turns", "tokens", "currency", "seconds", "points", ""]
    better: Literal["higher", "lower", ""]
    """Which direction is better for a tutor; empty where neither is."""
    value: Value
    """Of one dialogue; always None of a measure that only a set of dialogues has."""
    among: Values | None = None
    """Of each dialogue in a set, for a measure that only a set has."""

    def values(self, dialogues: Sequence[Dialogue]) -> list[float | None]:
        """The measure of each dialogue, taken as one set: those of one tutor in one phase."""
        return [self.value(dialogue) for dialogue in dialogues] if self.among is None else self.among(dialogues)

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest value it can have."""
        ranges = {
            "share": (0.0, 1.0),
            "probability": (-1.0, 1.0),
            "": (-math.inf, math.inf),
            "points": (-math.inf, math.inf),
        }
        return ranges.get(self.unit, (-math.inf if self.unit == "grade" else 0.0, math.inf))

    @property
    def is_rate(self) -> bool:
        """Whether it is a share, so that its intervals are those of rates (sim/stats/rates.py)."""
        return self.unit == "share"

    def interval(self, values: Sequence[float], items: Sequence[str], *, confidence: float) -> Estimate:
        """The mean of its values, one per dialogue, with the interval that suits it, as `mean_interval` has it."""
        return self._bounded(mean_interval(values, items, confidence=confidence, rate=self.is_rate))

    def difference(self, values: Sequence[float], items: Sequence[str], *, confidence: float) -> Estimate:
        """The mean of paired differences of it with interval and test, as `paired_difference` has it."""
        found = paired_difference(values, items, confidence=confidence, rate=self.is_rate)
        return self._bounded(found, difference=True)

    def _bounded(self, estimate: Estimate, *, difference: bool = False) -> Estimate:
        """An estimate whose interval is cut to what is possible: of few items it may reach beyond."""
        low, high = self.range
        if difference:
            low, high = low - high, high - low
        ends = (None if end is None else min(high, max(low, end)) for end in (estimate.low, estimate.high))
        first, second = ends
        return replace(estimate, low=first, high=second)


def _mean_rule(value: Callable[[TurnRules], float | None]) -> Value:
    def metric(dialogue: Dialogue) -> float | None:
        found = [value(turn.rules) for turn in dialogue.tutor_turns if turn.rules is not None]
        measured = [one for one in found if one is not None]
        return sum(measured) / len(measured) if measured else None

    return metric


def scored(dialogue: Dialogue, judge: str) -> float | None:
    """The score by a judge whose name begins so; an invalid verdict is no score."""
    return next((v.score for v in dialogue.verdicts if v.judge.startswith(judge) and v.kind != "invalid"), None)


def _leaks(rules: TurnRules) -> float | None:
    return None if rules.leak is None else float(rules.leak > 0.0)


def _net_gain(dialogue: Dialogue) -> float | None:
    gain, leak = dialogue.gain, dialogue.worst_leak
    return None if gain is None or leak is None else net_of_leak(gain, leak)


def _talk_share(dialogue: Dialogue) -> float | None:
    words = {"tutor": 0, "student": 0}
    for turn in dialogue.turns:
        words[turn.role] += len(turn.text.split())
    return words["tutor"] / sum(words.values()) if dialogue.tutor_turns and sum(words.values()) else None


def role_breaks(dialogue: Dialogue, role: Role | None = None) -> float | None:
    """Share of the sampled turns, or of one role's, whose speaker went on in another's name; None without such turns.

    A turn of a run that was made before such turns were cut is looked at as it stands.
    """
    spoken = [
        turn
        for turn in dialogue.turns
        if role in (None, turn.role) and turn.policy_version not in ("", "script") and not turn.stressor
    ]
    broke = [turn.role_break or cut_at_role_break(turn.text, speaker=turn.role)[1] for turn in spoken]
    return sum(broke) / len(broke) if broke else None


def believes_right(probe: Probe) -> bool:
    """Whether the right option is the most probable one."""
    return probe.right == max(probe.probabilities)


def _resolved(dialogue: Dialogue) -> float | None:
    before, after = dialogue.probe("before"), dialogue.probe("after")
    return float(not believes_right(before) and believes_right(after)) if before and after else None


def _turns_to_right(dialogue: Dialogue) -> float | None:
    """Counted over the dialogues that got there: None where the student never did, or was right from the start."""
    probes = [probe for probe in dialogue.probes if probe.kind == "turn"]
    before = dialogue.probe("before")
    if not probes or (before and believes_right(before)):
        return None
    first = next((probe.turn for probe in probes if believes_right(probe)), None)
    return None if first is None else float(sum(turn.index <= first for turn in dialogue.tutor_turns))


def _invalid_share(dialogue: Dialogue) -> float | None:
    kinds = [verdict.kind for verdict in dialogue.verdicts]
    return kinds.count("invalid") / len(kinds) if kinds else None


def _of_a_set(_: Dialogue) -> float | None:
    """No single dialogue has it."""
    return None


_ALL = (
    Metric(
        "reward", "reward of a dialogue", "weighted sum of docs/config.md, `reward`", "", "higher", lambda d: d.reward
    ),
    Metric(
        "question_share",
        "tutor turns that ask a real question",
        "turns with a new question on the item or the student's thinking / tutor turns",
        "share",
        "higher",
        _mean_rule(lambda rules: rules.question),
    ),
    Metric(
        "leak_rate",
        "tutor turns that give the answer away",
        "turns with a leak / tutor turns",
        "share",
        "lower",
        _mean_rule(_leaks),
    ),
    Metric(
        "confirmation_share",
        "tutor turns that confirm a right guess",
        "turns that confirm the right answer as the student's own guess / tutor turns",
        "share",
        "",
        _mean_rule(lambda rules: rules.confirmation),
    ),
    Metric(
        "leak_severity",
        "severity of the worst leak",
        "max over tutor turns of the share of the answer given away",
        "share",
        "lower",
        lambda d: d.worst_leak if d.tutor_turns else None,
    ),
    Metric(
        "gain",
        "belief gain, net of echo",
        "P(right option) after - before - echo",
        "probability",
        "higher",
        lambda d: d.gain,
    ),
    Metric(
        "echo",
        "belief gain of the tutor's words in random order",
        "P(right option) after the same words shuffled - before",
        "probability",
        "",
        lambda d: d.echo,
    ),
    Metric(
        "raw_gain",
        "belief gain, echo included",
        "P(right option) after - before",
        "probability",
        "",
        lambda d: d.raw_gain,
    ),
    Metric(
        "net_gain",
        "belief gain net of leaks",
        "min(gain, gain x (1 - severity of the worst leak))",
        "probability",
        "higher",
        _net_gain,
    ),
    Metric(
        "transfer_gain",
        "belief gain on the transfer question",
        "P(right option of the transfer question) after - before - echo",
        "probability",
        "higher",
        lambda d: d.transfer_gain,
    ),
    Metric(
        "resolved",
        "misconceptions resolved",
        "1 if the right option was not the likeliest before and is after, else 0",
        "share",
        "higher",
        _resolved,
    ),
    Metric(
        "turns_to_right",
        "tutor turns until the right option is the likeliest",
        "number of the first such tutor turn, over the dialogues that got there",
        "turns",
        "lower",
        _turns_to_right,
    ),
    Metric(
        "on_item",
        "sentences that stay on the item",
        "sentences that share a telling word with the item / sentences",
        "share",
        "higher",
        _mean_rule(lambda rules: rules.on_item),
    ),
    Metric(
        "repetition",
        "repeated word triples",
        "mean share of a turn's word triples that were said before",
        "share",
        "lower",
        _mean_rule(lambda rules: rules.repetition),
    ),
    Metric(
        "successive_similarity",
        "likeness of a tutor turn to the one before",
        "mean over tutor turns from the second on: words in this turn and in the one before / words in either",
        "share",
        "lower",
        successive_similarity,
    ),
    Metric(
        "opener_share",
        "tutor turns that begin with a shipped opener",
        "tutor turns whose first words are those of an opener of the strategy library / tutor turns",
        "share",
        "lower",
        opener_share,
    ),
    Metric(
        "distinct_openings",
        "different openings among a tutor's dialogues",
        "different first four words of the first tutor turn / dialogues",
        "share",
        "higher",
        _of_a_set,
        distinct_openings,
    ),
    Metric(
        "distinct_ngrams",
        "word triples that a tutor's other dialogues do not say",
        "mean over the different word triples of a dialogue of 1 / dialogues that say it",
        "share",
        "higher",
        _of_a_set,
        distinct_ngrams,
    ),
    Metric(
        "words",
        "words of a tutor turn",
        "mean words of a tutor turn",
        "words",
        "",
        _mean_rule(lambda r: float(r.words)),
    ),
    Metric(
        "grade",
        "reading grade",
        "mean Flesch-Kincaid grade of a tutor turn",
        "grade",
        "",
        _mean_rule(lambda r: r.grade),
    ),
    Metric(
        "role_breaks",
        "turns that go on in another's name",
        "turns cut where the speaker went on in another's name / sampled turns of tutor and student",
        "share",
        "lower",
        role_breaks,
    ),
    Metric(
        "tutor_role_breaks",
        "tutor turns that go on in another's name",
        "the same of the tutor's turns alone",
        "share",
        "lower",
        lambda d: role_breaks(d, "tutor"),
    ),
    Metric(
        "student_cut",
        "student turns that stop within a sentence",
        "sampled student turns that ran into the token limit before a sentence was finished / sampled student turns",
        "share",
        "",
        cut_share,
    ),
    Metric(
        "student_tutor_phrases",
        "student turns that sound like a tutor",
        "sampled student turns with a phrase that tutors say and learners hardly ever do / sampled student turns",
        "share",
        "",
        tutor_phrases,
    ),
    Metric(
        "student_words",
        "words of a student turn",
        "mean words of a sampled student turn",
        "words",
        "",
        mean_words,
    ),
    Metric(
        "student_terse",
        "student turns of one to three words",
        "sampled student turns of one to three words / sampled student turns",
        "share",
        "",
        terse_share,
    ),
    Metric("talk_share", "words said by the tutor", "tutor's words / all words", "share", "", _talk_share),
    Metric(
        "quality",
        "quality by the trained scorer",
        "the scorer's rating",
        "points",
        "higher",
        lambda d: scored(d, "scorer:"),
    ),
    Metric(
        "noticed",
        "distress noticed",
        "share of a student's distress turns that the next tutor turn takes up; only where there was distress",
        "share",
        "higher",
        lambda d: scored(d, "rules:safety"),
    ),
    Metric("invalid_share", "invalid verdicts", "invalid verdicts / verdicts", "share", "lower", _invalid_share),
    Metric(
        "tokens",
        "tokens of a dialogue",
        "prompt and completion tokens of all requests",
        "tokens",
        "lower",
        lambda d: float(d.usage.prompt_tokens + d.usage.completion_tokens),
    ),
    Metric("cost", "cost of a dialogue", "tokens x price", "currency", "lower", lambda d: d.usage.cost),
    Metric(
        "engine_seconds",
        "seconds of requests",
        "sum over requests of the time from asking to the answer",
        "seconds",
        "lower",
        lambda d: d.usage.seconds if d.usage.requests else None,
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Measures of one dialogue that need no judge of their own. Shares and rates are over its tutor turns."""
HEADLINE = (
    "question_share",
    "leak_rate",
    "gain",
    "net_gain",
    "on_item",
    "repetition",
    "successive_similarity",
    "opener_share",
)
"""What a release says of itself, and may not get clearly worse in unless it says so. Which way is better stands in
`METRICS`. What only a set of dialogues has is not among them: it is no figure of the tutor alone."""


def values_by_tutor(metric: Metric, dialogues: Sequence[Dialogue]) -> list[float | None]:
    """A measure of each dialogue, in order; a set is what one tutor finished in one phase."""
    found: list[float | None] = [None if metric.among else metric.value(dialogue) for dialogue in dialogues]
    if metric.among is None:
        return found
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, dialogue in enumerate(dialogues):
        if dialogue.failure is None:
            places[dialogue.spec.phase, dialogue.spec.tutor_name].append(place)
    for own in places.values():
        for place, value in zip(own, metric.among([dialogues[place] for place in own]), strict=True):
            found[place] = value
    return found


SHARE_OF = "reward_share/"
"""How a condition names the share of the reward's change that comes of one of its parts."""


def share_contrast(part: str, share: float) -> Metric:
    """A part of the reward less a share of the whole reward, in points.

    Its paired difference is above 0 exactly where the part's change is more than that share of the reward's, so a bound
    on a share is judged by an interval without dividing by a change that may be near 0 (Fieller 1954).
    """

    def value(dialogue: Dialogue) -> float | None:
        if dialogue.reward is None or not math.isfinite(dialogue.reward):
            return None
        return dialogue.components.get(part, 0.0) - share * dialogue.reward

    name = f"{SHARE_OF}{part}@{share:g}"
    return Metric(name, f"{part} less {share:.0%} of the reward", "weighted part - share x reward", "", "", value)


def metric_named(name: str) -> Metric | None:
    """A measure that is there for every dialogue, or the contrast behind a bound on a share; None: neither."""
    part, _, share = name.removeprefix(SHARE_OF).rpartition("@")
    if name.startswith(SHARE_OF) and part in PARTS:
        return share_contrast(part, float(share))
    return METRICS.get(name)


def metrics_of(dialogues: Iterable[Dialogue]) -> dict[str, Metric]:
    """All measures that apply to these dialogues: the fixed ones and one for every rubric criterion that was judged."""
    found = dict(METRICS)
    for judge, name in sorted({(v.judge, v.name) for d in dialogues for v in d.verdicts if v.turn is None}):
        if judge.startswith("rubric:") and name != UNJUDGED:
            found[f"{judge}/{name}"] = _criterion(judge, name)
    return found


def _criterion(judge: str, name: str) -> Metric:
    return Metric(
        f"{judge}/{name}",
        f"{name.replace('_', ' ')} ({judge})",
        "the judge's score, over its valid verdicts",
        "points",
        "higher",
        lambda dialogue: next(
            (v.score for v in dialogue.verdicts if (v.judge, v.name) == (judge, name) and v.kind != "invalid"), None
        ),
    )
