"""How the suite is dealt to two processes, and what every run ends with: its times, and what this machine lacks.

With `-n 2` one process begins with all files that use the shared cluster, the other with the other slow files; then
both take the rest, a file at a time, because a file's tests share fixtures. Slow tests wait a lot and leave the
processor to the other process. Without `-n` everything runs in one. One Ray head serves all tests that need a cluster:
starting one takes longer than most of them.
"""

from __future__ import annotations

import gc
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

SLOW, LONG = "slow", "long"
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
    """Slow files first, then long ones: short ones at the end keep both processors busy."""
    kinds, rank = (SLOW, LONG, "other"), dict[Path, int]()
    for item in items:
        kind = next((kind for kind in kinds if item.get_closest_marker(kind)), kinds[-1])
        item.user_properties.append(("kind", kind))
        rank[item.path] = min(rank.get(item.path, len(kinds)), kinds.index(kind))
    items.sort(key=lambda item: rank[item.path])


def pytest_collection_finish() -> None:
    """All that was imported is taken out of garbage collection: with torch in it a full one takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals out whole files, and the slow ones in two parts."""
    from xdist.scheduler import LoadScopeScheduling

    @cache
    def part(file: str) -> str:
        text = (config.rootpath / file).read_text(encoding="utf-8")
        if "from nodes import" in text:
            return "cluster"
        return SLOW if "mark.slow" in text else file

    def scope(test: str) -> str:
        return part(test.partition("::")[0])

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
