"""Progress for people: a live bar on a terminal, a plain line every few seconds elsewhere (CI, a job's log).

Invariant: figures are of work done, never estimates, except the ETA, which is the dialogues left over the rate so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

QUIET_SECONDS = 15.0
"""Between two lines where there is no terminal."""


class Teller:
    """Tells a person what happens."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """One line of news, with the seconds since the start."""
        self.console.print(f"[dim]{time.monotonic() - self._begun:6.0f} s[/]  {text}", markup=True)

    @contextmanager
    def counting(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int, dict[str, int]], None]]:
        """Yields a function that takes the dialogues done and the meters' counts."""
        begun, last = time.monotonic(), [time.monotonic()]
        progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        task = progress.add_task(what, total=total, completed=done, rates="")

        def tell(now_done: int, counts: dict[str, int]) -> None:
            seconds = time.monotonic() - begun
            rates = _rates(now_done - done, total - now_done, counts, seconds)
            progress.update(task, completed=now_done, rates=rates)
            if not self.console.is_terminal and time.monotonic() - last[0] > QUIET_SECONDS:
                last[0] = time.monotonic()
                self.say(f"{what}: {now_done}/{total} dialogues, {rates}")

        with progress:
            yield tell


def _rates(done: int, left: int, counts: dict[str, int], seconds: float) -> str:
    turns, tokens = counts.get("turns", 0) / seconds, counts.get("completion_tokens", 0) / seconds
    eta = f"{left * seconds / done:.0f} s" if done else "?"
    return f"{turns:.1f} turns/s, {tokens:.0f} tokens/s, ETA {eta}"
