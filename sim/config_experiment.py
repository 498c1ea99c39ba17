"""The parts of a config that make an experiment: tutors under test, stressors, comparisons, budget.

Invariant: as for `Config`; names are unique, and what is compared is said before anything runs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.section import Fraction, Name, Positive, Section

Control = Literal["", "silent", "irrelevant", "answer_dump", "no_tutor"]


class TutorArm(Section):
    """One tutor under test."""

    name: Name
    strategy: str = ""
    """Of the library; empty: the first of `tutor.strategies`."""
    settings: dict[str, str] = {}
    """Parameters of the strategy."""
    prompt: str = ""
    """Your own instruction in place of the strategy's, to compare wordings. Question and key are added as ever."""
    control: Control = ""
    """A tutor without a model: `silent`, `irrelevant` (small talk), `answer_dump` (says the answer), or `no_tutor`
    (no dialogue at all: what the probes alone do)."""
    pool: str = ""
    """The pool that speaks for it, such as an endpoint's or a callable's; empty: the pool with the role `tutor`."""
    adapter: str = ""
    """A trained adapter's folder to serve. Its pool speaks for no other adapter."""


class StressorConfig(Section):
    """A stressor and the intensities it is run at."""

    name: str
    intensities: tuple[Fraction, ...] = (0.0, 0.5, 1.0)
    """0 is the student without the stressor; it is run once for all stressors."""


class ExperimentConfig(Section):
    """What is compared, and how."""

    baseline: str = ""
    """The tutor that the others are compared with; empty: the first."""
    metrics: tuple[str, ...] = ("net_gain", "question_share", "leak_rate")
    """The comparisons that are corrected together as one family (docs/measures.md lists the measures)."""
    no_worse_by: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """For a measure, the largest loss that still counts as no worse than the baseline."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Below 1, so many of the cells (item x persona x stressor x intensity) are drawn; every tutor meets the same."""
    calibration: str = ""
    """A YAML file with sensitivity and specificity of judges, to correct rates for judge error (docs/measures.md)."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    resamples: Positive = 2000
    """Draws of items that the intervals of ranks are at least as wide as; the other intervals draw nothing."""


class BudgetConfig(Section):
    """Caps that end a run cleanly: what is under way is finished, and what is missing is said. 0: no cap."""

    dialogues: Annotated[int, Field(ge=0)] = 0
    tokens: Annotated[int, Field(ge=0)] = 0
    cost: Annotated[float, Field(ge=0.0)] = 0.0
    """In the currency of `price_per_million`."""
    minutes: Annotated[float, Field(ge=0.0)] = 0.0
