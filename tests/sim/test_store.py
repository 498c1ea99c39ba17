"""The run folder: whole parts, nothing twice, another config refused, readable by others."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builders import dialogue

from agents.errors import InputError, StoreError
from agents.records import Dialogue, Turn
from sim.config import Config
from sim.storage.part import row_of, write_part
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


def test_a_key_that_an_older_version_did_not_have_has_its_default_and_what_differs_is_named(tmp_path: Path) -> None:
    folder = RunStore(tmp_path / "run")
    older = Config(name="a", kind="loop").model_dump(mode="json")
    del older["loop"]["gate"]["gives_up"]
    assert folder.open(older, {"started": "now"}) is False
    now = Config(name="a", kind="loop").model_dump(mode="json")
    assert folder.open(now, {}) is True
    now["loop"]["gate"]["max_leak_increase"] = 0.02
    with pytest.raises(InputError, match=r"another config \(different: loop.gate.max_leak_increase\)"):
        folder.open(now, {})


def test_half_an_emoji_ends_no_run(tmp_path: Path) -> None:
    folder, whole = store(tmp_path), some(1)[0]
    folder.append([replace(whole, turns=(Turn(0, "student", "half \ud83d of it"),))])
    (found,) = folder.dialogues()
    assert found.turns[0].text == "half ? of it" and replace(found, turns=whole.turns) == whole


def twice_written(tmp_path: Path) -> RunStore:
    """A folder that two drivers wrote, each of which knew of no other: 4 dialogues, two of them twice."""
    first, second = store(tmp_path), RunStore(tmp_path / "run")
    for one in (first, second):
        assert one.append([]) is None  # from here on each knows what it stored itself
    first.append(some(2))
    first.append(some(3)[2:])
    second.append([replace(one, seconds=9.0) for one in some(2)])
    second.append([replace(one, seconds=9.0) for one in some(4)[2:]])
    return RunStore(tmp_path / "run")


def test_of_a_dialogue_that_stands_twice_the_first_counts_and_the_next_start_puts_the_other_aside(
    tmp_path: Path,
) -> None:
    folder = twice_written(tmp_path)
    assert folder.ids() == {f"run-{i}" for i in range(4)} and folder.repeated == 3
    before = folder.dialogues()
    assert [one.id for one in before] == [f"run-{i}" for i in range(4)]
    (note,) = folder.passed_over()
    assert note.startswith("3 stored rows are of dialogues that an earlier row holds") and "verify --mend" in note
    assert folder.open({"name": "a", "seed": 1}, {}) is True
    assert all("of its dialogues stand in an earlier row as well" in said for said in folder.put_aside)
    asides = list((tmp_path / "run" / "dialogues").glob("rows-*.aside"))
    rows = [row for aside in asides for row in pq.read_table(aside).to_pylist()]
    assert sorted(row["id"] for row in rows) == ["run-0", "run-1", "run-2"], "nothing is deleted"
    again = RunStore(folder.folder)
    assert again.dialogues() == before and again.passed_over() == []
    assert again.open({"name": "a", "seed": 1}, {}) and again.put_aside == []
    assert again.compact()[1] == 1 and len(again.dialogues()) == 4


def test_a_folder_whose_bundles_lost_their_manifest_to_another_driver_loses_no_dialogue(tmp_path: Path) -> None:
    folder = twice_written(tmp_path)
    folder.open({"name": "a", "seed": 1}, {})
    folder.compact()
    (tmp_path / "run" / "dialogues" / "bundles.json").unlink()
    RunStore(folder.folder).append([replace(some(1)[0], seconds=5.0)])
    again = RunStore(folder.folder)
    assert again.open({"name": "a", "seed": 1}, {}) and again.ids() == {f"run-{i}" for i in range(4)}
    assert again.repeated == 0


def test_a_record_that_cannot_be_read_is_left_out_with_a_count_and_held_again(tmp_path: Path) -> None:
    folder = store(tmp_path)
    folder.append(some(2))
    rows = [row_of(one) for one in some(6)[2:]]
    bad = ['{"spec": ', rows[1]["record"].replace('"probabilities":[0.5,0.5]', '"probabilities":[null,0.5]'), "null"]
    for row, record in zip(rows, bad, strict=False):
        row["record"] = record
    write_part(folder.folder / "dialogues", "part", 7, rows)
    again = RunStore(folder.folder)
    assert [one.id for one in again.dialogues()] == ["run-0", "run-1", "run-5"]
    assert [one.id for one in again.unreadable] == ["run-2", "run-3", "run-4"]
    assert "3 stored dialogues cannot be read" in again.passed_over()[0] and "first: run-2" in again.passed_over()[0]
    assert again.open({"name": "a", "seed": 1}, {}) and "3 of its dialogues cannot be read" in again.put_aside[0]
    assert again.ids() == {"run-0", "run-1", "run-5"}, "the others are held again"


def test_a_folder_of_which_nothing_can_be_read_is_of_another_version_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = store(tmp_path)
    write_part(folder.folder / "dialogues", "part", 0, [row_of(some(1)[0]) | {"record": "{}"}])
    with pytest.raises(StoreError, match="no dialogue can be read .first: run-0.*another version"):
        folder.dialogues()
    assert folder.open({"name": "a", "seed": 1}, {}) and folder.put_aside == [] and folder.ids() == {"run-0"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_record_that_nobody_could_read_is_stored_as_a_failure(tmp_path: Path, value: float) -> None:
    folder, whole = store(tmp_path), some(1)[0]
    folder.append([replace(whole, probes=(replace(whole.probes[0], probabilities=(value, 0.5)),))])
    (found,) = folder.dialogues()
    assert found.failure is not None and "probabilities" in found.failure.message and folder.passed_over() == []
    assert [turn.text for turn in found.turns] == [turn.text for turn in whole.turns]
    assert folder.ids(with_failed=False) == set()


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
