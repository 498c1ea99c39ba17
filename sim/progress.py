"""Progress for people: figures redrawn in place on a terminal, a plain line every few seconds elsewhere (CI, a log).

What is told here also goes to the run folder's status and log, and to Ray's metrics.

Invariant: figures are of work done, never estimates, except the ETA, which is the dialogues left over the rate so far.
Where the output is no terminal, no control character is written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.errors import MarkupError
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from sim import signals
from sim.sight.beat import Beat
from sim.sight.figures import RayFigures
from sim.sight.log import Event, Fact, Level, RunLog
from sim.sight.records import Replica
from sim.sight.redaction import Redaction
from sim.sight.snapshot import About, Snapshot
from sim.sight.status import State, Status
from sim.sight.view import View, clean, line
from sim.sight.watch import Watch, now

QUIET_SECONDS = 15.0
"""Between two lines where there is no terminal."""
DRAW_SECONDS = 0.2
"""Between two drawings on a terminal, at least."""


class Teller:
    """Tells a person what happens; while it follows a run, the run's folder and dashboards too."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(
            # FORCE_COLOR makes a pipe a terminal for colours; it is none for drawing in place.
            highlight=False,
            soft_wrap=True,
            force_interactive=None if sys.stdout.isatty() else False,
        )
        self._begun = time.monotonic()
        self._beat: Beat | None = None
        self._log: RunLog | None = None
        self._redaction = Redaction()
        self._figures = RayFigures()
        self._run, self._phase, self._stopping = "", 0, ""
        self._replicas: tuple[Replica, ...] = ()

    def say(self, text: str) -> None:
        """One line of news, with the seconds since the start. Rich's markup is read; text of others is `escape`d."""
        self._print(text)
        plain = _plain(text)
        self._doing(plain)
        self.log("news", plain)

    def _print(self, text: str) -> None:
        since = f"[dim]{time.monotonic() - self._begun:6.0f} s[/]  "
        try:
            self.console.print(since + text, markup=True)
        except MarkupError:  # an error's text that looks like markup must not end the run
            self.console.print(since + escape(text), markup=True)

    def log(
        self, event: Event, text: str = "", *, level: Level = "info", pool: str = "", dialogue: str = "", **facts: Fact
    ) -> None:
        """One line in the run's log, if a run is followed; nothing is shown. See `RunLog.write`."""
        if self._log is not None:
            hidden: dict[str, Fact] = self._redaction.every(facts)
            text = self._redaction.text(text)
            self._log.write(event, text, level=level, pool=pool, dialogue=dialogue, **hidden)

    def stopping(self, reason: str) -> None:
        """The run ends before everything is done: its status will say `stopped`, with the reason."""
        self._stopping = reason
        self.log("drained", reason, level="warning")

    @contextmanager
    def following(
        self,
        run: str,
        *,
        write: Callable[[str], object] | None = None,
        log: RunLog | None = None,
        command: str = "",
        redaction: Redaction | None = None,
    ) -> Iterator[None]:
        """Keeps the status and the log of a run until it ends, however it ends.

        Args:
            run: its name.
            write: replaces `status.json`; called from a thread, one call at a time.
            log: the log; closed at the end.
            command: goes on with the run.
            redaction: hides secrets in the status and the log.
        """
        self._run, self._log, self._stopping = run, log, ""
        self._redaction = redaction or Redaction()
        if write is not None:
            begun = Status(run, "running", started=now(), at=now(), command=self._redaction.text(command))
            self._beat = Beat(begun, write, trouble=self._trouble)
        self.log("start", command)
        try:
            with signals.last_words(lambda: self._end("stopped", "interrupted")):
                yield
        except BaseException as error:
            if signals.is_stop(error):
                self._end("stopped", "interrupted")
            else:
                self._end("stopped", f"{type(error).__name__}: {error}", level="error")
            raise
        else:
            self._end("stopped" if self._stopping else "finished", self._stopping)

    def _end(self, state: State, reason: str, level: Level = "info") -> None:
        reason = _short(self._redaction.text(reason))
        self.log("finished" if state == "finished" else "stopped", reason, level=level)
        if self._beat is not None:
            self._beat.close(state, reason)
        if self._log is not None:
            lost, log, self._log = self._log.lost, self._log, None
            try:
                log.close()
            except Exception as error:  # the run is done: a log that cannot be uploaded does not undo it
                self.say(f"the log could not be stored: {escape(str(error))}; it lies at {log.path}")
            if lost:
                self.say(f"{lost} lines of the log were lost: they could not be written to {log.path}")
        self._beat = None

    def _trouble(self, text: str) -> None:
        text = self._redaction.text(text)
        self._print(escape(text))
        self.log("storing", text, level="warning")

    def _doing(self, text: str) -> None:
        if self._beat is not None:
            told = _short(self._redaction.text(text))
            self._beat.change(lambda status: replace(status, doing=told))

    @contextmanager
    def watching(self, what: str, total: int, done: int = 0) -> Iterator[Watch]:
        """Follows a phase; the `Watch` is told about once a second.

        Args:
            what: the phase in words.
            total: its dialogues, those stored before it included.
            done: those stored before it.
        """
        self._phase += 1
        about = About(self._run, what, self._phase, total, done, now())
        self._doing(what)
        self.log("phase", what, phase=self._phase, total=total, done=done)
        live = Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_interactive else None
        watch = Watch(about, replicas=self._replicas, show=_Show(self, live).show)
        try:
            if live is not None:
                live.start()
            yield watch
        finally:
            if live is not None:
                live.stop()
            self._replicas = watch.replicas

    def publish(self, made: Snapshot) -> None:
        """Gives a snapshot to the run's status and to Ray's metrics."""
        if self._beat is not None:
            self._beat.change(lambda status: replace(status, snapshot=made))
        self._figures.publish(made)

    @contextmanager
    def counting(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int, dict[str, int]], None]]:
        """A plain bar for work without classrooms; yields a function that takes what is done and the meters' counts."""
        begun, last = time.monotonic(), [time.monotonic()]
        progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_interactive,
        )
        task = progress.add_task(escape(clean(what)), total=total, completed=done, rates="")

        def tell(now_done: int, counts: dict[str, int]) -> None:
            seconds = time.monotonic() - begun
            rates = _rates(now_done - done, total - now_done, counts, seconds)
            progress.update(task, completed=now_done, rates=rates)
            if not self.console.is_interactive and time.monotonic() - last[0] > QUIET_SECONDS:
                last[0] = time.monotonic()
                self._print(escape(f"{what}: {now_done}/{total} dialogues, {rates}"))

        with progress:
            yield tell


class _Show:
    """Shows the snapshots of one phase: in place, or as a line now and then."""

    def __init__(self, teller: Teller, live: Live | None) -> None:
        self._teller, self._live = teller, live
        self._last = time.monotonic()

    def show(self, made: Snapshot) -> None:
        self._teller.publish(made)
        since = time.monotonic() - self._last
        if self._live is not None and since >= DRAW_SECONDS:
            self._live.update(View(made), refresh=True)
        elif self._live is None and since >= QUIET_SECONDS:
            self._teller._print(escape(line(made)))
        else:
            return
        self._last = time.monotonic()


def _plain(text: str) -> str:
    try:
        return Text.from_markup(text).plain
    except MarkupError:
        return text


def _short(text: str) -> str:
    return text if len(text) <= 500 else text[:500] + "..."


def _rates(done: int, left: int, counts: dict[str, int], seconds: float) -> str:
    turns, tokens = counts.get("turns", 0) / seconds, counts.get("completion_tokens", 0) / seconds
    eta = f"{left * seconds / done:.0f} s" if done else "?"
    return f"{turns:.1f} turns/s, {tokens:.0f} tokens/s, ETA {eta}"
