"""The log of a run: what happened, one JSON object a line, for people with `jq` and for log collectors.

It lies in the run folder as `log.jsonl`. Where the folder is an object store, which cannot append, it is written to a
scratch file and uploaded when the run ends.

Invariant: a line holds no secret and at most `MOST_CHARACTERS` of any text. The log is at most `LIMIT_BYTES` in each of
two files, the older of which is `log.jsonl.1`. A log that cannot be written never stops a run: lost lines are counted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from sim.sight.redaction import Redaction

Event = Literal[
    "start",
    "phase",
    "news",
    "restart",
    "out",
    "scale",
    "failed",
    "storing",
    "drained",
    "stopped",
    "finished",
]
Level = Literal["info", "warning", "error"]
NAME = "log.jsonl"
LIMIT_BYTES = 8 * 1024 * 1024
MOST_CHARACTERS = 2000
Fact = str | int | float | bool | None


class RunLog:
    """Writes the log. Safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        run: str,
        *,
        redaction: Redaction | None = None,
        upload: Callable[[str, str], object] | None = None,
        earlier: str = "",
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Opens the log, or goes on with it.

        Args:
            path: the local file.
            run: name of the run.
            redaction: hides secrets; without one those that look like some.
            upload: called when the log is closed, with a file's name and its text; for run folders that are not local.
            earlier: the log of an earlier start, where `path` is a scratch file; its end is put first.
            limit_bytes: of each of the two files.
        """
        self.path, self._run, self._upload = path, run, upload
        self.uploaded = False
        """Whether the log lies where `upload` puts it."""
        self._redaction = redaction or Redaction()
        path.parent.mkdir(parents=True, exist_ok=True)
        if earlier and not path.exists():
            path.write_text(earlier[-limit_bytes:].split("\n", 1)[-1] if len(earlier) > limit_bytes else earlier)
        self._file = _File(path, maxBytes=limit_bytes, backupCount=1, encoding="utf-8", delay=True)

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._file.lost

    def write(
        self, event: Event, text: str = "", *, level: Level = "info", pool: str = "", dialogue: str = "", **facts: Fact
    ) -> None:
        """Writes one line.

        Args:
            event: what kind of thing happened.
            text: in words.
            level: how bad it is.
            pool: whose engine it was about, if it was about one.
            dialogue: id of the dialogue, if it was about one.
            facts: more, by name.
        """
        about = {"run": self._run, "pool": pool, "dialogue": dialogue, "text": text}
        told = {key: value for key, value in about.items() if value} | facts
        hidden = {key: _cut(value) for key, value in self._redaction.every(told).items()}
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = json.dumps({"time": time, "level": level, "event": event} | hidden)
        self._file.handle(logging.makeLogRecord({"msg": row}))

    def close(self) -> None:
        """Closes the log, and uploads it where that was asked for. What goes wrong with the upload is raised."""
        self._file.close()
        if self._upload is not None:
            for file in (self.path.with_name(f"{NAME}.1"), self.path):
                if file.is_file():
                    self._upload(file.name, file.read_text(encoding="utf-8"))
            self.uploaded = True


class _File(RotatingFileHandler):
    """The file, which counts what it could not write instead of printing a traceback."""

    lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.lost += 1


def _cut(value: Fact) -> Fact:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return value[:MOST_CHARACTERS] + "..."
    return value
