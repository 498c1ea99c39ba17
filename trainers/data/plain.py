"""Plain chat lines: one `{"messages": [{"role": ..., "content": ...}, ...]}` a line, as most tools write dialogues.

Roles: `tutor`, `teacher` and `assistant` are the tutor; `student` and `user` the student; `system` messages are left
out and counted (`system_messages`). Optional fields: `rating` (1 to 5, a verdict `effectiveness` that passes from 3
on), `dimension`, `subdimension`, `id` (part of the identity) and `group` (what must stay together; else the student's
first line). The corpus is named after the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.records import Role, Verdict, VerdictKind
from trainers.data.convolearn import MIN_EFFECTIVENESS
from trainers.data.corpus import Collector, Corpus, Draft, normalised
from trainers.data.files import BadRow, RowError, SourceRow, read_rows, require
from trainers.data.utterances import Utterance, tidy

_ROLES: dict[str, Role] = {
    "tutor": "tutor",
    "teacher": "tutor",
    "assistant": "tutor",
    "student": "student",
    "user": "student",
}
_SYSTEM = "system"


def read_plain(path: Path) -> Corpus:
    """Reads chat lines from JSON Lines.

    Raises:
        InputError: the file cannot be read or no line has messages.
    """
    rows = read_rows(path, suffixes=("jsonl",))
    require(path, rows, ("messages",))
    collector = Collector(path.stem)
    for row in rows:
        if isinstance(row, BadRow):
            collector.reject(row)
            continue
        with collector.row(row.line):
            messages = [_message(message) for message in row.listed("messages")]
            collector.add(_draft(row, [message for message in messages if message is not None], collector.name))
            collector.notes["system_messages"] += messages.count(None)
    return collector.corpus()


def _draft(row: SourceRow, utterances: list[Utterance], corpus: str) -> Draft:
    said = tidy(utterances)
    rated = row.values.get("rating") is not None
    score = row.rating("rating", 1, 5) if rated else 0.0
    kind: VerdictKind = "pass" if score >= MIN_EFFECTIVENESS else "fail"
    return Draft(
        said,
        group=row.optional_text("group") or normalised(said.first("student")),
        verdicts=(Verdict(corpus, "effectiveness", kind, score),) if rated else (),
        dimension=row.optional_text("dimension"),
        settings={"subdimension": row.optional_text("subdimension")},
        persona="unknown",
        tutor="unknown",
        identity=row.optional_text("id"),
    )


def _message(message: Any) -> Utterance | None:
    """What was said, or None for a system message."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        raise RowError(f"messages holds {message!r:.60}, not a role and a content")
    if message.get("role") == _SYSTEM:
        return None
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise RowError(f"a message's role is {message.get('role')!r}, not one of {', '.join([*_ROLES, _SYSTEM])}")
    return Utterance(role, message["content"])
