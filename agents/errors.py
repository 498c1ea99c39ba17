"""Every error tutorloop raises on purpose, one class per boundary that was crossed.

    TutorloopError
    |- InputError       the user's config, pack, argument or environment is wrong: exit code 2, no traceback
    |  '- RunHeld           another driver that lives writes the run folder
    |- EngineError      an engine or endpoint failed while it generated or scored
    |  |- EngineUnavailable   it could not be reached after all retries
    |  |  |- EngineDied           it is no more; another replica, or its successor, may answer
    |  |  '- RateLimited          it takes no more requests for longer than the pool waits
    |  |- EngineRefused       it answered, and the answer is final (bad key, context too long)
    |  '- NoReply             it answered, and nothing in the answer is a reply (empty, filtered, only reasoning)
    |- JudgeError       a judge could not judge (not the same as an `invalid` verdict)
    |- StoreError       a run folder or part file cannot be read or written
    |- LeaseLost        another driver took the run folder over
    |- TrainerError     training cannot start or go on
    |- DeliveryError    the serving engine does not serve what was delivered
    '- RegistryError    an adapter is missing, corrupt or would be overwritten

A message says what happened, the value, and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from agents.records import Usage
from agents.text import clipped


class TutorloopError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: int = 1


class InputError(TutorloopError):
    """Something the user gave is wrong; found before anything expensive starts."""

    exit_code = 2


class RunHeld(InputError):
    """A driver that lives writes the run folder."""


class EngineError(TutorloopError):
    """An engine failed while it generated or scored."""

    usage: Usage = Usage()
    """What answers cost that ended in this error."""


class EngineUnavailable(EngineError):
    """The engine could not be reached after all retries."""


class EngineDied(EngineUnavailable):
    """The engine is no more; another replica, or its successor, may answer the same request."""


class RateLimited(EngineUnavailable):
    """The endpoint takes no more requests for now, for longer than was to be waited."""


class EngineRefused(EngineError):
    """The engine answered, and asking again would not help."""


class NoReply(EngineError):
    """The engine answered without a reply: empty, blank, filtered, refused, or only reasoning."""

    LONGEST_RAW = 10_000
    """Characters; a judge's verdict keeps fewer."""
    _raw: str = ""

    @property
    def raw(self) -> str:
        """What the last such answer held: a thought, a refusal, or what came before it was broken off. A longer one is
        cut, and says so: an endless thought is in no tape, verdict or message whole.
        """
        return self._raw

    @raw.setter
    def raw(self, text: str) -> None:
        self._raw = clipped(text, self.LONGEST_RAW)


class JudgeError(TutorloopError):
    """A judge could not judge at all."""


class StoreError(TutorloopError):
    """A run folder or a part file cannot be read or written."""


class LeaseLost(TutorloopError):
    """Another driver took the run folder over; this one must not write any more."""


class TrainerError(TutorloopError):
    """Training cannot start or cannot go on."""


class DeliveryError(TutorloopError):
    """The serving engine does not serve the weights that were delivered."""


class RegistryError(TutorloopError):
    """An adapter is missing, corrupt, or would be overwritten."""


def first_of(errors: Sequence[BaseException]) -> BaseException:
    """The error to raise of several that were met side by side: the first that is no `NoReply`, or the first."""
    return next((error for error in errors if not isinstance(error, NoReply)), errors[0])


def nearest(value: str, known: Iterable[str]) -> str:
    """Returns the tail of an error message: the nearest valid name, or all of them.

    Args:
        value: what was given.
        known: the names that would have been right.
    """
    names = sorted(known)
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}? Known: {', '.join(names)}"
    return f"known: {', '.join(names) or 'none'}"
