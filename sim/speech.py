"""What the student and the tutor say next.

Invariant: what is said depends on the turns before it and the config alone; whoever calls keeps the turn or drops it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from agents.engines.base import Completion, Engine, Sampling
from agents.judges.rules import hints
from agents.records import EpisodeSpec, Item, Turn, Usage
from agents.stressors import move, stressed_text
from agents.views import student_system, tutor_system, view
from sim.config import Config
from sim.config_experiment import TutorArm

_LAST_END = re.compile(r"^.*[.!?](?=[\s\"')\]]|$)[\"')\]]?", re.DOTALL)


def whole_sentences(reply: Completion) -> str:
    """The reply's text; one that ran into its token cap is cut back to its last whole sentence, if it has one."""
    if reply.finish_reason != "length":
        return reply.text
    match = _LAST_END.match(reply.text)
    return match.group(0).strip() if match else reply.text


@dataclass(frozen=True, slots=True)
class Speakers:
    """The two sides of one dialogue."""

    config: Config
    spec: EpisodeSpec
    item: Item
    tutor: Engine
    student: Engine
    arm: TutorArm

    @property
    def student_system(self) -> str:
        """The student's system prompt."""
        return student_system(self.item, self.config.inputs.persona(self.spec.persona), self.spec.held_option)

    @property
    def tutor_system(self) -> str:
        """The tutor's system prompt."""
        spec, knows = self.spec, self.config.tutor.knows_answer
        told = self.config.inputs.strategy(spec.strategy)
        if self.arm.prompt:  # taken as it stands: braces in it are no fields
            told = replace(told, prompt=self.arm.prompt.replace("{", "{{").replace("}", "}}"))
        return tutor_system(self.item, told, spec.strategy_settings, knows_answer=knows)

    def opening(self) -> Turn:
        """The student's first turn: the item's opening, and what the stressor adds to it."""
        said = self._stressed(0)
        if said is None:
            return Turn(0, "student", self.item.opening)
        text = stressed_text(self.item.opening, self.config.inputs.stressor(self.spec.stressor), said, opening=True)
        return Turn(0, "student", text, stressor=self.spec.stressor)

    def _stressed(self, number: int) -> str | None:
        """What the stressor says at the student's `number`-th turn, the opening being 0; None: nothing."""
        spec = self.spec
        if not spec.stressor:
            return None
        return move(
            self.config.inputs.stressor(spec.stressor),
            intensity=spec.intensity,
            number=number,
            student_key=spec.student_key,
            belief=self.item.question.options[spec.held_option].text,
            question=self.item.question.text,
        )

    async def student_turn(self, turns: Sequence[Turn], number: int) -> tuple[Turn, Usage]:
        """The student's reply after the `number`-th tutor turn, from 0: a line of persona or stressor, or sampled."""
        said = self._stressed(number + 1)
        if said is None:
            return await self._own_turn(turns, number)
        trait = self.config.inputs.stressor(self.spec.stressor)
        own, usage = Turn(len(turns), "student", "", policy_version="script"), Usage()
        if trait.says != "replace":
            own, usage = await self._own_turn(turns, number)
        said = stressed_text(own.text, trait, said)
        return replace(own, text=said, token_ids=(), stressor=trait.name), usage  # the ids were of its own words

    async def _own_turn(self, turns: Sequence[Turn], number: int) -> tuple[Turn, Usage]:
        lines = self.config.inputs.persona(self.spec.persona).lines
        if lines:
            return Turn(len(turns), "student", lines[number % len(lines)], policy_version="script"), Usage()
        settings = self.config.students
        sampling = sampled(max_tokens=settings.max_tokens, temperature=settings.temperature)
        seen = view(self.student_system, turns, "student")
        reply = (await self.student.generate(seen, sampling, dialogue_id=self.spec.id))[0]
        return _turn(turns, "student", reply), reply.usage

    async def tutor_turn(self, turns: Sequence[Turn]) -> tuple[Turn, Usage]:
        """The tutor's reply as it is served: one, at the tutor's own temperature."""
        seen = view(self.tutor_system, turns, "tutor")
        reply = (await self.tutor.generate(seen, self.sampling(1), dialogue_id=self.spec.id))[0]
        return _turn(turns, "tutor", reply), reply.usage

    def sampling(self, candidates: int) -> Sampling:
        """How the tutor samples one reply, or several candidates."""
        settings = self.config.tutor
        warm = self.config.dialogue.candidate_temperature
        return sampled(
            max_tokens=settings.max_tokens,
            temperature=warm if candidates > 1 else settings.temperature,
            repetition_penalty=settings.repetition_penalty,
            n=candidates,
        )

    def candidate_samplings(self, turns: Sequence[Turn], candidates: int) -> list[Sampling]:
        """How K candidates are sampled; in a loop a share of them begins with the strategy's openers in turn."""
        plain = self.sampling(candidates)
        openers = self.config.inputs.strategy(self.spec.strategy).openers
        opened = round(candidates * self.config.dialogue.exploration) if openers else 0
        if candidates == 1 or not opened or self.config.kind != "loop":
            return [plain]
        first = zlib.crc32(f"{self.spec.id}/{len(turns)}".encode())
        found = [replace(plain, n=candidates - opened)] if opened < candidates else []
        return found + [replace(plain, n=1, opener=self._opener(openers, first + i)) for i in range(opened)]

    def _opener(self, openers: Sequence[str], number: int) -> str:
        """The opener of that number, in turn; one that needs a hint is passed over where the answer allows none."""
        known = hints(self.item.question)
        usable = [opener for opener in openers if known or "{hint}" not in opener]
        if not usable:
            return ""
        chosen = usable[number % len(usable)]
        return chosen.format(hint=known[number // len(usable) % len(known)]) if known else chosen


@lru_cache(maxsize=256)
def sampled(**settings: Any) -> Sampling:
    """The same object for the same settings: one of the few things that every waiting request would have its own of."""
    return Sampling(**settings)


_IDS: dict[int, int] = {}


def shared_ids(ids: Sequence[int]) -> tuple[int, ...]:
    """The token ids with one object for equal ids, a third of the memory; at most the vocabulary is remembered."""
    return tuple(map(_IDS.setdefault, ids, ids))


def _turn(turns: Sequence[Turn], role: str, reply: Completion) -> Turn:
    return Turn(
        index=len(turns),
        role="tutor" if role == "tutor" else "student",
        text=whole_sentences(reply),
        token_ids=shared_ids(reply.token_ids),
        finish_reason=reply.finish_reason,
        policy_version=reply.policy_version,
    )
