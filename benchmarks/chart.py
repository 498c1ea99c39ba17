"""A plain SVG line chart for the pages; no plotting library for one picture."""

from __future__ import annotations

import math
from itertools import cycle
from xml.sax.saxutils import escape

COLOURS = ("#0b6e4f", "#9c2a2a", "#d0762b", "#1f5fa8", "#6a3d9a")
MOST_TICKS = 12


def line_chart(lines: dict[str, list[tuple[float, float]]], *, title: str, x: str, y: str) -> str:
    """An SVG line chart from 0, each line with its name at its end.

    Args:
        lines: points by name.
        title: shown above, and read out.
        x: unit of the horizontal axis.
        y: unit of the vertical axis.
    """
    width, height, left, right, top, bottom = 640, 360, 56, 150, 40, 44
    most_x = max(a for points in lines.values() for a, _ in points)
    highest = max(b for points in lines.values() for _, b in points)
    step = round_step(highest)
    most_y = step * math.ceil(highest / step)

    def place(a: float, b: float) -> tuple[float, float]:
        across, up = (width - left - right) * a / most_x, (height - top - bottom) * b / most_y
        return round(left + across, 1), round(height - bottom - up, 1)

    def text(at: tuple[float, float], words: str, more: str = "") -> str:
        return f'<text x="{at[0]}" y="{at[1]}"{more}>{escape(words)}</text>'

    parts = [text((left, 20), title, ' font-weight="600"'), text(((left + width - right) / 2, height - 6), x)]
    parts.append(text((8, top - 8), y))
    for count in range(round(most_y / step) + 1):
        start, end = place(0, count * step), place(most_x, count * step)
        parts.append(f'<path d="M{start[0]} {start[1]}H{end[0]}" stroke="#d9d9d9"/>')
        parts.append(text((left - 8, start[1] + 4), f"{count * step:g}", ' text-anchor="end"'))
    for tick in ticks(sorted({a for points in lines.values() for a, _ in points})):
        parts.append(text((place(tick, 0)[0], height - bottom + 18), f"{tick:g}", ' text-anchor="middle"'))
    ends = label_places({name: place(*points[-1])[1] for name, points in lines.items()})
    for (name, points), colour in zip(lines.items(), cycle(COLOURS), strict=False):
        drawn = " ".join(f"{a},{b}" for a, b in (place(*point) for point in points))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text((width - right + 8, ends[name] + 4), name, f' fill="{colour}"'))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-size="12"'
    return f'{head} font-family="sans-serif"><title>{escape(title)}</title><rect width="100%" height="100%" ' + (
        f'fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def round_step(highest: float) -> float:
    """The distance of five or fewer round numbers up to the highest."""
    return next(n * 10**e for e in range(-3, 9) for n in (1, 2, 5) if n * 10**e * 5 >= highest)


def ticks(values: list[float]) -> list[float]:
    """The values themselves where they are few, else round numbers up to the last."""
    if len(values) <= MOST_TICKS:
        return values
    step = round_step(values[-1])
    return [count * step for count in range(math.floor(values[-1] / step) + 1)]


def label_places(wanted: dict[str, float], gap: float = 15.0) -> dict[str, float]:
    """Heights as wanted, moved up where two names would overlap."""
    placed: dict[str, float] = {}
    above = math.inf
    for name, height in sorted(wanted.items(), key=lambda entry: -entry[1]):
        above = placed[name] = min(height, above - gap)
    return placed
