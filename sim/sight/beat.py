"""Writes `status.json` from a thread of its own, so that a slow store never holds a dialogue back.

Invariant: at most one write a second and at least one every five; what is written is the newest. A write that fails is
counted and told once, and the next one is tried: the status is never what ends a run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from sim.sight.records import to_json
from sim.sight.status import BEAT_SECONDS, State, Status
from sim.sight.watch import now

LEAST_SECONDS = 1.0
"""Between two writes."""


class Beat:
    """Keeps a status file fresh until it is closed."""

    def __init__(
        self,
        status: Status,
        write: Callable[[str], object],
        *,
        trouble: Callable[[str], object] = lambda _: None,
        least_seconds: float = LEAST_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        """Writes the first status before it returns, and begins to beat.

        Args:
            status: what is so at the beginning.
            write: replaces the file; called from one thread at a time.
            trouble: told of the first write that fails, and of the first after a good one.
            least_seconds: between two writes.
            beat_seconds: the longest time without one.
        """
        self._status, self._write, self._trouble = status, write, trouble
        self._least, self._beat = least_seconds, beat_seconds
        self._lock, self._news, self._closing = threading.Lock(), threading.Event(), threading.Event()
        self._troubled = False
        self.writes = self.failures = 0
        self._put()
        self._thread = threading.Thread(target=self._run, name="tutorloop-status", daemon=True)
        self._thread.start()

    @property
    def status(self) -> Status:
        """The newest."""
        with self._lock:
            return self._status

    def change(self, change: Callable[[Status], Status]) -> None:
        """Changes the status; it is written when the last write is long enough ago."""
        with self._lock:
            self._status = change(self._status)
        self._news.set()

    def close(self, state: State, reason: str = "") -> None:
        """Writes how the run ended, and beats no more. Waits for a write under way, a minute at most."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._news.set()
        self._thread.join(timeout=60.0)
        with self._lock:
            self._status = replace(self._status, state=state, reason=reason)
        self._put()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.wait(self._beat)
            self._news.clear()
            if not self._closing.is_set():
                self._put()
                self._closing.wait(self._least)

    def _put(self) -> None:
        status = replace(self.status, at=now())
        try:
            self._write(to_json(status))
        except Exception as error:  # whatever the store raises: it is only the status
            self.failures += 1
            if not self._troubled:
                self._troubled = True
                self._trouble(f"status.json cannot be written: {type(error).__name__}: {error}")
        else:
            self.writes += 1
            self._troubled = False
