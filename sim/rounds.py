"""What the steps and phases of a loop are called, in its run folder and wherever that is read.

Invariant: a name says of which round, policy and point of a sweep it is, so that nothing is done twice.
"""

from __future__ import annotations

BASE = "base"


def heldout_phase(policy: str) -> str:
    """The phase in which a policy meets the held-out students."""
    return f"heldout/{policy}"


def round_name(number: int, label: str = "") -> str:
    """What the steps of a round are stored under; `label` is that of a sweep's point, with its hyphen."""
    return f"round-{number:04d}{label}"


def is_training(phase: str) -> bool:
    """Whether a phase is one that a loop learns from."""
    return phase.startswith("simulate/")


def round_of(phase: str) -> int:
    """The number of the round that a training phase belongs to, from 1."""
    return int(phase.removeprefix("simulate/").partition("-")[0])


def training_phase(number: int, label: str = "") -> str:
    """The phase a round learns from. In the first round every point of a sweep has the same dialogues with the base."""
    return f"simulate/{number:04d}{label if number > 1 else ''}"
