"""The scripted engine: the contract, determinism, faults, latency and scores that follow the words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from agents.engines.base import Message, Sampling
from agents.engines.scripted import ScriptedEngine, word_overlap
from agents.errors import EngineRefused, EngineUnavailable, InputError
from tests.agents.contract import MESSAGES, check_engine


def _said(count: int) -> list[Message]:
    spoken: list[Message] = []
    for _ in range(count):
        spoken += [{"role": "assistant", "content": "one two"}, {"role": "user", "content": "three"}]
    return [*MESSAGES, *spoken]


def _texts(engine: ScriptedEngine, messages: list[Message], **sampling: object) -> list[str]:
    completions = asyncio.run(engine.generate(messages, Sampling(**sampling)))  # type: ignore[arg-type]
    return [completion.text for completion in completions]


def test_contract() -> None:
    asyncio.run(check_engine(ScriptedEngine(["Why do you think so?", "What changes in summer?"])))
    asyncio.run(check_engine(ScriptedEngine(lambda messages: f"You said: {messages[-1]['content']}")))


def test_reply_depends_on_the_messages_alone() -> None:
    engine = ScriptedEngine(["a", "b", "c"])
    assert [_texts(engine, _said(count)) for count in (1, 0, 3, 1)] == [["b"], ["a"], ["a"], ["b"]]


def test_candidates_differ_even_when_the_script_is_short() -> None:
    assert _texts(ScriptedEngine(["a", "b", "c"]), MESSAGES, n=3) == ["a", "b", "c"]
    assert len(set(_texts(ScriptedEngine(["a"]), MESSAGES, n=3))) == 3
    assert len(set(_texts(ScriptedEngine(lambda messages: "a"), MESSAGES, n=3))) == 3


def test_structured_reply_is_said_as_scripted() -> None:
    assert _texts(ScriptedEngine(['{"x": 1}']), MESSAGES, n=2, schema="{}") == ['{"x": 1}', '{"x": 1}']


def test_usage_counts_words_and_ids_are_stable() -> None:
    first, again = (
        asyncio.run(ScriptedEngine(["tilt of the axis", "tilt"]).generate(MESSAGES, Sampling(n=2))) for _ in range(2)
    )
    assert first == again
    assert first[0].usage.prompt_tokens == sum(len(message["content"].split()) for message in MESSAGES)
    assert first[0].usage.completion_tokens == 4 == len(first[0].token_ids)
    assert first[0].token_ids[0] == first[1].token_ids[0]


def test_every_nth_request_fails() -> None:
    async def outcomes() -> list[bool]:
        engine = ScriptedEngine(["a"], fail_every=3)
        results = []
        for number in range(6):
            try:
                if number % 2:
                    await engine.score(MESSAGES, ["a"])
                else:
                    await engine.generate(MESSAGES, Sampling())
                results.append(True)
            except EngineUnavailable as error:
                assert "fail_every=3" in str(error)
                results.append(False)
        return results

    assert asyncio.run(outcomes()) == [True, True, False, True, True, False]


def test_latency_is_shared_by_concurrent_requests() -> None:
    async def ask() -> float:
        engine = ScriptedEngine(["a"], latency_seconds=0.05)
        started = time.monotonic()
        asked = asyncio.gather(*(engine.generate(MESSAGES, Sampling()) for _ in range(20)))
        while engine.load().running < 20:  # all at once, and none after another
            await asyncio.sleep(0)
        await asked
        return time.monotonic() - started

    assert asyncio.run(ask()) >= 0.05


def test_a_text_becomes_likelier_when_its_words_are_said() -> None:
    said: Message = {"role": "user", "content": "Think of the tilted axis."}
    before, after = word_overlap(MESSAGES, "a tilted axis"), word_overlap([*MESSAGES, said], "a tilted axis")
    assert before < after < 0
    assert word_overlap([*MESSAGES, said], "tilted") < word_overlap([*MESSAGES, said, said], "tilted")
    assert word_overlap(MESSAGES, "?!") == word_overlap([], "anything") == -4.0


def test_own_scorer_is_used_and_checked() -> None:
    async def mean(value: float) -> float:
        engine = ScriptedEngine(["a"], scorer=lambda messages, continuation: value)
        return (await engine.score(MESSAGES, ["two words"]))[0].mean

    assert asyncio.run(mean(-1.5)) == -1.5
    for value in (0.5, float("nan"), float("-inf")):
        with pytest.raises(EngineRefused, match="scorer"):
            asyncio.run(mean(value))


def test_empty_continuation_is_refused() -> None:
    with pytest.raises(EngineRefused, match="empty continuation"):
        asyncio.run(ScriptedEngine(["a"]).score(MESSAGES, [" "]))


def test_wrong_arguments() -> None:
    wrong: list[Sequence[str]] = [[], "a plain string"]
    for replies in wrong:
        with pytest.raises(InputError, match="list of replies"):
            ScriptedEngine(replies)
    with pytest.raises(InputError, match="fail_every=-1"):
        ScriptedEngine(["a"], fail_every=-1)
