"""The library: read once, shared by all, changed by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from agents.errors import InputError
from agents.library import PARTS, _read, persona, personas, strategies, strategy, with_prior


def test_a_record_is_made_once() -> None:
    assert strategies() is strategies() and personas() is personas()
    assert all(strategy(name) is found for name, found in strategies().items())
    assert all(persona(name) is found for name, found in personas().items())


def test_what_everybody_shares_cannot_be_changed() -> None:
    settings: Any = strategy("knowledge_building").settings
    with pytest.raises(TypeError):
        settings["dimension"]["accountability"] = "mine"
    with pytest.raises(TypeError):
        settings["mine"] = {}
    shared: Any
    for shared in (strategies(), personas(), persona("engaged").stressors):
        with pytest.raises(TypeError):
            shared["mine"] = 1.0
    with pytest.raises(AttributeError):
        persona("engaged").prior = 0.0  # type: ignore[misc]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="socratic"):
        strategy("socratik")
    with pytest.raises(InputError, match="engaged"):
        persona("engagd")


def test_settings_are_checked_and_rendered() -> None:
    found = strategy("knowledge_building")
    for value, guidance in found.settings["dimension"].items():
        found.check({"dimension": value})
        assert guidance in found.render({"dimension": value})
    with pytest.raises(InputError, match="dimension"):
        found.check({"dimension": "nothing"})


def test_a_profile_has_every_part_and_one_place_for_the_belief() -> None:
    raw = _read("personas")["personas"]
    for name in ("engaged", "limited", "disengaged"):
        assert all(raw[name][part].strip() in raw[name][part] for part in PARTS)
        lines = persona(name).prompt.split("\n")
        assert len(lines) == len(PARTS) and lines[0].startswith("You are") and "{belief}" in lines[0]
    for one in personas().values():
        assert one.prompt.count("{belief}") == 1 and "{sure}" not in one.prompt


def test_the_prior_is_said_in_the_prompt() -> None:
    told = [with_prior("engaged", prior).prompt for prior in (0.1, 0.4, 0.6, 1.0)]
    assert len(set(told)) == 4 and "no more than a guess" in told[0] and "certain of it" in told[3]
    assert len({one.partition("{belief}")[0] for one in told}) == 1
    assert len({one.partition("\n")[2] for one in told}) == 1, "nothing else changes"
