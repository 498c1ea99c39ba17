"""Engines that record and replay: what was asked and answered once is answered again, without a model.

`RecordingEngine` stands before the engine of a role and writes every request and its answer on a tape (see `tape.py`).
`ReplayEngine` answers from the tape. Dialogues begin and end on the tape as well, which is shared by all roles of a
process: a `Recorder` while recording, a `Player` while replaying.

Invariant: a replayed dialogue gets the answers it got, in the order it got them, or an error that says where it parts
from the recording; never the answer to another question. Errors come again as the same class and message. A request
that was cut off by the dialogue's time limit ends in `TimeoutError` again, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agents.engines.base import Completion, Engine, Message, PolicyEngine, Sampling, Score
from agents.engines.branches import Numbering
from agents.engines.entries import Entry, Failed, Request, generation, scoring
from agents.engines.tape import Asked, Recorder, Recording
from agents.errors import DeliveryError, EngineRefused

PATIENCE_SECONDS = 5.0
"""A replayed dialogue in which nothing happens for twice that long waits for a request that will not come."""
_CUT_OFF = Failed("TimeoutError", "", "")
_CHANGED = "The config or the code changed since the recording: replay with those of the recording, or record again"


class RecordingEngine:
    """An engine whose requests and answers are recorded.

    Args:
        inner: who answers.
        recorder: shared by all engines of the process.
        role: whose engine it is; a part of what a request is known by.
    """

    def __init__(self, inner: Engine, recorder: Recorder, role: str) -> None:
        self._inner, self._recorder, self._role = inner, recorder, role

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """See `Engine.generate`. Raises StoreError when the answer cannot be recorded."""
        asked = self._recorder.ask(dialogue_id, generation(self._role, messages, sampling))
        with self._failures(asked):
            found = await self._inner.generate(messages, sampling, dialogue_id=dialogue_id)
        self._recorder.answer(asked, completions=found)
        return found

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """See `Engine.score`. Raises StoreError when the answer cannot be recorded."""
        asked = self._recorder.ask(dialogue_id, scoring(self._role, messages, continuations))
        with self._failures(asked):
            found = await self._inner.score(messages, continuations, dialogue_id=dialogue_id)
        self._recorder.answer(asked, scores=found)
        return found

    async def deliver(self, version: str, *, weights: str = "", adapter: str = "") -> float:
        """See `PolicyEngine.deliver`; not recorded, but completions carry the version."""
        return await self._policy().deliver(version, weights=weights, adapter=adapter)

    async def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See `PolicyEngine.token_logprobs`; not recorded."""
        return await self._policy().token_logprobs(sequences)

    async def close(self) -> None:
        """Closes the engine behind it. The recorder stays open: other roles use it too."""
        await self._inner.close()

    def _policy(self) -> PolicyEngine:
        if not isinstance(self._inner, PolicyEngine):
            raise DeliveryError(f"a {type(self._inner).__name__} cannot take a trained policy; give the role to `vllm`")
        return self._inner

    @contextmanager
    def _failures(self, asked: Asked) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            self._recorder.answer(asked, failed=_CUT_OFF)
            raise
        except Exception as error:
            self._recorder.answer(asked, failed=Failed.of(error))
            raise


class ReplayEngine:
    """An engine that answers from a tape.

    Args:
        player: shared by all engines of the process.
        role: whose engine it is, as when it was recorded.
    """

    def __init__(self, player: Player, role: str) -> None:
        self._player, self._role = player, role

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        """Returns the recorded completions.

        Raises:
            EngineRefused: the recording does not hold the request.
            Exception: what the recorded request raised.
        """
        entry = await self._player.answer(dialogue_id, generation(self._role, messages, sampling))
        return list(entry.completions or ())

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        """Returns the recorded scores; raises as `generate` does."""
        entry = await self._player.answer(dialogue_id, scoring(self._role, messages, continuations))
        return list(entry.scores or ())

    async def close(self) -> None:
        """Does nothing: there is nothing to release."""


