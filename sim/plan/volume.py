"""How much an experiment takes: requests by formula, and tokens, cost and minutes from a pilot's rates.

A pilot's rate is scaled by the formula of `sim.plan.effort`, with replies as long as the pilot's: what it gives for the
dialogues to come over what it gives for the pilot's own. So a pilot of fewer turns, other personas or other tutors says
something still, and a plan of the very dialogues that the pilot held gets back its rates.

Invariant: what is not known is an empty `Range`, never 0; a cost is 0 only where every pool in use is free of charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from agents.records import EpisodeSpec
from sim.budget import pools_of, unpriced
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.experiment.tables import kind_of
from sim.plan.effort import Efforts, Load
from sim.plan.rates import Pilot, Range, Rates

BOUND = "bound"
"""Source of figures without a pilot."""
_SHAPE = ("dialogue", "probes", "tutor", "students", "rubric")
_ALIKE = 0.01
"""Scales this near to 1 are not worth a word."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What some dialogues take."""

    dialogues: int
    generate: int
    """Requests for replies: of tutors, students and judges."""
    score: int
    """Requests for scores: of probes."""
    prompt_tokens: Range
    completion_tokens: Range
    cost: Range
    """In the currency of `price_per_million`."""

    def __add__(self, other: Volume) -> Volume:
        return Volume(
            self.dialogues + other.dialogues,
            self.generate + other.generate,
            self.score + other.score,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )

    @property
    def tokens(self) -> Range:
        """Of both kinds."""
        return self.prompt_tokens + self.completion_tokens


