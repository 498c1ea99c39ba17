"""The life of one dialogue: probe, turns (tutor with K candidates, student), probe, transfer probe, judges.

Invariant: `run_episode` always returns a `Dialogue`. What goes wrong inside becomes its `failure`, with the turns that
were already spoken kept; it never reaches other dialogues. The choice among candidates is by reward alone, the first
of equals.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.controls import ControlEngine
from agents.engines.base import Engine
from agents.engines.tape import Tape
from agents.errors import EngineError
from agents.judges.base import Judge
from agents.judges.rules import judge_turn
from agents.probes import mixed_up, probe_belief
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
from sim.asked import AskedProbes, again, copied, ended
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.credit import asked_options, needs_belief, value_candidates
from sim.judged import judge_candidates, judged_parts, verdicts_of
from sim.meters import Bill, BilledEngine, Notes
from sim.reward import dialogue_reward
from sim.rounds import is_training
from sim.speech import Said, Speakers

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
    """What was answered and not yet counted, by dialogue. It is paid whatever came of the answer."""
    tape: Tape | None = None
    """Where dialogues are recorded, or replayed from."""
    notes: Notes = field(default_factory=dict)
    """What servers refused to be told, by dialogue."""
    candidate_judges: tuple[Judge, ...] = ()
    """Whose verdicts are a part of candidates' rewards."""

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

    def said(self, role: str) -> list[str]:
        return [turn.text for turn in self.turns if turn.role == role]


