"""The planner: requests as episodes make them, ranges that hold what a run then takes, and what is unknown said so."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import yaml
from builders import REPLIES, config
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.scripted import ScriptedEngine
from agents.errors import InputError
from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec, Failure, Probe, Turn, TurnRules, Usage
from sim.classroom import cast_of, teach
from sim.config import Config, PoolConfig
from sim.episode import Episode
from sim.grid import experiment_specs
from sim.meters import Meter
from sim.plan.effort import Efforts
from sim.plan.planner import choose_probe, plan, plan_command, read_effects, show_plan
from sim.plan.rates import Range, Spread, newest_run, read_pilot
from sim.storage.store import RunStore

CONTROLS = ("", "silent", "irrelevant", "answer_dump", "no_tutor")
VOTE = '{"reason": "it asks", "verdict": "OK"}'
HOSTED = PoolConfig(roles=("tutor",), engine="openai", base_url="https://tutor.example/v1", model="m")


class Counting(ScriptedEngine):
    """A scripted engine that counts what it is asked."""

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__(replies)
        self.generated = self.scored = 0

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        self.generated += 1
        return await super().generate(messages, sampling, dialogue_id=dialogue_id)

    async def score(
        self, messages: Sequence[Message], continuations: Sequence[str], *, dialogue_id: str = ""
    ) -> list[Score]:
        self.scored += 1
        return await super().score(messages, continuations, dialogue_id=dialogue_id)


@cache
def small_pack() -> str:
    """The first twelve items of a shipped pack as a file: reading a whole pack takes longer than most tests here."""
    raw = yaml.safe_load(files("agents").joinpath("data/packs/earth_science.yaml").read_text(encoding="utf-8"))
    path = Path(mkdtemp()) / "small.yaml"
    path.write_text(yaml.safe_dump({**raw, "items": raw["items"][:12]}), encoding="utf-8")
    return str(path)


def engines() -> dict[str, Counting]:
    student = ("I think it is because of the sun.", "Hm, maybe not.")
    return {"tutor": Counting(REPLIES), "student": Counting(student), "judge": Counting((VOTE,))}


def experiment(**changes: Any) -> Config:
    """A scripted experiment of two tutors on four items."""
    pools = {
        "class": PoolConfig(roles=("student", "judge"), engine="scripted"),
        "tutor": PoolConfig(roles=("tutor",), engine="scripted", script=REPLIES),
    }
    tutors = [{"name": "socratic", "strategy": "socratic"}, {"name": "direct", "strategy": "direct"}]
    given = {"name": "trial", "pools": pools, "tutors": tutors, "items": {"pack": small_pack(), "limit": 4}, **changes}
    return config(**given)


def held(given: Config, specs: Sequence[EpisodeSpec]) -> list[Dialogue]:
    """The dialogues of these episodes, really held on scripted engines."""

    async def hold() -> list[Dialogue]:
        cast = cast_of(given, engines(), Meter())
        return [one async for one in teach(given, cast, specs, candidates=given.dialogue.candidates)]

    return asyncio.run(hold())


def stored(folder: Path, given: Config, dialogues: Sequence[Dialogue], *, seconds: float | None = 60.0) -> RunStore:
    """A run folder of these dialogues; `seconds` is the run's wall time, None: it was stopped."""
    store = RunStore(folder)
    store.open(given.model_dump(mode="json"), {"started": "2026-01-01T00:00:00+00:00", "machine": {"cpu": "a CPU"}})
    if dialogues:
        store.append(dialogues)
    if seconds is not None:
        store.finish_step("run", {"seconds": seconds})
        store.finish_step("engine-class", {"seconds": 30.0})
    return store


