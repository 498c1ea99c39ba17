"""What an endpoint may answer: thoughts, parts, odd fields, refused fields, rate limits, half characters."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

import pytest

from agents.engines.base import Completion, Message, Sampling
from agents.engines.endpoint import Clock
from agents.engines.openai import OpenAIEngine
from agents.errors import EngineError, EngineRefused, EngineUnavailable, NoReply, RateLimited
from agents.records import Usage
from tests.agents.contract import MESSAGES
from tests.agents.server import Answer, FakeServer, chat

WARM = Sampling(temperature=0.7)
COLD = Sampling(temperature=0.0)
SCHEMA = json.dumps({"type": "object", "properties": {"x": {"type": "integer"}}})


class Hourglass(Clock):
    """A clock that is turned on by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def _ask(
    server: FakeServer, *samplings: Sampling, messages: list[Message] = MESSAGES, **settings: Any
) -> list[Completion]:
    async def ask() -> list[Completion]:
        engine = OpenAIEngine("m", server.url, "key", **{"clock": Hourglass(), "max_retries": 2, **settings})
        try:
            return [one for sampling in samplings for one in await engine.generate(messages, sampling)]
        finally:
            await engine.close()

    return asyncio.run(ask())


def _outcomes(server: FakeServer, samplings: Sequence[Sampling], **settings: Any) -> list[Completion | EngineError]:
    """What one engine says to each request, or how it failed; making an engine costs more than a request."""

    async def ask() -> list[Completion | EngineError]:
        engine = OpenAIEngine("m", server.url, "key", **{"clock": Hourglass(), "max_retries": 2, **settings})
        found: list[Completion | EngineError] = []
        for sampling in samplings:
            try:
                found += await engine.generate(MESSAGES, sampling)
            except EngineError as error:
                found.append(error)
        await engine.close()
        return found

    return asyncio.run(ask())


def _message(content: object, finish: object = "stop", **fields: object) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **fields}, "finish_reason": finish}
    return Answer(body=json.dumps({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 6}}))


def _refusal(message: str, status: int = 400, **fields: object) -> Answer:
    return Answer(status, json.dumps({"error": {"message": message, **fields}}))


SILENT = [
    _message("", "length"),
    _message("  \n"),
    _message(None),
    _message("", reasoning_content="The key is B."),
    _message(None, reasoning="The key is B."),
    _message("", reasoning_details=[{"type": "reasoning.text", "text": "The key is B."}]),
    _message("<think>The key is", "length"),
    _message("What do you", "content_filter"),
    _message(None, refusal="I cannot."),
    _message([{"type": "refusal", "refusal": "I cannot."}]),
    _message([{"type": "thinking", "thinking": [{"type": "text", "text": "B"}]}]),
    _message([]),
    Answer(body='{"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 6}}'),
    Answer(body='{"choices": [null], "usage": {"prompt_tokens": 10, "completion_tokens": 6}}'),
    Answer(body='{"choices": null, "usage": {"prompt_tokens": 10, "completion_tokens": 6}}'),
]


def test_an_answer_without_a_reply_is_asked_again_where_that_can_help() -> None:
    good = Answer(body=chat("Why?"))
    with FakeServer([one for silent in SILENT for one in (silent, silent, good)]) as server:
        found = _outcomes(server, [WARM] * len(SILENT))
    for silent, said in zip(SILENT, found, strict=True):
        assert isinstance(said, Completion), silent.body
        assert (said.text, said.usage) == ("Why?", Usage(30, 18, no_replies=2)), silent.body
    for sampling, often in ((WARM, 3), (COLD, 1)):
        with FakeServer([silent for silent in SILENT for _ in range(often)]) as server:
            failed = _outcomes(server, [sampling] * len(SILENT))
        assert len(server.requests) == often * len(SILENT)
        for silent, error in zip(SILENT, failed, strict=True):
            assert type(error) is NoReply, silent.body
            assert error.usage == Usage(10 * often, 6 * often, no_replies=often), silent.body


