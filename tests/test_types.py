"""The types of everything, as `make check` looks at them: a test, so that they take one processor beside the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.parametrize(("files", "where"), [((), ""), (("tests",), "tests/trainers:tests/sim")])
def test_types_are_strict_and_right(files: tuple[str, ...], where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *files],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": where},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
