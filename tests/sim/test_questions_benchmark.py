"""`benchmarks/questions.py`: labels become figures, a bad path an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.agreement import difference
from benchmarks.questions import CONTRASTS, LEADS, Said, main, measure, read_turns

ROWS = [
    {
        "qid": number,
        "question": "Ana has 3 bags of 4 nuts. How many nuts does Ana have?",
        "student_profile": "p",
        "student_incorrect_solution": "7",
        "conversation": "|EOM|".join(
            (
                "Teacher: (generic)Hi, could you please walk me through your solution?",
                "Student: 7 nuts.",
                "Teacher: (probing)How did you get 7 nuts?",
                "Student: 3 + 4.",
                "Teacher: (focus)Ready?",
                "Student: Yes.",
                "Teacher: (telling)Each bag has 4 nuts.",
                "Student: 12.",
            )
        ),
    }
    for number in range(4)
]


def test_turns_that_lead_on_are_set_against_turns_that_tell(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    assert [(*one.labels, one.asks) for one in read_turns(path)[:4]] == [
        ("generic", False),
        ("probing", True),
        ("focus", False),
        ("telling", False),
    ]
    out = tmp_path / "out.json"
    assert main(["--data", str(path), "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    telling, generic, bridge = (found["question"][name] for name in ("telling", "telling_generic", "bridge"))
    assert telling["rule"]["n"] == 12 and telling["left_out"] == 4 and telling["rule"]["recall"] == 0.5
    assert (
        generic["rule"]["n"] == 16 and generic["kappa"] == generic["bare_kappa"] == 0.5 and generic["difference_ci95"]
    )
    assert bridge["kappa"] is None and bridge["difference_ci95"] is None and found["machine"]["cores"] >= 1


def test_agreement_by_chance_is_0() -> None:
    turns = [
        Said(str(i % 5), "What?" if i % 2 else "So.", frozenset({"focus" if i % 4 < 2 else "telling"}), bool(i % 2))
        for i in range(40)
    ]
    found = measure(turns, LEADS, CONTRASTS["telling"])
    assert found["kappa"] == pytest.approx(0.0) and found["difference"] == 0.0


def test_the_difference_of_two_rules_has_an_interval_by_problem() -> None:
    labels = [number % 2 == 0 for number in range(40)]
    other = [number % 4 == 0 for number in range(40)]
    apart = difference(labels, other, labels, [str(number // 4) for number in range(40)])
    assert apart == {"difference": pytest.approx(0.5), "ci95": pytest.approx([0.5, 0.5])}
    assert difference(labels, other, labels, ["one"] * 40)["ci95"] is None


def test_no_data_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert "give MathDial's file with --data" in capsys.readouterr().err