def test_thoughts_are_kept_apart() -> None:
    answers = [
        _message("<think>B</think>Why?"),
        _message("Why?", reasoning_content="B"),
        _message(
            [{"type": "text", "text": "Wh"}, {"type": "thinking", "thinking": "B"}, {"type": "text", "text": "y?"}]
        ),
        _message([{"type": "thinking", "thinking": [{"type": "text", "text": "B"}]}, {"type": "text", "text": "Why?"}]),
        _message("<|channel|>analysis<|message|>B<|end|><|start|>assistant<|channel|>final<|message|>Why?"),
        *(
            _message(
                [{"type": kind, "text": "B"}, {"type": "tool_use", "content": "f"}, {"type": "text", "text": "Why?"}]
            )
            for kind in ("reasoning_text", "reasoning.text", "analysis", "redacted_thinking")
        ),
        _message([{"type": "reasoning_text", "text": "B"}, {"type": "text", "text": "Why?", "thinking": None}]),
    ]
    with FakeServer(answers) as server:
        found = _ask(server, *[WARM] * len(answers))
    assert [(one.text, one.reasoning) for one in found] == [("Why?", "B")] * len(answers)


ODD = [
    {"model": None},
    {"model": 3},
    {"usage": None},
    {"usage": {"prompt_tokens": 10, "completion_tokens": None}},
    {"usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}},
    {"usage": {"prompt_tokens": "10", "completion_tokens": 6.0}},
    {"usage": {"prompt_tokens": -3, "completion_tokens": 1e400}},
    {"usage": []},
    {"object": None, "id": None, "system_fingerprint": 7, "error": None},
    {"choices": [{"index": None, "finish_reason": 1, "message": {"content": "Why?"}}]},
    {"choices": [{"finish_reason": None, "logprobs": [], "token_ids": [None], "message": {"content": "Why?"}}]},
    {"choices": [{"message": {"role": None, "content": "Why?", "tool_calls": None, "refusal": ""}}]},
    {"choices": [{"message": {"content": ["Wh", {"type": "text", "text": "y?"}], "reasoning_content": None}}]},
    {"choices": [{"message": {"content": {"type": "text", "text": "Why?"}}}]},
    {"choices": [{"text": "Why?"}]},
]


def test_fields_that_decide_nothing_are_taken() -> None:
    bodies = [json.dumps(json.loads(chat("Why?")) | change) for change in ODD]
    with FakeServer([Answer(body=one) for body in bodies for one in (body, f"\ufeff\n{body}")]) as server:
        found = _outcomes(server, [WARM] * 2 * len(ODD))
    for body, said in zip([body for body in bodies for _ in range(2)], found, strict=True):
        assert isinstance(said, Completion), (body, said)
        assert (said.text, said.policy_version) == ("Why?", "m"), body
        assert said.finish_reason == ("1" if '"finish_reason": 1' in body else "stop")
    assert len(server.requests) == 2 * len(ODD)


def test_tokens_that_are_missing_follow_from_the_total() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 16}
    with FakeServer([Answer(body=json.dumps(json.loads(chat("Why?")) | {"usage": usage}))]) as server:
        assert _ask(server, WARM)[0].usage == Usage(10, 6)


OTHER = [
    ('{"id": "x", "data": []}', "it has no `choices`, but data, id"),
    ("[1, 2]", "it is a list, not an object"),
    ('"hello"', "it is a text"),
    ('{"choices": {"0": "a"}}', "`choices` is an object, not a list"),
    ('{"choices": ["a"]}', "`choices.0` is a text, not an object"),
    ('{"choices": [{"message": "a"}]}', "`choices.0.message` is a text"),
    ('{"choices": [{"delta": {"content": "a"}}]}', "`choices.0.message` is null"),
    ('{"choices": [{"message": {"content": 3}}]}', "`choices.0.message.content` is a number"),
    ('{"error": {"message": "no such model", "code": 404}}', "HTTP 404: no such model"),
    ('{"error": "bad voice"}', "HTTP 400: bad voice"),
    ('{"error": {"message": "add funds", "code": "insufficient_quota"}}', "HTTP 429: add funds"),
]


