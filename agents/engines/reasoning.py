"""Tells what a model thought from what it said, where both came in one text.

Models mark their thoughts by tags (`<think>`, `[THINK]`, ...) or by channels (`<|channel|>analysis`); a chat template
may have opened the tag already, and a thought that ran into the token limit is never closed.

Invariant: where it is doubtful whether words are a thought, they are one: a thought that is said aloud gives answers
away. What stands in code quotes, or alone between quotation marks, is talk about a tag and stays. A text without any
mark comes back as it is, and costs one search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|inner_monologue"
_TAG = rf"(?:[\w.-]+[:|])?(?:{_NAMES})(?:_fast|_faster)?(?:[:\s][^<>\n]*)?"
_OPEN = (
    rf"<\s*{_TAG}(?<!/)>|\[THINK\]|◁\s*think\s*▷|<\|open\|>think<\|sep\|>|<unused94>(?:thought)?|<\|channel>(?:thought)?"
    r"|<\|(?:begin_of_(?:thought|thinking)|start_(?:of_)?(?:thought|thinking|reasoning)|think(?:ing)?(?:_start)?)\|>"
)
_CLOSE = (
    rf"<\s*/\s*{_TAG}\s*>|\[/THINK\]|◁\s*/\s*think\s*▷|<\|close\|>think<\|sep\|>|<unused95>|<channel\|>"
    r"|<\|(?:end_of_(?:thought|thinking)|end_(?:thought|thinking|reasoning)|/think(?:ing)?|think(?:ing)?_end)\|>"
)
_MARK = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|(?P<empty><\s*{_TAG}/\s*>)", re.IGNORECASE)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "„": "“", "「": "」"}
_HINT = re.compile(r"think|thought|reason|reflection|scratchpad|analysis|monologue|channel|<unused9|final|◁", re.I)
"""What every mark holds one of."""

_CHANNEL = re.compile(r"<\|channel\|>(?P<header>[^<]*(?:<\|constrain\|>[^<]*)?)(?P<body><\|message\|>)?")
_CONTROL = re.compile(r"<\|(?:start|end|return|call|message|constrain)\|>(?:assistant(?=\s*(?:<\||$)))?")
_STRIPPED = re.compile(r"assistantfinal")
_STRIPPED_THOUGHT = re.compile(r"\s*(?:analysis|commentary)(?=[^\Wa-z_]|[\"'“*(\n])")
_STRIPPED_FINAL = re.compile(r"\s*final(?=[^\Wa-z_])")
_ANNOUNCED = re.compile(
    r"\s*Here(?:'s|’s| is) my thought process:\s*(?P<thought>.*?)(?P<then>$|Here(?:'s|’s| is) my response:)", re.DOTALL
)
_WRAPPED = re.compile(
    r"\s*(?:<(answer|response|solution|output)>|<\|(?:START_RESPONSE|begin_of_solution)\|>|<\|open\|>response<\|sep\|>)"
    r"(?P<said>.*?)"
    r"(?:</(?:answer|response|solution|output)>|<\|(?:END_RESPONSE|end_of_solution)\|>|<\|close\|>response<\|sep\|>)?\s*",
    re.DOTALL | re.IGNORECASE,
)
_ENDS = (
    *(f"<|{name}|>" for name in ("im_end", "endoftext", "eot_id", "eot", "eom", "end", "return", "end_of_text")),
    *(
        "<end_of_turn>",
        "<end_of_utterance>",
        "<turn|>",
        "<eos>",
        "</s>",
        "<｜end▁of▁sentence｜>",
        "<|END_OF_TURN_TOKEN|>",
    ),
)
"""What ends a turn in a chat template, and is text where a server forgot to take it off."""


@dataclass(slots=True)
class _Parts:
    """A text that is being told apart."""

    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)

    def all_thought(self, last: str) -> None:
        """Everything until now was a thought."""
        self.thought = [*self.thought, "".join(self.said) + last]
        self.said = []


def told_apart(text: str, *, cut_off: bool = False, opened: bool = False) -> tuple[str, str]:
    """Returns what was said and what was thought, each without the marks; either may be empty.

    Args:
        text: of one reply.
        cut_off: it ended by its token limit, so that a thought may have no end.
        opened: the prompt ended with an opening mark.
    """
    if not opened and not _HINT.search(text):
        return _without_end(text), ""
    said, thought = _of_channels(text)
    if found := _ANNOUNCED.match(said):
        said, thought = said[found.end() :], [*thought, found["thought"]]
    said, tagged = _of_tags(said, cut_off=cut_off, opened=opened)
    thoughts = [part.strip() for part in (*thought, *tagged) if part.strip()]
    said = _without_end(said)
    if (thoughts or "<|" in said) and (wrapped := _WRAPPED.fullmatch(said)):
        said = wrapped["said"]
    return said, "\n\n".join(thoughts)


def opens_thought(prompt: str) -> bool:
    """Whether a rendered prompt ends with an opening mark, so that the model's first words are a thought."""
    marks = list(_MARK.finditer(prompt[-200:]))
    return bool(marks) and marks[-1]["open"] is not None and not prompt[-200:][marks[-1].end() :].strip()


