"""`benchmarks/questions.py`: labels become figures, a bad path an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.questions import Said, main, measure, read_turns

ROWS = [
    {
        "qid": number,
        "question": "Ana has 3 bags of 4 nuts. How many nuts does Ana have?",
        "student_profile": "p",
        "student_incorrect_solution": "7",
        "conversation": "|EOM|".join(
            (
                "Teacher: (generic)Hi!",
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
    turns, left_out = read_turns(path)
    assert left_out == 4 and [(one.leads, one.asks) for one in turns[:3]] == [
        (True, True),
        (True, False),
        (False, False),
    ]
    out = tmp_path / "out.json"
    assert main(["--data", str(path), "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["rule"]["n"] == 12 and found["rule"]["precision"] == 1.0 and found["rule"]["recall"] == 0.5
    assert found["question_mark"]["recall"] == 1.0 and found["machine"]["cores"] >= 1


def test_agreement_by_chance_is_0() -> None:
    turns = [Said(str(i % 5), "What?" if i % 2 else "So.", i % 4 < 2, bool(i % 2)) for i in range(40)]
    assert measure(turns)["rule"]["kappa"] == pytest.approx(0.0)  # type: ignore[index]


def test_no_data_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert "give MathDial's file with --data" in capsys.readouterr().err
