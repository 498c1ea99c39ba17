"""`status.json` and `tutorloop status`: fresh, stopped, finished or dead, and never the reason a run ends."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from builders import config
from rich.console import Console
from sight_samples import followed, reading

from agents.errors import EngineError, StoreError
from agents.files import write_bytes
from sim.progress import Teller
from sim.sight.beat import Beat
from sim.sight.follow import follow
from sim.sight.log import RunLog
from sim.sight.records import from_json, to_json
from sim.sight.redaction import HIDDEN, Redaction
from sim.sight.show import status_command
from sim.sight.status import MOST_BYTES, State, Status, read_status, resume_command, verdict
from sim.storage.files import locate

NOW = datetime.now(UTC)
COMMAND = "tutorloop run configs/demo.yaml"


def status(state: State = "running", *, ago: float = 1.0, **changes: object) -> Status:
    at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    told: dict[str, object] = {"command": COMMAND, "doing": "practice", "snapshot": followed(reading())}
    return Status("demo", state, "2026-11-22T10:00:00+00:00", at, **{**told, **changes})  # type: ignore[arg-type]


def shown(found: Status, *, width: int = 100, as_json: bool = False) -> tuple[str, int]:
    console = Console(file=io.StringIO(), width=width)
    code = status_command(lambda: to_json(found), console, as_json=as_json)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), code


@pytest.mark.parametrize(
    ("state", "ago", "expected"),
    [
        ("running", 14.0, "running"),
        ("running", 16.0, "dead"),
        ("stopped", 999.0, "stopped"),
        ("finished", 999.0, "finished"),
    ],
)
def test_what_became_of_a_run(state: State, ago: float, expected: str) -> None:
    found = Status("demo", state, "", (NOW - timedelta(seconds=ago)).isoformat())
    assert verdict(found, NOW) == expected


def test_a_run_in_progress() -> None:
    text, code = shown(status())
    assert code == 0
    assert "demo: in progress" in text and "last heard of 1 s ago" in text and "4/100" in text
    assert "go on with" not in text


def test_a_dead_run_says_how_to_go_on() -> None:
    text, code = shown(status(ago=600.0))
    assert code == 1
    assert "seems dead" in text and "10 min ago" in text and f"go on with: {COMMAND}" in text


def test_a_stopped_run_says_why() -> None:
    text, code = shown(status("stopped", reason="the budget of 100 dialogues is used up"))
    assert code == 1 and "stopped (the budget of 100 dialogues is used up)" in text and COMMAND in text
    assert shown(status("finished"))[1] == 0


def test_without_figures_it_says_so() -> None:
    assert "no figures yet" in shown(status(snapshot=None))[0]


def test_json_is_one_object_with_the_verdict() -> None:
    text, code = shown(status(ago=600.0), as_json=True, width=40)
    found = json.loads(text)
    assert (found["verdict"], found["snapshot"]["done"], code) == ("dead", 4, 1)
    assert found["age_seconds"] == pytest.approx(600.0, abs=30.0)


def test_watching_goes_on_until_the_run_ends() -> None:
    steps = iter([status(), status(), status("finished")])
    console, naps = Console(file=io.StringIO(), width=100), list[float]()
    assert status_command(lambda: to_json(next(steps)), console, watch=True, sleep=naps.append) == 0
    assert isinstance(console.file, io.StringIO)
    assert naps == [15.0, 15.0] and console.file.getvalue().count("in progress") == 2


def test_watching_on_a_terminal_draws_in_place() -> None:
    steps = iter([status(), status(), status("stopped", reason="interrupted")])
    console = Console(file=io.StringIO(), width=100, force_terminal=True, _environ={"TERM": "xterm"})
    assert status_command(lambda: to_json(next(steps)), console, watch=True, sleep=lambda _: None) == 1
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[2K" in console.file.getvalue() and "interrupted" in console.file.getvalue()


def missing() -> str:
    raise FileNotFoundError("nothing is there")


def unreachable() -> str:
    raise OSError("connection refused")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (missing, "no status.json there"),
        (unreachable, "cannot be read: connection refused"),
        (lambda: "{", "cannot be read"),
        (lambda: '{"run": "a", "state": "exploded", "started": "", "at": ""}', "state"),
        (lambda: "[" * 100_000, "cannot be read"),
        (lambda: " " * (MOST_BYTES + 1), "more than any run writes"),
        (lambda: to_json(Status("a", "running", "", "yesterday")), "'yesterday' is no time"),
    ],
)
def test_a_status_that_is_none_is_an_error_in_words(read: object, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        status_command(read, Console(file=io.StringIO()))  # type: ignore[arg-type]


def test_a_hostile_status_steers_no_terminal() -> None:
    evil = "\x1b]0;owned\x07[red]x[/red]\x9b2J"
    text, _ = shown(status("stopped", reason=evil, command=evil, doing=evil))
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text and "[red]x[/red]" in text


def test_the_command_that_goes_on_does_not_begin_anew() -> None:
    arguments = ["run", "my config.yaml", "--fresh", "--set", "seed=2"]
    assert resume_command(arguments) == "tutorloop run 'my config.yaml' --set seed=2"


def wait_for(met: object, seconds: float = 600.0) -> None:
    end = time.monotonic() + seconds
    while not met():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_the_status_is_renewed_though_nothing_happens() -> None:
    written: list[str] = []
    beat = Beat(status(), written.append, least_seconds=0.0, beat_seconds=0.05)
    wait_for(lambda: len(written) >= 3)
    beat.close("finished")
    found = [from_json(Status, text) for text in written]
    assert [one.state for one in found[:-1]] == ["running"] * (len(found) - 1) and found[-1].state == "finished"
    assert [one.at for one in found] == sorted(one.at for one in found)


def test_writes_are_seldom_and_the_last_one_is_the_newest() -> None:
    written: list[str] = []
    beat = Beat(status(), written.append, least_seconds=3600.0, beat_seconds=3600.0)
    for number in range(1000):
        beat.change(lambda old, n=number: Status(old.run, old.state, old.started, old.at, doing=str(n)))  # type: ignore[misc]
    beat.close("stopped", "enough")
    assert len(written) <= 3
    last = from_json(Status, written[-1])
    assert (last.doing, last.state, last.reason) == ("999", "stopped", "enough")
    beat.close("finished")
    assert from_json(Status, written[-1]).state == "stopped"


def test_a_slow_store_holds_nobody_back() -> None:
    free, begun = threading.Event(), threading.Event()
    calls: list[str] = []

    def slow(text: str) -> None:
        calls.append(text)
        if len(calls) == 2:
            begun.set()
            free.wait()

    beat = Beat(status(), slow, least_seconds=0.0)
    beat.change(lambda old: old)
    assert begun.wait(600.0)
    for _ in range(1000):
        beat.change(lambda old: old)  # one that was held back would hang
    assert len(calls) == 2
    free.set()
    beat.close("finished")


def test_a_store_that_cannot_write_is_told_once_and_tried_again() -> None:
    told: list[str] = []
    full = [True]

    def write(text: str) -> None:
        if full[0]:
            raise StoreError("no space left")

    beat = Beat(status(), write, trouble=told.append, least_seconds=0.0, beat_seconds=0.02)
    wait_for(lambda: beat.failures >= 3)
    full[0] = False
    wait_for(lambda: beat.writes >= 1)
    beat.close("finished")
    assert told == ["status.json cannot be written: StoreError: no space left"]


class Folder:
    """A followed run in a local folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.console = path, Console(file=io.StringIO(), width=300)
        self.teller = Teller(self.console)

    def follow(self, **how: object) -> object:
        return self.teller.following(
            "demo",
            write=lambda text: write_bytes(self.path / "status.json", text.encode()),
            log=RunLog(self.path / "log.jsonl", "demo"),
            command=COMMAND,
            **how,  # type: ignore[arg-type]
        )

    def status(self) -> Status:
        return read_status((self.path / "status.json").read_text)

    def events(self) -> list[str]:
        rows = (self.path / "log.jsonl").read_text().splitlines()
        return [json.loads(row)["event"] for row in rows]


