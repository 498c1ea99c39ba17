"""The real engine on the embedded model: the contract, cached scores, and weights that really change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from agents.engines.base import Message, Sampling
from agents.engines.vllm import VLLMEngine, VLLMSettings
from agents.errors import EngineRefused
from agents.models import ensure_embedded
from tests.agents.contract import check_engine
from trainers.merge import merge

pytestmark = pytest.mark.slow
MESSAGES: list[Message] = [
    {
        "role": "system",
        "content": "You are a student of twelve years who thinks that the sun goes around the Earth. " * 4,
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
    engine = await VLLMEngine.start(VLLMSettings(model=str(base), max_num_seqs=8, kv_cache_gib=1))
    await cached_scores_equal_uncached_ones(engine)
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
    await check_engine(engine)


async def cached_scores_equal_uncached_ones(engine: VLLMEngine) -> None:
    options = ["The Earth spins around once a day.", "The sun goes around the Earth.", "The moon covers the sun."]
    first = await engine.score(MESSAGES, options)
    second = await engine.score(MESSAGES, options)  # every block of it is in the cache by now
    prompt = engine._prompt(MESSAGES)
    for text, one, two in zip(options, first, second, strict=True):
        tokens = engine._tokenizer.encode(text, add_special_tokens=False)
        plain = await engine._continuation(prompt, tokens, cached=False)
        assert len(one.logprobs) == len(tokens)
        assert one.logprobs == pytest.approx(plain, abs=0.05) and two.logprobs == pytest.approx(plain, abs=0.05)


def test_the_real_engine(tmp_path: Path) -> None:
    asyncio.run(course(tmp_path))
