"""Where the seconds of dialogues went.

A finished dialogue's time is split in two: an engine was being asked, or it was not (orchestration: our own code, and
waiting for its turn in it). Asking is split by what the engines say of their requests (queue, prefill, decode); the
rest of it is transport, there and back. Storing goes on beside the dialogues, so it is a share of the clock instead.

Invariant: the shares of a dialogue's time that are known add up to 1; what cannot be known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from agents.engines.load import EngineLoad
from sim.sight.totals import Totals


@dataclass(frozen=True, slots=True)
class Spent:
    """Shares, 0 to 1."""

    dialogue_seconds: float = 0.0
    """Of all finished dialogues of the phase: what the shares but `storing` are of."""
    asking: float | None = None
    """An engine was asked: the next four together."""
    queued: float | None = None
    """Waiting in an engine's queue."""
    prefill: float | None = None
    """Reading prompts."""
    decode: float | None = None
    """Writing replies."""
    transport: float | None = None
    """The rest of asking: batching, the network, a classroom or an engine's host that was busy."""
    orchestration: float | None = None
    """No engine was asked."""
    storing: float | None = None
    """Of the seconds of the phase, those in which the driver stored something."""


def where_seconds_went(totals: Totals, *, seconds: float, storing: float, in_flight: int) -> Spent:
    """Splits the time of finished dialogues.

    Args:
        totals: of the phase.
        seconds: since the phase began.
        storing: seconds spent storing.
        in_flight: dialogues under way.
    """
    stored = min(1.0, storing / seconds) if seconds > 0 else None
    whole = totals.rooms.dialogue_seconds
    asking = _asking(totals, in_flight)
    if asking is None or whole <= 0:
        return Spent(dialogue_seconds=whole, storing=stored)
    share = min(1.0, asking / whole)
    split = _split(totals.rooms.engine_seconds, totals.pools.values())
    queued, prefill, decode, transport = (None if part is None else part * share for part in split)
    return Spent(whole, share, queued, prefill, decode, transport, 1.0 - share, stored)


def _asking(totals: Totals, in_flight: int) -> float | None:
    """Seconds in which finished dialogues asked an engine; None where overlapping requests hide it."""
    rooms = totals.rooms
    if rooms.asking_seconds is not None:
        return rooms.asking_seconds
    summed = rooms.dialogue_request_seconds
    if summed is None and not in_flight:
        summed = rooms.engine_seconds
    return summed if summed is not None and summed <= rooms.dialogue_seconds else None


def _split(
    asked: float, loads: Collection[EngineLoad]
) -> tuple[float | None, float | None, float | None, float | None]:
    """Shares of the time of requests: queue, prefill, decode, transport. None where some engine cannot tell.

    Engines may count more seconds than dialogues waited, where one question became several requests side by side.
    Then theirs are scaled to the time asked, and transport is not known.
    """
    parts = []
    for name in ("queued_seconds", "prefill_seconds", "decode_seconds"):
        told = [getattr(load, name) for load in loads]
        if not told or None in told:
            return None, None, None, None
        parts.append(float(sum(told)))
    engines = sum(parts)
    if engines <= 0 or asked <= 0:
        return None, None, None, None
    queued, prefill, decode = (part / max(engines, asked) for part in parts)
    return queued, prefill, decode, None if engines > asked else 1.0 - engines / asked
