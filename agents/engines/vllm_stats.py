"""Counts of one vLLM engine, taken from the statistics it makes at every step.

Invariant: counts only grow. vLLM calls its statistics an unstable interface, so all that touches it is here.
"""

from __future__ import annotations

from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase

from agents.engines.load import EngineLoad


class VLLMStats(StatLoggerBase):
    """Adds up what vLLM reports; given to `AsyncLLM` as a stat logger."""

    def __init__(self) -> None:
        self._level: tuple[int, int, float] = (0, 0, 0.0)
        self._preemptions = self._requests = self._prompt = self._cached = self._completion = 0
        self._seconds = [0.0, 0.0, 0.0]

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """Takes the statistics of one step."""
        if scheduler_stats is not None:
            waiting = scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            self._level = (scheduler_stats.num_running_reqs, waiting, scheduler_stats.kv_cache_usage)
        if iteration_stats is None:
            return
        self._preemptions += iteration_stats.num_preempted_reqs
        self._prompt += iteration_stats.prompt_token_stats.total
        self._cached += iteration_stats.prompt_token_stats.cached_tokens
        self._completion += iteration_stats.num_generation_tokens
        for done in iteration_stats.finished_requests:
            self._requests += 1
            for place, spent in enumerate((done.queued_time, done.prefill_time, done.decode_time)):
                self._seconds[place] += spent

    def log_engine_initialized(self) -> None:
        """Nothing is logged."""

    def load(self, version: str) -> EngineLoad:
        """The counts so far, with the policy that is live."""
        running, waiting, kv_usage = self._level
        queued, prefill, decode = self._seconds
        return EngineLoad(
            running=running,
            waiting=waiting,
            kv_usage=kv_usage,
            preemptions=self._preemptions,
            requests=self._requests,
            prompt_tokens=self._prompt,
            cached_tokens=self._cached,
            completion_tokens=self._completion,
            queued_seconds=queued,
            prefill_seconds=prefill,
            decode_seconds=decode,
            policy_version=version,
        )
