"""What a reply, and what a whole dialogue, is worth: a weighted sum of measured components.

    reward = gain * g / gain_scale * (1 - leak) + question * q + on_item * o + repetition * r + leak * l

`g` is the change of the probability of the right answer, `q` whether (or the share of turns that) ask a real question,
`o` the share of sentences on the item, `r` the share of repeated 3-grams and `l` the leak severity; the weights come
from the config. Gain is net of leak: what was learned because the answer was given away does not count.

Invariant: the reward is exactly the sum of the components it returns; a component that was not measured is absent.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.records import Leak, TurnRules
from sim.config_reward import RewardConfig


def reply_reward(weights: RewardConfig, rules: TurnRules, gain: float | None) -> tuple[float, dict[str, float]]:
    """The reward of one tutor reply and its weighted components.

    Args:
        weights: the config's weights.
        rules: what the rule judge measured.
        gain: belief in the right answer after the reply minus before it, or None when it was not probed.
    """
    components = {
        "question": weights.question * rules.question,
        "on_item": weights.on_item * rules.on_item,
        "repetition": weights.repetition * rules.repetition,
        "leak": weights.leak * rules.leak,
    }
    if gain is not None:
        components["gain"] = weights.gain * gain / weights.gain_scale * (1.0 - rules.leak)
    return sum(components.values()), components


def dialogue_reward(
    weights: RewardConfig, turns: Sequence[TurnRules], leaks: Sequence[Leak], gain: float | None
) -> tuple[float, dict[str, float]]:
    """The reward of a dialogue: means over its tutor turns, the worst leak, and the gain over all of it."""
    if not turns:
        return 0.0, {}
    worst = max((leak.severity for leak in leaks), default=0.0)
    n = len(turns)
    components = {
        "question": weights.question * sum(rules.question for rules in turns) / n,
        "on_item": weights.on_item * sum(rules.on_item for rules in turns) / n,
        "repetition": weights.repetition * sum(rules.repetition for rules in turns) / n,
        "leak": weights.leak * worst,
    }
    if gain is not None:
        components["gain"] = weights.gain * gain / weights.gain_scale * (1.0 - worst)
    return sum(components.values()), components
