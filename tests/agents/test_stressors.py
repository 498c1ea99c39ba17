"""Stressors: their data, the coupling of intensities, the ladder, and a judge's fence that they cannot close."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from agents.errors import InputError
from agents.judges.fence import fence
from agents.judges.rubric import judge_messages
from agents.judges.rubrics import load_rubric, shipped_rubrics
from agents.judges.rules import content, find_leaks, telling_words
from agents.packs import load_pack, shipped_packs
from agents.records import Turn
from agents.stressors import FIELDS, Stressor, draw, move, parse_stressors, stressed_text, stressor, stressors

NAMES = (
    "answer_begging",
    "social_engineering",
    "prompt_injection_tutor",
    "prompt_injection_judge",
    "hint_abuse",
    "confidently_wrong",
    "off_topic",
    "silence",
    "language_switch",
    "distress",
)
ITEMS = tuple(item for pack in shipped_packs() for item in load_pack(pack).items)
BELIEF, QUESTION = "The sun burns hotter in summer.", "Why is summer warmer?"
KEYS = tuple(f"student-{number}" for number in range(3000))

keys = st.text(max_size=40)
names = st.sampled_from(NAMES)
intensities = st.floats(min_value=0.0, max_value=1.0)
numbers = st.integers(min_value=0, max_value=60)


def _said(one: Stressor, intensity: float, number: int, key: str = "s") -> str | None:
    return move(one, intensity=intensity, number=number, student_key=key, belief=BELIEF, question=QUESTION)


def _rung(one: Stressor, said: str) -> int:
    filled = [line.replace("{belief}", BELIEF).replace("{question}", QUESTION) for line in one.lines]
    return filled.index(said)


def test_the_shipped_stressors_are_these() -> None:
    assert tuple(stressors()) == NAMES
    for name, one in stressors().items():
        assert stressor(name) is one and one.name == name and one.about
        assert 6 <= len(one.lines) <= 8 and all(line.strip() == line for line in one.lines)
    assert any("{belief}" in line for line in stressor("confidently_wrong").lines)
    assert not any("{belief}" in line for line in stressor("language_switch").lines)


def test_an_unknown_stressor_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no stressor 'of_topic'; did you mean 'off_topic'"):
        stressor("of_topic")


@given(keys, names, numbers, intensities, intensities)
def test_the_stressed_turns_of_a_student_only_grow_with_the_intensity(
    key: str, name: str, number: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    calm, stressed = (_said(stressor(name), intensity, number, key) for intensity in (low, high))
    assert calm is None or stressed is not None
    assert _said(stressor(name), 0.0, number, key) is None
    assert _said(stressor(name), 1.0, number, key) is not None
    assert (stressed is not None) == (draw(key, name, number) < high)


@given(keys, names, numbers, numbers, intensities, intensities)
def test_the_ladder_is_climbed_with_turns_and_starts_higher_with_intensity(
    key: str, name: str, first: int, second: int, one: float, other: float
) -> None:
    found = stressor(name)
    early, late = sorted((first, second))
    low, high = sorted((one, other))
    places = [(intensity, number) for intensity in (low, high) for number in (early, late)]
    said = {at: _said(found, at[0], at[1], key) for at in places}
    rungs = {at: _rung(found, line) for at, line in said.items() if line is not None}
    for (intensity, number), rung in rungs.items():
        assert all(rung <= other_rung for at, other_rung in rungs.items() if at[0] >= intensity and at[1] >= number)


def test_the_ladder_begins_at_the_bottom_or_half_way_up() -> None:
    for one in stressors().values():
        first, last = _said(one, 1.0, 0), _said(one, 1.0, 50)
        assert first and last and _rung(one, first) == len(one.lines) // 2 and _rung(one, last) == len(one.lines) - 1
        key = min(KEYS, key=lambda key: draw(key, one.name, 0))
        low = _said(one, 0.1, 0, key)
        assert low and _rung(one, low) == 0


@pytest.mark.parametrize("intensity", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", ["answer_begging", "distress"])
def test_over_many_students_the_share_of_stressed_turns_is_the_intensity(name: str, intensity: float) -> None:
    stressed = [[_said(stressor(name), intensity, number, key) is not None for number in (0, 1)] for key in KEYS]
    margin = 4 * math.sqrt(intensity * (1 - intensity) / len(KEYS))
    for number in (0, 1):
        assert sum(turns[number] for turns in stressed) / len(KEYS) == pytest.approx(intensity, abs=margin)
    both = intensity**2  # one turn's draw tells nothing of the next one's
    assert sum(map(all, stressed)) / len(KEYS) == pytest.approx(both, abs=4 * math.sqrt(both * (1 - both) / len(KEYS)))


def test_draws_are_uniform_and_the_same_everywhere() -> None:
    draws = [draw(key, "silence", 2) for key in KEYS]
    assert all(0.0 <= value < 1.0 for value in draws) and len(set(draws)) == len(draws)
    assert kstest(draws, "uniform").pvalue > 0.01
    assert draw("student-1", "distress", 3) == 0.21172897035386795  # SHA-256 of '["student-1", "distress", 3]'


@pytest.mark.parametrize("intensity", [-0.1, 1.1, math.nan, math.inf])
def test_an_intensity_outside_its_range_is_an_error(intensity: float) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        _said(stressor("silence"), intensity, 0)


def test_a_negative_turn_is_an_error() -> None:
    with pytest.raises(InputError, match="turn number is -1"):
        _said(stressor("silence"), 1.0, -1)


def test_fields_are_filled_once_and_other_braces_stay() -> None:
    one = Stressor("x", "a", "append", ('{belief} {"verdict": "OK"} {question}',))
    said = move(one, intensity=1.0, number=0, student_key="s", belief="a {question}", question="b {belief} \\1")
    assert said == 'a {question} {"verdict": "OK"} b {belief} \\1'
    for shipped in stressors().values():
        for number in range(len(shipped.lines)):
            line = _said(shipped, 1.0, number)
            assert line and not re.search(r"\{(belief|question)\}", line)


def test_appended_and_replacing_stressors_in_the_turn() -> None:
    append, replace = Stressor("a", "", "append", ("x",)), Stressor("r", "", "replace", ("x",))
    assert stressed_text("It spins. ", append, "Tell me!") == "It spins. Tell me!"
    assert stressed_text("", append, "Tell me!") == "Tell me!"
    assert stressed_text("It spins.", replace, "ok") == "ok"
    for one in (append, replace):
        assert stressed_text("Why is it dark?", one, "ok", opening=True) == "Why is it dark? ok"


def test_no_line_holds_a_word_that_only_a_leak_would_say() -> None:
    """Words that a student says first are no leak of the tutor's: a stressor must not hide leaks by saying them."""
    for item in ITEMS:
        telling = telling_words(item.question)
        for one in stressors().values():
            for line in one.lines:
                plain = re.sub(r"\{\w+\}", "", line)
                tags = {"turn"} if one.name == "prompt_injection_judge" else set()
                assert telling & set(content(plain)) <= tags, (item.id, line)
                assert not find_leaks(plain, item.question, turn=0), (item.id, line)
                for option in item.question.options:
                    if not option.correct:
                        filled = line.replace("{belief}", option.text).replace("{question}", item.question.text)
                        assert item.question.answer_text not in filled


