"""How a vLLM engine is started: its settings, its environment, and vLLM's own arguments.

Invariant: what depends on the machine (CPU or GPU, cores, what it computes in) is decided here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from agents.hardware import cores, cpu_flags, serving_dtype

EXTENSION = "agents.engines.vllm_worker.WorkerExtension"
"""Imported by vLLM in the process that computes."""
PROVIDER = "tutorloop_cpu"
OPS = ("rms_norm", "fused_add_rms_norm")
"""What `agents.engines.vllm_cpu` adds to vLLM, and under which name."""
BLOCK, SMALL_BLOCK = 32, 16
"""Tokens of a block of the prefix cache on a CPU."""


@dataclass(frozen=True, slots=True)
class VLLMSettings:
    """How to start an engine. Sizes are tokens unless the name says otherwise."""

    model: str
    gpu: bool = False
    dtype: str = "auto"
    max_model_len: int = 2048
    max_num_seqs: int = 64
    kv_cache_gib: float = 2.0
    gpu_memory_utilization: float = 0.9
    compile: bool = False
    max_lora_rank: int = 16
    tensor_parallel_size: int = 1
    tuned: bool = True
    """With what tutorloop adds to vLLM. False: as vLLM does by itself but with blocks of 32, for comparison."""
    block: int = 0
    """Tokens of a block of the prefix cache on a CPU, 16 or a multiple of 32; 0: what the machine is fastest with."""


def engine_environment(settings: VLLMSettings) -> dict[str, str]:
    """Environment variables a process needs before it imports vLLM; set them on the actor."""
    environment = {
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CONFIGURE_LOGGING": "1",
        "TQDM_DISABLE": "1",
    }
    if not settings.gpu:
        bound = cores()
        environment |= {
            "OMP_NUM_THREADS": str(len(bound)),
            "VLLM_CPU_OMP_THREADS_BIND": f"{bound[0]}-{bound[-1]}",
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(settings.kv_cache_gib))),
            # Threads that wait must sleep: where a second engine or a trainer runs, spinning ones starve it.
            "OMP_WAIT_POLICY": "PASSIVE",
            # No separate worker process beside the engine core: its helper threads would spin on a small machine.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        # Of the embedded model only a count in the first score would be compiled: 3 s, and it needs a C++ compiler.
        environment["TORCHDYNAMO_DISABLE"] = str(int(settings.tuned and not settings.compile))
    return environment


def cpu_block(tuned: bool, flags: Collection[str]) -> int:
    """Tokens of a block of the prefix cache, on a CPU with these feature flags.

    Only whole blocks are cached, so with small ones less is read twice. AMX has an attention for multiples of 32 only,
    which gains more than that; a CPU with neither AMX nor AVX512 was not measured (docs/performance.md).
    """
    return SMALL_BLOCK if tuned and "avx512f" in flags and "amx_bf16" not in flags else BLOCK


def engine_arguments(settings: VLLMSettings) -> dict[str, Any]:
    """What `vllm.AsyncEngineArgs` is made of."""
    arguments: dict[str, Any] = {
        "model": settings.model,
        "dtype": serving_dtype(settings.dtype, gpu=settings.gpu),
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": max(2048, settings.max_num_seqs),
        "enforce_eager": not settings.compile and not settings.gpu,
        "enable_prefix_caching": True,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "enable_log_requests": False,
        "disable_log_stats": True,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "worker_extension_cls": EXTENSION,
    }
    if settings.gpu:
        arguments |= {"gpu_memory_utilization": settings.gpu_memory_utilization, "enable_lora": True}
        arguments |= {"max_lora_rank": settings.max_lora_rank, "max_loras": 2, "max_cpu_loras": 4}
        return arguments
    arguments["block_size"] = settings.block or cpu_block(settings.tuned, cpu_flags())
    if settings.tuned and not settings.compile:  # a compiler fuses the plain form with what is around it
        arguments["ir_op_priority"] = {op: [PROVIDER] for op in OPS}
    return arguments
