"""Two engines in the place of one: where that is faster, where there is room, and never against the config."""

from __future__ import annotations

from typing import Any

import pytest

from sim.config import Config
from sim.layout import laid_out

SHARED: dict[str, dict[str, Any]] = {
    "class": {"roles": ["student", "judge"]},
    "tutor": {"roles": ["tutor"], "shares": "class"},
}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_job_of_a_cluster_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert engines(config()) == 1


def config(**more: Any) -> Config:
    return Config.model_validate({"name": "layout", "pools": SHARED, **more})


def engines(given: Config, *, memory_gib: float = 24.0, processors: int = 2, dialogues: int = 300) -> int:
    """Of the pool `class`; everything else must stay as it was, and slots and cache the same in all."""
    laid = laid_out(given, dialogues, memory_gib=memory_gib, processors=processors)
    old, new = given.pools["class"], laid.pools["class"]
    assert new.replicas * new.max_num_seqs == old.replicas * old.max_num_seqs
    assert new.replicas * new.kv_cache_gib == old.replicas * old.kv_cache_gib
    sizes = {"replicas", "max_num_seqs", "kv_cache_gib"}
    assert old.model_dump(exclude=sizes) == new.model_dump(exclude=sizes)
    assert {name: pool for name, pool in laid.pools.items() if name != "class"} == {
        name: pool for name, pool in given.pools.items() if name != "class"
    }
    return new.replicas


def test_an_experiment_on_the_embedded_model_gets_two_engines_where_there_is_room() -> None:
    assert engines(config()) == 2
    assert engines(config(), memory_gib=9.9) == 1 and engines(config(), memory_gib=10.1) == 2
    assert engines(config(), processors=1) == engines(config(), processors=8) == 1  # not measured there
    assert engines(config(), dialogues=299) == 1  # over before the second engine's start has paid


SIZES: list[dict[str, Any]] = [
    {"replicas": 1},
    {"max_replicas": 0},
    {"max_num_seqs": 64},
    {"kv_cache_gib": 2.0},
    {"cpus": 1.0},
    {"compile": True},
]


@pytest.mark.parametrize("size", SIZES)
def test_a_config_that_says_its_sizes_keeps_them(size: dict[str, Any]) -> None:
    said = config(pools={**SHARED, "class": {**SHARED["class"], **size}})
    assert laid_out(said, 1000, memory_gib=24.0, processors=2) is said


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "loop"},
        {"model": "owner/model"},
        {"run": {"ray_address": "auto"}},
        {"pools": {**SHARED, "class": {**SHARED["class"], "gpus": 1}}},
        {"pools": {"class": {"roles": ["student", "judge"]}, "tutor": {"roles": ["tutor"]}}},
        {"pools": {**SHARED, "class": {**SHARED["class"], "engine": "scripted"}}},
        {"pools": {**SHARED, "far": {"engine": "scripted"}}},
        {"tutor": {"adapter": "runs/x/adapters/tutor/v0001"}},
    ],
)
def test_others_are_left_alone(more: dict[str, Any]) -> None:
    given = config(**more)
    assert laid_out(given, 1000, memory_gib=24.0, processors=2) is given