def is_mark(token: str) -> bool:
    """Whether a tokenizer's special token marks a thought or a channel, so that it must not be dropped from a text."""
    return _MARK.fullmatch(token) is not None or token in ("<|channel|>", "<|message|>")


def _without_end(text: str) -> str:
    end = len(text.rstrip())
    while end and (mark := next((one for one in _ENDS if text.endswith(one, 0, end)), "")):
        end -= len(mark)
        while end and text[end - 1].isspace():
            end -= 1
    return text if end == len(text.rstrip()) else text[:end]


def _of_channels(text: str) -> tuple[str, list[str]]:
    """Harmony's channels: `final` is said, all others are thought. Their special tokens may have been dropped."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        parts = _Parts()
        if before := _CONTROL.sub("", text[: channels[0].start()]).strip().removesuffix("assistant"):
            parts.thought.append(before)  # the template had opened a channel
        for channel, after in zip(channels, [*channels[1:], None], strict=True):
            body = text[channel.end() : after.start() if after else len(text)] if channel["body"] else ""
            body = re.split(r"<\|(?:start|end|return|call)\|>", body)[0]
            is_said = channel["header"].split("<", 1)[0].strip().lower() == "final"
            (parts.said if is_said else parts.thought).append(body)
        return "\n".join(parts.said), parts.thought
    if finals := list(_STRIPPED.finditer(text)):
        thought = _STRIPPED_THOUGHT.sub("", text[: finals[0].start()], count=1)
        return text[finals[-1].end() :], [thought]
    if start := _STRIPPED_THOUGHT.match(text):
        return "", [text[start.end() :]]
    if start := _STRIPPED_FINAL.match(text):
        return text[start.end() :], []
    return text, []


def _of_tags(text: str, *, cut_off: bool, opened: bool) -> tuple[str, list[str]]:
    parts, depth, last, inner = _Parts(), int(opened), 0, None
    code = [found.span() for found in _CODE.finditer(text)]
    marks = list(_MARK.finditer(text))
    last_close = max((mark.start() for mark in marks if mark["close"]), default=-1)
    for mark in marks:
        if _is_quoted(text, mark) or (not depth and any(a < mark.start() < b for a, b in code)):
            continue
        if mark["empty"]:
            continue
        if mark["open"]:
            if not depth:
                if not cut_off and mark.start() > last_close and _is_talk(text, mark):
                    continue
                parts.said.append(text[last : mark.start()])
                last, inner = mark.end(), None
            depth += 1
        elif depth:
            depth -= 1
            inner = mark
            if not depth:
                parts.thought.append(text[last : mark.start()])
                last = mark.end()
        else:  # the template had opened it
            parts.all_thought(text[last : mark.start()])
            last = mark.end()
    if depth and inner is not None and inner.end() > last and not cut_off:
        # A thought that speaks of its own mark: there are fewer ends than beginnings, and the last one ended it.
        parts.thought.append(text[last : inner.start()])
        parts.said.append(text[inner.end() :])
    else:
        (parts.thought if depth else parts.said).append(text[last:])
    said = parts.said[0] if parts.said else ""
    for part in parts.said[1:]:
        if said[-1:].isspace() and part[:1] == " ":
            part = part.lstrip(" ")
        said += part if not said or said[-1].isspace() or part[:1].isspace() else f" {part}"
    return re.sub(rf"<\s*{_TAG}/\s*>", "", said, flags=re.IGNORECASE), parts.thought


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark stands alone between quotation marks or backticks."""
    before, after = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    return bool(before) and _QUOTES.get(before) == after


def _is_talk(text: str, mark: re.Match[str]) -> bool:
    """Whether an opening mark that is never closed, in a sentence that goes on after it, is a word of that sentence."""
    before, after = text[max(0, mark.start() - 2) : mark.start()], text[mark.end() : mark.end() + 2]
    return bool(re.fullmatch(r"[\w,] ", before)) and bool(re.match(r" [^\WA-Z_]|[.,;:!?)]", after))
