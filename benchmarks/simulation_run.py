"""The parts of `simulation.py`: the product's pools and simulation, with orders to watched engines between them.

Invariant: what is timed runs through `sim.pools.Pools` and `sim.simulate.simulate`, as in `tutorloop run`; only the
lock-step comparison runs inside the engine's host, both sides of it alike.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.simulation_host import ORDERS
from benchmarks.simulation_lockstep import heavy_tailed, impose, sampled_turns
from sim.config import Config
from sim.grid import experiment_specs
from sim.pools import Pools
from sim.progress import Teller
from sim.run import models_of
from sim.simulate import Batch, simulate
from sim.storage.store import RunStore

WARM_UP = 8
"""Dialogues before the first that are timed."""


def simulation_config(given: argparse.Namespace) -> dict[str, Any]:
    """The embedded default, enough items for all dialogues."""
    pool = {"max_num_seqs": given.max_num_seqs, "kv_cache_gib": given.kv_cache_gib}
    return {
        "name": "benchmark",
        "pools": {
            "class": {"roles": ["student", "judge"], **pool},
            "tutor": {"roles": ["tutor"], "shares": "class", **pool},
        },
        "items": {"pack": "earth_science", "repeats": 1 + given.dialogues // 100},
        "tutor": {"max_tokens": given.tutor_tokens},
        "students": {"max_tokens": given.student_tokens},
        "dialogue": {"turns": given.turns},
        "run": {"in_flight": given.in_flight},
    }


LAYOUTS = ("two_replicas", "engine_for_each_role")
"""What is compared with one engine for all roles."""


def layout_config(given: argparse.Namespace, speaking: str, other: str = "") -> dict[str, Any]:
    """A simulation where one layout speaks; the engines of another may be up and idle.

    One engine has all the slots and all of the cache, two have half of them each.

    Args:
        given: the command line.
        speaking: `one_engine` or one of `LAYOUTS`.
        other: a layout whose engines are up besides.
    """
    everyone, half = ["tutor", "student", "judge"], {"max_num_seqs": given.max_num_seqs // 2}
    half["kv_cache_gib"] = given.kv_cache_gib / 2
    roles = {
        "one_engine": {"whole": everyone},
        "two_replicas": {"halves": everyone},
        "engine_for_each_role": {"learners": ["student", "judge"], "tutors": ["tutor"]},
    }
    sizes: dict[str, dict[str, Any]] = {
        "whole": {"max_num_seqs": given.max_num_seqs, "kv_cache_gib": given.kv_cache_gib},
        "halves": half | {"replicas": 2},
        "learners": half,
        "tutors": half,
    }
    names = [*roles[speaking], *(roles[other] if other else ())]
    pools = {name: {"roles": roles[speaking].get(name, []), **sizes[name]} for name in names}
    return simulation_config(given) | {"pools": pools}


def comparison_config(given: argparse.Namespace) -> dict[str, Any]:
    """Of the imposed dialogues: a probe per turn, and no chance in sampling, so that both sides read the same prompts.
    No student is ever terse: those turns have lengths of their own.

    Their engine is the simulation's; the pools named here are not started.
    """
    return simulation_config(given) | {
        "items": {"pack": "earth_science", "repeats": 1 + given.compare_dialogues // 50},
        "tutor": {"temperature": 0.0},
        "students": {"temperature": 0.0, "personas": ["engaged"]},
        "dialogue": {"turns": given.compare_turns},
        "probes": {"question": True, "transfer": False, "turn": True},
        "run": {"in_flight": given.compare_in_flight},
    }


class Bench:
    """The driver: pools of the product, and the desk through which their hosts get orders."""

    def __init__(self, given: argparse.Namespace, desk: Any, folder: Path, say: Callable[[str], None]) -> None:
        self._given, self._desk, self._folder, self._say = given, desk, folder, say
        self._runs = 0

    async def ask(self, order: str, *given: Any, host: int = 0) -> Any:
        """An order to the host of an engine; its news are told while it is carried out."""
        asked = asyncio.ensure_future(self._desk.ask.remote(host, order, *given))
        while not asked.done():
            await asyncio.wait([asked], timeout=2.0)
            for text in await self._desk.news.remote():
                self._say(text)
        return await asked

    async def simulate(self, config: Config, pools: Pools, dialogues: int) -> tuple[float, int]:
        """Runs so many dialogues as `tutorloop run` does; the seconds, storing included, and the tokens written."""
        self._runs += 1
        store = RunStore(self._folder / f"run-{self._runs}")
        store.open(config.model_dump(mode="json"), {}, fresh=True)
        batch, begun = Batch(experiment_specs(config)[:dialogues], 1), time.perf_counter()
        hosts = await self._desk.hosts.remote()
        outcome = await simulate([batch], what="simulation", config=config, pools=pools, store=store, teller=Teller())
        if await self._desk.hosts.remote() != hosts:
            sys.exit("an engine died and was started anew while it was measured: no figures")
        if outcome.failed or len(store.ids()) != dialogues:
            sys.exit(f"{outcome.failed} dialogues failed and {len(store.ids())} of {dialogues} are stored: no figures")
        seconds = time.perf_counter() - begun
        return seconds, sum(dialogue.usage.completion_tokens for dialogue in store.dialogues())

    async def efficiency(self, config: Config, pools: Pools) -> list[dict[str, Any]]:
        """Per repeat: a simulation and the replays of its requests, in alternating order."""
        found = []
        for repeat in range(self._given.repeats):
            await self.ask("fresh")
            driver, _ = await self.simulate(config, pools, self._given.dialogues)
            simulated = await self.ask("recorded") | {"driver_seconds": driver}
            self._say(f"repeat {repeat + 1}: simulation {rates(simulated)}")
            replays = []
            for order in ORDERS if repeat % 2 == 0 else reversed(ORDERS):
                replays.append(await self.ask("replay", order))
                self._say(f"repeat {repeat + 1}: replay {order} {rates(replays[-1])}")
            found.append({"simulation": simulated, "replays": replays})
        return found

    async def lockstep(self, found: dict[str, Any]) -> None:
        """Both length distributions, after a short warm-up of both sides."""
        given, config = self._given, Config.model_validate(comparison_config(self._given))
        specs = experiment_specs(config)[: given.compare_dialogues]
        settings = {"cohort": given.cohort or given.compare_in_flight, "judge_tokens": given.judge_tokens}
        mean, count = given.mean_tokens, sampled_turns(len(specs), given.compare_turns)
        drawn = {
            "heavy_tailed": heavy_tailed(count, mean=mean, longest=given.tail * mean, seed=0),
            "equal": [mean] * count,
        }
        few = specs[:WARM_UP]
        short = impose(few, [mean] * sampled_turns(len(few), given.compare_turns), given.compare_turns)
        await self.ask("compared", config, few, short, settings | {"repeats": 1})
        for name, lengths in drawn.items():
            imposed = impose(specs, lengths, given.compare_turns)
            found[name] = await self.ask("compared", config, specs, imposed, settings | {"repeats": given.repeats})
            self._say(f"free-running over lock-step, {name}: {found[name]['ratio']:.3f}")

    async def layouts(self, found: dict[str, Any]) -> None:
        """Tokens a second of simulations on one engine and on two with as many slots in all; the sides take turns, so
        that a machine that gets slower does so for both.
        """
        for other in LAYOUTS:
            both = [
                ("one_engine", Config.model_validate(layout_config(self._given, "one_engine", other))),
                (other, Config.model_validate(layout_config(self._given, other, "one_engine"))),
            ]
            rates = found.setdefault(other, {name: [] for name, _ in both})
            async with running(both[0][1], self._desk, self._say, list(both[0][1].pools)) as pools:
                for _, config in both:
                    await self.simulate(config, pools, min(WARM_UP, self._given.dialogues))
                for repeat in range(self._given.repeats):
                    for name, config in both if repeat % 2 == 0 else reversed(both):
                        rates[name].append(await self.layout(name, config, pools))

    async def layout(self, name: str, config: Config, pools: Pools) -> float:
        """Tokens a second of one simulation on engines whose caches are empty, storing included."""
        for host in range(await self._desk.hosts.remote()):
            await self.ask("fresh", host=host)
        seconds, tokens = await self.simulate(config, pools, self._given.dialogues)
        self._say(f"layout {name}: {tokens / seconds:.0f} tokens/s written")
        return tokens / seconds

    async def measure(self, result: dict[str, Any]) -> None:
        """All parts that were asked for, each into `result` when it is finished."""
        parts = self._given.parts.split(",")
        config = Config.model_validate(simulation_config(self._given))
        if parts != [""]:
            async with running(config, self._desk, self._say) as pools:
                await self.simulate(config, pools, min(WARM_UP, self._given.dialogues))  # warms the engine up
                if "efficiency" in parts:
                    result["efficiency"] = await self.efficiency(config, pools)
                if "lockstep" in parts:
                    await self.lockstep(result.setdefault("lockstep", {}))
        if self._given.layouts:
            await self.layouts(result.setdefault("layouts", {}))


@asynccontextmanager
async def running(
    config: Config, desk: Any, say: Callable[[str], None], others: Sequence[str] = ()
) -> AsyncIterator[Pools]:
    """The pools of a config for the length of a block, their engines enrolled at the desk.

    Args:
        config: a run's.
        desk: where engines enrol.
        say: told when they are ready.
        others: pools that are started besides those of the roles.
    """
    pools = Pools(config, models_of(config), Teller())
    await desk.clear.remote()
    try:
        await pools.start(["tutor", *config.heard_roles()], others)
        say(f"{await desk.hosts.remote()} watched engine(s) are ready")
        yield pools
    finally:
        await pools.close()


def rates(leg: dict[str, Any]) -> str:
    """One leg in a line."""
    filled, hits = leg["slots_filled"], leg["prefix_hit_share"]
    return (
        f"{leg['seconds']:.1f} s, {leg['completion_tokens_per_second']:.0f} tokens/s written, "
        f"{leg['tokens_per_second']:.0f} written and read, slots {percent(filled)}, prefix hits {percent(hits)}"
    )


def percent(share: float | None) -> str:
    """A share; a dash where there is none."""
    return "-" if share is None else f"{share:.0%}"
