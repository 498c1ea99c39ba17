"""The question rule against people: MathDial's acts and Bridge's strategies, beside a bare question mark.

Why: teachers marked each of their turns when they wrote it. A turn that probes or focuses leads the student on, one
that tells does not, and a generic one ("Hi, please explain your solution", "Well done") says nothing of this problem.
So a rule for real questions should tell the first two from telling, and from telling and generic. The labels are about
moves and not about questions (a teacher can focus with a plain reminder), so agreement has a ceiling; what counts is
that the rule is worth more than a question mark, which whoever is rewarded by it puts behind "Ready". Turns of several
acts are left out and counted. In Bridge an experienced teacher named the strategy of the reply: asking or simplifying a
question against every other of the scheme. Its problems are not in the file: the lesson's title and what was said
before stand for the item there.

Intervals are clustered by problem (`qid`), in Bridge by session.

Usage: `python benchmarks/questions.py --json FILE [--data FOLDER] [--show]`.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.errors import InputError, TutorloopError
from agents.hardware import describe
from agents.judges.rules import asks
from agents.records import Dialogue, Item, Option, Question
from benchmarks.agreement import against_people, difference
from trainers.data.bridge import STRATEGIES, read_bridge
from trainers.data.mathdial import read_mathdial

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("mathdial") / "mathdial_dev.jsonl"
BRIDGE = Path("bridge") / "train.json"
LEADS = frozenset({"probing", "focus"})
CONTRASTS = {"telling": frozenset({"telling"}), "telling_generic": frozenset({"telling", "generic"})}
ASKING = frozenset({"ask_question", "simplify_question"})


@dataclass(frozen=True, slots=True)
class Said:
    """A tutor's turn with people's labels."""

    group: str
    text: str
    labels: frozenset[str]
    asks: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    where = (
        f"the folder with {FILE} and, if it is there, {BRIDGE}; by default $TUTORLOOP_TEST_DATA, else ../shared/data"
    )
    parser.add_argument("--data", type=Path, help=f"MathDial's file, or {where}")
    parser.add_argument("--json", type=Path, help="receives machine, date and all figures")
    parser.add_argument("--show", action="store_true", help="print the turns on which rule and people differ")
    arguments = parser.parse_args(argv)
    try:
        path = _path(arguments.data)
        turns = read_turns(path)
        bridge = path.parent.parent / BRIDGE
        rewrites = read_rewrites(bridge) if bridge.is_file() else []
    except TutorloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    found = {"question": {name: measure(turns, LEADS, against) for name, against in CONTRASTS.items()}}
    found["question"]["bridge"] = measure(rewrites, ASKING, STRATEGIES - ASKING)
    for name, figures in found["question"].items():
        print(f"{name:16} {figures}")
    if arguments.show:
        for one in turns:
            if one.labels <= LEADS or one.labels <= CONTRASTS["telling_generic"]:
                if one.asks != (one.labels <= LEADS):
                    print(f"\n{'only the rule' if one.asks else 'only people'} {sorted(one.labels)}: {one.text[:400]}")
    if arguments.json:
        about = {"machine": describe(), "date": datetime.now(UTC).strftime("%Y-%m-%d")}
        arguments.json.write_text(json.dumps({**about, **found}, indent=1) + "\n", encoding="utf-8")
    return 0


def _path(given: Path | None) -> Path:
    path = given or Path(os.environ.get("TUTORLOOP_TEST_DATA") or ROOT.parent / "shared" / "data")
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(
            f"there is no {path}: give MathDial's file with --data (docs/data.md says where it comes from)"
        )
    return path


def measure(turns: Sequence[Said], positive: frozenset[str], negative: frozenset[str]) -> dict[str, object]:
    """Agreement of the rule and of a question mark anywhere in the turn; turns with other labels are left out."""
    kept = [one for one in turns if one.labels and (one.labels <= positive or one.labels <= negative)]
    labels, groups = [one.labels <= positive for one in kept], [one.group for one in kept]
    rule, bare = [one.asks for one in kept], ["?" in one.text for one in kept]
    found, beside = against_people(rule, labels, groups), against_people(bare, labels, groups)
    more = difference(rule, bare, labels, groups) if kept else {"difference": None, "ci95": None}
    return {
        "kappa": found["kappa"],
        "bare_kappa": beside["kappa"],
        "difference": more["difference"],
        "difference_ci95": more["ci95"],
        "left_out": len(turns) - len(kept),
        "rule": found,
        "question_mark": beside,
    }


def read_turns(path: Path) -> list[Said]:
    """MathDial's teachers' turns with their acts. Raises InputError where it cannot be read."""
    return [one for dialogue in read_mathdial(path).dialogues for one in _turns(dialogue, "act", "problem")]


def read_rewrites(path: Path) -> list[Said]:
    """Bridge's replies by experienced teachers with the strategy that they named. Raises InputError."""
    return [one for dialogue in read_bridge(path).dialogues for one in _turns(dialogue, "strategy", "topic")]


def _turns(dialogue: Dialogue, label: str, about: str) -> list[Said]:
    settings = dialogue.spec.strategy_settings
    text = settings.get(about, "")
    if about == "topic":
        text = "\n".join([text, *(turn.text for turn in dialogue.turns[:-1])])
    question = Question(text, (Option("right", correct=True), Option("wrong")))
    item = Item(dialogue.spec.item_id, "", "", (), question.text, question, question)
    labels = {verdict.turn: frozenset(verdict.votes) for verdict in dialogue.verdicts if verdict.name == label}
    said: list[str] = []
    heard: list[str] = []
    turns: list[Said] = []
    for turn in dialogue.turns:
        if turn.role == "tutor" and labels.get(turn.index):
            asked = bool(asks(turn.text, item, said, heard))
            turns.append(Said(dialogue.spec.item_id, turn.text, labels[turn.index], asked))
        said.append(turn.text)
        if turn.role != "tutor":
            heard.append(turn.text)
    return turns


if __name__ == "__main__":
    raise SystemExit(main())
