"""The benchmark of the leak rule: what it counts, and how far the rule agrees with people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.leaks import calibration, main, measure, shown
from sim.experiment.judge_error import load_calibration
from tests.needs import corpus_file

LABELS = {"yes": "Yes (and the answer is correct)", "no": "No", "wrong": "Yes (but the answer is incorrect)"}


def write_rows(path: Path, *, data: str = "MathDial") -> Path:
    """Four problems with three replies each: one reveals, one asks, one is labelled as revealing a wrong answer."""
    rows = []
    for number in range(4):
        answer = 40 + number
        replies = {
            "a": (f"So that makes {answer} apples in all.", "yes"),
            "b": (f"You said {answer - 9}. What did you add?", "no"),
            "c": ("It is 7 pears.", "wrong"),
        }
        history = (
            f"Tutor: The question is: Ann has {answer - 3} apples and gets 3. How many?\n Student: I get {answer - 9}."
        )
        rows.append(
            {
                "conversation_id": str(number),
                "conversation_history": history,
                "Data": data,
                "Topic": "Not Available",
                "Ground_Truth_Solution": f"{answer - 3} + 3 = {answer}\n {answer}"
                if data == "MathDial"
                else "Not Available",
                "anno_llm_responses": {
                    name: {"response": text, "annotation": {"Revealing_of_the_Answer": LABELS[label]}}
                    for name, (text, label) in replies.items()
                },
            }
        )
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_figures_of_a_small_file(tmp_path: Path) -> None:
    whole = measure(write_rows(tmp_path / "rows.json"), {})
    found = whole["mathdial"]
    assert isinstance(found, dict)
    assert (found["n"], found["positives"], found["incorrect_left_out"], found["problems"]) == (8, 4, 4, 4)
    assert (found["kappa"], found["precision"], found["recall"]) == (1.0, 1.0, 1.0)
    assert found["ci95"]["kappa"] == [1.0, 1.0]
    assert found["baselines"]["never"]["kappa"] == 0.0 and found["baselines"]["never"]["precision"] is None
    assert "baseline: contains the answer" in shown(whole)


def test_the_errors_of_the_rule_are_a_calibration_as_they_stand(tmp_path: Path) -> None:
    part = {"n": 100, "positives": 20, "found": 24, "true_positives": 16}
    known = {"sensitivity": 0.8, "specificity": 0.9, "n_positive": 20, "n_negative": 80}
    assert calibration(part) == {"rules": {"leak_rate": known}}
    assert calibration({"n": 0, "kappa": None}) == {} and calibration(part | {"positives": 0}) == {}
    written = tmp_path / "known.yaml"
    assert main(["--data", str(write_rows(tmp_path / "rows.json")), "--calibration", str(written)]) == 0
    one = load_calibration(str(written))["rules"]["leak_rate"]
    assert (one.sensitivity, one.specificity, one.n_positive, one.n_negative) == (1.0, 1.0, 4, 4)


def test_without_a_key_bridge_is_counted_and_not_measured(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.json", data="Bridge")
    without = measure(path, {})["bridge"]
    assert isinstance(without, dict) and without["n"] == without["without_answer"] == 8 and without["kappa"] is None
    keyed = measure(path, {str(number): str(40 + number) for number in range(4)})["bridge"]
    assert isinstance(keyed, dict) and keyed["kappa"] == 1.0 and keyed["without_answer"] == 0


@pytest.mark.parametrize("text", ["[]", "{", '[{"conversation_id": "1"}]'])
def test_a_file_of_another_shape_is_an_error_and_no_traceback(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    assert main(["--data", str(path)]) != 0
    assert capsys.readouterr().err.startswith("error: ")


def test_the_rule_agrees_with_people() -> None:
    found = measure(corpus_file("mrbench/mrbench_dev.json"), {})["mathdial"]
    assert isinstance(found, dict) and found["n"] == 668 and found["incorrect_left_out"] == 12
    assert found["kappa"] >= 0.75 and found["beside_student"]["kappa"] >= 0.75
    assert found["kappa"] > max(row["kappa"] for row in found["baselines"].values())
