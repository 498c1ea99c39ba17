"""Tutors without a model, to hold others against: one that is silent, one that chats, one that dumps the answer.

Invariant: what a control says depends on the item and the turn alone. `irrelevant` never leaks and never asks about the
item, `answer_dump` gives the whole answer away in every turn, both by `agents.judges.rules` on every shipped item. A
control that fares well in a measure shows that the measure can be had without teaching.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from agents.engines.base import Completion, Message, Sampling, Score
from agents.errors import EngineRefused, InputError, nearest
from agents.records import Item

CONTROLS = ("silent", "irrelevant", "answer_dump")
"""The controls that speak; `no_tutor` is a dialogue that is not held."""
SILENCE = "..."
SMALL_TALK = (
    "I had pancakes for breakfast. Do you like pancakes?",
    "My cousin plays the trumpet. Who is the musician in your family?",
    "Somebody told me a penguin joke. What is your favorite joke?",
    "My favorite hobby is baking cookies. Which hobby is your favorite?",
    "There is a pirate in my comic. Do you have a favorite comic?",
    "My neighbor adopted a kitten. Would you like to have a pet?",
    "I have theater tickets for Saturday. What is your weekend like?",
    "I enjoy ping pong. Which sport do you enjoy?",
    "My barber has a funny mustache. Who is your barber?",
    "My grandma is knitting mittens. Do you like to knit?",
)
"""Said in turn: friendly, free of science, with a question each, so that asking alone does not tell it from a tutor."""
DUMPS = (
    "The right answer is: {answer}",
    "In other words, you only have to remember this: {answer}",
    "I can say it again. What you write down is this: {answer}",
    "So, to put it in a sentence: {answer} That is the correct one.",
)
"""Said in turn."""


@dataclass(frozen=True, slots=True)
class ControlTutor:
    """What a control says of an item. Raises InputError for a kind there is not."""

    kind: str
    item: Item

    def __post_init__(self) -> None:
        if self.kind not in CONTROLS:
            raise InputError(f"no control tutor {self.kind!r}; {nearest(self.kind, CONTROLS)}")

    def says(self, turn_number: int) -> str:
        """The tutor's turn of that number, from 0."""
        if self.kind == "silent":
            return SILENCE
        if self.kind == "answer_dump":
            return DUMPS[turn_number % len(DUMPS)].format(answer=_sentence(self.item.question.answer_text))
        # Each item starts elsewhere in the list, so that no single line decides what small talk does.
        return SMALL_TALK[(zlib.crc32(self.item.id.encode()) + turn_number) % len(SMALL_TALK)]


class ControlEngine:
    """A control tutor at the engine seam: it reads nothing but how often it has spoken, and costs nothing.

    `max_tokens` and `stop` do not cut what it says.

    Raises:
        InputError: there is no such control.
    """

    def __init__(self, kind: str, item: Item) -> None:
        self._tutor = ControlTutor(kind, item)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns `sampling.n` equal completions without usage.

        Raises:
            EngineRefused: the sampling asks for an opener or a schema.
        """
        if sampling.opener or sampling.schema is not None:
            raise EngineRefused(
                f"control tutor {self._tutor.kind!r} says its own words and takes no opener or JSON schema: "
                "use it as a tutor in a run only"
            )
        spoken = sum(message["role"] == "assistant" for message in messages)
        return [Completion(self._tutor.says(spoken), policy_version="control")] * sampling.n

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Always raises `EngineRefused`: there is no model to score with."""
        raise EngineRefused(
            f"control tutor {self._tutor.kind!r} has no model and cannot score text: "
            "give the student's role to a `vllm` engine"
        )

    async def close(self) -> None:
        """Does nothing: there is nothing to release."""


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