class Player:
    """Plays a tape to the dialogues of one process.

    Args:
        folder: of the tape.
        patience_seconds: see `PATIENCE_SECONDS`.

    Raises:
        InputError: nothing was recorded there.
        StoreError: the tape is damaged.
    """

    def __init__(self, folder: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._recording = Recording(folder)
        self._patience = patience_seconds
        self._courses: dict[str, _Course] = {}
        self._over: set[str] = set()

    @property
    def torn(self) -> int:
        """Lines that killed processes left incomplete; their requests are missing."""
        return self._recording.torn

    def seconds(self, dialogue: str) -> float | None:
        """Wall seconds of a dialogue as recorded; None where its end was not."""
        return self._recording.seconds(dialogue)

    def begin(self, dialogue: str) -> None:
        """Plays a dialogue from its start. Raises StoreError when its requests cannot be read."""
        self._leave(dialogue)
        self._over.discard(dialogue)
        self._courses[dialogue] = _Course(self._recording, dialogue)

    def end(self, dialogue: str, seconds: float) -> float:
        """Lets go of a dialogue; returns its recorded seconds, or `seconds` where there are none."""
        self._leave(dialogue)
        self._over.add(dialogue)
        recorded = self.seconds(dialogue)
        return seconds if recorded is None else recorded

    async def answer(self, dialogue: str, request: Request) -> Entry:
        """Waits for the turn of a request's answer; raises what the request raised."""
        if dialogue in self._over:
            raise EngineRefused(f"dialogue {dialogue!r} is over; begin it again to ask the {request.role}")
        if dialogue not in self._courses:
            self.begin(dialogue)
        entry = await self._courses[dialogue].answer(request, self._patience)
        if entry.failed is not None:
            raise entry.failed.again()
        return entry

    def _leave(self, dialogue: str) -> None:
        if before := self._courses.pop(dialogue, None):
            before.leave()


class _Course:
    """One dialogue being replayed: answers are given in the order of the recording.

    The recorded order of asking and answering is walked through, and an answer is given once all that happened before
    it has happened again: which of two errors came first, and sums in the order of answers, come out the same.
    """

    def __init__(self, recording: Recording, dialogue: str) -> None:
        self._recording, self._dialogue = recording, dialogue
        self._entries = {entry.place: entry for entry in recording.entries(dialogue)}
        happened = [(entry.asked, False, entry) for entry in self._entries.values()]
        happened += [(entry.answered, True, entry) for entry in self._entries.values() if entry.answered is not None]
        self._schedule = [(answer, entry) for _, answer, entry in sorted(happened, key=lambda one: one[0])]
        self._at = 0
        self._numbering = Numbering()
        self._asked: set[tuple[str, str, int]] = set()
        self._waiting: dict[tuple[str, str, int], asyncio.Future[bool]] = {}
        self._parted = False

    async def answer(self, request: Request, patience: float) -> Entry:
        place = request.key, *self._numbering.number(request.key)
        self._asked.add(place)
        entry = self._entries.get(place)
        if entry is None:
            message = self._differs(request)
            self._part()
            raise EngineRefused(message)
        given = self._waiting[place] = asyncio.get_running_loop().create_future()
        self._go_on()
        quiet = 0  # two quiet spells in a row, as the loop may just have been busy elsewhere during the first
        while True:  # at least once: an answer never comes before its sisters have asked, as it did not when recorded
            at = self._at
            await asyncio.wait({given}, timeout=patience)
            if given.done():
                break
            quiet = quiet + 1 if self._at == at else 0
            if quiet > 1:
                message = self._stalled(request)
                self._part()
                raise EngineRefused(message)
        if not given.result():
            raise EngineRefused(f"dialogue {self._dialogue!r} went on without this answer of the {request.role}")
        return entry

    def leave(self) -> None:
        """Nobody waits for the dialogue any more."""
        for given in self._waiting.values():
            if not given.done():
                given.set_result(False)
        self._waiting.clear()

    def _go_on(self) -> None:
        while self._at < len(self._schedule):
            answer, entry = self._schedule[self._at]
            if entry.place not in self._asked:
                if not self._parted:
                    return
            elif answer and (given := self._waiting.pop(entry.place, None)) is not None and not given.done():
                given.set_result(True)
            self._at += 1
        if self._parted:
            self._give_late()

    def _part(self) -> None:
        """The run parts from the recording: no order is kept any more, so that nobody waits in vain."""
        self._parted = True
        self._go_on()

    def _give_late(self) -> None:
        for place, given in list(self._waiting.items()):
            if not given.done():
                given.set_result(self._entries[place].answered is not None)
            del self._waiting[place]

    def _differs(self, request: Request) -> str:
        """Says how a request that the recording does not hold differs from what it holds."""
        recorded = sorted(self._entries.values(), key=lambda entry: entry.asked)
        left = [entry for entry in recorded if entry.role == request.role and entry.place not in self._asked]
        said, rest = request.key.split(".")
        if not recorded:
            why = "nothing was recorded of this dialogue"
        elif times := sum(entry.key == request.key for entry in recorded):
            why = f"the recorded dialogue asked that {times} times only"
        elif all(entry.role != request.role for entry in recorded):
            why = "nothing was recorded of this role"
        elif self._recording.seconds(self._dialogue) is None and not left:
            why = "the recording of this dialogue was cut short"
        elif any(entry.key.split(".")[0] == said for entry in left):
            why = "the same messages were recorded with another sampling or other continuations"
        elif not left:
            why = "all recorded requests of this role were answered already"
        elif any(entry.key.split(".")[1] == rest and entry.words == request.words for entry in left):
            why = "a recorded last message begins the same, but goes on or was preceded differently"
        else:
            why = f"the next recorded one begins {left[0].words!r}"
        return (
            f"dialogue {self._dialogue!r} asks the {request.role} what {self._recording.folder} does not hold: "
            f"the last message begins {request.words!r}; {why}. {_CHANGED}"
        )

    def _stalled(self, request: Request) -> str:
        missing = next((entry for _, entry in self._schedule[self._at :] if entry.place not in self._asked), None)
        awaited = f"the {missing.role} was asked {missing.words!r}" if missing else "the dialogue was over"
        return (
            f"dialogue {self._dialogue!r} waits for the {request.role}'s answer to {request.words!r}, but in "
            f"{self._recording.folder} {awaited} before that came, and now nothing happens. {_CHANGED}"
        )
