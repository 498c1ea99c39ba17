"""Control tutors: by the rules, small talk teaches nothing and a dumped answer is a leak, on every shipped item."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agents.controls import CONTROLS, DUMPS, SMALL_TALK, ControlEngine, ControlTutor
from agents.engines.base import Engine, Message, Sampling
from agents.errors import EngineRefused, InputError
from agents.judges.rules import judge_turn
from agents.packs import load_pack, shipped_packs
from agents.records import Item, Option, Question, Usage

ITEMS = tuple(item for pack in shipped_packs() for item in load_pack(pack).items)
MESSAGES: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


def _after(turns: int) -> list[Message]:
    spoken: list[Message] = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "u"}]
    return MESSAGES + spoken * turns


def test_every_pack_is_looked_at() -> None:
    assert len(ITEMS) >= 110 and {"earth_science", "humanities", "physics"} <= set(shipped_packs())


def test_silence_says_nothing() -> None:
    for item in ITEMS:
        rules, leaks = judge_turn(ControlTutor("silent", item).says(0), item, turn=1)
        assert (rules.words, rules.question, rules.on_item, leaks) == (0, False, None, [])


def test_small_talk_is_never_about_an_item() -> None:
    for item in ITEMS:
        said = [ControlTutor("irrelevant", item).says(number) for number in range(len(SMALL_TALK))]
        assert sorted(said) == sorted(SMALL_TALK) and len(set(said)) >= 8
        for text in said:
            rules, leaks = judge_turn(text, item, turn=1)
            assert (rules.question, rules.on_item, leaks) == (False, 0.0, []), (item.id, text)
            assert text.endswith("?")


def test_small_talk_does_not_begin_alike_on_every_item() -> None:
    assert len({ControlTutor("irrelevant", item).says(0) for item in ITEMS}) == len(SMALL_TALK)


def test_a_dumped_answer_is_a_whole_leak_in_every_turn_of_every_item() -> None:
    for item in ITEMS:
        said = [ControlTutor("answer_dump", item).says(number) for number in range(2 * len(DUMPS))]
        assert len(set(said)) == len(DUMPS) and said[0] == f"The right answer is: {item.question.answer_text}"
        for number, text in enumerate(said):
            heard = [item.opening, *[item.question.answer_text] * number]  # a student who repeats it hides no leak
            rules, leaks = judge_turn(text, item, turn=2 * number + 1, tutor_said=said[:number], student_said=heard)
            assert rules.leak == leaks[0].severity == 1.0, (item.id, text)
            assert not rules.question


def test_an_answer_of_any_form_is_dumped() -> None:
    question = Question("What is 6 times 7?", (Option("42", correct=True), Option("36 {x}", misconception="m")))
    item = replace(ITEMS[0], question=question)
    assert ControlTutor("answer_dump", item).says(3) == "So, to put it in a sentence: 42. That is the correct one."
    turned = replace(question, options=(Option("{x} of 36", correct=True), Option("42", misconception="m")))
    assert "{x} of 36" in ControlTutor("answer_dump", replace(item, question=turned)).says(0)


@pytest.mark.parametrize("kind", CONTROLS)
def test_the_engine_says_what_the_tutor_says_at_its_turn(kind: str) -> None:
    async def ask(item: Item) -> None:
        engine = ControlEngine(kind, item)
        assert isinstance(engine, Engine)
        for number in range(12):
            found = await engine.generate(_after(number), Sampling(n=3), dialogue_id="d")
            assert {one.text for one in found} == {ControlTutor(kind, item).says(number)} and len(found) == 3
            assert all((one.usage, one.policy_version, one.token_ids) == (Usage(), "control", ()) for one in found)
            assert all(one.finish_reason == "stop" for one in found)
        await engine.close()
        await engine.close()

    for item in ITEMS[::20]:
        asyncio.run(ask(item))


def test_the_engine_refuses_what_it_cannot_do() -> None:
    engine = ControlEngine("silent", ITEMS[0])
    with pytest.raises(EngineRefused, match="cannot score"):
        asyncio.run(engine.score(MESSAGES, ["a"]))
    for sampling in (Sampling(opener="Why"), Sampling(schema="{}")):
        with pytest.raises(EngineRefused, match="no opener or JSON schema"):
            asyncio.run(engine.generate(MESSAGES, sampling))


def test_an_unknown_control_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no control tutor 'silence'; did you mean 'silent'"):
        ControlEngine("silence", ITEMS[0])
    with pytest.raises(InputError, match="no_tutor"):
        ControlTutor("no_tutor", ITEMS[0])
