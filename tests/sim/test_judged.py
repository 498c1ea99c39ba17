"""Verdicts in rewards: what a judge says decides among candidates, and what it does not say decides nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from builders import REPLIES, config, dialogue, spec

from agents.engines.base import Completion, Message, Sampling
from agents.engines.scripted import ScriptedEngine
from agents.errors import EngineUnavailable, InputError
from agents.judges.base import Judge
from agents.judges.rubric import RubricJudge
from agents.judges.rubrics import load_rubric
from agents.packs import load_pack
from agents.records import Candidate, Dialogue, EpisodeSpec, Item, Turn, TurnRules, Verdict
from sim.analysis import phase_counts
from sim.classroom import cast_of, engines_by_role, price_of, roles_of
from sim.compare.compare import compare_runs
from sim.compare.comparison import Side
from sim.compare.conditions import judge, parse_condition
from sim.config import Config, PoolConfig
from sim.config_reward import RewardConfig
from sim.credit import revalued, rewarded
from sim.episode import Episode
from sim.judged import TRAINS, all_verdicts, judge_candidates, judged_parts, same_judges
from sim.load import load_config
from sim.meters import Meter
from sim.plan.effort import Efforts
from sim.report.verdicts import done_without, unreadable
from sim.run import used_pools

ITEM = load_pack("earth_science").item("es-astro-01")
RULES = TurnRules(question=True, leak=0.0, on_item=1.0, repetition=0.0, words=5, grade=3.0)
POOLS = {
    "class": PoolConfig(roles=("student",), engine="scripted"),
    "tutor": PoolConfig(roles=("tutor",), engine="scripted", script=REPLIES),
    "decides": PoolConfig(roles=("judge",), engine="scripted", model="one"),
    "trains": PoolConfig(engine="scripted", model="two"),
}
SHIPPED = "pedagogical_rl"
LIKED = "It is fine."
"""What the judge of the reward accepts: no question, so that nothing else would choose it."""


def judged_config(kind: str = "loop", **changes: object) -> Config:
    given = {
        "kind": kind,
        "pools": POOLS,
        "rubric": {"name": SHIPPED},
        "reward": {"rubric": 10.0, "judge": {"rubric": SHIPPED, "pool": "trains"}},
        "dialogue": {"turns": 2, "candidates": 3, "exploration": 0.0},
        "probes": {"transfer": False},
    }
    return config(**(given | changes))


def answer(verdict: str) -> str:
    return json.dumps({"reason": "so", "verdict": verdict})


def likes(messages: Sequence[Message]) -> str:
    """Accepts a dialogue whose last turn is `LIKED`."""
    said = [line for line in messages[1]["content"].splitlines() if line.startswith("| ")]
    return answer("OK" if said[-1] == f"| {LIKED}" else "REJECT")


def play(settings: Config, trains: ScriptedEngine, decides: ScriptedEngine, phase: str, candidates: int) -> Dialogue:
    engines = {
        "tutor": ScriptedEngine(REPLIES),
        "student": ScriptedEngine(("I think it is because of the sun.", "Hm, maybe not.")),
        "judge": decides,
        "judge@trains": trains,
    }
    cast = cast_of(settings, engines, Meter())
    return asyncio.run(Episode(spec(phase=phase), ITEM, cast, settings, candidates=candidates).run())


def test_a_judge_chooses_among_candidates_and_the_deciding_one_is_not_asked() -> None:
    trains, decides = ScriptedEngine(likes), ScriptedEngine([answer("REJECT")])
    dialogue = play(judged_config(), trains, decides, "simulate/0001", 3)
    assert dialogue.failure is None
    assert [turn.text for turn in dialogue.tutor_turns] == [LIKED, LIKED]
    assert decides.requests == 0, "training dialogues are not judged by who decides"
    assert trains.requests == 2 * 3 * 2, "turns, candidates, criteria"
    for turn in dialogue.tutor_turns:
        for candidate in turn.candidates:
            assert {verdict.judge for verdict in candidate.verdicts} == {f"{TRAINS}rubric:{SHIPPED}"}
            assert candidate.components["rubric"] == (10.0 if candidate.text == LIKED else 0.0)
    last = dialogue.tutor_turns[-1]
    assert dialogue.verdicts == last.candidates[last.chosen].verdicts and dialogue.components["rubric"] == 10.0
    assert len(all_verdicts(dialogue)) == 12 and dialogue.usage.requests > trains.requests
    assert revalued(dialogue, judged_config().reward) == dialogue


def test_held_out_dialogues_are_judged_by_who_decides_alone() -> None:
    trains, decides = ScriptedEngine([answer("OK")]), ScriptedEngine([answer("OK"), answer("REJECT")])
    dialogue = play(judged_config(rubric={"name": SHIPPED, "votes": 1}), trains, decides, "heldout/base", 1)
    assert trains.requests == 0 and decides.requests == 2
    assert {verdict.judge for verdict in dialogue.verdicts} == {f"rubric:{SHIPPED}"}
    assert dialogue.components["rubric"] == 10.0
    alone = play(judged_config(rubric=None), trains, decides, "heldout/base", 1)
    assert alone.verdicts == () and "rubric" not in alone.components and alone.reward is not None


def test_training_dialogues_are_judged_by_who_decides_where_a_config_asks_for_it() -> None:
    trains, decides = ScriptedEngine(likes), ScriptedEngine([answer("OK")])
    dialogue = play(judged_config(loop={"judge_training": True}), trains, decides, "simulate/0001", 3)
    assert decides.requests == 2
    judges = {verdict.judge for verdict in dialogue.verdicts}
    assert judges == {f"rubric:{SHIPPED}", f"{TRAINS}rubric:{SHIPPED}"}


def test_without_a_weight_nobody_judges_what_is_trained_on() -> None:
    trains, decides = ScriptedEngine(likes), ScriptedEngine([answer("OK")])
    dialogue = play(judged_config(reward={}), trains, decides, "simulate/0001", 3)
    assert trains.requests == decides.requests == 0 and dialogue.verdicts == () and dialogue.reward is not None


def test_equal_candidates_are_judged_once() -> None:
    engine = ScriptedEngine(likes)
    reader, turns = RubricJudge(engine, load_rubric(SHIPPED)), [Turn(0, "student", "Why?")]
    candidates = [Candidate(text, ()) for text in (LIKED, "Why?", LIKED)]
    first, other, second = asyncio.run(judge_candidates([reader], ITEM, spec(), turns, candidates))
    assert engine.requests == 2 * 2 and first.verdicts == second.verdicts != other.verdicts
    assert {verdict.kind for verdict in first.verdicts} == {"pass"}
    assert asyncio.run(judge_candidates([], ITEM, spec(), turns, candidates)) == candidates


class Waits(ScriptedEngine):
    """Answers only once another judge is broken."""

    def __init__(self, broken: asyncio.Event) -> None:
        super().__init__([answer("OK")])
        self.broken, self.ended = broken, 0

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, dialogue_id: str = ""
    ) -> list[Completion]:
        await self.broken.wait()
        await asyncio.sleep(0)  # whoever waits for the broken one alone has gone on by now
        await asyncio.sleep(0)
        self.ended += 1
        return await super().generate(messages, sampling, dialogue_id=dialogue_id)


class Broken:
    """A judge with a fault in its code."""

    name = "broken"

    def __init__(self, broken: asyncio.Event) -> None:
        self._broken = broken

    async def judge(
        self, item: Item, transcript: Sequence[Turn], *, dialogue_id: str, dimension: str = ""
    ) -> tuple[Verdict, ...]:
        self._broken.set()
        raise RuntimeError("a fault")


def test_no_judge_goes_on_alone_where_another_breaks() -> None:
    async def run() -> int:
        broken = asyncio.Event()
        engine = Waits(broken)
        judges: list[Judge] = [Broken(broken), RubricJudge(engine, load_rubric(SHIPPED))]
        with pytest.raises(RuntimeError, match="a fault"):
            await judge_candidates(judges, ITEM, spec(), [Turn(0, "student", "Why?")], [Candidate(LIKED, ())])
        return engine.ended

    assert asyncio.run(run()) == 2, "both criteria were answered and billed before the dialogue ended"


def verdict(kind: str, score: float | None = None, judge: str = f"{TRAINS}rubric:x") -> Verdict:
    return Verdict(judge, "tone", kind, score=score, unit_score=score)  # type: ignore[arg-type]


def test_an_unreadable_verdict_leaves_the_part_out_for_the_whole_turn() -> None:
    weights = RewardConfig(gain=0.0, question=1.0, on_item=0.0, repetition=0.0, leak=0.0, rubric=5.0)
    told = [verdict("pass", 1.0), verdict("fail", 0.0), verdict("invalid")]
    candidates = [Candidate(str(i), (), RULES, verdicts=(one,)) for i, one in enumerate(told)]
    for candidate in rewarded(weights, candidates):
        assert candidate.reward == 1.0 and "rubric" not in candidate.components
    readable = rewarded(weights, candidates[:2])
    assert [candidate.reward for candidate in readable] == [6.0, 1.0]
    half = [Candidate("a", (), RULES, verdicts=(told[0], verdict("invalid"))), candidates[1]]
    assert [candidate.reward for candidate in rewarded(weights, half)] == [1.0, 1.0], "half a judgement is none"
    nobody = [candidates[0], Candidate("b", (), RULES)]
    assert [candidate.reward for candidate in rewarded(weights, nobody)] == [1.0, 1.0]


def test_a_dialogue_whose_verdict_is_invalid_has_no_reward() -> None:
    trains, decides = ScriptedEngine(["x"]), ScriptedEngine([answer("OK"), "{"])
    dialogue = play(judged_config(), trains, decides, "heldout/base", 1)
    assert dialogue.failure is None and {one.kind for one in dialogue.verdicts} == {"invalid"}
    assert dialogue.reward is None and "rubric" not in dialogue.components and "question" in dialogue.components
    assert revalued(dialogue, RewardConfig()).reward is not None, "where it weighs nothing it spoils nothing"


def test_the_judge_of_the_reward_is_an_engine_of_its_own_for_classroom_tape_and_price() -> None:
    priced = POOLS | {"trains": POOLS["trains"].model_copy(update={"price_per_million": (1.0, 2.0)})}
    settings = judged_config(pools=priced)
    engines = {name: ScriptedEngine([name]) for name in settings.pools}
    by_role = engines_by_role(settings, engines)
    assert by_role["judge@trains"] is engines["trains"] and by_role["judge"] is engines["decides"]
    assert "judge@trains" in roles_of(settings) and price_of(settings, "judge@trains") == (1.0, 2.0)
    assert {"class", "tutor", "decides", "trains"} <= set(used_pools(settings))
    plain = judged_config(reward={})
    assert "judge@trains" not in engines_by_role(plain, engines) and "trains" not in used_pools(plain)


def test_a_judge_that_breaks_is_an_invalid_verdict_that_is_counted() -> None:
    broken = ScriptedEngine([answer("OK")], fail_every=5)
    dialogue = play(judged_config(), broken, ScriptedEngine(["x"]), "simulate/0001", 3)
    assert dialogue.failure is None
    counts = phase_counts([dialogue])["simulate/0001"]
    assert counts["n_judged_turns"] == 2 and counts["n_turns_left_out"] >= 1
    assert 1 <= counts["n_invalid_candidate_verdicts"] < counts["n_candidate_verdicts"]
    assert "turns an invalid verdict left the judge's part of the reward out" in " ".join(done_without([dialogue]))
    (group, *_) = unreadable([dialogue])
    assert group.judge == f"{TRAINS}rubric:{SHIPPED}" and "EngineUnavailable" in group.rows[0].why
    assert EngineUnavailable.__name__ in group.rows[0].why


@pytest.mark.parametrize(
    ("verdicts", "parts"),
    [
        ((), {}),
        ((verdict("pass", 0.75, "rubric:x"), verdict("fail", 0.25, "rubric:x")), {"rubric": 0.5}),
        ((verdict("pass", 0.75, "rubric:x"), verdict("invalid", None, "rubric:x")), {"rubric": None}),
        ((verdict("pass", 0.75, "rubric:x"), verdict("fail", 0.0, "rubric:later")), {"rubric": 0.75}),
        ((verdict("pass", 0.75, "scorer:x"), verdict("pass", 1.0, "rules:safety")), {"scorer": 0.75}),
        ((replace(verdict("pass", 0.75, "rubric:x"), unit_score=None),), {"rubric": None}),
        ((replace(verdict("pass", 0.75, "rubric:x"), turn=1),), {}),
    ],
)
def test_the_parts_that_verdicts_give(verdicts: tuple[Verdict, ...], parts: dict[str, float | None]) -> None:
    assert judged_parts(RewardConfig(rubric=1.0, scorer=2.0), verdicts) == parts
    assert judged_parts(RewardConfig(), verdicts) == {}


def test_candidates_are_judged_the_same_when_a_run_is_replayed(tmp_path: Path) -> None:
    changes: dict[str, object] = {"rubric": None, "dialogue": {"turns": 2, "candidates": 3, "exploration": 0.0}}
    recorded = judged_config("run", **changes, run={"record": str(tmp_path / "tape")})
    flips = [answer("OK"), answer("REJECT")]
    first = play(recorded, ScriptedEngine(flips), ScriptedEngine(["x"]), "run", 3)
    assert first.failure is None
    replayed = judged_config("run", **changes, run={"replay": str(tmp_path / "tape")})
    again = play(replayed, ScriptedEngine(["never"]), ScriptedEngine(["never"]), "run", 3)
    assert replace(again, usage=first.usage) == first


def test_the_plan_counts_what_the_judge_of_the_reward_is_asked() -> None:
    settings, trains = judged_config("run"), ScriptedEngine(likes)
    decides = ScriptedEngine([answer("OK")])
    given: EpisodeSpec = replace(spec(), tutor="socratic")
    dialogue = play(settings, trains, decides, "run", 3)
    effort = Efforts(settings).of(given)
    assert (effort.valuing.generate, effort.judge.generate) == (trains.requests, decides.requests) == (12, 2)
    assert effort.total.requests == dialogue.usage.requests


def test_a_reward_that_a_judge_spoilt_is_a_lost_value_of_a_comparison() -> None:
    def side(name: str, spoilt: int) -> Side:
        found = []
        for i in range(20):
            own = (verdict("invalid" if i < spoilt else "pass", None if i < spoilt else 1.0, "rubric:x"),)
            made = dialogue(i, phase="run", item=f"i{i}", reward=1.0 + 0.01 * i)
            found.append(replace(made, verdicts=own, reward=None if i < spoilt else made.reward))
        return Side(name, tuple(found))

    for spoilt, state in ((0, "passed"), (4, "unproven")):
        both = compare_runs(side("a", spoilt), side("b", spoilt), metrics=["reward"])
        assert both.tutors[0].metrics[0].n_lost == spoilt
        assert judge(parse_condition("reward < 0.5"), both).state == state


QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
TWO = (
    "pools.class={roles: [student], engine: scripted}",
    "pools.tutor={roles: [tutor], engine: scripted}",
    "pools.one={roles: [judge], engine: scripted, model: big}",
    "pools.two={engine: scripted, model: other}",
    "pools.twin={engine: scripted, model: big}",
    f"rubric={{name: {SHIPPED}}}",
)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("reward.rubric=1",), "pool 'one' judged candidates .* and gave the verdicts that decide.*same_judge: true"),
        (("reward.rubric=1", "reward.judge={rubric: convolearn, pool: one}"), "pool 'one' judged candidates"),
        (("reward.rubric=1", "reward.judge={rubric: convolearn, pool: twin}"), "pools 'twin' and 'one', one model"),
        (("reward.rubric=1", "reward.judge={rubric: convolearn, pool: tutor}"), "it cannot judge itself"),
        (("reward.rubric=1", "reward.judge={rubric: convolern, pool: two}"), "did you mean 'convolearn'"),
        (("reward.rubric=1", "reward.judge={rubric: convolearn, pool: too}"), "reward.judge.pool: no pool 'too'"),
        (("reward.rubric=1", "reward.judge={rubric: convolearn}"), "reward.judge.pool: no pool ''"),
        (("reward.rubric=1", "rubric=null"), "reward.rubric: it weighs something and nobody judges"),
        (("reward.scorer=1",), "reward.scorer: it weighs something and nobody judges"),
        (("reward.judge={rubric: convolearn, pool: two}",), "reward.judge.rubric: not used while reward.rubric is 0"),
        (("reward.rubric=1", "reward.judge={scorer: x}"), "reward.judge.scorer: not used while reward.scorer is 0"),
        (("reward.scorer=1", "reward.judge={scorer: x}"), "no scorer in 'x'"),
        (("reward.rubric=1", "reward.judge={pool: two}"), "names nobody"),
        (("reward.rubric=.inf",), "reward.rubric"),
    ],
)
def test_who_trains_must_not_be_who_decides(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_config(QUICKSTART, (*TWO, *overrides))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("engine: openai, model: big, base_url: 'http://127.0.0.1:9/v1'", True),
        ("engine: openai, model: ' Big/', base_url: 'http://127.0.0.1:8/v1'", True),
        ("engine: vllm, model: big", True),
        ("engine: openai, model: bigger, base_url: 'http://127.0.0.1:8/v1'", False),
        ("engine: scripted, model: big", False),
    ],
)
def test_one_model_is_one_judge_wherever_it_is_served(other: str, same: bool) -> None:
    decides = PoolConfig(roles=("judge",), engine="openai", model="big", base_url="http://127.0.0.1:8/v1")
    trains = PoolConfig.model_validate(yaml.safe_load(f"{{{other}}}"))
    settings = judged_config(pools=POOLS | {"decides": decides, "trains": trains})
    assert bool(same_judges(settings)) == same


@pytest.mark.parametrize(
    ("trains", "decides", "same"),
    [
        ("openai/gpt-4o", "gpt-4o", True),
        ("openrouter/openai/gpt-4o:free", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-05-13", "openai/GPT-4o-20240806", True),
        ("gpt-4-0613", "gpt-4-1106-preview", True),
        ("claude-sonnet-4@20250514", "us.anthropic.claude-sonnet-4-20250514-v1:0", True),
        ("mistral-large-latest", "mistralai/mistral-large-2411", True),
        ("gemini-2.5-pro-preview-05-06", "google/gemini-2.5-pro", True),
        ("meta-llama/Llama-3.1-8B-Instruct:groq", "/models/Llama-3.1-8B-Instruct-FP8/", True),
        ("gpt-4o-mini", "openai/gpt-4o", False),
        ("gpt-4", "gpt-4o", False),
        ("llama3:8b", "llama3:70b", False),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct", False),
        ("gemini-2.5-pro", "gemini-2.5-flash", False),
        ("claude-sonnet-4", "claude-sonnet-4-5", False),
    ],
)
def test_a_model_is_one_judge_under_whichever_name(trains: str, decides: str, same: bool) -> None:
    address = "http://127.0.0.1:8/v1"
    pools = {
        "decides": PoolConfig(roles=("judge",), engine="openai", model=decides, base_url=address),
        "trains": PoolConfig(engine="openai", model=trains, base_url=address),
    }
    assert bool(same_judges(judged_config(pools=POOLS | pools))) == same


def test_two_folders_of_ours_may_share_a_last_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "merged").mkdir(parents=True)
    first, second = (str(tmp_path / name / "merged") for name in ("a", "b"))
    for trains, same in ((first, True), (f"{first}/", True), (second, False)):
        decides = PoolConfig(roles=("judge",), model=first)
        settings = judged_config(pools=POOLS | {"decides": decides, "trains": PoolConfig(model=trains)})
        assert bool(same_judges(settings)) == same


def test_two_judges_or_one_said_aloud_are_taken() -> None:
    named = ("reward.rubric=1", "reward.judge={rubric: pedagogical_rl, pool: two}")
    config = load_config(QUICKSTART, (*TWO, *named))
    assert same_judges(config) == [] and config.reward_pools() == ("two",) and "two" in config.heard_pools()
    aloud = load_config(QUICKSTART, (*TWO, "reward.rubric=1", "reward.same_judge=true"))
    assert len(same_judges(aloud)) == 1 and aloud.reward_pools() == ()
    unheard = load_config(QUICKSTART, (*TWO, "rubric=null", *named))
    assert same_judges(unheard) == [] and unheard.heard_roles() == ("student",)


def test_one_scorer_in_two_folders_is_one_judge(tmp_path: Path) -> None:
    for name, weights in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scorer.json").write_text(json.dumps({"files": {"head": weights}, "made": name}))
    given = ("kind=loop", f"scorer={{path: {tmp_path / 'a'}}}", "reward.scorer=1")
    for trains in ("a", "b"):
        with pytest.raises(InputError, match="rated candidates for the reward"):
            load_config(QUICKSTART, (*TWO, *given, f"reward.judge={{scorer: {tmp_path / trains}}}"))
    with pytest.raises(InputError, match="rated candidates for the reward"):
        load_config(QUICKSTART, (*TWO, *given))
    load_config(QUICKSTART, (*TWO, *given, f"reward.judge={{scorer: {tmp_path / 'c'}}}"))
