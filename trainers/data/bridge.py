"""Bridge: snippets of real chat tutoring with an experienced teacher's rewrite of what the novice wrote next.

A dialogue is the history and, as its last turn, the expert's rewrite (Wang et al., NAACL 2024). Both replies are kept
as that turn's candidates, the expert's with reward 1 and the novice's with reward 0: the expert was asked to write what
should have been said instead, so this is a human preference between two replies to the same messages. The continuation
that the expert imagined is left out: no student said it.

The expert's diagnosis becomes verdicts with the label as the vote and no score: `error` on the student's last turn,
`strategy` and `intention` on the tutor's; `pass` for one of the scheme's values, `invalid` for free text, which
annotators wrote where no value fitted. Snippets are grouped by session; the student is real. Counted besides:
`no_novice_reply` (nothing to compare the rewrite with).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.records import Candidate, Role, Verdict
from trainers.data.corpus import Collector, Corpus, Draft
from trainers.data.files import BadRow, RowError, SourceRow, read_rows, require
from trainers.data.utterances import Said, Utterance, clean, tidy

NAME = "bridge"
_COLUMNS = ("c_id", "c_h", "c_r", "c_r_", "e", "z_what", "z_why")
_USERS: dict[str, Role] = {"tutor": "tutor", "student": "student"}
_VALUES = {
    "error": frozenset({"guess", "right-idea", "diagnose", "careless", "misinterpret", "imprecise"}),
    "strategy": frozenset(
        {
            "ask_question",
            "explain_concept",
            "provide_hint",
            "provide_strategy",
            "simplify_question",
            "provide_similar_problem",
            "provide_correction",
            "affirm_correct_answer",
            "encourage_student",
            "provide_example",
        }
    ),
    "intention": frozenset(
        {
            "understand_topic",
            "hint_mistake",
            "clarify_misunderstanding",
            "elaborate_answer",
            "correct_mistake",
            "support_thinking",
            "diagnose_mistake",
            "motivate_student",
            "signal_goal",
            "explain_mistake",
        }
    ),
}


STRATEGIES = _VALUES["strategy"]


def read_bridge(path: Path) -> Corpus:
    """Reads Bridge from a JSON array, JSON Lines or Parquet.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    rows = read_rows(path, suffixes=("json", "jsonl", "parquet"))
    require(path, rows, _COLUMNS)
    collector = Collector(NAME)
    for row in rows:
        if isinstance(row, BadRow):
            collector.reject(row)
            continue
        with collector.row(row.line):
            draft = _draft(row)
            collector.add(draft)
            collector.notes["no_novice_reply"] += len(draft.said.turns[-1].candidates) == 1
    return collector.corpus()


def _draft(row: SourceRow) -> Draft:
    history = list(_messages(row, "c_h"))
    rewrite = _reply(row, "c_r_")
    if not rewrite:
        raise RowError("c_r_ holds no text by the tutor, so there is no rewrite to learn from")
    said = tidy([*history, Utterance("tutor", rewrite)])
    if len(said.turns) < 2 or said.turns[-1].text != rewrite:
        raise RowError("c_h does not end with a text by the student, so what the rewrite answers is not known")
    candidates = [Candidate(rewrite, (), reward=1.0)]
    novice = _reply(row, "c_r")
    if novice:
        candidates.append(Candidate(novice, (), reward=0.0))
    last = replace(said.turns[-1], candidates=tuple(candidates))
    identity = row.text("c_id").strip()
    return Draft(
        Said((*said.turns[:-1], last), merged=said.merged, empty=said.empty),
        group=identity.rpartition("_")[0] or identity,
        verdicts=tuple(_verdicts(row, last.index)),
        settings={"topic": row.optional_text("lesson_topic")},
        student=identity,
        identity=identity,
    )


def _messages(row: SourceRow, name: str) -> Iterator[Utterance]:
    for message in row.listed(name):
        yield _message(message, name)


def _message(message: Any, name: str) -> Utterance:
    if not isinstance(message, dict) or not isinstance(message.get("text"), str):
        raise RowError(f"{name} holds {message!r:.60}, not a message with a text")
    role = _USERS.get(message.get("user", ""))
    if role is None:
        raise RowError(f"{name} has a message by {message.get('user')!r}, not by tutor or student")
    return Utterance(role, message["text"])


def _reply(row: SourceRow, name: str) -> str:
    """What the tutor writes before the student answers, as one text."""
    texts: list[str] = []
    for message in _messages(row, name):
        if message.role == "student":
            break
        texts.append(clean(message.text))
    return "\n".join(text for text in texts if text)


def _verdicts(row: SourceRow, last: int) -> Iterator[Verdict]:
    for column, name, turn in (("e", "error", last - 1), ("z_what", "strategy", last), ("z_why", "intention", last)):
        label = row.optional_text(column)
        if label:
            yield Verdict(NAME, name, "pass" if label in _VALUES[name] else "invalid", turn=turn, votes=(label,))