def test_what_would_come_back_the_same_is_asked_once() -> None:
    with FakeServer([Answer(body=body) for body, _ in OTHER]) as server:
        failed = _outcomes(server, [WARM] * len(OTHER))
    assert len(server.requests) == len(OTHER)
    for (body, says), error in zip(OTHER, failed, strict=True):
        assert isinstance(error, EngineRefused), body
        assert says in str(error) and "the server runs" not in str(error), body


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        (
            _refusal("Unsupported value: 'temperature' does not support 0.7 with this model.", param="temperature"),
            "temperature",
        ),
        (_refusal("temperature is not supported"), "temperature"),
        (Answer(400, "temperature is not supported"), "temperature"),
        (Answer(422, json.dumps({"detail": [{"loc": ["body", "temperature"], "msg": "extra"}]})), "temperature"),
        (_refusal("Unrecognized request argument supplied: top_p"), "top_p"),
        (_refusal("`temperature` and `top_p` cannot both be specified", param="top_p"), "top_p"),
        (_refusal("repetition_penalty: Extra inputs are not permitted", 422), "repetition_penalty"),
        (_refusal("Unsupported parameter: 'stop' is not supported with this model."), "stop"),
        (_refusal("response_format json_schema is not supported"), "response_format"),
        (_refusal("This model does not support structured outputs"), "response_format"),
        (_refusal("logprobs are not available"), "logprobs"),
    ],
)
def test_a_field_that_is_refused_is_left_out_and_said_once(
    refusal: Answer, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    full = Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.1, stop=("Student:",), schema=SCHEMA)
    said = _message("Why? Student: hm")
    with caplog.at_level(logging.WARNING), FakeServer([refusal, said, said]) as server:
        found = _ask(server, full, full, token_details=True)
    assert [field in body for _, body, _, _ in server.requests] == [True, False, False]
    assert server.requests[0][1].keys() - {field} == server.requests[1][1].keys()
    assert [one.fallbacks for one in found] == [("json_schema" if field == "response_format" else field,)] * 2
    assert [one.text for one in found] == ["Why?" if field == "stop" else "Why? Student: hm"] * 2
    assert sum(f"refuses {field}" in record.message for record in caplog.records) == 1


def test_several_fields_may_be_refused_one_after_the_other() -> None:
    with FakeServer([_refusal("no temperature here"), _refusal("no top_p here")]) as server:
        found = _ask(server, Sampling(temperature=0.7, top_p=0.9))
    assert found[0].fallbacks == ("temperature", "top_p") and len(server.requests) == 3


def test_a_server_that_refuses_n_is_asked_one_by_one() -> None:
    with FakeServer([_refusal("n > 1 is not supported")]) as server:
        found = _ask(server, Sampling(n=3), Sampling(n=2))
    assert len(found) == 5 and {one.fallbacks for one in found} == {("n",)}
    assert [body.get("n", 1) for _, body, _, _ in server.requests] == [3, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("words", "refusals", "fallbacks"),
    [
        ("Unknown field n", 1, ("n",)),
        ("number of choices must be 1", 1, ("n",)),
        ("json mode unavailable", 2, ("json_schema",)),
        ("grammars are not to be had here", 3, ("json_schema", "n")),
    ],
)
def test_what_servers_often_do_not_know_is_left_out_whatever_they_call_it(
    words: str, refusals: int, fallbacks: tuple[str, ...]
) -> None:
    """Only what helped to go without stays left out."""
    with FakeServer([_refusal(words)] * refusals) as server:
        found = _ask(server, Sampling(n=2, schema=SCHEMA))
    assert len(found) == 2 and {one.fallbacks for one in found} == {fallbacks}


def test_a_refusal_that_no_left_out_field_lifts_is_told_as_it_was_first() -> None:
    with FakeServer([_refusal("not to be had"), *[_refusal("still not")] * 3]) as server:
        with pytest.raises(EngineRefused, match="not to be had"):
            _ask(server, Sampling(n=2, schema=SCHEMA))
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens.",
        "max_tokens must be at least 1",
        "invalid model id",
    ],
)
def test_a_refusal_for_another_reason_stays_one(message: str) -> None:
    with FakeServer([_refusal(message)] * 3) as server:
        with pytest.raises(EngineRefused, match="HTTP 400"):
            _ask(server, WARM)
        assert len(server.requests) == 1


