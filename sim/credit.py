"""Turn-level credit: what a candidate reply is worth, by what the student believes after it.

The belief is probed right after the candidate or, with a look-ahead, after the dialogue was rolled on from it. So a
preference pair says "this reply taught more without giving it away", not only "this reply looks better".

Invariant: what is rolled on is kept with the candidate and never becomes part of the dialogue; a leak in it takes the
credit away, as a leak in the candidate itself does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from agents.errors import NoReply, first_of
from agents.judges.rules import judge_turn
from agents.probes import mixed_up, probe_belief
from agents.records import Candidate, Dialogue, Failure, Probe, ProbeKind, Turn
from agents.views import view
from sim.config import Config
from sim.config_reward import RewardConfig
from sim.judged import comparable_parts, judged_parts
from sim.reward import (
    below_the_others,
    broken_gates,
    dialogue_reward,
    finite,
    net_of_leak,
    normalised,
    reply_reward,
)
from sim.speech import Speakers


async def value_candidates(
    speakers: Speakers, turns: Sequence[Turn], probes: Sequence[Probe], candidates: Sequence[Candidate]
) -> list[Candidate | None]:
    """Probes (where the config says so), rewards and compares the candidates of one turn.

    Args:
        speakers: both sides of the dialogue.
        turns: what was said before the candidates.
        probes: the dialogue's probes so far.
        candidates: judged by the rules.

    Returns:
        The candidates in their order, None for one whose look-ahead met no reply.

    Raises:
        NoReply: none of them was answered in its look-ahead.
        EngineError: an engine failed.
    """
    before = belief(turns, probes, asked_options(speakers))
    found = await asyncio.gather(
        *(_probed(speakers, turns, candidate, before) for candidate in candidates), return_exceptions=True
    )
    probed = [one for one in found if not isinstance(one, BaseException)]
    errors = [one for one in found if isinstance(one, BaseException)]
    if not probed or not all(isinstance(error, NoReply) for error in errors):
        raise first_of(errors)
    valued = iter(rewarded(speakers.config.reward, probed))
    return [None if isinstance(one, BaseException) else next(valued) for one in found]


def rewarded(weights: RewardConfig, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of one turn with rewards under these weights, and each one's advantage over the others."""
    valued = []
    for candidate, judged in zip(candidates, comparable_parts(weights, candidates), strict=True):
        assert candidate.rules is not None
        reward, components = reply_reward(weights, candidate.rules, candidate.gain, judged)
        broken = broken_gates(weights, candidate.rules, role_break=candidate.role_break)
        valued.append(replace(candidate, reward=reward, components=components, broken=broken))
    valued = _gated(_combined(weights, valued))
    rewards = [candidate.reward for candidate in valued if candidate.reward is not None]
    total, others = finite(sum(rewards), "the sum of a turn's rewards"), max(1, len(rewards) - 1)
    return [replace(c, advantage=None if c.reward is None else c.reward - (total - c.reward) / others) for c in valued]


