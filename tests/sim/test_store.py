"""The run folder: whole parts, nothing twice, another config refused, readable by others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import dialogue

from agents.errors import InputError, StoreError
from sim.store import RunStore


def some(n: int) -> list[object]:
    return [dialogue(i, phase="run", item="es-astro-01", reward=1.0) for i in range(n)]


def store(tmp_path: Path) -> RunStore:
    found = RunStore(tmp_path / "run")
    assert found.open({"name": "a", "seed": 1}, {"started": "now"}) is False
    return found


def test_dialogues_come_back_as_they_were(tmp_path: Path) -> None:
    folder = store(tmp_path)
    written = some(5)
    folder.append(written[:3])  # type: ignore[arg-type]
    folder.append(written[3:])  # type: ignore[arg-type]
    assert folder.dialogues() == written
    assert folder.ids() == {f"run-{i}" for i in range(5)}
    assert folder.dialogues(["other"]) == []


def test_the_same_config_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    folder = store(tmp_path)
    assert folder.open({"name": "a", "seed": 1}, {}) is True
    with pytest.raises(InputError, match=r"another config \(different: seed\).*--fresh"):
        folder.open({"name": "a", "seed": 2}, {})
    assert folder.open({"name": "a", "seed": 2}, {"started": "x"}, fresh=True) is False
    assert len(list(tmp_path.glob("run.*.old"))) == 1


def test_a_dialogue_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    folder = store(tmp_path)
    folder.append(some(2))  # type: ignore[arg-type]
    folder.append(some(1))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="run-0 is stored more than once"):
        folder.ids()


def test_a_corrupt_part_is_named_and_a_torn_one_ignored(tmp_path: Path) -> None:
    folder = store(tmp_path)
    part = folder.append(some(2))  # type: ignore[arg-type]
    (part.parent / f".{part.name}").write_bytes(part.read_bytes()[:50])  # as a killed writer leaves it
    assert len(folder.ids()) == 2
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(StoreError, match=f"{part.name} is corrupt.*run the same command again"):
        folder.ids()


def test_parts_are_read_by_datasets(tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = store(tmp_path)
    folder.append(some(3))  # type: ignore[arg-type]
    rows = load_dataset(
        "parquet",
        data_files=str(folder.folder / "dialogues" / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert rows["id"][:] == ["run-0", "run-1", "run-2"]
    assert rows[0]["turns"][1]["role"] == "tutor"
    assert json.loads(rows[0]["record"])["spec"]["phase"] == "run"


def test_steps_are_kept(tmp_path: Path) -> None:
    folder = store(tmp_path)
    assert folder.step("round-0001-train") is None
    folder.finish_step("round-0001-train", {"seconds": 1.5})
    assert folder.step("round-0001-train") == {"seconds": 1.5}
