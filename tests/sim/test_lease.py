"""One driver at a time: who is refused, who takes over, and that a holder which lost its lease writes no more."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import dialogue
from pyarrow import fs

from agents.errors import InputError, LeaseLost, RunHeld, StoreError
from sim.inputs import Input, Inputs
from sim.storage.files import Location, locate
from sim.storage.lease import DEAD_SECONDS, FOLDER, SETTLE_SECONDS, hold
from sim.storage.store import RunStore
from sim.storage.verify import mend

HOLDER = """
import sys, time
from sim.storage.files import locate
from sim.storage.lease import hold
with hold(locate(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(600)
"""


def unheard(text: str) -> None:
    raise AssertionError(f"nothing was to be said: {text}")


def unslept(seconds: float) -> None:
    raise AssertionError("nothing was to be waited for")


class Clock:
    """Time that passes while it is slept; `news` happens after the first sleep."""

    def __init__(self, news: Any = lambda: None) -> None:
        self.now, self._news = 1000.0, news

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        news, self._news = self._news, lambda: None
        news()


def store_like(folder: Path) -> Location:
    """A place that is taken for an object store's: without locks, and without a process id that means anything."""
    return Location(f"mem://bucket{folder}", str(folder), fs.LocalFileSystem())


def claim(folder: Path, claim_id: str = "other", /, **facts: object) -> Path:
    """A claim of a driver on another machine."""
    path = folder / FOLDER / f"{claim_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {
        "id": claim_id,
        "host": "far",
        "machine": "boot/ns",
        "pid": 7,
        "born": "1",
        "place": "1",
        "since": "s",
        "at": "a",
    }
    path.write_text(json.dumps(known | facts))
    return path


def own(folder: Path) -> dict[str, Any]:
    """The one claim that is there."""
    (path,) = (folder / FOLDER).glob("*.json")
    return dict(json.loads(path.read_text()))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder `tmp_path / run`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_driver_that_lives_is_named_and_one_that_was_killed_is_followed_at_once(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(
        RunHeld, match=rf"host \S+, process {holder.pid}, since \d.*last renewed.*kill {holder.pid}"
    ) as held:
        with hold(locate(folder), unheard, sleep=unslept):
            pass
    assert held.value.exit_code == 2 and isinstance(held.value, InputError)
    store = RunStore(folder)
    for taking in (store.held(unheard), store.held(unheard, fresh=True)):
        with pytest.raises(RunHeld), taking:
            pass
    holder.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
    with pytest.raises(RunHeld, match=rf"stopped.* `kill -CONT {holder.pid}`, or `fg`.* `kill -9 {holder.pid}`"):
        with hold(locate(folder), unheard, sleep=unslept):
            pass
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped: as a shell's child after kill -9
    said: list[str] = []
    with hold(locate(folder), said.append, sleep=unslept):
        assert own(folder)["pid"] == os.getpid()
    assert f"process {holder.pid}" in said[0] and "which is gone" in said[0]
    assert list((folder / FOLDER).glob("*.json")) == []


def test_of_many_that_start_at_once_exactly_one_holds(tmp_path: Path) -> None:
    ready, ended, won = threading.Barrier(6), threading.Barrier(6), list[bool]()

    def start() -> None:
        ready.wait()
        try:
            with hold(locate(tmp_path), unheard, sleep=unslept):
                won.append(True)
                ended.wait()
        except RunHeld:
            won.append(False)
            ended.wait()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("other", "state", "wins"),
    [("000", "asked", False), ("zzz", "asked", True), ("zzz", "held", False), ("000", "held", False)],
)
def test_in_a_store_without_locks_a_claim_settles_and_the_lowest_id_wins(
    tmp_path: Path, other: str, state: str, wins: bool
) -> None:
    clock = Clock(lambda: claim(tmp_path, other, state=state))  # made between the first look and the second
    try:
        with hold(store_like(tmp_path), unheard, sleep=clock.sleep):
            assert wins and clock.now == 1000.0 + SETTLE_SECONDS
    except RunHeld as error:
        assert not wins and "host far, process 7" in str(error)
    assert [path.stem for path in (tmp_path / FOLDER).iterdir()] == [other], "an own claim never stays"


def test_the_same_process_is_refused_too_and_may_come_back(tmp_path: Path) -> None:
    for place in (locate(tmp_path / "disk"), store_like(tmp_path / "bucket")):
        for _ in range(2):
            with hold(place, unheard, sleep=lambda _: None):
                with pytest.raises(RunHeld), hold(place, unheard, sleep=lambda _: None):
                    pass


@pytest.mark.parametrize(
    "facts",
    [{"at": "2099-01-01"}, {"state": "asked"}, {"machine": ""}, {"pid": -1}],
    ids=["skew", "asked", "no-boot", "pid"],
)
def test_a_driver_elsewhere_is_watched_by_this_clock_and_followed_when_it_stays_silent(
    tmp_path: Path, facts: dict[str, object]
) -> None:
    said: list[str] = []
    clock, path = Clock(), claim(tmp_path, **facts)
    with hold(locate(tmp_path), said.append, clock=clock, sleep=clock.sleep) as lease:
        assert DEAD_SECONDS <= clock.now - 1000.0 <= DEAD_SECONDS + 2.0
        assert said[0].startswith("waiting up to 30 s, to see whether host far, process") and not path.exists()
        assert own(tmp_path)["took_over"] == ["other"]
        claim(tmp_path)  # it wakes up, and renews what it no longer has
        lease.check()


def test_a_driver_elsewhere_that_renews_its_claim_is_not_followed(tmp_path: Path) -> None:
    claim(tmp_path, beat=1)
    clock = Clock(lambda: claim(tmp_path, beat=2))
    with pytest.raises(RunHeld, match="host far, process 7"):
        with hold(locate(tmp_path), lambda _: None, clock=clock, sleep=clock.sleep):
            pass
    assert clock.now < 1000.0 + DEAD_SECONDS


def test_a_process_id_that_is_used_again_is_another_driver(tmp_path: Path) -> None:
    with hold(locate(tmp_path), unheard):
        mine = own(tmp_path)
    claim(tmp_path, **{**mine, "id": "x", "born": "1"})
    with hold(locate(tmp_path), lambda _: None, sleep=unslept):
        pass


def test_a_copy_of_a_folder_that_is_written_is_watched_for_it_may_be_one_that_was_moved(tmp_path: Path) -> None:
    with hold(locate(tmp_path / "run"), unheard):
        claim(tmp_path / "copy", **own(tmp_path / "run"))
        clock = Clock()
        with hold(locate(tmp_path / "copy"), lambda _: None, clock=clock, sleep=clock.sleep):
            assert clock.now >= 1000.0 + DEAD_SECONDS


def test_a_claim_that_is_none_is_watched_like_any_other(tmp_path: Path) -> None:
    claim(tmp_path).write_text("\x1b[2J{")
    clock, said = Clock(), list[str]()
    with hold(locate(tmp_path), said.append, clock=clock, sleep=clock.sleep):
        assert "\x1b" not in said[0] and clock.now >= 1000.0 + DEAD_SECONDS


def test_a_holder_that_was_taken_over_from_writes_no_more(tmp_path: Path) -> None:
    some = [dialogue(i, phase="run", item="es-astro-01", reward=1.0) for i in range(3)]
    store = RunStore(tmp_path / "run")
    with store.held(unheard) as lease:
        store.open({"name": "a"}, {"started": "now"})
        store.append(some[:1])
        store.append(some[1:2])
        claim(tmp_path / "run", took_over=[own(tmp_path / "run")["id"]])
        for write in (
            lambda: store.append(some),
            lambda: store.finish_step("run", {}),
            store.compact,
            store.mend,
            lambda: store.open({"name": "a"}, {}, inputs=Inputs((Input("calibration", "c", (("x", "1"),), "{}"),))),
        ):
            with pytest.raises(LeaseLost, match="another driver took this run over: host far, process 7"):
                write()
        assert lease.lost and store.ids() == {"run-0", "run-1"} and store.step("run") is None
        assert not (tmp_path / "run" / "inputs.json").exists() and not (tmp_path / "run" / "inputs").exists()
    assert (tmp_path / "run" / FOLDER / "other.json").is_file(), "the other's claim stays"


def test_a_part_that_was_written_while_the_lease_was_lost_is_taken_back(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    with store.held(unheard):
        store.open({"name": "a"}, {"started": "now"})
        looks = iter([None, LeaseLost("another")])

        def guard() -> None:
            if (error := next(looks)) is not None:
                raise error

        store._parts.guard = guard
        with pytest.raises(LeaseLost):
            store.append([dialogue(0, phase="run", item="es-astro-01", reward=1.0)])
    assert store.ids() == set() and store.parts() == []


def test_a_lease_folder_that_was_deleted_stops_its_holder(tmp_path: Path) -> None:
    with hold(locate(tmp_path), unheard) as lease:
        lease.check()
        for path in (tmp_path / FOLDER).iterdir():
            path.unlink()
        with pytest.raises(LeaseLost, match="or its claim was deleted"):
            lease.check()


def test_of_two_holders_in_a_store_without_locks_the_lower_id_goes_on(tmp_path: Path) -> None:
    with hold(store_like(tmp_path), unheard, sleep=lambda _: None) as lease:
        claim(tmp_path, "zzz")
        lease.check()
        claim(tmp_path, "000")
        with pytest.raises(LeaseLost, match="host far"):
            lease.check()


def test_what_may_not_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"), hold(locate(tmp_path / "file" / "run"), unheard):
        pass
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FOLDER).symlink_to(tmp_path)
    with pytest.raises(InputError, match="a link to another place"), hold(locate(tmp_path / "run"), unheard):
        pass


def test_a_fresh_start_puts_the_old_folder_aside_without_its_lease(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    with store.held(unheard, fresh=True):
        store.open({"name": "a"}, {"started": "now"})
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing was there to put aside"
    with store.held(unheard, fresh=True):
        assert store.open({"name": "b"}, {"started": "now"}) is False
        (aside,) = tmp_path.glob("run.*.old")
        assert (aside / "config.yaml").is_file()
        with hold(locate(aside), unheard, sleep=unslept):
            pass


def test_mending_takes_the_lease(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    (tmp_path / "run" / "config.yaml").write_text("name: t\n")
    with pytest.raises(RunHeld, match=re.escape(str(holder.pid))):
        mend(tmp_path / "run", unheard)
