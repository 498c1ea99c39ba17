"""The parts of benchmarks/simulation.py that need no engine: imposed lengths, fewest tokens, equal work, the desk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineError, InputError
from agents.records import EpisodeSpec, Usage
from benchmarks.simulation import options, summarise
from benchmarks.simulation_desk import Desk
from benchmarks.simulation_host import Watch, counters_of
from benchmarks.simulation_lockstep import (
    Work,
    compare,
    free_running,
    heavy_tailed,
    impose,
    imposed_cast,
    lock_step,
    sampled_turns,
)
from benchmarks.simulation_run import LAYOUTS, comparison_config, layout_config, simulation_config
from benchmarks.simulation_tokens import (
    Asked,
    Counters,
    Step,
    fewest_prompt_tokens,
    figures,
    recompute,
    slots_filled,
    steady_rate,
)
from sim.config import Config
from sim.grid import experiment_specs


def asked(prompt: str, written: str = "", *, dialogue: str = "a", begun: float = 0.0, cached: int = 0) -> Asked:
    """A request whose tokens are letters; one that writes nothing is a scoring request."""
    read, said = tuple(map(ord, prompt)), tuple(map(ord, written))
    return Asked(dialogue, not written, read, said or (0,), cached, False, begun, begun + 1.0)


@given(st.integers(100, 800), st.integers(12, 64), st.integers(0, 5))
def test_heavy_tailed_lengths_have_the_stated_mean_and_maximum(count: int, mean: int, seed: int) -> None:
    lengths = heavy_tailed(count, mean=mean, longest=8 * mean, seed=seed)
    assert len(lengths) == count and sum(lengths) == count * mean
    assert max(lengths) == 8 * mean and min(lengths) >= 1
    assert lengths == heavy_tailed(count, mean=mean, longest=8 * mean, seed=seed)
    assert median(lengths) < mean  # most are short, a few are very long


def test_lengths_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(InputError, match="take more dialogues"):
        heavy_tailed(6, mean=24, longest=192, seed=0)


def test_every_sampled_turn_gets_a_length() -> None:
    specs = experiment_specs(scripted_config())[:3]
    imposed = impose(specs, range(1, 1 + sampled_turns(3, 2)), 2)
    assert sorted(imposed.values()) == list(range(1, 10))
    own = [key[1:] for key in imposed if key[0] == specs[0].id]
    assert sorted(own) == [("student", 1), ("tutor", 0), ("tutor", 1)]


def test_the_fewest_prompt_tokens_on_an_example_counted_by_hand() -> None:
    turns = [asked("SYSab", "cd"), asked("SYSabcdef", "gh"), asked("TUTcd", "ef")]
    # SYSab is 5. Then c is known from the first answer, whose last token was not computed: d, e and f, 3. Then 5.
    assert fewest_prompt_tokens(turns) == 5 + 3 + 5
    assert fewest_prompt_tokens(turns, replies_kept=False) == 5 + 4 + 5
    # In blocks of 2 the second prompt finds SY, Sa and bc (filled up by the answer); in blocks of 4 only SYSa.
    assert fewest_prompt_tokens(turns, block=2) == 5 + 3 + 5
    assert fewest_prompt_tokens(turns, block=4) == 5 + 5 + 5
    probes = [asked("SYSabWHYno"), asked("SYSabWHYyes"), asked("SYSabWHYno")]
    # The context once, each option's own tokens, and one token of a prompt that is all there: its logits are needed.
    assert fewest_prompt_tokens(probes) == 10 + 3 + 1


def test_dialogues_share_what_they_have_in_common_only_where_that_is_counted() -> None:
    two = [asked("SYSab", "cd", dialogue="a"), asked("SYSxy", "cd", dialogue="b")]
    assert fewest_prompt_tokens(two) == 10
    assert fewest_prompt_tokens(two, shared=True) == 5 + 2


@given(
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=12), st.text("ab", max_size=4)), min_size=1, max_size=8),
    st.integers(2, 5),
)
def test_stricter_ways_to_count_are_in_order(parts: list[tuple[str, str]], block: int) -> None:
    requests = [asked(prompt, written) for prompt, written in parts]
    kept, all_once = fewest_prompt_tokens(requests), fewest_prompt_tokens(requests, replies_kept=False)
    assert len(requests) <= kept <= all_once <= sum(len(prompt) for prompt, _ in parts)
    assert fewest_prompt_tokens(requests, block=block) >= kept
    assert fewest_prompt_tokens(requests, shared=True) <= kept


def test_the_floor_rises_with_the_block_and_is_told_as_the_figure_is() -> None:
    requests = [asked("S" * 25 + "ab", "cd", begun=0.0), asked("S" * 25 + "abcdWHY", "no", begun=1.0)]
    found = recompute(requests, 60, 32)
    floors, once = found["floor_by_block"], fewest_prompt_tokens(requests, replies_kept=False)
    assert floors == {size: fewest_prompt_tokens(requests, block=size) / once for size in (1, 8, 16, 32)}
    assert floors[1] < floors[8] < floors[16] < floors[32] and found["ratio"]["each_token_once_per_view"] == 60 / once


def test_the_steady_rate_leaves_both_ramps_out() -> None:
    ramp = [Step(0.0, 1, 1), Step(10.0, 1, 1)]
    steady = [Step(10.0 + second, 10, 4) for second in range(1, 9)]
    steps = [*ramp, *steady, Step(30.0, 1, 1)]
    assert steady_rate(steps) == pytest.approx(10.0)
    assert steady_rate([Step(1.0, 10, 2)]) is None and steady_rate([]) is None


def test_slots_filled_is_a_mean_over_time() -> None:
    assert slots_filled([Step(0.0, 1, 8), Step(1.0, 1, 8), Step(4.0, 1, 4)], 8) == pytest.approx((8 + 3 * 4) / (4 * 8))
    assert slots_filled([Step(0.0, 1, 8)], 8) is None


def test_figures_of_a_leg_count_replies_and_not_the_token_of_a_scoring_request() -> None:
    requests = [asked("SYSab", "cd"), asked("SYSabWHYno", begun=3.0, cached=5)]
    found = figures(requests, [], Counters(prompt=15, computed=10, queries=15, hits=5), 8)
    assert (found["seconds"], found["completion_tokens"], found["prompt_tokens"]) == (4.0, 2, 15)
    assert found["completion_tokens_per_second"] == 0.5 and found["tokens_per_second"] == 17 / 4
    assert found["prompt_tokens_computed"] == found["prompt_tokens_computed_by_request"] == 10
    assert found["prefix_hit_share"] == pytest.approx(1 / 3) and found["steady_tokens_per_second"] is None
    with pytest.raises(ValueError, match="no request"):
        figures([], [], Counters(), 8)


def scripted_config(**probes: bool) -> Config:
    """The comparison's config with two turns."""
    settings = comparison_config(options(["--compare-turns", "2", "--compare-in-flight", "4"]))
    return Config.model_validate(settings | {"probes": {**settings["probes"], **probes}})


