"""The endpoint engine against a real HTTP server on loopback that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from typing import Any

import pytest

from agents.engines.address import check_url
from agents.engines.base import Completion, Sampling, Score
from agents.engines.openai import OpenAIEngine
from agents.errors import EngineRefused, EngineUnavailable, InputError, RateLimited
from tests.agents.contract import CONTINUATIONS, MESSAGES, check_engine
from tests.agents.server import Answer, FakeServer, chat

KEY = "sk-very-secret-0123456789"


def _engine(server: FakeServer, **settings: Any) -> OpenAIEngine:
    defaults: dict[str, Any] = {"timeout_seconds": 5.0, "max_retries": 2, "backoff_seconds": 0.01}
    return OpenAIEngine("m", server.url, KEY, **{**defaults, **settings})


def _generate(server: FakeServer, sampling: Sampling | None = None, **settings: Any) -> list[Completion]:
    async def ask() -> list[Completion]:
        engine = _engine(server, **settings)
        try:
            return await engine.generate(MESSAGES, sampling or Sampling())
        finally:
            await engine.close()

    return asyncio.run(ask())


def _score(server: FakeServer, continuations: list[str]) -> list[Score]:
    async def ask() -> list[Score]:
        engine = _engine(server)
        try:
            return await engine.score(MESSAGES, continuations)
        finally:
            await engine.close()

    return asyncio.run(ask())


def _error(status: int, message: str = "no", **fields: str) -> Answer:
    return Answer(status, json.dumps({"error": {"message": message, **fields}}))


def test_contract() -> None:
    with FakeServer() as server:
        asyncio.run(check_engine(_engine(server)))
    with FakeServer(vllm=False) as server:
        asyncio.run(check_engine(_engine(server), scores=False))


def test_request_carries_the_sampling() -> None:
    sampling = Sampling(max_tokens=7, temperature=0.2, top_p=0.9, repetition_penalty=1.1, n=3, stop=("\n",))
    with FakeServer() as server:
        texts = [completion.text for completion in _generate(server, sampling)]
    path, body, headers, _ = server.requests[0]
    assert texts == [f"What do you think, {i}?" for i in range(3)]
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    expected = {"model": "m", "messages": MESSAGES, "max_tokens": 7, "temperature": 0.2, "top_p": 0.9, "n": 3}
    assert body == {**expected, "repetition_penalty": 1.1, "stop": ["\n"]}


def test_usage_and_price_are_split_without_loss() -> None:
    with FakeServer([Answer(body=chat("a", "b", usage=(1000, 501)))]) as server:
        first, second = _generate(server, Sampling(n=2), price_per_million=(2.0, 8.0))
    assert (first.usage.prompt_tokens, second.usage.prompt_tokens) == (1000, 0)
    total = first.usage + second.usage
    assert (total.prompt_tokens, total.completion_tokens) == (1000, 501)
    assert total.cost == pytest.approx((1000 * 2.0 + 501 * 8.0) / 1e6)


def test_missing_usage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(server: FakeServer) -> None:
        engine = _engine(server)
        for _ in range(2):
            assert (await engine.generate(MESSAGES, Sampling()))[0].usage.cost == 0
        await engine.close()

    with caplog.at_level(logging.WARNING), FakeServer([Answer(body=chat("a", usage=None))] * 2) as server:
        asyncio.run(ask(server))
    assert sum("reports no usage" in record.message for record in caplog.records) == 1


def test_a_server_that_ignores_n_is_asked_again() -> None:
    with FakeServer(ignores_n=True) as server:
        completions = _generate(server, Sampling(n=3))
    assert len(completions) == 3
    assert [body.get("n", 1) for _, body, _, _ in server.requests] == [3, 2, 1]
    assert sum(completion.usage.prompt_tokens for completion in completions) == 30


def test_schema_goes_into_the_response_format() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    with FakeServer([Answer(body=chat('{"x": 1}'))]) as server:
        assert _generate(server, Sampling(schema=json.dumps(schema)))[0].text == '{"x": 1}'
        asked = server.requests[0][1]["response_format"]
        assert asked["type"] == "json_schema" and asked["json_schema"]["schema"] == schema
        with pytest.raises(InputError, match="not JSON"):
            _generate(server, Sampling(schema="{x"))


def test_token_details_of_a_vllm_server() -> None:
    answer = json.loads(chat("a b"))
    answer["choices"][0] |= {"token_ids": [5, 6], "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}]}}
    with FakeServer([Answer(body=json.dumps(answer))]) as server:
        completion = _generate(server, token_details=True)[0]
    assert (completion.token_ids, completion.logprobs) == ((5, 6), (-0.5, -1.5))
    assert server.requests[0][1]["return_token_ids"] is True


def test_retry_after_is_honoured() -> None:
    busy = Answer(429, json.dumps({"error": {"message": "slow down"}}), {"Retry-After": "0.3"})
    with FakeServer([busy]) as server:
        assert _generate(server)[0].text
    assert server.requests[1][3] - server.requests[0][3] >= 0.3


def test_a_very_long_retry_after_ends_at_once() -> None:
    with FakeServer([Answer(503, "busy", {"Retry-After": "7200"})]) as server:
        with pytest.raises(RateLimited, match="asked to wait 7200 s"):
            _generate(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (_error(500, "boom"), "HTTP 500: .*boom"),
        (Answer(body="<html>busy</html>", headers={"Content-Type": "text/html"}), "malformed answer '<html>"),
        (Answer(body="{"), "malformed answer"),
        (Answer(body=""), "malformed answer ''"),
        (Answer(body='{"error": {"message": "upstream timed out"}}'), "HTTP 503: upstream timed out"),
    ],
    ids=["500", "html", "half", "empty", "error-in-200"],
)
def test_what_may_pass_is_retried_and_then_reported(bad: Answer, says: str) -> None:
    with FakeServer([bad, bad]) as server:
        assert _generate(server)[0].text == "What do you think, 0?"
        assert len(server.requests) == 3
    with FakeServer([bad] * 3) as server:
        with pytest.raises(EngineUnavailable, match=says) as raised:
            _generate(server)
        assert all(part in str(raised.value) for part in (server.url, "'m'", "3 attempts"))
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (_error(400, "maximum context length is 2048"), "HTTP 400: .*2048"),
        (_error(401, f"Incorrect API key provided: {KEY}"), r"HTTP 401: .*\*\*\*.*api_key_env"),
        (_error(403), "HTTP 403"),
        (_error(404, "no model m"), "HTTP 404: .*Check `model` and `base_url`"),
        (_error(429, "pay", code="insufficient_quota"), "quota is used up"),
        (Answer(body='{"id": 1, "data": []}'), "another shape: it has no `choices`, but data, id"),
        (Answer(body='{"error": {"message": "no such voice"}}'), "HTTP 400: no such voice"),
        (Answer(body='data: {"choices": []}\n\n'), "a stream although none was asked for"),
    ],
    ids=["400", "401", "403", "404", "quota", "other-shape", "error-in-200", "stream"],
)
def test_what_is_final_is_refused_at_once(bad: Answer, says: str) -> None:
    with FakeServer([bad]) as server:
        with pytest.raises(EngineRefused, match=says) as raised:
            _generate(server)
    assert len(server.requests) == 1
    assert KEY not in "".join(traceback.format_exception(raised.value))
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_nobody_listens() -> None:
    with FakeServer() as server:
        pass
    with pytest.raises(EngineUnavailable, match="3 attempts"):
        _generate(server)


def test_the_newer_name_of_the_token_limit_is_learned() -> None:
    refusal = _error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")

    async def ask(server: FakeServer) -> None:
        engine = _engine(server)
        await engine.generate(MESSAGES, Sampling(max_tokens=9))
        await engine.generate(MESSAGES, Sampling(max_tokens=9))
        await engine.close()

    with FakeServer([refusal]) as server:
        asyncio.run(ask(server))
    bodies = [body for _, body, _, _ in server.requests]
    assert ["max_tokens" in body for body in bodies] == [True, False, False]
    assert all(body["max_completion_tokens"] == 9 for body in bodies[1:])


def test_requests_in_flight_are_bounded() -> None:
    async def ask(server: FakeServer) -> None:
        engine = _engine(server, max_concurrency=2)
        await asyncio.gather(*(engine.generate(MESSAGES, Sampling()) for _ in range(6)))
        await engine.close()

    with FakeServer([Answer(body=chat("a"), delay_seconds=0.05)] * 6) as server:
        asyncio.run(ask(server))
    assert server.most_in_flight == 2


def test_scores_are_the_rows_after_the_conversation() -> None:
    with FakeServer() as server:
        scores = _score(server, CONTINUATIONS)
    sent = [body["prompt"] for path, body, _, _ in server.requests if path == "/v1/completions"]
    for score, text in zip(scores, CONTINUATIONS, strict=True):
        words = len(text.split())
        prompt = next(tokens for tokens in sent if score.logprobs[-1] == pytest.approx(-1.0 - tokens[-1] / 1000))
        assert score.logprobs == pytest.approx([-1.0 - token / 1000 for token in prompt[-words:]])
        assert score.usage.prompt_tokens == len(prompt)


def test_options_are_tokenized_once() -> None:
    async def ask(server: FakeServer) -> None:
        engine = _engine(server)
        for _ in range(3):
            await engine.score(MESSAGES, CONTINUATIONS)
        await engine.close()

    with FakeServer() as server:
        asyncio.run(ask(server))
    prompts = [body["prompt"] for path, body, _, _ in server.requests if path == "/tokenize" and "prompt" in body]
    assert sorted(prompts) == sorted(CONTINUATIONS)


def test_servers_that_cannot_score() -> None:
    async def ask_twice(server: FakeServer) -> None:
        engine = _engine(server)
        for _ in range(2):
            with pytest.raises(EngineRefused, match="cannot score text"):
                await engine.score(MESSAGES, CONTINUATIONS)
        await engine.close()

    with FakeServer(vllm=False) as server:
        asyncio.run(ask_twice(server))
        assert len(server.requests) == 1
    tokens = Answer(body='{"tokens": [1, 2]}')
    for rows, says in (("null", "ignores prompt_logprobs"), ('[null, {"2": {"logprob": -1}}]', "told 0 of the 2")):
        answer = Answer(body=f'{{"choices": [{{"prompt_logprobs": {rows}}}]}}')
        with FakeServer([tokens, tokens, answer]) as server:
            with pytest.raises(EngineRefused, match=says):
                _score(server, ["a b"])


def test_empty_continuation_is_refused() -> None:
    with FakeServer() as server, pytest.raises(EngineRefused, match="empty continuation"):
        _score(server, ["", "a"])


def test_a_closed_engine_says_so() -> None:
    async def ask(server: FakeServer) -> None:
        engine = _engine(server)
        await engine.close()
        await engine.generate(MESSAGES, Sampling())

    with FakeServer() as server, pytest.raises(EngineUnavailable, match="closed"):
        asyncio.run(ask(server))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUTOR_KEY", raising=False)
    with pytest.raises(InputError, match="'TUTOR_KEY' holds no key"):
        OpenAIEngine.from_env("m", "https://tutor.example/v1", "TUTOR_KEY")
    assert "127.0.0.1" in repr(OpenAIEngine.from_env("m", "http://127.0.0.1:1/v1", "TUTOR_KEY"))
    monkeypatch.setenv("TUTOR_KEY", KEY)
    engine = OpenAIEngine.from_env("m", "https://tutor.example/v1", "TUTOR_KEY")
    assert "tutor.example" in repr(engine) and KEY not in repr(engine)


def test_urls() -> None:
    assert check_url("http://127.0.0.1:8000/v1/") == "http://127.0.0.1:8000/v1"
    for url in ("", "127.0.0.1:8000", "ftp://x/v1", "http://[bad"):
        with pytest.raises(InputError, match="is not a URL"):
            check_url(url)
    with pytest.raises(InputError, match="password") as raised:
        check_url(f"https://me:{KEY}@tutor.example/v1")
    assert KEY not in str(raised.value)
