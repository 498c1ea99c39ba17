"""The run folder: whole parts, nothing twice, another config refused, readable by others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders import dialogue

from agents.errors import InputError, StoreError
from agents.records import Dialogue, Turn
from sim.storage.store import RunStore


def some(n: int) -> list[Dialogue]:
    return [dialogue(i, phase="run", item="es-astro-01", reward=1.0) for i in range(n)]


def store(tmp_path: Path) -> RunStore:
    found = RunStore(tmp_path / "run")
    assert found.open({"name": "a", "seed": 1}, {"started": "now"}) is False
    return found


def test_dialogues_come_back_as_they_were(tmp_path: Path) -> None:
    folder = store(tmp_path)
    written = some(5)
    folder.append(written[:3])
    folder.append(written[3:])
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


def test_half_an_emoji_ends_no_run(tmp_path: Path) -> None:
    folder, whole = store(tmp_path), some(1)[0]
    folder.append([replace(whole, turns=(Turn(0, "student", "half \ud83d of it"),))])
    (found,) = folder.dialogues()
    assert found.turns[0].text == "half ? of it" and replace(found, turns=whole.turns) == whole


def test_a_dialogue_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    folder, other = store(tmp_path), RunStore(tmp_path / "other")
    folder.append(some(2))
    mixed = other.append(some(1))
    assert mixed is not None
    shutil.copy(mixed, folder.folder / "dialogues")
    with pytest.raises(StoreError, match="run-0 is stored more than once"):
        folder.ids()


def test_what_is_stored_already_is_not_stored_again(tmp_path: Path) -> None:
    folder = store(tmp_path)
    folder.append(some(2))
    assert folder.append(some(2)) is None and folder.append([]) is None
    assert folder.append(some(3)) is not None and len(folder.parts()) == 2
    again = RunStore(folder.folder)
    assert again.append(some(3)) is None and again.dialogues() == some(3)


def test_a_corrupt_part_is_named_and_a_torn_one_ignored(tmp_path: Path) -> None:
    folder = store(tmp_path)
    part = folder.append(some(2))
    assert part is not None
    (part.parent / f".{part.name}").write_bytes(part.read_bytes()[:50])  # as a killed writer leaves it
    assert len(folder.ids()) == 2
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(StoreError, match=f"{part.name} is corrupt.*run the same command again"):
        folder.ids()


def test_a_run_that_goes_on_puts_a_damaged_part_aside_and_says_so(tmp_path: Path) -> None:
    folder = store(tmp_path)
    whole, cut, flipped = folder.append(some(1)), folder.append(some(2)), folder.append(some(3))
    assert whole and cut and flipped
    cut.write_bytes(cut.read_bytes()[:-9])
    bytes_ = bytearray(flipped.read_bytes())
    bytes_[200] ^= 255
    flipped.write_bytes(bytes(bytes_))
    again = RunStore(folder.folder)
    assert again.open({"name": "a", "seed": 1}, {}) is True
    assert again.ids() == {"run-0"} and again.parts() == [whole]
    assert [cut.name in said for said in again.put_aside] == [True, False] and flipped.name in again.put_aside[1]
    kept = {path.name for path in (folder.folder / "dialogues").glob("*.damaged")}
    assert kept == {f"{cut.name}.damaged", f"{flipped.name}.damaged"}, "nothing is deleted"
    again.append(some(3))
    assert again.dialogues() == some(3)
    assert RunStore(folder.folder).open({"name": "a", "seed": 1}, {}) and again.put_aside


def test_dialogues_without_their_config_are_refused(tmp_path: Path) -> None:
    folder = store(tmp_path)
    folder.append(some(1))
    (folder.folder / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"no config.yaml.*--fresh"):
        folder.open({"name": "a", "seed": 1}, {})
    assert folder.open({"name": "a", "seed": 1}, {}, fresh=True) is False and folder.ids() == set()


def test_parts_are_read_by_datasets(tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = store(tmp_path)
    folder.append(some(3))
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
