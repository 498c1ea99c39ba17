"""Geometry of the experiment's plots: the frontier, labels that do not overlap, bands without bridges."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from sim.report.experiment_plots import ParetoPoint, Series, curves_plot, frontier_of, pareto_plot
from sim.report.marks import COLOURS, Axes, free_place, mark, overlap, padded, stacked
from sim.report.plots import Estimate, tag
from sim.report.standalone import SERIES

POINTS = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), min_size=1, max_size=12)


@given(POINTS)
def test_the_frontier_beats_all_others_and_none_of_its_own(points: list[tuple[float, float]]) -> None:
    best = frontier_of(points)

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a != b and a[0] <= b[0] and a[1] >= b[1]

    assert best
    assert not any(beats(points[i], points[j]) for i in best for j in best)
    assert all(any(beats(points[i], point) for i in best) for k, point in enumerate(points) if k not in best)
    assert [points[i] for i in best] == sorted(points[i] for i in best)


@given(st.lists(st.floats(0, 180), max_size=9))
def test_stacked_labels_keep_their_order_and_their_distance(wanted: list[float]) -> None:
    placed = stacked(wanted, 0, 180)
    ordered = sorted(range(len(wanted)), key=lambda k: wanted[k])
    heights = [placed[k] for k in ordered]
    assert all(b - a >= 14.0 - 1e-9 for a, b in zip(heights, heights[1:], strict=False))
    assert all(-1e-9 <= height <= 180 + 1e-9 for height in heights)


def test_a_label_keeps_off_marks_labels_and_edges() -> None:
    inside = (0.0, 0.0, 300.0, 200.0)
    taken = [(93.0, 93.0, 107.0, 107.0)]
    boxes = []
    for _ in range(4):
        *_, box = free_place(100, 100, "a name", inside, taken)
        assert not any(overlap(box, other) for other in taken)
        boxes.append(box)
        taken.append(box)
    *_, anchor, box = free_place(295, 100, "a name", inside, [])
    assert anchor == "end" and box[2] <= 300


@given(st.lists(st.floats(-5, 5), max_size=5))
def test_an_axis_holds_all_its_values_and_is_never_empty(values: list[float]) -> None:
    low, high = padded(values, include=(0.0,))
    assert low < high and low <= 0 <= high and all(low <= value <= high for value in values)


def test_thirty_series_look_different_from_each_other() -> None:
    drawn = {str(mark(number, 10, 10)) for number in range(30)}
    assert len(drawn) == 30
    assert len(SERIES) == COLOURS


def test_a_band_is_not_drawn_over_a_gap() -> None:
    known, unknown = Estimate(0.5, (0.4, 0.6), 9), Estimate(0.5, None, 1)
    axes = Axes("turn", "P", (0, 4), (0, 1))
    series = Series("a", 0, ((0, known), (1, known), (2, unknown), (3, known), (4, known)))
    assert str(curves_plot([series], axes, "t", "d")).count('class="swath s0"') == 2
    single = Series("a", 0, ((0, known), (1, unknown)))
    drawn = str(curves_plot([single], axes, "t", "d"))
    assert "swath" not in drawn and drawn.count('class="spread s0"') == 1


def test_the_staircase_goes_through_the_frontier_only() -> None:
    def point(label: str, x: float, y: float) -> ParetoPoint:
        return ParetoPoint(label, 0, Estimate(x, None, 5), Estimate(y, (y - 0.1, y + 0.1), 5))

    points = [point("a", 0.0, 0.1), point("b", 0.5, 0.05), point("c", 0.5, 0.4)]
    axes = Axes("leak", "gain", (0.0, 1.0), (0.0, 1.0))
    root = ET.fromstring(str(pareto_plot(points, axes, "t", "d")))
    (edge,) = (node for node in root.iter("polyline") if node.get("class") == "edge")
    # x runs from 66 to 620, y from 318 to 34
    assert edge.get("points") == "66.0,289.6 343.0,289.6 343.0,204.4 620.0,204.4"


def test_texts_of_a_drawing_hold_nothing_that_xml_cannot() -> None:
    text = ET.fromstring(str(tag("text", "a\x00b\x1b<c>&\ud83d\ufffe\u2028"))).text
    assert text == "ab<c>&?\u2028"
