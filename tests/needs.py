"""What a test needs and a machine may lack. Its skip names the one command that would let it run.

`conftest.py` says all such skips once more in the last lines of a run: what was not tested is never silent.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

DATA = Path(os.environ.get("TUTORLOOP_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
"""Real corpora, which are not part of the repository."""
BROWSERS = ("chromium", "google-chrome", "chrome")


def lacking(what: str, command: str) -> NoReturn:
    """Skips the test for want of `what`; `command` is what a person would type to let it run."""
    pytest.skip(f"no {what} on this machine; to run it: {command}")


def browser() -> str:
    """The path of a Chromium; skips the test where there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    lacking("Chromium", "apt-get install chromium")


def corpus_file(name: str) -> Path:
    """A file of the real corpora; skips the test where it is not there."""
    path = DATA / name
    if not path.is_file():
        lacking("real corpora (docs/data.md)", "TUTORLOOP_TEST_DATA=FOLDER_WITH_THEM make test")
    return path
