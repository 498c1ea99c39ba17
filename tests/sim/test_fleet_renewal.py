"""The live policy on its way into an engine: made ready meanwhile, and the one that is live when it is put there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sim.fleet.renewal import Put, made_ready, put_live


class Policy:
    """One that notes what becomes of it."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds, self.error = seconds, error
        self.log = list[str]()

    @asynccontextmanager
    async def renewal(self) -> AsyncIterator[Put]:
        """See `Renewal`."""
        self.log.append("begun")
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error

        async def put(actor: Any) -> None:
            self.log.append(f"put on {actor}")

        self.log.append("ready")
        try:
            yield put
        finally:
            self.log.append("cleared")


def test_it_is_made_ready_while_the_engine_starts() -> None:
    async def play(policy: Policy) -> None:
        live = policy.renewal
        async with made_ready(live) as readied:
            while policy.log != ["begun", "ready"]:  # the engine starts
                await asyncio.sleep(0)
            await put_live(live, readied, "a")
        assert policy.log == ["begun", "ready", "put on a", "cleared"]

    asyncio.run(play(Policy()))


def test_one_that_is_not_ready_yet_is_waited_for() -> None:
    async def play(policy: Policy) -> None:
        live = policy.renewal
        async with made_ready(live) as readied:
            await put_live(live, readied, "a")
        assert policy.log == ["begun", "ready", "put on a", "cleared"]

    asyncio.run(play(Policy(0.1)))


def test_a_policy_that_went_live_meanwhile_is_put_and_not_the_one_before() -> None:
    async def play(old: Policy, new: Policy) -> None:
        async with made_ready(old.renewal) as readied:
            await put_live(new.renewal, readied, "a")
            await put_live(None, readied, "b")  # the base went live: a fresh engine serves it
        assert old.log == ["begun", "ready", "cleared"] and new.log == ["begun", "ready", "put on a", "cleared"]

    asyncio.run(play(Policy(), Policy()))


def test_a_start_that_fails_leaves_nothing_behind() -> None:
    async def play(policy: Policy) -> None:
        with pytest.raises(RuntimeError, match="did not start"):
            async with made_ready(policy.renewal):
                await asyncio.sleep(0.01)
                raise RuntimeError("did not start")
        assert policy.log == ["begun", "ready", "cleared"]  # also where weights were still being written

    asyncio.run(play(Policy(0.1)))


def test_cancelling_twice_does_not_leave_half_written_weights() -> None:
    async def play(policy: Policy) -> None:
        async def start() -> None:
            async with made_ready(policy.renewal):
                await asyncio.sleep(10)

        starting = asyncio.create_task(start())
        for _ in range(2):
            await asyncio.sleep(0.02)
            starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert policy.log == ["begun", "ready", "cleared"]

    asyncio.run(play(Policy(0.1)))


def test_engines_that_start_at_once_merge_one_after_the_other() -> None:
    async def play(policies: list[Policy]) -> None:
        lock = asyncio.Lock()

        async def start(policy: Policy) -> None:
            live = policy.renewal
            async with made_ready(live, lock) as readied:
                await put_live(live, readied, "a")

        both = asyncio.gather(*map(start, policies))
        while not any(policy.log for policy in policies):
            await asyncio.sleep(0)
        assert sorted(len(policy.log) for policy in policies) == [0, 1]
        await both
        assert all(policy.log[-1] == "cleared" for policy in policies)

    asyncio.run(play([Policy(0.1), Policy(0.1)]))


def test_what_went_wrong_while_it_was_made_ready_is_said_when_it_is_put() -> None:
    async def play(policy: Policy) -> None:
        live = policy.renewal
        async with made_ready(live) as readied:
            with pytest.raises(OSError, match="No space left"):
                await put_live(live, readied, "a")

    asyncio.run(play(Policy(error=OSError(28, "No space left on device"))))


def test_the_base_needs_nothing() -> None:
    async def play() -> None:
        async with made_ready(None) as readied:
            assert readied is None
            await put_live(None, readied, "a")

    asyncio.run(play())
