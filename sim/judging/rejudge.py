"""Judging stored dialogues again: judges read them, and nobody talks.

Invariant: an engine that fails gives no verdict: the dialogue is counted as missing and judged by the next call. What
is stored is not asked again, and what was said is stored however a call ends. A judge that only fails is given up, so a
dead server is not asked for every dialogue.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from agents.errors import EngineError, JudgeError, TrainerError
from agents.judges.base import Judge
from agents.packs import Pack, load_pack
from agents.records import Dialogue
from sim.judging.verdicts import Judgement, VerdictStore, said_digest

PART_JUDGEMENTS, PART_SECONDS = 64, 5.0
"""A part is written when it holds so many judgements, or is that old."""
GIVE_UP_AFTER = 20
"""Failures in a row after which a judge is asked no more in this call."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A judge on a panel; its verdicts are stored under `name`."""

    name: str
    judge: Judge


@dataclass
class Counts:
    """What came of one call."""

    total: int = 0
    """Pairs of a dialogue and a judge."""
    stored: int = 0
    """Of these, judged by earlier calls."""
    judged: int = 0
    failed: int = 0
    not_tried: int = 0
    """Of judges that were given up."""
    why: str = ""
    """The first failure."""
    in_a_row: Counter[str] = field(default_factory=Counter)


async def rejudge(
    dialogues: Sequence[Dialogue],
    judges: Sequence[Seat],
    *,
    store: VerdictStore,
    in_flight: int,
    tell: Callable[[int, int], None],
    packs: Callable[[str], Pack] = load_pack,
) -> Counts:
    """Judges what the store does not hold yet.

    Args:
        dialogues: those that failed or in which the tutor has no turn are passed over: there is nothing to judge.
        judges: who judges; names are distinct.
        store: where judgements go, at the latest when the call ends, however it ends.
        in_flight: pairs of a dialogue and a judge at once.
        tell: called with pairs done and all pairs.
        packs: finds a pack by the name that dialogues have for it.

    Raises:
        InputError: the pack of a dialogue is not there.
    """
    seats = {seat.name: seat.judge for seat in judges}
    left = missing(dialogues, list(seats), store)
    # Before anything is asked: a pack may be gone.
    items = {one.id: packs(one.spec.pack).item(one.spec.item_id) for one, _, _ in left}
    total = len(seats) * sum(map(can_be_judged, dialogues))
    counts = Counts(total=total, stored=total - len(left))
    writer, waiting = _Writer(store), iter(left)

    async def work() -> None:
        for dialogue, said, name in waiting:
            if counts.in_a_row[name] >= GIVE_UP_AFTER:
                counts.not_tried += 1
                continue
            try:
                found = await seats[name].judge(
                    items[dialogue.id], dialogue.turns, dialogue_id=dialogue.id, dimension=dialogue.spec.dimension
                )
            except (EngineError, JudgeError, TrainerError) as error:
                counts.failed += 1
                counts.in_a_row[name] += 1
                counts.why = counts.why or f"{name} on {dialogue.id}: {type(error).__name__}: {error}"
            else:
                counts.judged += 1
                counts.in_a_row[name] = 0
                named = tuple(replace(verdict, judge=name) for verdict in found)
                writer.add(Judgement(dialogue.id, said, name, named))
            tell(counts.stored + counts.judged, counts.total)

    workers = [asyncio.create_task(work()) for _ in range(min(in_flight, len(left)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        writer.flush()
    return counts


def missing(
    dialogues: Sequence[Dialogue], judges: Sequence[str], store: VerdictStore
) -> list[tuple[Dialogue, str, str]]:
    """What is still to be judged: dialogue, digest of what was said, name of the judge."""
    stored = {judgement.key for judgement in store.judgements()}
    said = [(dialogue, said_digest(dialogue)) for dialogue in dialogues if can_be_judged(dialogue)]
    return [(one, text, judge) for one, text in said for judge in judges if (one.id, text, judge) not in stored]


def can_be_judged(dialogue: Dialogue) -> bool:
    """Whether there is something to judge: the dialogue finished, and the tutor had a turn."""
    return dialogue.failure is None and bool(dialogue.tutor_turns)


class _Writer:
    """Stores judgements in parts: when a part is full or old enough, and at the end."""

    def __init__(self, store: VerdictStore) -> None:
        self._store = store
        self._held: list[Judgement] = []
        self._since = time.monotonic()

    def add(self, judgement: Judgement) -> None:
        self._held.append(judgement)
        if len(self._held) >= PART_JUDGEMENTS or time.monotonic() - self._since > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        held, self._held, self._since = self._held, [], time.monotonic()
        if held:
            self._store.append(held)
