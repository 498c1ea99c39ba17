"""Parts: every dialogue exactly once, whatever is killed, full, compacted or read meanwhile."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builders import dialogue
from faulty_files import Faults, Killed, faulty
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import StoreError
from agents.records import Dialogue
from sim.storage.bundles import MANIFEST
from sim.storage.files import locate
from sim.storage.part import SCHEMA, Damaged, check_part, read_part, row_of
from sim.storage.parts import Parts
from tests.needs import lacking

N = 12


def some(start: int, stop: int) -> list[Dialogue]:
    return [dialogue(i, phase="run", item="es-astro-01", reward=float(i)) for i in range(start, stop)]


def ids_of(folder: Path) -> list[str]:
    return Parts(locate(folder)).gather(["id"], lambda rows: [row["id"] for row in rows])


def fill(folder: Path, *stops: int) -> Parts:
    parts, start = Parts(locate(folder)), 0
    for stop in stops:
        parts.append(some(start, stop))
        start = stop
    return parts


STEPS = st.tuples(
    st.sampled_from(["append", "compact", "mend"]),
    st.integers(0, N - 1),
    st.integers(1, 5),
    st.sampled_from([-1, -1, *range(9)]),
    st.booleans(),
)
"""What is done, with which dialogues or target, and at which change it is killed or finds the disk full."""


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=9))
def test_ids_stand_exactly_once_at_every_instant(steps: list[tuple[str, int, int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, faults = Path(name) / "dialogues", Faults()
        given_, tried = set[str](), set[str]()

        def look() -> None:
            seen = Counter(ids_of(folder))
            assert set(seen.values()) <= {1}, "nothing twice"
            assert given_ <= set(seen) <= tried, "nothing lost, nothing made up"

        faults.look = look
        parts = Parts(faulty(folder, faults))
        for what, first, size, at, full in steps:
            chunk = some(first, min(first + size, N))
            faults.arm(at, full=full)
            try:
                if what == "append":
                    tried |= {one.id for one in chunk}
                    parts.append(chunk)
                    given_ |= {one.id for one in chunk}
                elif what == "compact":
                    parts.compact(size)
                else:
                    assert parts.mend() == []
            except Killed:
                parts = Parts(faulty(folder, faults))
            except OSError:  # what `mend` cannot delete stays for the next time
                assert full
            except StoreError as error:
                assert full and "No space left" in str(error)
            look()
        faults.arm(-1)
        assert parts.mend() == []
        tried |= {one.id for one in some(0, N)}
        parts.append(some(0, N))
        parts.compact(5)
        faults.look = lambda: None
        assert Counter(ids_of(folder)) == Counter(f"run-{i}" for i in range(N))
        assert all(check_part(part)[1] for part in parts.listed())
        left = {path.name for path in folder.glob("*.parquet")}
        assert left == {part.name for part in parts.listed()}, "nothing is left over"


def test_an_append_that_failed_is_repeated_with_more(tmp_path: Path) -> None:
    for at in range(4):
        folder, faults = tmp_path / str(at), Faults()
        parts = Parts(faulty(folder, faults))
        parts.append(some(0, 2))
        faults.arm(at, full=True)
        try:
            parts.append(some(2, 5))
        except StoreError as error:
            assert "free space" in str(error)
        faults.arm(-1)
        parts.append(some(2, 7))
        assert Counter(ids_of(folder)) == Counter(f"run-{i}" for i in range(7))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        if subprocess.run(mount, capture_output=True).returncode:
            lacking("right to mount a small disk", "run the suite as root")
    except FileNotFoundError:
        lacking("`mount`", "apt-get install mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stores_all_or_nothing_and_goes_on_when_there_is_space(small_disk: Path) -> None:
    parts = fill(small_disk / "dialogues", 2)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    with pytest.raises(StoreError, match="free space"):
        for stop in range(4, 400, 2):
            parts.append(some(stop - 2, stop))
    held = ids_of(small_disk / "dialogues")
    assert len(held) == len(set(held)) >= 2
    with pytest.raises(StoreError):
        parts.append(some(0, 400))
    assert ids_of(small_disk / "dialogues") == held
    assert not list((small_disk / "dialogues").glob(".*")), "no half file takes the space that is left"
    ballast.unlink()
    parts.append(some(0, 10 + len(held)))
    assert Counter(ids_of(small_disk / "dialogues")) == Counter(f"run-{i}" for i in range(10 + len(held)))


def test_compaction_makes_few_parts_and_says_so(tmp_path: Path) -> None:
    parts = fill(tmp_path, 1, 2, 3, 4, 5)
    before = parts.gather(None, list)
    assert parts.compact(2) == (5, 3)
    assert sorted(parts.gather(None, list), key=lambda row: row["id"]) == before
    assert parts.compact(2) == (3, 3), "a rest alone is left as it is"
    parts.append(some(5, 6))
    assert parts.compact(2) == (4, 3) and parts.compact(100) == (3, 1)
    assert sorted(path.name.split("-")[0] for path in tmp_path.glob("*.parquet")) == ["bundle"]
    assert Counter(ids_of(tmp_path)) == Counter(f"run-{i}" for i in range(6))


@pytest.mark.long
def test_a_reader_meanwhile_sees_every_dialogue_once(tmp_path: Path) -> None:
    parts, faults_of_readers, done = fill(tmp_path, 1), [], threading.Event()
    stored = ["run-0"]

    def read() -> None:
        while not done.is_set():
            acknowledged = set(stored)
            seen = Counter(ids_of(tmp_path))
            if not acknowledged <= set(seen) or set(seen.values()) != {1}:
                faults_of_readers.append((acknowledged - set(seen), seen.most_common(1)))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 60):
        parts.append(some(number, number + 1))
        stored.append(f"run-{number}")
        if number % 4 == 0:
            parts.compact(10)
    done.set()
    for reader in readers:
        reader.join()
    assert faults_of_readers == []


def test_damage_never_passes_a_check_or_a_compaction(tmp_path: Path) -> None:
    parts = fill(tmp_path, 2, 4)
    rows = [row_of(one) for one in some(0, 2)]
    first = parts.listed()[0]
    table = pq.read_table(first.local)
    rows[0]["reward"] = 9.0  # a whole Parquet file, but not the one that was written
    pq.write_table(table.from_pylist(rows, schema=SCHEMA.with_metadata(table.schema.metadata)), first.local)
    with pytest.raises(Damaged, match="not those that were written"):
        parts.compact(10)
    assert len(parts.listed()) == 2


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**6), mask=st.integers(1, 255), cut=st.booleans())
def test_every_changed_byte_is_found(at: int, mask: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        part = fill(Path(name), 2).listed()[0]
        data = bytearray(part.read_bytes())
        place = at % len(data)
        data[place] ^= mask
        part.local.write_bytes(bytes(data[:place] if cut else data))
        with pytest.raises(Damaged, match="not those that were written"):
            check_part(part)
        for columns in (["id", "failure"], ["phase", "record"], None):
            with suppress(Damaged):  # a reader may miss what it did not read, and breaks on nothing else
                assert len(read_part(part, columns)) == 2


def test_a_part_without_a_checksum_gets_one(tmp_path: Path) -> None:
    parts = fill(tmp_path, 2)
    (part,) = parts.listed()
    part.rename(part.with_name("part-000000-1a2b3c4d.parquet"))  # as an older version named it
    (part,) = parts.listed()
    assert check_part(part)[1] is False
    assert parts.compact() == (1, 1)
    assert check_part(parts.listed()[0])[1] is True and len(ids_of(tmp_path)) == 2


def test_rows_are_taken_out_in_one_step(tmp_path: Path) -> None:
    folder, faults = tmp_path / "dialogues", Faults()
    fill(folder, 3, 5)
    for at in range(12):
        parts = Parts(faulty(folder, faults))
        faults.arm(at)
        with suppress(Killed):
            parts.rewrite(lambda row: row["id"] not in ("run-0", "run-3"))
        seen = Counter(ids_of(folder))
        assert {"run-1", "run-2", "run-4"} <= set(seen) and set(seen.values()) == {1}
    assert set(seen) == {"run-1", "run-2", "run-4"}


def test_a_lost_or_damaged_manifest_costs_no_dialogue(tmp_path: Path) -> None:
    parts = fill(tmp_path, 2, 4)
    parts.compact()
    wanted = Counter(ids_of(tmp_path))
    (tmp_path / MANIFEST).unlink()
    assert parts.orphans() and ids_of(tmp_path) == []
    assert Parts(locate(tmp_path)).mend() == [] and Counter(ids_of(tmp_path)) == wanted
    (tmp_path / MANIFEST).write_text('{"bundles": []}')
    with pytest.raises(Damaged, match="no manifest"):
        parts.listed()
    (said,) = Parts(locate(tmp_path)).mend()
    assert "put aside" in said and Counter(ids_of(tmp_path)) == wanted


def test_a_damaged_or_lost_bundle_is_told(tmp_path: Path) -> None:
    parts = fill(tmp_path, 2, 4)
    parts.compact()
    parts.append(some(4, 5))
    bundle = parts.listed()[0]
    bundle.local.write_bytes(bundle.read_bytes()[:-20])
    with pytest.raises(Damaged, match=bundle.name):
        ids_of(tmp_path)
    (said,) = parts.mend()
    assert "put aside" in said and ids_of(tmp_path) == ["run-4"]
    parts.append(some(0, 5))
    parts.compact()
    (bundle,) = parts.listed()
    bundle.unlink()
    with pytest.raises(Damaged, match="missing"):
        parts.listed()
    (said,) = parts.mend()
    assert "is missing" in said and ids_of(tmp_path) == []
