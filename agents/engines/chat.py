"""A conversation in little memory: thousands of dialogues wait at once, each with its own.

Invariant: a chat is a sequence of messages and equal to the list of the same ones. It holds references to its texts
and nothing for each message but those; messages are made when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from agents.engines.base import Message


class Chat(Sequence[Message]):
    """Messages that cannot be changed."""

    __slots__ = ("_said",)

    def __init__(self, messages: Iterable[tuple[str, str]]) -> None:
        """Takes (role, text) of every message."""
        self._said: tuple[str, ...] = tuple(part for message in messages for part in message)

    def __len__(self) -> int:
        return len(self._said) // 2

    @overload
    def __getitem__(self, index: int) -> Message: ...

    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...

    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        role: Any = self._said[2 * place]
        return {"role": role, "content": self._said[2 * place + 1]}

    def __iter__(self) -> Iterator[Message]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._said)

    def __repr__(self) -> str:
        return f"Chat({list(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _of, (self._said,)


def _of(said: tuple[str, ...]) -> Chat:
    chat = Chat(())
    chat._said = said
    return chat
