"""What a reply is, and what was only thought."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable

import pytest

from agents.engines.base import Completion, Sampling
from agents.engines.entries import Failed
from agents.engines.reasoning import is_mark, opens_thought
from agents.engines.reply import ASKED_AGAIN, Reply, is_blank, outcome, read_reply, replies
from agents.errors import EngineUnavailable, NoReply
from agents.records import Usage

THOUGHT = "The key is B, I must not say it."
SAID = "What do you see?"


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{THOUGHT}</think>{SAID}",
        f"<think>\n{THOUGHT}\n</think>\n\n{SAID}",
        f"<THINK>{THOUGHT}</THINK> {SAID}",
        f"<thinking>{THOUGHT}</thinking>{SAID}",
        f"<thought>{THOUGHT}</thought>{SAID}",
        f"<reasoning>{THOUGHT}</reasoning>\n{SAID}",
        f"<scratchpad>{THOUGHT}</scratchpad>{SAID}",
        f'<think type="plan">{THOUGHT}</think>{SAID}',
        f"<seed:think>{THOUGHT}</seed:think>{SAID}",
        f"[THINK]{THOUGHT}[/THINK]{SAID}",
        f"◁think▷{THOUGHT}◁/think▷{SAID}",
        f"<|channel>thought\n{THOUGHT}<channel|>{SAID}",
        f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|><|begin_of_solution|>{SAID}<|end_of_solution|>",
        f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{SAID}<|END_RESPONSE|>",
        f"<think>{THOUGHT}</think><answer>{SAID}</answer>",
        f"{THOUGHT}</think>\n\n{SAID}",
        f"{THOUGHT}[/THINK]{SAID}",
        f"{SAID} <think>{THOUGHT}",
        f"{SAID}\n<think>{THOUGHT}</think>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}<|return|>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|channel|>final<|message|>{SAID}",
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}",
        f"analysis{THOUGHT}assistantfinal{SAID}",
        f"analysis\n{THOUGHT}\nassistantfinal\n{SAID}",
        f"Here is my thought process: {THOUGHT} Here is my response: {SAID}",
        f"<think>{THOUGHT}</think>{SAID}<|im_end|>",
    ],
)
def test_a_thought_is_told_from_what_is_said(text: str) -> None:
    reply = read_reply(text)
    assert (reply.text, reply.reasoning, reply.is_whole) == (SAID, THOUGHT, False)


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>a</think>Look. <think>b</think>Why?", "Look. Why?", "a\n\nb"),
        ("<think>a<think>b</think>c</think>Why?", "Why?", "a<think>b</think>c"),
        ("<think>I open with <think> and close.</think>Why?", "Why?", "I open with <think> and close."),
        ("<think>write `</think>` later</think>Why?", "Why?", "write `</think>` later"),
        ("<think>use ` once</think>Say `x`?", "Say `x`?", "use ` once"),
        ("Look <think>B</think> at this.", "Look at this.", "B"),
        ("<think>a</think>Why?<think>b", "Why?", "a\n\nb"),
        ("<think></think>Why?", "Why?", ""),
        ("<think/>Why?", "Why?", ""),
    ],
)
def test_blocks_nested_several_or_torn(text: str, said: str, thought: str) -> None:
    assert (read_reply(text).text, read_reply(text).reasoning) == (said, thought)


@pytest.mark.parametrize(
    "text",
    [
        "Put your thoughts between `<think>` and `</think>`, then look.",
        "What does `<think>` do?",
        "```xml\n<think>x</think>\n```\nWhat is printed?",
        'What does "<think>" stand for?',
        "In XML, <think> opens a block. What closes it?",
        "Is a<b or b>a? And 3 < 4?",
        "Think about it. What was your analysis, and the final step?",
        "analysis of the data shows two peaks. Which?",
        "The final answer is yours: which?",
        "<answer>Why?</answer>",
        "...",
        "👍",
        "Warum?\u200b",
    ],
)
def test_talk_stays_as_it_is(text: str) -> None:
    reply = read_reply(text)
    assert (reply.text, reply.reasoning, reply.is_whole) == (text, "", True)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n\t", "\u200b\u200d", "\ufeff", "\x00", "\u2800", "\u3164\u00a0", "\u00ad", "<|im_end|>", "</s>"),
        *("<think>B", "<think>B</think>", "<think></think>\n", "B</think>", "[THINK]B", "analysisWe hide B."),
        *("<|channel|>analysis<|message|>B", "<|channel|>commentary<|message|>B<|end|>", "<|channel|>analysis"),
    ],
)
def test_nothing_said_is_no_reply(text: str) -> None:
    for reason in ("stop", "length"):
        with pytest.raises(NoReply):
            read_reply(text, finish_reason=reason)


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: read_reply("What do you", finish_reason="content_filter"), "content filter ended it.*'What do you'"),
        (lambda: read_reply("What do you", finish_reason="SAFETY"), "content filter"),
        (lambda: read_reply(SAID, refusal="I cannot help."), "refused to reply .I cannot help"),
        (lambda: read_reply("What", finish_reason="error"), "broke the reply off"),
        (lambda: read_reply("", reasoning=THOUGHT), "thought and said nothing"),
        (lambda: read_reply("", reasoning=THOUGHT, finish_reason="length"), "on thoughts alone: raise max_tokens"),
        (lambda: read_reply("", finish_reason="length"), "before any visible word.*raise max_tokens"),
        (lambda: read_reply("", finish_reason="tool_calls"), "empty or blank .finish_reason 'tool_calls'"),
        (lambda: read_reply(" \n", opener="What do you think"), "empty or blank"),
        (lambda: read_reply("The key is", opened=True, finish_reason="length"), "on thoughts alone"),
    ],
)
def test_why_there_is_no_reply(read: Callable[[], Reply], says: str) -> None:
    with pytest.raises(NoReply, match=says):
        read()


def test_thoughts_from_both_places_are_kept_once() -> None:
    assert read_reply(SAID, reasoning=THOUGHT).reasoning == THOUGHT
    assert read_reply(f"<think>{THOUGHT}</think>{SAID}", reasoning=THOUGHT).reasoning == THOUGHT
    assert read_reply(f"<think>b</think>{SAID}", reasoning="a").reasoning == "a\n\nb"
    assert read_reply(f"{THOUGHT}</think>{SAID}", opened=True).text == SAID
    assert read_reply(" about it?", opener="What do you think").text == "What do you think about it?"


def test_halves_of_characters_and_control_characters_become_visible() -> None:
    found = {
        text: read_reply(text).text for text in ("a\ud83d", "\ud83d\ude00!", "a\x00b", "a\x1b[1m", "a\r\nb", "\ufeffa")
    }
    assert list(found.values()) == ["a\ufffd", "😀!", "a\ufffdb", "a\ufffd[1m", "a\nb", "a"]
    for text in found.values():
        text.encode()
    assert is_blank("\u200b") and not is_blank("\ud83d")


def test_token_ids_go_with_the_text_they_are_of() -> None:
    ids = Completion(SAID, (1, 2), (-0.1, -0.2))
    assert outcome(ids) == ids
    thought = outcome(Completion(f"<think>B</think>{SAID}", (1, 2), (-0.1, -0.2), "MAX_TOKENS"))
    assert thought == Completion(SAID, finish_reason="length", reasoning="B")
    apart = outcome(ids, reasoning="B")
    assert isinstance(apart, Completion) and apart.token_ids == ()


def test_a_prompt_that_opens_a_thought() -> None:
    assert opens_thought("<|im_start|>assistant\n<think>\n") and opens_thought("...[THINK]")
    assert not opens_thought("<think></think>\nassistant\n") and not opens_thought("Say <think> first.\nassistant\n")
    assert is_mark("[THINK]") and is_mark("<|channel|>") and not is_mark("<|im_end|>") and not is_mark("<s>")


def _drawn(*texts: str, n: int = 1, temperature: float = 0.7) -> tuple[list[Completion], list[int]]:
    waiting, asked = list(texts), list[int]()

    async def draw(count: int) -> list[Completion | NoReply]:
        asked.append(count)
        return [outcome(Completion(waiting.pop(0), usage=Usage(10, 1))) for _ in range(min(count, len(waiting)))]

    return asyncio.run(replies(draw, Sampling(n=n, temperature=temperature))), asked


def test_missing_replies_are_asked_for_again_and_paid() -> None:
    found, asked = _drawn("a", "", "c", "", "e", n=3)
    assert ([one.text for one in found], asked) == (["a", "c", "e"], [3, 1, 1])
    assert found[0].usage == Usage(30, 3, no_replies=2) and found[1].usage == Usage(10, 1)
    found, asked = _drawn("a", "", "", "", n=2)
    assert ([one.text for one in found], asked) == (["a"], [2, 1, 1])  # what is left is kept


def test_asking_again_ends() -> None:
    for temperature, often in ((0.7, 1 + ASKED_AGAIN), (0.0, 1)):
        with pytest.raises(NoReply, match="empty or blank") as raised:
            _drawn(*[""] * 9, temperature=temperature)
        assert raised.value.usage == Usage(10 * often, often, no_replies=often)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again), again.usage) == (NoReply, str(raised.value), Usage(10, 1, no_replies=1))
    taped = Failed.of(raised.value).again()
    assert isinstance(taped, NoReply) and taped.usage == raised.value.usage


def test_what_was_answered_without_a_reply_is_kept() -> None:
    found, _ = _drawn("a", "<think>b</think>", "", "<think>c</think>", n=2)
    assert found[0].unsaid == ("<think>b</think>", "<think>c</think>") and found[0].text == "a"
    with pytest.raises(NoReply) as raised:
        _drawn("<think>half \ud83d</think>", "", temperature=0.7)
    assert raised.value.raw == "<think>half \N{REPLACEMENT CHARACTER}</think>"
    broken = outcome(Completion("It is", finish_reason="error"), reasoning="Hm.", refusal="")
    assert isinstance(broken, NoReply) and broken.raw == "Hm.\n\nIt is"
    for again in (pickle.loads(pickle.dumps(broken)), Failed.of(broken).again()):
        assert isinstance(again, NoReply) and again.raw == broken.raw


def test_what_is_kept_of_an_endless_answer_has_an_end_and_says_so() -> None:
    endless = "<think>" + "hm " * 100_000
    with pytest.raises(NoReply) as raised:
        _drawn(endless, endless, endless)
    (kept,), _ = _drawn(endless, "a")
    for raw in (raised.value.raw, *kept.unsaid):
        assert len(raw) <= NoReply.LONGEST_RAW and raw.startswith("<think>hm hm")
        assert raw.endswith("… [cut: 290046 more characters]")
    for again in (pickle.loads(pickle.dumps(raised.value)), Failed.of(raised.value).again()):
        assert isinstance(again, NoReply) and again.raw == raised.value.raw
    whole = NoReply("no")
    whole.raw = "x" * NoReply.LONGEST_RAW
    assert whole.raw == "x" * NoReply.LONGEST_RAW


def test_what_fails_while_asking_again_keeps_what_there_is() -> None:
    async def draw(count: int) -> list[Completion | NoReply]:
        if len(asked) > len(first) - 1:
            raise EngineUnavailable("gone")
        asked.append(count)
        return [outcome(Completion(text, usage=Usage(10, 1))) for text in first]

    for first in ([""], ["a", ""]):
        asked = list[int](range(len(first) - 1))
        if first == [""]:
            with pytest.raises(EngineUnavailable) as raised:
                asyncio.run(replies(draw, Sampling(n=2)))
            assert raised.value.usage == Usage(10, 1, no_replies=1)
        else:
            (kept,) = asyncio.run(replies(draw, Sampling(n=2)))
            assert (kept.text, kept.usage) == ("a", Usage(20, 2, no_replies=1))
