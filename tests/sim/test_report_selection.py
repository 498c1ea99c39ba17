"""Which dialogues a large run's page carries: the linked ones, whole cells, evenly, and it says so."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import Page, make_episode, make_experiment

from agents.records import Dialogue
from sim.report.page import report_html
from sim.report.selection import EMBEDDED, select

SOME = [make_episode("socratic", 0), make_episode("direct", 0)]


def crowd(cells: int) -> list[Dialogue]:
    """So many students under two tutors; a tenth of them in each of ten personas."""
    found = []
    for number in range(cells):
        for base in SOME:
            key, persona = f"student-{number:05d}", f"p{number % 10}"
            spec = replace(base.spec, id=f"{base.spec.tutor}/{number}", student_key=key, persona=persona)
            found.append(replace(base, spec=spec))
    return found


CROWD = crowd(400)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([d.id for d in CROWD]), max_size=40), st.integers(2, 300))
def test_the_linked_ones_come_first_and_the_limit_holds(wanted: list[str], limit: int) -> None:
    chosen, says = select(CROWD, wanted, limit)
    ids = {dialogue.id for dialogue in chosen}
    assert limit - 1 <= len(chosen) <= limit and len(ids) == len(chosen)
    kept = list(dict.fromkeys(wanted))
    assert set(kept[:limit]) <= ids
    assert f"{len(chosen)} of 800 dialogues" in says
    assert [d.id for d in CROWD if d.id in ids] == [d.id for d in chosen]


def test_cells_are_whole_and_spread_evenly() -> None:
    chosen, _ = select(CROWD, ["socratic/7"], 100)
    assert set(Counter(d.spec.cell for d in chosen).values()) == {2}
    personas = Counter(d.spec.persona for d in chosen)
    assert len(personas) == 10 and max(personas.values()) - min(personas.values()) <= 4


def test_a_run_that_fits_is_carried_whole_and_nothing_is_said() -> None:
    assert select(CROWD, [], 800) == (CROWD, "")


def test_the_page_says_that_it_carries_a_selection_and_counts_over_all() -> None:
    many = crowd(EMBEDDED // 2 + 60)
    page = Page(report_html(make_experiment(("socratic", "direct")), many))
    data = json.loads(page.scripts[0])
    assert len(data["dialogues"]) == EMBEDDED
    text = " ".join(" ".join(page.text).split())
    assert "Not all dialogues are here." in text
    assert "2 000 of 2 120 dialogues" in text
    assert "0 of 2 120 (0.0%)" in text
