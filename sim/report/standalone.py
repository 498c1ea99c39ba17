"""A report's drawing as an SVG file of its own, for a paper.

Invariant: the file needs no style sheet: every colour, width and font stands at its element, on a white ground, with
title and description. What has no entry here would be drawn black, so a test holds every class against this list.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from markupsafe import Markup

FONT = "Helvetica, Arial, Liberation Sans, sans-serif"
SERIES = ("#0b67b2", "#bf4b00", "#007a5a", "#a33f7c", "#7d6200", "#1d2126")
"""The colours `s0` to `s5` of the style sheet in its light form."""
_TONES = {"better": SERIES[0], "worse": SERIES[1], "unclear": "#6f7782"}
_STYLES: dict[str, dict[str, str]] = {
    "grid": {"stroke": "#e2dfd8"},
    "zero": {"stroke": "#6f7782", "stroke-dasharray": "3 3"},
    "limit": {"stroke": "#1d2126", "stroke-width": "1.5", "stroke-dasharray": "1 2"},
    "edge": {"fill": "none", "stroke": "#6f7782", "stroke-width": "1.4", "stroke-dasharray": "6 4"},
    "context": {"fill": "none", "stroke": "#6f7782", "stroke-width": "1.4", "stroke-dasharray": "4 3"},
    "tick": {"fill": "#444a52", "font-size": "11.5"},
    "label": {"fill": "#1d2126", "font-size": "12.5"},
    "name": {"fill": "#1d2126", "font-size": "12.5"},
    "halo": {},
    "end": {"text-anchor": "end"},
    "mid": {"text-anchor": "middle"},
    "leader": {"stroke": "#6f7782", "stroke-width": "0.8"},
    "paper": {"fill": "#ffffff", "stroke": "#e2dfd8"},
    "hot": {"fill": SERIES[0]},
    "cold": {"fill": SERIES[1]},
}
_IN_COLOUR: dict[str, dict[str, str]] = {
    "mark": {"fill": "{}", "stroke": "{}"},
    "trace": {"fill": "none", "stroke": "{}", "stroke-width": "2"},
    "spread": {"stroke": "{}", "stroke-width": "1.6"},
    "swath": {"fill": "{}", "fill-opacity": "0.14"},
    "leader": {"stroke": "{}", "stroke-width": "0.8"},
    "whisker": {"stroke": "{}", "stroke-width": "1.8"},
    "dot": {"fill": "{}", "stroke": "{}", "stroke-width": "2"},
}


def styled(classes: str) -> dict[str, str]:
    """The attributes that stand for an element's classes.

    Raises:
        KeyError: a class that no paper figure has.
    """
    names = classes.split()
    colours = {f"s{index}": colour for index, colour in enumerate(SERIES)} | _TONES
    colour = next((colours[name] for name in names if name in colours), "")
    found: dict[str, str] = {}
    for name in names:
        if name in colours:
            continue
        if name in _IN_COLOUR and colour:
            found |= {key: value.format(colour) for key, value in _IN_COLOUR[name].items()}
        else:
            found |= _STYLES[name]
    if "dot" in names and "unclear" in names:
        found["fill"] = "#ffffff"
    return found


def standalone(drawing: Markup) -> str:
    """A drawing of the page as the text of an SVG file; its title and description are kept."""
    root = ET.fromstring(str(drawing))
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("font-family", FONT)
    for node in root.iter():
        classes = node.attrib.pop("class", None)
        if classes is not None:
            for key, value in styled(classes).items():
                node.attrib.setdefault(key, value)
    ground = ET.Element("rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    root.insert(sum(node.tag in ("title", "desc") for node in root), ground)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