def made_up(spec: EpisodeSpec, *, gain: float = 0.1, tokens: int = 1000, seconds: float = 10.0) -> Dialogue:
    """A finished dialogue with given figures, as if it had been held."""
    rules = TurnRules(question=True, leak=0.0, on_item=1.0, repetition=0.0, words=5, grade=3.0)
    turns = (Turn(0, "student", "Why?"), Turn(1, "tutor", "Look at it.", rules=rules))
    probes = (Probe("before", 0, (0.5, 0.5), 0), Probe("after", 1, (0.5 + gain, 0.5 - gain), 0))
    usage = Usage(tokens, tokens // 10, 0.0, 10, seconds)
    return Dialogue(spec=spec, turns=turns, probes=probes, usage=usage, seconds=seconds)


def varied(given: Config, *, sd: float, seed: int = 0, shift: float = 0.0) -> list[Dialogue]:
    """Dialogues whose gains vary by item and by dialogue; all tutors but the first gain `shift` more."""
    rng = np.random.default_rng(seed)
    by_item: dict[tuple[str, str], float] = {}
    found = []
    for number, spec in enumerate(experiment_specs(given)):
        item = by_item.setdefault((spec.item_id, spec.tutor), float(rng.normal(0.0, sd / 2.0)))
        gain = item + float(rng.normal(0.0, sd / 2.0)) + shift * (spec.tutor != given.tutor_arms()[0].name)
        tokens = 1000 + int(rng.integers(-200, 200))
        found.append(made_up(spec, gain=gain, tokens=tokens, seconds=8.0 + number % 5))
    return found


@settings(max_examples=60, deadline=None)
@given(
    turns=st.integers(1, 4),
    candidates=st.integers(1, 3),
    lookahead=st.integers(0, 2),
    probes=st.fixed_dictionaries(
        {
            "question": st.booleans(),
            "transfer": st.booleans(),
            "turn": st.booleans(),
            "candidate": st.sampled_from(["pair", "all", "none"]),
        }
    ),
    persona=st.sampled_from(["engaged", "begging", "terse"]),
    control=st.sampled_from(CONTROLS),
    stress=st.sampled_from(["", "off_topic", "silence", "distress"]),
    intensity=st.sampled_from([0.3, 0.7, 1.0]),
    judged=st.booleans(),
    which=st.integers(0, 11),
)
def test_the_formula_counts_the_requests_that_an_episode_makes(
    turns: int,
    candidates: int,
    lookahead: int,
    probes: dict[str, Any],
    persona: str,
    control: str,
    stress: str,
    intensity: float,
    judged: bool,
    which: int,
) -> None:
    given_config = experiment(
        tutors=[{"name": "x", "control": control}],
        dialogue={"turns": turns, "candidates": candidates, "lookahead": lookahead},
        probes=probes,
        students={"personas": [persona]},
        items={"pack": small_pack(), "limit": 12},
        stressors=[{"name": stress, "intensities": [intensity]}] if stress else [],
        rubric={"name": "pedagogical_rl", "votes": 2} if judged else None,
    )
    spec = experiment_specs(given_config)[which]
    asked = engines()
    item = load_pack(spec.pack).item(spec.item_id)
    cast = cast_of(given_config, asked, Meter())
    dialogue = asyncio.run(Episode(spec, item, cast, given_config, candidates=candidates).run())
    assert dialogue.failure is None
    effort = Efforts(given_config).of(spec)
    assert (effort.tutor.generate, effort.tutor.score) == (asked["tutor"].generated, asked["tutor"].scored)
    assert (effort.student.generate, effort.student.score) == (asked["student"].generated, asked["student"].scored)
    assert (effort.judge.generate, effort.judge.score) == (asked["judge"].generated, asked["judge"].scored)
    assert effort.total.requests == dialogue.usage.requests
    assert dialogue.usage.prompt_tokens <= effort.total.prompt_tokens
    assert dialogue.usage.completion_tokens <= effort.total.completion_tokens


def test_the_formula_in_figures() -> None:
    given_config = experiment(dialogue={"turns": 3}, probes={"turn": True}, rubric={"name": "pedagogical_rl"})
    effort = Efforts(given_config).of(experiment_specs(given_config)[0])
    assert (effort.tutor.generate, effort.student.generate) == (3, 2)
    assert effort.student.score == 1 + 2 + 3  # before, both transfers, every turn; the last turn's is the one after
    assert effort.judge.generate == 2  # criteria of the rubric
    assert effort.tutor.completion_tokens == 3 * given_config.tutor.max_tokens


def test_a_server_reads_the_conversation_for_every_option() -> None:
    here = experiment()
    pools = dict(here.pools) | {"class": HOSTED.model_copy(update={"roles": ("student", "judge")})}
    there = experiment(pools=pools)
    spec = experiment_specs(here)[0]
    local, hosted = Efforts(here).of(spec).student, Efforts(there).of(spec).student
    assert local.requests == hosted.requests
    assert hosted.prompt_tokens > 2 * local.prompt_tokens


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30), st.integers(0, 500))
def test_a_total_lies_within_its_ends(values: list[float], dialogues: int) -> None:
    found = Spread.of(values).total(dialogues)
    assert found.mean == pytest.approx(dialogues * sum(values) / len(values), abs=1e-6)
    if len(values) == 1 and dialogues:
        assert (found.low, found.high) == (None, None)
    else:
        assert found.mean is not None and found.low is not None and found.high is not None
        assert 0.0 <= found.low <= found.mean + 1e-6 and found.mean <= found.high + 1e-6


