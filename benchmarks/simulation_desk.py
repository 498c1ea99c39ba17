"""Between the driver of `simulation.py` and the hosts of watched engines: who serves, and what is to be done.

Invariant: an order is answered once, with what came of it or with the error that ended it; one at a time and host.
"""

from __future__ import annotations

import asyncio
from typing import Any

from agents.errors import EngineError

DESK = "benchmark-desk"
"""The actor's name."""


class Desk:
    """The actor. Its methods say who calls them."""

    def __init__(self) -> None:
        self._orders: list[asyncio.Queue[tuple[asyncio.Future[Any], str, tuple[Any, ...]]]] = []
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._news: list[str] = []

    async def clear(self) -> None:
        """Before engines start: forgets those before them."""
        self._orders = []

    async def enrol(self) -> int:
        """A host that starts: its number."""
        self._orders.append(asyncio.Queue())
        return len(self._orders) - 1

    async def hosts(self) -> int:
        """How many have come."""
        return len(self._orders)

    async def ask(self, number: int, order: str, *given: Any) -> Any:
        """From the driver: an order for a host; returns its answer."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._orders[number].put((future, order, given))
        return await future

    async def tell(self, text: str) -> None:
        """From a host: news for people."""
        self._news.append(text)

    async def news(self) -> list[str]:
        """What was told since this was last asked."""
        found, self._news = self._news, []
        return found

    async def next(self, number: int) -> tuple[str, tuple[Any, ...]]:
        """From a host: its next order; waits for one."""
        self._open[number], order, given = await self._orders[number].get()
        return order, given

    async def answer(self, number: int, found: Any, error: str) -> None:
        """From a host: what came of its order."""
        future = self._open.pop(number)
        if error:
            future.set_exception(EngineError(error))
        else:
            future.set_result(found)
