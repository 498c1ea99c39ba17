"""A discrete-event simulation of a run: dialogues that go from classroom to router to engine and back, turn by turn.

Every station is first come, first served. A router sends what has gathered for one engine in one call, so its calls
grow when it is busy. A dialogue stays on its engine; a new one goes where a place has just become free. The driver
takes no more dialogues while too many parts wait for the store, and a place is free once the driver has the dialogue:
so a slow driver or store holds the classrooms back, as in a real run.

Invariant: every dialogue is stored exactly once, and time only moves on. Rates are taken over the middle of the run:
from when as many dialogues as are in flight have finished until as many are left.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.sizing_model import Plan, Rates, capacities, part_seconds, smallest, turn_seconds

Action = Callable[[], None]
BUSY = 0.9
"""From this utilisation on a component is called the limit."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the middle of a simulated run did."""

    dialogues_per_second: float
    utilisation: dict[str, float]
    requests_per_call: float
    stored: int
    """Dialogues stored in the whole run."""
    seconds: float
    """Of the whole run."""
    limit: str
    """The component that limits, a key of `sizing_model.ADVICE`."""


class Clock:
    """Simulated seconds, and what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._next = 0
        self._events: list[tuple[float, int, Action]] = []

    def after(self, seconds: float, action: Action) -> None:
        """Does something later; what is due at the same time happens in the order it was asked for."""
        self._next += 1
        heapq.heappush(self._events, (self.now + seconds, self._next, action))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            action()


class Gauge:
    """Server-seconds that the stations of one kind were busy."""

    def __init__(self, clock: Clock, servers: int) -> None:
        self._clock, self.servers = clock, servers
        self._busy, self._area, self._since = 0, 0.0, 0.0

    def add(self, change: int) -> None:
        """A server became busy (1) or idle (-1)."""
        self.area()
        self._busy += change

    def area(self) -> float:
        """Busy server-seconds until now."""
        self._area += self._busy * (self._clock.now - self._since)
        self._since = self._clock.now
        return self._area


class Station:
    """Some equal servers with one queue."""

    def __init__(self, clock: Clock, gauge: Gauge, servers: int = 1) -> None:
        self._clock, self._gauge, self._free = clock, gauge, servers
        self._waiting: deque[tuple[float, Action]] = deque()

    def serve(self, seconds: float, then: Action) -> None:
        """Takes a job of so many seconds when a server is free."""
        if self._free:
            self._free -= 1
            self._gauge.add(1)
            self._clock.after(seconds, lambda: self._done(then))
        else:
            self._waiting.append((seconds, then))

    def _done(self, then: Action) -> None:
        if self._waiting:
            seconds, following = self._waiting.popleft()
            self._clock.after(seconds, lambda: self._done(following))
        else:
            self._free += 1
            self._gauge.add(-1)
        then()


class Router:
    """One classroom's calls: one at a time, each with what has gathered for one engine and direction."""

    def __init__(self, clock: Clock, gauge: Gauge, seconds: float, batch: int) -> None:
        self._clock, self._gauge, self._seconds, self._batch = clock, gauge, seconds, batch
        self._gathered: dict[tuple[int, bool], deque[Action]] = {}
        self._calling = False
        self.calls = self.carried = 0

    def send(self, engine: int, back: bool, then: Action) -> None:
        """Carries one request to an engine, or one answer back."""
        self._gathered.setdefault((engine, back), deque()).append(then)
        if not self._calling:
            self._calling = True
            self._gauge.add(1)
            self._call()

    def _call(self) -> None:
        key = next(iter(self._gathered))
        gathered = self._gathered.pop(key)
        held = [gathered.popleft() for _ in range(min(self._batch, len(gathered)))]
        if gathered:
            self._gathered[key] = gathered  # behind all others
        self.calls += 1
        self.carried += len(held)
        self._clock.after(self._seconds, lambda: self._arrived(held))

    def _arrived(self, held: list[Action]) -> None:
        if self._gathered:
            self._call()
        else:
            self._calling = False
            self._gauge.add(-1)
        for then in held:
            then()


