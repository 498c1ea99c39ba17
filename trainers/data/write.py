"""Corpora out: ConvoLearn's Parquet columns, and the conversational JSON Lines that Hugging Face's trainers read.

Invariant: a file appears whole or not at all. What `write_convolearn` wrote, `read_corpus` reads back with the same
texts, ratings, dimension and sub-dimension; a dialogue for which that cannot hold is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agents.errors import InputError
from agents.files import written
from agents.records import Dialogue
from trainers.data.chat import preference_trees, to_tree, tutor_system_for
from trainers.data.convolearn import COLUMNS, check_row, conversation
from trainers.data.files import RowError, SourceRow
from trainers.data.quality import rating
from trainers.data.utterances import clean, holds_label
from trainers.export import export_conversations, export_preferences

_TYPES = {
    "effectiveness_consensus": pa.float64(),
    "completeness_consensus": pa.float64(),
    "num_exchanges": pa.int64(),
}
_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS])


def write_convolearn(dialogues: Iterable[Dialogue], path: Path) -> int:
    """Writes rated dialogues as ConvoLearn's Parquet file, in order, and returns how many.

    `num_exchanges` is the number of tutor turns.

    Raises:
        InputError: a dialogue has no dimension or rating, or a text that would not be read back as it is.
    """
    rows = [_row(dialogue) for dialogue in dialogues]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    with written(path) as file:
        pq.write_table(table, file)
    return len(rows)


def write_sft_jsonl(dialogues: Iterable[Dialogue], path: Path, *, condition_on_dimension: bool = False) -> int:
    """Writes one `{"messages": [...]}` a dialogue, up to the tutor's last turn, and returns how many.

    Raises:
        InputError: `condition_on_dimension` is set and a dialogue has no dimension (see `tutor_system_for`).
    """
    trees = (to_tree(dialogue, tutor_system_for(dialogue, condition_on_dimension)) for dialogue in dialogues)
    return export_conversations(trees, path)


def write_preferences_jsonl(
    dialogues: Iterable[Dialogue],
    path: Path,
    *,
    condition_on_dimension: bool = False,
    margin: float = 0.0,
    max_pairs_per_turn: int = 1,
) -> int:
    """Writes one `{"prompt": [...], "chosen": [...], "rejected": [...]}` a pair and returns how many.

    The pairs are those of `preference_trees`, which also says what did not become one.

    Raises:
        InputError: as `write_sft_jsonl`.
    """
    trees, _ = preference_trees(
        dialogues, condition_on_dimension=condition_on_dimension, margin=margin, max_pairs_per_turn=max_pairs_per_turn
    )
    return export_preferences(trees, path)


def _row(dialogue: Dialogue) -> dict[str, Any]:
    settings = dialogue.spec.strategy_settings
    row = {
        "kb_subdim": settings.get("subdimension", ""),
        "kb_dim": settings.get("dimension", ""),
        "effectiveness_consensus": rating(dialogue, "effectiveness"),
        "completeness_consensus": rating(dialogue, "completeness"),
        "cleaned_conversation": conversation(dialogue),
        "earthscience_topic": settings.get("topic", ""),
        "num_exchanges": len(dialogue.tutor_turns),
    }
    try:
        check_row(SourceRow(0, row))
    except RowError as error:
        raise InputError(
            f"Dialogue {dialogue.id} makes no ConvoLearn row: {error}. "
            "Leave the dialogue out or write it with write_sft_jsonl."
        ) from error
    _check(dialogue)
    return row


def _check(dialogue: Dialogue) -> None:
    """Refuses what the text form cannot carry: it marks turns by their first words and has no way to quote them."""
    role = None
    for turn in dialogue.turns:
        if holds_label(turn.text):
            why = "holds a line that begins with a speaker's label"
        elif not turn.text or clean(turn.text) != turn.text:
            why = "is empty or has blanks at its ends, carriage returns or U+00A0"
        elif turn.role == role:
            why = "follows a turn of the same side"
        else:
            role = turn.role
            continue
        raise InputError(
            f"Dialogue {dialogue.id}, turn {turn.index} {why}, so it would not be read back as it is: "
            f"{turn.text[:60]!r}. Change the text or leave the dialogue out."
        )
