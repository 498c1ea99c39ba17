"""What an engine says of itself: how busy it is, and what it has done since it started.

Invariant: levels (`running`, `waiting`, `kv_usage`) are of this moment, everything else only grows until the engine
starts anew. What an engine cannot tell is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The load of one engine. Seconds are sums over finished requests."""

    running: int = 0
    """Requests that are being computed."""
    waiting: int = 0
    """Requests that wait for a place."""
    kv_usage: float | None = None
    """Share of the KV cache in use, 0 to 1."""
    preemptions: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    """Of the prompt tokens, those read from the prefix cache."""
    completion_tokens: int = 0
    queued_seconds: float | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    policy_version: str = "base"


@runtime_checkable
class LoadedEngine(Protocol):
    """An engine that tells its load."""

    def load(self) -> EngineLoad:
        """The load now. Raises EngineDied where the engine behind it is no more."""
        ...
