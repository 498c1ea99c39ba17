"""How the suite is dealt to two processes, and what every run ends with: its times, and what this machine lacks.

With `-n 2` both processes take a file at a time, slow ones first, because a file's tests share fixtures; the files that
share the local Ray are taken together. Without `-n` everything runs in one. What takes longer to start than most tests
take is started once: the local Ray, and in a process that needs it the head of a cluster.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from nodes import Nodes, nodes

# An example may take as long as a busy machine makes it take.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Ray gives its workers a niceness of 15, so beside a busy program they would stand still. For all Ray processes below.
os.environ.setdefault("RAY_worker_niceness", "0")

SLOW, LONG = "slow", "long"
RAY = "local Ray"
ROOT = Path(__file__).resolve().parents[1]
LONGEST = 10


class Times:
    """Seconds by test, its fixtures included, and why tests were skipped."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._kind: dict[str, str] = {}
        self._skipped: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds one phase of one test."""
        self._seconds[report.nodeid] += report.duration
        self._kind[report.nodeid] = str(dict(report.user_properties).get("kind", "other"))
        if report.skipped and isinstance(report.longrepr, tuple):
            self._skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Says it after everything else, right before pytest's closing line."""
        yield
        out = terminalreporter
        out.section("the longest tests, and all", sep="-")
        for test in sorted(self._seconds, key=lambda test: -self._seconds[test])[:LONGEST]:
            out.line(f"{self._seconds[test]:7.1f} s  {test}")
        for kind in (SLOW, LONG, "other"):
            tests = [test for test in self._seconds if self._kind[test] == kind]
            out.line(f"{sum(self._seconds[test] for test in tests):7.1f} s  {len(tests)} {kind} tests")
        out.line(f"{time.monotonic() - self._started:7.1f} s  by the clock")
        if self._skipped:
            out.section("not run on this machine", sep="-")
            for why, number in self._skipped.most_common():
                out.line(f"{number} skipped: {why}")


def pytest_configure(config: pytest.Config) -> None:
    """Times are kept where all reports arrive: not in a process that was dealt some of the tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Times())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, those of the local Ray before others; then long ones: short ones at the end keep both busy.

    Of the files that share the local Ray the tests that need none come last: it ends before the first of them.
    """
    kinds, rank = (SLOW, LONG, "other"), dict[Path, int]()
    for item in items:
        kind = next((kind for kind in kinds if item.get_closest_marker(kind)), kinds[-1])
        item.user_properties.append(("kind", kind))
        rank[item.path] = min(rank.get(item.path, len(kinds)), kinds.index(kind))

    def place(item: pytest.Item) -> tuple[int, bool, bool]:
        shared = _part(item.path) == RAY
        return rank[item.path], not shared, shared and "local_ray" not in fixtures(item)

    items.sort(key=place)


def fixtures(item: pytest.Item) -> list[str]:
    """Names of the fixtures that a test asks for, itself or through others."""
    return list(getattr(item, "fixturenames", ()))


@cache
def _part(path: Path) -> str:
    """Which part of the suite a file belongs to: its own, but for those that share the local Ray."""
    return RAY if "local_ray" in path.read_text(encoding="utf-8") else str(path)


def pytest_collection_finish() -> None:
    """All that was imported is taken out of garbage collection: with torch in it a full one takes long."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals out whole files, and those that share the local Ray together."""
    from xdist.scheduler import LoadScopeScheduling

    def scope(test: str) -> str:
        return _part(config.rootpath / test.partition("::")[0])

    config.option.loadscopereorder = False  # in the order of `pytest_collection_modifyitems`
    scheduling: Any = LoadScopeScheduling(config, log)
    scheduling._split_scope = scope  # meant to be overridden
    return scheduling


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Nodes]:
    """A head with its job server and a token, without CPUs. A test adds the nodes it needs and clears them away."""
    with nodes("cluster") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def head(shared_cluster: Nodes) -> Iterator[Nodes]:
    """The cluster with one node of four CPUs."""
    shared_cluster.ask("add 4")
    yield shared_cluster
    shared_cluster.clear()


@pytest.fixture(scope="module")
def two_nodes(shared_cluster: Nodes) -> Iterator[Nodes]:
    """The cluster with two nodes of three CPUs each."""
    shared_cluster.ask("add 3")
    shared_cluster.ask("add 3")
    yield shared_cluster
    shared_cluster.clear()


LETHAL = """
import os, signal, sys

def end_at_a_checkpoint(event, arguments):
    armed = os.environ["TUTORLOOP_TEST_ARMED"]
    if event == "os.rename" and os.path.basename(str(arguments[1])) == "step-000006" and os.path.exists(armed):
        os.remove(armed)
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(end_at_a_checkpoint)
"""
"""Every Python process of the local Ray runs this at its start: a training worker dies as it puts its second checkpoint
in place, once, as on a machine that runs out of memory, and at the same step however busy this one is."""


@pytest.fixture
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local Ray, which runs on until the first test that does not ask for it.

    Returns:
        A file that is not there: while it is, a training worker dies.
    """
    import ray

    from sim.cluster import start_local, stay_on_loopback

    if not ray.is_initialized():
        folder = tmp_path_factory.mktemp("lethal")
        (folder / "sitecustomize.py").write_text(LETHAL)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
            patch.setenv("TUTORLOOP_TEST_ARMED", str(folder / "armed"))
            patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            stay_on_loopback()
            start_local(
                {
                    "_node_ip_address": "127.0.0.1",
                    "num_cpus": 4,
                    "log_to_driver": False,
                    "logging_level": logging.ERROR,
                    "_system_config": {"metrics_report_interval_ms": 1000},
                }
            )
        _armed.append(folder / "armed")
    return _armed[-1]


_armed: list[Path] = []


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Ends the local Ray where the next test does not ask for it."""
    if _armed and (nextitem is None or "local_ray" not in fixtures(nextitem)):
        import ray

        ray.shutdown()
        _armed.clear()