class Episode:
    """One dialogue under way.

    Probes and judges run beside the turns. What is asked, in which order, and which probes are kept never depends on
    how long an answer takes, so that a recording can be replayed.
    """

    __slots__ = (
        "_arm",
        "_asked",
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
        self._asked = AskedProbes()
        self._doing = "turn 0"
        """Whose part it is, for the failure's place."""

    @property
    def _trains(self) -> bool:
        return self._config.kind == "loop" and is_training(self._spec.phase)

    @property
    def _is_judged(self) -> bool:
        """Training dialogues decide nothing, so the judges that decide do not read them unless they are told to."""
        return not self._trains or self._config.loop.judge_training

    async def run(self) -> Dialogue:
        """Runs the dialogue to its end or its failure."""
        started, failure, tape = time.monotonic(), None, self._cast.tape
        if tape is not None:
            tape.begin(self._spec.id)
        try:
            async with asyncio.timeout(self._config.run.dialogue_timeout_seconds):
                try:
                    await self._play()
                except Exception as error:  # a failed dialogue is data; asyncio.CancelledError still goes through
                    failure = _failure(error, self._doing)
                    await self._asked.settled()
        except TimeoutError as error:
            failure = failure or _failure(error, self._doing)
        finally:
            self._course.probes.extend(await self._asked.let_go())
        if failure is not None and self._asked.failed is not None:  # it was asked before whatever failed later
            asked, cause = self._asked.failed
            failure = _failure(cause, asked.where)
        seconds = time.monotonic() - started
        return self._record(seconds if tape is None else tape.end(self._spec.id, seconds), failure)

    async def _play(self) -> None:
        course, probes = self._course, self._config.probes
        tutor = BilledEngine(self._cast.tutor_for(self._arm, self._item), self._cast.bill)
        student = BilledEngine(self._cast.student, self._cast.bill)
        self._speakers = Speakers(self._config, self._spec, self._item, tutor, student, self._arm)
        course.turns.append(self._speakers.opening())
        if probes.question:
            await self._ask("before")
        transfer = probes.transfer and self._candidates == 1  # training dialogues are not compared: spare the tokens
        if transfer:
            await self._ask("transfer_before")
        for number in range(0 if self._arm.control == NO_TUTOR else self._config.dialogue.turns):
            if needs_belief(self._config, candidates=self._candidates, turn=number):
                await self._ask("candidate", asked_options(self._speakers))
            # Candidates are valued by the belief before them; else a probe has a whole turn before it is waited for.
            await self._answered(before=len(course.turns) if self._candidates > 1 else len(course.turns) - 2)
            await self._tutor_turn()
            if probes.turn:
                await self._ask("turn")
            if number + 1 < self._config.dialogue.turns:
                await self._student_turn(number)
        await self._ask_last(transfer)
        if self._trains:
            course.verdicts.extend(_of_last_reply(course.turns))
        judges = self._cast.judges if course.said("tutor") and self._is_judged else ()
        verdicts = [asyncio.create_task(verdicts_of(judge, self._item, course.turns, self._spec)) for judge in judges]
        try:
            await self._answered(before=len(course.turns))
            self._doing = f"judging after turn {len(course.turns)}"
            for task in verdicts:
                course.verdicts.extend(await task)
        finally:
            await ended(verdicts)

    async def _ask_last(self, transfer: bool) -> None:
        """The belief after the last turn: a turn's or candidate's probe of that very turn is the same measurement.

        And what it would be if the tutor's words stood in random order, where any were said.
        """
        last, known = self._course.turns[-1], self._asked.last
        own = last.candidates[last.chosen].probe if last.candidates else None
        if not self._config.probes.question:
            pass
        elif known is not None and (known.kind, known.turn) == ("turn", last.index):
            await self._asked.ask("after", last.index, again(known.answer, "after"))
        elif own is not None and not own.options and own.turn == last.index:
            await self._asked.ask("after", last.index, copied(own, "after"))
        else:
            await self._ask("after")
        if transfer:
            await self._ask("transfer")
        if self._config.probes.hears_echo and self._course.said("tutor"):
            if self._config.probes.question:
                await self._ask("echo")
            if transfer:
                await self._ask("transfer_echo")

    async def _ask(self, kind: ProbeKind, options: tuple[int, ...] = ()) -> None:
        """Probes the belief as it is now, while the dialogue goes on: a probe changes nothing of it."""
        question = self._item.transfer if kind.startswith("transfer") else self._item.question
        turns: Sequence[Turn] = self._course.turns
        if kind.endswith("echo"):
            turns = mixed_up(turns, masked=self._config.probes.masked)
        seen = view(self._speakers.student_system, turns, "student")
        student, turn = self._speakers.student, len(self._course.turns) - 1
        id_ = self._spec.id
        form = self._config.probes.asked
        probe = probe_belief(student, seen, question, kind=kind, turn=turn, dialogue_id=id_, options=options, form=form)
        await self._asked.ask(kind, turn, probe)

    async def _answered(self, *, before: int) -> None:
        """Takes the answers of the probes that were asked before a turn was said."""
        for asked in self._asked.due(before):
            self._doing = asked.where
            self._course.probes.append(await self._asked.take(asked))

    async def _tutor_turn(self) -> None:
        course = self._course
        self._doing = f"tutor turn {len(course.turns)}"
        samplings = self._speakers.candidate_samplings(course.turns, self._candidates)
        replies = await self._speakers.ask("tutor", course.turns, samplings)
        judged = [(*self._judge(said), said) for said in replies]
        if self._candidates > 1:
            judges = self._cast.candidate_judges
            own = [candidate for candidate, _, _ in judged]
            own = await judge_candidates(judges, self._item, self._spec, course.turns, own)
            valued = await value_candidates(self._speakers, course.turns, course.probes, own)
            pairs = zip(judged, valued, strict=True)
            judged = [(candidate, leaks, said) for (_, leaks, said), candidate in pairs if candidate is not None]
        candidates = [candidate for candidate, _, _ in judged]
        chosen = max(range(len(candidates)), key=lambda i: (_worth(candidates[i]), -i))
        candidate, leaks, said = judged[chosen]
        course.leaks.extend(leaks)
        turn = replace(said.turn(len(course.turns), "tutor"), rules=candidate.rules)
        if self._candidates > 1:
            turn = replace(turn, candidates=tuple(candidates), chosen=chosen)
        course.turns.append(turn)

    def _judge(self, said: Said) -> tuple[Candidate, list[Leak]]:
        course, reply = self._course, said.reply
        rules, leaks = judge_turn(
            said.text,
            self._item,
            turn=len(course.turns),
            tutor_said=course.said("tutor"),
            student_said=course.said("student"),
        )
        made = Candidate(
            said.text,
            said.token_ids,
            rules,
            reasoning=reply.reasoning,
            role_break=said.role_break,
            opener=said.opener,
        )
        return made, leaks

    async def _student_turn(self, number: int) -> None:
        self._doing = f"student turn {len(self._course.turns)}"
        self._course.turns.append(await self._speakers.student_turn(self._course.turns, number))

    def _record(self, seconds: float, failure: Failure | None) -> Dialogue:
        course = self._course
        spoken = [turn for turn in course.turns if turn.role == "tutor"]
        dialogue = Dialogue(
            spec=self._spec,
            turns=tuple(course.turns),
            probes=tuple(course.probes),
            leaks=tuple(course.leaks),
            verdicts=tuple(course.verdicts),
            usage=self._cast.bill.pop(self._spec.id, Usage()),
            seconds=seconds,
            tutor_policy=spoken[-1].policy_version if spoken else "",
            failure=failure,
            fallbacks=tuple(sorted(self._cast.notes.pop(self._spec.id, ()))),
        )
        if failure is not None:
            return dialogue
        rules: Sequence[TurnRules] = [turn.rules for turn in spoken if turn.rules is not None]
        try:
            judged = judged_parts(self._config.reward, course.verdicts)
            reward, components = dialogue_reward(self._config.reward, rules, course.leaks, dialogue.gain, judged)
        except OverflowError as error:
            return replace(dialogue, failure=_failure(error, "reward"))
        return replace(dialogue, reward=reward, components=components)


def _worth(candidate: Candidate) -> float:
    """What candidates are chosen by; one without a reward comes after all that have one."""
    return -math.inf if candidate.reward is None else candidate.reward


def _of_last_reply(turns: Sequence[Turn]) -> tuple[Verdict, ...]:
    """What the judges of the reward said of the reply that ended the dialogue, and so of all of it."""
    candidates = turns[-1].candidates
    return candidates[turns[-1].chosen].verdicts if candidates else ()


def _failure(error: Exception, where: str) -> Failure:
    return Failure(type(error).__name__, where, str(error)[:2000] or "time limit reached")
