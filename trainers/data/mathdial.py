"""MathDial: whole dialogues between a teacher and a student played by a language model (Macina et al., EMNLP 2023).

Turns are separated by `|EOM|`. A teacher's turn begins with an act in brackets, which becomes a verdict `act` on the
turn (several votes where turns were merged), and `pass` there means no more than that it is a label. The teacher's
answers become verdicts on the dialogue: `self_correctness` scores 1 (Yes), 0.5 (the answer had to be
revealed) or 0 (No) and passes at 1; `typical_confusion` and `typical_interactions` (1 to 5) rate the simulated student,
not the teaching, so they always pass. Dialogues are grouped by problem (`qid`).

A student's label may be a first name: any one word with a capital that is not the teacher's label counts. Counted
besides: `named_labels` (such messages), `unlabelled` (messages without a label, joined to what was said before), and
`unrated` (dialogues without the teacher's answers, which the source has).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agents.records import Verdict
from trainers.data.corpus import Collector, Corpus, Draft
from trainers.data.files import BadRow, RowError, SourceRow, read_rows, require
from trainers.data.utterances import LABELS, Said, Utterance, clean, tidy

NAME = "mathdial"
_COLUMNS = ("qid", "question", "conversation")
_SEPARATOR = "|EOM|"
_MESSAGE = re.compile(r"([A-Z][\w'’-]*)\s*:\s*(.*)", re.DOTALL)
_ACT = re.compile(r"\((focus|probing|generic|telling)\)\s*")
_CORRECTNESS = {"Yes": 1.0, "Yes, but I had to reveal the answer": 0.5, "No": 0.0}
_RATINGS = {"self-typical-confusion": "typical_confusion", "self-typical-interactions": "typical_interactions"}


def read_mathdial(path: Path) -> Corpus:
    """Reads MathDial from JSON Lines, a JSON array or Parquet.

    Raises:
        InputError: the file cannot be read or lacks the problem or the conversation.
    """
    rows = read_rows(path, suffixes=("jsonl", "json", "parquet"))
    require(path, rows, _COLUMNS)
    collector = Collector(NAME)
    for row in rows:
        if isinstance(row, BadRow):
            collector.reject(row)
            continue
        with collector.row(row.line):
            messages = list(_messages(row.text("conversation")))
            said = tidy(utterance for utterance, _ in messages)
            verdicts = tuple(_verdicts(row))
            collector.add(_draft(row, said, verdicts))
            for kind in (kind for _, kind in messages if kind):
                collector.notes[kind] += 1
            collector.notes["unrated"] += not verdicts
    return collector.corpus()


def _draft(row: SourceRow, said: Said, verdicts: tuple[Verdict, ...]) -> Draft:
    group = row.optional_text("qid")
    if not group:
        raise RowError("qid is missing, so the problem that groups the dialogue is not known")
    acts = (Verdict(NAME, "act", "pass", turn=turn, votes=votes) for turn, votes in said.notes.items())
    profile = row.optional_text("student_profile")
    return Draft(
        said,
        group=group,
        verdicts=(*verdicts, *acts),
        settings={"problem": clean(row.optional_text("question"))},
        student=f"{group} {profile} {row.optional_text('student_incorrect_solution')}",
        persona="simulated",
    )


def _messages(conversation: str) -> Iterator[tuple[Utterance, str]]:
    """Each message, and the name of what is unusual about its label."""
    before: Utterance | None = None
    for part in clean(conversation).split(_SEPARATOR):
        found = _MESSAGE.fullmatch(part.strip())
        if found is None:
            if before is None and part.strip():
                raise RowError(f"conversation begins without a label: {part[:40]!r}")
            unusual = "unlabelled" if part.strip() else ""
            before = Utterance(before.role if before else "tutor", part)
        else:
            unusual = "" if found[1] in LABELS else "named_labels"
            role = LABELS.get(found[1], "student")
            act = _ACT.match(found[2]) if role == "tutor" else None
            before = Utterance(role, found[2][act.end() :] if act else found[2], act[1] if act else "")
        yield before, unusual


def _verdicts(row: SourceRow) -> Iterator[Verdict]:
    """What the teacher answered afterwards; an answer that is null gives no verdict."""
    label = row.optional_text("self-correctness")
    if label:
        if label not in _CORRECTNESS:
            raise RowError(f"self-correctness is {label!r}, not one of {', '.join(map(repr, _CORRECTNESS))}")
        score = _CORRECTNESS[label]
        yield Verdict(NAME, "self_correctness", "pass" if score == 1 else "fail", score, votes=(label,))
    for column, name in _RATINGS.items():
        if row.get(column) is not None:
            yield Verdict(NAME, name, "pass", row.rating(column, 1, 5))
