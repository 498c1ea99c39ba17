"""Free memory is that of the container, where one has less than its machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import hardware


def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(hardware, "_CONTAINER_MEMORY", ((str(limit), str(used)),))
    machine = hardware.free_memory_gib()
    assert machine > 0.2  # no such files: the machine's own
    limit.write_text("max\n")
    used.write_text("0\n")
    assert hardware.free_memory_gib() > 0.2
    limit.write_text(f"{3 * 2**26}\n")
    used.write_text(f"{2**26}\n")
    assert hardware.free_memory_gib() == 0.125
    used.write_text(f"{2**30}\n")
    assert hardware.free_memory_gib() == 0.0
