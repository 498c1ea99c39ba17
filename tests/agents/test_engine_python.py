"""A user's callable as an engine: every way in which it can be named wrongly or behave badly."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.engines.base import Sampling
from agents.engines.python import PythonEngine, load_callable
from agents.errors import EngineError, EngineRefused, EngineUnavailable, InputError, NoReply
from tests.agents.contract import MESSAGES, check_engine

HERE = __name__


async def tutor(messages: list[dict[str, str]]) -> str:
    """A coroutine function that spoils what it was given."""
    last = messages[-1]["content"]
    messages[-1]["content"] = "spoilt"
    return f"Why do you ask: {last}"


def slow_tutor(messages: list[dict[str, str]]) -> str:
    """A plain function that blocks."""
    time.sleep(0.1)
    return "Take your time."


TEN = threading.Barrier(10)


def meeting_tutor(messages: list[dict[str, str]]) -> str:
    """A plain function that blocks until ten calls of it are under way."""
    TEN.wait()
    return "We are ten."


async def hanging(messages: list[dict[str, str]]) -> str:
    await asyncio.sleep(60)
    return "too late"


def raising(messages: list[dict[str, str]]) -> str:
    raise TimeoutError("the tutor's own timeout")


CALLS: list[int] = []


def sometimes_silent(messages: list[dict[str, str]]) -> str:
    """A tutor that asks an engine of its own, which has no reply the first time and the third."""
    CALLS.append(1)
    if len(CALLS) % 2:
        raise NoReply("its engine said nothing")
    return "Why?"


def refusing(messages: list[dict[str, str]]) -> str:
    raise EngineRefused("not today")


def numeric(messages: list[dict[str, str]]) -> Any:
    return 42


def stopping(messages: list[dict[str, str]]) -> str:
    return next(iter(()))


def leaving(messages: list[dict[str, str]]) -> str:
    raise SystemExit(3)


def interrupted(messages: list[dict[str, str]]) -> str:
    raise KeyboardInterrupt


def cancelled(messages: list[dict[str, str]]) -> str:
    raise asyncio.CancelledError("own")


async def leaving_later(messages: list[dict[str, str]]) -> str:
    await asyncio.sleep(0)
    return leaving(messages)


async def stopping_later(messages: list[dict[str, str]]) -> str:
    await asyncio.sleep(0)
    return stopping(messages)


async def cancelled_later(messages: list[dict[str, str]]) -> str:
    await asyncio.sleep(0)
    raise asyncio.CancelledError("own")


def empty(messages: list[dict[str, str]]) -> str:
    return ""


async def blank(messages: list[dict[str, str]]) -> str:
    return " \n\u200b"


def thinking(messages: list[dict[str, str]]) -> str:
    return "<think>The key is B.</think>Half an emoji: \ud83d"


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(messages: list[dict[str, str]]) -> Any:
        return function(messages)

    del wrapper.__wrapped__
    return wrapper


wrapped = _plain(tutor)


class Tutor:
    """An object with an async `__call__`, and a static method."""

    async def __call__(self, messages: list[dict[str, str]]) -> str:
        return "called"

    @staticmethod
    def static(messages: list[dict[str, str]]) -> str:
        return "static"


instance = Tutor()
not_callable = 3


def _reply(name: str, **settings: Any) -> str:
    async def ask() -> str:
        engine = PythonEngine(f"{HERE}:{name}", **settings)
        try:
            return (await engine.generate(MESSAGES, Sampling()))[0].text
        finally:
            await engine.close()

    return asyncio.run(ask())


def test_contract() -> None:
    for name in (f"{HERE}:tutor", f"{HERE}.tutor", f"{HERE}:slow_tutor"):
        asyncio.run(check_engine(PythonEngine(name), scores=False))


def test_the_messages_are_a_copy() -> None:
    before = [dict(message) for message in MESSAGES]
    assert _reply("tutor") == f"Why do you ask: {MESSAGES[-1]['content']}"
    assert [dict(message) for message in MESSAGES] == before


def test_every_kind_of_callable() -> None:
    assert _reply("wrapped").startswith("Why do you ask")
    assert _reply("instance") == "called"
    assert _reply("Tutor.static") == "static"


def test_blocking_functions_run_side_by_side() -> None:
    async def ask() -> int:
        engine = PythonEngine(f"{HERE}:meeting_tutor", max_concurrency=10)
        found = await asyncio.gather(*(engine.generate(MESSAGES, Sampling()) for _ in range(10)))
        await engine.close()
        return len(found)

    assert asyncio.run(ask()) == 10


def test_bad_behaviour_names_the_callable() -> None:
    with pytest.raises(EngineError, match=r"raising' raised TimeoutError: the tutor's own") as raised:
        _reply("raising")
    assert type(raised.value) is EngineError
    with pytest.raises(EngineRefused, match="returned int 42: it must return a str"):
        _reply("numeric")
    with pytest.raises(EngineUnavailable, match=r"hanging' gave no reply within 0.05 s"):
        _reply("hanging", timeout_seconds=0.05)
    with pytest.raises(EngineRefused, match="not today"):
        _reply("refusing")


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("stopping", "StopIteration"),
        ("leaving", "SystemExit: 3"),
        ("interrupted", "KeyboardInterrupt"),
        ("cancelled", "CancelledError: own"),
        ("leaving_later", "SystemExit: 3"),
        ("stopping_later", "StopIteration"),
        ("cancelled_later", "CancelledError: own"),
    ],
)
def test_whatever_is_raised_is_a_typed_error_at_once(name: str, raised: str) -> None:
    with pytest.raises(EngineError, match=rf"{name}' raised {raised}") as caught:
        _reply(name)  # with the default limit of 60 s
    assert type(caught.value) is EngineError


def test_a_caller_can_still_cancel() -> None:
    async def ask() -> None:
        engine = PythonEngine(f"{HERE}:hanging")
        task = asyncio.create_task(engine.generate(MESSAGES, Sampling()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await engine.close()

    asyncio.run(ask())


def test_what_is_no_reply_is_said_and_not_asked_again() -> None:
    for name in ("empty", "blank"):
        with pytest.raises(NoReply, match=f"{name}': no reply, not asked again: the answer is empty or blank"):
            _reply(name)
    assert _reply("thinking") == "Half an emoji: \ufffd"


def test_a_callable_may_say_itself_that_there_is_no_reply() -> None:
    async def ask() -> list[str]:
        engine = PythonEngine(f"{HERE}:sometimes_silent", max_concurrency=1)
        with pytest.raises(NoReply, match="no reply, not asked again: its engine said nothing"):
            await engine.generate(MESSAGES, Sampling(n=1))
        found = await engine.generate(MESSAGES, Sampling(n=3))
        await engine.close()
        return [one.text for one in found]

    assert asyncio.run(ask()) == ["Why?", "Why?"]


def test_a_blocked_thread_times_out() -> None:
    with pytest.raises(EngineUnavailable, match="slow_tutor"):
        _reply("slow_tutor", timeout_seconds=0.02)


def test_schema_is_refused_and_a_closed_engine_says_so() -> None:
    async def ask(schema: str | None) -> None:
        engine = PythonEngine(f"{HERE}:tutor")
        if schema is None:
            await engine.close()
        await engine.generate(MESSAGES, Sampling(schema=schema))

    with pytest.raises(EngineRefused, match="JSON schema"):
        asyncio.run(ask("{}"))
    with pytest.raises(EngineUnavailable, match="closed"):
        asyncio.run(ask(None))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"{HERE}:tutr", "did you mean 'tutor'"),
        (f"{HERE}:not_callable", "is a int, not a function"),
        ("agents.engines.scriptd:ScriptedEngine", "did you mean 'scripted'"),
        ("asynci:run", "did you mean 'asyncio'"),
        ("tutor", "write it as package.module:function"),
        (":tutor", "write it as package.module:function"),
    ],
)
def test_wrong_names(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_callable(name)


def test_a_module_that_fails_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    (tmp_path / "broken_tutor.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="needs 'surely_not_installed', which is not installed"):
        load_callable("needs_more:tutor")
    with pytest.raises(InputError, match="importing broken_tutor raised RuntimeError: no licence"):
        load_callable("broken_tutor:tutor")
