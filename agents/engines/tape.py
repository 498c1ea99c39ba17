"""The tape: every request of a run and its answer, so that the run can be had again without a model.

A tape is a folder of JSON-lines files, one for each process that wrote. A line is the beginning of a dialogue, a
request with how it ended, or the end of a dialogue. A request is known by its content, the branch of the dialogue that
asked, and how many times that branch had asked the same. `asked` and `answered` number what happened in a dialogue, so
that answers can be given back in the order they came.

Invariant: files only grow, a line is one write, and nothing is ever unpickled. A killed process leaves at most its last
line torn; such a line is skipped and counted, a torn line elsewhere is an error. A dialogue that begins again replaces
what was recorded of it before. Cost: a reader holds 8 bytes a request and the contents of dialogues under way only.
"""

from __future__ import annotations

import itertools
import json
import os
import uuid
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agents.engines.base import Completion, Score
from agents.engines.branches import Numbering
from agents.engines.entries import Entry, Failed, Request, from_line, to_line
from agents.errors import InputError, StoreError

_OFFSET_BITS = 44  # of a place: 16 TB a file, and a million files


class Tape(Protocol):
    """What a classroom tells a tape of either direction."""

    def begin(self, dialogue: str) -> None:
        """A dialogue begins, perhaps anew: nothing of it was asked yet."""
        ...

    def end(self, dialogue: str, seconds: float) -> float:
        """A dialogue is over; returns the wall seconds that its record is to show."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under way."""

    request: Request
    course: _Course
    branch: str
    occurrence: int
    place: int
    """Among all that happens in the dialogue."""


class _Course:
    """What a recorder knows of a dialogue under way."""

    def __init__(self, dialogue: str, *, over: bool = False) -> None:
        self.dialogue, self.over = dialogue, over
        self.places = 0
        self.numbering = Numbering()
        self.pending: dict[int, Asked] = {}

    def place(self) -> int:
        self.places += 1
        return self.places - 1


class Recorder:
    """Writes what one process records, into a file of its own.

    Args:
        folder: the tape's; made with the first line.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._courses: dict[str, _Course] = {}
        self._over: set[str] = set()

    def begin(self, dialogue: str) -> None:
        """A dialogue begins; what was recorded of it before no longer counts."""
        if before := self._courses.pop(dialogue, None):
            before.over = True
        self._over.discard(dialogue)
        self._courses[dialogue] = _Course(dialogue)
        self._write({"begin": dialogue})

    def ask(self, dialogue: str, request: Request) -> Asked:
        """Numbers a request. Call it before anything is awaited, so that numbers follow the order of asking."""
        # What a failed dialogue left under way may still ask; that belongs to no record and must not begin one.
        if dialogue in self._over:
            return Asked(request, _Course(dialogue, over=True), "", 0, 0)
        if dialogue not in self._courses:
            self.begin(dialogue)
        course = self._courses[dialogue]
        asked = Asked(request, course, *course.numbering.number(request.key), course.place())
        course.pending[asked.place] = asked
        return asked

    def answer(
        self,
        asked: Asked,
        *,
        completions: Sequence[Completion] | None = None,
        scores: Sequence[Score] | None = None,
        failed: Failed | None = None,
    ) -> None:
        """Writes how a request ended. What ends after its dialogue is dropped: nobody waited for it.

        Raises:
            StoreError: the line cannot be written.
        """
        if asked.course.over:
            return
        del asked.course.pending[asked.place]
        self._write(
            _entry(
                asked,
                asked.course.place(),
                completions=None if completions is None else tuple(completions),
                scores=None if scores is None else tuple(scores),
                failed=failed,
            )
        )

    def end(self, dialogue: str, seconds: float) -> float:
        """Ends a dialogue, with the requests that nobody waits for any more; returns `seconds`."""
        course = self._courses.pop(dialogue, None)
        if course is None:
            self.begin(dialogue)
            course = self._courses.pop(dialogue)
        for asked in course.pending.values():
            self._write(_entry(asked, None))
        course.over = True
        self._over.add(dialogue)
        self._write({"end": dialogue, "seconds": seconds})
        return seconds

    def close(self) -> None:
        """Closes the file; a later line opens another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            if self._file is None:
                self._file = _new_file(self._folder)
            if os.write(self._file, data) != len(data):
                raise OSError("only a part of the line was written")
        except OSError as error:
            self.close()  # the file may end in a torn line, after which nothing may follow
            raise StoreError(f"cannot record into {self._folder}: {error}; free space or set run.record") from error


