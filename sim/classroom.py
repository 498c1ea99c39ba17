"""A classroom: a Ray actor that runs many dialogues at once as asyncio tasks, each at its own pace.

Invariant: as `sim.fleet.dispatch`: bounded dialogues under way, bounded finished ones, and every episode given comes
back exactly once, failed or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import ray

from agents.engines.base import Engine
from agents.engines.recorded import Player, RecordingEngine, ReplayEngine
from agents.engines.tape import Recorder, Tape
from agents.judges.base import Judge
from agents.judges.rubric import RubricJudge
from agents.judges.rubrics import Rubric
from agents.judges.safety import DISTRESS, SafetyJudge
from agents.packs import Pack
from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.config_reward import RewardJudge
from sim.episode import Cast
from sim.fleet.admission import Limit
from sim.fleet.dispatch import Batch, Dispatch, Halt
from sim.fleet.router import Router
from sim.fleet.wire import Directory
from sim.meters import Bill, BilledEngine, Meter, MeteredEngine, NotedEngine, Notes
from sim.sight.records import RoomCount

LOOK_SECONDS = 1.0
"""Between two looks at the engines' load."""


@dataclass(frozen=True, slots=True)
class Library:
    """What the driver read from files; a classroom may be on a node that does not have them."""

    packs: dict[str, Pack] = field(default_factory=dict)
    rubric: Rubric | None = None
    reward_rubric: Rubric | None = None
    """Of the judge that values candidates, where it is not the run's own."""


class Classroom:
    """The actor."""

    def __init__(
        self, config: Config, name: str, directory: Directory, library: Library, places: int | None = None
    ) -> None:
        """Opens a classroom.

        Args:
            config: the run's.
            name: of this start of it.
            directory: which engines speak for which pool; one that is not needed is missing.
            library: packs and rubric.
            places: sequence slots that the engines have for it, where that is known.
        """
        self._config, self._meter, self._halt, self._library = config, Meter(), Halt(), library
        self._limit = Limit(config.run.in_flight, places)
        self._dispatch: Dispatch | None = None
        self._directed = 0
        patience = config.run.engine_wait_seconds
        self._routers = {
            pool: Router(pool, name, patience_seconds=patience) for pool in set(directory.serving.values())
        }
        self._direct(directory)
        remote: dict[str, Engine] = {pool: self._routers[server] for pool, server in directory.serving.items()}
        rubrics = {"rubric": library.rubric, "reward_rubric": library.reward_rubric}
        self._cast = cast_of(config, engines_by_role(config, remote), self._meter, **rubrics)

    async def teach(self, batches: Sequence[Batch]) -> AsyncGenerator[list[Dialogue], None]:
        """Runs the episodes and yields dialogues as they finish, some at a time."""
        self._dispatch = Dispatch(
            self._config,
            self._cast,
            batches,
            packs=self._library.packs,
            limit=self._limit,
            halt=self._halt,
            on_end=self._meter.ended,
        )
        look = asyncio.create_task(self._look(self._dispatch))
        try:
            async for dialogues in self._dispatch.dialogues():
                yield dialogues
        finally:
            look.cancel()

    async def direct(self, directory: Directory) -> None:
        """Takes the replicas that serve now."""
        self._direct(directory)

    async def count(self) -> RoomCount:
        """What it has done so far, and what is under way."""
        meter, dispatch = self._meter, self._dispatch
        return RoomCount(
            turns=meter.turns,
            requests=meter.requests,
            prompt_tokens=meter.prompt_tokens,
            completion_tokens=meter.completion_tokens,
            scored=meter.scored,
            cost=meter.cost,
            in_flight=dispatch.under_way if dispatch else 0,
            limit=self._limit.value,
            waiting=len(dispatch.queue) if dispatch else 0,
            by_tutor=dispatch.by_tutor() if dispatch else {},
            dialogue_seconds=meter.dialogue_seconds,
            dialogue_request_seconds=meter.dialogue_request_seconds,
            asking_seconds=meter.asking_seconds,
            engine_seconds=meter.engine_seconds,
            rerouted=sum(router.rerouted for router in self._routers.values()),
            moved=sum(router.moved for router in self._routers.values()),
        )

    async def node(self) -> str:
        """The short id of the node it is on."""
        return str(ray.get_runtime_context().get_node_id())[:8]

    async def drain(self) -> None:
        """Begins no more episodes; those under way are finished."""
        self._halt.drained = True

    async def give_up(self, tutor: str) -> None:
        """Begins no more episodes of a tutor."""
        self._halt.tutors.add(tutor)

    def _direct(self, directory: Directory) -> None:
        if directory.number < self._directed:
            return
        self._directed = directory.number
        for pool, router in self._routers.items():
            router.update(directory.hosts.get(pool, ()), directory.lost.get(pool, ""), directory.leaving.get(pool, ()))

    async def _look(self, dispatch: Dispatch) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            lines = [line for router in self._routers.values() for line in router.lines]
            self._limit.look({line.host.key: line.load for line in lines}, dispatch.under_way)
            dispatch.fill()