def test_the_range_of_a_total_holds_nine_in_ten_of_the_sums_to_come() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(2000):
        found = Spread.of(list(rng.normal(100.0, 20.0, size=8))).total(40)
        assert found.low is not None and found.high is not None
        inside += found.low <= float(rng.normal(100.0, 20.0, size=40).sum()) <= found.high
    assert inside / 2000 == pytest.approx(0.9, abs=0.02)


def test_a_plan_from_a_probe_holds_what_the_run_then_takes(tmp_path: Path) -> None:
    given_config = experiment(
        items={"pack": small_pack(), "limit": 10}, dialogue={"turns": 3}, students={"personas": ["engaged", "begging"]}
    )
    specs = experiment_specs(given_config)
    probe = choose_probe(specs, 8)
    store = stored(tmp_path / "trial", given_config, held(given_config, probe))
    made = plan(given_config, pilot=store, store=store)
    rest = held(given_config, [spec for spec in specs if spec not in probe])
    assert (made.total.dialogues, made.left.dialogues) == (len(specs), len(rest))
    assert made.left.generate + made.left.score == sum(dialogue.usage.requests for dialogue in rest)
    taken = sum(dialogue.usage.prompt_tokens for dialogue in rest)
    assert made.left.prompt_tokens.low is not None and made.left.prompt_tokens.high is not None
    assert made.left.prompt_tokens.low <= taken <= made.left.prompt_tokens.high


def test_a_pilot_of_the_same_dialogues_gives_back_its_own_figures(tmp_path: Path) -> None:
    given_config = experiment()
    dialogues = varied(given_config, sd=0.1)
    made = plan(given_config, pilot=stored(tmp_path / "trial", given_config, dialogues))
    assert made.total.prompt_tokens.mean == pytest.approx(sum(d.usage.prompt_tokens for d in dialogues))
    assert made.total.cost == Range(0.0, 0.0, 0.0)
    assert made.notes == ()


def test_tokens_of_a_pilot_of_another_shape_are_scaled_and_it_is_said(tmp_path: Path) -> None:
    short = experiment(dialogue={"turns": 1})
    store = stored(tmp_path / "trial", short, held(short, experiment_specs(short)))
    long = experiment(dialogue={"turns": 4})
    made = plan(long, pilot=store)
    taken = sum(dialogue.usage.prompt_tokens for dialogue in held(long, experiment_specs(long)))
    assert made.total.prompt_tokens.mean == pytest.approx(taken, rel=0.15)
    assert made.left.generate == sum(Efforts(long).of(spec).total.generate for spec in experiment_specs(long))
    assert any("dialogue.turns 1 there, 4 here" in note for note in made.notes)


def test_a_tutor_that_the_pilot_lacks_is_planned_by_its_kind_and_it_is_said(tmp_path: Path) -> None:
    before = experiment(tutors=[{"name": "socratic", "strategy": "socratic"}, {"name": "mute", "control": "silent"}])
    store = stored(tmp_path / "trial", before, held(before, experiment_specs(before)))
    tutors = [{"name": "direct", "strategy": "direct"}, {"name": "chat", "control": "irrelevant"}]
    made = plan(experiment(tutors=tutors), pilot=store)
    assert [one.source for one in made.tutors] == ["its strategy tutors", "its control tutors"]
    assert any("not in the pilot: direct; figures are those of its strategy tutors" in note for note in made.notes)


def test_without_a_pilot_tokens_are_bounds_and_minutes_unknown() -> None:
    made = plan(experiment())
    assert made.total.prompt_tokens.mean is None and made.total.prompt_tokens.high is not None
    assert made.minutes == Range()
    assert "--probe N" in made.pilot
    assert all(one.source == "bound" for one in made.tutors)
    assert all(one.detectable is None and one.items_needed is None and one.note for one in made.metrics)