def test_a_refusal_that_blames_a_field_in_vain_leaves_nothing_out() -> None:
    blamed = _refusal("bad request: {'temperature': 0.7, 'messages': []}")
    with FakeServer([blamed, _refusal("the account is closed")]) as server:
        with pytest.raises(EngineRefused, match="account is closed"):
            _ask(server, WARM)
    with FakeServer([blamed, _refusal("nothing works")] + [Answer(body=chat("Why?"))]) as server:

        async def twice() -> Completion:
            engine = OpenAIEngine("m", server.url, "key")
            with pytest.raises(EngineRefused):
                await engine.generate(MESSAGES, WARM)
            (found,) = await engine.generate(MESSAGES, WARM)
            await engine.close()
            return found

        assert asyncio.run(twice()).fallbacks == () and server.requests[-1][1]["temperature"] == 0.7


def test_defaults_of_the_server_are_not_sent() -> None:
    with FakeServer() as server:
        _ask(server, Sampling(temperature=1.0, top_p=1.0, n=1))
    assert set(server.requests[0][1]) == {"model", "messages", "max_tokens"}


LIMITS = [
    (Answer(429, "slow down"), 0.0),
    (Answer(429, "slow down", {"Retry-After": "30"}), 30.0),
    (Answer(429, "slow down", {"retry-after-ms": "1500"}), 1.5),
    (Answer(429, "slow down", {"retry-after-ms": "1500", "Retry-After": "30"}), 1.5),
    (Answer(429, "slow down", {"Retry-After": "soon", "retry-after-ms": "nan"}), 0.0),
    (Answer(503, "busy", {"Retry-After": "20"}), 20.0),
    (Answer(529, "overloaded"), 0.0),
    (Answer(498, "flex tier capacity exceeded"), 0.0),
    (Answer(429, "slow down", {"x-ratelimit-reset-requests": "0m30s"}), 30.0),
    (Answer(429, "try again in 20s", {"x-ratelimit-reset-requests": "1m0s"}), 20.0),
    (_refusal("The server is overloaded. Please try again in 20s.", 503), 20.0),
    (Answer(body='[{"error": {"message": "Overloaded", "details": [{"retryDelay": "36s"}]}}]'), 36.0),
    (Answer(body='{"object": "error", "message": "Too many requests", "code": 429}'), 0.0),
    (Answer(body='{"error": {"message": "rate limit reached", "code": 429}}'), 0.0),
    (Answer(body='{"error": {"message": "Overloaded", "type": "overloaded_error"}}'), 0.0),
]


@pytest.mark.parametrize(("limit", "seconds"), LIMITS)
def test_a_rate_limit_is_waited_out_by_time(limit: Answer, seconds: float) -> None:
    clock = Hourglass()
    with FakeServer([limit] * 12) as server:
        assert _ask(server, WARM, clock=clock)[0].text
    assert len(server.requests) == 13 and clock.now() > 60  # far more than `max_retries`
    assert all(seconds <= slept <= seconds + 15 for slept in clock.slept)


def test_a_date_is_waited_for() -> None:
    clock = Hourglass()
    limit = Answer(429, "slow down", {"Retry-After": formatdate(clock.date() + 100, usegmt=True)})
    with FakeServer([limit]) as server:
        _ask(server, WARM, clock=clock)
    assert 90 < clock.now() < 102


def test_the_wait_for_a_rate_limit_has_an_end() -> None:
    clock = Hourglass()
    with FakeServer([Answer(429, "slow down")] * 50) as server:
        with pytest.raises(RateLimited, match="HTTP 429: .*a request waits 90 s.*rate_limit_seconds"):
            _ask(server, WARM, clock=clock, rate_limit_seconds=90)
    assert clock.now() == pytest.approx(90)
    clock = Hourglass()
    with FakeServer([Answer(429, "slow down", {"Retry-After": "91"})]) as server:
        with pytest.raises(RateLimited, match="asked to wait 91 s"):
            _ask(server, WARM, clock=clock, rate_limit_seconds=90)
    assert clock.slept == []


