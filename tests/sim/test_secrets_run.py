"""A real run against an endpoint that shows everybody its key: the key is in no file, log or command line, and nothing
of the run listens beyond loopback.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from agents.errors import InputError
from sim.config import PoolConfig
from sim.engines import check_pool
from sim.load import load_config
from tests.agents.server import Answer, FakeServer, chat

KEY = "sk-proj-a/very+secret=0123456789"
CONFIG: dict[str, Any] = {
    "name": "t",
    "pools": {
        "class": {"roles": ["student"], "engine": "scripted"},
        "tutor": {"roles": ["tutor"], "engine": "openai", "model": "m", "api_key_env": "TUTOR_KEY", "max_retries": 1},
    },
    "items": {"limit": 6},
    "experiment": {"resamples": 50},
}


class Indiscreet(FakeServer):
    """Says the key that it was sent, in replies and in refusals: every fourth answer, however many arrive at once."""

    def __init__(self) -> None:
        super().__init__()
        self._chats = itertools.count(1)

    def answer(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        super().answer(path, body, headers)
        if not path.endswith("/chat/completions"):
            return Answer(404, "nothing here")
        if next(self._chats) % 4 == 0:
            return Answer(401, json.dumps({"error": {"message": f"no such key: {headers['authorization']}"}}))
        return Answer(body=chat(f"I was sent {headers['authorization']}. What do you see?"), delay_seconds=0.1)


@dataclass
class Seen:
    """What was found out about a run while it went on."""

    folder: Path
    scratch: Path
    output: str = ""
    listening: dict[str, str] = field(default_factory=dict)
    """Addresses on which a process of the run listened, with the process's name."""
    commands: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    sent: int = 0
    """Requests that carried the key."""


