"""A child process does not outlive a parent that is killed by -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PARENT = """
import multiprocessing, os, sys, time
from agents.engines.orphan import end_with_parent

def child(watched):
    if watched:
        end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=child, args=(sys.argv[1] == "yes",)).start()
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal is Linux's")
def test_a_child_ends_with_its_parent(tmp_path_factory: pytest.TempPathFactory) -> None:
    script = tmp_path_factory.mktemp("parent") / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    alive = {watched: _outlives(str(script), watched) for watched in ("yes", "no")}
    assert alive == {"yes": False, "no": True}  # without it a child stays, so the test can fail


def _outlives(script: str, watched: str) -> bool:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    parent = subprocess.Popen([sys.executable, script, watched], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    # The one that ends is waited for; the other is given time to end, were it to.
    late = time.monotonic() + (300.0 if watched == "yes" else 2.0)
    while time.monotonic() < late and _lives(child):
        time.sleep(0.05)
    if lives := _lives(child):
        os.kill(child, signal.SIGKILL)
    return lives


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_nobody_spawned_is_left_alone() -> None:
    code = "from agents.engines.orphan import end_with_parent; end_with_parent(); print('lives')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "lives\n"