class LengthEngine(ScriptedEngine):
    """Scripted replies that take and use as many tokens as were asked for; notes when what began and ended."""

    def __init__(self, seconds_per_token: float = 0.0, short_by: int = 0) -> None:
        super().__init__(("What do you see there?", "Tell me why that is."))
        self._seconds, self._short = seconds_per_token, short_by
        self.noted: list[tuple[str, str]] = []

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        kind = f"{sum(message['role'] == 'assistant' for message in messages)} spoken"
        self.noted.append(("begin", kind))
        await asyncio.sleep(sampling.max_tokens * self._seconds)
        found = await super().generate(messages, sampling, dialogue_id=dialogue_id)
        self.noted.append(("end", kind))
        usage = Usage(found[0].usage.prompt_tokens, sampling.max_tokens - self._short)
        return [replace(found[0], usage=usage)]

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        self.noted.append(("begin", "probe"))
        return await super().score(messages, continuations, dialogue_id=dialogue_id)


def dealt(config: Config, dialogues: int, tokens: int = 0) -> tuple[list[EpisodeSpec], dict[tuple[str, str, int], int]]:
    """Dialogues and lengths: all the same, or 1, 2, 3, ..."""
    specs, count = experiment_specs(config)[:dialogues], sampled_turns(dialogues, config.dialogue.turns)
    return specs, impose(specs, [tokens] * count if tokens else range(1, 1 + count), config.dialogue.turns)


async def work_of_both(question: bool, transfer: bool, turn: bool, cohort: int) -> tuple[Work, Work]:
    config = scripted_config(question=question, transfer=transfer, turn=turn)
    specs, lengths = dealt(config, 6)
    stepped, free = Work(), Work()
    await lock_step(config, imposed_cast(LengthEngine(), lengths, stepped, 7), specs, cohort)
    await free_running(config, imposed_cast(LengthEngine(), lengths, free, 7), specs)
    return stepped, free