class Run:
    """One simulated run."""

    def __init__(self, rates: Rates, plan: Plan) -> None:
        self.rates, self.plan, self.clock = rates, plan, Clock()
        counts = {"gpus": plan.gpus * rates.slots, "hosts": plan.gpus, "classrooms": plan.classrooms}
        counts |= {"router": plan.classrooms, "driver": 1, "store": 1}
        self.gauges = {name: Gauge(self.clock, servers) for name, servers in counts.items()}
        gauges, clock = self.gauges, self.clock
        self.engines = [Station(clock, gauges["gpus"], rates.slots) for _ in range(plan.gpus)]
        self.hosts = [Station(clock, gauges["hosts"]) for _ in range(plan.gpus)]
        self.rooms = [Station(clock, gauges["classrooms"]) for _ in range(plan.classrooms)]
        call = 1.0 / rates.calls_per_second
        self.routers = [Router(clock, gauges["router"], call, plan.batch) for _ in range(plan.classrooms)]
        self.driver, self.store = Station(clock, gauges["driver"]), Station(clock, gauges["store"])
        self._random = random.Random(plan.seed)
        self._begun = self._finished = self._held = self._parts = 0
        self._arrived: deque[Action] = deque()
        self._taking = False
        self.stored = 0
        self._marks: list[tuple[float, dict[str, float], int, int]] = []

    def measure(self) -> Measured:
        """Runs all dialogues and returns what was measured."""
        rates, plan = self.rates, self.plan
        found = capacities(rates, plan)
        fastest = found[smallest(found)] or math.inf
        # All at once they would go on in step: the first ones begin over as long as a dialogue will take.
        ramp = max(plan.in_flight / fastest, rates.turns * turn_seconds(rates))
        for place in range(plan.in_flight):
            # Every engine and every classroom gets its share, and each classroom speaks to all engines.
            room, engine = (place + place // plan.gpus) % plan.classrooms, place % plan.gpus
            self.clock.after(ramp * place / plan.in_flight, partial(self._begin, room, engine))
        self.clock.run()
        return self._measured()

    def _begin(self, room: int, engine: int) -> None:
        if self._begun < self.plan.dialogues:
            self._begun += 1
            self._turn(room, engine, self.rates.turns)

    def _turn(self, room: int, engine: int, left: int) -> None:
        """One turn, and all that follow it."""
        rates, router = self.rates, self.routers[room]
        decode = self._tokens() * rates.slots / rates.tokens_per_second

        def answered() -> None:
            if left > 1:
                self._turn(room, engine, left - 1)
            else:
                self._arrive(lambda: self._begin(room, engine))

        def decoded() -> None:
            router.send(engine, True, answered)

        def hosted() -> None:
            self.engines[engine].serve(decode, decoded)

        def carried() -> None:
            self.hosts[engine].serve(rates.host_seconds, hosted)

        self.rooms[room].serve(rates.classroom_seconds, lambda: router.send(engine, False, carried))

    def _tokens(self) -> float:
        spread = self.plan.spread
        if not spread:
            return self.rates.tokens_per_turn
        return self._random.lognormvariate(math.log(self.rates.tokens_per_turn) - spread * spread / 2.0, spread)

    def _arrive(self, free: Action) -> None:
        """A dialogue reaches the driver; `free` gives its place to the next one."""
        self._arrived.append(free)
        self._take()

    def _take(self) -> None:
        if self._taking or not self._arrived or self._parts >= self.plan.parts_waiting:
            return
        self._taking = True
        free = self._arrived.popleft()
        self.driver.serve(self.rates.driver_seconds * self.rates.turns, lambda: self._taken(free))

    def _taken(self, free: Action) -> None:
        self._taking = False
        self._finished += 1
        self._held += 1
        if self._finished in (self.plan.in_flight, self.plan.dialogues - self.plan.in_flight):
            self._mark()
        if self._held == self.plan.part_dialogues or self._finished == self.plan.dialogues:
            held, self._held = self._held, 0
            self._parts += 1
            self.store.serve(part_seconds(self.rates, self.plan, held), lambda: self._written(held))
        free()
        self._take()

    def _written(self, held: int) -> None:
        self._parts -= 1
        self.stored += held
        self._take()

    def _mark(self) -> None:
        areas = {name: gauge.area() for name, gauge in self.gauges.items()}
        calls = sum(router.calls for router in self.routers), sum(router.carried for router in self.routers)
        self._marks.append((self.clock.now, areas, *calls))

    def _measured(self) -> Measured:
        (begun, before, calls, carried), (ended, after, all_calls, all_carried) = self._marks
        seconds = ended - begun
        used = {name: (after[name] - before[name]) / (seconds * gauge.servers) for name, gauge in self.gauges.items()}
        return Measured(
            dialogues_per_second=(self.plan.dialogues - 2 * self.plan.in_flight) / seconds,
            utilisation=used,
            requests_per_call=(all_carried - carried) / max(1, all_calls - calls),
            stored=self.stored,
            seconds=self.clock.now,
            limit=_limit(used),
        )


def _limit(used: dict[str, float]) -> str:
    """GPUs that are busy are the limit whatever else is; else the busiest component, else the places."""
    if used["gpus"] >= BUSY:
        return "gpus"
    busiest = max(used, key=lambda name: used[name])
    return busiest if used[busiest] >= BUSY else "places"


def simulate(rates: Rates, plan: Plan) -> Measured:
    """Simulates one run."""
    return Run(rates, plan).measure()
