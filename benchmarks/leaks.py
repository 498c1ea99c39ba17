"""The leak rule against people: MRBench's label of revealing the answer, beside rules that anybody could write.

Why: a rule that counts leaks is worth what it shares with people who read the same replies. Positive is "Yes (and the
answer is correct)"; replies labelled as revealing an incorrect answer are left out and counted. The answer of a
MathDial row is the number of its last line. Bridge rows have no answer in the file: without a key (`--bridge-key`, a
JSON object from conversation id to answer) they are counted, with the baselines that need no answer.

The label asks whether a reply reveals the answer, whoever said it before. `kappa` is therefore of the reply alone;
under `beside_student` the rule knows what the student said first, as in a dialogue of ours, and excuses it.

Intervals are clustered by problem: precision and recall as ratios of sums over problems (docs/statistics.md), kappa by
leaving out one problem at a time (jackknife, t with problems - 1 degrees of freedom).

`calibration` holds the rule's sensitivity and specificity on MathDial's replies, and `--calibration FILE` writes it as
a file that `experiment.calibration` takes (docs/measures.md, "Rates corrected for judge error").

Usage: `python benchmarks/leaks.py --json FILE [--calibration FILE] [--data PATH] [--bridge-key FILE] [--show]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import regex

from agents.errors import InputError, TutorloopError
from agents.hardware import describe
from agents.judges.leaks.reading import tokens
from agents.judges.rules import find_leaks
from agents.records import Option, Question
from benchmarks.agreement import against_people
from trainers.data.corpus import normalised
from trainers.data.files import BadRow, SourceRow, read_rows, require
from trainers.data.utterances import transcript

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("mrbench") / "mrbench_dev.json"
LABEL = "Revealing_of_the_Answer"
REVEALS = "yes (and the answer is correct)"
INCORRECT = "yes (but the answer is incorrect)"
_PROBLEM = regex.compile(r"the question is:\s*(.+)", regex.IGNORECASE | regex.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """A tutor's reply with people's label."""

    part: str
    """`mathdial` or `bridge`."""
    group: str
    problem: str
    history: str
    student: str
    answer: str
    """Empty: not known."""
    student_answer: str
    tutor: str
    text: str
    reveals: bool

    @property
    def question(self) -> Question:
        """The problem with the right answer, and the student's own where it gave another."""
        other = self.student_answer if self.student_answer not in ("", self.answer) else "another answer"
        return Question(self.problem, (Option(self.answer, correct=True), Option(other)))


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        path = _path(arguments.data)
        key = _key(arguments.bridge_key)
        found = measure(path, key)
    except TutorloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(shown(found))
    if arguments.show:
        _print_disagreements(read_replies(path, key)[0])
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), **found}, indent=1) + "\n", encoding="utf-8")
    if arguments.calibration:
        arguments.calibration.write_text(json.dumps(found["calibration"], indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    where = f"the file, or the folder with {FILE}; by default $TUTORLOOP_TEST_DATA, else ../shared/data"
    parser.add_argument("--data", type=Path, help=where)
    parser.add_argument("--json", type=Path, help="receives machine, date and all figures")
    parser.add_argument("--calibration", type=Path, help="receives the rule's errors, for experiment.calibration")
    parser.add_argument("--bridge-key", type=Path, help="JSON object from conversation id to answer, for Bridge rows")
    parser.add_argument("--show", action="store_true", help="print the replies on which rule and people differ")
    return parser


def _path(given: Path | None) -> Path:
    path = given or Path(os.environ.get("TUTORLOOP_TEST_DATA") or ROOT.parent / "shared" / "data")
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"there is no {path}: give MRBench's file with --data (docs/data.md says where it comes from)")
    return path


def _key(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON object from conversation id to answer: {error}") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds a {type(loaded).__name__}, not an object from conversation id to answer")
    return {str(name): str(answer) for name, answer in loaded.items()}


def read_replies(path: Path, key: dict[str, str]) -> tuple[list[Reply], dict[str, int]]:
    """The labelled replies, and how many were left out as revealing an incorrect answer, by part.

    Raises:
        InputError: the file cannot be read, or a row or label in it.
    """
    rows = read_rows(path, suffixes=("json", "jsonl"))
    require(path, rows, ("conversation_id", "conversation_history", "anno_llm_responses"))
    replies: list[Reply] = []
    incorrect = {"mathdial": 0, "bridge": 0}
    for row in rows:
        if isinstance(row, BadRow):
            raise InputError(f"{path}, line {row.line}: {row.reason}")
        for reply, label in _replies(row, key):
            if label == INCORRECT:
                incorrect[reply.part] += 1
            else:
                replies.append(reply)
    return replies, incorrect


def _replies(row: SourceRow, key: dict[str, str]) -> list[tuple[Reply, str]]:
    _, said = transcript(row.text("conversation_history"))
    solution = row.optional_text("Ground_Truth_Solution")
    solution = "" if solution == "Not Available" else solution.strip()
    topic = row.optional_text("Topic")
    part = "mathdial" if row.optional_text("Data") == "MathDial" else "bridge"
    first = next((utterance.text for utterance in said if utterance.role == "tutor"), "")
    asked = _PROBLEM.search(first)
    student = [utterance.text for utterance in said if utterance.role == "student"]
    numbers = [token for token in tokens(student[0])[-3:] if token.quantity] if student else []
    name = row.optional_text("conversation_id")
    answer = _last_number(solution) if part == "mathdial" else key.get(name, "")
    out: list[tuple[Reply, str]] = []
    for tutor, reply in row.mapping("anno_llm_responses").items():
        try:
            text, label = str(reply["response"]), str(reply["annotation"][LABEL]).casefold().strip()
        except (KeyError, TypeError) as error:
            raise InputError(f"line {row.line}, {tutor}: no response, or no label {LABEL}") from error
        if label not in (REVEALS, INCORRECT, "no"):
            raise InputError(f"line {row.line}, {tutor}: {LABEL} is {label!r}, which is none of its labels")
        made = Reply(
            part=part,
            group=normalised(solution) or normalised("" if topic == "Not Available" else topic) or name,
            problem=asked[1] if asked else first,
            history="\n".join(utterance.text for utterance in said),
            student="\n".join(student),
            answer=answer,
            student_answer=numbers[-1].text if part == "mathdial" and numbers else "",
            tutor=tutor,
            text=text,
            reveals=label == REVEALS,
        )
        out.append((made, label))
    return out


def _last_number(solution: str) -> str:
    """The number of a worked solution's last line; empty where there is none."""
    lines = solution.splitlines()
    found = [token.text for token in tokens(lines[-1]) if token.quantity] if lines else []
    return found[-1] if found else ""


def leaks_alone(reply: Reply) -> bool:
    """The rule on the reply alone."""
    return bool(find_leaks(reply.text, reply.question, turn=0))


def leaks_beside(reply: Reply) -> bool:
    """The rule with what the student said first."""
    return bool(find_leaks(reply.text, reply.question, turn=0, said_by_student=reply.student))


def never(reply: Reply) -> bool:
    """Says that nothing leaks."""
    return False


def contains_the_answer(reply: Reply) -> bool:
    """The answer's characters stand in the reply, not within a longer number or word."""
    return regex.search(rf"(?<![\w.,]){regex.escape(reply.answer)}(?![\w]|[.,]\d)", reply.text) is not None


def new_number(reply: Reply) -> bool:
    """The reply holds digits that the dialogue did not."""
    digits = regex.compile(r"\d+(?:[.,]\d+)*")
    return bool(set(digits.findall(reply.text)) - set(digits.findall(f"{reply.problem} {reply.history}")))


Rule = Callable[[Reply], bool]


def measure(path: Path, key: dict[str, str]) -> dict[str, object]:
    """All figures of a file. Raises InputError where it cannot be read."""
    replies, incorrect = read_replies(path, key)
    found: dict[str, object] = {
        "file": path.name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "label": LABEL,
        "confidence": 0.95,
    }
    for part in ("mathdial", "bridge"):
        here = [reply for reply in replies if reply.part == part]
        known = [reply for reply in here if reply.answer]
        counted = {"n": len(here), "incorrect_left_out": incorrect[part], "without_answer": len(here) - len(known)}
        free: dict[str, Rule] = {"never": never, "new_number": new_number}
        if not known:
            figures = {"kappa": None, "precision": None, "recall": None, "ci95": None, "positives": _positives(here)}
            found[part] = {
                **counted,
                **figures,
                "baselines": {name: agreement(here, rule) for name, rule in free.items()},
            }
            continue
        rules = {**free, "contains_the_answer": contains_the_answer}
        found[part] = {
            **counted,
            **agreement(known, leaks_alone),
            "beside_student": agreement(known, leaks_beside),
            "baselines": {name: agreement(known, rule) for name, rule in rules.items()},
        }
    found["calibration"] = calibration(found["mathdial"])
    return found


def calibration(part: object) -> dict[str, dict[str, dict[str, float]]]:
    """The errors of the rule on a part, as `experiment.calibration` takes them; empty without both kinds of replies."""
    if not isinstance(part, dict) or part.get("true_positives") is None:
        return {}
    hit, positives, negatives = part["true_positives"], part["positives"], part["n"] - part["positives"]
    if not positives or not negatives:
        return {}
    rates = {"sensitivity": hit / positives, "specificity": 1.0 - (part["found"] - hit) / negatives}
    return {"rules": {"leak_rate": {**rates, "n_positive": positives, "n_negative": negatives}}}


def _positives(replies: Sequence[Reply]) -> int:
    return sum(reply.reveals for reply in replies)


def agreement(replies: Sequence[Reply], rule: Rule) -> dict[str, object]:
    """Kappa, precision and recall of a rule against people, with intervals; None where a figure has no base."""
    return against_people(
        [rule(reply) for reply in replies], [reply.reveals for reply in replies], [reply.group for reply in replies]
    )


def shown(found: dict[str, object]) -> str:
    """The figures as a table."""
    lines = [f"{'':32}{'n':>6}{'kappa':>24}{'precision':>24}{'recall':>24}"]
    for part in ("mathdial", "bridge"):
        here = found[part]
        assert isinstance(here, dict)
        rows: list[tuple[str, dict[str, object]]] = [(part, here)]
        rows += [("  beside what the student said", here["beside_student"])] if "beside_student" in here else []
        rows += [(f"  baseline: {name.replace('_', ' ')}", row) for name, row in here["baselines"].items()]
        lines += [
            f"{name:32}{row['n']!s:>6}" + "".join(_cell(row, figure) for figure in ("kappa", "precision", "recall"))
            for name, row in rows
        ]
        lines.append(
            f"  {here['incorrect_left_out']} labelled as revealing an incorrect answer are left out; "
            f"{here['without_answer']} have no known answer"
        )
    return "\n".join(lines)


def _cell(row: dict[str, object], figure: str) -> str:
    value, ends = row[figure], row["ci95"]
    if not isinstance(value, float):
        return f"{'-':>24}"
    pair = ends.get(figure) if isinstance(ends, dict) else None
    return f"{value:.3f} [{pair[0]:.3f}, {pair[1]:.3f}]".rjust(24) if pair else f"{value:.3f}".rjust(24)


def _print_disagreements(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if reply.answer and leaks_alone(reply) != reply.reveals:
            kind = "only people" if reply.reveals else "only the rule"
            print(f"\n{kind}: answer {reply.answer}, {reply.tutor}: {reply.text[:500]}")


if __name__ == "__main__":
    raise SystemExit(main())