def engines_by_role(config: Config, pools: Mapping[str, Engine]) -> dict[str, Engine]:
    """Engines by role, and `ROLE@POOL` for tutors under test, and judges of candidates, with a pool of their own."""
    found = {role: pools[name] for name, pool in config.pools.items() if name in pools for role in pool.roles}
    own = {role: role.partition("@")[2] for role in _own_roles(config)}
    return dict(found) | {role: pools[name] for role, name in own.items() if name in pools}


def roles_of(config: Config) -> list[str]:
    """All roles of a config as `engines_by_role` names them."""
    return [
        *{role for pool in config.pools.values() for role in pool.roles},
        *_own_roles(config),
    ]


def _own_roles(config: Config) -> list[str]:
    return [*map("tutor@{}".format, tutor_pools(config)), *map("judge@{}".format, config.reward_pools())]


def price_of(config: Config, role: str) -> tuple[float, float]:
    """Price of a million prompt and completion tokens of who speaks for a role; an endpoint's engine prices itself."""
    name = role.partition("@")[2]
    pool = next((pool for key, pool in config.pools.items() if key == name or (not name and role in pool.roles)), None)
    return (0.0, 0.0) if pool is None or pool.engine == "openai" else pool.price_per_million


def tutor_pools(config: Config) -> list[str]:
    """The pools that speak for tutors under test."""
    return sorted({config.tutor_pool(arm) for arm in config.tutor_arms()} - {""})


def cast_of(
    config: Config,
    engines: Mapping[str, Engine],
    meter: Meter,
    *,
    rubric: Rubric | None = None,
    reward_rubric: Rubric | None = None,
) -> Cast:
    """The cast of a classroom from engines by role; rubrics are read here where they are not given."""
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
    notes: Notes = {}
    metered = {role: NotedEngine(engine, role, notes) for role, engine in metered.items()}
    bill: Bill = {}
    judges: list[Judge] = []
    if config.rubric is not None:
        judges.append(
            RubricJudge(
                BilledEngine(metered["judge"], bill),
                rubric or config.inputs.rubric(config.rubric.name),
                votes=config.rubric.votes,
                max_tokens=config.rubric.max_tokens,
                temperature=config.rubric.temperature,
            )
        )
    if config.scorer is not None and config.scorer.path:
        judges.append(_scorer_judge(config.scorer.path))
    valuing = _candidate_judges(config, judges, metered, bill, reward_rubric)
    if any(one.name == DISTRESS for one in config.stressors):
        judges.append(SafetyJudge())
    own = {role.removeprefix("tutor@"): engine for role, engine in metered.items() if role.startswith("tutor@")}
    return Cast(metered.get("tutor"), metered["student"], tuple(judges), own, bill, tape, notes, valuing)


def _candidate_judges(
    config: Config, judges: Sequence[Judge], metered: Mapping[str, Engine], bill: Bill, rubric: Rubric | None
) -> tuple[Judge, ...]:
    """Whose verdicts are a part of candidates' rewards: those that `reward.judge` names, else the run's own."""
    given, found = config.reward.judge or RewardJudge(), list[Judge]()
    if config.judges_candidates("rubric"):
        if given.rubric:
            engine = BilledEngine(metered[f"judge@{given.pool}"], bill)
            read = rubric or config.inputs.rubric(given.rubric)
            temperature = given.temperature
            found.append(
                RubricJudge(engine, read, votes=given.votes, max_tokens=given.max_tokens, temperature=temperature)
            )
        else:
            found += [judge for judge in judges if judge.name.startswith("rubric:")]
    if config.judges_candidates("scorer"):
        own = [judge for judge in judges if judge.name.startswith("scorer:")]
        found += [_scorer_judge(given.scorer)] if given.scorer else own
    return tuple(found)


def _scorer_judge(path: str) -> Judge:
    from trainers.scorer.judge import ScorerJudge  # torch is only imported where a scorer judges
    from trainers.scorer.scorer import load_scorer

    return ScorerJudge(load_scorer(Path(path).expanduser()))


async def teach(
    config: Config, cast: Cast, specs: Sequence[EpisodeSpec], *, candidates: int, halt: Halt | None = None
) -> AsyncGenerator[Dialogue, None]:
    """Runs episodes in this process, at most `run.in_flight` at once, and yields each dialogue when it is finished.

    Args:
        config: the run's.
        cast: engines and judges.
        specs: the episodes.
        candidates: replies sampled at each tutor turn.
        halt: looked at before an episode begins; what it stops is left out and yields nothing.
    """
    dispatch = Dispatch(config, cast, [Batch(specs, candidates)], halt=halt)
    async with aclosing(dispatch.dialogues()) as batches:
        async for dialogues in batches:
            for dialogue in dialogues:
                yield dialogue
