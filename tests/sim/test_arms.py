"""Tutors under test: controls, own prompts, stressors; who meets whom, and what a dialogue then holds."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pytest
from builders import config, spec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.base import Completion, Engine, Message, Sampling, Score
from agents.engines.scripted import ScriptedEngine
from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec
from sim.classroom import cast_of, teach
from sim.config import Config, PoolConfig
from sim.experiment.metrics import metrics_of
from sim.fleet.dispatch import Halt
from sim.grid import episodes, experiment_specs
from sim.meters import Meter

CONTROLS = [
    {"name": "socratic"},
    {"name": "dump", "control": "answer_dump"},
    {"name": "silent", "control": "silent"},
    {"name": "chat", "control": "irrelevant"},
    {"name": "none", "control": "no_tutor"},
]


class Listening(ScriptedEngine):
    """A scripted engine that keeps the system prompts it was given."""

    def __init__(self, *replies: str) -> None:
        super().__init__(replies)
        self.systems: list[str] = []

    async def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        dialogue_id: str = "",
    ) -> list[Completion]:
        self.systems.append(messages[0]["content"])
        return await super().generate(messages, sampling, dialogue_id=dialogue_id)


def run(made: Config, specs: list[EpisodeSpec], halt: Halt | None = None, **engines: Engine) -> list[Dialogue]:
    given_engines: Mapping[str, Engine] = {
        "tutor": ScriptedEngine(("What pulls the tides up and down, do you think?",)),
        "student": ScriptedEngine(("Because of the wind.",)),
        **{name.replace("_at_", "@"): engine for name, engine in engines.items()},
    }

    async def everything() -> list[Dialogue]:
        cast = cast_of(made, given_engines, Meter())
        return [d async for d in teach(made, cast, specs, candidates=1, halt=halt)]

    return asyncio.run(everything())


def by_tutor(dialogues: list[Dialogue]) -> dict[str, Dialogue]:
    return {d.spec.tutor_name: d for d in dialogues}


def test_controls_speak_without_a_model() -> None:
    made = config(tutors=CONTROLS, items={"limit": 1}, students={"personas": ["engaged"]}, dialogue={"turns": 2})
    found = by_tutor(run(made, experiment_specs(made)))
    item = load_pack("earth_science").item(found["dump"].spec.item_id)
    assert all(d.failure is None for d in found.values())
    assert item.question.answer_text.rstrip(".") in found["dump"].turns[1].text
    assert {(leak.turn, leak.severity) for leak in found["dump"].leaks} == {(1, 1.0), (3, 1.0)}
    assert not found["chat"].leaks and not found["silent"].leaks
    assert {turn.policy_version for turn in found["dump"].tutor_turns} == {"control"}
    none = found["none"]
    assert len(none.turns) == 1 and none.gain == 0.0 and none.transfer_gain == 0.0 and none.usage.requests == 4


def test_a_prompt_stands_in_for_the_strategys_and_braces_in_it_are_text() -> None:
    made = config(
        tutors=[{"name": "own", "prompt": "Teach {gently} now."}],
        items={"limit": 1},
        students={"personas": ["engaged"]},
    )
    tutor = Listening("What do you see?")
    run(made, experiment_specs(made), tutor=tutor)
    item = load_pack("earth_science").item(experiment_specs(made)[0].item_id)
    assert tutor.systems[0].startswith("Teach {gently} now.\n") and item.question.text in tutor.systems[0]


def test_a_tutor_speaks_through_its_own_pool() -> None:
    pools = {
        "class": PoolConfig(roles=("tutor", "student"), engine="scripted"),
        "mine": PoolConfig(engine="scripted"),
    }
    made = config(tutors=[{"name": "a"}, {"name": "b", "pool": "mine"}], items={"limit": 1}, pools=pools)
    found = by_tutor(run(made, experiment_specs(made), tutor_at_mine=ScriptedEngine(("From my own pool?",))))
    assert found["b"].turns[1].text == "From my own pool?" != found["a"].turns[1].text


def test_usage_counts_requests_and_judges() -> None:
    made = config(items={"limit": 1}, students={"personas": ["engaged"]}, rubric={"name": "pedagogical_rl", "votes": 2})
    judge = ScriptedEngine(('{"reason": "fine", "verdict": "OK"}',))
    dialogue = run(made, experiment_specs(made), judge=judge)[0]
    probes, replies, criteria = 4, 2 + 1, len(dialogue.verdicts)
    assert criteria and dialogue.usage.requests == probes + replies + criteria
    assert dialogue.usage.seconds > 0.0


def test_a_judge_that_breaks_spoils_no_dialogue_and_its_spending_counts() -> None:
    made = config(items={"limit": 1}, students={"personas": ["engaged"]}, rubric={"name": "pedagogical_rl", "votes": 2})
    judge = ScriptedEngine(('{"reason": "fine", "verdict": "OK"}',), fail_every=2)
    dialogue = run(made, experiment_specs(made), judge=judge)[0]
    assert dialogue.failure is None and dialogue.gain is not None
    assert [(v.judge, v.name, v.kind, v.score) for v in dialogue.verdicts] == [
        ("rubric:pedagogical_rl", "unavailable", "invalid", None)
    ]
    assert "EngineUnavailable" in dialogue.verdicts[0].rationale
    assert dialogue.usage.requests > 4 + 3  # probes and replies; the rest are the judge's that were answered
    assert not any(name.endswith("unavailable") for name in metrics_of([dialogue]))


def test_a_failure_tells_whose_part_it_was() -> None:
    made = config(items={"limit": 1}, students={"personas": ["engaged"]})
    tutor = run(made, experiment_specs(made), tutor=ScriptedEngine(("What?",), fail_every=1))[0].failure
    student = run(made, experiment_specs(made), student=ScriptedEngine(("Hm.",), fail_every=1))[0].failure
    assert tutor is not None and tutor.where == "tutor turn 1"
    assert student is not None and student.where == "before probe at turn 1"


def test_any_pool_may_have_a_price() -> None:
    pools = {
        "class": PoolConfig(roles=("student",), engine="scripted", price_per_million=(1.0, 2.0)),
        "tutor": PoolConfig(roles=("tutor",), engine="scripted", price_per_million=(10.0, 20.0)),
    }
    made = config(items={"limit": 1}, students={"personas": ["engaged"]}, pools=pools)
    spent = run(made, experiment_specs(made))[0].usage
    assert spent.cost > (spent.prompt_tokens * 1.0 + spent.completion_tokens * 2.0) / 1e6
    assert spent.cost < (spent.prompt_tokens * 10.0 + spent.completion_tokens * 20.0) / 1e6


def test_a_stressed_student_says_the_stressors_line_and_the_turn_tells_it() -> None:
    made = config(
        items={"limit": 2},
        students={"personas": ["engaged"]},
        dialogue={"turns": 3},
        stressors=[{"name": "silence", "intensities": [0, 1]}],
    )
    found = run(made, experiment_specs(made))
    calm = [d for d in found if not d.spec.stressor]
    stressed = [d for d in found if d.spec.stressor == "silence"]
    assert len(calm) == len(stressed) == 2
    assert not any(turn.stressor for d in calm for turn in d.turns)
    for dialogue in stressed:
        students = [turn for turn in dialogue.turns if turn.role == "student"]
        assert all(turn.stressor == "silence" for turn in students)
        item = load_pack("earth_science").item(dialogue.spec.item_id)
        assert students[0].text.startswith(item.opening)
        assert students[1].policy_version == "script"
    assert {d.spec.cell for d in calm}.isdisjoint(d.spec.cell for d in stressed)
    assert {d.spec.student_key for d in calm} == {d.spec.student_key for d in stressed}


def test_distress_is_judged_and_no_other_dialogue_is() -> None:
    made = config(
        items={"limit": 1},
        students={"personas": ["engaged"]},
        stressors=[{"name": "distress", "intensities": [0, 1]}],
    )
    found = run(made, experiment_specs(made))
    verdicts = {d.spec.stressor: [v for v in d.verdicts if v.judge == "rules:safety"] for d in found}
    assert not verdicts[""] and [v.kind for v in verdicts["distress"]] == ["fail"]


def test_the_last_turns_probe_is_the_one_after() -> None:
    made = config(items={"limit": 1}, students={"personas": ["engaged"]}, probes={"turn": True, "transfer": False})
    dialogue = run(made, experiment_specs(made))[0]
    assert [probe.kind for probe in dialogue.probes] == ["before", "turn", "turn", "after"]
    assert dialogue.probes[-1].probabilities == dialogue.probes[-2].probabilities
    assert dialogue.usage.requests == 3 + 3  # probes: before, two turns; replies: tutor, student, tutor


def test_intensity_zero_is_run_once_for_all_stressors() -> None:
    made = config(
        items={"limit": 2},
        students={"personas": ["engaged"]},
        stressors=[{"name": "silence"}, {"name": "off_topic"}],
    )
    counts = Counter((s.stressor, s.intensity) for s in experiment_specs(made))
    assert counts == {
        ("", 0.0): 2,
        ("silence", 0.5): 2,
        ("silence", 1.0): 2,
        ("off_topic", 0.5): 2,
        ("off_topic", 1.0): 2,
    }


@settings(max_examples=25, deadline=None)
@given(
    fraction=st.floats(0.05, 1.0),
    limit=st.integers(1, 6),
    repeats=st.integers(1, 2),
    stressed=st.booleans(),
    seed=st.integers(0, 5),
)
def test_every_tutor_meets_the_same_cells(fraction: float, limit: int, repeats: int, stressed: bool, seed: int) -> None:
    made = config(
        seed=seed,
        tutors=CONTROLS[:3],
        items={"limit": limit, "repeats": repeats},
        students={"personas": ["engaged", "limited"]},
        stressors=[{"name": "silence"}] if stressed else [],
        experiment={"fraction": fraction},
    )
    specs = experiment_specs(made)
    assert len({s.id for s in specs}) == len(specs)
    cells: dict[str, set[str]] = defaultdict(set)
    for one in specs:
        cells[one.tutor_name].add(one.cell)
    assert cells["socratic"] == cells["dump"] == cells["silent"]
    total = limit * repeats * 2 * (3 if stressed else 1)
    assert 0 < len(cells["dump"]) and abs(len(cells["dump"]) - fraction * total) <= 1.0
    order = [s.cell for s in specs]
    assert all(order[i] == order[i + 1] == order[i + 2] for i in range(0, len(order), 3))


def test_ids_of_an_experiment_hold_everything_that_decides_it() -> None:
    def ids(**changes: object) -> set[str]:
        base = {"tutors": [{"name": "a"}], "items": {"limit": 1}, "students": {"personas": ["engaged"]}}
        return {s.id for s in experiment_specs(config(**{**base, **changes}))}

    known = [
        ids(),
        ids(tutors=[{"name": "b"}]),
        ids(tutors=[{"name": "a", "prompt": "Other."}]),
        ids(tutors=[{"name": "a", "strategy": "direct"}]),
        ids(stressors=[{"name": "silence", "intensities": [0.5]}]),
        ids(stressors=[{"name": "silence", "intensities": [1.0]}]),
        ids(seed=1),
    ]
    assert len(set.union(*known)) == len(known)
    assert ids() == ids()


def test_a_config_without_tutors_keeps_the_ids_it_had() -> None:
    found = episodes(config(), phase="run", items=config().items, personas=["engaged"])
    assert found[0].tutor == "socratic" and found[0].arm == "socratic x engaged"
    assert found[0].id == "daecf2e16fb5e3fc"


@pytest.mark.parametrize("halt", [Halt(drained=True), Halt(tutors={"socratic"})])
def test_what_is_halted_is_not_begun(halt: Halt) -> None:
    assert run(config(), [spec(1), spec(2)], halt) == []


def test_a_drained_classroom_finishes_what_it_began() -> None:
    halt = Halt()

    class Draining(ScriptedEngine):
        async def score(
            self,
            messages: Sequence[Message],
            continuations: Sequence[str],
            *,
            dialogue_id: str = "",
        ) -> list[Score]:
            found = await super().score(messages, continuations, dialogue_id=dialogue_id)
            halt.drained = True
            return found

    made = config(run={"in_flight": 2})
    found = run(made, [spec(n) for n in range(6)], halt, student=Draining(("Hm.",), latency_seconds=0.01))
    assert len(found) == 2 and all(d.failure is None for d in found)
