"""What is wrong with an experiment is said before it runs, with key, value and the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.errors import InputError
from sim.load import load_config

POOLS = {
    "class": {"roles": ["tutor", "student"], "engine": "scripted"},
    "mine": {"engine": "scripted"},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"name": "t", "kind": "run", "pools": POOLS, **changes}), encoding="utf-8")
    return path


CASES: list[tuple[dict[str, Any], str]] = [
    ({"tutors": [{"name": "a"}, {"name": "a"}]}, "two are named 'a'"),
    ({"tutors": [{"name": "a", "strategy": "socratc"}]}, "socratic"),
    ({"tutors": [{"name": "a", "pool": "mnie"}]}, "mine"),
    ({"tutors": [{"name": "a", "control": "silent", "pool": "mine"}]}, "has no pool"),
    ({"tutors": [{"name": "a", "strategy": "direct", "prompt": "x"}]}, "give one of them"),
    ({"tutors": [{"name": "a", "settings": {"dimension": "x"}}]}, "dimension"),
    ({"tutors": [{"name": "a", "adapter": "nowhere"}]}, "adapter_config.json"),
    ({"tutors": [{"name": "a", "adapter": "x"}, {"name": "b"}]}, "pool of its own"),
    ({"stressors": [{"name": "silense"}]}, "silence"),
    ({"stressors": [{"name": "silence", "intensities": []}]}, "no intensities"),
    ({"stressors": [{"name": "silence", "intensities": [2]}]}, "less than or equal to 1"),
    ({"experiment": {"baseline": "direct"}}, "no tutor 'direct'"),
    ({"experiment": {"metrics": ["leakrate"]}}, "leak_rate"),
    ({"experiment": {"no_worse_by": {"gian": 0.1}}}, "gain"),
    ({"experiment": {"calibration": "nowhere.yaml"}}, "nowhere.yaml"),
    ({"experiment": {"fraction": 0.0}}, "fraction"),
    ({"run": {"replay": "nowhere"}}, "record a run first"),
    ({"run": {"replay": "x", "record": "y"}}, "not both"),
    ({"kind": "loop", "tutors": [{"name": "a"}]}, "only a config of kind 'run'"),
    ({"budget": {"cost": 1.0}}, "price"),
]


@pytest.mark.parametrize(("changes", "says"), CASES)
def test_wrong_experiments(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load_config(write(tmp_path, **changes))
    assert "config.yaml" in str(caught.value)


def test_a_tutor_without_any_pool(tmp_path: Path) -> None:
    pools = {"class": {"roles": ["student"], "engine": "scripted"}, "mine": {"engine": "scripted"}}
    ok = load_config(
        write(tmp_path, pools=pools, tutors=[{"name": "a", "pool": "mine"}, {"name": "b", "control": "silent"}])
    )
    assert [ok.tutor_pool(arm) for arm in ok.tutor_arms()] == ["mine", ""]
    with pytest.raises(InputError, match="role 'tutor'"):
        load_config(write(tmp_path, pools=pools, tutors=[{"name": "a"}]))


@pytest.mark.parametrize("name", ["strategies", "stress", "prompts"])
def test_the_shipped_experiments_are_sound(name: str) -> None:
    config = load_config(Path(f"configs/experiments/{name}.yaml"))
    assert config.kind == "run" and len(config.tutor_arms()) >= 2
