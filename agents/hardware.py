"""What this machine computes in, so that defaults fit it.

Invariant: bfloat16 is chosen only where the machine multiplies in it. On a CPU without AVX512-BF16 or AMX a bfloat16
forward of the embedded model ran about 19 times slower than float32 (docs/performance.md), so float32 is used there.
"""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any


@cache
def cpu_flags() -> frozenset[str]:
    """Feature flags of the CPU; empty where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return frozenset()
    for line in info.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def cpu_computes_bfloat16() -> bool:
    """Whether matrix products in bfloat16 run natively on this CPU."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def serving_dtype(requested: str, *, gpu: bool) -> str:
    """The dtype an engine serves in: as requested, or what the machine computes in for `auto`."""
    if requested != "auto":
        return requested
    return "bfloat16" if gpu or cpu_computes_bfloat16() else "float32"


def cores() -> list[int]:
    """The CPU cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def free_memory_gib() -> float:
    """Memory that is free on this machine and in the container this process is in; 0 where the system does not tell."""
    told = re.search(r"^MemAvailable:\s+(\d+) kB", _text(Path("/proc/meminfo")), re.MULTILINE)
    free = [int(told[1]) * 1024] if told else [0]
    for limit, used in _CONTAINER_MEMORY:
        most, now = _text(Path(limit)).strip(), _text(Path(used)).strip()
        if most.isdigit() and now.isdigit():  # `max` is no limit
            free.append(int(most) - int(now))
    return max(0, min(free)) / 2**30


_CONTAINER_MEMORY = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use, in bytes, of both versions of Linux's control groups."""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def describe() -> dict[str, Any]:
    """The machine, for reports: CPU name, cores, memory in GiB, GPU name or None."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = named[0].split(":", 1)[1].strip() if named else name
    extras = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in cpu_flags()]
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": f"{name} ({', '.join(extras)})" if extras else name,
        "cores": len(cores()),
        "memory_gib": round(pages * size / 2**30, 1),
        "gpu": _gpu(),
    }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
