"""How the suite is dealt to two processes, and what every run ends with: its times, and what this machine lacks.

With `-n 2` one process runs the slow files, one after another, so that no two clusters or engines start at the same
time; the other runs the rest, a file at a time, because a file's tests share fixtures. Slow tests wait a lot and leave
the processor to the others. Without `-n` everything runs in one process.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

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
        self._kind[report.nodeid] = next((kind for kind in (SLOW, LONG) if kind in report.keywords), "other")
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
    rank: dict[Path, int] = defaultdict(lambda: 2)
    for item in items:
        own = 0 if item.get_closest_marker(SLOW) else 1 if item.get_closest_marker(LONG) else 2
        rank[item.path] = min(rank[item.path], own)
    items.sort(key=lambda item: rank[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals out whole files, and all slow ones as if they were one."""
    from xdist.scheduler import LoadScopeScheduling

    slow = {path for path in config.rootpath.rglob("tests/**/test_*.py") if "mark.slow" in path.read_text("utf-8")}

    def scope(test: str) -> str:
        file = test.partition("::")[0]
        return SLOW if config.rootpath / file in slow else file

    config.option.loadscopereorder = False  # in the order of `pytest_collection_modifyitems`
    scheduling: Any = LoadScopeScheduling(config, log)
    scheduling._split_scope = scope  # meant to be overridden
    return scheduling
