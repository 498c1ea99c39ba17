"""What a reply, and what a whole dialogue, is worth: a weighted sum of measured components.

    reward = gain * n / gain_scale + question * q + on_item * o + repetition * r + leak * l + rubric * j + scorer * s
             + length * w
    n      = min(g, g * (1 - leak))

`g` is the change of the probability of the right answer, `q` whether (or the share of turns that) ask a real question,
`o` the share of sentences on the item, `r` the share of repeated 3-grams, `l` the leak severity and `w` the words over
a budget; the weights come from the config. `j` and `s` are a rubric judge's and a scorer's verdicts on 0 to 1
(`sim.judged`), where they weigh anything. Gain is net of leak: what was learned because the answer was given away does
not count, and what was unlearned counts whole, so that a leak never makes it less bad.

Among candidates of a turn the parts may be standardised before they are added (`normalised`), and one that breaks a
gate is put below all that break none (`below_the_others`). The reward of a dialogue is the plain sum: it has no others
beside it to be standardised over.

Invariant: the reward is exactly the sum of the components it returns; a component that was not measured is absent.
Where a rule cannot read the language of a weighted component, or its judge's verdict is invalid, there is no reward: a
sum without it is another measure.
What is returned is finite: weights so large that a sum of theirs is not are an `OverflowError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from types import MappingProxyType

from agents.records import Leak, TurnRules
from sim.config_reward import JUDGED, RewardConfig

NOT_JUDGED: Mapping[str, float | None] = MappingProxyType({})
"""No judge gives a part of the reward."""
GATE_DROP = 1.0
"""How far below the others a candidate that breaks a gate lies at least, in points of the reward."""
_EQUAL = 1e-9
"""A spread below this share of the largest value is rounding."""
PARTS = ("gain", "question", "on_item", "repetition", "leak", "length", *JUDGED)
"""The parts of a reward."""
Reward = tuple[float | None, dict[str, float]]
"""What something is worth, or None where that cannot be said, and its weighted components."""


def reply_reward(
    weights: RewardConfig, rules: TurnRules, gain: float | None, judged: Mapping[str, float | None] = NOT_JUDGED
) -> Reward:
    """The reward of one tutor reply and its weighted components.

    Args:
        weights: the config's weights.
        rules: what the rule judge measured.
        gain: belief in the right answer after the reply minus before it, or None when it was not probed.
        judged: by part that a judge gives its value on 0 to 1, or None where the verdict is invalid.
    """
    return _weighed(weights, [rules], rules.leak, gain, judged)


def dialogue_reward(
    weights: RewardConfig,
    turns: Sequence[TurnRules],
    leaks: Sequence[Leak],
    gain: float | None,
    judged: Mapping[str, float | None] = NOT_JUDGED,
) -> Reward:
    """The reward of a dialogue: means over its tutor turns, the worst leak, and the gain over all of it."""
    if not turns:
        return 0.0, {}
    unread = any(rules.leak is None for rules in turns)
    worst = None if unread else max((leak.severity for leak in leaks), default=0.0)
    return _weighed(weights, turns, worst, gain, judged)


def net_of_leak(gain: float, leak: float) -> float:
    """A gain less the share that a leak's severity takes away; a loss stays whole: 1 - severity would shrink it."""
    return min(gain, gain * (1.0 - leak))


def _weighed(
    weights: RewardConfig,
    turns: Sequence[TurnRules],
    leak: float | None,
    gain: float | None,
    judged: Mapping[str, float | None],
) -> Reward:
    measured = {
        "question": _mean(rules.question for rules in turns),
        "on_item": _mean(rules.on_item for rules in turns),
        "repetition": _mean(rules.repetition for rules in turns),
        "leak": leak,
        **judged,
    }
    if weights.length:
        measured["length"] = _mean(float(max(0, rules.words - weights.length_budget)) for rules in turns)
    components = {name: getattr(weights, name) * value for name, value in measured.items() if value is not None}
    if gain is not None and leak is not None:
        components["gain"] = weights.gain * net_of_leak(gain, leak) / weights.gain_scale
    unread = {name for rules in turns for name in rules.unmeasured if needs(weights, name)}
    unread |= {name for name, value in judged.items() if value is None}
    total = finite(sum(components.values()), "the reward")
    return (None if unread else total), components


def finite(value: float, what: str) -> float:
    """The value. Raises OverflowError where it is infinite or NaN, which no table could show and no JSON holds."""
    if not math.isfinite(value):
        raise OverflowError(f"{what} is {value}, which is no finite number; make the weights of `reward` smaller")
    return value


def needs(weights: RewardConfig, rule: str) -> bool:
    """Whether a reward with these weights has to know what a rule of that name measures."""
    gated = getattr(weights.gates, rule, None) is not None
    return gated or bool(getattr(weights, rule)) or (rule == "leak" and bool(weights.gain))


def _mean(values: Iterable[float | None]) -> float | None:
    """Over what was measured; None where nothing was."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def normalised(weights: RewardConfig, candidates: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The weighted parts of a turn's candidates, each standardised among them: the size of its weight times z.

    A part that is the same in all of them is 0 in all, and so is one that a candidate lacks: it says nothing there. A
    part's unit and its zero play no role, only how far the candidates lie apart in it (as in PEARL).
    """
    found: list[dict[str, float]] = [{} for _ in candidates]
    for name in dict.fromkeys(name for parts in candidates for name in parts):
        known = [parts[name] for parts in candidates if name in parts]
        centre = fmean(known)
        spread = pstdev(known, centre)
        flat = spread <= _EQUAL * max(map(abs, known))
        for parts, own in zip(candidates, found, strict=True):
            if name in parts:
                own[name] = 0.0 if flat else abs(getattr(weights, name)) * (parts[name] - centre) / spread
    return found


def broken_gates(weights: RewardConfig, rules: TurnRules, *, role_break: bool) -> tuple[str, ...]:
    """The gates that a reply breaks; what was not measured breaks none, and gives no reward (`needs`)."""
    gates = weights.gates
    found = {
        "leak": gates.leak is not None and rules.leak is not None and rules.leak > gates.leak,
        "role_break": gates.role_break and role_break,
        "repetition": gates.repetition is not None
        and rules.repetition is not None
        and rules.repetition > gates.repetition,
    }
    return tuple(name for name, broken in found.items() if broken)


def below_the_others(rewards: Sequence[float], broke: Sequence[bool]) -> float:
    """What the candidates that break a gate lose, all of them the same, to lie `GATE_DROP` below the worst of the rest.

    0 where they lie there anyhow, where none breaks one, and where all do.
    """
    kept = [reward for reward, out in zip(rewards, broke, strict=True) if not out]
    gone = [reward for reward, out in zip(rewards, broke, strict=True) if out]
    return max(0.0, max(gone) + GATE_DROP - min(kept)) if kept and gone else 0.0
