"""The part of a config that says what a reply is worth, and the rewards a sweep tries."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.section import Fraction, Positive, Section

JUDGED = ("rubric", "scorer")
"""The parts of a reward that judges give."""


class RewardJudge(Section):
    """Who judges candidates, where it is not the judge that decides."""

    rubric: str = ""
    """Name of a shipped rubric or path of a YAML rubric; needs `pool`."""
    pool: str = ""
    """The pool that judges by it; it needs no role."""
    votes: Positive = 2
    max_tokens: Positive = 256
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.6
    scorer: str = ""
    """Folder of a trained scorer."""


class RewardGates(Section):
    """What must not happen in a reply: one that breaks a gate ranks below every candidate of its turn that breaks none,
    whatever else it is worth, and is never the better one of a pair."""

    leak: Fraction | None = None
    """Largest severity of a leak; 0: no leak at all. null: no gate."""
    role_break: bool = False
    """Whether a reply may not go on in another's name."""
    repetition: Fraction | None = None
    """Largest share of word triples that were said before."""


class RewardConfig(Section):
    """What a reply is worth: a weighted sum of measured components (docs/config.md gives the formulas)."""

    gain: float = 1.0
    """Weight of the belief gain, net of leak, in units of `gain_scale`."""
    gain_scale: Annotated[float, Field(gt=0.0)] = 0.1
    """A gain of this much probability counts as 1."""
    question: float = 1.0
    on_item: float = 0.25
    repetition: float = -0.5
    leak: float = -2.0
    length: Annotated[float, Field(le=0.0)] = 0.0
    """For each word of a reply beyond `length_budget`, such as -0.02."""
    length_budget: Annotated[int, Field(ge=0)] = 30
    """Words that cost nothing; in a language without blanks, characters."""
    combine: Literal["sum", "normalised"] = "sum"
    """Of candidates: `sum` adds the weighted parts as they are, so that one with a wide spread decides; `normalised`
    standardises each part within the candidates of a turn first, so that the weights alone say what counts how much."""
    gates: RewardGates = RewardGates()
    rubric: float = 0.0
    """Weight of a rubric judge's verdict on 0 to 1: points by their place on the scale, labels by the share of criteria
    passed. Every candidate is judged, which costs a request for each criterion."""
    scorer: float = 0.0
    """Weight of a trained scorer's rating on 0 to 1, its place on the scorer's scale."""
    judge: RewardJudge | None = None
    """Who judges candidates; null: the run's own `rubric` and `scorer`, which then train and decide (`same_judge`)."""
    same_judge: bool = False
    """Lets the judge that values candidates also be the one that decides or is reported. Refused otherwise: a tutor
    learns what its judge likes, which that judge cannot see (docs/gate.md)."""


class SweepPoint(Section):
    """One reward of a sweep."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    reward: RewardConfig
