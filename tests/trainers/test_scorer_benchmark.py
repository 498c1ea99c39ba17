"""The scorer's benchmark on a small file of MRBench's shape: it learns, resumes, reports and saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401
from test_scorer_fit import REPLIES

from benchmarks.scorer import data_file, fold_of, labelled, main, table
from trainers.scorer.scorer import load_scorer

LABELS = {0.0: "No", 0.5: "To some extent", 1.0: "Yes"}


def write_rows(folder: Path) -> Path:
    """Forty rows on twenty problems, three replies each; what a reply is worth can be read off its words."""
    rows: list[dict[str, Any]] = []
    for number in range(40):
        word = ("rain", "sun", "moon", "rock")[number % 4]
        replies = {
            f"tutor {rating}": {"response": text.format(word), "annotation": {"Providing_Guidance": LABELS[rating]}}
            for rating, text in REPLIES.items()
        }
        rows.append(
            {
                "conversation_id": f"{number}",
                "conversation_history": f"Tutor: hello\nStudent: why {word} {number} ?",
                "Ground_Truth_Solution": f"solution {number // 2}",
                "Topic": "Not Available",
                "anno_llm_responses": replies,
            }
        )
    (folder / "mrbench").mkdir(parents=True)
    path = folder / "mrbench" / "mrbench_dev.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.long
def test_the_benchmark_learns_resumes_reports_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "data")
    encoder = save_encoder(tmp_path / "encoder")
    call = [str(tmp_path / "data"), "--encoder", encoder, "--frozen-layers", "0", "--max-tokens", "32", "--folds", "2"]
    call += ["--kind", "encoder", "--label", "Providing_Guidance"]
    call += [
        "--epochs",
        "10",
        "--learning-rate",
        "3e-3",
        "--batch-size",
        "4",
        "--threads",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    call += ["--json", str(tmp_path / "figures" / "a.json")]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "120 replies in 20 groups, the largest of 6; labels 0: 40, 0.5: 40, 1: 40" in said
    assert "fold 2/2 epoch" in said and "at most 0.0 min left" in said and "difference" in said
    result = json.loads((tmp_path / "figures" / "a.json").read_text(encoding="utf-8"))
    report = result["reports"]["Providing_Guidance"]
    exact = report["metrics"]["exact"]
    assert exact["scorer"]["value"] > 0.8 and exact["difference"]["low"] > 0 and exact["scorer"]["n"] == 120
    assert report["corpus"] == f"MRBench ({path.name}): Providing_Guidance"
    assert result["machine"]["cores"] >= 1 and result["date"].endswith("+00:00") and result["epochs_in_this_call"] > 2
    assert main([*call, "--save", str(tmp_path / "final")]) == 0
    again = json.loads((tmp_path / "figures" / "a.json").read_text(encoding="utf-8"))
    assert again["epochs_in_this_call"] == 0 and again["reports"] == result["reports"]
    final = load_scorer(tmp_path / "final")
    trained_on = final.about["trained_on"]
    assert trained_on["n"] + trained_on["n_validation"] == 120 and trained_on["n_validation"] >= 18
    ask, tell = (score.expected for score in final.score(["Tutor: what do you think x ?", "Tutor: the answer is x"]))
    assert ask > tell
    assert main([*call, "--seed", "1"]) == 1 and "belongs to other" in capsys.readouterr().err


def test_words_are_the_default_and_both_labels_are_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "data")
    rows = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        for reply in row["anno_llm_responses"].values():
            reply["annotation"]["Actionability"] = reply["annotation"]["Providing_Guidance"]
    path.write_text(json.dumps(rows), encoding="utf-8")
    call = [str(path), "--folds", "2", "--threads", "1", "--json", str(tmp_path / "a.json")]
    assert main([*call, "--out", str(tmp_path / "out")]) == 2
    assert "--save and --out are for one label, and 2 are tried" in capsys.readouterr().err
    one = ["--label", "actionability", "--out", str(tmp_path / "out"), "--save", str(tmp_path / "final")]
    assert main([*call, *one]) == 0
    assert "saved" in capsys.readouterr().out and load_scorer(tmp_path / "final").about["trained_on"]["n"] == 120
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["scorer"]
    # The words tell all there is to know here, so the scorer cannot be better than they are, and the report says so.
    assert found["actionability"]["kappa"] == found["actionability"]["baseline_kappa"] == 1.0
    assert found["actionability"]["difference_ci95"] == [0.0, 0.0] and found["actionability"]["problems"] == 20
    report = cross_report(tmp_path / "out")
    assert "is not shown to beat TF-IDF" in report["warning"] and report["warning"] in table(report)


def cross_report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.mark.long
def test_on_people_s_labels_the_baseline_is_what_it_was_and_words_beat_it(tmp_path: Path) -> None:
    path = data_file(None)
    if not path.is_file():
        pytest.skip(f"no {path}; give the folder of MRBench's file in TUTORLOOP_TEST_DATA")
    for label, kappa, exact in (("Providing_Guidance", 0.387, 0.626), ("Actionability", 0.480, 0.694)):
        out = tmp_path / label
        assert main([str(path), "--label", label, "--threads", "1", "--out", str(out)]) == 0
        metrics = cross_report(out)["metrics"]
        if metrics["kappa"]["scorer"]["n"] == 950:  # the figures of the file that they were measured on
            assert metrics["kappa"]["baseline"]["value"] == pytest.approx(kappa, abs=0.03)
            assert metrics["exact"]["baseline"]["value"] == pytest.approx(exact, abs=0.03)
        assert metrics["kappa"]["over_baseline"]["low"] > 0 and not cross_report(out)["warning"]


def test_a_problem_is_in_one_fold_and_a_wrong_label_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path)
    dialogues = [dialogue for dialogue, _ in labelled(path, "providing_guidance")]
    placed = fold_of(dialogues, 3, 0)
    pairs = {(dialogue.spec.item_id, fold) for dialogue, fold in zip(dialogues, placed, strict=True)}
    assert len(pairs) == 20 and {fold for _, fold in pairs} == {0, 1, 2}
    assert main([str(path), "--label", "Guidance"]) == 2
    assert "no reply" in capsys.readouterr().err.lower()
    monkeypatch.setenv("TUTORLOOP_TEST_DATA", str(tmp_path))
    assert data_file(None) == path == data_file(path)
