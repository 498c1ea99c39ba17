"""The writer: nothing is lost or doubled while the store cannot write, and the run is held back meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from builders import config, dialogue
from fleet_fakes import Told

from agents.errors import StoreError
from agents.records import Dialogue
from sim.storage import writer as writing
from sim.storage.files import Location
from sim.storage.store import RunStore
from sim.storage.writer import Writer


class FullDisk(RunStore):
    """A run folder that cannot be written the first times."""

    refused = 0

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder)
        self._times = times

    def append(self, dialogues: Sequence[Dialogue]) -> Location | None:
        """See `RunStore.append`."""
        if self.refused < self._times:
            self.refused += 1
            raise StoreError("cannot write part: No space left on device; free space or set run.folder")
        return super().append(dialogues)


Store = TypeVar("Store", bound=RunStore)


def made(number: int) -> list[Dialogue]:
    return [dialogue(i, phase="run", item="es-astro-01", reward=0.0) for i in range(number)]


def opened(store: Store) -> Store:
    store.open(config().model_dump(mode="json"), {})
    return store


def test_a_full_disk_holds_the_run_back_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(writing, "HELD_DIALOGUES", 16)
    store, told = opened(FullDisk(tmp_path / "run", times=4)), Told()
    settings = config(run={"part_dialogues": 4, "part_seconds": 0.05})

    async def play() -> int:
        writer, taken = Writer(store, settings, told), 0
        for one in made(100):
            await writer.add([one])
            taken += 1
            if store.refused == 2 and writer.count.dialogues == 0:
                assert writer.count.held <= 2 * 16  # one bound is being written, one waits
        await writer.close()
        assert (writer.count.dialogues, writer.count.held, writer.added) == (100, 0, 100)
        return taken

    assert asyncio.run(play()) == 100
    assert len(store.ids()) == 100  # ids() raises where one stands twice
    assert any("No space left" in text for text in told.said) and any("goes on" in text for text in told.said)


def test_a_store_that_stays_full_is_an_error_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(writing, "HELD_DIALOGUES", 16)
    store = opened(FullDisk(tmp_path / "run", times=10_000))
    settings = config(run={"part_dialogues": 2, "part_seconds": 0.02, "store_wait_seconds": 0.1})

    async def play() -> None:
        writer = Writer(store, settings, Told())
        try:
            for one in made(200):
                await writer.add([one])
        finally:
            await writer.close()

    with pytest.raises(StoreError, match="No space left"):
        asyncio.run(play())


def test_an_old_part_is_written_before_it_is_full(tmp_path: Path) -> None:
    store = opened(RunStore(tmp_path / "run"))
    settings = config(run={"part_dialogues": 1000, "part_seconds": 0.1})

    async def play() -> int:
        writer = Writer(store, settings, Told())
        await writer.add(made(3))
        while not store.ids():
            await asyncio.sleep(0.02)
        stored = len(store.ids())
        await writer.close()
        return stored

    assert asyncio.run(play()) == 3
