"""How many engines the embedded model gets on two cores, where the config does not say.

Two engines with half the slots and half the cache each wrote more tokens than one there, 1.1 to 1.4 times as many
(docs/performance.md, "Layouts"), and take up to 20 s longer to start. So an experiment with one such engine gets two
where the memory is there and it is long enough. A loop does not: its tutor gets an engine of its own, beside a trainer.

Invariant: what a config says of a pool's engines, slots or cache is never changed.
"""

from __future__ import annotations

from agents.hardware import cores, free_memory_gib
from agents.models import EMBEDDED
from sim.cluster import address_of
from sim.config import Config, PoolConfig

ENGINE_GIB = 2.5
"""Resident in one engine and its host besides the cache: 2.2 as `ps` said, and some air."""
SPARE_GIB = 3.0
"""Left for the driver, the classrooms, Ray, and whatever else the machine does."""
LEAST_DIALOGUES = 300
"""Fewer are held before the second engine has paid for its start."""
CORES = 2
"""Of the machines it was measured on; others keep one engine until somebody measures there."""
SIZES = ("replicas", "max_replicas", "max_num_seqs", "kv_cache_gib", "cpus", "compile")
"""A config that sets one of them has chosen its layout."""


def laid_out(
    config: Config, dialogues: int, *, memory_gib: float | None = None, processors: int | None = None
) -> Config:
    """The config with two engines in the place of one, where that is faster and there is room.

    Args:
        config: a run's.
        dialogues: that are to be held.
        memory_gib: that is free; None: looked up.
        processors: cores; None: looked up.
    """
    name = _alone(config)
    free = free_memory_gib() if memory_gib is None else memory_gib
    number = len(cores()) if processors is None else processors
    if not name or number != CORES or dialogues < LEAST_DIALOGUES:
        return config
    pool = config.pools[name]
    if free < 2 * ENGINE_GIB + pool.kv_cache_gib + SPARE_GIB:
        return config
    halves = {"replicas": 2, "max_num_seqs": pool.max_num_seqs // 2, "kv_cache_gib": pool.kv_cache_gib / 2}
    return config.model_copy(update={"pools": {**config.pools, name: pool.model_copy(update=halves)}})


def _alone(config: Config) -> str:
    """The pool of the only engine of an experiment on this machine, if its layout is free to choose; else empty."""
    if config.kind != "run" or address_of(config) or config.run.replay:
        return ""
    if any(pool.engine != "vllm" for pool in config.pools.values()):
        return ""  # where another engine may be what the dialogues wait for
    if any(arm.adapter for arm in config.tutor_arms()):
        return ""
    names = [name for name, pool in config.pools.items() if not pool.shares]
    if len(names) != 1 or not _free(config.pools[names[0]]) or config.model_of(names[0]) not in EMBEDDED:
        return ""
    return names[0]


def _free(pool: PoolConfig) -> bool:
    return not pool.gpus and not pool.model_fields_set & set(SIZES)
