"""Signals end a command cleanly: what was finished is stored, there is no traceback, and the exit code names them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

HOST = """
import asyncio, json, os, signal, sys, threading, time, traceback
from sim import signals
from sim.cli import entry
def tell(text): os.write(1, (text + "\\n").encode())
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        try:
            # A suite that runs in the background has Ctrl-C ignored, and children inherit that.
            for number in signals.STOPPING:
                signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else signal.SIG_DFL)
            if signal.SIGINT not in asked["ignored"]:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            exec(asked["script"], globals())
            entry([], command)
        except SystemExit as ended:
            os._exit(ended.code or 0)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            os._exit(1)
    tell(f"process {child}")
    tell(f"exit {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")
"""
HEAD = """
async def phase():
    tell("ready")
    try:
        await asyncio.sleep(600)
    finally:
        tell("stored")
def command(**_): signals.run(phase())
"""
DRAINED = """
async def phase():
    loop, drained = asyncio.get_running_loop(), asyncio.Event()
    try:
        with signals.first(lambda: loop.call_soon_threadsafe(lambda: (tell("draining"), drained.set()))):
            tell("ready")
            await drained.wait()
            await asyncio.sleep(600)
    finally:
        tell("stored")
"""
SLOW_END = """
async def phase():
    tell("ready")
    try:
        await asyncio.sleep(600)
    finally:
        tell("closing")
        await asyncio.sleep(600)
def command(**_):
    with signals.last_words(lambda: tell("status: interrupted")):
        signals.run(phase())
"""
IN_A_THREAD = """
async def phase():
    try:
        await signals.unwaited(lambda: (tell("ready"), time.sleep(600)))
    finally:
        tell("stored")
"""
TAKEN_OVER = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
"""
TAKEN_OVER_MEANWHILE = """
def command(**_):
    for number in signals.STOPPING:
        signal.signal(number, lambda *_: sys.exit(15))
    try:
        tell("ready")
        time.sleep(600)
    finally:
        tell("stored")
"""
OTHERS_EXIT = """
from sim.progress import Teller
def command(**_):
    with Teller().following("demo", write=tell):
        sys.exit(15)
"""
PLAIN = """
def command(**_):
    try:
        tell("ready")
        time.sleep(600)
    finally:
        tell("stored")
"""
TWICE_PLAIN = """
def command(**_):
    try:
        tell("ready")
        time.sleep(600)
    finally:
        tell("stored")
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def host() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported the command line once, and forks a command off for each line it is given."""
    with subprocess.Popen(
        [sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.terminate()


def ended(
    host: subprocess.Popen[str],
    script: str,
    steps: Sequence[tuple[str, signal.Signals]],
    ignored: Sequence[signal.Signals] = (),
) -> tuple[int, str]:
    """Starts a command, and sends each signal when it has said the word; returns its exit code and what it said."""
    assert host.stdin is not None and host.stdout is not None
    host.stdin.write(json.dumps({"script": HEAD + script, "ignored": ignored}) + "\n")
    host.stdin.flush()
    child, told, left = 0, "", list(steps)
    for line in host.stdout:
        told += line
        word, _, value = line.strip().partition(" ")
        if word == "process":
            child = int(value)
        elif word == "exit":
            return int(value), told
        if child and left and left[0][0] in told.split():
            os.kill(child, left.pop(0)[1])
    raise AssertionError(f"the host ended: {told}")


INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.mark.parametrize(
    ("script", "steps", "code", "said"),
    [
        ("", [("ready", INT)], 130, "stored"),
        ("", [("ready", TERM)], 143, "stored"),
        ("", [("ready", HUP)], 129, "stored"),
        (PLAIN, [("ready", TERM)], 143, "stored"),
        (TAKEN_OVER, [("ready", TERM)], 143, "stored"),
        (TAKEN_OVER_MEANWHILE, [("ready", TERM)], 143, "stored"),
        (TAKEN_OVER_MEANWHILE, [("ready", INT)], 130, "stored"),
        (OTHERS_EXIT, [], 143, '"interrupted"'),
        (DRAINED, [("ready", HUP), ("draining", TERM)], 129, "stored"),
        (IN_A_THREAD, [("ready", TERM)], 143, "stored"),
        (SLOW_END, [("ready", TERM), ("closing", TERM)], 143, "status: interrupted"),
        (SLOW_END, [("ready", INT), ("closing", HUP)], 130, "status: interrupted"),
        (TWICE_PLAIN, [("ready", TERM), ("stored", TERM)], 143, "ended at once"),
    ],
    ids=(
        "int term hup plain taken-over meanwhile meanwhile-int others-exit drained thread twice int-hup plain-twice"
    ).split(),
)
def test_a_signal_ends_a_command_cleanly_and_a_second_one_at_once(
    host: subprocess.Popen[str], script: str, steps: list[tuple[str, signal.Signals]], code: int, said: str
) -> None:
    found, told = ended(host, script, steps)
    assert found == code and said in told and "The same command goes on from there" in told
    assert "Traceback" not in told and "SystemExit" not in told


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(host: subprocess.Popen[str]) -> None:
    hung_up = DRAINED.replace('tell("ready")', 'signal.raise_signal(signal.SIGHUP); tell("alive")')
    found, told = ended(host, hung_up, [("alive", TERM), ("draining", TERM)], ignored=[HUP, INT])
    assert found == 143 and "stored" in told and "Traceback" not in told