@pytest.mark.parametrize("question, transfer, turn", [(1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 1), (0, 1, 0)])
@pytest.mark.parametrize("cohort", [6, 4])
def test_lock_step_and_free_running_do_the_same_work(question: int, transfer: int, turn: int, cohort: int) -> None:
    stepped, free = asyncio.run(work_of_both(bool(question), bool(transfer), bool(turn), cohort))
    assert stepped.asked() == free.asked() and stepped.prompt_tokens == free.prompt_tokens
    assert len(stepped.replies) == 6 * (2 + 1 + 1)  # two tutor turns, one of the student, one judge
    assert stepped.completion_tokens == sum(range(1, 19)) + 6 * 7
    assert len(stepped.scored) == 6 * 4 * (question + 2 * turn + (question and not turn) + 2 * transfer)


def test_lock_step_has_a_barrier_after_each_role() -> None:
    config, engine = scripted_config(), LengthEngine(seconds_per_token=0.0005)
    specs, lengths = dealt(config, 4)
    asyncio.run(lock_step(config, imposed_cast(engine, lengths, Work(), 7), specs, 4))
    phases = [kind for what, kind in engine.noted if what == "begin"]
    # Before; tutors; students; probes; tutors; probes; judges, whose requests hold nothing that was spoken by them.
    named = ["probe", "0 spoken", "1 spoken", "probe", "1 spoken", "probe", "0 spoken"]
    assert phases == [name for name in named for _ in specs]
    open_requests, last = 0, ""
    for what, kind in engine.noted:
        if what == "begin" and kind != last:
            assert open_requests == 0, f"{kind} began while {last} was under way"
            last = kind
        open_requests += {"begin": kind != "probe", "end": -1}[what]


def test_free_running_dialogues_overlap_where_lengths_differ() -> None:
    config, engine = scripted_config(), LengthEngine(seconds_per_token=0.004)
    specs, lengths = dealt(config, 4)
    asyncio.run(free_running(config, imposed_cast(engine, lengths, Work(), 7), specs))
    first_end = engine.noted.index(("end", "0 spoken"))
    assert ("begin", "1 spoken") in engine.noted[first_end:]
    ends = [place for place, note in enumerate(engine.noted) if note == ("end", "0 spoken")]
    # A dialogue with a short first reply is at its student's turn before the longest first reply is there.
    assert engine.noted.index(("begin", "1 spoken")) < ends[3]


def compared(engine: ScriptedEngine, *, tokens: int, repeats: int) -> dict[str, Any]:
    config, order = scripted_config(), []
    specs, lengths = dealt(config, 4, tokens)

    async def fresh() -> None:
        order.append("fresh")

    async def watched() -> dict[str, Any]:
        return {"watched": len(order)}

    async def tell(text: str) -> None:
        assert "4 dialogues in" in text

    settings = {"cohort": 4, "judge_tokens": 7, "repeats": repeats}
    done = compare(engine, config, specs, lengths, fresh=fresh, watched=watched, tell=tell, **settings)
    return asyncio.run(done)


def test_a_comparison_alternates_and_keeps_every_leg() -> None:
    found = compared(LengthEngine(), tokens=5, repeats=2)
    assert [leg["watched"] for leg in found["free"]] == [1, 4] and found["cohort"] == 4
    assert [leg["watched"] for leg in found["lock_step"]] == [2, 3]
    seconds = {name: median(leg["seconds"] for leg in found[name]) for name in ("free", "lock_step")}
    assert found["ratio"] == pytest.approx(seconds["lock_step"] / seconds["free"])


def test_a_comparison_of_unequal_work_is_refused() -> None:
    class Drifting(LengthEngine):
        async def generate(
            self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
        ) -> list[Completion]:
            self._short = int(self.requests > 12)
            return await super().generate(messages, sampling, dialogue_id=dialogue_id)

    with pytest.raises(EngineError, match="other work"):
        compared(Drifting(), tokens=5, repeats=1)


