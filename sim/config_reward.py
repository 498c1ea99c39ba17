"""The part of a config that says what a reply is worth, and the rewards a sweep tries."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.section import Section


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


class SweepPoint(Section):
    """One reward of a sweep."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    reward: RewardConfig
