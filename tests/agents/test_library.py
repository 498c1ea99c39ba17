"""The library: read once, shared by all, changed by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from agents.errors import InputError
from agents.library import persona, personas, strategies, strategy


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
