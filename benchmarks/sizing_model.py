"""What a run on many GPUs consists of, for sizing: the rates that go in, and the closed formula of each component.

A turn (the tutor's or the student's) is one request to an engine. It takes CPU in its classroom, a place in a call of
that classroom's router, CPU in the process that hosts the engine, a slot of the engine, and a place in the call that
brings the answer back. A finished dialogue takes CPU in the driver and a place in a stored part.

Invariant: no rate has a default. What a component can do at most is a formula of the rates alone; the simulation
(`sizing_events`) can only fall below the smallest of them, because of waiting and of too few dialogues in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from agents.errors import InputError

ADVICE = {
    "gpus": "the GPUs are busy, as they should be: more of them give more dialogues",
    "hosts": "the processes that host engines lack CPU: two replicas a GPU, or faster cores beside it",
    "classrooms": "the classrooms lack CPU: raise run.classrooms (one core each)",
    "router": "a classroom cannot make calls fast enough: more classrooms, or classrooms that speak to a part of the "
    "replicas only, so that each call holds more requests",
    "driver": "the driver lacks CPU: split the experiment over several runs, each with its own driver and folder",
    "store": "parts are written too slowly: raise run.part_dialogues, or use a faster store",
    "places": "nothing is busy, too few dialogues are in flight: raise run.in_flight",
}
"""What to change, by the component that limits."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured; seconds are CPU seconds."""

    tokens_per_second: float
    """Completion tokens of one GPU's engine with all slots busy, over a whole run: reading prompts, probes and
    verdicts are in it."""
    slots: int
    """Sequences that one engine decodes together; each gets an equal share of the rate."""
    turns: int
    """Turns of a dialogue, the tutor's and the student's."""
    tokens_per_turn: float
    classroom_seconds: float
    """A turn."""
    host_seconds: float
    """A turn."""
    driver_seconds: float
    """A turn, paid when its dialogue arrives."""
    calls_per_second: float
    """Calls that one classroom's router makes, whatever they hold."""
    seconds_per_part: float
    """Of the store, beside the bytes."""
    mb_per_second: float
    """Of the store."""
    kb_per_dialogue: float
    """Stored."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name in POSITIVE):
                raise InputError(f"{field.name}: {value}; expected a rate above 0 from a measurement")


POSITIVE = {"tokens_per_second", "slots", "turns", "tokens_per_turn", "calls_per_second", "mb_per_second"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided, not measured."""

    gpus: int
    in_flight_per_gpu: int
    gpus_per_classroom: int = 8
    batch: int = 512
    """Requests in one call at most, as `sim.fleet.line.BATCH_REQUESTS`."""
    part_dialogues: int = 64
    parts_waiting: int = 4
    """Finished parts that may wait for the store before the driver takes no more dialogues."""
    spread: float = 0.8
    """Sigma of the log-normal length of a reply; 0: all equal."""
    waves: int = 4
    """Simulated dialogues, as a multiple of those in flight."""
    seed: int = 0

    def __post_init__(self) -> None:
        small = {"gpus", "in_flight_per_gpu", "gpus_per_classroom", "batch", "part_dialogues", "parts_waiting"}
        for name in sorted(small):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)}; expected 1 or more")
        if self.waves < 3 or self.spread < 0:
            raise InputError(f"waves: {self.waves} and spread: {self.spread}; expected 3 or more and 0 or more")

    @property
    def in_flight(self) -> int:
        """Dialogues under way."""
        return self.gpus * self.in_flight_per_gpu

    @property
    def classrooms(self) -> int:
        """Classroom processes."""
        return -(-self.gpus // self.gpus_per_classroom)

    @property
    def dialogues(self) -> int:
        """Dialogues to simulate."""
        return self.waves * self.in_flight


def part_seconds(rates: Rates, plan: Plan, dialogues: int | None = None) -> float:
    """Seconds to store a part of so many dialogues; a full one when None."""
    held = plan.part_dialogues if dialogues is None else dialogues
    return rates.seconds_per_part + held * rates.kb_per_dialogue / 1000.0 / rates.mb_per_second


def turn_seconds(rates: Rates) -> float:
    """Seconds of a turn that waits for nothing."""
    decode = rates.tokens_per_turn * rates.slots / rates.tokens_per_second
    return rates.classroom_seconds + 2.0 / rates.calls_per_second + rates.host_seconds + decode


def capacities(rates: Rates, plan: Plan) -> dict[str, float | None]:
    """Dialogues per second that each component could do, were it alone; None where its cost is 0 (no limit)."""
    a_turn = {
        "hosts": (plan.gpus, rates.host_seconds),
        "classrooms": (plan.classrooms, rates.classroom_seconds),
        "router": (plan.classrooms * plan.batch, 2.0 / rates.calls_per_second),
        "driver": (1, rates.driver_seconds),
    }
    found: dict[str, float | None] = {
        "gpus": plan.gpus * rates.tokens_per_second / (rates.turns * rates.tokens_per_turn)
    }
    for name, (servers, seconds) in a_turn.items():
        found[name] = servers / (rates.turns * seconds) if seconds else None
    part = part_seconds(rates, plan)
    found["store"] = plan.part_dialogues / part if part else None
    alone = rates.turns * (turn_seconds(rates) + rates.driver_seconds)
    found["places"] = plan.in_flight / alone
    return found


def smallest(found: dict[str, float | None]) -> str:
    """The component with the smallest capacity."""
    known = {name: value for name, value in found.items() if value is not None}
    return min(known, key=lambda name: known[name])