NOTHING = Volume(0, 0, 0, Range(0.0, 0.0, 0.0), Range(0.0, 0.0, 0.0), Range(0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class _Formula:
    """The formula's sums over some dialogues."""

    dialogues: int
    load: Load
    cost: float


class Estimator:
    """Volumes of a config's dialogues.

    Args:
        config: the experiment to come.
        pilot: an earlier run; None: tokens and cost are bounded by formula, and minutes stay unknown.
    """

    def __init__(self, config: Config, pilot: Pilot | None) -> None:
        self._config, self._pilot = config, pilot
        self._efforts = Efforts(config)
        length = _length(pilot) if pilot else 1.0
        self._here = Efforts(config, length=length)
        self._there = Efforts(pilot.config, length=length) if pilot else None
        self._unpriced = set(unpriced(config))
        self._notes: dict[str, None] = {}
        self._lent: dict[str, dict[str, None]] = {}
        """By source, the tutors that the pilot lacks."""
        self._scales: list[float] = []

    def volume(self, specs: Sequence[EpisodeSpec]) -> Volume:
        """What these dialogues take."""
        found = NOTHING
        for name, group in groupby(sorted(specs, key=lambda spec: spec.tutor), key=lambda spec: spec.tutor):
            arm = next(arm for arm in self._config.tutor_arms() if arm.name == name)
            found += self._of_tutor(arm, list(group))
        return found

    def source(self, arm: TutorArm) -> str:
        """Where a tutor's figures come from, in a word or two."""
        return self._rates(arm)[1]

    def _rates(self, arm: TutorArm) -> tuple[Rates | None, str]:
        if self._pilot is None:
            return None, BOUND
        if arm.name in self._pilot.by_tutor:
            return self._pilot.by_tutor[arm.name], "pilot"
        kind = kind_of(self._config, arm)
        if kind in self._pilot.by_kind:
            return self._pilot.by_kind[kind], f"its {kind} tutors"
        return self._pilot.all, "all its tutors"

    def _of_tutor(self, arm: TutorArm, specs: Sequence[EpisodeSpec]) -> Volume:
        formula = _sums(self._efforts, specs)
        load = formula.load
        rates, source = self._rates(arm)
        prompt, completion = (Range(high=float(x)) for x in (load.prompt_tokens, load.completion_tokens))
        likely = _sums(self._here, specs) if rates else formula
        earlier = _sums(self._there, [one.spec for one in rates.dialogues]) if rates and self._there else None
        if rates is not None and earlier is not None:
            if source != "pilot":
                self._lent.setdefault(source, {})[arm.name] = None
            per = [
                _per_dialogue(x.load.prompt_tokens, x.load.completion_tokens, n=x.dialogues) for x in (likely, earlier)
            ]
            prompt = self._scaled(rates.prompt_tokens.total(len(specs)), per[0][0], per[1][0], prompt)
            completion = self._scaled(rates.completion_tokens.total(len(specs)), per[0][1], per[1][1], completion)
        cost = self._cost(arm, likely, earlier, rates, prompt + completion)
        return Volume(len(specs), load.generate, load.score, prompt, completion, cost)

    def _scaled(self, measured: Range, here: float, there: float, bound: Range) -> Range:
        """The pilot's figure for dialogues of this shape; the bound where the pilot's shape had none of it."""
        if not there:
            return Range(0.0, 0.0, 0.0) if not here else bound
        if here:
            self._scales.append(here / there)
        return measured.scaled(here / there)

    def _cost(
        self, arm: TutorArm, formula: _Formula, earlier: _Formula | None, rates: Rates | None, tokens: Range
    ) -> Range:
        pools = pools_of(self._config, arm)
        if self._unpriced & set(pools):
            return Range()
        if not formula.cost:
            return Range(0.0, 0.0, 0.0)
        if rates is None or earlier is None or self._pilot is None:
            return Range(high=formula.cost)
        if earlier.cost and self._prices(self._config, [arm.name]) == self._prices(self._pilot.config, rates.tutors):
            ratio = formula.cost / formula.dialogues / (earlier.cost / earlier.dialogues)
            return rates.cost.total(formula.dialogues).scaled(ratio)
        self._note("the pilot had other prices: the cost is its tokens at the prices of this config")
        return tokens.scaled(formula.cost / formula.load.tokens)

    @staticmethod
    def _prices(config: Config, tutors: Sequence[str]) -> set[tuple[tuple[float, float], ...]]:
        """Prices of the pools behind each of these tutors, in the order tutor, student, judge."""
        return {
            tuple(config.pools[name].price_per_million for name in pools_of(config, arm))
            for arm in config.tutor_arms()
            if arm.name in tutors
        }

    def minutes(self, specs: Sequence[EpisodeSpec]) -> Range:
        """How long these dialogues take once the engines run; unknown without a pilot that kept time.

        The lower end takes it that the engines keep up with all dialogues that may be under way at once, the upper end
        that they were as busy in the pilot as they get. Dialogues of another shape count by tokens or by requests,
        whichever moves the end further out. Ends hold the spread of the pilot's dialogues, too.
        """
        if not specs:
            return Range(0.0, 0.0, 0.0)
        if self._pilot is None or self._there is None or self._pilot.pace is None:
            return Range()
        pace, run = self._pilot.pace, self._config.run
        here = _sums(self._here, specs)
        there = _sums(self._there, [dialogue.spec for dialogue in self._pilot.dialogues])
        if not there.load.requests:
            return Range()
        shapes = [
            mine / here.dialogues / (theirs / there.dialogues)
            for mine, theirs in ((here.load.requests, there.load.requests), (here.load.tokens, there.load.tokens))
        ]
        faster = min(run.in_flight * run.classrooms, len(specs)) / pace.at_once
        total = self._pilot.all.seconds.total(len(specs))
        ends = [1.0 if end is None or not total.mean else end / total.mean for end in (total.low, total.high)]
        plain = len(specs) / pace.dialogues_per_minute
        low = plain * min(shapes) * ends[0] / max(1.0, faster)
        high = plain * max(shapes) * ends[1] / min(1.0, faster)
        if pace.measured:
            return Range(plain * sum(shapes) / 2.0, low, high)
        self._note("the pilot kept no whole wall time (it was stopped), so the minutes are what they are at least")
        return Range(None, low, None)

    @property
    def start_minutes(self) -> float:
        """Of the engines, in the pilot; 0 where nothing is known."""
        pace = self._pilot.pace if self._pilot else None
        return pace.start_seconds / 60.0 if pace else 0.0

    def notes(self) -> list[str]:
        """What is to be known of the figures that were asked for so far."""
        found = [f"not in the pilot: {', '.join(names)}; figures are those of {x}" for x, names in self._lent.items()]
        found += self._notes
        far = [scale for scale in self._scales if abs(scale - 1.0) > _ALIKE]
        if far and self._pilot is not None:
            why = "; ".join(shape_changes(self._pilot.config, self._config)) or "another mix of students and items"
            found.append(
                f"the pilot's dialogues were of another shape ({why}): its tokens are scaled by {min(far):.2f} to "
                f"{max(far):.2f}, as the formula changes"
            )
        return found

    def _note(self, text: str) -> None:
        self._notes[text] = None


def shape_changes(there: Config, here: Config) -> list[str]:
    """What decides the length of a dialogue and differs between two configs."""
    found = []
    for section in _SHAPE:
        before, now = (getattr(config, section) for config in (there, here))
        if before is None or now is None:
            found += [] if before is now else [f"{section} {'off' if before is None else 'on'} there, not here"]
            continue
        old, new = before.model_dump(), now.model_dump()
        found += [f"{section}.{key} {old[key]} there, {new[key]} here" for key in old if old[key] != new[key]]
    return found


def _length(pilot: Pilot) -> float:
    """How long the pilot's replies were, as a share of their full length."""
    full = _sums(Efforts(pilot.config), [dialogue.spec for dialogue in pilot.all.dialogues]).load.completion_tokens
    return min(1.0, pilot.all.completion_tokens.mean * pilot.all.n / full) if full else 1.0


def _sums(efforts: Efforts, specs: Sequence[EpisodeSpec]) -> _Formula:
    load, cost = Load(), 0.0
    for spec in specs:
        effort = efforts.of(spec)
        load, cost = load + effort.total, cost + efforts.cost(spec, effort)
    return _Formula(len(specs), load, cost)


def _per_dialogue(*figures: int, n: int) -> tuple[float, ...]:
    return tuple(figure / n for figure in figures)
