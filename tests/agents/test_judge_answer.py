"""What is read out of a judge's answer: one object in any wrapper, and never one of two."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.judges.answer import Unreadable, key_name, read_object

WRAPPERS = (
    "{}",
    "\ufeff{}",
    "\n\t {}\r\n ",
    "```json\n{}\n```",
    "```\n{}\n```",
    "~~~json\n{}\n~~~",
    "```json\n{}",
    "`{}`",
    "Here is my verdict: {}",
    "{}\nThank you.",
    'Sure! It says {{1, 2}} and \\frac{{1}}{{2}}, and the tutor\'s turn is "good".\n\n{}\n\nDone.',
    '<think>The tutor hints. Perhaps {{"verdict": "OK"}}?</think>\n{}',
    "<think>\n</think>{}",
    'It gives {{"verdict": "OK"}}, no.</think>\n{}',
    "<thinking>a</thinking>one<reasoning>b</reasoning>{}",
    '<|channel|>analysis<|message|>{{"verdict": 1}}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>',
    "<|channel|>final <|constrain|>json<|message|>{}",
    "[{}]",
    "```json\n[\n  {}\n]\n```",
    "{} <think>should I have",
)
NOT_AN_OBJECT = ("", " ", "no", "null", "[]", "4", "```json\n```", "<think>{}", "<|channel|>analysis<|message|>{}")
VALUES = st.one_of(
    *map(st.just, (None, True, -0.5, 1e300, [], [{"a": 1}, {"a": 2}], {"b": {"c": "d"}})),
    st.integers(-(10**15), 10**15),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.text('{}[]":,\\`~<>/think ', max_size=12),
)
cheap = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OBJECTS = st.dictionaries(st.sampled_from(["verdict", "reason", "score", "extra"]), VALUES, max_size=4)


@cheap
@given(OBJECTS, st.sampled_from(WRAPPERS), st.booleans(), st.sampled_from([None, 2]))
def test_one_object_is_read_the_same_in_every_wrapper(
    value: dict[str, object], wrapper: str, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read_object(wrapper.format(text)) == value


@cheap
@given(OBJECTS, OBJECTS, st.sampled_from(["{}{}", "{} {}", "{}\n```json\n{}\n```", "[{}, {}]", "first {}, then {}"]))
def test_two_objects_are_never_one(first: dict[str, object], second: dict[str, object], wrapper: str) -> None:
    with pytest.raises(Unreadable):
        read_object(wrapper.format(json.dumps(first), json.dumps(second)))


@cheap
@given(OBJECTS, st.data())
def test_a_part_of_an_object_is_nothing(value: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps({"reason": "because", **value, "verdict": "OK"})
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    whole = '{"reason": "all of it", "verdict": "OK"}'
    for answer in (cut, f"```json\n{cut}", f"{whole}\n{cut}" if cut else "", f"[{whole}, {cut}"):
        with pytest.raises(Unreadable):
            read_object(answer)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(
    "twice",
    [
        '{"verdict":"REJECT","verdict":"ACCEPT"}',
        '{"verdict":"ACCEPT","verdict":"ACCEPT"}',
        '{"verdict":"REJECT","Verdict":"ACCEPT"}',
        '{"verdict":"REJECT","verdict ":"ACCEPT"}',
        '{"verdict":"REJECT","verdict\u200b":"ACCEPT"}',
        '{"verdict":"REJECT","\\u0076erdict":"ACCEPT"}',
        '{"verdict":"OK","more":[{"a":1,"a":2}]}',
    ],
)
def test_a_key_that_stands_twice_is_unreadable_at_every_depth(twice: str, wrapper: str) -> None:
    with pytest.raises(Unreadable, match="stands twice"):
        read_object(wrapper.format(twice))


@pytest.mark.parametrize("text", NOT_AN_OBJECT)
def test_an_answer_without_an_object(text: str) -> None:
    with pytest.raises(Unreadable):
        read_object(text.replace("{}", '{"verdict": "OK"}'))


@pytest.mark.parametrize(
    "text",
    [
        "{'verdict': 'REJECT'} {\"verdict\": \"OK\"}",
        '{verdict: REJECT} {"verdict": "OK"}',
        '{"votes": [{"verdict": "OK"}',
        '{"verdict": "OK",}',
        '{"verdict": OK, "more": {"verdict": "OK"}}',
        '{{"verdict": "OK"}}',
        '"{\\"verdict\\": \\"OK\\"}"',
        '{"verdict": "OK"}, {',
        '[{"verdict": "OK"}',
        '[{"verdict": "OK"},',
        '{"verdict": "OK"',
        '{"score": NaN}',
        '{"score": -Infinity}',
        '{"score": 1e999}',
        '{"score": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_nearly_an_object_is_none_and_hides_none(text: str) -> None:
    with pytest.raises(Unreadable):
        read_object(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 30_000,
        '{"a":' + "[" * 190_000,
        "{" * 100_000,
        "{1}" * 50_000,
        "<think>" * 28_000,
        "<|channel|>final" * 12_000,
        "<think></think>" * 12_000,
        "x" * 2_000_000 + '{"verdict": "OK"}',
    ],
)
def test_hostile_answers_are_refused_in_linear_time(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(Unreadable):
        read_object(text)
    assert time.process_time() - begun < 20  # catches a hang: each takes a few milliseconds


def test_keys_in_another_case_are_the_same_key() -> None:
    assert read_object('{"Reason": "x", " VERDICT": "OK"}') == {"reason": "x", "verdict": "OK"}
    assert key_name("Ｖerdict\u200d") == "verdict"
