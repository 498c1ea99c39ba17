"""What `--chaos` and `--kill` ask for."""

from __future__ import annotations

import pytest

from agents.errors import InputError
from sim.fleet.chaos_plan import CALM, USUAL, ChaosPlan, chaos_plan


def test_by_default_nothing_dies_and_a_node_only_where_it_is_named() -> None:
    assert chaos_plan(0.0, None) == CALM and CALM.every_seconds == 0.0
    assert chaos_plan(60.0, []) == ChaosPlan(60.0, USUAL) and "node" not in USUAL
    assert chaos_plan(60.0, ["node", "actor"]).kinds == ("node", "actor")


def test_what_cannot_be_killed_and_kills_without_a_time_are_refused() -> None:
    with pytest.raises(InputError, match=r"--kill nodes: can be killed are process, actor, classroom, node"):
        chaos_plan(60.0, ["node", "nodes"])
    with pytest.raises(InputError, match="say how often with --chaos SECONDS"):
        chaos_plan(0.0, ["node"])
