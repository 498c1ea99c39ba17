"""What a reply, and what a whole dialogue, is worth: a weighted sum of measured components.

    reward = gain * n / gain_scale + question * q + on_item * o + repetition * r + leak * l + rubric * j + scorer * s
    n      = min(g, g * (1 - leak))

`g` is the change of the probability of the right answer, `q` whether (or the share of turns that) ask a real question,
`o` the share of sentences on the item, `r` the share of repeated 3-grams and `l` the leak severity; the weights come
from the config. `j` and `s` are a rubric judge's and a scorer's verdicts on 0 to 1 (`sim.judged`), where they weigh
anything. Gain is net of leak: what was learned because the answer was given away does not count, and what was unlearned
counts whole, so that a leak never makes it less bad.

Invariant: the reward is exactly the sum of the components it returns; a component that was not measured is absent.
Where a rule cannot read the language of a weighted component, or its judge's verdict is invalid, there is no reward: a
sum without it is another measure.
What is returned is finite: weights so large that a sum of theirs is not are an `OverflowError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from agents.records import Leak, TurnRules
from sim.config_reward import RewardConfig

NOT_JUDGED: Mapping[str, float | None] = MappingProxyType({})
"""No judge gives a part of the reward."""
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
    return bool(getattr(weights, rule)) or (rule == "leak" and bool(weights.gain))


def _mean(values: Iterable[float | None]) -> float | None:
    """Over what was measured; None where nothing was."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None
