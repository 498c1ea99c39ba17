"""The same dialogues in lock-step and free-running, on one engine, with the length of every reply imposed.

Lock-step is how a batch environment steps: all tutors, then all students, then probes and judges, a barrier after each.
Free-running is the product's own path (`sim.classroom.teach`): a dialogue goes on when its own reply is there.

Invariant: both sides ask the same requests with the same imposed lengths; `compare` ends with an error where they did
not. The free side alone also judges every tutor turn by rule, as the product does.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist, median
from typing import Any

from agents.engines.base import Completion, Engine, Message, Sampling, Score
from agents.errors import EngineError, InputError
from agents.packs import load_pack
from agents.probes import probe_belief
from agents.records import EpisodeSpec, Item, ProbeKind, Turn, Verdict
from agents.views import view
from sim.classroom import teach
from sim.config import Config
from sim.episode import Cast
from sim.speech import Speakers

Lengths = dict[tuple[str, str, int], int]
"""Tokens of a reply, by dialogue, role and the assistant messages its request holds."""

JUDGING = "Read this tutoring dialogue. Say what the tutor did well, what it gave away, and what the student learned."


def heavy_tailed(count: int, *, mean: int, longest: int, seed: int) -> list[int]:
    """Log-normal lengths in random order: exactly `mean` on average, the largest exactly `longest`, none below 1.

    They are the quantiles of the one log-normal whose largest of so many is that far from its mean.

    Raises:
        InputError: so few lengths cannot have a largest that is so far from their mean.
    """
    scores = [NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)]

    def drawn(sigma: float) -> list[float]:
        return [math.exp(sigma * (score - scores[-1])) * longest for score in scores]

    low, high = 0.0, 4.0
    if sum(drawn(high)) / count > mean or mean < 2:
        raise InputError(
            f"{count} lengths cannot have a mean of {mean} and a largest of {longest}: take more dialogues"
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(drawn(middle)) / count > mean else (low, middle)
    lengths = [max(1, round(length)) for length in drawn(high)]
    lengths[-1] = longest
    place, spare = 0, count * mean - sum(lengths)
    while spare:  # what rounding left over, one token each from the longest but one downwards
        index = count - 2 - place % (count - 1)
        step = 1 if spare > 0 else -1
        if 1 <= lengths[index] + step <= longest:
            lengths[index] += step
            spare -= step
        place += 1
    random.Random(seed).shuffle(lengths)
    return lengths


def impose(specs: Sequence[EpisodeSpec], lengths: Sequence[int], turns: int) -> Lengths:
    """Deals lengths out to all sampled turns: `turns` of the tutor, one fewer of the student, after its opening."""
    places = [
        *((spec.id, "tutor", number) for spec in specs for number in range(turns)),
        *((spec.id, "student", number) for spec in specs for number in range(1, turns)),
    ]
    return dict(zip(places, lengths, strict=True))


def sampled_turns(dialogues: int, turns: int) -> int:
    """How many lengths `impose` deals out."""
    return dialogues * (2 * turns - 1)


@dataclass(slots=True)
class Work:
    """What was asked of an engine."""

    replies: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Dialogue, role, place and imposed length of each."""
    scored: list[tuple[str, str]] = field(default_factory=list)
    """Dialogue and text of each."""
    completion_tokens: int = 0
    prompt_tokens: int = 0

    def asked(self) -> tuple[Any, ...]:
        """What must be equal on both sides: every request, in any order, and every token written."""
        return sorted(self.replies), sorted(self.scored), self.completion_tokens


