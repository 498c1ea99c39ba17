"""The methods section: every sentence follows from the config or from what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from builders import config

from agents.records import Dialogue, Probe, Turn, TurnRules, Usage, Verdict
from sim.config import Config, PoolConfig
from sim.experiment.experiment import analyse
from sim.grid import experiment_specs

TUTORS = [{"name": "plain"}, {"name": "asks"}]


def made(**changes: Any) -> Config:
    """An experiment of two tutors on eight items."""
    given = {"tutors": TUTORS, "items": {"limit": 8}, "students": {"personas": ["engaged", "limited"]}, **changes}
    return config(**given)


def held(given: Config, *, policies: Sequence[str] = ("base",)) -> list[Dialogue]:
    """A dialogue for each episode; policies take turns."""
    found = []
    for number, spec in enumerate(experiment_specs(given)):
        policy = policies[number // 2 % len(policies)]
        rules = TurnRules(spec.tutor == "asks" or number % 3 == 0, 0.0, 1.0, 0.0, 5, 3.0)
        turns = (Turn(0, "student", "Why?"), Turn(1, "tutor", "Look.", policy_version=policy, rules=rules))
        gain = 0.02 * (number % 7)
        probes = (Probe("before", 0, (0.4, 0.6), 0), Probe("after", 1, (0.4 + gain, 0.6 - gain), 0))
        usage = Usage(100, 10, 0.0, 3, 0.5)
        found.append(Dialogue(spec=spec, turns=turns, probes=probes, usage=usage, tutor_policy=policy))
    return found


def told(given: Config, dialogues: Sequence[Dialogue], **how: Any) -> str:
    """The whole section."""
    return " ".join(analyse(given, dialogues, **how)["methods"])


@pytest.mark.parametrize("fraction", [0.3, 0.55, 0.8])
def test_the_share_that_was_drawn_is_told_not_the_one_that_was_asked_for(fraction: float) -> None:
    stressors = [{"name": "silence", "intensities": [0, 1]}]
    given = made(stressors=stressors, items={"limit": 3}, experiment={"fraction": fraction})
    specs = experiment_specs(given)
    cells = len({spec.cell for spec in specs})
    text = told(given, held(given), planned=specs)
    assert f"full design's 12 cells (item, persona, repeat, stress) {cells} were drawn" in text
    assert f"{cells / 12:.1%}, where {fraction:.1%} was asked for" in text
    assert f"the same {len({spec.item_id for spec in specs})} items" in text
    assert text == told(given, held(given))


def test_a_full_design_draws_nothing() -> None:
    assert "drawn, the same" not in told(made(), held(made()))


def judged(dialogues: Sequence[Dialogue], *judges: str) -> list[Dialogue]:
    return [
        replace(d, verdicts=tuple(Verdict(judge, "fair", "pass" if at else "invalid", 1.0) for judge in judges))
        for at, d in enumerate(dialogues)
    ]


def test_judges_are_those_whose_verdicts_are_there() -> None:
    given = made()
    text = told(given, judged(held(given), "rubric:late", "rules:safety"))
    assert "No language model judged" not in text
    assert "Judges gave 64 verdicts, 2 of them invalid" in text
    assert "rubric:late: 32, 1 invalid; rules:safety: 32, 1 invalid" in text
    assert "rubric:late judged after the run" in text
    assert "No language model judged" in told(given, judged(held(given), "rules:safety"))
    assert "No language model judged" in told(given, held(given))


def test_the_runs_own_judge_is_told_with_its_model() -> None:
    pools = {**made().pools, "judge": PoolConfig(roles=("judge",), engine="scripted", model="a-judge")}
    given = made(pools=pools, rubric={"name": "pedagogical_rl", "votes": 3})
    text = told(given, judged(held(given), "rubric:pedagogical_rl"))
    assert "own judge rubric:pedagogical_rl is a-judge with 3 vote(s)" in text and "after the run" not in text
    silent = told(given, held(given))
    assert "own judge rubric:pedagogical_rl gave no verdict" in silent and "No language model judged" in silent


def test_intervals_and_corrections_are_those_that_were_made() -> None:
    given = made(experiment={"metrics": ["net_gain", "question_share"], "no_worse_by": {"net_gain": 0.05}})
    found = analyse(given, held(given))
    text = " ".join(found["methods"])
    assert "a t interval with dialogues clustered by item and corrected for skewness" in text
    assert "their intervals hold together for all tutors" in text
    assert any(row["p"] is not None for row in found["mixed"])
    assert "the mixed model" in text.lower() and text.count("not corrected for the number of comparisons") == 2
    assert "a loss of net_gain by 0.05: a one-sided test at 2.5%" in text
    assert "Of 2 comparisons in net_gain, question_share, 2 could be tested" in text


def test_a_loss_that_was_not_tested_is_not_said_to_be() -> None:
    given = made(experiment={"metrics": ["net_gain", "words"], "no_worse_by": {"gain": 0.05, "words": 1.0}})
    text = told(given, held(given))
    assert "A loss was not tested of gain, words" in text and "excludes a loss" not in text


def test_nothing_is_ranked_or_compared_with_one_tutor() -> None:
    given = made(tutors=TUTORS[:1])
    text = told(given, held(given))
    assert "nothing is compared" in text and "Ranks" not in text and "Holm" not in text


ENDPOINT = {"engine": "openai", "base_url": "https://tutor.example/v1", "model": "gpt-4"}


@pytest.mark.parametrize(
    ("answers", "told_of"),
    [
        (["gpt-4"], ""),
        (["gpt-4-0613"], ""),
        (["gpt-4-20240806"], ""),
        (["gpt-4-2024-08-06"], ""),
        (["gpt-4o-mini"], "answered as gpt-4o-mini (16 dialogues)"),
        (["gpt-4-turbo"], "answered as gpt-4-turbo (16 dialogues)"),
        (["other"], "answered as other (16 dialogues)"),
        (["gpt-4", "gpt-4o-mini"], "answered as gpt-4 (8 dialogues), gpt-4o-mini (8 dialogues)"),
        (["gpt-4-0613", "gpt-4-1106"], "answered as gpt-4-0613 (8 dialogues), gpt-4-1106 (8 dialogues)"),
    ],
)
def test_another_model_than_was_asked_for_is_told(answers: list[str], told_of: str) -> None:
    pools = {**made().pools, "tutor": PoolConfig.model_validate({"roles": ("tutor",), **ENDPOINT})}
    given = made(pools=pools, tutors=[{"name": "plain"}, {"name": "dump", "control": "answer_dump"}])
    dialogues = [d if d.spec.tutor == "plain" else _by_control(d) for d in held(given, policies=answers)]
    found = analyse(given, dialogues)
    text = " ".join(found["methods"])
    assert ("was asked for as gpt-4 and" in text) == bool(told_of) and told_of in text
    assert "Tutor dump" not in text
    assert found["tutors"][0]["policy"] == ", ".join(answers)


def _by_control(dialogue: Dialogue) -> Dialogue:
    turns = tuple(replace(turn, policy_version="control") for turn in dialogue.turns)
    return replace(dialogue, turns=turns, tutor_policy="control")


def test_a_swap_of_weights_in_mid_run_is_told_of_any_tutor() -> None:
    text = told(made(), held(made(), policies=("base", "tutor/v0001")))
    assert "Tutor asks answered as base (8 dialogues), tutor/v0001 (8 dialogues)." in text
    assert "answered as" not in told(made(), held(made()))


def test_without_probes_nothing_is_said_of_how_belief_is_measured() -> None:
    given = made(probes={"question": False, "transfer": False})
    text = told(given, [replace(d, probes=()) for d in held(given)])
    assert "Belief is the probability" not in text and "Belief was not measured" in text