def test_minutes_come_from_the_pace_and_the_engine_start(tmp_path: Path) -> None:
    given_config = experiment(run={"in_flight": 2})
    dialogues = [made_up(spec, seconds=10.0) for spec in experiment_specs(given_config)]
    store = stored(tmp_path / "pilot", given_config, dialogues, seconds=len(dialogues) * 5.0)
    made = plan(given_config, pilot=store)
    assert made.minutes.mean == pytest.approx(len(dialogues) * 5.0 / 60.0)
    assert made.start_minutes == 0.5
    faster = plan(experiment(run={"in_flight": 8}), pilot=store).minutes
    assert faster.low == pytest.approx(len(dialogues) * 5.0 / 60.0 / 4.0)
    assert faster.high == pytest.approx(made.minutes.high)


def test_a_pilot_that_was_stopped_gives_a_lower_end_of_the_minutes_only(tmp_path: Path) -> None:
    given_config = experiment(run={"in_flight": 4})
    dialogues = [made_up(spec, seconds=10.0) for spec in experiment_specs(given_config)]
    made = plan(given_config, pilot=stored(tmp_path / "pilot", given_config, dialogues, seconds=None))
    assert made.minutes.mean is None and made.minutes.high is None
    assert made.minutes.low == pytest.approx(len(dialogues) * 10.0 / 4.0 / 60.0)
    assert any("at least" in note for note in made.notes)


def test_a_replayed_pilot_says_nothing_of_minutes(tmp_path: Path) -> None:
    replayed = experiment(run={"replay": "tape"})
    store = stored(tmp_path / "pilot", replayed, varied(replayed, sd=0.1))
    made = plan(experiment(), pilot=store)
    assert made.minutes == Range() and any("replayed" in note for note in made.notes)


def test_failed_dialogues_of_a_pilot_are_left_out_and_told(tmp_path: Path) -> None:
    given_config = experiment()
    dialogues = varied(given_config, sd=0.1)
    failure = Failure("EngineUnavailable", "turn 1", "no answer")
    broken = [replace(dialogues[0], usage=Usage(), failure=failure), *dialogues[1:]]
    store = stored(tmp_path / "trial", given_config, broken)
    assert read_pilot(store).all.n == len(dialogues) - 1
    made = plan(given_config, pilot=store)
    assert any("1 of the pilot's" in note for note in made.notes)
    assert made.tutors[0].total.prompt_tokens.mean == pytest.approx(
        np.mean([d.usage.prompt_tokens for d in broken if d.spec.tutor == "socratic" and not d.failure]) * 8, rel=0.05
    )


def hosted(price: tuple[float, float], **changes: Any) -> Config:
    """An experiment whose second tutor is an endpoint elsewhere."""
    given = experiment()
    pools = dict(given.pools) | {"hosted": HOSTED.model_copy(update={"price_per_million": price, "roles": ()})}
    tutors = [{"name": "own", "strategy": "socratic"}, {"name": "bought", "strategy": "socratic", "pool": "hosted"}]
    return experiment(pools=pools, tutors=tutors, **changes)


def test_a_cost_that_nobody_knows_is_never_zero() -> None:
    made = plan(hosted((0.0, 0.0)))
    assert [one.total.cost for one in made.tutors] == [Range(0.0, 0.0, 0.0), Range()]
    assert made.total.cost == Range() and not made.total.cost.known
    assert "no price for pool hosted: set price_per_million" in made.warnings
    with pytest.raises(InputError, match="no price for pool hosted"):
        plan(hosted((0.0, 0.0), budget={"cost": 1.0}))


def test_a_cost_is_bounded_by_the_prices_of_each_role() -> None:
    made = plan(hosted((1.0, 10.0)))
    bought = made.tutors[1].total
    specs = [spec for spec in experiment_specs(hosted((1.0, 10.0))) if spec.tutor == "bought"]
    tutor = [Efforts(hosted((1.0, 10.0))).of(spec).tutor for spec in specs]
    expected = sum(load.prompt_tokens + 10 * load.completion_tokens for load in tutor) / 1e6
    assert (bought.cost.mean, bought.cost.low) == (None, None) and bought.cost.high == pytest.approx(expected)
    assert made.tutors[0].total.cost == Range(0.0, 0.0, 0.0)


