"""Follows a run in its folder: status and log in the right places, secrets hidden.

Invariant: where the folder is not on a local disk, the log is uploaded at the end, behind what earlier starts logged;
if that fails, the file stays on this machine and its place is told.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sim.sight import log as run_log
from sim.sight import status
from sim.sight.log import RunLog
from sim.sight.redaction import Redaction
from sim.storage.files import Location

if TYPE_CHECKING:
    from sim.config import Config
    from sim.progress import Teller


def redaction_of(config: Config) -> Redaction:
    """Hides the keys of the config's endpoints."""
    return Redaction.of_environment({pool.api_key_env for pool in config.pools.values()})


@contextmanager
def follow(
    teller: Teller,
    config: Config,
    folder: Location,
    arguments: Sequence[str] | None = None,
    ours: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Keeps `status.json` and `log.jsonl` of a run until it ends, however it ends.

    Args:
        teller: whatever it is told is followed.
        config: the run's.
        folder: the run folder; it was opened.
        arguments: the command's, without the program; else those of this process.
        ours: whether this process still writes the folder; where another took it over its status is left alone.
    """

    def put(name: str, text: str) -> None:
        if ours():
            (folder / name).write_text(text)

    hidden = redaction_of(config)
    scratch = Path(tempfile.mkdtemp(prefix="tutorloop-log-")) if folder.remote else None
    log = RunLog(
        (scratch or folder.local) / run_log.NAME,
        config.name,
        redaction=hidden,
        upload=put if scratch else None,
        earlier=_text(folder / run_log.NAME) if scratch else "",
    )
    # Before they are quoted: a quote in the middle of a key would hide it from whoever hides keys.
    command = status.resume_command([hidden.text(one) for one in (sys.argv[1:] if arguments is None else arguments)])
    try:
        with teller.following(
            config.name, write=lambda text: put(status.NAME, text), log=log, command=command, redaction=hidden
        ):
            yield
    finally:
        if scratch is not None and log.uploaded:
            shutil.rmtree(scratch, ignore_errors=True)


def _text(place: Location) -> str:
    try:
        return place.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
