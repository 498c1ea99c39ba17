"""What every engine must do, as functions that each engine's test calls with an engine of its own."""

from __future__ import annotations

import math

import pytest

from agents.engines.base import Engine, Message, Sampling
from agents.errors import EngineRefused

MESSAGES: list[Message] = [
    {"role": "system", "content": "You are a tutor of earth science."},
    {"role": "user", "content": "Why is it warmer in summer?"},
]
CONTINUATIONS = ["The axis of the Earth is tilted.", "The Earth is closer to the Sun."]


async def check_engine(engine: Engine, *, scores: bool = True) -> None:
    """Runs the whole contract and leaves the engine closed; `scores=False`: it must refuse to score instead."""
    assert isinstance(engine, Engine)
    await check_generates(engine)
    if scores:
        await check_scores(engine)
    else:
        with pytest.raises(EngineRefused):
            await engine.score(MESSAGES, CONTINUATIONS)
    await engine.close()
    await engine.close()


async def check_generates(engine: Engine) -> None:
    """As many completions as asked for, with text, and usage whose prompt is counted once."""
    completions = await engine.generate(MESSAGES, Sampling(max_tokens=16, n=2), dialogue_id="contract")
    assert len(completions) == 2
    assert all(completion.text for completion in completions)
    assert all(len(one.logprobs) in (0, len(one.token_ids)) for one in completions)
    assert all(one.finish_reason and one.policy_version for one in completions)
    assert completions[0].usage.prompt_tokens > 0
    assert completions[1].usage.prompt_tokens == 0
    assert sum(one.usage.completion_tokens for one in completions) > 0


async def check_scores(engine: Engine) -> None:
    """One finite score per continuation, in their order, the same when asked again."""
    scores = await engine.score(MESSAGES, CONTINUATIONS, dialogue_id="contract")
    assert len(scores) == len(CONTINUATIONS)
    for score in scores:
        assert score.logprobs
        assert all(math.isfinite(value) and value <= 0.0 for value in score.logprobs)
    assert scores[0].usage.prompt_tokens > 0
    again = await engine.score(MESSAGES, CONTINUATIONS, dialogue_id="contract")
    assert [one.mean for one in again] == pytest.approx([one.mean for one in scores], abs=1e-3)
    turned = await engine.score(MESSAGES, CONTINUATIONS[::-1], dialogue_id="contract")
    assert [one.mean for one in turned[::-1]] == pytest.approx([one.mean for one in scores], abs=1e-3)
