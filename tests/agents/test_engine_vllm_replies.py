"""What the vLLM engine makes of thoughts and of answers without a reply, on a fake in the place of AsyncLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from agents.engines.base import Completion, Sampling
from agents.engines.forms import PLAIN
from agents.engines.vllm import VLLMEngine
from agents.engines.vllm_settings import VLLMSettings
from agents.errors import NoReply
from agents.records import Usage
from tests.agents.contract import MESSAGES

pytestmark = pytest.mark.slow  # it imports vLLM


class Tokenizer:
    """A token a character; its template ends as it is told."""

    def __init__(self, end: str, special: Sequence[str]) -> None:
        self._end = end
        self.added_tokens_decoder = {
            number: SimpleNamespace(special=True, content=token) for number, token in enumerate(special)
        }

    def apply_chat_template(self, messages: Sequence[object], **settings: object) -> str:
        return f"assistant{self._end}"

    def encode(self, text: str, **settings: object) -> list[int]:
        return [1] * len(text)


class Engine:
    """Writes what it is told, each in two tokens."""

    vllm_config = SimpleNamespace(cache_config=SimpleNamespace(block_size=16))

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        self._texts = list(texts)
        self.asked: list[Any] = []

    async def generate(self, prompt: object, params: Any, **settings: object) -> AsyncIterator[SimpleNamespace]:
        self.asked.append(params)
        rows = [{7: SimpleNamespace(logprob=-1.0)}, {8: SimpleNamespace(logprob=-2.0)}]
        yield SimpleNamespace(
            outputs=[
                SimpleNamespace(text=text, finish_reason=reason, token_ids=[7, 8], logprobs=rows)
                for text, reason in (self._texts.pop(0) for _ in range(params.n))
            ]
        )


def _generate(
    *texts: tuple[str, str], end: str = "", special: Sequence[str] = (), sampling: Sampling | None = None
) -> tuple[list[Completion], Engine]:
    fake: Any = Engine(texts)
    stats: Any = None
    engine = VLLMEngine(fake, Tokenizer(end, special), PLAIN, VLLMSettings(model="m"), stats)
    return asyncio.run(engine.generate(MESSAGES, sampling or Sampling())), fake


def test_a_thought_is_taken_off_and_its_tokens_with_it() -> None:
    (found,), fake = _generate(("<think>B</think>Why?", "stop"))
    assert (found.text, found.reasoning, found.token_ids, found.logprobs) == ("Why?", "B", (), ())
    assert found.usage == Usage(9, 2) and fake.asked[0].skip_special_tokens
    (found,), _ = _generate(("Why?", "stop"))
    assert (found.text, found.token_ids, found.logprobs) == ("Why?", (7, 8), (-1.0, -2.0))


def test_a_template_that_opens_the_thought_is_known() -> None:
    (found,), fake = _generate(("The key is B", "length"), ("B</think>Why?", "stop"), end="<think>\n")
    assert (found.text, found.reasoning, found.usage.no_replies, len(fake.asked)) == ("Why?", "B", 1, 2)


def test_what_a_schema_forms_is_no_thought() -> None:
    (found,), _ = _generate(('{"x": 1}', "stop"), end="<think>\n", sampling=Sampling(schema='{"type": "object"}'))
    assert (found.text, found.reasoning) == ('{"x": 1}', "")


def test_marks_that_are_special_tokens_are_asked_for() -> None:
    (found,), fake = _generate(("[THINK]B[/THINK]Why?", "stop"), special=("<s>", "[THINK]", "[/THINK]"))
    assert (found.text, found.reasoning, fake.asked[0].skip_special_tokens) == ("Why?", "B", False)


def test_missing_replies_are_drawn_again_and_then_given_up() -> None:
    found, fake = _generate(("Why?", "stop"), ("", "length"), ("Where?", "stop"), sampling=Sampling(n=2))
    assert [one.text for one in found] == ["Why?", "Where?"] and [one.n for one in fake.asked] == [2, 1]
    with pytest.raises(NoReply, match="raise max_tokens") as raised:
        _generate(*[("", "length")] * 3)
    assert raised.value.usage == Usage(27, 6, no_replies=3)
    with pytest.raises(NoReply, match="not asked again"):
        _generate(("", "length"), sampling=Sampling(temperature=0.0))


def test_an_opener_alone_is_no_reply() -> None:
    (found,), _ = _generate((" ", "stop"), (" of it?", "stop"), sampling=Sampling(opener="What do you think"))
    assert (found.text, found.usage.no_replies) == ("What do you think of it?", 1)