def test_the_desk_hands_orders_to_hosts_and_answers_back() -> None:
    async def scene() -> tuple[list[Any], str]:
        desk = Desk()
        await desk.clear()
        seats = [await desk.enrol(), await desk.enrol()]
        asking = asyncio.create_task(desk.ask(1, "double", 21))
        order, (given,) = await desk.next(1)
        await desk.answer(1, (order, 2 * given), "")
        failing = asyncio.create_task(desk.ask(0, "double", 1))
        await desk.next(0)
        await desk.answer(0, None, "double: it broke")
        with pytest.raises(EngineError) as error:
            await failing
        await desk.tell("half way")
        assert await desk.news() == ["half way"] and await desk.news() == []
        return [*seats, await asking, await desk.hosts()], str(error.value)

    found, error = asyncio.run(scene())
    assert found == [0, 1, ("double", 42), 2] and error == "double: it broke"


def test_a_cleared_watch_keeps_its_mode() -> None:
    watch = Watch(asked=[asked("ab", "c")], ignore_end=True)
    watch.clear()
    assert not watch.asked and not watch.steps and watch.ignore_end


@pytest.mark.slow
def test_the_watch_reads_vllms_own_statistics() -> None:
    from vllm.v1.metrics.stats import IterationStats, PrefillStats, PrefixCacheStats, SchedulerStats

    watch, prefill = Watch(), PrefillStats()
    step: Any = IterationStats()  # type: ignore[no-untyped-call]
    prefill.set(num_prompt_tokens=70, num_local_cached_tokens=32, num_external_cached_tokens=0)
    step.prompt_token_stats.update_from_output(prefill)
    step.num_generation_tokens, step.num_preempted_reqs = 5, 1
    looked = SchedulerStats(num_running_reqs=3, prefix_cache_stats=PrefixCacheStats(queries=70, hits=32))
    logger = counters_of(watch)(None, 0)
    logger.record(scheduler_stats=looked, iteration_stats=step, mm_cache_stats=None, engine_idx=0)
    logger.record(scheduler_stats=looked, iteration_stats=None)
    assert watch.counted == Counters(prompt=70, computed=38, queries=140, hits=64, preemptions=1)
    assert [(one.written, one.running) for one in watch.steps] == [(5, 3)]


def test_figures_are_none_where_nothing_was_measured() -> None:
    found = summarise({})
    assert found.pop("engine_efficiency_by_repeat") == [] and set(found.values()) == {None}


def test_the_bound_is_the_faster_order_of_the_replay() -> None:
    def leg(seconds: float, rate: float) -> dict[str, Any]:
        ratio = {"each_token_once_per_view": 1.05, "own_replies_free": 1.4}
        return {"seconds": seconds, "steady_tokens_per_second": rate, "recompute": {"ratio": ratio}}

    run = {"simulation": leg(10.0, 95.0), "replays": [leg(9.0, 100.0), leg(8.0, 90.0)]}
    layouts = {"two_replicas": {"one_engine": [50.0, 40.0], "two_replicas": [60.0]}}
    found = summarise({"efficiency": [run], "lockstep": {"equal": {"ratio": 1.01}}, "layouts": layouts})
    assert found["layout_ratio"] == {"two_replicas": [1.2]} and summarise({})["layout_ratio"] is None
    assert found["engine_efficiency"] == 0.8 and found["engine_efficiency_steady"] == 0.95
    assert found["prompt_recompute_ratio"] == 1.05 and found["lockstep_ratio"] == {"equal": 1.01}


def test_configs_hold_enough_dialogues_and_the_layout_asked_for() -> None:
    settings = options(["--dialogues", "250", "--compare-dialogues", "130"])
    one = Config.model_validate(simulation_config(settings))
    assert len(experiment_specs(one)) >= 250 and one.pools["tutor"].shares == "class"
    for name in LAYOUTS:
        apart = Config.model_validate(layout_config(settings, name, "one_engine"))
        whole = Config.model_validate(layout_config(settings, "one_engine", name))
        assert set(apart.pools) == set(whole.pools) and whole.pool_of("tutor") == whole.pool_of("student") == "whole"
        halves = [pool for pool in apart.pools.values() if pool.roles]
        assert {role for pool in halves for role in pool.roles} == {"tutor", "student", "judge"}
        assert sum(pool.replicas * pool.max_num_seqs for pool in halves) == whole.pools["whole"].max_num_seqs == 32
        assert sum(pool.replicas * pool.kv_cache_gib for pool in halves) == whole.pools["whole"].kv_cache_gib
    assert len(experiment_specs(Config.model_validate(comparison_config(settings)))) >= 130
    with pytest.raises(SystemExit):
        options(["--parts", "speed"])
