"""What people see: it fits, it does not flicker into pipes, and names of others steer nothing."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from sight_samples import about, followed, load, reading, replica, room

from agents.engines.load import EngineLoad
from sim.progress import Teller
from sim.sight.records import Replica, RoomCount, TutorCount
from sim.sight.snapshot import Snapshot
from sim.sight.view import View, clipped, duration, flowed, line, number, percent


def drawn(snapshot: Snapshot, width: int, height: int = 30) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, soft_wrap=True)
    console.print(View(snapshot))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def crowded() -> Snapshot:
    tutors = {f"tutor with a rather long name {i}": TutorCount(i, 100_000, 100_000, i) for i in range(12)}
    pools = tuple(replica(i % 3, pool=f"pool-{i // 3}-of-many-pools", load=load(9000)) for i in range(36))
    what = "round 17: training dialogues, and held-out ones with tutor/v0016 and more"
    shown = reading(900.0, done=4000, rooms=(room(4000, by_tutor=tutors),), replicas=pools)
    return followed(shown, phase=about(total=100_000, what=what))


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("snapshot", [followed(reading()), crowded()], ids=["small", "crowded"])
def test_no_line_is_wider_than_the_terminal(snapshot: Snapshot, width: int) -> None:
    lines = drawn(snapshot, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 36


def test_the_terminal_view_says_everything() -> None:
    text = drawn(followed(reading(10.0), reading(20.0, done=8)), 100)
    for said in ("practice", "8/100", "ETA 4 min", "turns/s", "tokens/s", "prefix hits 80%", "queue 0", "restarts 0"):
        assert said in text
    for said in ("cost 0.08", "class", "1/1", "socratic", "orchestration 20%", "decode 48%", "storing* 10%"):
        assert said in text


def test_narrow_tables_keep_what_matters() -> None:
    text = drawn(followed(reading()), 60)
    assert "KV" in text and "preempted" not in text
    assert "class" not in drawn(followed(reading()), 60, height=30).split("\n", 1)[0]


def test_what_is_not_known_is_a_dash() -> None:
    silent = reading(5.0, done=0, rooms=(RoomCount(),), replicas=(Replica("api", 0, load=EngineLoad()),))
    text = drawn(followed(silent), 100)
    assert "ETA -" in text and "prefix hits -" in text and "decode -" in text and "orchestration -" in text
    assert "ETA -" in line(followed(silent))


def test_names_of_others_steer_nothing() -> None:
    evil = "a\x1b[2Jb\x9b31m[red]c[/]\r\n"
    shown = followed(reading(replicas=(replica(pool=evil),)), phase=about(what=evil))
    text = drawn(shown, 120)
    assert "\x1b" not in text and "\x9b" not in text and "\r" not in text
    assert "[red]c[/]" in text
    assert "\n" not in line(shown) and "\x1b" not in line(shown)


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12), st.integers(1, 100))
def test_flowed_lines_fit(parts: list[str], width: int) -> None:
    lines = flowed(parts, width)
    assert all(len(one) <= width for one in lines)
    assert len(lines) <= len(parts)


def test_figures_for_people() -> None:
    assert (number(None), number(1234.56), number(1234.56, 0)) == ("-", "1,234.6", "1,235")
    assert (percent(None), percent(0.834)) == ("-", "83%")
    assert [duration(s) for s in (None, 0.4, 119, 600, 9000, 200_000)] == [
        *("-", "0 s", "119 s", "10 min", "2 h 30 min", "2 d 7 h")
    ]
    assert clipped("abcdef", 4) == "abc…"


def piped(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Console:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Console(file=io.StringIO(), width=200, highlight=False, soft_wrap=True)


def test_a_pipe_gets_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.progress.QUIET_SECONDS", 0.0)
    console = piped(monkeypatch)
    teller = Teller(console)
    with teller.watching("practice", 100) as watch:
        watch.take(reading(10.0), at="now")
        teller.say("[bold]news[/] of 3 engines")
        watch.take(reading(20.0, done=8), at="now")
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert re.fullmatch(r"[\n\x20-\x7e]*", text)
    assert [part.split("  ")[-1][:30] for part in text.splitlines()] == [
        *("practice: 4/100 dialogues, 1.6", "news of 3 engines", "practice: 8/100 dialogues, 1.6")
    ]


def test_a_pipe_hears_little(monkeypatch: pytest.MonkeyPatch) -> None:
    console = piped(monkeypatch)
    with Teller(console).watching("practice", 100) as watch:
        for second in range(1, 10):
            watch.take(reading(float(second)), at="now")
    assert isinstance(console.file, io.StringIO) and console.file.getvalue() == ""


def test_a_terminal_is_drawn_in_place_and_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sim.progress.DRAW_SECONDS", 0.0)
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=24, soft_wrap=True, _environ={})
    teller = Teller(console)
    with teller.watching("practice", 100) as watch:
        watch.take(reading(10.0), at="now")
        teller.say("an engine died")
        watch.take(reading(20.0, done=8), at="now")
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count("\x1b[2K") > 4  # lines are erased one by one where they are drawn anew
    assert "\x1b[2J" not in text and "\x1b[H" not in text  # and never the whole screen, which would flicker
    assert "\x1b[?25l" in text and text.count("\x1b[?25h") >= 1
    assert "an engine died" in text and "8/100" in text


def test_no_color_is_respected() -> None:
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=80,
        height=30,
        _environ={"NO_COLOR": "1", "TERM": "xterm-256color"},
    )
    console.print(View(followed(reading())))
    assert isinstance(console.file, io.StringIO)
    codes = re.findall(r"\x1b\[([0-9;]*)m", console.file.getvalue())
    assert not [code for code in codes if re.search(r"(^|;)(3[0-8]|4[0-8]|9[0-7]|10[0-7])($|;)", code)]


def test_text_that_looks_like_markup_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    console = piped(monkeypatch)
    Teller(console).say("the endpoint said [/nothing]")
    assert isinstance(console.file, io.StringIO)
    assert "the endpoint said [/nothing]" in console.file.getvalue()


def test_the_plain_bar_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.progress.QUIET_SECONDS", 0.0)
    console = piped(monkeypatch)
    with Teller(console).counting("judging", 10, 2) as tell:
        tell(4, {"turns": 4, "completion_tokens": 40})
    assert isinstance(console.file, io.StringIO)
    assert "judging: 4/10 dialogues" in console.file.getvalue()


def test_failures_and_restarts_are_in_the_line() -> None:
    hurt = followed(reading(replicas=(replica(restarts=2), replica(1, state="out", restarts=3))))
    assert "failed 1, restarts 5" in line(hurt)
    assert "1/2 out" in drawn(hurt, 120)
    quiet = replace(hurt, failed=0, engine_restarts=0, cost=0.0)
    assert "failed" not in line(quiet) and "restarts" not in line(quiet) and "cost" not in line(quiet)


def test_the_page_names_what_is_shown() -> None:
    """docs/watching.md explains every word of the view."""
    page = (Path(__file__).parents[2] / "docs/watching.md").read_text(encoding="utf-8")
    for word in ("in flight", "turns/s", "tokens/s", "prefix hits", "queue", "restarts", "cost", "ETA", "preempted"):
        assert f"`{word}`" in page, word
    for word in ("prefill", "decode", "transport", "orchestration", "storing*", "engines"):
        assert f"`{word}`" in page, word