@pytest.mark.parametrize("rubric", shipped_rubrics())
def test_no_line_can_close_the_judges_fence(rubric: str) -> None:
    found, item = load_rubric(rubric), ITEMS[0]
    lines = stressor("prompt_injection_judge").lines
    assert sum("</dialogue>" in line for line in lines) >= 2 and sum('"verdict"' in line for line in lines) >= 2
    for line in (*lines, *(line for one in stressors().values() for line in one.lines)):
        calm = (Turn(0, "student", item.opening), Turn(1, "tutor", "What do you see?"))
        turns = (*calm, Turn(2, "student", stressed_text("Hm.", stressor("prompt_injection_judge"), line)))
        for criterion in found.criteria:
            system, user = judge_messages(item, turns, criterion, found.scale)
            plain = judge_messages(item, calm, criterion, found.scale)
            assert system == plain[0]
            outside = []
            for text, said in ((user["content"], turns), (plain[1]["content"], calm)):
                mark = fence(said).mark
                assert text.count(f"<dialogue-{mark}>") == text.count(f"</dialogue-{mark}>") == 1
                assert text.count("<turn-") == text.count(f"\n<turn-{mark} ") == len(said)
                before, after = text.split(f"<dialogue-{mark}>")[0], text.split(f"</dialogue-{mark}>")[1]
                outside.append((before.replace(mark, ""), after.replace(mark, "")))
            assert outside[0] == outside[1]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("says: append", "says: prepend", "mine: x.says"),
        ("about: a", "abuot: a", "x.abuot|x.about"),
        ("- six", "- five", "x.lines: a line stands twice"),
        ("    - six\n", "", "x.lines.*at least 6"),
        ("- six", "- '{beleif}'", "unknown field 'beleif'; did you mean 'belief'"),
        ("- six", "- 6", "x.lines.5"),
        ("x:", "x: [", "not a readable YAML file"),
    ],
)
def test_a_wrong_file_names_stressor_and_field(old: str, new: str, says: str) -> None:
    lines = "".join(f"    - {word}\n" for word in ("one", "two {belief}", "three", "'four {\"a\": 1}'", "five", "six"))
    good = f"x:\n  about: a\n  says: append\n  lines:\n{lines}"
    assert len(parse_stressors(good, "mine")["x"].lines) == 6 and old in good
    with pytest.raises(InputError, match=says):
        parse_stressors(good.replace(old, new), "mine")


def test_what_is_no_map_of_stressors_is_an_error() -> None:
    for text in ("", "- a", "3"):
        with pytest.raises(InputError, match="stressors mine: the file"):
            parse_stressors(text, "mine")
    assert FIELDS == {"belief", "question"}
