"""What is put around a vLLM engine in its host's process: a watch on every request and step, and a desk for orders.

The run around it is the product's own. Ray calls `install` in every worker process before anything else
(`worker_process_setup_hook`); from then on `VLLMEngine.start` starts a watched engine, which takes orders from the
`Desk` actor: empty the cache, say what was done, replay it in one batch, hold the imposed dialogues.

Invariant: a watched engine answers as an unwatched one does, but while `ignore_end` is on, when replies run to their
imposed length. The watch costs one tuple per request and one per step.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.vllm import VLLMEngine
from agents.engines.vllm_settings import VLLMSettings, engine_environment
from agents.errors import EngineError
from agents.records import EpisodeSpec
from benchmarks.simulation_desk import DESK
from benchmarks.simulation_lockstep import Lengths, compare
from benchmarks.simulation_tokens import Asked, Counters, Step, figures, recompute
from sim.config import Config

ORDERS = ("recorded", "by_prompt")
"""How a replayed batch is ordered: as it was asked, or by the tokens of the prompt, so that equal prefixes meet."""

_dialogue: ContextVar[str] = ContextVar("dialogue", default="")


@dataclass(slots=True)
class Watch:
    """What an engine was asked and did since the watch was cleared."""

    asked: list[Asked] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    """vLLM's sampling parameters, one for each of `asked`."""
    steps: list[Step] = field(default_factory=list)
    counted: Counters = field(default_factory=Counters)
    ignore_end: bool = False

    def clear(self) -> None:
        """Forgets all but the mode."""
        self.asked, self.params, self.steps, self.counted = [], [], [], Counters()


def counters_of(watch: Watch) -> Callable[..., Any]:
    """A stat logger for vLLM that adds its statistics to a watch."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Logger(StatLoggerBase):
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            """Needs nothing of them."""

        def record(
            self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
        ) -> None:
            counted = watch.counted
            if scheduler_stats is not None:
                counted.queries += scheduler_stats.prefix_cache_stats.queries
                counted.hits += scheduler_stats.prefix_cache_stats.hits
            if iteration_stats is not None:
                counted.prompt += iteration_stats.prompt_token_stats.total
                counted.computed += iteration_stats.prompt_token_stats.computed
                counted.preemptions += iteration_stats.num_preempted_reqs
            if scheduler_stats is not None and iteration_stats is not None:
                running = scheduler_stats.num_running_reqs
                watch.steps.append(Step(time.monotonic(), iteration_stats.num_generation_tokens, running))

        def log_engine_initialized(self) -> None:
            """Nothing is logged."""

    return Logger


def watched_llm(watch: Watch) -> Any:
    """vLLM's AsyncLLM with a watch on it; a request has one reply."""
    from vllm.v1.engine.async_llm import AsyncLLM

    class WatchedLLM(AsyncLLM):
        def __init__(self, *given: Any, **named: Any) -> None:
            named["stat_loggers"] = [*(named.get("stat_loggers") or []), counters_of(watch)]
            super().__init__(*given, **named)

        async def generate(self, prompt: Any, sampling_params: Any, request_id: str, **named: Any) -> Any:
            if sampling_params.n != 1:
                raise ValueError(f"the benchmark watches requests of one reply, not n={sampling_params.n}")
            scored = sampling_params.prompt_logprobs is not None or sampling_params.logprob_token_ids is not None
            if watch.ignore_end and not scored:
                sampling_params.ignore_eos = True
            kept, begun, last = sampling_params.clone(), time.monotonic(), None
            async for output in super().generate(prompt, sampling_params, request_id, **named):
                last = output
                yield output
            if last is not None:
                read, said = tuple(prompt["prompt_token_ids"]), tuple(last.outputs[0].token_ids)
                hidden = kept.logprob_token_ids is not None
                times, cached = (begun, time.monotonic()), last.num_cached_tokens or 0
                watch.asked.append(Asked(_dialogue.get(), scored, read, said, cached, hidden, *times))
                watch.params.append(kept)

    return WatchedLLM


