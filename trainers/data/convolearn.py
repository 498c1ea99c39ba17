"""ConvoLearn's file: rated dialogues that each practise one knowledge-building dimension (arXiv 2601.08950).

Seven columns, as the data set's card gives them. The ratings become verdicts on the whole dialogue, `effectiveness` (1
to 5 in half points) and `completeness` (1 to 3); a rating below the paper's mark for its high-quality subset (v4,
section 4: 3 and 2) is a `fail`, any other a `pass`. Dialogues are grouped by the first line the student says, since the
file has no column for the seed question. The student was played by a language model, so the persona is `simulated`.

Counted besides: `leading_text` (words before the first label, read as the student's), `unknown_dimension` and
`unknown_subdimension` (kept as written), and `exchanges_differ` (`num_exchanges` is not the number of tutor turns).
"""

from __future__ import annotations

from pathlib import Path

from agents.records import Dialogue, Verdict
from trainers.data.corpus import Collector, Corpus, Draft, normalised
from trainers.data.dimensions import dimension_key, subdimension_key
from trainers.data.files import BadRow, RowError, SourceRow, read_rows, require
from trainers.data.utterances import Said, Utterance, tidy, transcript

NAME = "convolearn"
COLUMNS = (
    "kb_subdim",
    "kb_dim",
    "effectiveness_consensus",
    "completeness_consensus",
    "cleaned_conversation",
    "earthscience_topic",
    "num_exchanges",
)
MIN_EFFECTIVENESS = 3.0
MIN_COMPLETENESS = 2.0
_SPEAKERS = {"student": "Student", "tutor": "Teacher"}


def read_convolearn(path: Path) -> Corpus:
    """Reads the data set from Parquet, JSON Lines or CSV.

    Raises:
        InputError: the file cannot be read or lacks one of the seven columns.
    """
    rows = read_rows(path, suffixes=("parquet", "jsonl", "csv"))
    require(path, rows, COLUMNS)
    collector = Collector(NAME)
    for row in rows:
        if isinstance(row, BadRow):
            collector.reject(row)
            continue
        with collector.row(row.line):
            draft, leading = _draft(row)
            collector.add(draft)
            _count(collector, row, draft.said, leading)
    return collector.corpus()


def check_row(row: SourceRow) -> None:
    """Raises RowError unless the reader would take the row's dimension, ratings and conversation."""
    Collector(NAME).add(_draft(row)[0])


def conversation(dialogue: Dialogue) -> str:
    """The dialogue as the data set writes one: each turn on lines of its own after `Student: ` or `Teacher: `."""
    return "\n".join(f"{_SPEAKERS[turn.role]}: {turn.text}" for turn in dialogue.turns)


def _said(text: str) -> tuple[Said, bool]:
    leading, utterances = transcript(text)
    if not utterances:
        raise RowError("cleaned_conversation has no line that begins with Student: or Teacher:")
    opening = [Utterance("student", leading)] if leading else []
    return tidy([*opening, *utterances]), bool(leading)


def _draft(row: SourceRow) -> tuple[Draft, bool]:
    """The dialogue of a row, and whether its conversation begins without a label."""
    said, leading = _said(row.text("cleaned_conversation"))
    draft = Draft(
        said,
        group=normalised(said.first("student")),
        verdicts=(
            _verdict("effectiveness", row.rating("effectiveness_consensus", 1, 5, 0.5), MIN_EFFECTIVENESS),
            _verdict("completeness", row.rating("completeness_consensus", 1, 3), MIN_COMPLETENESS),
        ),
        dimension=row.text("kb_dim").strip(),
        settings={
            "subdimension": row.optional_text("kb_subdim"),
            "topic": row.optional_text("earthscience_topic"),
        },
        persona="simulated",
    )
    return draft, leading


def _verdict(name: str, score: float, mark: float) -> Verdict:
    return Verdict(NAME, name, "pass" if score >= mark else "fail", score)


def _count(collector: Collector, row: SourceRow, said: Said, leading: bool) -> None:
    exchanges = row.optional_text("num_exchanges")
    tutor_turns = sum(turn.role == "tutor" for turn in said.turns)
    happened = {
        "leading_text": leading,
        "unknown_dimension": dimension_key(row.text("kb_dim")) is None,
        "unknown_subdimension": subdimension_key(row.optional_text("kb_subdim")) is None,
        "exchanges_differ": bool(exchanges) and exchanges not in (str(tutor_turns), str(float(tutor_turns))),
    }
    collector.notes.update({name: int(so) for name, so in happened.items()})
