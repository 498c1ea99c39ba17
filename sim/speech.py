"""What the student and the tutor say next.

A reply is what its speaker said in its own name (see `agents.speech`); one that goes on in the other's is cut, and one
that begins so is asked for again, and is no reply if nothing else comes.

Invariant: what is said depends on the turns before it and the config alone; whoever calls keeps the turn or drops it.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from agents.engines.base import Completion, Engine, Sampling
from agents.engines.chat import Chat
from agents.errors import NoReply, first_of
from agents.judges.rules import content
from agents.library import Persona
from agents.records import EpisodeSpec, Item, Question, Role, Turn
from agents.speech import cut_at_role_break
from agents.stressors import move, stressed_text
from agents.students import (
    TERSE_TOKENS,
    TERSE_TRIES,
    first_clause,
    is_terse_turn,
    scripted,
    tersest,
    whole_sentences,
)
from agents.views import student_system, terse_view, tutor_system, view
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.rounds import is_training, round_of

ATTEMPTS = 3
"""How often a reply is asked for that holds nothing said in the speaker's own name."""
_CALLED = re.compile(r"\b(?:[Yy]ou are|[Nn]amed|[Nn]ame is|[Cc]alled)\s+([^\W\d_]{3,20})\b")
"""How a prompt gives somebody a name."""
_WORDS = frozenset("hint hints question questions answer example explain explanation step steps note summary".split())
"""Names of strategies that begin lines of a lesson too."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a speaker said in its own name, and the reply that held it."""

    text: str
    role_break: bool
    reply: Completion
    opener: str = ""
    """What the reply was begun with; empty: the model began it."""
    unfinished: bool = False

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Those of the reply; none where a label or another's words were taken off, since they are of more then."""
        whole = not self.role_break and self.reply.text.startswith(self.text)
        return shared_ids(self.reply.token_ids) if whole else ()

    def turn(self, index: int, role: Role) -> Turn:
        """It as a turn."""
        return Turn(
            index=index,
            role=role,
            text=self.text,
            token_ids=self.token_ids,
            finish_reason=self.reply.finish_reason,
            policy_version=self.reply.policy_version,
            reasoning=self.reply.reasoning,
            role_break=self.role_break,
            unfinished=self.unfinished,
        )


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
    def persona(self) -> Persona:
        """Who the student is."""
        return self.config.inputs.persona(self.spec.persona)

    @property
    def student_system(self) -> str:
        """The student's system prompt."""
        return student_system(self.item, self.persona, self.spec.held_option)

    @property
    def _belief(self) -> str:
        return self.item.question.options[self.spec.held_option].text

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
            belief=self._belief,
            question=self.item.question.text,
        )

    async def student_turn(self, turns: Sequence[Turn], number: int) -> Turn:
        """The student's reply after the `number`-th tutor turn, from 0: a line of persona or stressor, or sampled."""
        said = self._stressed(number + 1)
        if said is None:
            return await self._own_turn(turns, number)
        trait = self.config.inputs.stressor(self.spec.stressor)
        own = Turn(len(turns), "student", "", policy_version="script")
        if trait.says != "replace":
            own = await self._own_turn(turns, number)
        said = stressed_text(own.text, trait, said)
        return replace(own, text=said, token_ids=(), stressor=trait.name)  # the ids were of its own words

    async def _own_turn(self, turns: Sequence[Turn], number: int) -> Turn:
        if self.persona.is_scripted:
            return Turn(len(turns), "student", self._scripted(turns[-1].text, number), policy_version="script")
        settings = self.config.students
        if is_terse_turn(self.persona.terse, self.spec.student_key, number):
            seen = terse_view(self.student_system, self.persona.examples, turns[-1].text)
            brief = sampled(max_tokens=TERSE_TOKENS, temperature=settings.temperature, n=TERSE_TRIES)
            replies = await self.ask("student", turns, [brief], seen=seen)
            said = replies[tersest([reply.text for reply in replies])]
            clause = first_clause(said.text)
            torn = said.unfinished and clause == said.text.strip()
            return replace(said, text=clause, unfinished=torn).turn(len(turns), "student")
        sampling = sampled(max_tokens=settings.max_tokens, temperature=settings.temperature)
        said, *_ = await self.ask("student", turns, [sampling])
        return said.turn(len(turns), "student")

    def _scripted(self, heard: str, number: int) -> str:
        persona = self.persona
        if persona.script is None:
            return persona.lines[number % len(persona.lines)]
        student = self.spec.student_key
        return scripted(persona.script, self.item, belief=self._belief, heard=heard, student_key=student, number=number)

    async def tutor_turn(self, turns: Sequence[Turn]) -> Turn:
        """The tutor's reply as it is served: one, at the tutor's own temperature."""
        said, *_ = await self.ask("tutor", turns, [self.sampling(1)])
        return said.turn(len(turns), "tutor")

    async def ask(
        self, role: Role, turns: Sequence[Turn], samplings: Sequence[Sampling], *, seen: Chat | None = None
    ) -> list[Said]:
        """What one side says next, for each of several ways to sample it; `seen` in place of its view of the dialogue.

        Replies in which nothing is said in the speaker's own name are left out.

        Raises:
            NoReply: no reply is left after as many attempts as can help.
            EngineError: the engine failed.
        """
        seen = seen or view(self.student_system if role == "student" else self.tutor_system, turns, role)
        attempts = ATTEMPTS if any(sampling.temperature for sampling in samplings) else 1
        begin = ""
        for _ in range(attempts):
            replies = await self._replies(role, seen, samplings)
            if found := [said for one in replies if (said := self._said(*one, role)).text.strip()]:
                return found
            begin = replies[0][0].text[:80]
        raise NoReply(
            f"the {role} said nothing in its own name in {attempts} attempt(s): a reply begins {begin!r}. Tell it in "
            "its prompt to write its own next message only, or use another model"
        )

    async def _replies(self, role: Role, seen: Chat, samplings: Sequence[Sampling]) -> list[tuple[Completion, str]]:
        """Replies, each with the opener that it was begun with."""
        engine = self.student if role == "student" else self.tutor
        if len(samplings) == 1:  # thousands of dialogues wait here: no task of its own for each
            (sampling,) = samplings
            given = await engine.generate(seen, sampling, dialogue_id=self.spec.id)
            return [(reply, sampling.opener) for reply in given]
        found = await asyncio.gather(
            *(engine.generate(seen, sampling, dialogue_id=self.spec.id) for sampling in samplings),
            return_exceptions=True,
        )
        errors = [one for one in found if isinstance(one, BaseException)]
        replies = [
            (reply, sampling.opener)
            for one, sampling in zip(found, samplings, strict=True)
            if not isinstance(one, BaseException)
            for reply in one
        ]
        if not replies or not all(isinstance(error, NoReply) for error in errors):
            raise first_of(errors)
        return replies

    def _said(self, reply: Completion, opener: str, role: Role) -> Said:
        if role == "tutor" and self.arm.control:  # what a control says is its own, whatever it quotes
            return Said(reply.text, False, reply)
        text, broke = cut_at_role_break(reply.text, speaker=role, names=self.names)
        most = self.persona.sentences if role == "student" else 0
        torn = reply.finish_reason == "length" and not broke
        text, unfinished = whole_sentences(text, torn=torn, most=most)
        return Said(text, broke, reply, opener, unfinished)

    @property
    def names(self) -> Mapping[str, Role]:
        """What the two sides may be called in a transcript: persona and strategy, and names their prompts give."""
        return _names(self.spec.persona, self.spec.strategy, self.student_system, self.tutor_system)

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
        """How K candidates are sampled; in training dialogues a share begins with the strategy's openers in turn."""
        plain = self.sampling(candidates)
        openers = keyless(self.config.inputs.strategy(self.spec.strategy).openers, self.item.question)
        opened = self._explored(candidates) if openers else 0
        if not opened:
            return [plain]
        first = zlib.crc32(f"{self.spec.id}/{len(turns)}".encode())
        found = [replace(plain, n=candidates - opened)] if opened < candidates else []
        return found + [replace(plain, n=1, opener=openers[(first + place) % len(openers)]) for place in range(opened)]

    def _explored(self, candidates: int) -> int:
        """How many candidates begin with an opener: fewer in each round, and none outside training dialogues."""
        if candidates == 1 or self.config.kind != "loop" or not is_training(self.spec.phase):
            return 0
        talk, rounds_before = self.config.dialogue, round_of(self.spec.phase) - 1
        return round(candidates * talk.exploration * talk.exploration_decay**rounds_before)