class ImposedEngine:
    """An engine whose replies have the lengths that a table says; a role's own, for one leg."""

    def __init__(self, engine: Engine, role: str, lengths: Lengths, work: Work) -> None:
        self._engine, self._role, self._lengths, self._work = engine, role, lengths, work

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`; the length is the table's, else (a judge) as it was asked for."""
        place = sum(message["role"] == "assistant" for message in messages)
        tokens = self._lengths.get((dialogue_id, self._role, place), sampling.max_tokens)
        found = await self._engine.generate(messages, replace(sampling, max_tokens=tokens), dialogue_id=dialogue_id)
        self._work.replies.append((dialogue_id, self._role, place, tokens))
        self._work.completion_tokens += sum(one.usage.completion_tokens for one in found)
        self._work.prompt_tokens += sum(one.usage.prompt_tokens for one in found)
        return found

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`."""
        found = await self._engine.score(messages, continuations, dialogue_id=dialogue_id)
        self._work.scored.extend((dialogue_id, text) for text in continuations)
        self._work.prompt_tokens += sum(one.usage.prompt_tokens for one in found)
        return found

    async def close(self) -> None:
        """The engine belongs to whoever started it."""


class LoadJudge:
    """The load of a judge and nothing else: one request of fixed instruction and length; it gives no verdict."""

    name = "load"

    def __init__(self, engine: Engine, tokens: int) -> None:
        self._engine, self._tokens = engine, tokens

    async def judge(
        self, item: Item, transcript: Sequence[Turn], *, dialogue_id: str, dimension: str = ""
    ) -> tuple[Verdict, ...]:
        """Asks for a reading of the dialogue."""
        said = "\n".join(f"{turn.role}: {turn.text}" for turn in transcript)
        messages: list[Message] = [{"role": "system", "content": JUDGING}, {"role": "user", "content": said}]
        await self._engine.generate(messages, Sampling(self._tokens, temperature=0.0), dialogue_id=dialogue_id)
        return ()


def imposed_cast(engine: Engine, lengths: Lengths, work: Work, judge_tokens: int) -> Cast:
    """Tutor, student and judge on one engine."""
    judge = LoadJudge(ImposedEngine(engine, "judge", {}, work), judge_tokens)
    tutor, student = (ImposedEngine(engine, role, lengths, work) for role in ("tutor", "student"))
    return Cast(tutor=tutor, student=student, judges=(judge,))


async def free_running(config: Config, cast: Cast, specs: Sequence[EpisodeSpec]) -> None:
    """As the product runs them, `run.in_flight` at once. Raises EngineError for a dialogue that failed."""
    async for dialogue in teach(config, cast, specs, candidates=1):
        if dialogue.failure:
            raise EngineError(f"dialogue {dialogue.id} failed at {dialogue.failure.where}: {dialogue.failure.message}")


@dataclass(slots=True)
class _Seat:
    """A dialogue that is stepped."""

    spec: EpisodeSpec
    item: Item
    speakers: Speakers
    turns: list[Turn]

    async def tutor(self) -> None:
        self.turns.append(await self.speakers.tutor_turn(self.turns))

    async def student(self, number: int) -> None:
        self.turns.append(await self.speakers.student_turn(self.turns, number))

    async def probe(self, kind: ProbeKind, heard: int) -> None:
        """Of the student that heard so many turns."""
        question = self.item.transfer if kind.startswith("transfer") else self.item.question
        seen = view(self.speakers.student_system, self.turns[:heard], "student")
        student, dialogue = self.speakers.student, self.spec.id
        await probe_belief(student, seen, question, kind=kind, turn=heard - 1, dialogue_id=dialogue)


async def lock_step(config: Config, cast: Cast, specs: Sequence[EpisodeSpec], cohort: int) -> None:
    """The same dialogues, `cohort` of them stepped together, one cohort after the other."""
    for start in range(0, len(specs), cohort):
        await _stepped(config, cast, [_seat(config, cast, spec) for spec in specs[start : start + cohort]])


def _seat(config: Config, cast: Cast, spec: EpisodeSpec) -> _Seat:
    item, arm = load_pack(spec.pack).item(spec.item_id), config.tutor_arm(spec.tutor_name)
    speakers = Speakers(config, spec, item, cast.tutor_for(arm, item), cast.student, arm)
    return _Seat(spec, item, speakers, [speakers.opening()])


async def _stepped(config: Config, cast: Cast, seats: Sequence[_Seat]) -> None:
    probes, turns = config.probes, config.dialogue.turns

    async def ask(*kinds: tuple[bool, ProbeKind], heard: int) -> None:
        asked = [kind for wanted, kind in kinds if wanted]
        await asyncio.gather(*(seat.probe(kind, heard) for seat in seats for kind in asked))

    await ask((probes.question, "before"), (probes.transfer, "transfer_before"), heard=1)
    for number in range(turns):
        await asyncio.gather(*(seat.tutor() for seat in seats))
        if number + 1 < turns:
            await asyncio.gather(*(seat.student(number) for seat in seats))
        await ask((probes.turn, "turn"), heard=2 * number + 2)
    # Judges and the last probes share one barrier, which spares lock-step two. The last turn's probe is the after one.
    last = ask((probes.question and not probes.turn, "after"), (probes.transfer, "transfer"), heard=2 * turns)
    judged = (judge.judge(seat.item, seat.turns, dialogue_id=seat.spec.id) for seat in seats for judge in cast.judges)
    await asyncio.gather(last, *judged)


async def compare(
    engine: Engine,
    config: Config,
    specs: Sequence[EpisodeSpec],
    lengths: Lengths,
    *,
    cohort: int,
    judge_tokens: int,
    repeats: int,
    fresh: Callable[[], Awaitable[None]],
    watched: Callable[[], Awaitable[dict[str, Any]]],
    tell: Callable[[str], Awaitable[None]],
) -> dict[str, Any]:
    """Times both sides in alternating order; `ratio` is the free side's dialogues a second over lock-step's.

    Args:
        engine: what both sides speak through.
        config: of the dialogues; `run.in_flight` bounds the free side.
        specs: the dialogues.
        lengths: of every reply.
        cohort: dialogues that lock-step steps together.
        judge_tokens: length of a judge's answer.
        repeats: of each side.
        fresh: called before each leg; empties the engine's prefix cache.
        watched: called after each leg; what the engine did.
        tell: told of each finished leg.

    Raises:
        EngineError: the two sides did not do the same work.
    """
    legs: dict[str, list[dict[str, Any]]] = {"lock_step": [], "free": []}
    done: Work | None = None
    for repeat in range(repeats):
        for name in sorted(legs, reverse=bool(repeat % 2)):
            work = Work()
            cast = imposed_cast(engine, lengths, work, judge_tokens)
            await fresh()
            begun = time.perf_counter()
            await (lock_step(config, cast, specs, cohort) if name == "lock_step" else free_running(config, cast, specs))
            seconds = time.perf_counter() - begun
            if done is not None and done.asked() != work.asked():
                raise EngineError(f"{name} did other work than the leg before: the imposed lengths did not hold")
            done = work
            engine_did = await watched()
            legs[name].append(engine_did | {"seconds": seconds, "dialogues_per_second": len(specs) / seconds})
            await tell(f"{name}: {len(specs)} dialogues in {seconds:.1f} s")
    seconds_of = {name: median(leg["seconds"] for leg in runs) for name, runs in legs.items()}
    return {"ratio": seconds_of["lock_step"] / seconds_of["free"], "dialogues": len(specs), "cohort": cohort, **legs}
