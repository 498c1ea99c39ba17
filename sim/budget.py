"""When a run begins no more dialogues: a cap of its budget is reached, or a tutor only fails.

Invariant: both only count what they are shown and never stop anything themselves; what was said once (a cap is reached,
a tutor is given up) stays said. A cost that nobody knows is never counted as 0: `check_budget` refuses a cap on it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from agents.engines.address import is_loopback
from agents.errors import InputError
from agents.records import Dialogue
from sim.config import Config, PoolConfig
from sim.config_experiment import BudgetConfig, TutorArm


class Budget:
    """The caps of a config against what was spent.

    Dialogues (failed ones too, they cost as well), tokens and cost are counted over the whole run: after an
    interruption, show it the stored dialogues first. Minutes count anew in each start.

    Args:
        caps: 0 stands for no cap.
        clock: seconds that only grow.
    """

    def __init__(self, caps: BudgetConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._caps, self._clock, self._begun = caps, clock, clock()
        self.dialogues = self.tokens = 0
        self.cost = 0.0
        self._said = ""

    def add(self, dialogue: Dialogue) -> None:
        """Counts a dialogue that has ended, finished or failed."""
        self.dialogues += 1
        self.tokens += dialogue.usage.prompt_tokens + dialogue.usage.completion_tokens
        self.cost += dialogue.usage.cost

    @property
    def minutes(self) -> float:
        """Since this start."""
        return (self._clock() - self._begun) / 60.0

    def exhausted(self) -> str:
        """Which cap is reached, as a sentence with what was used; empty while there is room.

        What is under way then is still finished, so more may be used in the end than the sentence says.
        """
        self._said = self._said or self._reached()
        return self._said

    def _reached(self) -> str:
        caps = self._caps
        if caps.dialogues and self.dialogues >= caps.dialogues:
            return f"the cap of {caps.dialogues} dialogues is reached ({self.dialogues} ended)"
        if caps.tokens and self.tokens >= caps.tokens:
            return f"the cap of {caps.tokens} tokens is reached ({self.tokens} used)"
        if caps.cost and self.cost >= caps.cost:
            return f"the cap of {caps.cost:g} on the cost is reached ({self.cost:.4g} spent)"
        if caps.minutes and self.minutes >= caps.minutes:
            return f"the cap of {caps.minutes:g} minutes is reached ({self.minutes:.1f} in this start)"
        return ""

    @property
    def left(self) -> int:
        """Dialogues that the cap on them still allows; 0: there is no cap, or it is reached."""
        return max(0, self._caps.dialogues - self.dialogues) if self._caps.dialogues else 0


class TutorBreaker:
    """Gives a tutor up after so many failures in a row, so that an arm that is broken does not take hours of timeouts.

    Failures are counted in the order dialogues end, tutor by tutor; one that finishes sets its tutor's count back.
    """

    def __init__(self, limit: int = 5) -> None:
        if limit < 1:
            raise InputError(f"a tutor cannot be given up after {limit} failures; give 1 or more")
        self._limit = limit
        self._in_a_row: Counter[str] = Counter()
        self._given_up: dict[str, str] = {}

    def add(self, dialogue: Dialogue) -> None:
        """Counts a dialogue that has ended, finished or failed."""
        tutor, failure = dialogue.spec.tutor_name, dialogue.failure
        if failure is None:
            self._in_a_row[tutor] = 0
            return
        self._in_a_row[tutor] += 1
        if self._in_a_row[tutor] >= self._limit and tutor not in self._given_up:
            self._given_up[tutor] = (
                f"{self._limit} dialogues in a row failed; the last: {failure.error} at {failure.where}: "
                f"{failure.message}"
            )

    def given_up(self) -> dict[str, str]:
        """The tutors that are given up, each with the reason."""
        return dict(self._given_up)


def pools_of(config: Config, arm: TutorArm) -> tuple[str, ...]:
    """The pools a dialogue of this tutor asks: the tutor's (a control has none), the student's and the judge's."""
    names = [config.tutor_pool(arm), *config.heard_pools()]
    return tuple(dict.fromkeys(name for name in names if name))


def unpriced(config: Config) -> tuple[str, ...]:
    """The pools in use whose cost nobody knows: an endpoint elsewhere without a price."""
    used = dict.fromkeys(name for arm in config.tutor_arms() for name in pools_of(config, arm))
    return tuple(name for name in used if _is_unpriced(config.pools[name]))


def _is_unpriced(pool: PoolConfig) -> bool:
    return pool.engine == "openai" and not any(pool.price_per_million) and not is_loopback(pool.base_url)


def check_budget(config: Config) -> None:
    """Refuses a cap on the cost that could never be held.

    Raises:
        InputError: `budget.cost` is set and a pool in use has no known price, or none of them has any.
    """
    if not config.budget.cost:
        return
    unknown = unpriced(config)
    if unknown:
        raise InputError(
            f"budget.cost: {config.budget.cost:g}, but no price for pool {unknown[0]}: set "
            f"pools.{unknown[0]}.price_per_million, or cap tokens instead"
        )
    used = {name for arm in config.tutor_arms() for name in pools_of(config, arm)}
    if not any(any(config.pools[name].price_per_million) for name in used):
        raise InputError(
            f"budget.cost: {config.budget.cost:g}, but no pool in use has a price, so this cap is never reached: set "
            f"price_per_million of {', '.join(sorted(used))}, or cap tokens instead"
        )
