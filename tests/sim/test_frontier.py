"""The frontier of a sweep: who improves on the base, which point is shown first, and its place in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import dialogue

from agents.packs import load_pack
from agents.records import Dialogue
from benchmarks.unseen_items import write_unseen
from sim import analysis
from sim.frontier import best, frontier, improves
from sim.load import load_config
from sim.report.page import report_html

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
REPORTED = (
    "name=frontier-rounds",
    "loop.rounds=2",
    "sweep=[{name: even, reward: {gain: 1, question: 1, leak: -2}}, "
    "{name: teach, reward: {gain: 3, question: 1, leak: -2, repetition: -1}}]",
    "items.limit=14",
    "dialogue.exploration=0.75",
    "loop.heldout.items.limit=16",
    "tutor.knows_answer=false",
)
"""What the run of docs/performance.md changed in frontier.yaml, but for its name."""
ITEMS = [f"item-{number}" for number in range(8)]


def side(phase: str, *, gain: float, question: bool, leak: float = 0.0) -> list[Dialogue]:
    return [
        dialogue(number, phase=phase, item=item, reward=0.0, question=question, leak=leak, gain=gain + 0.001 * number)
        for number, item in enumerate(ITEMS)
    ]


BASE = side("heldout/base", gain=0.0, question=False)


def entry(name: str, **figures: Any) -> dict[str, Any]:
    after = side(f"heldout/tutor-{name}/v0001", **figures)
    heldout = analysis.compare_heldout(BASE, after, confidence=0.95)
    return {
        "point": name,
        "round": 1,
        "adapter": f"tutor-{name}/v0001",
        "decision": "promoted",
        "reward": {},
        "heldout": heldout,
    }


ROUNDS = [
    entry("asks", gain=-0.1, question=True),
    entry("both", gain=0.1, question=True),
    entry("tells", gain=0.3, question=False),
    entry("leaks", gain=0.3, question=True, leak=1.0),
]


@pytest.mark.parametrize(("place", "expected"), [(0, False), (1, True), (2, False), (3, False)])
def test_only_gain_and_questions_without_leaks_improve(place: int, expected: bool) -> None:
    assert improves(ROUNDS[place]["heldout"]["difference"]) is expected


def test_the_frontier_names_who_improves_and_the_best_of_them_comes_first() -> None:
    found = frontier(ROUNDS)
    assert found["improving"] == ["both"] and [point["label"] for point in found["points"]] == [
        "asks",
        "both",
        "tells",
        "leaks",
    ]
    assert best(ROUNDS)["point"] == "both"
    assert best([ROUNDS[0], ROUNDS[2]])["point"] == "tells", "none improves, so the surest gain is shown"
    assert frontier(ROUNDS[:1])["improving"] == []


def test_the_report_draws_the_frontier() -> None:
    summary = {"name": "t", "kind": "loop", "frontier": frontier(ROUNDS)}
    page = report_html(summary, BASE)
    assert 'id="frontier"' in page and "both (leaks 0%)" in page and "no more leaks: both" in page
    assert 'id="frontier"' not in report_html({"name": "t", "kind": "loop"}, BASE)
    none = report_html({"name": "t", "kind": "loop", "frontier": frontier(ROUNDS[:1])}, BASE)
    assert "No reward improved on the base" in none


def test_what_was_not_measured_did_not_improve() -> None:
    difference = {name: value for name, value in ROUNDS[1]["heldout"]["difference"].items() if name != "gain"}
    assert improves(ROUNDS[1]["heldout"]["difference"]) and not improves(difference)
    unprobed = {**ROUNDS[1], "heldout": {**ROUNDS[1]["heldout"], "difference": difference}}
    assert best([unprobed, ROUNDS[2]])["point"] == "tells"


def test_the_shipped_two_rounds_are_those_that_were_reported() -> None:
    shipped = load_config(CONFIGS / "loops" / "frontier-rounds.yaml")
    assert shipped == load_config(CONFIGS / "loops" / "frontier.yaml", REPORTED)


def test_the_confirmation_is_on_items_that_the_two_rounds_did_not_use(tmp_path: Path) -> None:
    loop = load_config(CONFIGS / "loops" / "frontier-rounds.yaml")
    assert write_unseen(tmp_path / "unseen.yaml") == 37
    changes = (f"items.pack={tmp_path / 'unseen.yaml'}", f"run.replay={tmp_path}")  # a replay needs no adapter
    confirm = load_config(CONFIGS / "experiments" / "frontier-confirm.yaml", changes)
    asked = {item.id for item in load_pack(confirm.items.pack).items}
    used = {item.id for one in (loop.items, loop.loop.heldout.items) for item in load_pack(one.pack).spread(one.limit)}
    assert len(asked) == 37 and not asked & used
    assert confirm.tutors[1].adapter == f"runs/{loop.name}/adapters/tutor-even/v{loop.loop.rounds:04d}"
    assert confirm.students.personas == loop.loop.heldout.personas and not confirm.tutor.knows_answer
