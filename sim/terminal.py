"""The console of the command line: text from data cannot steer the terminal.

A tutor's name, a judge's reason or an error of an endpoint may hold escape sequences that rewrite the screen, set the
window's title or make a link lie about where it goes. rich passes them on; this console does not.

Invariant: the only control characters that reach the terminal are rich's own (colours, the progress bar) and the ends
of lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from agents.text import visible


class Terminal(Console):
    """A console that cleans all text when it is laid out; what rich itself sends to the terminal is no text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def terminal(file: IO[str] | None = None, *, stderr: bool = False, **options: Any) -> Terminal:
    """Returns a console that cleans what it is given to print, without rich's automatic highlighting.

    Args:
        file: where to write; None: standard output, or standard error.
        stderr: write to standard error.
        options: others of `rich.console.Console`.
    """
    return Terminal(file=file, stderr=stderr, **{"highlight": False, **options})
