"""What the message of an answer says, what it thinks and what it refuses, in whatever parts a server sends it.

A message's content is a text, a part, or a list of either; a part is an object that may hold parts in turn. What a part
is, its type tells, or its channel, a flag (`thought: true`), or, where it has none of these, the names of its fields.

Invariant: what any of these names calls a thought is thought, however deep it stands. What is said has one of few
names; a part that has none (a tool's call, an image) is neither. Nesting is read to a depth that no honest answer has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_DEEPEST = 12
_SAID_TYPES = frozenset(
    "text output_text text_delta text/plain text/markdown markdown message output_message content final answer "
    "response assistant model".split()
)
"""Types of parts that are said; of any other type a part is a thought, a refusal or neither."""
_TYPES = ("type", "kind", "channel", "role")
_THOUGHT_TYPE = re.compile(
    r"reason|think|thought|analys[ie]s|summary|reflect|scratchpad|monologue|deliberat|commentary|\bcot\b"
)
_THOUGHT_FIELD = re.compile(
    r"(?:\w+_)?(?:reasoning|think(?:ing)?|thoughts?|analysis|reflections?|scratchpad|monologue|deliberation|rationale|"
    r"cot|summary)(?:_(?:content|text|details|summary|blocks?|process|steps?|parts?))?|reason"
)
"""Names of fields that hold thoughts. Signatures, counts of tokens and levels of effort end otherwise."""
_PREFERRED = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Of several fields of a message with thoughts, which are the same ones told twice, the first of these is read."""
_SAID_FIELDS = ("text", "output_text", "content", "parts", "value")
_REFUSAL_FIELDS = ("refusal", "refusal_text")
_INNER = ("text", "thinking", "reasoning", "content", "summary", "value")
"""Fields of a part that holds nothing but a thought, or a refusal: the first with words in it counts."""


@dataclass(slots=True)
class Told:
    """What was found, in order."""

    said: str = ""
    thoughts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def read_message(message: Mapping[str, object]) -> Told:
    """Reads a message: its content, the thoughts and the refusal beside it. Thoughts that came apart go first."""
    told = Told()
    if _thinks(message):
        told.thoughts += filter(None, [_words(message.get("content"), 0)])
    else:
        _read(message.get("content"), told, 0)
    names = sorted((name for name in message if _is_thought(name)), key=_preference)
    if apart := next(filter(None, (_words(message[name], 0) for name in names)), ""):
        told.thoughts.insert(0, apart)
    refusal = message.get("refusal")
    if given := "no reason given" if refusal is True else _words(refusal, 0):
        told.refusals.insert(0, given)
    return told


def _read(value: object, told: Told, depth: int) -> None:
    if isinstance(value, str):
        told.said += value
    elif depth >= _DEEPEST:
        return
    elif isinstance(value, list):
        for one in value:
            _read(one, told, depth + 1)
    elif isinstance(value, dict):
        _read_part(value, told, depth + 1)


def _read_part(part: Mapping[str, object], told: Told, depth: int) -> None:
    flagged = any(part[name] is True for name in part if _is_thought(name))
    if flagged or _thinks(part):
        told.thoughts += filter(None, [_words(part, depth)])
        return
    kinds = _kinds(part)
    told.thoughts += [words for name in part if _is_thought(name) and (words := _words(part[name], depth))]
    if any("refus" in kind for kind in kinds):
        told.refusals += [_words(part, depth) or "no reason given"]
        return
    told.refusals += [words for name in _REFUSAL_FIELDS if (words := _words(part.get(name), depth))]
    if all(kind in _SAID_TYPES for kind in kinds):
        name = next((name for name in _SAID_FIELDS if part.get(name)), "")
        _read(part.get(name), told, depth)


def _kinds(part: Mapping[str, object]) -> list[str]:
    kinds = (part.get(name) for name in _TYPES)
    return [kind.strip().lower() for kind in kinds if isinstance(kind, str) and kind.strip()]


def _thinks(part: Mapping[str, object]) -> bool:
    return any(_THOUGHT_TYPE.search(kind) for kind in _kinds(part))


def _is_thought(name: str) -> bool:
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_")
    return _THOUGHT_FIELD.fullmatch(snake) is not None


def _preference(name: str) -> int:
    return _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)


def _words(value: object, depth: int) -> str:
    """All that a text, a part or a list of either holds, where it is known what it is."""
    if isinstance(value, str):
        return value
    if depth >= _DEEPEST:
        return ""
    if isinstance(value, list):
        return "".join(_words(one, depth + 1) for one in value)
    if isinstance(value, dict):
        names = dict.fromkeys((*_INNER, *_REFUSAL_FIELDS, *filter(_is_thought, value)))
        return next((words for name in names if (words := _words(value.get(name), depth + 1))), "")
    return ""
