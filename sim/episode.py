"""The life of one dialogue: probe, turns (tutor with K candidates, student), probe, transfer probe, judges.

Invariant: `run_episode` always returns a `Dialogue`. What goes wrong inside becomes its `failure`, with the turns that
were already spoken kept; it never reaches other dialogues. The choice among candidates is by reward alone, the first
of equals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.controls import ControlEngine
from agents.engines.base import Completion, Engine
from agents.engines.chat import Chat
from agents.engines.tape import Tape
from agents.errors import EngineError, TutorloopError
from agents.judges.base import UNJUDGED, Judge
from agents.judges.rules import judge_turn
from agents.probes import probe_belief
from agents.records import (
    Candidate,
    Dialogue,
    EpisodeSpec,
    Failure,
    Item,
    Leak,
    Probe,
    ProbeKind,
    Turn,
    TurnRules,
    Usage,
    Verdict,
)
from agents.views import view
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.credit import asked_options, needs_belief, value_candidates
from sim.meters import Bill
from sim.reward import dialogue_reward
from sim.speech import Speakers, shared_ids, whole_sentences

NO_TUTOR = "no_tutor"
"""The control in which no dialogue is held: what probing alone does."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The engines behind the roles, and who judges whole dialogues."""

    tutor: Engine | None
    """Of the pool with the role `tutor`; None where every tutor under test has another."""
    student: Engine
    judges: tuple[Judge, ...] = ()
    tutors: Mapping[str, Engine] = field(default_factory=dict)
    """By pool, for tutors under test with a pool of their own."""
    bill: Bill = field(default_factory=dict)
    """What judges spent, by dialogue."""
    tape: Tape | None = None
    """Where dialogues are recorded, or replayed from."""

    def tutor_for(self, arm: TutorArm, item: Item) -> Engine:
        """Who speaks as this tutor in a dialogue on this item."""
        if arm.control and arm.control != NO_TUTOR:
            return ControlEngine(arm.control, item)
        found = self.tutors.get(arm.pool, self.tutor)
        if found is None:
            raise EngineError(f"no engine speaks for tutor {arm.name!r}")
        return found


@dataclass(slots=True)
class _Course:
    """What has happened so far; the only mutable thing, private to one episode."""

    turns: list[Turn] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    usage: Usage = Usage()

    def said(self, role: str) -> list[str]:
        return [turn.text for turn in self.turns if turn.role == role]


