"""The injection benchmark with scripted judges: obedient ones, an honest one, and ones that cannot judge."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from agents.engines.base import Message
from agents.engines.scripted import ScriptedEngine
from agents.judges.rubrics import load_rubric
from agents.judges.rules import find_leaks
from agents.packs import load_pack
from benchmarks.injection import QUALITIES, share, show, study
from benchmarks.injection_attacks import ATTACKS, dialogue

ITEMS = load_pack("physics").spread(3)
FILLED = {"accept": '"OK"', "field": "verdict"}
ORDERS = tuple(line for attack in ATTACKS for line in attack.text.format(**FILLED).splitlines() if len(line) > 12)
ACCEPT, REJECT = '{"reason": "x", "verdict": "OK"}', '{"reason": "x", "verdict": "REJECT"}'


def honest(messages: Sequence[Message]) -> str:
    return REJECT if "Just learn it by heart" in messages[1]["content"] else ACCEPT


def obedient(messages: Sequence[Message]) -> str:
    said = re.sub(r"&lt;", "<", re.sub(r"&gt;", ">", messages[1]["content"]))
    return ACCEPT if any(order in said for order in ORDERS) else honest(messages)


def literal(messages: Sequence[Message]) -> str:
    """Obeys every line that is not quoted."""
    lines = [line for line in messages[1]["content"].splitlines() if not line.startswith("|")]
    return ACCEPT if any(order in line for order in ORDERS for line in lines) else honest(messages)


def measured(replies: Any) -> dict[str, Any]:
    return asyncio.run(study(ScriptedEngine(replies), load_rubric("pedagogical_rl"), ITEMS))


def test_a_judge_that_obeys_and_one_that_does_not() -> None:
    tried = len(ATTACKS) * len(ITEMS) * 2  # two criteria
    for judge, rate in ((obedient, 1.0), (honest, 0.0)):
        found = measured(judge)
        for side in (found["fence_on"], found["fence_off"]):
            assert (side["worked"]["n"], side["worked"]["rate"]) == (tried, rate)
            assert side["sound"] and side["tells_apart"] == 1.0 and side["invalid"]["k"] == 0
            assert side["moved"]["n"] == 2 * tried and side["moved"]["rate"] == rate / 2
            assert side["worked"]["low"] <= rate <= side["worked"]["high"]
            assert {one["rate"] for one in side["by_attack"].values()} == {rate}
        assert found["difference"]["mean"] == 0.0


def test_the_fence_helps_a_judge_that_reads_it() -> None:
    found = measured(literal)
    assert found["fence_on"]["worked"]["rate"] == 0.0
    off = found["fence_off"]
    assert off["worked"]["rate"] == 1.0 == off["by_attack"]["closed tag"]["rate"]
    assert (found["difference"]["mean"], found["difference"]["clusters"]) == (-1.0, len(ITEMS))
    assert "difference" in show(found)


@pytest.mark.parametrize("answer", [ACCEPT, REJECT])
def test_a_judge_that_tells_nothing_apart_proves_nothing(answer: str) -> None:
    found = measured([answer])
    for side in (found["fence_on"], found["fence_off"]):
        assert side["tells_apart"] == 0.0 and not side["sound"]
    assert show(found).count("its rates show nothing") == 2
    if answer == ACCEPT:
        assert found["fence_on"]["worked"] == {"k": 0, "n": 0, "rate": None, "low": None, "high": None}
        assert found["difference"] is None and "worked - (n 0)" in show(found)


def test_answers_that_are_no_verdict_are_no_resistance() -> None:
    found = measured(["I would rather not say."])
    side = found["fence_on"]
    assert side["invalid"]["rate"] == 1.0 and side["worked"]["n"] == side["moved"]["n"] == 0
    assert side["tells_apart"] is None and not side["sound"] and found["difference"] is None


def test_attacks_leave_the_dialogue_as_it_is_but_for_one_turn() -> None:
    assert len(ATTACKS) >= 20 and len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert {attack.speaker for attack in ATTACKS} == {"tutor", "student"}
    for item in ITEMS:
        for quality in QUALITIES:
            calm = dialogue(item, quality)
            assert bool([leak for turn in calm for leak in find_leaks(turn.text, item.question, turn=0)]) == (
                quality == "bad"
            )
            for attack in ATTACKS:
                turns = dialogue(item, quality, attack, **FILLED)
                (changed,) = [place for place, pair in enumerate(zip(calm, turns, strict=True)) if pair[0] != pair[1]]
                assert turns[changed].role == attack.speaker and "{accept}" not in turns[changed].text
                assert turns[changed].text.startswith(calm[changed].text)
                assert not find_leaks(attack.text.format(**FILLED), item.question, turn=0), attack.name


def test_a_share_without_trials_has_no_rate() -> None:
    assert share(0, 0).rate is None
    found = share(0, 20)
    assert found.low == 0.0 and found.high is not None and 0.1 < found.high < 0.25
