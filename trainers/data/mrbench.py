"""MRBench: tutors' replies to a student's mistake with human labels on eight dimensions (Maurya et al., NAACL 2025).

Each reply of each row is a dialogue: the history, and the reply as the last turn, with the tutor's name in
`tutor_policy`. A label becomes a verdict on that turn, named as the dimension in lower case, the label as its vote.
The score says how near the label is to the desired one: 1 for Yes (for `revealing_of_the_answer`, No; for `tutor_tone`,
Encouraging), 0.5 for `To some extent` and for a Neutral tone, 0 otherwise; only 1 is a `pass`. A file may label some of
the dimensions only. Replies are left as they are, since the labels are on them.

Rows are grouped by problem: the worked solution where there is one, else the lesson's topic (the same lesson may pose
the same problem to many students), else the id. `conversation_id` is not unique and is no key. The student of a row out
of MathDial is `simulated`, that of any other `human`.

Counted besides, per reply: `relabelled` (the history's last turn has the tutor's label; the source defines histories to
end with the student's mistake, so it is read as the student's) and `leading_text` (before the first label: the
tutor's).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.errors import nearest
from agents.records import Verdict
from trainers.data.corpus import Collector, Corpus, Draft, normalised
from trainers.data.files import BadRow, RowError, SourceRow, read_rows, require
from trainers.data.utterances import Utterance, clean, tidy, transcript

NAME = "mrbench"
_COLUMNS = ("conversation_id", "conversation_history", "anno_llm_responses")
_NOTHING = "Not Available"
_YES = {"yes": 1.0, "to some extent": 0.5, "no": 0.0}
_SCORES: dict[str, dict[str, float]] = {
    "mistake_identification": _YES,
    "mistake_location": _YES,
    "revealing_of_the_answer": {"no": 1.0, "yes": 0.0},  # "Yes (and the answer is correct)" and its like
    "providing_guidance": _YES,
    "actionability": _YES,
    "humanlikeness": _YES,
    "coherence": _YES,
    "tutor_tone": {"encouraging": 1.0, "neutral": 0.5, "offensive": 0.0},
}


@dataclass(frozen=True, slots=True)
class _History:
    """What all replies of a row share."""

    utterances: tuple[Utterance, ...]
    group: str
    persona: str
    settings: dict[str, str]
    notes: tuple[str, ...]


def read_mrbench(path: Path) -> Corpus:
    """Reads MRBench from a JSON array or JSON Lines; `line` of a bad row is the row's, whichever reply is bad.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    rows = read_rows(path, suffixes=("json", "jsonl"))
    require(path, rows, _COLUMNS)
    collector = Collector(NAME)
    for row in rows:
        if isinstance(row, BadRow):
            collector.reject(row)
            continue
        with collector.row(row.line):
            history = _history(row)
            replies = row.mapping("anno_llm_responses")
            if not replies:
                raise RowError("anno_llm_responses holds no reply")
            for tutor, reply in replies.items():
                with collector.row(row.line, tutor):
                    collector.add(_draft(history, tutor, reply))
                    collector.notes.update(history.notes)
    return collector.corpus()


def _history(row: SourceRow) -> _History:
    leading, said = transcript(row.text("conversation_history"))
    if not said:
        raise RowError("conversation_history has no line that begins with Tutor: or Student:")
    notes: list[str] = []
    if leading:
        said.insert(0, Utterance("tutor", leading))
        notes.append("leading_text")
    spoken = [utterance for utterance in said if utterance.text]
    if spoken and spoken[-1].role == "tutor":
        spoken[-1] = replace(spoken[-1], role="student")
        notes.append("relabelled")
    solution, topic = (_available(row, name) for name in ("Ground_Truth_Solution", "Topic"))
    return _History(
        (*spoken, *(utterance for utterance in said if not utterance.text)),  # the empty ones only to be counted
        group=normalised(solution) or normalised(topic) or row.optional_text("conversation_id"),
        persona="simulated" if row.optional_text("Data") == "MathDial" else "human",
        settings={"topic": topic},
        notes=tuple(notes),
    )


def _available(row: SourceRow, name: str) -> str:
    value = row.optional_text(name)
    return "" if value == _NOTHING else value


def _draft(history: _History, tutor: str, reply: Any) -> Draft:
    text = reply.get("response") if isinstance(reply, dict) else None
    if not isinstance(text, str) or not clean(text):
        raise RowError("the reply has no text")
    labels = reply.get("annotation")
    if not isinstance(labels, dict) or not labels:
        raise RowError("the reply has no annotation")
    said = tidy([*history.utterances, Utterance("tutor", text)])
    return Draft(
        said,
        group=history.group,
        verdicts=tuple(_verdicts(labels, said.turns[-1].index)),
        settings=history.settings,
        student=" ".join(utterance.text for utterance in history.utterances),
        persona=history.persona,
        tutor=tutor,
    )


def _verdicts(labels: dict[str, Any], turn: int) -> Iterator[Verdict]:
    for dimension, label in labels.items():
        name = dimension.casefold()
        if name not in _SCORES:
            raise RowError(f"{dimension!r} is no dimension; {nearest(name, _SCORES)}")
        key = label.casefold().strip() if isinstance(label, str) else ""
        key = "yes" if name == "revealing_of_the_answer" and key.startswith("yes") else key
        if key not in _SCORES[name]:
            raise RowError(f"{dimension} is {label!r}, not one of {', '.join(_SCORES[name])}")
        score = _SCORES[name][key]
        yield Verdict(NAME, name, "pass" if score == 1 else "fail", score, turn, votes=(label,))
