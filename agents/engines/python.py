"""An engine that is a function of yours: `async def tutor(messages) -> str`, or a plain function, by dotted name.

Invariant: whatever the function does (raises, hangs, returns something else, changes the messages it was given) ends as
a typed error that names it, and never harms another dialogue. A plain function runs in a thread and therefore must be
safe to call from several threads; Python cannot stop a thread, so one that hangs keeps its thread until it returns.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.reply import outcome, replies
from agents.engines.scripted import count_words
from agents.errors import EngineError, EngineRefused, EngineUnavailable, InputError, NoReply, nearest
from agents.records import Usage


class PythonEngine:
    """Asks a user's callable for each reply. It generates text only: no scores, no JSON schema, no token ids.

    Args:
        dotted_name: `package.module:function` or `package.module.function`.
        timeout_seconds: longest time one call may take.
        max_concurrency: calls in flight at once.

    Raises:
        InputError: the name does not lead to a callable.
    """

    def __init__(self, dotted_name: str, *, timeout_seconds: float = 60.0, max_concurrency: int = 32) -> None:
        self.name = dotted_name
        self._callable = load_callable(dotted_name)
        self._is_async = inspect.iscoroutinefunction(self._callable) or inspect.iscoroutinefunction(
            getattr(self._callable, "__call__", None)  # noqa: B004 - asks how an object is called, not whether it can be
        )
        self._timeout = timeout_seconds
        self._slots = asyncio.Semaphore(max_concurrency)
        self._threads = ThreadPoolExecutor(max_concurrency, thread_name_prefix="tutor")
        self._closed = False

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Calls the function `sampling.n` times; usage counts words, since a function tells no tokens.

        Raises:
            EngineError: the function raised, whatever it was.
            NoReply: it returned nothing that can be said; a function is not asked again.
            EngineUnavailable: it took longer than `timeout_seconds`, or the engine is closed.
            EngineRefused: it returned something that is not a string, or the sampling asks for an opener or a schema.
        """
        if sampling.opener:
            raise EngineRefused(f"{self.name}: a callable cannot go on from an opener; set dialogue.exploration to 0")
        if self._closed:
            raise EngineUnavailable(f"the engine of callable {self.name!r} is closed: make a new one")
        if sampling.schema is not None:
            raise EngineRefused(
                f"callable {self.name!r} cannot be held to a JSON schema: judge with a `vllm` or `openai` engine"
            )
        found = await asyncio.gather(*(self._call(messages) for _ in range(sampling.n)), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException) and not isinstance(error, NoReply):
                raise error
        prompt = count_words(messages)
        drawn: list[Completion | NoReply] = []
        for one in found:
            if isinstance(one, NoReply):  # a callable that asks an engine of ours may say so itself
                drawn.append(one)
            elif isinstance(one, str):
                read = prompt if not any(isinstance(other, Completion) for other in drawn) else 0
                drawn.append(outcome(Completion(text=one, usage=Usage(read, len(one.split())))))

        async def draw(n: int) -> list[Completion | NoReply]:
            return drawn

        # Whoever answers here does not sample by this sampling: what it says the first time is what it says.
        try:
            return await replies(draw, sampling, can_differ=False)
        except NoReply as error:
            named = NoReply(f"callable {self.name!r}: {error}")
            named.usage, named.raw = error.usage, error.raw
            raise named from None

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Always raises `EngineRefused`: a function returns text, not probabilities."""
        raise EngineRefused(
            f"callable {self.name!r} returns text and cannot score it: give the student's role to a `vllm` engine"
        )

    async def close(self) -> None:
        """Takes no more calls and lets go of the threads, without waiting for calls that hang."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, messages: Sequence[Message]) -> str:
        async with self._slots:
            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    result = await self._result([dict(message) for message in messages])
            except EngineError:
                raise
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise  # by who asked, not by the callable
                if limit.expired():
                    raise EngineUnavailable(
                        f"callable {self.name!r} gave no reply within {self._timeout:g} s: "
                        "make it faster or raise timeout_seconds"
                    ) from None
                if isinstance(error, GeneratorExit):
                    raise  # the loop is being closed
                raised = error.__cause__ if isinstance(error, _Raised | RuntimeError) else None
                cause = raised if isinstance(error, _Raised) or isinstance(raised, StopIteration) else error
                if isinstance(cause, EngineError):
                    raise cause from None
                raise EngineError(f"callable {self.name!r} raised {type(cause).__name__}: {cause}") from cause
        if not isinstance(result, str):
            raise EngineRefused(
                f"callable {self.name!r} returned {type(result).__name__} {repr(result)[:80]}: it must return a str"
            )
        return result

    async def _result(self, messages: list[dict[str, Any]]) -> object:
        if self._is_async:
            result = self._callable(messages)
        else:
            loop = asyncio.get_running_loop()
            result, error = await loop.run_in_executor(self._threads, self._contained, messages)
            if error is not None:
                raise _Raised from error
        # A decorated coroutine function can look like a plain one until it is called.
        return await result if inspect.isawaitable(result) else result

    def _contained(self, messages: list[dict[str, Any]]) -> tuple[object, BaseException | None]:
        """The result or the error, as values: no future can hold a StopIteration, and a SystemExit ends the loop."""
        try:
            return self._callable(messages), None
        except BaseException as error:
            return None, error


class _Raised(Exception):
    """A plain function raised something: its cause."""


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def load_callable(dotted_name: str) -> Callable[..., Any]:
    """Returns what `package.module:function` or `package.module.function` names.

    Raises:
        InputError: no such module or attribute (with the nearest name), a module that fails to import, or no callable.
    """
    module_name, colon, path = dotted_name.partition(":")
    if not colon:
        module_name, _, path = dotted_name.rpartition(".")
    if not module_name or not path:
        raise InputError(f"callable {dotted_name!r} is not a dotted name: write it as package.module:function")
    value: Any = _import(module_name, dotted_name)
    for part in path.split("."):
        if not hasattr(value, part):
            names = [name for name, member in vars(value).items() if callable(member) and not name.startswith("_")]
            raise InputError(f"callable {dotted_name!r}: {module_name} has no {part!r}; {nearest(part, names)}")
        value = getattr(value, part)
    if not callable(value):
        raise InputError(f"callable {dotted_name!r} is a {type(value).__name__}, not a function: name a function")
    found: Callable[..., Any] = value
    return found


def _import(module_name: str, dotted_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != module_name and not module_name.startswith(f"{missing}."):
            raise InputError(
                f"callable {dotted_name!r}: importing {module_name} needs {missing!r}, which is not installed"
            ) from error
        parent, _, child = missing.rpartition(".")
        raise InputError(
            f"callable {dotted_name!r}: no module {missing!r}; {nearest(child, _siblings(parent, child))}. "
            "Is its folder on PYTHONPATH?"
        ) from None
    except Exception as error:
        raise InputError(
            f"callable {dotted_name!r}: importing {module_name} raised {type(error).__name__}: {error}"
        ) from error


def _siblings(parent: str, child: str) -> list[str]:
    """Names of modules beside the missing one; at the top level only similar ones, as there are hundreds."""
    if parent:
        path = getattr(importlib.import_module(parent), "__path__", [])
        return [module.name for module in pkgutil.iter_modules(path)]
    names = [module.name for module in pkgutil.iter_modules()]
    return [name for name in names if name[:3].lower() == child[:3].lower()]
