"""CPU seconds and memory of a run's processes, by kind, looked at from a thread.

Invariant: processes that ended keep their last CPU seconds, so sums only grow; memory is of those alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from sim.progress import Teller
from sim.sight.log import Event
from sim.sight.snapshot import Snapshot

KINDS = {
    "ray::Classroom": "classroom",
    "ray::EngineHost": "host",
    "VLLM::EngineCore": "engine",
    "raylet": "ray",
    "gcs_server": "ray",
}


class ReadingTeller(Teller):
    """Hands every reading of a run to a benchmark as well, and counts what could not be stored."""

    def __init__(self, read: Callable[[Snapshot], None]) -> None:
        super().__init__()
        self._read = read
        self.refusals = 0
        """Times that a part of the run could not be stored at once."""

    def log(self, event: Event, text: str = "", **facts: Any) -> None:
        """See `Teller.log`."""
        self.refusals += event == "storing" and "held" in facts
        super().log(event, text, **facts)

    def publish(self, made: Snapshot) -> None:
        """See `Teller.publish`."""
        self._read(made)
        super().publish(made)


class Costs(threading.Thread):
    """Looks at the CPU seconds and the memory (USS, of our own kinds) of this process and all it started."""

    def __init__(self, every: float = 1.0) -> None:
        super().__init__(daemon=True)
        self._every, self._stop_now = every, threading.Event()
        self._cpu: dict[int, tuple[str, float]] = {}
        self.marks: list[tuple[float, int, dict[str, float]]] = []
        """Time, turns and CPU seconds by kind, about once a second, from the first turn on."""
        self.readings: list[tuple[float, dict[str, int]]] = []
        """Time and bytes by kind at every look."""
        self.memory: dict[str, int] = {}
        """Peak bytes by kind; a sum over the processes of a kind."""
        self.processes: dict[tuple[str, int], list[tuple[float, int]]] = {}
        """Time and bytes of every process, by kind and process id."""

    def run(self) -> None:
        """Looks until told to stop."""
        while not self._stop_now.wait(self._every):
            self.look()

    def look(self) -> None:
        """One look."""
        here, memory = psutil.Process(), dict[str, int]()
        for process in [here, *here.children(recursive=True)]:
            try:
                kind = "driver" if process == here else _kind(process)
                times = process.cpu_times()
                self._cpu[process.pid] = (kind, times.user + times.system)
                if kind not in ("other", "ray"):  # adding up a process's own pages takes a while
                    size = process.memory_full_info().uss
                    memory[kind] = memory.get(kind, 0) + size
                    self.processes.setdefault((kind, process.pid), []).append((time.monotonic(), size))
            except psutil.Error:
                continue
        self.readings.append((time.monotonic(), memory))
        for kind, size in memory.items():
            self.memory[kind] = max(self.memory.get(kind, 0), size)

    def mark(self, made: Snapshot) -> None:
        """Notes how much was spent when so many turns were spoken."""
        if made.turns:
            self.marks.append((time.monotonic(), made.turns, self.cpu()))

    def finish(self) -> None:
        """Stops looking."""
        self._stop_now.set()
        self.join()
        self.look()

    def cpu(self) -> dict[str, float]:
        """CPU seconds by kind so far, of processes that ended as well."""
        found: dict[str, float] = {}
        for kind, seconds in self._cpu.values():
            found[kind] = found.get(kind, 0.0) + seconds
        return found


def _kind(process: psutil.Process) -> str:
    title = " ".join(process.cmdline()[:1]) or process.name()
    return next((kind for part, kind in KINDS.items() if part in title), "other")