class WatchedEngine(VLLMEngine):
    """A vLLM engine that tells its watch which dialogue asks."""

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`."""
        _dialogue.set(dialogue_id)
        return await super().generate(messages, sampling, dialogue_id=dialogue_id)

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`."""
        _dialogue.set(dialogue_id)
        return await super().score(messages, continuations, dialogue_id=dialogue_id)


def install() -> None:
    """Makes this process start watched engines."""
    original: Any = VLLMEngine.__dict__["start"].__func__

    async def start(cls: type[VLLMEngine], settings: VLLMSettings) -> VLLMEngine:
        import ray

        desk: Any = ray.get_actor(DESK)
        number = await desk.enrol.remote()
        os.environ.update(engine_environment(settings))  # vLLM reads them when it is imported
        from vllm.v1.engine import async_llm

        module: Any = async_llm
        watch, plain = Watch(), module.AsyncLLM
        module.AsyncLLM = watched_llm(watch)
        try:
            engine: VLLMEngine = await original(WatchedEngine, settings)
        finally:
            module.AsyncLLM = plain
        bench = Bench(engine, settings, watch, desk)
        bench.task = asyncio.create_task(bench.serve(number))
        return engine

    VLLMEngine.start = classmethod(start)  # type: ignore[assignment, method-assign]


class Bench:
    """Takes orders for one engine."""

    def __init__(self, engine: VLLMEngine, settings: VLLMSettings, watch: Watch, desk: Any) -> None:
        self._engine, self._settings, self._watch, self._desk = engine, settings, watch, desk
        self._llm: Any = engine._engine
        self._kept: list[tuple[Asked, Any]] = []
        self.task: asyncio.Task[None] | None = None

    async def serve(self, number: int) -> None:
        """Order after order, for as long as the host lives."""
        while True:
            order, given = await self._desk.next.remote(number)
            answer: Callable[..., Awaitable[Any]] = getattr(self, order)
            try:
                found, error = await answer(*given), ""
            except Exception as failed:  # told to the driver, which ends
                found, error = None, f"{order}: {type(failed).__name__}: {failed}"
            await self._desk.answer.remote(number, found, error)

    async def fresh(self) -> None:
        """Empties the prefix cache and the scores that are remembered, and clears the watch."""
        for _ in range(50):
            if await self._llm.reset_prefix_cache():
                break
            await asyncio.sleep(0.1)  # the last request's blocks are freed a step later
        else:
            raise EngineError("the prefix cache could not be emptied: requests are still under way")
        await asyncio.sleep(0.2)
        self._engine._scoring.forget()  # else the second of two legs is told the scores of the first
        self._watch.clear()

    async def watched(self) -> dict[str, Any]:
        """What the engine did since `fresh`."""
        await asyncio.sleep(0.2)  # the statistics of the last step come after its outputs
        watch = self._watch
        return figures(watch.asked, watch.steps, watch.counted, self._settings.max_num_seqs)

    async def recorded(self) -> dict[str, Any]:
        """The same of a simulation, with what its prompts need at least; keeps its requests for `replay`."""
        found, watch = await self.watched(), self._watch
        self._kept = list(zip(watch.asked, watch.params, strict=True))
        block = self._llm.vllm_config.cache_config.block_size
        return found | {"recompute": recompute(watch.asked, watch.counted.computed, block)}

    async def replay(self, order: str) -> dict[str, Any]:
        """Asks everything that was recorded again, all at once, every reply as long as it was.

        Raises:
            EngineError: a reply came out longer or shorter.
        """
        kept = sorted(self._kept, key=lambda pair: pair[0].prompt if order == "by_prompt" else pair[0].begun)
        await self.fresh()
        await asyncio.gather(*(self._again(place, asked, params) for place, (asked, params) in enumerate(kept)))
        found = await self.watched()
        wanted = sum(len(asked.written) for asked, _ in kept if not asked.scored)
        if found["completion_tokens"] != wanted:
            raise EngineError(f"the replay wrote {found['completion_tokens']} tokens and the simulation {wanted}")
        return found | {"order": order}

    async def _again(self, place: int, asked: Asked, params: Any) -> None:
        """One recorded request, straight to vLLM."""
        from vllm import SamplingParams

        if not asked.scored:
            params = SamplingParams(
                max_tokens=len(asked.written),
                ignore_eos=True,  # with max_tokens this imposes the length; min_tokens would add a processor's cost
                temperature=params.temperature,
                top_p=params.top_p,
                repetition_penalty=params.repetition_penalty,
                logprobs=params.logprobs,
                output_kind=params.output_kind,
            )
        _dialogue.set(asked.dialogue)
        async for _ in self._llm.generate({"prompt_token_ids": list(asked.prompt)}, params, f"again-{place}"):
            pass

    async def compared(
        self, config: Config, specs: list[EpisodeSpec], lengths: Lengths, settings: dict[str, int]
    ) -> dict[str, Any]:
        """Lock-step against free-running on this engine, replies as long as imposed.

        Raises:
            EngineError: a reply was shorter, or the two sides differ in what they asked.
        """
        wanted = sum(lengths.values()) + len(specs) * settings["judge_tokens"]

        async def tell(text: str) -> None:
            await self._desk.tell.remote(text)

        self._watch.ignore_end = True
        try:
            found = await compare(
                self._engine, config, specs, lengths, fresh=self.fresh, watched=self.watched, tell=tell, **settings
            )
        finally:
            self._watch.ignore_end = False
        for leg in (*found["free"], *found["lock_step"]):
            if leg["completion_tokens"] != wanted:
                raise EngineError(f"{leg['completion_tokens']} tokens were written where {wanted} were imposed")
        return found
