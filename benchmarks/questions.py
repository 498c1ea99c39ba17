"""The question rule against people: MathDial's acts, beside a bare question mark.

Why: teachers marked each of their turns when they wrote it. A turn that probes or focuses leads the student on, a turn
that tells does not, so a rule for real questions should tell the two apart. The labels are about moves and not about
questions (a teacher can probe without a question mark), so agreement has a ceiling; what counts is that the rule is
worth more than what it replaced. Generic turns ("Hi, please explain your solution") and turns of several acts are left
out and counted.

Intervals are clustered by problem (`qid`).

Usage: `python benchmarks/questions.py --json FILE [--data PATH] [--show]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.errors import InputError, TutorloopError
from agents.hardware import describe
from agents.judges.rules import asks
from agents.records import Dialogue, Item, Option, Question
from benchmarks.agreement import against_people
from trainers.data.mathdial import read_mathdial

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("mathdial") / "mathdial_dev.jsonl"
LEADS = frozenset({"probing", "focus"})


@dataclass(frozen=True, slots=True)
class Said:
    """A teacher's turn with its label."""

    group: str
    text: str
    leads: bool
    asks: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    where = f"the file, or the folder with {FILE}; by default $TUTORLOOP_TEST_DATA, else ../shared/data"
    parser.add_argument("--data", type=Path, help=where)
    parser.add_argument("--json", type=Path, help="receives machine, date and all figures")
    parser.add_argument("--show", action="store_true", help="print the turns on which rule and people differ")
    arguments = parser.parse_args(argv)
    try:
        turns, left_out = read_turns(_path(arguments.data))
    except TutorloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    found = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "left_out": left_out, **measure(turns)}
    for name in ("rule", "question_mark"):
        print(f"{name:14} {found[name]}")
    if arguments.show:
        for one in turns:
            if one.asks != one.leads:
                print(f"\n{'only people' if one.leads else 'only the rule'}: {one.text[:400]}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), **found}, indent=1) + "\n", encoding="utf-8")
    return 0


def _path(given: Path | None) -> Path:
    path = given or Path(os.environ.get("TUTORLOOP_TEST_DATA") or ROOT.parent / "shared" / "data")
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(
            f"there is no {path}: give MathDial's file with --data (docs/data.md says where it comes from)"
        )
    return path


def measure(turns: Sequence[Said]) -> dict[str, object]:
    """Agreement of the rule, and of a question mark anywhere in the turn."""
    labels, groups = [one.leads for one in turns], [one.group for one in turns]
    return {
        "rule": against_people([one.asks for one in turns], labels, groups),
        "question_mark": against_people(["?" in one.text for one in turns], labels, groups),
    }


def read_turns(path: Path) -> tuple[list[Said], int]:
    """The turns that lead on or tell, and how many were neither or both. Raises InputError where it cannot be read."""
    turns: list[Said] = []
    left_out = 0
    for dialogue in read_mathdial(path).dialogues:
        found, others = _turns(dialogue)
        turns += found
        left_out += others
    return turns, left_out


def _turns(dialogue: Dialogue) -> tuple[list[Said], int]:
    problem = dialogue.spec.strategy_settings.get("problem", "")
    question = Question(problem, (Option("right", correct=True), Option("wrong")))
    item = Item(dialogue.spec.item_id, "", "", (), problem, question, question)
    acts = {verdict.turn: set(verdict.votes) for verdict in dialogue.verdicts if verdict.name == "act"}
    said: list[str] = []
    turns: list[Said] = []
    for turn in dialogue.turns:
        votes = acts.get(turn.index, set()) if turn.role == "tutor" else set()
        if votes and (votes <= LEADS or votes == {"telling"}):
            real = bool(asks(turn.text, item, said))
            turns.append(Said(dialogue.spec.item_id, turn.text, votes <= LEADS, real))
        said.append(turn.text)
    return turns, sum(turn.index in acts for turn in dialogue.tutor_turns) - len(turns)


if __name__ == "__main__":
    raise SystemExit(main())
