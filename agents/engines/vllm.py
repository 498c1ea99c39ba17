"""vLLM inside the calling process (a pool's actor): AsyncLLM for generation, cached prompt log-probs for scoring.

Delivery of a trained policy is part of the engine. On a CPU the merged weights are reloaded in place after all requests
have drained, because LoRA there is several times slower and, in vLLM 0.32, wrong in batches that mix adapter and base.
On a GPU the adapter is added under a new name, id and path per version; `load_inplace` is never used.

Invariant: every completion says which policy spoke (`policy_version`), no request sees weights of two policies, and no
cache block made by old weights is read after a delivery. No per-request seed is ever passed: it kills the CPU engine.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.forms import Form, form_of, shaped
from agents.engines.load import EngineLoad
from agents.engines.reasoning import is_mark, opens_thought
from agents.engines.reply import outcome, replies
from agents.engines.vllm_scoring import Scoring
from agents.engines.vllm_settings import VLLMSettings, engine_arguments, engine_environment
from agents.errors import DeliveryError, EngineDied, EngineError, EngineRefused, InputError, NoReply
from agents.records import Usage

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

    from agents.engines.vllm_stats import VLLMStats


class VLLMEngine:
    """One vLLM engine. Build it with `await VLLMEngine.start(settings)`."""

    def __init__(self, engine: AsyncLLM, tokenizer: Any, form: Form, settings: VLLMSettings, stats: VLLMStats) -> None:
        self._engine, self._stats = engine, stats
        self._scoring = Scoring(self._run, engine.vllm_config.cache_config.block_size, named=settings.tuned)
        self._tokenizer, self._form = tokenizer, form
        self._settings = settings
        self._ids, self._lora_ids = itertools.count(), itertools.count(1)
        self._lora: LoRARequest | None = None
        self._running = 0
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.policy_version = "base"

    @classmethod
    async def start(cls, settings: VLLMSettings) -> VLLMEngine:
        """Starts the engine; 15 to 60 s on a small CPU.

        Raises:
            InputError: the model's chat template renders dialogues in no form.
            EngineError: vLLM did not start, with its own reason.
        """
        os.environ.update(engine_environment(settings))
        from transformers import AutoTokenizer
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        from agents.engines.vllm_stats import VLLMStats

        stats = VLLMStats()
        try:
            tokenizer = AutoTokenizer.from_pretrained(settings.model)
            form = form_of(tokenizer)
            engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**engine_arguments(settings)), stat_loggers=[lambda *_: stats]
            )
        except InputError:
            raise
        except Exception as error:
            raise EngineError(f"vLLM did not start with {settings.model}: {type(error).__name__}: {error}") from error
        return cls(engine, tokenizer, form, settings, stats)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `agents.engines.base.Engine`. Replies carry token ids and their log-probs."""
        opener = self._tokenizer.encode(sampling.opener, add_special_tokens=False) if sampling.opener else []
        prompt = [*self._prompt(messages), *opener]
        self._fits(len(prompt) + sampling.max_tokens, dialogue_id)
        return await replies(partial(self._draw, prompt, opener, sampling), sampling)

    async def _draw(
        self, prompt: Sequence[int], opener: Sequence[int], sampling: Sampling, n: int
    ) -> list[Completion | NoReply]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        params = SamplingParams(
            max_tokens=max(1, sampling.max_tokens - len(opener)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            n=n,
            stop=list(sampling.stop) or None,
            logprobs=0,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_special_tokens=not self._thinks_in_special_tokens,
            structured_outputs=StructuredOutputsParams(json=sampling.schema) if sampling.schema else None,
        )
        async with self._admitted():
            version = self.policy_version
            output = await self._run(prompt, params)
        usages = [len(prompt)] + [0] * (n - 1)  # the prompt is read once however many replies are drawn
        return [
            outcome(
                Completion(
                    text=reply.text,
                    token_ids=(*opener, *reply.token_ids),
                    logprobs=tuple(
                        step[token].logprob for step, token in zip(reply.logprobs, reply.token_ids, strict=True)
                    ),
                    finish_reason=reply.finish_reason or "stop",
                    usage=Usage(read, len(reply.token_ids)),
                    policy_version=version,
                ),
                opener=sampling.opener,
                # A schema holds from the first token on, so what it forms is no thought.
                opened=self._opens_thought and not opener and not sampling.schema,
            )
            for reply, read in zip(output.outputs, usages, strict=True)
        ]

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `agents.engines.base.Engine`. Reads the context from the prefix cache."""
        prompt = self._prompt(messages)
        encoded = [self._tokenizer.encode(text, add_special_tokens=False) for text in continuations]
        self._fits(len(prompt) + max(len(tokens) for tokens in encoded) + 1, dialogue_id)
        async with self._admitted():
            found = await self._scoring.continuations(prompt, encoded)
        read = [len(prompt)] + [0] * (len(encoded) - 1)
        return [
            Score(logprobs, Usage(shared + len(tokens), 0))
            for logprobs, tokens, shared in zip(found, encoded, read, strict=True)
        ]

    async def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probs of each sequence's tokens but the first under the policy that is live; nothing read from a cache.

        What the proof of delivery compares with the trainer's.
        """
        async with self._admitted():
            return [
                list(await self._scoring.continuation(tokens[:1], tokens[1:], cached=False)) for tokens in sequences
            ]

    async def deliver(self, version: str, *, weights: str = "", adapter: str = "") -> float:
        """Makes a policy live and returns the seconds it took.

        Args:
            version: the name completions will carry, such as `tutor/v0001`, or `base`.
            weights: folder of merged weights (CPU) or of the base.
            adapter: PEFT folder (GPU); with `version` `base` both may be empty on a GPU.

        Raises:
            DeliveryError: cached blocks of the old weights could not be dropped.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        started = time.monotonic()
        self._open.clear()
        try:
            await self._idle.wait()
            if self._settings.gpu:
                await self._add_lora(version, adapter)
            else:
                await self._engine.collective_rpc("reload_weights", kwargs={"weights_path": weights})
            if not await self._engine.reset_prefix_cache():
                raise DeliveryError(f"vLLM kept cache blocks of {self.policy_version!r} while {version!r} went live")
            self._scoring.forget()
            self.policy_version = version
        except EngineDeadError as error:
            raise EngineDied(f"the process of a vLLM engine died while {version!r} went live") from error
        finally:
            self._open.set()
        return time.monotonic() - started

    def load(self) -> EngineLoad:
        """See `agents.engines.load.LoadedEngine`."""
        if self._engine.errored:
            raise EngineDied("the process of a vLLM engine died")
        return self._stats.load(self.policy_version)

    async def close(self) -> None:
        """Stops the engine."""
        self._engine.shutdown()

    @cached_property
    def _opens_thought(self) -> bool:
        """Whether the template begins every reply with a thought, whose opening mark is then no part of the reply."""
        asked = [{"role": "user", "content": "?"}]
        return opens_thought(self._tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))

    @cached_property
    def _thinks_in_special_tokens(self) -> bool:
        """Whether marks of thoughts are special tokens, which a text is otherwise without."""
        added = getattr(self._tokenizer, "added_tokens_decoder", {})
        return any(token.special and is_mark(token.content) for token in added.values())

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        given = list(shaped(messages, self._form, reply=True))
        try:
            text: str = self._tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # jinja raises many kinds, and the template decides what it refuses
            roles = [message["role"] for message in given]
            raise EngineRefused(f"the chat template refuses messages with roles {roles}: {error}") from error
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def _fits(self, tokens: int, dialogue_id: str) -> None:
        limit = self._settings.max_model_len
        if tokens > limit:
            raise EngineRefused(
                f"dialogue {dialogue_id or '?'} needs {tokens} tokens and the context holds {limit}; "
                f"raise max_model_len or lower dialogue.turns"
            )

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        await self._open.wait()
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _run(self, prompt: Sequence[int], params: SamplingParams) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError

        final = None
        try:
            async for output in self._engine.generate(
                {"prompt_token_ids": list(prompt)}, params, request_id=str(next(self._ids)), lora_request=self._lora
            ):
                final = output
        except (ValueError, TypeError) as error:
            raise EngineRefused(f"vLLM refused the request: {error}") from error
        except EngineDeadError as error:
            raise EngineDied("the process of a vLLM engine died") from error
        except Exception as error:
            raise EngineError(f"vLLM failed: {type(error).__name__}: {error}") from error
        return final

    async def _add_lora(self, version: str, adapter: str) -> None:
        from vllm.lora.request import LoRARequest

        old, new = self._lora, None
        if adapter:
            # An id that was used before would be answered from what is loaded, whatever the name and the path.
            new = LoRARequest(lora_name=version, lora_int_id=next(self._lora_ids), lora_path=adapter)
            if not await self._engine.add_lora(new):
                raise DeliveryError(f"vLLM did not load adapter {version} from {adapter}")
        self._lora = new
        if old is not None:
            await self._engine.remove_lora(old.lora_int_id)
