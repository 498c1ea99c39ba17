"""What is wrong with an experiment is said before it runs, with key, value and the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.errors import InputError
from agents.judges.rubrics import load_rubric
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
    ({"tutor": {"strategies": []}, "tutors": [{"name": "a", "prompt": "x"}]}, "tutor.strategies: empty"),
    ({"tutor": {"strategies": ["direct", "direct"]}}, "'direct' stands twice"),
    ({"tutors": [{"name": "a"}], "tutor": {"adapter": "nowhere"}}, "tutor.adapter: not heeded"),
    ({"tutors": [{"name": "a"}], "tutor": {"settings": {"dimension": "x"}}}, "tutor.settings: not heeded"),
    ({"dialogue": {"candidates": 3}}, "set probes.transfer to false"),
    ({"experiment": {"metrics": []}}, "experiment.metrics: empty"),
    ({"experiment": {"metrics": ["gain", "gain"]}}, "'gain' stands twice"),
    ({"experiment": {"metrics": ["gain"], "no_worse_by": {"net_gain": 0.1}}}, "'net_gain' is not compared"),
    ({"experiment": {"metrics": ["words"], "no_worse_by": {"words": 1.0}}}, "neither direction of 'words'"),
    ({"experiment": {"calibration": "$TMP/useless.yaml"}}, "is not above 1"),
    ({"pools": {**POOLS, "mine": {"engine": "python", "callable": "no_such:thing"}}}, "no module 'no_such'"),
    (
        {"pools": {"c": {"roles": ["student", "tutor"], "engine": "python", "callable": "json:loads"}}},
        "cannot score",
    ),
    ({"pools": {**POOLS, "mine": {"engine": "scripted", "price_per_million": [-1, 0]}}}, "price_per_million"),
]


@pytest.mark.parametrize(("changes", "says"), CASES)
def test_wrong_experiments(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    useless = "rubric:r: {fair: {sensitivity: 0.4, specificity: 0.5, n_positive: 9, n_negative: 9}}"
    (tmp_path / "useless.yaml").write_text(useless)
    path = write(tmp_path, **changes)
    path.write_text(path.read_text().replace("$TMP", str(tmp_path)))
    with pytest.raises(InputError, match=says) as caught:
        load_config(path)
    assert "config.yaml" in str(caught.value)


def test_a_tutor_without_any_pool(tmp_path: Path) -> None:
    pools = {"class": {"roles": ["student"], "engine": "scripted"}, "mine": {"engine": "scripted"}}
    ok = load_config(
        write(tmp_path, pools=pools, tutors=[{"name": "a", "pool": "mine"}, {"name": "b", "control": "silent"}])
    )
    assert [ok.tutor_pool(arm) for arm in ok.tutor_arms()] == ["mine", ""]
    with pytest.raises(InputError, match="role 'tutor'"):
        load_config(write(tmp_path, pools=pools, tutors=[{"name": "a"}]))


def test_a_rubrics_criteria_are_measures_and_others_are_not(tmp_path: Path) -> None:
    pools = {**POOLS, "class": {"roles": ["tutor", "student", "judge"], "engine": "scripted"}}
    rubric = {"name": "pedagogical_rl"}
    known = load_config(write(tmp_path, pools=pools, rubric=rubric, experiment={"metrics": ["gain"]}))
    criterion = load_rubric("pedagogical_rl").criteria[0].name
    assert known.experiment.metrics == ("gain",)
    load_config(
        write(tmp_path, pools=pools, rubric=rubric, experiment={"metrics": [f"rubric:pedagogical_rl/{criterion}"]})
    )
    with pytest.raises(InputError, match="no measure 'rubric:pedagogical_rl/x'"):
        load_config(write(tmp_path, pools=pools, rubric=rubric, experiment={"metrics": ["rubric:pedagogical_rl/x"]}))


def test_a_replay_needs_neither_key_nor_callable_nor_adapter(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    pools = {
        "class": {"roles": ["tutor", "student"], "engine": "scripted"},
        "hosted": {"engine": "openai", "base_url": "https://tutor.example/v1", "api_key_env": "NO_SUCH_KEY"},
        "mine": {"engine": "python", "callable": "no_such:thing"},
        "tuned": {},
    }
    tutors = [
        {"name": "a", "pool": "hosted"},
        {"name": "b", "pool": "mine"},
        {"name": "c", "pool": "tuned", "adapter": "nowhere"},
    ]
    load_config(write(tmp_path, pools=pools, tutors=tutors, run={"replay": str(tmp_path / "tape")}))


@pytest.mark.parametrize("name", ["strategies", "stress", "prompts"])
def test_the_shipped_experiments_are_sound(name: str) -> None:
    config = load_config(Path(f"configs/experiments/{name}.yaml"))
    assert config.kind == "run" and len(config.tutor_arms()) >= 2
