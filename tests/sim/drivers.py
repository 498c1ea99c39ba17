"""Commands of `tutorloop` in processes of their own, as a user starts them, and jobs of a cluster; not a test.

Whoever waits here waits for a state, and sees at once where the process ended instead. `PATIENCE` only ends a hang: how
busy the machine is decides nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 1800.0
LOOK = 0.1


def wait_until(holds: Callable[[], bool], told: Callable[[], str], ended: Callable[[], bool] = lambda: False) -> None:
    """Waits until something holds; fails with what was told where it cannot hold any more, or after `PATIENCE`."""
    late = time.monotonic() + PATIENCE
    while not holds():
        if ended() and not holds():
            pytest.fail(f"it ended before: {told()[-6000:]}")
        if time.monotonic() > late:
            pytest.fail(f"a hang: not within {PATIENCE:.0f} s: {told()[-6000:]}")
        time.sleep(LOOK)


class Driver:
    """A command under way. What it says goes to a file: Ray's agents outlive a killed driver and hold a pipe open."""

    def __init__(
        self, *arguments: str | Path, log: Path, environment: Mapping[str, str] | None = None, folder: Path = ROOT
    ) -> None:
        self._log = log.with_suffix(f".{uuid.uuid4().hex[:6]}.log")
        environment = {**(os.environ if environment is None else environment), "PYTHONPATH": str(ROOT)}
        with self._log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sim.cli", *map(str, arguments)],
                cwd=folder,
                env={"OMP_NUM_THREADS": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # A suite that runs in the background has Ctrl-C ignored, and children inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def said(self) -> str:
        """All that it has said."""
        return self._log.read_text(errors="replace")

    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Waits for something to happen while it goes on."""
        wait_until(holds, lambda: self.said, lambda: not self.lives())

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it, which must be alive."""
        assert self.lives(), self.said
        self.process.send_signal(number)

    def ends(self, code: int = 0) -> str:
        """Waits for its end and returns what it said."""
        wait_until(lambda: not self.lives(), lambda: self.said)
        assert self.process.returncode == code, self.said[-6000:]
        return self.said

    def killed(self) -> str:
        """Kills it, which must be alive, and returns what it said."""
        self.send(signal.SIGKILL)
        self.process.wait()
        return self.said

    def close(self) -> None:
        """Ends it, however it is."""
        self.process.kill()
        self.process.wait()


class Jobs:
    """The job server of a cluster. A connection that it drops, or has not opened yet, is tried again."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self._address, self._environment = address, environment

    def run(self, command: list[str], *, working_folder: str, folder: Path = ROOT) -> str:
        """Submits a command, waits until it has succeeded, and returns its log."""
        name = f"job-{uuid.uuid4().hex[:8]}"
        submit = ["ray", "job", "submit", "--no-wait", "--submission-id", name, "--address", self._address]
        submit += ["--working-dir", working_folder, "--", *command]
        tries: list[str] = []

        def accepted() -> bool:
            if self._asked(f"/api/jobs/{name}"):
                return True
            done = subprocess.run(submit, cwd=folder, env=dict(self._environment), text=True, capture_output=True)
            tries.append(done.stdout + done.stderr)
            return done.returncode == 0

        def ended() -> bool:
            found.update(self._asked(f"/api/jobs/{name}") or {})
            return found.get("status") in ("SUCCEEDED", "FAILED", "STOPPED")

        def logged() -> bool:
            found.update(self._asked(f"/api/jobs/{name}/logs") or {})
            return "logs" in found

        found: dict[str, Any] = {}
        wait_until(accepted, lambda: "\n".join(tries))
        wait_until(ended, lambda: str(found))
        wait_until(logged, lambda: str(found))
        assert found["status"] == "SUCCEEDED", found["logs"][-6000:]
        return str(found["logs"])

    def _asked(self, path: str) -> dict[str, Any] | None:
        """The answer of the server; None where there is none."""
        request = urllib.request.Request(self._address + path)
        if token := self._environment.get("RAY_AUTH_TOKEN"):
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                found: dict[str, Any] = json.load(reply)
                return found
        except (OSError, ValueError):
            return None
