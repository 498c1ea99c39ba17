"""A classroom: a Ray actor that runs many dialogues at once as asyncio tasks, each at its own pace.

Invariant: at most `in_flight` dialogues are under way, finished ones wait in a bounded queue (a slow reader slows the
classroom instead of filling its memory), and every episode given comes back exactly once, failed or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.actor import ActorHandle

from agents.engines.base import Engine
from agents.engines.recorded import Player, RecordingEngine, ReplayEngine
from agents.engines.tape import Recorder, Tape
from agents.judges.base import Judge
from agents.judges.rubric import RubricJudge
from agents.judges.rubrics import load_rubric
from agents.judges.safety import DISTRESS, SafetyJudge
from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.episode import Cast, Episode
from sim.meters import Bill, BilledEngine, Meter, MeteredEngine
from sim.pools import RemoteEngine


class Classroom:
    """The actor. `hosts` maps pools to the actors that host their engines; a pool is missing where it is not needed."""

    def __init__(self, config: Config, hosts: dict[str, list[ActorHandle[Any]]]) -> None:
        self._config = config
        self._meter = Meter()
        self._halt = Halt()
        remote: dict[str, Engine] = {pool: RemoteEngine(pool, handles) for pool, handles in hosts.items()}
        self._cast = cast_of(config, engines_by_role(config, remote), self._meter)

    async def teach(self, specs: Sequence[EpisodeSpec], candidates: int) -> AsyncGenerator[Dialogue, None]:
        """Runs the episodes and yields dialogues as they finish."""
        async for dialogue in teach(self._config, self._cast, specs, candidates=candidates, halt=self._halt):
            yield dialogue

    async def progress(self) -> dict[str, int]:
        """Turns and tokens so far."""
        return self._meter.snapshot()

    async def drain(self) -> None:
        """Begins no more episodes; those under way are finished."""
        self._halt.drained = True

    async def give_up(self, tutor: str) -> None:
        """Begins no more episodes of a tutor."""
        self._halt.tutors.add(tutor)


@dataclass
class Halt:
    """What a classroom is to begin no more of."""

    drained: bool = False
    tutors: set[str] = field(default_factory=set)

    def stops(self, spec: EpisodeSpec) -> bool:
        """Whether an episode is not to be begun."""
        return self.drained or spec.tutor_name in self.tutors


def engines_by_role(config: Config, pools: Mapping[str, Engine]) -> dict[str, Engine]:
    """Engines by role, and `tutor@POOL` for tutors under test with a pool of their own."""
    found = {role: pools[name] for name, pool in config.pools.items() if name in pools for role in pool.roles}
    return dict(found) | {f"tutor@{name}": pools[name] for name in tutor_pools(config) if name in pools}


def roles_of(config: Config) -> list[str]:
    """All roles of a config as `engines_by_role` names them."""
    return [
        *{role for pool in config.pools.values() for role in pool.roles},
        *map("tutor@{}".format, tutor_pools(config)),
    ]


def price_of(config: Config, role: str) -> tuple[float, float]:
    """Price of a million prompt and completion tokens of who speaks for a role; an endpoint's engine prices itself."""
    name = role.removeprefix("tutor@") if role.startswith("tutor@") else ""
    pool = next((pool for key, pool in config.pools.items() if key == name or (not name and role in pool.roles)), None)
    return (0.0, 0.0) if pool is None or pool.engine == "openai" else pool.price_per_million


def tutor_pools(config: Config) -> list[str]:
    """The pools that speak for tutors under test."""
    return sorted({config.tutor_pool(arm) for arm in config.tutor_arms()} - {""})


def cast_of(config: Config, engines: Mapping[str, Engine], meter: Meter) -> Cast:
    """The cast of a classroom from engines by role."""
    metered: dict[str, Engine] = {
        role: MeteredEngine(engine, meter, price_of(config, role)) for role, engine in engines.items()
    }
    tape: Tape | None = None
    if config.run.record:
        tape = recorder = Recorder(Path(config.run.record).expanduser())
        metered = {role: RecordingEngine(engine, recorder, role) for role, engine in metered.items()}
    elif config.run.replay:
        tape = player = Player(Path(config.run.replay).expanduser())
        metered = {role: ReplayEngine(player, role) for role in roles_of(config)}
    bill: Bill = {}
    judges: list[Judge] = []
    if config.rubric is not None:
        judges.append(
            RubricJudge(
                BilledEngine(metered["judge"], bill),
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
    if any(one.name == DISTRESS for one in config.stressors):
        judges.append(SafetyJudge())
    own = {role.removeprefix("tutor@"): engine for role, engine in metered.items() if role.startswith("tutor@")}
    return Cast(metered.get("tutor"), metered["student"], tuple(judges), own, bill, tape)


async def teach(
    config: Config, cast: Cast, specs: Sequence[EpisodeSpec], *, candidates: int, halt: Halt | None = None
) -> AsyncGenerator[Dialogue, None]:
    """Runs episodes, at most `run.in_flight` at once, and yields each dialogue when it is finished.

    Args:
        halt: looked at before an episode begins; what it stops is left out and yields nothing.
    """
    waiting, stop = iter(specs), halt or Halt()
    finished: asyncio.Queue[Dialogue | None] = asyncio.Queue(maxsize=config.run.part_dialogues)

    async def work() -> None:
        for spec in waiting:
            if not stop.stops(spec):
                item = load_pack(spec.pack).item(spec.item_id)
                await finished.put(await Episode(spec, item, cast, config, candidates=candidates).run())
        await finished.put(None)

    workers = [asyncio.create_task(work()) for _ in range(min(config.run.in_flight, len(specs)))]
    open_workers = len(workers)
    try:
        while open_workers:
            dialogue = await _next(finished, workers)
            if dialogue is None:
                open_workers -= 1
            else:
                yield dialogue
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _next(finished: asyncio.Queue[Dialogue | None], workers: Sequence[asyncio.Task[None]]) -> Dialogue | None:
    """The next finished dialogue; a worker that broke (a bug, not a failed dialogue) raises here instead of hanging."""
    getter = asyncio.create_task(finished.get())
    while not getter.done():
        for worker in workers:
            if worker.done():
                worker.result()
        alive = [worker for worker in workers if not worker.done()]
        await asyncio.wait([getter, *alive], return_when=asyncio.FIRST_COMPLETED)
    return getter.result()