def test_a_cost_follows_the_pilot_and_other_prices_are_told(tmp_path: Path) -> None:
    given_config = hosted((1.0, 10.0))
    dialogues = [
        replace(made_up(spec), usage=Usage(1000, 100, 0.002 if spec.tutor == "bought" else 0.0, 10))
        for spec in experiment_specs(given_config)
    ]
    store = stored(tmp_path / "trial", given_config, dialogues)
    made = plan(given_config, pilot=store)
    assert made.total.cost.mean == pytest.approx(0.002 * made.tutors[1].total.dialogues)
    dearer = plan(hosted((2.0, 20.0)), pilot=store)
    assert dearer.total.cost.mean is not None and dearer.total.cost.mean > 0.0
    assert any("other prices" in note for note in dearer.notes)


def test_what_is_stored_is_not_planned_again(tmp_path: Path) -> None:
    given_config = experiment()
    dialogues = varied(given_config, sd=0.1)
    half = stored(tmp_path / "trial", given_config, dialogues[:6])
    made = plan(given_config, store=half)
    assert (made.total.dialogues, made.left.dialogues) == (16, 10)
    assert sum(one.left for one in made.tutors) == 10
    other = plan(experiment(seed=5), store=half)
    assert other.left.dialogues == 16
    assert any("another config (different: seed)" in warning for warning in other.warnings)


def test_a_budget_says_what_it_cuts(tmp_path: Path) -> None:
    budget = {"dialogues": 10, "tokens": 5700, "minutes": 0.1}
    given_config = experiment(budget=budget)
    dialogues = [made_up(spec) for spec in experiment_specs(given_config)]
    store = stored(tmp_path / "trial", given_config, dialogues[:2])
    made = plan(given_config, pilot=stored(tmp_path / "pilot", given_config, dialogues), store=store)
    cuts = {cut.cap: cut for cut in made.cuts}
    assert cuts["dialogues"].fit == Range(8, 8, 8)
    assert cuts["tokens"].fit.mean == 3  # 2200 of 5700 are spent, a dialogue takes 1100
    assert cuts["minutes"].fit.high is not None and cuts["minutes"].fit.high < 14
    assert plan(experiment(budget={"dialogues": 16, "tokens": 10**9})).cuts == ()


def test_a_cap_on_unknown_minutes_says_so() -> None:
    (cut,) = plan(experiment(budget={"minutes": 5.0})).cuts
    assert "unknown" in cut.says and cut.fit == Range()


def test_a_bound_on_tokens_says_how_many_dialogues_surely_fit() -> None:
    made = plan(experiment(budget={"tokens": 10_000}))
    assert made.cuts[0].fit.low is not None and "at least" in made.cuts[0].says
    load = [Efforts(experiment()).of(spec).total.tokens for spec in experiment_specs(experiment())]
    assert made.cuts[0].fit.low * sum(load) / len(load) <= 10_000


def test_the_design_is_judged_by_the_variance_of_the_pilot(tmp_path: Path) -> None:
    given_config = experiment(
        items={"pack": small_pack(), "limit": 12}, students={"personas": ["engaged", "limited", "disengaged"]}
    )
    calm = plan(given_config, pilot=stored(tmp_path / "a", given_config, varied(given_config, sd=0.05)))
    wild = plan(given_config, pilot=stored(tmp_path / "b", given_config, varied(given_config, sd=0.2)))
    small, large = (next(one for one in made.metrics if one.metric == "net_gain") for made in (calm, wild))
    assert small.n == large.n == 36 and small.items == 12 and small.tutor == "direct"
    assert small.detectable is not None and large.detectable is not None and small.detectable < large.detectable
    assert small.items_needed is not None and large.items_needed is not None
    assert small.items_needed < large.items_needed
    assert calm.comparisons == 3 and calm.alpha == pytest.approx(0.05 / 3)
    # An effect above the smallest that is detected needs fewer items than there are, and one below needs more.
    for one in (small, large):
        assert one.detectable is not None and one.items_needed is not None
        assert (one.items_needed <= 12) == (0.05 >= one.detectable)