def _combined(weights: RewardConfig, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with their parts put together as the weights say; one without a reward stays without."""
    known = [candidate for candidate in candidates if candidate.reward is not None]
    if weights.combine == "sum" or not known:
        return list(candidates)
    parts = iter(normalised(weights, [candidate.components for candidate in known]))
    found = []
    for candidate in candidates:
        if candidate.reward is not None:
            own = next(parts)
            candidate = replace(candidate, components=own, reward=finite(sum(own.values()), "the reward"))
        found.append(candidate)
    return found


def _gated(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, those that broke a gate below all that broke none; what they lose is the part `gate`."""
    known = [(candidate.reward, bool(candidate.broken)) for candidate in candidates if candidate.reward is not None]
    lost = below_the_others([reward for reward, _ in known], [broke for _, broke in known])
    if not lost:
        return list(candidates)
    return [
        replace(c, components=c.components | {"gate": -lost}, reward=finite(c.reward - lost, "the reward"))
        if c.broken and c.reward is not None
        else c
        for c in candidates
    ]


def revalued(dialogue: Dialogue, weights: RewardConfig) -> Dialogue:
    """A stored dialogue under other weights: its candidates' rewards and its own; what was measured stays.

    One whose reward overflows under them has failed there, and the others have not.
    """
    if dialogue.failure is not None:
        return dialogue
    try:
        return _revalued(dialogue, weights)
    except OverflowError as error:
        return replace(dialogue, reward=None, components={}, failure=Failure("OverflowError", "reward", str(error)))


def _revalued(dialogue: Dialogue, weights: RewardConfig) -> Dialogue:
    turns = tuple(
        replace(turn, candidates=tuple(rewarded(weights, turn.candidates))) if turn.candidates else turn
        for turn in dialogue.turns
    )
    rules = [turn.rules for turn in dialogue.tutor_turns if turn.rules is not None]
    judged = judged_parts(weights, dialogue.verdicts)
    reward, components = dialogue_reward(weights, rules, dialogue.leaks, dialogue.gain, judged)
    return replace(dialogue, turns=turns, reward=reward, components=components)


def belief(turns: Sequence[Turn], probes: Sequence[Probe], options: tuple[int, ...]) -> float:
    """The last belief in the right answer that was measured on the dialogue itself.

    That is after the reply that was said last. With a look-ahead, that reply's own probe is of a dialogue that never
    was, so it is the probe of the dialogue as it stands; and before the first turn, the probe before the dialogue.
    """
    for turn in reversed(turns):
        if turn.candidates and (probe := turn.candidates[turn.chosen].probe) and probe.turn == turn.index:
            return probe.among(options)
    return next((probe.among(options) for probe in reversed(probes) if probe.kind in ("before", "candidate")), 0.0)


def needs_belief(config: Config, *, candidates: int, turn: int) -> bool:
    """Whether the dialogue has to be probed before its tutor turn of that number (from 0); see `belief`."""
    return candidates > 1 and turn > 0 and config.dialogue.lookahead > 0 and config.probes.candidate != "none"


def asked_options(speakers: Speakers) -> tuple[int, ...]:
    """What a candidate's probe asks about; empty: all options."""
    if speakers.config.probes.candidate == "all":
        return ()
    return speakers.item.question.answer, speakers.spec.held_option


async def _probed(speakers: Speakers, turns: Sequence[Turn], candidate: Candidate, before: float) -> Candidate:
    if speakers.config.probes.candidate == "none":
        return candidate
    heard = [*turns, Turn(len(turns), "tutor", candidate.text)]
    later, leak = await _roll_on(speakers, heard)
    probe = await _belief_after(speakers, later, "candidate")
    echo = None
    if speakers.config.probes.hears_echo:
        mixed = [*turns, *mixed_up(later[len(turns) :], masked=speakers.config.probes.masked)]
        echo = await _belief_after(speakers, mixed, "candidate_echo")
    gain = None if leak is None else net_of_leak(probe.right - (echo.right if echo else before), leak)
    rolled = tuple(turn.text for turn in later[len(heard) :])
    return replace(candidate, probe=probe, echo=echo, gain=gain, rolled=rolled)


async def _belief_after(speakers: Speakers, turns: Sequence[Turn], kind: ProbeKind) -> Probe:
    return await probe_belief(
        speakers.student,
        view(speakers.student_system, turns, "student"),
        speakers.item.question,
        kind=kind,
        turn=len(turns) - 1,
        dialogue_id=speakers.spec.id,
        options=asked_options(speakers),
        form=speakers.config.probes.asked,
    )


async def _roll_on(speakers: Speakers, turns: Sequence[Turn]) -> tuple[list[Turn], float | None]:
    """The dialogue after some more exchanges, and the worst leak in them (None: not measured)."""
    said = list(turns)
    worst: float | None = 0.0
    for _ in range(speakers.config.dialogue.lookahead):
        number = sum(turn.role == "tutor" for turn in said) - 1
        said.append(await speakers.student_turn(said, number))
        tutor = await speakers.tutor_turn(said)
        texts = {role: [turn.text for turn in said if turn.role == role] for role in ("tutor", "student")}
        rules, _ = judge_turn(
            tutor.text, speakers.item, turn=len(said), tutor_said=texts["tutor"], student_said=texts["student"]
        )
        worst = None if worst is None or rules.leak is None else max(worst, rules.leak)
        said.append(tutor)
    return said, worst