@lru_cache(maxsize=4096)
def keyless(openers: tuple[str, ...], question: Question) -> tuple[str, ...]:
    """The openers that say no word of the answer, so that nothing of the key comes into training by them."""
    answer = set(content(question.answer_text, question.language))
    return tuple(opener for opener in openers if not answer & set(content(opener, question.language)))


@lru_cache(maxsize=256)
def sampled(**settings: Any) -> Sampling:
    """The same object for the same settings: one of the few things that every waiting request would have its own of."""
    return Sampling(**settings)


_IDS: dict[int, int] = {}


def shared_ids(ids: Sequence[int]) -> tuple[int, ...]:
    """The token ids with one object for equal ids, a third of the memory; at most the vocabulary is remembered."""
    return tuple(map(_IDS.setdefault, ids, ids))


@lru_cache(maxsize=4096)
def _names(persona_name: str, strategy_name: str, student_prompt: str, tutor_prompt: str) -> Mapping[str, Role]:
    found: dict[str, Role] = {}
    sides: tuple[tuple[str, str, Role], ...] = (
        (persona_name, student_prompt, "student"),
        (strategy_name, tutor_prompt, "tutor"),
    )
    for name, prompt, role in sides:
        named = [word for word in _CALLED.findall(prompt) if word[0].isupper()]
        found |= {one: role for one in (name, *named) if len(one) > 2 and one.lower() not in _WORDS}
    return found
