"""One way in for all corpora: a path and the name of a format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.errors import InputError, nearest
from trainers.data.bridge import read_bridge
from trainers.data.convolearn import read_convolearn
from trainers.data.corpus import Corpus
from trainers.data.mathdial import read_mathdial
from trainers.data.mrbench import read_mrbench
from trainers.data.plain import read_plain

FORMATS: dict[str, Callable[[Path], Corpus]] = {
    "convolearn": read_convolearn,
    "mathdial": read_mathdial,
    "bridge": read_bridge,
    "mrbench": read_mrbench,
    "jsonl": read_plain,
}
"""The reader of each format; its module says what becomes of each field."""


def read_corpus(path: Path, format: str) -> Corpus:
    """Reads a corpus of tutoring dialogues.

    Args:
        path: the file.
        format: one of `FORMATS`.

    Returns:
        The dialogues, and the rows that are none with line and reason.

    Raises:
        InputError: no such format or file, a file that cannot be read, or one without the columns it needs.
    """
    if format not in FORMATS:
        raise InputError(f"There is no corpus format {format!r}; {nearest(format, FORMATS)}")
    return FORMATS[format](path)