def test_a_pack_that_is_too_small_is_told(tmp_path: Path) -> None:
    given_config = experiment(items={"pack": small_pack(), "limit": 10})
    store = stored(tmp_path / "trial", given_config, varied(given_config, sd=0.2))
    made = plan(given_config, pilot=store, effect={"net_gain": 0.05})
    needed = next(one for one in made.metrics if one.metric == "net_gain")
    assert needed.effect == 0.05 and needed.items_needed is not None and needed.items_needed > made.pack_items
    assert any("net_gain" in text and f"small.yaml has {made.pack_items}" in text for text in made.warnings)


def test_a_measure_that_does_not_vary_or_was_not_taken_has_no_figures(tmp_path: Path) -> None:
    family = {"metrics": ["leak_rate", "transfer_gain", "rubric:tone/warm"]}
    given_config = experiment(experiment=family)
    made = plan(given_config, pilot=stored(tmp_path / "trial", given_config, varied(given_config, sd=0.1)))
    assert all(one.detectable is None and one.items_needed is None and one.note for one in made.metrics)
    assert [one.n for one in made.metrics] == [8, 0, 0]


def test_a_control_does_not_stand_for_the_tutors(tmp_path: Path) -> None:
    tutors = [{"name": "a"}, {"name": "b"}, {"name": "dump", "control": "answer_dump"}]
    given_config = experiment(items={"pack": small_pack()}, tutors=tutors)
    rng = np.random.default_rng(0)
    spread = {"a": 0.0, "b": 0.05, "dump": 0.3}
    dialogues = [made_up(s, gain=spread[s.tutor] * float(rng.normal())) for s in experiment_specs(given_config)]
    made = plan(given_config, pilot=stored(tmp_path / "trial", given_config, dialogues))
    gains = next(one for one in made.metrics if one.metric == "net_gain")
    assert gains.tutor == "b" and gains.sd == pytest.approx(0.05, rel=0.5)


def test_a_single_tutor_has_nothing_to_compare(tmp_path: Path) -> None:
    alone = experiment(tutors=[{"name": "socratic"}])
    made = plan(alone, pilot=stored(tmp_path / "trial", alone, varied(alone, sd=0.1)))
    assert made.comparisons == 0
    assert all(one.detectable is None and "one tutor" in one.note for one in made.metrics)


SPECS = experiment_specs(
    experiment(
        items={"pack": small_pack(), "limit": 5, "repeats": 2},
        students={"personas": ["engaged", "limited"]},
        tutors=[{"name": name} for name in "abc"],
    )
)


@given(st.integers(1, 80))
def test_a_probe_is_balanced_and_takes_whole_cells(n: int) -> None:
    chosen = choose_probe(SPECS, n)
    assert len(chosen) == min(n, len(SPECS)) and len({spec.id for spec in chosen}) == len(chosen)
    assert chosen == [spec for spec in SPECS if spec in chosen]
    assert chosen == choose_probe(SPECS, n)
    assert {spec.id for spec in choose_probe(SPECS, max(1, n - 1))} <= {spec.id for spec in chosen}
    by_tutor = Counter(spec.tutor for spec in chosen)
    assert max(by_tutor.values()) - min(by_tutor[name] for name in "abc") <= 1
    cells = Counter(spec.cell for spec in chosen)
    assert sum(size < 3 for size in cells.values()) <= 1
    for trait in ("item_id", "persona"):
        used = Counter(getattr(spec, trait) for spec in SPECS if spec.cell in cells)
        every = {getattr(spec, trait) for spec in SPECS}
        assert max(used.values()) - min(used[one] for one in every) <= 3


def test_a_probe_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="probe of 0 dialogues"):
        choose_probe(SPECS, 0)


def test_only_an_experiment_is_planned_and_only_an_experiment_is_a_pilot(tmp_path: Path) -> None:
    loop = config(kind="loop", dialogue={"candidates": 2})
    with pytest.raises(InputError, match="only an experiment"):
        plan(loop)
    with pytest.raises(InputError, match="needs the run folder of an experiment"):
        plan(experiment(), pilot=stored(tmp_path / "loop", loop, []))
    with pytest.raises(InputError, match="none of its 0 dialogues finished"):
        plan(experiment(), pilot=stored(tmp_path / "empty", experiment(), []))
    with pytest.raises(InputError, match="not a run folder"):
        plan(experiment(), pilot=RunStore(tmp_path / "nowhere"))
    (tmp_path / "loop" / "config.yaml").write_text("name: old\nkind: run\ngraders: 3\n")
    with pytest.raises(InputError, match="another version"):
        plan(experiment(), pilot=RunStore(tmp_path / "loop"))


