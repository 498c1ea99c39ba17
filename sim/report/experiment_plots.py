"""The plots of an experiment: gain against leak, curves with bands, differences, and the heat map for a paper.

Invariant: as for `sim.report.plots`; besides, whatever is drawn is said in `desc` with its interval and n, and labels
stand beside what they name, so that no legend is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sim.report.marks import Axes, Box, frame, free_place, mark, number, padded, short, stacked, tone
from sim.report.plots import Estimate, Interval, Scale, svg, tag, ticks


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A tutor in the plane of leaking (x) and teaching (y)."""

    label: str
    series: int
    x: Estimate
    y: Estimate


@dataclass(frozen=True, slots=True)
class Series:
    """A curve: x and estimate, ascending in x. A quiet one is context: grey, dashed, without a band."""

    label: str
    number: int
    points: tuple[tuple[float, Estimate], ...]
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the plot of differences; `tone` is `better`, `worse` or `unclear`."""

    label: str
    mean: float
    interval: Interval | None
    tone: str
    note: str


def frontier_of(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one beats: less leak (x) and at least its gain (y), or the reverse.

    Returns:
        Ascending in x; equal points are all in it.
    """
    best = [
        index
        for index, (x, y) in enumerate(points)
        if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)
    ]
    return sorted(best, key=lambda index: points[index])


def pareto_plot(points: Sequence[ParetoPoint], axes: Axes, title: str, desc: str) -> Markup:
    """Leak on x, gain on y, whiskers both ways, and the frontier as a staircase: the most gain at no more leak."""
    x, y = Scale(*axes.x, 66, 620), Scale(*axes.y, 318, 34)
    parts = frame(axes, x, y)
    ranked = [(points[index].x.mean, points[index].y.mean) for index in frontier_of(_plane(points))]
    if ranked:
        steps = [ranked[0]]
        for a, b in ranked[1:]:
            steps += [(a, steps[-1][1]), (a, b)]
        steps.append((x.high, steps[-1][1]))
        parts.append(tag("polyline", cls="edge", points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in steps)))
        parts.append(tag("text", "frontier", cls="tick", x=x.end + 6, y=y(steps[-1][1]) + 4))
    taken: list[Box] = [(x(p.x.mean) - 7, y(p.y.mean) - 7, x(p.x.mean) + 7, y(p.y.mean) + 7) for p in points]
    if ranked:
        taken.append((x.end + 4, y(ranked[-1][1]) - 8, x.end + 60, y(ranked[-1][1]) + 8))
    for p in points:
        style = f"spread {tone(p.series)}"
        for low, high in [p.x.interval] if p.x.interval else []:
            parts.append(tag("line", cls=style, x1=_in(x, low), x2=_in(x, high), y1=y(p.y.mean), y2=y(p.y.mean)))
        for low, high in [p.y.interval] if p.y.interval else []:
            parts.append(tag("line", cls=style, x1=x(p.x.mean), x2=x(p.x.mean), y1=_in(y, low), y2=_in(y, high)))
    for p in points:
        parts.append(mark(p.series, x(p.x.mean), y(p.y.mean), 6.0))
        text = short(p.label)
        left, top, anchor, box = free_place(x(p.x.mean), y(p.y.mean), text, (66, 34, 700, 318), taken)
        taken.append(box)
        parts.append(tag("text", text, cls=f"label halo {anchor}".strip(), x=left, y=top))
    return svg(720, 362, title, parts, desc)


def _plane(points: Sequence[ParetoPoint]) -> list[tuple[float, float]]:
    return [(p.x.mean, p.y.mean) for p in points]


def _in(scale: Scale, value: float) -> float:
    """Pixel of a value, at the panel's edge when it lies outside."""
    return scale(min(scale.high, max(scale.low, value)))


def curves_plot(series: Sequence[Series], axes: Axes, title: str, desc: str, *, labels: bool = True) -> Markup:
    """Curves with their bands in one panel, each named at its right end.

    Args:
        series: quiet ones are drawn first.
        axes: of the panel; panels to be compared are given the same y span.
        title: the panel in a sentence.
        desc: all figures in words.
        labels: whether curves are named in the panel, in a margin of its own.
    """
    width, right = (362, 244) if labels else (264, 252)
    x, y = Scale(*axes.x, 50, right), Scale(*axes.y, 178, 30)
    parts = frame(axes, x, y)
    for one in sorted(series, key=lambda each: not each.quiet):
        parts += _curve(one, x, y)
    named = [one for one in series if one.points] if labels else []
    ends = [(x(one.points[-1][0]), y(one.points[-1][1].mean)) for one in named]
    for one, (end_x, end_y), place in zip(named, ends, stacked([end[1] for end in ends], 34, 178), strict=True):
        style = "leader" if one.quiet else f"leader {tone(one.number)}"
        parts.append(tag("line", cls=style, x1=end_x + 7, x2=x.end + 16, y1=end_y, y2=place))
        parts.append(tag("text", short(one.label, 15), cls="label", x=x.end + 20, y=place + 4))
    return svg(width, 218, title, parts, desc)