def watch(mark: str, seen: Seen) -> None:
    """Notes the sockets and command lines of every process that has the mark in its environment."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("TUTORLOOP_TEST_MARK") != mark:
                continue
            seen.processes.add(process.name())
            seen.commands.add(" ".join(process.cmdline()))
            for one in process.net_connections(kind="inet"):
                if one.laddr and not one.raddr and one.status in (psutil.CONN_LISTEN, psutil.CONN_NONE):
                    seen.listening[f"{one.laddr.ip}:{one.laddr.port}"] = process.name()
        except psutil.Error:
            continue  # it ended meanwhile, or belongs to somebody else


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder, mark = tmp_path_factory.mktemp("run"), uuid.uuid4().hex
    with Indiscreet() as server, tempfile.TemporaryDirectory(prefix="tl") as scratch:  # sockets need a short path
        content = {**CONFIG, "run": {"folder": str(folder / "runs"), "in_flight": 2}}
        content["pools"]["tutor"]["base_url"] = server.url
        (folder / "t.yaml").write_text(yaml.safe_dump(content))
        found = Seen(folder / "runs" / "t", Path(scratch))
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= {"TUTOR_KEY": KEY, "TUTORLOOP_TEST_MARK": mark, "RAY_TMPDIR": scratch}
        with (folder / "output").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "sim.cli", "run", str(folder / "t.yaml")],
                env=environment,
                stdout=out,
                stderr=out,
            )
            try:
                while process.poll() is None:
                    watch(mark, found)
                    time.sleep(1.0)
            finally:
                process.kill()
                process.wait()
        found.output = (folder / "output").read_text()
        found.sent = sum(headers.get("authorization") == f"Bearer {KEY}" for _, _, headers, _ in server.requests)
        assert process.returncode == 0, found.output
        yield found


def holds(data: bytes) -> bool:
    """Whether the key, or a telling half of it, stands in data, as it is or as JSON or a URL writes it."""
    forms = {KEY, KEY[:20], KEY[12:], json.dumps(KEY)[1:-1], KEY.replace("/", "\\/"), quote(KEY, safe="")}
    return any(form.encode() in data for form in forms)


@pytest.mark.slow
def test_the_key_was_used_and_told(seen: Seen) -> None:
    """Without this the tests below would prove nothing."""
    assert seen.sent > 10
    (rows,) = [pq.read_table(seen.folder / "dialogues").to_pylist()]
    said = " ".join(turn["text"] for row in rows for turn in row["turns"])
    assert "I was sent Bearer ***" in said and {row["failure"] for row in rows} - {None}
    assert "no such key: Bearer ***" in "".join(row["record"] for row in rows)


@pytest.mark.slow
def test_the_key_is_in_no_file_of_the_run(seen: Seen) -> None:
    files = [path for path in seen.folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"config.yaml", "environment.json", "summary.json", "report.html"} <= names
    for path in files:
        assert not holds(path.read_bytes()), path
        if path.suffix == ".parquet":  # compressed, so its bytes say nothing
            assert not holds(json.dumps(pq.read_table(path).to_pylist(), default=str).encode()), path


@pytest.mark.slow
def test_the_key_is_in_no_output_log_or_command_line(seen: Seen) -> None:
    assert not holds(seen.output.encode())
    logs = [path for path in seen.scratch.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any("raylet" in path.name for path in logs), "Ray wrote its logs somewhere else"
    for path in logs:
        assert not holds(path.read_bytes()), path
    assert any("raylet" in command for command in seen.commands)
    for command in seen.commands:
        assert not holds(command.encode())


@pytest.mark.slow
def test_nothing_of_a_run_listens_beyond_loopback(seen: Seen) -> None:
    assert {"raylet", "gcs_server"} <= seen.processes and len(seen.listening) > 3
    beyond = {
        address: process
        for address, process in seen.listening.items()
        if not ipaddress.ip_address(address.rpartition(":")[0].removeprefix("::ffff:")).is_loopback
    }
    assert beyond == {}


@pytest.mark.parametrize(
    ("change", "set_"),
    [
        ("base_url: https://me:hunter22@tutor.example/v1", ()),
        ("base_url: https://tutor.example/v1?api_key=hunter2222", ()),
        ("api_key_env: sk-proj-hunter220123456789", ()),
        ("api_key_env: hunter-22", ()),
        ("api_key: hunter22", ()),
        ("{}: 1", ("pools.tutor.model=sk-proj-hunter220123456789",)),
        ("{}: 1", ("pools.tutor.base_url=http://me:hunter22@127.0.0.1/v1",)),
        ("{}: 1", ("sk-proj-hunter220123456789",)),
    ],
)
def test_a_key_in_a_config_or_an_argument_is_refused_and_not_shown(
    tmp_path: Path, change: str, set_: tuple[str, ...]
) -> None:
    content = {**CONFIG, "pools": {**CONFIG["pools"]}}
    if not set_:
        content["pools"]["tutor"] = {**CONFIG["pools"]["tutor"], **yaml.safe_load(change)}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="looks like") as raised:
        load_config(tmp_path / "t.yaml", set_)
    assert "hunter" not in str(raised.value)


def test_a_pool_takes_its_key_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pool = PoolConfig(roles=("tutor",), engine="openai", base_url="https://tutor.example/v1", api_key_env="TUTOR_KEY")
    monkeypatch.delenv("TUTOR_KEY", raising=False)
    with pytest.raises(InputError, match="TUTOR_KEY"):
        check_pool("t", pool)
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("TUTOR_KEY_FILE", str(tmp_path / "key"))
    check_pool("t", pool)


def test_the_shipped_configs_hold_no_key_and_no_address_but_loopback() -> None:
    root = Path(__file__).resolve().parents[2]
    for path in sorted((root / "configs").rglob("*.yaml")):
        for url in re.findall(r"https?://[^\s\"']+", path.read_text()):
            assert re.match(r"https?://(127\.0\.0\.1|localhost|HOST)\b", url), (path, url)
