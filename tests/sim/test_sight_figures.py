"""Ray's metrics: the numbers arrive at a node's endpoint, and the dashboard asks for nothing that is not there."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from sight_samples import about, followed, load, reading, replica, room

from sim.sight.figures import FIGURES, RayFigures
from sim.sight.snapshot import Snapshot
from sim.sight.watch import Watch

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy/grafana/tutorloop.json"


def scraped(address: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Our samples at an endpoint, by name and our labels."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            text = answer.read().decode()
    except OSError:
        return {}  # not up yet
    found = {}
    for name, labels, value in re.findall(r"^(ray_tutorloop_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        ours = {pair for pair in re.findall(r'(\w+)="([^"]*)"', labels) if pair[0] in LABELS}
        found[name, frozenset(ours)] = float(value)
    return found


LABELS = {"run", *(tag for figure in FIGURES for tag in figure.tags)}


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"ray_tutorloop_{name}", frozenset({"run": "demo", **labels}.items())


def expected(snapshot: Snapshot) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Everything that a snapshot has a figure for; a counter of 0 was never raised."""
    found = set()
    for figure in FIGURES:
        for labels, value in figure.values(snapshot):
            if value is not None and (value or figure.kind == "gauge"):
                tags = {"run": "demo", **dict(zip(figure.tags, labels, strict=True))}
                found.add((figure.exported, frozenset(tags.items())))
    return found


@pytest.mark.slow
def test_the_figures_arrive_at_the_nodes_endpoint(local_ray: object) -> None:
    (node,) = ray.nodes()  # type: ignore[no-untyped-call]
    endpoint = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
    figures = RayFigures()
    first = followed(reading(10.0), reading(20.0, done=8))
    pools = (replica(load=load(32, running=7, waiting=2)), replica(1, state="restarting", restarts=1))
    watch = Watch(about(phase=2, before=1))
    second = watch.take(reading(10.0, done=5, rooms=(room(3),), replicas=pools), at="now")
    assert figures.publish(first)
    for _ in range(3):
        assert figures.publish(second)
    wanted, end = expected(first) | expected(second), time.monotonic() + 600
    while not wanted <= (found := scraped(endpoint)).keys() or found[key("dialogues_total")] != 12:
        assert time.monotonic() < end, f"not there: {sorted(map(str, wanted - found.keys()))}"
        time.sleep(0.5)
        figures.publish(second)
    assert found[key("turns_total")] == 32 + 12  # two phases added up, and nothing counted twice
    assert found[key("dialogues_done")] == 5
    assert found[key("replica_running", pool="class", replica="0")] == 7
    assert found[key("replica_up", pool="class", replica="1")] == 0
    assert found[key("replica_state", pool="class", replica="1")] == 2
    assert found[key("tutor_dialogues_in_flight", tutor="plain")] == 1
    assert found[key("seconds_share", part="orchestration")] == pytest.approx(0.2)
    assert found[key("prefix_share")] == pytest.approx(0.8)


def test_without_ray_nothing_is_exported() -> None:
    assert not ray.is_initialized()
    assert RayFigures().publish(followed(reading())) is False


def test_names_are_unique_and_valid() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    for figure in FIGURES:
        assert re.fullmatch(r"tutorloop_[a-z_]+", figure.name) and figure.description
        assert not figure.name.endswith("_total"), "Ray adds it"


def expressions(dashboard: dict[str, Any]) -> list[str]:
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return asked + [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]


def problems(dashboard: dict[str, Any]) -> list[str]:
    """What is wrong with a dashboard: its shape, and metrics or labels the code does not have."""
    found: list[str] = []
    panels = dashboard["panels"]
    if not (dashboard.get("title") and dashboard.get("uid") and dashboard.get("schemaVersion", 0) >= 36):
        found.append("no title, uid or schema")
    if len({panel["id"] for panel in panels}) != len(panels):
        found.append("an id stands twice")
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if place["x"] + place["w"] > 24 or cells & taken:
            found.append(f"{panel['title']}: beyond the grid or over another")
        taken |= cells
        if panel["type"] != "row" and not (panel["targets"] and panel["datasource"]["uid"] == "${datasource}"):
            found.append(f"{panel['title']}: asks nothing, or a data source of its own")
        if len({target["refId"] for target in panel.get("targets", [])}) != len(panel.get("targets", [])):
            found.append(f"{panel['title']}: a refId stands twice")
    known = {figure.exported: {"run", *figure.tags} for figure in FIGURES}
    for asked in expressions(dashboard):
        names = re.findall(r"ray_\w+", asked)
        if not names or asked.count("(") != asked.count(")") or asked.count("{") != asked.count("}"):
            found.append(f"no query: {asked}")
        for name in names:
            labels = set(re.findall(r'(\w+)[=!]~?"', asked)) | set(re.findall(r"by \((\w+)\)", asked))
            if name not in known:
                found.append(f"unknown metric {name}")
            elif not labels <= known[name]:
                found.append(f"{name} has no label {labels - known[name]}")
    return found


def test_the_dashboard_is_whole_and_asks_only_for_what_is_exported() -> None:
    assert problems(json.loads(DASHBOARD.read_text())) == []


def test_the_dashboard_shows_every_figure() -> None:
    asked = " ".join(expressions(json.loads(DASHBOARD.read_text())))
    missing = {figure.exported for figure in FIGURES if not re.search(rf"{figure.exported}\b", asked)}
    assert missing == {"ray_tutorloop_requests_total", "ray_tutorloop_dialogues_total"}  # said by others on it


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda d: d["panels"][1]["targets"][0].update(expr="sum(ray_tutorloop_trns_total)"), "unknown metric"),
        (lambda d: d["panels"][1]["targets"][0].update(expr='ray_tutorloop_turns_total{pool="a"}'), "has no label"),
        (lambda d: d["panels"][2].update(gridPos=d["panels"][1]["gridPos"]), "over another"),
        (lambda d: d["panels"][2].update(id=1), "stands twice"),
        (lambda d: d["panels"][2].update(targets=[]), "asks nothing"),
        (lambda d: d.update(uid=""), "no title, uid or schema"),
    ],
)
def test_a_broken_dashboard_is_noticed(break_it: Any, said: str) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    break_it(dashboard)
    assert any(said in problem for problem in problems(dashboard))


def test_prometheus_reads_the_file_that_ray_writes() -> None:
    config = yaml.safe_load((ROOT / "deploy/grafana/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    (file,) = job["file_sd_configs"][0]["files"]
    assert file.rpartition("/")[2] == PROMETHEUS_SERVICE_DISCOVERY_FILE


def test_the_page_lists_every_metric() -> None:
    page = (ROOT / "docs/watching.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(ray_tutorloop_\w+)`", page))
    assert listed == {figure.exported for figure in FIGURES}
