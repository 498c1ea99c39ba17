"""Signals that ask a command to stop: SIGINT (Ctrl-C), SIGTERM (`kill`, `ray job stop`) and SIGHUP (a closed terminal).

The first one drains or cancels what is under way, so that what was finished is stored and the status says that the run
was interrupted; where dialogues are held, it lets those under way end and a second one cancels. One more ends the
process at once. None gives a traceback, and the exit code is 128 and the signal's number (130, 143, 129).

Invariant: a signal that was ignored when the process began stays ignored (`nohup`, a shell's background job). Inside
`handled` no one else gets these signals: `ray.init` would take SIGTERM over, Ray Train SIGINT. Outside it everything is
as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_WORDS_SECONDS = 2.0
"""How long a process that ends at once may take to say so in its status."""

_INSTALL = signal.signal
_received: list[int] = []
_callbacks: list[Callable[[], object]] = []
"""What the next signals do, the innermost last; each is called once."""
_last_words: list[Callable[[], None]] = []
_unwaited: list[threading.Thread] = []


@contextmanager
def handled() -> Iterator[None]:
    """Handles the signals for the length of a block; in other threads than the main one it does nothing.

    It may be nested, to handle them again where something else took them over. What others install meanwhile is not
    installed, so that there is no moment in which a signal reaches them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGTERM) is not _handle and not _callbacks:
        _received.clear()
    before = {one: signal.getsignal(one) for one in STOPPING}
    install, process = signal.signal, os.getpid()

    def guarded(signalnum: int, handler: Any) -> Any:
        if signalnum in STOPPING and os.getpid() == process:  # a process that was forked off may have its own
            return signal.getsignal(signalnum)
        return install(signalnum, handler)

    try:
        for one, was in before.items():
            if was is not signal.SIG_IGN:
                _INSTALL(one, _handle)
        signal.signal = guarded
        yield
    finally:
        signal.signal = install
        for one, was in before.items():
            if was is not None:  # None: not installed from Python, and not to be put back from it
                _INSTALL(one, was)


def is_stop(error: BaseException) -> bool:
    """Whether what ended something was a signal that asked it to stop, also one that Ray's own handler got."""
    if isinstance(error, SystemExit) and error.code == signal.SIGTERM:  # Ray exits with the number of the signal
        if not _received:
            _received.append(signal.SIGTERM)
        return True
    return isinstance(error, KeyboardInterrupt | asyncio.CancelledError)


def exit_code() -> int:
    """Of a process that was asked to stop: 128 and the number of the first signal."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, of which a signal cancels the work.

    Raises:
        KeyboardInterrupt: it was cancelled by a signal.
    """
    cancelled = False

    async def main() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def cancel() -> None:
            nonlocal cancelled
            cancelled = True
            loop.call_soon_threadsafe(task.cancel)

        with first(cancel):
            return await work

    with handled():
        try:
            return asyncio.run(main())
        except asyncio.CancelledError:
            if cancelled:
                raise KeyboardInterrupt from None
            raise


@contextmanager
def first(callback: Callable[[], object]) -> Iterator[None]:
    """Has the next signal in a block call something, in the place of what it would do otherwise; the one after it not.

    Args:
        callback: called between two steps of the main thread, so it may not touch what those change: it hands over to
            an event loop.
    """
    _callbacks.append(callback)
    try:
        yield
    finally:
        with suppress(ValueError):
            _callbacks.remove(callback)


@contextmanager
def last_words(say: Callable[[], None]) -> Iterator[None]:
    """Has a process that is ended at once by a signal say something first, if that takes no longer than seconds."""
    _last_words.append(say)
    try:
        yield
    finally:
        _last_words.remove(say)


async def unwaited(work: Callable[..., T], *arguments: object) -> T:
    """Runs blocking work in a thread, which nobody waits for where the task is cancelled meanwhile.

    `asyncio.to_thread` would hold the end of the event loop up until the work is done, such as a training.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(set_: Callable[[Any], None], value: object) -> None:
        if not done.done():
            set_(value)

    def body() -> None:
        try:
            found = work(*arguments)
        except BaseException as error:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, done.set_exception, error)
        else:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, done.set_result, found)

    thread = threading.Thread(target=body, name="tutorloop-work", daemon=True)
    _unwaited.append(thread)
    thread.start()
    return await done


def end(code: int) -> None:
    """Ends the process; where a thread of `unwaited` still works, without waiting for it."""
    if any(thread.is_alive() for thread in _unwaited):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _handle(number: int, _: FrameType | None) -> None:
    signal.alarm(0)  # Ray's C++ handler, where it passes a signal on, has the process aborted three seconds later
    _received.append(number)
    if _callbacks:
        _callbacks.pop()()
        return
    if len(_received) == 1:
        raise KeyboardInterrupt
    _end_at_once()


def _end_at_once() -> None:
    def speak() -> None:
        for say in reversed(_last_words):
            with suppress(Exception):
                say()

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    speaker.join(LAST_WORDS_SECONDS)
    with suppress(OSError, ValueError):
        os.write(2, b"\nended at once; what was stored before stays. The same command goes on from there.\n")
    os._exit(exit_code())