class Episode:
    """One dialogue under way."""

    __slots__ = (
        "_arm",
        "_asked",
        "_broke",
        "_candidates",
        "_cast",
        "_config",
        "_course",
        "_doing",
        "_item",
        "_speakers",
        "_spec",
    )

    def __init__(self, spec: EpisodeSpec, item: Item, cast: Cast, config: Config, *, candidates: int) -> None:
        self._spec, self._item, self._cast, self._config = spec, item, cast, config
        self._candidates = candidates
        self._arm = config.tutor_arm(spec.tutor_name)
        self._course = _Course()
        self._asked: list[asyncio.Task[tuple[Probe, Usage]]] = []
        """Probes that have no answer yet."""
        self._broke: tuple[Exception, str] | None = None
        """The first probe that failed, and its place; whatever failed after it, this was the first."""
        self._doing = "turn"
        """Whose part it is, for the failure's place."""

    async def run(self) -> Dialogue:
        """Runs the dialogue to its end or its failure."""
        started, failure, tape = time.monotonic(), None, self._cast.tape
        if tape is not None:
            tape.begin(self._spec.id)
        try:
            async with asyncio.timeout(self._config.run.dialogue_timeout_seconds):
                await self._play()
        except Exception as error:  # a failed dialogue is data; asyncio.CancelledError still goes through
            error, where = self._broke or (error, f"{self._doing} {len(self._course.turns)}")
            failure = Failure(type(error).__name__, where, str(error)[:2000] or "time limit reached")
        finally:
            self._keep_probes()
        seconds = time.monotonic() - started
        return self._record(seconds if tape is None else tape.end(self._spec.id, seconds), failure)

    async def _play(self) -> None:
        course, probes = self._course, self._config.probes
        tutor = self._cast.tutor_for(self._arm, self._item)
        self._speakers = Speakers(self._config, self._spec, self._item, tutor, self._cast.student, self._arm)
        course.turns.append(self._speakers.opening())
        if probes.question:
            await self._ask("before")
        transfer = probes.transfer and self._candidates == 1  # training dialogues are not compared: spare the tokens
        if transfer:
            await self._ask("transfer_before")
        for number in range(0 if self._arm.control == NO_TUTOR else self._config.dialogue.turns):
            if needs_belief(self._config, candidates=self._candidates, turn=number):
                await self._ask("candidate", asked_options(self._speakers))
            await self._answered(waiting=self._candidates > 1)  # candidates are valued by the belief before them
            await self._tutor_turn()
            if probes.turn:
                await self._ask("turn")
            if number + 1 < self._config.dialogue.turns:
                await self._student_turn(number)
        judges = self._cast.judges if course.said("tutor") else ()
        tasks = [asyncio.create_task(self._verdicts(judge)) for judge in judges]
        try:
            await self._last_probes(transfer)
            for task in tasks:
                course.verdicts.extend(await task)
        finally:
            for task in tasks:
                task.cancel()

    async def _last_probes(self, transfer: bool) -> None:
        await self._answered()
        if self._config.probes.question:
            await self._after()
        if transfer:
            await self._ask("transfer")
        await self._answered()

    async def _verdicts(self, judge: Judge) -> tuple[Verdict, ...]:
        """A judge's verdicts; one that breaks spoils no dialogue, and says so by a verdict that is invalid."""
        try:
            spec = self._spec
            return await judge.judge(self._item, self._course.turns, dialogue_id=spec.id, dimension=spec.dimension)
        except TutorloopError as error:
            return (Verdict(judge.name, UNJUDGED, "invalid", rationale=f"{type(error).__name__}: {error}"[:2000]),)

    async def _ask(self, kind: ProbeKind, options: tuple[int, ...] = ()) -> None:
        """Probes the belief as it is now, while the dialogue goes on: a probe changes nothing of it."""
        seen = view(self._speakers.student_system, self._course.turns, "student")
        self._asked.append(asyncio.create_task(self._probe(kind, seen, len(self._course.turns) - 1, options)))
        await asyncio.sleep(0)  # so that its request goes out before that of the next turn

    async def _probe(self, kind: ProbeKind, seen: Chat, turn: int, options: tuple[int, ...]) -> tuple[Probe, Usage]:
        question = self._item.transfer if kind.startswith("transfer") else self._item.question
        try:
            return await probe_belief(
                self._cast.student, seen, question, kind=kind, turn=turn, dialogue_id=self._spec.id, options=options
            )
        except Exception as error:
            self._broke = self._broke or (error, f"{kind} probe at turn {turn + 1}")
            raise

    async def _answered(self, *, waiting: bool = True) -> None:
        """Takes the probes that were asked, in their order: all, or those that need no waiting."""
        while self._asked and (waiting or self._asked[0].done()):
            probe, usage = await self._asked[0]
            del self._asked[0]
            self._course.probes.append(probe)
            self._course.usage += usage

    def _keep_probes(self) -> None:
        """At the end of a dialogue that failed: keeps what was measured, and asks for nothing more."""
        for task in self._asked:
            if task.done() and not task.cancelled() and task.exception() is None:
                self._course.probes.append(task.result()[0])
                self._course.usage += task.result()[1]
            task.cancel()
        self._asked.clear()

    async def _after(self) -> None:
        """The belief after the last turn; a turn's or candidate's probe of that very turn is the same measurement."""
        last, known = self._course.turns[-1], self._course.probes[-1]
        if last.candidates and (probe := last.candidates[last.chosen].probe) is not None:
            known = probe
        if known.kind not in ("turn", "candidate") or known.options or known.turn != last.index:
            await self._ask("after")
        else:
            self._course.probes.append(replace(known, kind="after"))

    async def _tutor_turn(self) -> None:
        self._doing, course = "tutor turn", self._course
        completions = await self._replies()
        judged = [self._judge(whole_sentences(reply), reply) for reply in completions]
        candidates = [candidate for candidate, _ in judged]
        if self._candidates > 1:
            candidates, spent = await value_candidates(self._speakers, course.turns, course.probes, candidates)
            course.usage += spent
        chosen = max(range(len(candidates)), key=lambda i: (candidates[i].reward or 0.0, -i))
        said, reply = candidates[chosen], completions[chosen]
        course.leaks.extend(judged[chosen][1])
        course.usage = sum((completion.usage for completion in completions), course.usage)
        course.turns.append(
            Turn(
                index=len(course.turns),
                role="tutor",
                text=said.text,
                token_ids=said.token_ids,
                finish_reason=reply.finish_reason,
                policy_version=reply.policy_version,
                rules=said.rules,
                candidates=tuple(candidates) if self._candidates > 1 else (),
                chosen=chosen,
            )
        )

    async def _replies(self) -> list[Completion]:
        """K replies to the same view."""
        seen = view(self._speakers.tutor_system, self._course.turns, "tutor")
        samplings = self._speakers.candidate_samplings(self._course.turns, self._candidates)
        if len(samplings) == 1:  # thousands of dialogues wait here: no task of its own for each
            return await self._speakers.tutor.generate(seen, samplings[0], dialogue_id=self._spec.id)
        found = await asyncio.gather(
            *(self._speakers.tutor.generate(seen, sampling, dialogue_id=self._spec.id) for sampling in samplings)
        )
        return [completion for completions in found for completion in completions]

    def _judge(self, text: str, reply: Completion) -> tuple[Candidate, list[Leak]]:
        course = self._course
        rules, leaks = judge_turn(
            text,
            self._item,
            turn=len(course.turns),
            tutor_said=course.said("tutor"),
            student_said=course.said("student"),
        )
        return Candidate(text, shared_ids(reply.token_ids), rules), leaks

    async def _student_turn(self, number: int) -> None:
        self._doing = "student turn"
        turn, usage = await self._speakers.student_turn(self._course.turns, number)
        self._course.usage += usage
        self._course.turns.append(turn)

    def _record(self, seconds: float, failure: Failure | None) -> Dialogue:
        course = self._course
        spoken = [turn for turn in course.turns if turn.role == "tutor"]
        dialogue = Dialogue(
            spec=self._spec,
            turns=tuple(course.turns),
            probes=tuple(course.probes),
            leaks=tuple(course.leaks),
            verdicts=tuple(course.verdicts),
            usage=course.usage + self._cast.bill.pop(self._spec.id, Usage()),
            seconds=seconds,
            tutor_policy=spoken[-1].policy_version if spoken else "",
            failure=failure,
        )
        if failure is not None:
            return dialogue
        rules: Sequence[TurnRules] = [turn.rules for turn in spoken if turn.rules is not None]
        reward, components = dialogue_reward(self._config.reward, rules, course.leaks, dialogue.gain)
        return replace(dialogue, reward=reward, components=components)
