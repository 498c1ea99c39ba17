"""From a data file to a tuned tutor or a scorer, through the command's own functions, on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from tiny import build_model, build_tokenizer

from agents.errors import InputError
from sim.config import Config
from sim.config_training import DataConfig
from sim.dataset import prepare, rated_texts, weight_of
from sim.load import load_config
from sim.progress import Teller
from sim.training import train_on_data
from trainers.trees import read_trees

OPENINGS = (
    "Why does the moon change its shape?",
    "Why do we have seasons?",
    "What makes the wind blow?",
    "Is ice a rock?",
)


def write_data(path: Path, dialogues: int = 16) -> Path:
    """Rated dialogues in the plain form; every fourth is rated 5."""
    rows = []
    for number in range(dialogues):
        opening = OPENINGS[number % 4]
        messages = [
            {"role": "student", "content": opening},
            {"role": "tutor", "content": f"What did you see, number {number}?"},
            {"role": "student", "content": "Not much."},
            {"role": "tutor", "content": f"Look again, and tell me {number} things."},
        ]
        rows.append({"messages": messages, "rating": float(2 + number % 4), "dimension": "Metacognition"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n", encoding="utf-8")
    return path


def settings(tmp_path: Path, **changes: Any) -> Config:
    """A training config on the tiny model, read from a file as a user's is."""
    model = tmp_path / "tiny"
    if not model.exists():
        build_model().save_pretrained(model)
        build_tokenizer().save_pretrained(model)
    data = {"path": str(write_data(tmp_path / "data.jsonl")), "validation": 0.25, **changes.pop("data", {})}
    training = {"objective": "sft", "quantization": "none", "workers": 0, "epochs": 2, **changes.pop("training", {})}
    content = {
        "name": "tuned",
        "kind": "train",
        "model": str(model),
        "data": data,
        "training": training,
        "run": {"folder": str(tmp_path / "runs")},
        **changes,
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def test_weights_are_those_of_the_highest_rating_reached() -> None:
    weights = {4.0: 1.5, 5.0: 2.0}
    assert [weight_of(score, weights) for score in (None, 3.5, 4.0, 4.5, 5.0)] == [1.0, 1.0, 1.5, 1.5, 2.0]


def test_openings_are_on_one_side_and_everything_is_accounted_for(tmp_path: Path) -> None:
    config = settings(tmp_path)
    prepared = prepare(config)
    sides = [{tree.messages[1]["content"] for tree in side} for side in (prepared.train, prepared.validation)]
    assert sides[0] | sides[1] == set(OPENINGS) and not sides[0] & sides[1]
    assert prepared.facts["dialogues"] == 16 and len(prepared.facts["bad_rows"]) == 1
    assert prepared.facts["bad_rows"][0]["line"] == 17
    assert {tree.weight for tree in prepared.train} <= {1.0, 2.0}
    assert sum(tree.weight == 2.0 for tree in (*prepared.train, *prepared.validation)) == 4


def test_low_rated_dialogues_are_left_out_and_counted(tmp_path: Path) -> None:
    prepared = prepare(settings(tmp_path, data={"min_effectiveness": 3.0}))
    assert sum(prepared.facts["left_out"].values()) + len(prepared.train) + len(prepared.validation) == 16
    with pytest.raises(InputError, match="lower data.min_effectiveness"):
        prepare(settings(tmp_path, data={"min_completeness": 3.0}))


@pytest.mark.long
def test_a_tutor_is_trained_on_a_file(tmp_path: Path) -> None:
    config = settings(tmp_path, training={"patience": 2, "weighting": "token"})
    result = train_on_data(config, None, None, Teller())
    folder = tmp_path / "runs" / "tuned"
    assert result.adapter == folder / "adapter" and (result.adapter / "adapter_model.safetensors").is_file()
    assert result.metrics["validation_best"] < result.metrics["validation"][0]["loss"] + 1e-9
    assert result.metrics["turns"] == 2 * len(read_trees(folder / "trees.jsonl"))
    stored = json.loads((folder / "result.json").read_text())
    assert stored["metrics"]["loss_last"] == result.metrics["loss_last"]
    assert json.loads((folder / "data.json").read_text())["bad_rows"]


@pytest.mark.long
def test_better_dialogues_are_set_against_worse_ones(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in write_data(tmp_path / "raw.jsonl").read_text().splitlines()[:-1]]
    for number, row in enumerate(rows):
        row["rating"] = 4.5 if number < 8 else 2.0
    path = tmp_path / "gaps.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = settings(tmp_path, data={"path": str(path), "use": "contrast"}, training={"objective": "simpo"})
    prepared = prepare(config)
    assert prepared.facts["train"]["contrasts"] == 6 and prepared.facts["validation"]["contrasts"] == 2
    assert all(tree.rival and tree.rival_gap == 2.5 for tree in prepared.train)
    result = train_on_data(config, None, None, Teller())
    assert result.metrics["pairs"] == 6 and result.metrics["objective"] == "simpo"


def test_rated_texts_have_three_sides(tmp_path: Path) -> None:
    config = settings(tmp_path, kind="scorer", scorer={}, data={"validation": 0.25})
    assert config.scorer is not None
    texts = rated_texts(config, config.scorer)
    groups = [{example.group for example in side} for side in (texts.train, texts.validation, texts.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert sum(len(side) for side in (texts.train, texts.validation, texts.test)) == 16
    with pytest.raises(InputError, match="did you mean 'effectiveness'"):
        rated_texts(config, config.scorer.model_copy(update={"rating": "efectiveness"}))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data": {"path": "nowhere.jsonl"}}, ("data.path", "nowhere.jsonl")),
        ({"data": {"use": "contrast"}}, ("data.use", "'sft'")),
        ({"training": {"objective": "dpo"}}, ("data.use", "'contrast'")),
        ({"training": {"patience": 2}, "data": {"validation": 0.0}}, ("training.patience", "data.validation")),
        ({"training": {"reward_gap": "offset"}}, ("training.reward_gap", "'weight'")),
        ({"training": {"attention": "flex"}}, ("training.attention", "CUDA")),
        ({"kind": "scorer"}, ("scorer: missing",)),
        ({"kind": "scorer", "scorer": {}, "data": {"validation": 0.6}}, ("data.validation", "0.5")),
        ({"kind": "run", "tutor": {"adapter": "nowhere"}}, ("tutor.adapter", "adapter_config.json")),
        ({"kind": "run", "scorer": {"path": "nowhere"}}, ("scorer.path", "scorer.json")),
        ({"kind": "run", "sweep": [{"name": "a", "reward": {}}]}, ("sweep", "loop")),
    ],
)
def test_bad_training_configs_are_refused(tmp_path: Path, changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        settings(tmp_path, **changes)
    for part in ("train.yaml", *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_weighs_nothing_is_refused(weight: float) -> None:
    """A step of such dialogues only would be a division by 0; below 0, training away from them."""
    with pytest.raises(ValidationError, match="rating_weights"):
        DataConfig(path="x", rating_weights={3.0: weight})