def test_the_newest_run_of_a_name_is_the_pilot(tmp_path: Path) -> None:
    given_config = experiment()
    dialogues = varied(given_config, sd=0.1)
    for age, name in ((300, "trial.abc123.old"), (200, "trial.def456.old"), (100, "other")):
        store = stored(tmp_path / name, given_config, dialogues)
        for part in store.parts():
            os.utime(part, (part.local.stat().st_mtime - age,) * 2)
    found, skipped = newest_run(tmp_path, "trial")
    assert found is not None and found.folder.name == "trial.def456.old" and skipped == ()
    stored(tmp_path / "trial", given_config, [replace(dialogues[0], failure=Failure("E", "turn 1", "m"))])
    found, _ = newest_run(tmp_path, "trial")
    assert found is not None and found.folder.name == "trial.def456.old"
    (tmp_path / "trial.def456.old" / "config.yaml").write_text("name: trial\nkind: run\ngraders: 3\n")
    found, skipped = newest_run(tmp_path, "trial")
    assert found is not None and found.folder.name == "trial.abc123.old" and "another version" in skipped[0]
    assert newest_run(tmp_path, "nobody") == (None, ())


@pytest.mark.parametrize("text", ["gain=0.1", "net_gain", "net_gain=", "net_gain=0", "net_gain=-1", "net_gain=nan"])
def test_an_effect_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--effect"):
        read_effects([text], experiment())


def test_effects_are_read_by_measure() -> None:
    assert read_effects(["net_gain=0.05", "leak_rate=0.1"], experiment()) == {"net_gain": 0.05, "leak_rate": 0.1}


def console() -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=160, highlight=False), out


def test_the_command_shows_the_plan_and_writes_it_as_json(tmp_path: Path) -> None:
    given_config = experiment(
        items={"pack": small_pack(), "limit": 12}, budget={"dialogues": 20}, students={"personas": ["engaged"]}
    )
    stored(tmp_path / "trial", given_config, varied(given_config, sd=0.1)[:12])
    where, out = console()
    path = tmp_path / "plan.json"
    plan_command(given_config, runs=tmp_path, from_run=None, effects=["net_gain=0.2"], json_path=path, console=where)
    text, read = out.getvalue(), json.loads(path.read_text())
    for words in (
        "Plan of trial: 24 dialogues",
        "pilot trial",
        "to run: 12 dialogues",
        "Bonferroni",
        "budget.dialogues",
    ):
        assert words in text
    assert read["left"]["dialogues"] == 12 and read["tutors"][0]["source"] == "pilot"
    assert next(one for one in read["metrics"] if one["metric"] == "net_gain")["effect"] == 0.2
    assert math.isclose(read["alpha"], 0.05 / 3)


def test_unknown_figures_are_dashes_and_hostile_names_stay_text() -> None:
    made = plan(hosted((0.0, 0.0)))
    where, out = console()
    show_plan(replace(made, name="[red]x[/]", warnings=("[bold]w[/]",)), where)
    text = out.getvalue()
    assert "[red]x[/]" in text and "[bold]w[/]" in text
    assert "cost: unknown of bought; 0 of the others" in text
    assert "minutes unknown" in text and "≤" in text


def test_in_a_log_tables_are_as_wide_as_they_need_to_be() -> None:
    out = StringIO()
    show_plan(plan(experiment()), Console(file=out, width=60, highlight=False))
    assert "question_share" in out.getvalue() and "dialogues │" in out.getvalue().replace("┃", "│")


def test_a_pilot_can_be_named(tmp_path: Path) -> None:
    given_config = experiment()
    stored(tmp_path / "elsewhere", given_config, varied(given_config, sd=0.1))
    where, out = console()
    made = plan_command(
        given_config, runs=tmp_path, from_run=tmp_path / "elsewhere", effects=[], json_path=None, console=where
    )
    assert "pilot elsewhere" in made.pilot and made.left.dialogues == 16
    with pytest.raises(InputError, match="not a run folder"):
        plan_command(given_config, runs=tmp_path, from_run=tmp_path / "no", effects=[], json_path=None, console=where)
