"""Builds the engine a pool's config names. The only place that knows all engines."""

from __future__ import annotations

import asyncio

from agents.engines.address import is_loopback
from agents.engines.base import Engine
from agents.engines.vllm import VLLMEngine
from agents.engines.vllm_settings import VLLMSettings
from agents.errors import InputError, nearest
from agents.models import resolve_model
from agents.secrets import secret
from sim.config import PoolConfig
from sim.config_training import TrainingConfig


def vllm_settings(pool: PoolConfig, model: str, training: TrainingConfig | None = None) -> VLLMSettings:
    """The settings of a pool's vLLM engine; `model` is a folder of this machine, or a name."""
    rank = max(pool.max_lora_rank, training.lora_rank if training else 0)
    return VLLMSettings(
        model=model,
        gpu=pool.gpus > 0,
        dtype=pool.dtype,
        max_model_len=pool.max_model_len,
        max_num_seqs=pool.max_num_seqs,
        kv_cache_gib=pool.kv_cache_gib,
        gpu_memory_utilization=pool.gpu_memory_utilization,
        compile=pool.compile,
        max_lora_rank=rank,
        tensor_parallel_size=max(1, int(pool.gpus)),
    )


async def make_engine(pool: PoolConfig, model: str, training: TrainingConfig | None = None) -> Engine:
    """Starts the engine of a pool.

    Raises:
        InputError: the pool's own settings are not enough (no callable, no key in the environment).
        EngineError: it did not start.
    """
    if pool.engine == "vllm":
        here = await asyncio.to_thread(resolve_model, model)
        return await VLLMEngine.start(vllm_settings(pool, here, training))
    if pool.engine == "openai":
        from agents.engines.openai import OpenAIEngine

        return OpenAIEngine.from_env(
            model,
            pool.base_url,
            pool.api_key_env,
            timeout_seconds=pool.timeout_seconds,
            max_retries=pool.max_retries,
            max_concurrency=pool.max_concurrency,
            price_per_million=pool.price_per_million,
            price_per_million_cached=pool.price_per_million_cached,
            rate_limit_seconds=pool.rate_limit_seconds,
        )
    if pool.engine == "python":
        from agents.engines.python import PythonEngine

        return PythonEngine(pool.callable, timeout_seconds=pool.timeout_seconds, max_concurrency=pool.max_concurrency)
    from agents.engines.scripted import ScriptedEngine

    replies = pool.script or ("What makes you think so about this?", "Look at it once more and tell me why.")
    return ScriptedEngine(replies, latency_seconds=pool.latency_seconds, fail_every=pool.fail_every, slots=pool.slots)


def check_endpoint(name: str, pool: PoolConfig, model: str) -> None:
    """Asks an endpoint for its models before anything expensive starts.

    Raises:
        InputError: it does not answer, refuses the key, or serves other models only. An endpoint that answers but does
            not list models is taken as it is.
    """
    import httpx

    headers = {"Authorization": f"Bearer {secret(pool.api_key_env) or 'none'}"}
    try:
        reply = httpx.get(f"{pool.base_url.rstrip('/')}/models", headers=headers, timeout=10.0)
    except httpx.TransportError as error:
        raise InputError(
            f"pools.{name}.base_url: {pool.base_url!r} does not answer ({type(error).__name__}); is the server running?"
        ) from error
    if reply.status_code in (401, 403):
        raise InputError(f"pools.{name}.api_key_env: {pool.base_url!r} refuses the key in {pool.api_key_env}")
    try:
        served = [str(entry["id"]) for entry in reply.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return
    if served and model not in served:
        raise InputError(f"pools.{name}.model: {pool.base_url!r} does not serve {model!r}; {nearest(model, served)}")


def check_pool(name: str, pool: PoolConfig, *, replayed: bool = False) -> None:
    """Finds what is wrong with a pool before an engine starts. Raises InputError naming the key.

    Args:
        name: of the pool.
        pool: its settings.
        replayed: its answers come from a recording, so it needs neither key nor callable.
    """
    if replayed:
        return
    if pool.engine == "vllm":
        _check_gpus(name, pool)
    if pool.engine == "openai":
        if not pool.base_url.startswith(("http://", "https://")):
            raise InputError(f"pools.{name}.base_url: {pool.base_url!r} is not a URL; expected http://HOST:PORT/v1")
        if not secret(pool.api_key_env) and not is_loopback(pool.base_url):
            raise InputError(
                f"pools.{name}.api_key_env: the environment has neither {pool.api_key_env} nor "
                f"{pool.api_key_env}_FILE; export the key, or name a file that holds it"
            )
    if pool.engine == "python" and not pool.callable:
        raise InputError(f"pools.{name}.callable: empty; name your tutor as 'package.module:function'")
    if pool.engine == "python":
        from agents.engines.python import load_callable

        try:
            load_callable(pool.callable)
        except InputError as error:
            raise InputError(f"pools.{name}.callable: {error}") from error


def _check_gpus(name: str, pool: PoolConfig) -> None:
    """A share of a GPU, or whole ones over which the model is spread (tensor parallel)."""
    if pool.gpus > 1 and pool.gpus != int(pool.gpus):
        raise InputError(
            f"pools.{name}.gpus: {pool.gpus:g}; Ray books a share of one GPU or whole ones, so give {int(pool.gpus)} "
            f"(the model is then spread over {int(pool.gpus)} GPUs of one node) or less than 1"
        )
    if 0 < pool.gpus < 1 and pool.gpu_memory_utilization > pool.gpus:
        raise InputError(
            f"pools.{name}.gpu_memory_utilization: {pool.gpu_memory_utilization:g} of a GPU of which the pool books "
            f"{pool.gpus:g} (`gpus`); whoever shares the GPU would run out of memory: set it to at most {pool.gpus:g}"
        )
