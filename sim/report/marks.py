"""What the plots of an experiment are built of: the marks of a series, axes, and labels that do not overlap.

Invariant: a series is told by its shape and its label as well as by its colour, so no plot needs colour to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sim.report.plots import Scale, tag, ticks

COLOURS = 6
"""Series colours in the style sheet (`s0` to `s5`); the sheet of `sim.report.standalone` has the same."""
_SHAPES = 5
LETTER = 6.4
"""Pixels of a letter of a label, on average."""
LONGEST = 26
"""Letters of a label in a plot; the whole name stands in the tables."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Axes:
    """What the two axes of a panel say and span."""

    x_label: str
    y_label: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: tuple[float, ...] = ()
    """Empty: round numbers."""
    x_share: bool = False
    y_share: bool = False


def tone(number: int) -> str:
    """The colour class of a series."""
    return f"s{number % COLOURS}"


def mark(number: int, x: float, y: float, size: float = 5.0) -> Markup:
    """The mark of a series at a pixel: colour and shape together tell 30 series apart."""
    cls, s = f"mark {tone(number)}", size
    shape = number % _SHAPES
    if shape == 0:
        return tag("circle", cls=cls, cx=x, cy=y, r=s)
    if shape == 1:
        return tag("rect", cls=cls, x=x - 0.88 * s, y=y - 0.88 * s, width=1.76 * s, height=1.76 * s)
    corners = {
        2: ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
        3: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        4: ((0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
    }[shape]
    return tag("polygon", cls=cls, points=" ".join(f"{x + a * s:.1f},{y + b * s:.1f}" for a, b in corners))


def swatch(number: int) -> Markup:
    """The mark of a series for a table, hidden from screen readers."""
    head = Markup('<svg class="swatch" aria-hidden="true" viewBox="0 0 14 14" width="14" height="14">')
    return head + mark(number, 7, 7, 4.6) + Markup("</svg>")


def number(value: float, share: bool) -> str:
    """A tick's text."""
    text = f"{100 * value:.3g}%" if share else f"{value:g}"
    return text.replace("-", "\u2212")


def frame(axes: Axes, x: Scale, y: Scale) -> list[Markup]:
    """Grid, ticks and axis labels; the y label stands above the panel, where it needs no turned head."""
    left, right, bottom, top = x.start, x.end, y.start, y.end
    parts: list[Markup] = []
    for value in ticks(y.low, y.high, 5):
        style = "zero" if value == 0 else "grid"
        parts.append(tag("line", cls=style, x1=left, x2=right, y1=y(value), y2=y(value)))
        parts.append(tag("text", number(value, axes.y_share), cls="tick end", x=left - 6, y=y(value) + 4))
    for value in axes.x_ticks or tuple(ticks(x.low, x.high, 5)):
        parts.append(tag("line", cls="grid", x1=x(value), x2=x(value), y1=top, y2=bottom))
        parts.append(tag("text", number(value, axes.x_share), cls="tick mid", x=x(value), y=bottom + 16))
    parts.append(tag("text", axes.x_label, cls="tick mid", x=(left + right) / 2, y=bottom + 33))
    parts.append(tag("text", axes.y_label, cls="name", x=8.0, y=top - 14))
    return parts


def padded(values: Sequence[float], *, include: Sequence[float] = ()) -> tuple[float, float]:
    """The span of values with a margin; never empty."""
    known = [*values, *include]
    low, high = min(known, default=0.0), max(known, default=1.0)
    pad = (high - low) * 0.08 or max(abs(high) * 0.1, 0.05)
    return low - pad, high + pad


def short(label: str, letters: int = LONGEST) -> str:
    """A name as a plot writes it."""
    return label if len(label) <= letters else label[: letters - 1] + "…"


def stacked(wanted: Sequence[float], low: float, high: float, gap: float = 14.0) -> list[float]:
    """Heights for labels near the wanted ones, at least `gap` apart, between low and high where they fit.

    Returns:
        One height per label, in the order given.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    floor = low
    for index in order:
        placed[index] = floor = max(floor, wanted[index])
        floor += gap
    ceiling = high
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed


def free_place(x: float, y: float, text: str, inside: Box, taken: Sequence[Box]) -> tuple[float, float, str, Box]:
    """Where a label beside a mark overlaps nothing; the first place when there is none.

    Args:
        x: pixel of the mark.
        y: pixel of the mark.
        text: the label.
        inside: left, top, right, bottom of the panel.
        taken: boxes of labels and marks already there.

    Returns:
        x, y, the anchor's class (empty or `end`), and the label's box.
    """
    width = LETTER * len(text)
    places: list[tuple[float, float, str, Box]] = []
    for rise in (-9.0, 18.0, -23.0, 32.0, -37.0, 46.0):
        for anchor, shift in (("", 10.0), ("end", -10.0)):
            left = x + shift - (width if anchor else 0.0)
            places.append((x + shift, y + rise, anchor, (left, y + rise - 11, left + width, y + rise + 3)))
    within = [place for place in places if _within(place[3], inside)]
    free = (place for place in within if not any(overlap(place[3], other) for other in taken))
    return next(free, (within or places)[0])


def _within(box: Box, inside: Box) -> bool:
    return box[0] >= inside[0] and box[1] >= inside[1] and box[2] <= inside[2] and box[3] <= inside[3]


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share a point."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