def test_a_run_leaves_its_last_figures(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.follow():  # type: ignore[attr-defined]
        assert folder.status().state == "running" and folder.status().snapshot is None
        with folder.teller.watching("round 1", 100) as watch:
            watch.take(reading(10.0), at="now")
        with folder.teller.watching("round 2", 50, 10) as watch:
            last = watch.take(reading(10.0, done=14), at="now")
        folder.teller.say("training on [bold]12[/] pairs")
    found = folder.status()
    assert (found.state, found.reason, found.doing, found.command) == ("finished", "", "training on 12 pairs", COMMAND)
    assert found.snapshot == last and last.about.phase == 2 and last.about.name == "demo"
    assert folder.events() == ["start", "phase", "phase", "news", "finished"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "status.json"]


def test_what_an_engine_did_in_one_phase_is_not_counted_in_the_next(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.teller.watching("round 1", 100) as watch:
        watch.take(reading(10.0), at="now")
    with folder.teller.watching("round 2", 100) as watch:
        assert watch.take(reading(10.0), at="now").pools[0].requests == 0


@pytest.mark.parametrize(
    ("error", "reason", "events"),
    [
        (KeyboardInterrupt(), "interrupted", ["start", "stopped"]),
        (asyncio.CancelledError(), "interrupted", ["start", "stopped"]),
        (EngineError("all 9 dialogues failed"), "EngineError: all 9 dialogues failed", ["start", "stopped"]),
    ],
)
def test_a_run_that_breaks_off_says_why(tmp_path: Path, error: BaseException, reason: str, events: list[str]) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(type(error)), folder.follow():  # type: ignore[attr-defined]
        raise error
    assert (folder.status().state, folder.status().reason) == ("stopped", reason)
    assert folder.events() == events


def test_a_run_that_was_drained_is_not_finished(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.follow():  # type: ignore[attr-defined]
        folder.teller.stopping("the budget of 3 dialogues is used up")
    assert (folder.status().state, folder.status().reason) == ("stopped", "the budget of 3 dialogues is used up")
    assert folder.events() == ["start", "drained", "stopped"]
    with folder.follow():  # type: ignore[attr-defined]
        pass
    assert folder.status().state == "finished"


def test_secrets_are_in_neither_status_nor_log(tmp_path: Path) -> None:
    folder, secret = Folder(tmp_path), "correct horse battery"
    with pytest.raises(EngineError), folder.follow(redaction=Redaction([secret])):  # type: ignore[attr-defined]
        folder.teller.say(f"the endpoint refuses {secret}")
        raise EngineError(f"401 for {secret}")
    for name in ("status.json", "log.jsonl"):
        text = (tmp_path / name).read_text()
        assert secret not in text, name
    assert HIDDEN in folder.status().reason and HIDDEN in folder.status().doing


def test_a_run_is_followed_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "correct-horse'battery")
    folder, teller = locate(tmp_path), Teller(Console(file=io.StringIO(), width=300))
    arguments = ["run", "demo.yaml", "--fresh", "--set", "model=correct-horse'battery"]
    with follow(teller, config(name="demo"), folder, arguments):
        teller.log("failed", "401", dialogue="run-7")
    found = read_status((folder / "status.json").read_text)
    assert (found.run, found.state) == ("demo", "finished")
    assert found.command == f"tutorloop run demo.yaml --set 'model={HIDDEN}'"
    assert '"dialogue": "run-7"' in (folder / "log.jsonl").read_text()
    assert all("correct-horse" not in one.read_text() for one in folder.walk())


def test_a_remote_folder_gets_its_log_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder, teller = locate("mock:///bucket/runs/demo"), Teller(Console(file=io.StringIO(), width=300))
    assert folder.remote
    for start in ("first", "second"):
        with follow(teller, config(name="demo"), folder, ["run", "demo.yaml"]):
            teller.say(start)
            assert read_status((folder / "status.json").read_text).state == "running"
    rows = [json.loads(row) for row in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows] == ["start", "news", "finished"] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_end_a_run(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=300)

    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    with Teller(console).following("demo", write=full):
        pass
    assert isinstance(console.file, io.StringIO)
    assert "status.json cannot be written: OSError: [Errno 28] No space left on device" in console.file.getvalue()