@pytest.mark.parametrize(
    "spent",
    [
        _refusal("You exceeded your current quota, please check your plan", 429),
        _refusal("pay", 429, type="insufficient_quota"),
        _refusal("Insufficient Balance", 402),
        _refusal("Your credit balance is too low to access the API.", 400),
    ],
)
def test_a_quota_that_is_used_up_is_final(spent: Answer) -> None:
    with FakeServer([spent] * 3) as server:
        with pytest.raises(EngineRefused, match="quota is used up"):
            _ask(server, WARM)
        assert len(server.requests) == 1


def test_a_request_that_is_larger_than_its_limit_is_final() -> None:
    large = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 41000."
    with FakeServer([_refusal(large, 429, code="rate_limit_exceeded")]) as server:
        with pytest.raises(EngineRefused, match="more than the limit: shorten the prompt"):
            _ask(server, WARM)


def test_a_limit_that_passes_is_waited_out_though_it_speaks_of_billing() -> None:
    minute = "You exceeded your current quota, please check your plan and billing details. Please retry in 36.2s."
    limits = [
        _refusal("Rate limit reached. Please try again in 20s. Visit example.org/account/billing", 429),
        _refusal("see billing", 429, code="rate_limit_exceeded"),
        _refusal(minute, 429),
        Answer(429, "You exceeded your current quota", {"Retry-After": "3"}),
        Answer(body='{"choices": [], "error": {"code": 429, "message": "slow down"}}'),
    ]
    with FakeServer([*limits, Answer(body=chat("Why?"))]) as server:
        assert _ask(server, WARM, clock=Hourglass())[0].text == "Why?"
    assert len(server.requests) == len(limits) + 1


def test_faults_and_limits_are_counted_apart() -> None:
    clock = Hourglass()
    fault, limit = Answer(500, "boom"), Answer(429, "slow down")
    with FakeServer([limit, fault, limit, limit, fault, limit]) as server:
        assert _ask(server, WARM, clock=clock)[0].text
    # Servers tell how much is left of their limits with every answer, also with one that failed otherwise.
    fault.headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8.6s"}
    with FakeServer([limit, fault, fault, fault]) as server:
        with pytest.raises(EngineUnavailable, match="in 3 attempts.*HTTP 500: .*Look into the server's log"):
            _ask(server, WARM, clock=Hourglass())


def test_half_a_character_is_made_visible_in_both_directions() -> None:
    body = chat("X").replace('"X"', '"Well \\ud83d done\\u0000, \\ud83d\\ude00 and C:\\\\ud83d?"')
    sent: list[Message] = [{"role": "user", "content": "cut \ud83d and \ud83d\ude00"}]
    with FakeServer([Answer(body=body)]) as server:
        (found,) = _ask(server, WARM, messages=sent)
        assert found.text == "Well \ufffd done\ufffd, 😀 and C:\\ud83d?" and len(server.requests) == 1
    assert server.requests[0][1]["messages"] == [{"role": "user", "content": "cut \ufffd and 😀"}]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"cached_tokens": 900}},
        {"prompt_cache_hit_tokens": 900},
        {"prompt_tokens_details": None, "cached_tokens": 900},
    ],
)
def test_cached_prompt_tokens_are_priced_apart_where_there_is_a_price(usage: dict[str, object]) -> None:
    told = {"usage": {"prompt_tokens": 1000, "completion_tokens": 100, **usage}}
    answer = Answer(body=json.dumps(json.loads(chat("Why?")) | told))
    costs = {None: 1000 * 2.0, 0.5: 100 * 2.0 + 900 * 0.5, 0.0: 100 * 2.0}
    for price, prompt_cost in costs.items():
        with FakeServer([answer]) as server:
            (found,) = _ask(server, WARM, price_per_million=(2.0, 8.0), price_per_million_cached=price)
        assert found.usage.cost == pytest.approx((prompt_cost + 100 * 8.0) / 1e6)
        assert (found.usage.prompt_tokens, found.usage.cached_prompt_tokens) == (1000, 900)
