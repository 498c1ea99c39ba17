"""Calls of actors as plain coroutines, which asyncio can wait for with a time limit."""

from __future__ import annotations

from typing import Any

from ray.exceptions import RayError


async def asked(method: Any, *arguments: Any) -> Any:
    """The answer of an actor's method. Raises what Ray raises."""
    return await method.remote(*arguments)


async def forgiven(answer: Any) -> None:
    """Waits for an answer that nobody needs; one of an actor that just died is lost with it."""
    try:
        await answer
    except RayError:
        return
