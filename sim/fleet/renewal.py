"""The live policy of a pool on its way into an engine that is started anew.

What can be made ready before the engine is there (merged weights, on a CPU) is made while it starts.

Invariant: what is put on an engine is the policy that is live when it is put there, not the one that was live when the
engine began to start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

Put = Callable[[Any], Awaitable[None]]
"""Puts the policy on one host's actor and proves it."""
Renewal = Callable[[], AbstractAsyncContextManager[Put]]
"""Makes the policy ready for engines for as long as it is entered."""


@dataclass(frozen=True, slots=True)
class Readied:
    """A policy that is ready, or is being made so."""

    renewal: Renewal
    put: asyncio.Task[Put]

    async def onto(self, actor: Any) -> None:
        """Puts it on an engine. Raises what making it ready, or putting it there, did."""
        await (await asyncio.shield(self.put))(actor)


@asynccontextmanager
async def made_ready(renewal: Renewal | None, one_by_one: asyncio.Lock | None = None) -> AsyncIterator[Readied | None]:
    """Begins to make a policy ready at once, and clears it away at the end.

    Args:
        renewal: of the policy; None: the base, which needs nothing, and None is yielded.
        one_by_one: held while it is made ready, so that many engines that start at once do not all merge at once.
    """
    if renewal is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        put = asyncio.create_task(_entered(stack, renewal, one_by_one or asyncio.Lock()))
        try:
            yield Readied(renewal, put)
        finally:
            await _ended(put)


async def _entered(stack: AsyncExitStack, renewal: Renewal, one_by_one: asyncio.Lock) -> Put:
    async with one_by_one:
        return await stack.enter_async_context(renewal())


async def _ended(task: asyncio.Task[Put]) -> None:
    """Waits for the task through every cancellation: a thread that writes weights cannot be called off."""
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.cancelled():
        task.exception()  # looked at: whoever puts the policy on an engine is told
    if cancelled is not None:
        raise cancelled


async def put_live(live: Renewal | None, readied: Readied | None, actor: Any) -> None:
    """Puts the live policy on an engine; what was made ready is used if it is still that."""
    if live is None:
        return
    if readied is not None and readied.renewal is live:
        await readied.onto(actor)
        return
    async with made_ready(live) as late:
        assert late is not None
        await late.onto(actor)
