"""A classroom: a Ray actor that runs many dialogues at once as asyncio tasks, each at its own pace.

Invariant: at most `in_flight` dialogues are under way, finished ones wait in a bounded queue (a slow reader slows the
classroom instead of filling its memory), and every episode given comes back exactly once, failed or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ray.actor import ActorHandle

from agents.engines.base import Completion, Engine, Message, Sampling, Score
from agents.judges.base import Judge
from agents.judges.rubric import RubricJudge
from agents.judges.rubrics import load_rubric
from agents.packs import Pack, load_pack
from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.episode import Cast, Episode
from sim.pools import RemoteEngine


class Meter:
    """Counts what passes through an engine, for progress."""

    def __init__(self) -> None:
        self.turns = self.prompt_tokens = self.completion_tokens = self.scored = 0

    def snapshot(self) -> dict[str, int]:
        """The counts so far."""
        return dict(vars(self))


class MeteredEngine:
    """An engine that counts turns and tokens on its way."""

    def __init__(self, engine: Engine, meter: Meter) -> None:
        self._engine, self._meter = engine, meter

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`."""
        found = await self._engine.generate(messages, sampling, dialogue_id=dialogue_id)
        self._meter.turns += 1
        self._meter.prompt_tokens += sum(completion.usage.prompt_tokens for completion in found)
        self._meter.completion_tokens += sum(completion.usage.completion_tokens for completion in found)
        return found

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`."""
        found = await self._engine.score(messages, continuations, dialogue_id=dialogue_id)
        self._meter.scored += len(found)
        self._meter.prompt_tokens += sum(score.usage.prompt_tokens for score in found)
        return found

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._engine.close()


@cache
def _pack(name: str) -> Pack:
    return load_pack(name)


class Classroom:
    """The actor. `engines` maps roles to engines, or to the actors that host them."""

    def __init__(self, config: Config, hosts: dict[str, list[ActorHandle[Any]]]) -> None:
        engines: dict[str, Engine] = {role: RemoteEngine(role, handles) for role, handles in hosts.items()}
        self._config = config
        self._meter = Meter()
        self._cast = cast_of(config, engines, self._meter)

    async def teach(self, specs: Sequence[EpisodeSpec], candidates: int) -> AsyncGenerator[Dialogue, None]:
        """Runs the episodes and yields dialogues as they finish."""
        async for dialogue in teach(self._config, self._cast, specs, candidates=candidates):
            yield dialogue

    async def progress(self) -> dict[str, int]:
        """Turns and tokens so far."""
        return self._meter.snapshot()


def cast_of(config: Config, engines: dict[str, Engine], meter: Meter) -> Cast:
    """The cast of a classroom from engines by role."""
    metered = {role: MeteredEngine(engine, meter) for role, engine in engines.items()}
    judges: list[Judge] = []
    if config.rubric is not None:
        judges.append(
            RubricJudge(
                metered["judge"],
                load_rubric(config.rubric.name),
                votes=config.rubric.votes,
                max_tokens=config.rubric.max_tokens,
                temperature=config.rubric.temperature,
            )
        )
    if config.scorer is not None and config.scorer.path:
        from trainers.scorer.judge import ScorerJudge  # torch is only imported where a scorer judges
        from trainers.scorer.scorer import load_scorer

        judges.append(ScorerJudge(load_scorer(Path(config.scorer.path).expanduser())))
    return Cast(metered["tutor"], metered["student"], tuple(judges))


async def teach(
    config: Config, cast: Cast, specs: Sequence[EpisodeSpec], *, candidates: int
) -> AsyncGenerator[Dialogue, None]:
    """Runs episodes, at most `run.in_flight` at once, and yields each dialogue when it is finished."""
    waiting = iter(specs)
    finished: asyncio.Queue[Dialogue] = asyncio.Queue(maxsize=config.run.part_dialogues)

    async def work() -> None:
        for spec in waiting:
            item = _pack(spec.pack).item(spec.item_id)
            await finished.put(await Episode(spec, item, cast, config, candidates=candidates).run())

    workers = [asyncio.create_task(work()) for _ in range(min(config.run.in_flight, len(specs)))]
    try:
        for _ in specs:
            yield await _next(finished, workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _next(finished: asyncio.Queue[Dialogue], workers: Sequence[asyncio.Task[None]]) -> Dialogue:
    """The next finished dialogue; a worker that broke (a bug, not a failed dialogue) raises here instead of hanging."""
    getter = asyncio.create_task(finished.get())
    alive = [worker for worker in workers if not worker.done() or worker.exception() is not None]
    await asyncio.wait([getter, *alive], return_when=asyncio.FIRST_COMPLETED)
    while not getter.done():
        for worker in workers:
            if worker.done():
                worker.result()
        alive = [worker for worker in workers if not worker.done()]
        await asyncio.wait([getter, *alive], return_when=asyncio.FIRST_COMPLETED)
    return getter.result()