def _entry(asked: Asked, answered: int | None, **answer: Any) -> dict[str, Any]:
    request = asked.request
    entry = Entry(
        asked.course.dialogue,
        request.role,
        request.key,
        asked.branch,
        asked.occurrence,
        asked.place,
        answered,
        request.words,
        **answer,
    )
    return to_line(entry)


def _read_entry(line: bytes, file: Path) -> Entry:
    try:
        return from_line(json.loads(line))
    except ValueError as error:
        raise StoreError(f"{file}: {line[:80]!r} is no request of a tape ({error}); record the run again") from error


def _new_file(folder: Path) -> int:
    """Opens a file that sorts behind those there are: what is recorded later counts."""
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(path.name.split("-")[1]) for path in _files(folder)), default=-1) + 1
    name = f"tape-{number:06d}-{uuid.uuid4().hex[:8]}.jsonl"
    return os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("tape-*-*.jsonl"))


class Recording:
    """Reads a tape.

    Args:
        folder: where it was recorded.

    Raises:
        InputError: nothing was recorded there.
        StoreError: a line that is not the last of its file is torn or is no line of a tape.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torn = 0
        """Last lines that killed processes left incomplete."""
        self._files = _files(folder)
        self._places: dict[str, array[int]] = {}
        self._seconds: dict[str, float] = {}
        for number, file in enumerate(self._files):
            self._index(number, file)
        if not self._places:
            raise InputError(f"no recording in {str(folder)!r}; record a run there first with run.record")

    def __contains__(self, dialogue: str) -> bool:
        return dialogue in self._places

    def __len__(self) -> int:
        return len(self._places)

    def seconds(self, dialogue: str) -> float | None:
        """Wall seconds of a dialogue as recorded; None where its end was not."""
        return self._seconds.get(dialogue)

    def entries(self, dialogue: str) -> list[Entry]:
        """The requests of a dialogue's last recording, read from disk; of two with one key the later one.

        Raises:
            StoreError: a line is no request of a tape.
        """
        found: dict[tuple[str, str, int], Entry] = {}
        for number, places in itertools.groupby(
            self._places.get(dialogue, ()), key=lambda place: place >> _OFFSET_BITS
        ):
            with self._files[number].open("rb") as lines:
                for place in places:
                    lines.seek(place & ((1 << _OFFSET_BITS) - 1))
                    entry = _read_entry(lines.readline(), self._files[number])
                    found[entry.place] = entry
        return list(found.values())

    def _index(self, number: int, file: Path) -> None:
        offset, torn = 0, -1
        with file.open("rb") as lines:
            for line in lines:
                if torn >= 0:
                    raise StoreError(
                        f"{file}, byte {torn}: a line in the midst of the tape is torn; record the run again"
                    )
                try:
                    self._note(json.loads(line), number << _OFFSET_BITS | offset)
                except (ValueError, KeyError, TypeError):
                    torn = offset
                offset += len(line)
        self.torn += torn >= 0

    def _note(self, line: dict[str, Any], place: int) -> None:
        if "begin" in line:
            self._places[line["begin"]] = array("Q")
            self._seconds.pop(line["begin"], None)
        elif "end" in line:
            self._seconds[line["end"]] = float(line["seconds"])
        else:
            self._places.setdefault(line["dialogue"], array("Q")).append(place)
