"""What is derived of the counts: totals that survive restarts, rates, shares that add up, and nothing made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sight_samples import about, followed, load, reading, replica, room

from agents.engines.load import EngineLoad
from sim.sight.records import Reading, Replica, RoomCount, StoreCount, TutorCount, from_json, to_json
from sim.sight.seconds import Spent
from sim.sight.snapshot import Snapshot
from sim.sight.watch import MOST_POINTS, Watch

AT = "2026-11-22T10:00:00.000+00:00"


@pytest.mark.parametrize("record", [reading(), room(), replica(), followed(reading()), EngineLoad(), StoreCount()])
def test_records_go_through_json_unchanged(record: object) -> None:
    assert from_json(type(record), to_json(record)) == record


def test_a_snapshot_says_what_was_read() -> None:
    found = followed(reading(10.0, done=4), reading(20.0, done=8))
    assert (found.done, found.turns, found.in_flight, found.limit, found.waiting) == (8, 32, 3, 8, 5)
    assert found.turns_per_second == pytest.approx(32 / 20)
    assert found.tokens_per_second == pytest.approx(640 / 20)
    assert found.eta_seconds == pytest.approx(92 / (8 / 20))
    assert found.prefix_share == pytest.approx(0.8)
    assert found.cost == pytest.approx(0.08)
    assert [(t.tutor, t.done, t.failed, t.in_flight) for t in found.tutors] == [
        ("plain", 4, 0, 1),
        ("socratic", 8, 1, 2),
    ]
    assert (found.pools[0].requests, found.pools[0].kv_usage) == (32, 0.5)


def test_rates_are_of_the_last_half_minute_and_the_eta_of_five_minutes() -> None:
    slow = [reading(float(t), done=1) for t in range(1, 41)]
    fast = [reading(40.0 + t, done=1 + t) for t in range(1, 31)]
    found = followed(*slow, *fast)
    assert found.dialogues_per_second == pytest.approx(1.0)
    assert found.turns_per_second == pytest.approx(4.0)
    assert found.eta_seconds == pytest.approx((100 - 31) / (31 / 70))


def test_what_cannot_be_known_is_none_and_not_zero() -> None:
    silent = Reading(5.0, 0, 0, (RoomCount(in_flight=2),), (Replica("api", 0, load=EngineLoad()),))
    found = followed(silent)
    assert (found.eta_seconds, found.prefix_share) == (None, None)
    assert (found.pools[0].kv_usage, found.pools[0].prefix_share, found.pools[0].tokens_per_second) == (
        None,
        None,
        None,
    )
    assert found.spent == Spent(storing=0.0)


def test_one_engine_that_cannot_tell_hides_the_split_and_not_the_rest() -> None:
    blind = replica(pool="api", load=EngineLoad(requests=5))
    found = followed(reading(replicas=(replica(load=load(16)), blind)))
    assert (found.spent.queued, found.spent.decode, found.spent.transport) == (None, None, None)
    assert found.spent.asking == pytest.approx(0.8)
    assert found.prefix_share == pytest.approx(0.8)  # of the pool that tells


def test_where_the_seconds_went() -> None:
    spent = followed(reading(10.0, done=4)).spent
    # A request of 2.5 seconds was 0.2 in the queue, 0.3 prefill, 1.5 decode; asking was 8 of 10 seconds.
    assert (spent.queued, spent.prefill, spent.decode, spent.transport) == pytest.approx(
        (0.8 * 0.08, 0.8 * 0.12, 0.8 * 0.6, 0.8 * 0.2)
    )
    assert (spent.orchestration, spent.storing) == pytest.approx((0.2, 0.1))


def test_overlapping_requests_hide_orchestration_unless_it_was_measured() -> None:
    overlapped = room(4, asking_seconds=None, dialogue_request_seconds=55.0)
    assert followed(reading(rooms=(overlapped,))).spent.orchestration is None
    apart = room(4, asking_seconds=None, dialogue_request_seconds=30.0)
    assert followed(reading(rooms=(apart,))).spent.orchestration == pytest.approx(0.25)
    untold = room(4, asking_seconds=None, dialogue_request_seconds=None)
    assert followed(reading(rooms=(untold,))).spent.orchestration is None
    ended = replace(untold, in_flight=0, engine_seconds=20.0)
    assert followed(reading(rooms=(ended,))).spent.orchestration == pytest.approx(0.5)


@settings(deadline=None)
@given(
    st.tuples(*[st.floats(0, 100)] * 3),
    st.floats(0.1, 100),
    st.floats(0, 500),
    st.floats(0, 50),
)
def test_known_shares_of_a_dialogue_add_up_to_one(
    engine: tuple[float, ...], whole: float, asked: float, asking: float
) -> None:
    told = load(queued_seconds=engine[0], prefill_seconds=engine[1], decode_seconds=engine[2])
    counted = room(dialogue_seconds=whole, engine_seconds=asked, asking_seconds=asking)
    spent = followed(reading(rooms=(counted,), replicas=(replica(load=told),))).spent
    assert spent.asking is not None and spent.orchestration is not None
    assert spent.asking + spent.orchestration == pytest.approx(1.0)
    parts = (spent.queued, spent.prefill, spent.decode)
    if None not in parts:
        total = sum(part or 0.0 for part in parts) + (spent.transport or 0.0)
        assert total == pytest.approx(spent.asking, abs=1e-9)
    assert all(part is None or 0.0 <= part <= 1.0 for part in (*parts, spent.transport, spent.storing))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=30))
def test_totals_survive_restarts(steps: list[tuple[int, bool]]) -> None:
    """However often an owner begins at 0 again, the totals are the sum of all that was read to be added."""
    watch, counted, restarts, true, found = Watch(about()), 0, 0, 0, None
    for place, (added, again) in enumerate(steps):
        if again:
            counted, restarts = 0, restarts + 1
        counted, true = counted + added, true + added
        rooms = (room(counted, restarts=restarts),)
        replicas = (replica(restarts=restarts, load=load(counted)),)
        found = watch.take(Reading(float(place + 1), 0, 0, rooms, replicas), at=AT)
    assert found is not None
    assert (found.turns, found.pools[0].requests) == (4 * true, true)
    assert {t.tutor: t.done for t in found.tutors}["socratic"] == true
    assert (found.engine_restarts, found.room_restarts) == (restarts, restarts)


def test_a_counter_that_falls_without_a_word_began_again() -> None:
    found = followed(
        reading(1.0, replicas=(replica(load=load(50)),), rooms=(room(10),)),
        reading(2.0, replicas=(replica(load=load(5)),), rooms=(room(2),)),
    )
    assert (found.pools[0].requests, found.turns) == (55, 48)


def test_an_engine_that_starts_anew_has_nothing_to_tell_meanwhile() -> None:
    gone = replica(state="restarting", restarts=1, load=load(40))
    found = followed(
        reading(1.0, replicas=(replica(load=load(40)),)),
        reading(2.0, replicas=(gone,)),
        reading(3.0, replicas=(replica(restarts=1, load=load(3)),)),
    )
    assert found.pools[0].requests == 43
    assert followed(reading(1.0, replicas=(gone,))).pools[0].serving == 0


def test_what_engines_did_before_a_phase_is_not_of_the_phase() -> None:
    watch = Watch(about(before=7), replicas=(replica(load=load(1000)),))
    found = watch.take(reading(1.0, done=8, rooms=(room(1),), replicas=(replica(load=load(1004)),)), at=AT)
    assert found.pools[0].requests == 4
    assert found.dialogues_per_second == pytest.approx(1.0)


def test_rooms_and_engines_that_are_not_mentioned_are_not_new_when_they_return() -> None:
    found = followed(reading(1.0), reading(2.0, rooms=(), replicas=()), reading(3.0))
    assert (found.turns, found.pools[0].requests) == (16, 16)


def test_memory_does_not_grow_with_the_length_of_a_phase() -> None:
    watch = Watch(about())
    for second in range(1, 1300):
        watch.take(reading(second / 4), at=AT)
    assert len(watch._points) <= MOST_POINTS
    for second in range(325, 725):
        watch.take(reading(float(second)), at=AT)
    assert len(watch._points) <= 303


def test_a_watch_tells_whoever_shows() -> None:
    shown: list[Snapshot] = []
    clock = iter([100.0, 105.0])
    watch = Watch(about(), show=shown.append, clock=lambda: next(clock))
    made = watch.tell(done=4, failed=1, rooms=[room(4)], replicas=[replica()], store=StoreCount(1, 4))
    assert shown == [made] and made.seconds == 5.0 and watch.replicas == (replica(),)
    assert made.tutors[1].failed == 1 and TutorCount().in_flight == 0
