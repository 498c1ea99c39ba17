"""What a message says, thinks and refuses, whatever parts a server sends it in."""

from __future__ import annotations

import json

import pytest

from agents.engines.wire import ChoiceAnswer, read_chat


def _read(content: object, **fields: object) -> ChoiceAnswer:
    message = {"role": "assistant", "content": content, **fields}
    return read_chat(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})).choices[0]


FIELDS = [
    *("reasoning", "thinking", "thought", "thoughts", "analysis", "reasoning_content", "reasoningContent", "think"),
    *("inner_monologue", "chain_of_thought", "scratchpad", "reasoning_details", "reflection", "rationale", "summary"),
]
PARTS: list[dict[str, object]] = [
    *(dict[str, object]({name: "B"}) for name in FIELDS),
    {"reasoning": "B", "type": None},
    {"reasoning": {"text": "B"}, "type": ""},
    {"thinking": [{"text": "B"}]},
    {"text": "B", "thought": True},
    {"type": "text", "text": "B", "thought": True},
    {"type": "text", "thinking": "B"},
    {"type": "text", "channel": "analysis", "text": "B"},
    {"channel": "commentary", "content": "B"},
    {"role": "reasoning", "content": [{"text": "B"}]},
    {"type": "THINKING", "content": "B"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "B"}], "encrypted_content": "x"},
    {"type": "redacted_thinking", "text": "B"},
    {"type": "message", "content": [{"reasoning": "B"}]},
]


@pytest.mark.parametrize("part", PARTS, ids=json.dumps)
def test_a_part_that_is_thought_is_never_said(part: dict[str, object]) -> None:
    contents: list[object] = [
        [part, {"type": "text", "text": "Why?"}],
        ["Wh", part, {"text": "y?"}],
        [{"type": "message", "role": "assistant", "content": [part, "Why?"]}],
        [[part], {"text": "Why?", "thoughtSignature": "x", "reasoning_tokens": 3, "finish_reason": "stop"}],
    ]
    found = [_read(content) for content in contents]
    assert [(one.text, one.reasoning, one.refusal) for one in found] == [("Why?", "B", "")] * 4
    alone = [_read(part), _read([part])]
    assert [(one.text, one.reasoning) for one in alone] == [("", "B")] * 2


@pytest.mark.parametrize("name", FIELDS)
def test_a_thought_beside_what_is_said_is_told_from_it(name: str) -> None:
    apart = [_read("Why?", **{name: "B"}), _read({name: "B", "text": "Why?"}), _read([{"text": "Why?", name: ["B"]}])]
    assert [(one.text, one.reasoning) for one in apart] == [("Why?", "B")] * 3


def test_a_thought_that_is_told_twice_is_kept_once() -> None:
    twice = _read([{"thinking": "B"}, "Why?"], reasoning="B", reasoning_content="B", thinking_blocks=[{"text": "B"}])
    assert (twice.text, twice.reasoning) == ("Why?", "B")
    assert _read(None, reasoning=None, reasoning_details=[{"type": "reasoning.text", "text": "B"}]).reasoning == "B"


@pytest.mark.parametrize(
    "content",
    [
        {"type": "text", "text": "Why?"},
        [{"text": {"value": "Why?", "annotations": []}}],
        {"parts": [{"text": "Wh"}, {"text": "y?"}]},
        [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Why?"}]}],
        [{"type": "Text", "text": "Why?", "thinking": None}],
        ["Why?", {"type": "tool_use", "name": "f", "input": {"text": "B"}, "text": "B"}, {"type": "image_url"}],
        ["Why?", {"type": "tool_result", "content": [{"type": "text", "text": "B"}]}, {"json": {"answer": "B"}}],
        [{"role": "user", "content": "B"}, {"role": "model", "parts": [{"text": "Why?"}]}, None, 3],
    ],
)
def test_only_what_is_said_is_said(content: object) -> None:
    for said in (_read(content), _read(content, type="message", role="ai", channel="final")):
        assert (said.text, said.reasoning, said.refusal) == ("Why?", "", "")


def test_a_message_that_is_a_thought_says_nothing() -> None:
    for said in (_read("B", channel="analysis"), _read([{"text": "B"}], type="reasoning")):
        assert (said.text, said.reasoning) == ("", "B")


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "refusal", "refusal": "No."}],
        [{"refusal": "No."}],
        {"type": "text", "refusal": "No."},
        [{"type": "refusal", "text": "No."}],
    ],
)
def test_a_refusal_in_a_part_is_one(content: object) -> None:
    assert (_read(content).text, _read(content).refusal) == ("", "No.")
    assert _read("Why?", refusal="No.").refusal == "No." and _read("", refusal=True).refusal == "no reason given"


def test_parts_are_read_to_a_depth_that_honest_ones_have() -> None:
    deep: object = "B"
    for _ in range(400):
        deep = [{"thinking": deep, "text": deep if isinstance(deep, str) else ""}]
    assert (_read([deep, "Why?"]).text, _read([deep, "Why?"]).reasoning) == ("Why?", "")