def _curve(one: Series, x: Scale, y: Scale) -> list[Markup]:
    spots = [(x(at), _in(y, found.mean)) for at, found in one.points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
    if one.quiet:
        return [tag("polyline", cls="context", points=path)]
    parts: list[Markup] = []
    for run in _banded(one):
        ends = [(x(at), _in(y, high), _in(y, low)) for at, (low, high) in run]
        if len(ends) == 1:
            at, top, bottom = ends[0]
            parts.append(tag("line", cls=f"spread {tone(one.number)}", x1=at, x2=at, y1=top, y2=bottom))
            continue
        outline = [(at, top) for at, top, _ in ends] + [(at, bottom) for at, _, bottom in reversed(ends)]
        edge = " ".join(f"{a:.1f},{b:.1f}" for a, b in outline)
        parts.append(tag("polygon", cls=f"swath {tone(one.number)}", points=edge))
    parts.append(tag("polyline", cls=f"trace {tone(one.number)}", points=path))
    return parts + [mark(one.number, a, b, 3.6) for a, b in spots]


def _banded(one: Series) -> list[list[tuple[float, Interval]]]:
    """Runs of neighbouring points that have an interval: a band is never drawn over a gap."""
    runs: list[list[tuple[float, Interval]]] = [[]]
    for at, found in one.points:
        if found.interval is None:
            runs.append([])
        else:
            runs[-1].append((at, found.interval))
    return [run for run in runs if run]


def difference_plot(
    mean: float, interval: Interval, reach: float, tone: str, title: str, bound: float | None
) -> Markup:
    """A difference with its interval against 0, on the scale of its measure.

    Args:
        mean: of the paired differences.
        interval: of the mean.
        reach: the scale runs from -reach to reach.
        tone: `better`, `worse` or `unclear`: a style class, and the dot's filling (`unclear` is hollow).
        title: the same in words.
        bound: the largest loss that counts as no worse, with its sign; drawn as a second line.
    """
    x = Scale(-reach, reach, 4, 176)
    low, high = _in(x, interval[0]), _in(x, interval[1])
    parts = [tag("line", cls="zero", x1=90, x2=90, y1=2, y2=22)]
    if bound is not None and abs(bound) <= reach:
        parts.append(tag("line", cls="limit", x1=x(bound), x2=x(bound), y1=4, y2=20))
    parts.append(tag("line", cls=f"whisker {tone}", x1=low, x2=high, y1=12, y2=12))
    parts += [tag("line", cls=f"whisker {tone}", x1=end, x2=end, y1=8, y2=16) for end in (low, high)]
    parts.append(tag("circle", cls=f"dot {tone}", cx=_in(x, mean), cy=12, r=4.5))
    return svg(180, 24, title, parts)


def forest_plot(rows: Sequence[Difference], label: str, share: bool, title: str, desc: str) -> Markup:
    """Differences from the baseline with their intervals, one line per tutor, on one scale; for a paper."""
    edges = [edge for row in rows for edge in (row.mean, *(row.interval or ()))]
    height = 30 * len(rows) + 76
    x = Scale(*padded(edges, include=(0.0,)), 190, 540)
    bottom = height - 42
    parts = [tag("text", f"difference in {label[:1].lower()}{label[1:]}", cls="tick mid", x=365, y=bottom + 34)]
    for value in ticks(x.low, x.high, 5):
        parts.append(tag("line", cls="zero" if value == 0 else "grid", x1=x(value), x2=x(value), y1=30, y2=bottom))
        parts.append(tag("text", number(value, share), cls="tick mid", x=x(value), y=bottom + 16))
    for index, row in enumerate(rows):
        middle = 30 * index + 46
        parts.append(tag("text", short(row.label), cls="label end", x=180, y=middle + 4))
        if row.interval:
            low, high = row.interval
            parts.append(tag("line", cls=f"whisker {row.tone}", x1=x(low), x2=x(high), y1=middle, y2=middle))
        parts.append(tag("circle", cls=f"dot {row.tone}", cx=x(row.mean), cy=middle, r=4.5))
        parts.append(tag("text", row.note, cls="tick", x=552, y=middle + 4))
    return svg(760, height, title, parts, desc)


def heat_plot(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[tuple[str, str, float]]],
    title: str,
    desc: str,
) -> Markup:
    """A heat map with the number in every cell; for a paper.

    Args:
        rows: names down.
        columns: names across.
        cells: by row and column the figure, its interval and n in words, and its strength from -1 to 1.
        title: the map in a sentence.
        desc: all figures in words.
    """
    width, height = 150 + 132 * len(columns), 50 + 46 * len(rows)
    parts = [tag("text", short(name, 20), cls="label mid", x=216 + 132 * k, y=24) for k, name in enumerate(columns)]
    for down, (name, line) in enumerate(zip(rows, cells, strict=True)):
        top = 36 + 46 * down
        parts.append(tag("text", short(name, 22), cls="label end", x=142, y=top + 26))
        for across, (value, below, strength) in enumerate(line):
            left = 150 + 132 * across
            style = "cold" if strength < 0 else "hot"
            shade = f"{min(1.0, abs(strength)) * 0.55:.3f}"
            parts.append(tag("rect", cls="paper", x=left, y=top, width=130, height=44))
            parts.append(tag("rect", cls=style, x=left, y=top, width=130, height=44, fill_opacity=shade))
            parts.append(tag("text", value, cls="label mid", x=left + 65, y=top + 20))
            parts.append(tag("text", below, cls="tick mid", x=left + 65, y=top + 35))
    return svg(width, height, title, parts, desc)
