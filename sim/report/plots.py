"""The report's plots: small inline SVG drawings whose colours come from the page's style sheet.

Invariant: every text and number that enters a drawing is escaped, every drawing carries a title that says the same in
words, and no drawing refers to anything outside itself. Colour never carries a meaning alone: shape or text says it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Interval = tuple[float, float]
_UNSPEAKABLE = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF])


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span else (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval and how many values it stands on."""

    mean: float
    interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True)
class BeliefRow:
    """One line of the belief plot: where a belief stood before tutoring and after."""

    label: str
    before: Estimate | None
    after: Estimate | None


@dataclass(frozen=True, slots=True)
class TradePoint:
    """One policy or arm in the plane of asking (x) and teaching (y)."""

    label: str
    x: float
    y: float
    x_interval: Interval | None
    y_interval: Interval | None
    filled: bool


def tag(name: str, text: str | None = None, **attributes: object) -> Markup:
    """One SVG element; `cls` is the class, underscores become hyphens, floats are rounded."""
    parts = [
        f' {"class" if key == "cls" else key.replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
    ]
    inner = "" if text is None else escape(clean(text))
    return Markup(f"<{name}{''.join(parts)}>{inner}</{name}>")


def clean(text: str) -> str:
    """The text without what XML cannot hold: control characters and lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8").translate(_UNSPEAKABLE)


def _short(value: object) -> object:
    return f"{value:.1f}" if isinstance(value, float) else value


def svg(width: int, height: int, title: str, parts: Sequence[Markup], desc: str = "") -> Markup:
    """A drawing with its title, and with all its figures in words where `desc` has them."""
    head = f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    about = tag("title", title) + (tag("desc", desc) if desc else Markup(""))
    return Markup(head) + about + Markup("").join(parts) + Markup("</svg>")


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers inside [low, high], about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def interval_plot(mean: float, interval: Interval, tone: str, title: str) -> Markup:
    """A dot with its whisker against 0, on a scale of its own.

    Args:
        mean: the paired difference.
        interval: its interval.
        tone: `better`, `worse` or `unclear`: a style class, and the dot's filling (`unclear` is hollow).
        title: the same in words.
    """
    reach = max(abs(mean), abs(interval[0]), abs(interval[1])) * 1.08 or 1.0
    x = Scale(-reach, reach, 4, 156)
    parts = [
        tag("line", cls="zero", x1=80, x2=80, y1=2, y2=22),
        tag("line", cls=f"whisker {tone}", x1=x(interval[0]), x2=x(interval[1]), y1=12, y2=12),
        *(tag("line", cls=f"whisker {tone}", x1=x(end), x2=x(end), y1=8, y2=16) for end in interval),
        tag("circle", cls=f"dot {tone}", cx=x(mean), cy=12, r=4.5),
    ]
    return svg(160, 24, title, parts)


def line_plot(xs: Sequence[float], ys: Sequence[float], label: str) -> Markup:
    """A curve over optimiser steps with the last value written at its end."""
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.1 or max(abs(high) * 0.1, 0.1)
    x, y = Scale(min(xs), max(xs), 46, 262), Scale(low - pad, high + pad, 132, 14)
    parts: list[Markup] = []
    for value in ticks(low - pad, high + pad, 4):
        parts.append(tag("line", cls="grid", x1=46, x2=262, y1=y(value), y2=y(value)))
        parts.append(tag("text", f"{value:g}", cls="tick end", x=40, y=y(value) + 4))
    for value in sorted({min(xs), max(xs)}):
        parts.append(tag("text", f"{value:g}", cls="tick mid", x=x(value), y=150))
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
    parts.append(tag("polyline", cls="curve", points=points))
    parts.append(tag("circle", cls="dot better", cx=x(xs[-1]), cy=y(ys[-1]), r=3.5))
    parts.append(tag("text", f"{ys[-1]:.3g}", cls="value", x=x(xs[-1]) + 8, y=y(ys[-1]) + 4))
    parts.append(tag("text", "step", cls="tick mid", x=154, y=150))
    return svg(310, 156, f"{label}: from {ys[0]:.3g} to {ys[-1]:.3g} over {len(xs)} steps", parts)


def belief_plot(rows: Sequence[BeliefRow], title: str) -> Markup:
    """Dumbbells from the belief before tutoring (hollow) to the belief after it (filled), probability 0 to 1."""
    height = 34 * len(rows) + 26
    x = Scale(0, 1, 150, 540)
    parts: list[Markup] = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(tag("line", cls="grid", x1=x(value), x2=x(value), y1=4, y2=height - 20))
        parts.append(tag("text", f"{value:g}", cls="tick mid", x=x(value), y=height - 6))
    for index, row in enumerate(rows):
        y = 34 * index + 20
        parts.append(tag("text", row.label, cls="label end", x=140, y=y + 4))
        if row.before and row.after:
            parts.append(tag("line", cls="bridge", x1=x(row.before.mean), x2=x(row.after.mean), y1=y, y2=y))
        for estimate, tone, shift in ((row.before, "unclear", -5), (row.after, "better", 5)):
            if estimate is None:
                continue
            if estimate.interval:
                low, high = (x(end) for end in estimate.interval)
                parts.append(tag("line", cls=f"whisker {tone}", x1=low, x2=high, y1=y + shift, y2=y + shift))
            parts.append(tag("circle", cls=f"dot {tone}", cx=x(estimate.mean), cy=y, r=4.5))
    return svg(556, height, title, parts)


def scatter_plot(points: Sequence[tuple[float, float]], title: str) -> Markup:
    """One dot per dialogue: P(right) before on x, after on y; above the diagonal the student learned."""
    x, y = Scale(0, 1, 34, 214), Scale(0, 1, 190, 10)
    parts = [tag("line", cls="zero", x1=x(0), y1=y(0), x2=x(1), y2=y(1))]
    for value in (0, 0.5, 1):
        parts.append(tag("line", cls="grid", x1=x(0), x2=x(1), y1=y(value), y2=y(value)))
        parts.append(tag("line", cls="grid", x1=x(value), x2=x(value), y1=y(0), y2=y(1)))
        parts.append(tag("text", f"{value:g}", cls="tick mid", x=x(value), y=205))
        parts.append(tag("text", f"{value:g}", cls="tick end", x=28, y=y(value) + 4))
    parts += [tag("circle", cls="speck", cx=x(before), cy=y(after), r=3) for before, after in points]
    return svg(224, 210, title, parts)


def trade_plot(points: Sequence[TradePoint], title: str) -> Markup:
    """Asking against teaching: share of turns with a question on x, belief gain on y, whiskers where measured."""
    edges = [edge for p in points for edge in (p.y, *(p.y_interval or ()))] + [0.0]
    pad = (max(edges) - min(edges)) * 0.12 or 0.1
    x, y = Scale(0, 1, 60, 440), Scale(min(edges) - pad, max(edges) + pad, 210, 12)
    parts: list[Markup] = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(tag("line", cls="grid", x1=x(value), x2=x(value), y1=12, y2=210))
        parts.append(tag("text", f"{value:.0%}", cls="tick mid", x=x(value), y=226))
    for value in ticks(min(edges) - pad, max(edges) + pad, 4):
        parts.append(tag("line", cls="zero" if value == 0 else "grid", x1=60, x2=440, y1=y(value), y2=y(value)))
        parts.append(tag("text", f"{value:+g}" if value else "0", cls="tick end", x=54, y=y(value) + 4))
    for p in points:
        tone = "better" if p.filled else "unclear"
        if p.x_interval:
            low, high = (x(min(1.0, max(0.0, end))) for end in p.x_interval)
            parts.append(tag("line", cls=f"whisker {tone}", x1=low, x2=high, y1=y(p.y), y2=y(p.y)))
        if p.y_interval:
            low, high = (y(end) for end in p.y_interval)
            parts.append(tag("line", cls=f"whisker {tone}", x1=x(p.x), x2=x(p.x), y1=low, y2=high))
        parts.append(tag("circle", cls=f"dot {tone}", cx=x(p.x), cy=y(p.y), r=5.5))
        side = "end" if p.x > 0.6 else ""
        parts.append(tag("text", p.label, cls=f"label {side}", x=x(p.x) + (-10 if side else 10), y=y(p.y) - 9))
    parts.append(tag("text", "turns with a real question", cls="tick mid", x=250, y=244))
    return svg(460, 250, title, parts)


def delivery_plot(agreement: float, changed: float, tolerance: float) -> Markup:
    """A number line in nats per token: agreement left of the tolerance, the change from the old weights on it too."""
    x = Scale(0, max(agreement, changed, tolerance) * 1.1 or 1.0, 20, 440)
    parts = [
        tag("rect", cls="band", x=x(0), y=26, width=max(1.0, x(tolerance) - x(0)), height=16),
        tag("line", cls="axis", x1=20, x2=440, y1=42, y2=42),
        tag("text", f"tolerance {tolerance:.3g}", cls="tick", x=x(tolerance) + 4, y=22),
        tag("line", cls="zero", x1=x(tolerance), x2=x(tolerance), y1=14, y2=42),
        tag("circle", cls="dot better", cx=x(agreement), cy=34, r=5.0),
        tag("circle", cls="dot unclear", cx=x(changed), cy=34, r=5.0),
        *(tag("text", f"{value:g}", cls="tick mid", x=x(value), y=58) for value in ticks(0, x.high, 5)),
    ]
    facts = f"Trainer against engine {agreement:.4f}, new against old {changed:.4f}, tolerance {tolerance:g}"
    return svg(460, 64, f"{facts} nats per token", parts)
