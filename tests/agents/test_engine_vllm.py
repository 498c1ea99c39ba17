"""The real engine on the embedded model: the contract, cached scores, weights that really change, vLLM's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from agents.engines.base import Message, Sampling
from agents.engines.openai import OpenAIEngine
from agents.engines.vllm import VLLMEngine
from agents.engines.vllm_scoring import Scoring
from agents.engines.vllm_settings import PROVIDER, VLLMSettings
from agents.errors import EngineRefused
from agents.models import ensure_embedded
from sim.config import PoolConfig
from sim.engines import check_endpoint
from tests.agents.contract import check_engine
from trainers.merge import merge

pytestmark = pytest.mark.slow
MESSAGES: list[Message] = [
    {
        "role": "system",
        "content": "You are a student of twelve years who thinks that the sun goes around the Earth. " * 3,
    },
    {"role": "user", "content": "Why do we have day and night?"},
]
TOKENS = [[1, 504, 3575, 314, 260, 5174, 284, 260, 4239], [2683, 359, 1242, 28, 1250, 216]]


def tuned(folder: Path) -> Path:
    """An adapter with random weights."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(ensure_embedded(), dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    model.save_pretrained(str(folder))
    return folder


async def course(tmp_path: Path) -> None:
    base = ensure_embedded()
    # In float32 on every machine: in bfloat16 two ways to the same logit differ by its rounding, 0.1 nats and more.
    engine = await VLLMEngine.start(VLLMSettings(model=str(base), dtype="float32", max_num_seqs=8, kv_cache_gib=1))
    try:
        await served(engine, base, tmp_path)
    finally:
        await engine.close()


async def served(engine: VLLMEngine, base: Path, tmp_path: Path) -> None:
    assert await engine._engine.collective_rpc("norm_providers") == [[PROVIDER, PROVIDER]]
    await cached_scores_equal_uncached_ones(engine)
    await scores_read_their_context_once(engine)
    with pytest.raises(EngineRefused, match="the context holds 2048"):
        await engine.generate(MESSAGES, Sampling(max_tokens=4000), dialogue_id="long")
    before = await engine.token_logprobs(TOKENS)
    merge(base, tuned(tmp_path / "adapter"), tmp_path / "merged", torch.float32)
    requests = asyncio.gather(*(engine.generate(MESSAGES, Sampling(max_tokens=12)) for _ in range(4)))
    await asyncio.sleep(0.2)
    await engine.deliver("tutor/v0001", weights=str(tmp_path / "merged"))
    assert {reply[0].policy_version for reply in await requests} == {"base"}  # drained before the weights changed
    assert (await engine.generate(MESSAGES, Sampling(max_tokens=4)))[0].policy_version == "tutor/v0001"
    changed = await engine.token_logprobs(TOKENS)
    assert max(abs(a - b) for x, y in zip(before, changed, strict=True) for a, b in zip(x, y, strict=True)) > 0.1
    await engine.deliver("base", weights=str(base))
    assert await engine.token_logprobs(TOKENS) == before
    async with vllms_own_server(engine, base) as url:
        pool = PoolConfig(roles=("tutor",), engine="openai", base_url=url)
        await asyncio.to_thread(check_endpoint, "t", pool, "smol")
        await check_engine(OpenAIEngine("smol", url, "none"))
    await check_engine(engine)


@asynccontextmanager
async def vllms_own_server(engine: VLLMEngine, base: Path) -> AsyncIterator[str]:
    """vLLM's OpenAI server before the engine that runs already; yields its address."""
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser: Any = FlexibleArgumentParser
    arguments = make_arg_parser(parser()).parse_args(["--model", str(base), "--served-model-name", "smol"])
    app: Any = build_app(arguments, ("generate",), engine._engine.vllm_config.model_config)
    await init_app_state(engine._engine, app.state, arguments, ("generate",))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "it ended before it was up"
        await asyncio.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        await serving


async def cached_scores_equal_uncached_ones(engine: VLLMEngine) -> None:
    options = ["The Earth spins around once a day.", "The sun goes around the Earth.", "Yes"]
    block, seen = engine._scoring._block, set[int]()
    for more in range(2 * block):
        messages: list[Message] = [*MESSAGES[:-1], {"role": "user", "content": MESSAGES[-1]["content"] + " so" * more}]
        prompt = engine._prompt(messages)
        if len(prompt) % block not in {0, 1, block - 1} - seen:  # one ends with a block, two around it
            continue
        seen.add(len(prompt) % block)
        first = await engine.score(messages, options)
        again = await engine.score(messages, options)
        engine._scoring.forget()
        second = await engine.score(messages, options)  # every block of it is in the cache by now
        for text, one, two, three in zip(options, first, again, second, strict=True):
            tokens = engine._tokenizer.encode(text, add_special_tokens=False)
            plain = await engine._scoring.continuation(prompt, tokens, cached=False)
            assert len(one.logprobs) == len(tokens) and one.logprobs == two.logprobs
            assert one.logprobs == pytest.approx(plain, abs=0.001) and three.logprobs == pytest.approx(plain, abs=0.001)
            assert plain == pytest.approx(await every_row(engine, prompt, tokens), abs=0.001)
    assert seen == {0, 1, block - 1}


async def every_row(engine: VLLMEngine, prompt: list[int], tokens: list[int]) -> tuple[float, ...]:
    """The same score as vLLM makes it by itself."""
    return await Scoring(engine._run, engine._scoring._block, named=False).continuation(prompt, tokens, cached=False)


async def scores_read_their_context_once(engine: VLLMEngine) -> None:
    """In a dialogue that grows, all that is computed of a probe is the last part of a block and the options."""
    options = ["The Earth spins around once a day.", "The sun goes around the Earth.", "The moon covers the sun."]
    block, long = engine._scoring._block, " ".join(f"Word {i} of a long lesson." for i in range(20))
    for more in range(block):
        messages: list[Message] = [{"role": "user", "content": long + " so" * more}]
        prompt = engine._prompt(messages)
        if not len(prompt) % block:
            break
    await engine.generate(messages, Sampling(max_tokens=1))
    before = engine.load()
    await engine.score(messages, options)
    after = engine.load()
    assert after.cached_tokens is not None and before.cached_tokens is not None
    computed = after.prompt_tokens - before.prompt_tokens - (after.cached_tokens - before.cached_tokens)
    tokens = sum(len(engine._tokenizer.encode(text, add_special_tokens=False)) for text in options)
    assert computed <= tokens + block + len(options), (computed, len(prompt), tokens)


def test_the_real_engine(tmp_path: Path) -> None:
    asyncio.run(course(tmp_path))
