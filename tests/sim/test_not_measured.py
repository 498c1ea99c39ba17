"""What a rule cannot read is no 0, no pass and no reward: it is missing, shown and counted."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from builders import dialogue
from rich.console import Console
from test_experiment import MADE, made

from agents.records import Candidate, Dialogue, Leak, Turn, TurnRules, dialogue_from_json, dialogue_to_json
from sim.analysis import compare_heldout
from sim.config import GateConfig
from sim.config_reward import RewardConfig
from sim.credit import revalued
from sim.experiment.experiment import analyse
from sim.experiment.metrics import METRICS
from sim.gate import decide
from sim.grid import experiment_specs
from sim.report.evidence import leak_ledger
from sim.report.experiment_gaps import gaps
from sim.report.tables import tables_of
from sim.reward import dialogue_reward, reply_reward
from sim.storage.part import row_of
from sim.tables import show
from sim.tracking import figures_of

UNREAD = TurnRules(None, None, None, None, 5, None)
READ = TurnRules(True, 0.0, 1.0, 0.5, 5, 3.0, False)
RULES = ("question_share", "leak_rate", "leak_severity", "net_gain", "on_item", "repetition", "grade")


def unread(found: Dialogue) -> Dialogue:
    """The dialogue as it would be in a language that no rule reads."""
    turns = tuple(replace(turn, rules=UNREAD) if turn.rules else turn for turn in found.turns)
    return replace(found, turns=turns, leaks=(), reward=None)


def test_a_dialogue_that_no_rule_reads_has_no_figure_of_a_rule() -> None:
    found = unread(dialogue(1, phase="p", item="i", reward=1.0, gain=0.2))
    assert {METRICS[name].value(found) for name in (*RULES, "confirmation_share", "reward")} == {None}
    assert METRICS["gain"].value(found) == pytest.approx(0.2)
    assert (row_of(found)["leak"], row_of(found)["question_share"]) == (None, None)
    assert dialogue_from_json(dialogue_to_json(found)) == found


def test_a_mean_is_over_the_turns_that_were_measured() -> None:
    one = dialogue(1, phase="p", item="i", reward=1.0)
    empty = Turn(2, "tutor", "...", rules=TurnRules(False, 0.0, None, None, 0, None))
    both = replace(one, turns=(*one.turns, empty))
    assert METRICS["on_item"].value(both) == 1.0 and METRICS["grade"].value(both) == 3.0
    assert METRICS["question_share"].value(both) == 0.0


def test_turns_stored_before_confirmations_were_read_stay_readable() -> None:
    record = json.loads(dialogue_to_json(dialogue(1, phase="p", item="i", reward=1.0)))
    del record["turns"][1]["rules"]["confirmation"]
    found = dialogue_from_json(json.dumps(record))
    assert found.tutor_turns[0].rules is not None and found.tutor_turns[0].rules.confirmation is None
    assert METRICS["confirmation_share"].value(found) is None


def test_there_is_no_reward_without_a_component_that_it_weighs() -> None:
    weights = RewardConfig()
    assert reply_reward(weights, UNREAD, 0.1) == (None, {})
    assert dialogue_reward(weights, [READ, UNREAD], [], 0.1)[0] is None
    worth, parts = reply_reward(RewardConfig(question=0, on_item=0, repetition=0, leak=0, gain=0), UNREAD, 0.1)
    assert (worth, parts) == (0, {})
    worth, parts = reply_reward(weights, READ, 0.1)
    assert worth == pytest.approx(sum(parts.values())) and set(parts) == {
        "question", "on_item", "repetition", "leak", "gain",
    }  # fmt: skip


def test_silence_leaves_out_what_it_does_not_have_and_keeps_its_reward() -> None:
    silent = TurnRules(False, 0.0, None, None, 0, None)
    assert silent.unmeasured == ()
    worth, parts = reply_reward(RewardConfig(), silent, 0.1)
    assert worth == pytest.approx(1.0) and set(parts) == {"question", "leak", "gain"}


def test_candidates_without_a_reward_have_no_advantage_and_do_not_move_the_others() -> None:
    def turned(*rules: TurnRules) -> Turn:
        replies = tuple(Candidate(f"c{i}", (), one, reward=9.0, advantage=9.0) for i, one in enumerate(rules))
        return Turn(1, "tutor", "c0", rules=rules[0], candidates=replies)

    one = dialogue(1, phase="p", item="i", reward=1.0)
    mixed = revalued(replace(one, turns=(one.turns[0], turned(READ, UNREAD, READ))), RewardConfig())
    found = mixed.turns[1].candidates
    assert [c.reward is None for c in found] == [False, True, False]
    assert [c.advantage for c in found] == [0.0, None, 0.0]


def test_the_gate_never_passes_on_leaks_that_were_not_measured() -> None:
    def side(phase: str, reward: float) -> list[Dialogue]:
        return [dialogue(i, phase=phase, item=f"i{i % 10}", reward=reward + i % 3 * 0.01) for i in range(20)]

    before, after = side("b", 0.0), side("a", 1.0)
    assert decide(compare_heldout(before, after, confidence=0.95)["difference"], GateConfig()).decision == "promoted"
    half = [replace(unread(d), reward=d.reward) if i % 2 else d for i, d in enumerate(after)]
    found = compare_heldout(before, half, confidence=0.95)
    assert (
        found["not_measured"]["before"].get("leak_rate") is None and found["not_measured"]["after"]["leak_rate"] == 10
    )
    decided = decide(found["difference"], GateConfig())
    assert decided.decision == "rolled_back" and "10 of 20 pairs" in decided.reason
    none = compare_heldout(before, [replace(unread(d), reward=d.reward) for d in after], confidence=0.95)
    assert "leak_rate" in decide(none["difference"], GateConfig()).reason


def test_an_experiment_counts_and_says_what_was_not_measured() -> None:
    dialogues = [
        unread(d) if d.spec.tutor_name == "dump" or (d.spec.tutor_name == "asks" and d.spec.persona == "limited") else d
        for d in made()
    ]
    found = analyse(MADE, dialogues, planned=experiment_specs(MADE))
    rows = {row["tutor"]: row for row in found["tutors"]}
    asks, dump = rows["asks"], rows["dump"]
    lacking = asks["not_measured"]["question_share"]
    assert 0 < lacking < asks["n"] and asks["figures"]["question_share"]["n"] == asks["n"] - lacking
    assert "leak_rate" not in dump["figures"] and dump["not_measured"]["leak_rate"] == dump["n"]
    assert "gain" not in asks["not_measured"]
    told = gaps(found, dialogues)["unmeasured"]
    assert any(f"asks {lacking} of {asks['n']}" in line and "real question" in line for line in told)
    table = tables_of(found, dialogues)["leaderboard"]
    shown = {row["tutor"]: row["question_share.not_measured"] for row in table.rows}
    assert shown["asks"] == lacking and shown["dump"] == dump["n"]
    assert figures_of({"experiment": found})["asks/question_share.not_measured"] == lacking
    shell = StringIO()
    show({"experiment": found, "phases": {}}, Path("r"), Console(file=shell, width=80))
    text = shell.getvalue()
    assert f"(n {asks['n'] - lacking} of {asks['n']})" in text and "not measured" in text


def test_the_leak_ledger_counts_the_turns_that_it_could_not_read() -> None:
    one = dialogue(1, phase="p", item="i", reward=1.0)
    leaking = replace(one, leaks=(Leak(1, "text", 1.0, "it"),))
    (phase,) = leak_ledger([leaking, unread(one)])
    assert (phase.tutor_turns, phase.unread, phase.leaking) == (2, 1, 1)
