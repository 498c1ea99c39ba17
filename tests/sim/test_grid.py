"""Episodes: deterministic, unique, and paired by student across phases and strategies."""

from __future__ import annotations

import subprocess
import sys

from builders import config

from sim.config import ItemsConfig
from sim.grid import episodes

CODE = (
    "from sim.config import Config, ItemsConfig; from sim.grid import episodes;"
    "found = episodes(Config(name='t', seed=3), phase='p', items=ItemsConfig(limit=3), personas=['engaged']);"
    "print([s.id for s in found])"
)


def test_ids_are_equal_in_every_process() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": "."},
        ).stdout
        for salt in ("1", "2")
    }
    assert len(seen) == 1 and "[" in seen.pop()


def test_ids_are_unique_and_students_are_shared() -> None:
    settings = config(tutor={"strategies": ["direct", "socratic"]})
    items = ItemsConfig(limit=8, repeats=3)
    first = episodes(settings, phase="a", items=items, personas=["engaged", "limited"])
    second = episodes(settings, phase="b", items=items, personas=["engaged", "limited"])
    assert len({s.id for s in (*first, *second)}) == len(first) + len(second) == 2 * 2 * 8 * 2 * 3
    students = {s.student_key for s in first}
    assert len(students) == 8 * 2 * 3
    assert students == {s.student_key for s in second}


def test_repeats_hold_every_misconception() -> None:
    found = episodes(config(), phase="a", items=ItemsConfig(limit=4, repeats=3), personas=["engaged"])
    by_item: dict[str, set[int]] = {}
    for one in found:
        by_item.setdefault(one.item_id, set()).add(one.held_option)
    assert all(len(held) == 3 for held in by_item.values())
