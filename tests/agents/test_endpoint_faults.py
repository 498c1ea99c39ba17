"""What an endpoint does to its client: broken connections, odd answers, redirects, echoes of the key."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback

import pytest

from agents.engines.base import Completion, Sampling
from agents.engines.endpoint import Clock
from agents.engines.openai import OpenAIEngine
from agents.errors import EngineError, EngineRefused, EngineUnavailable
from tests.agents.contract import MESSAGES
from tests.agents.server import Answer, FakeServer, chat

KEY = "sk-very-secret/0123456789"
"""With a slash, which JSON may write as two characters."""
BUSY = json.dumps({"error": {"message": "slow down"}})


class Impatient(Clock):
    """A clock by which an attempt's limit is over as soon as the server hangs, and never else."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    def limit(self, seconds: float) -> asyncio.Timeout:
        loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)

        def end() -> None:
            loop.call_soon_threadsafe(lambda: limit.reschedule(loop.time()))

        self._server.when_hung = end
        return limit


def ask(server: FakeServer) -> list[Completion]:
    async def generate() -> list[Completion]:
        engine = OpenAIEngine(
            "m", server.url, KEY, timeout_seconds=60.0, max_retries=2, backoff_seconds=0.01, clock=Impatient(server)
        )
        try:
            return await engine.generate(MESSAGES, Sampling())
        finally:
            await engine.close()

    return asyncio.run(generate())


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Answer(500, "<html>oops</html>", {"Content-Type": "text/html"}), "HTTP 500"),
        (Answer(502, ""), "HTTP 502"),
        (Answer(503, BUSY, {"Retry-After": "soon"}), "HTTP 503"),
        (Answer(body=chat("a")[:-5]), "malformed answer"),
        (Answer(body="[" * 100_000), "malformed answer"),
        (Answer(body=chat("a"), how="cut"), "no answer"),
        (Answer(body=chat("a"), how="reset"), "no answer"),
        (Answer(body=chat("a"), how="silence"), "no answer within 60 s"),
        (Answer(body=chat("a"), how="trickle"), "no answer within 60 s"),
    ],
    ids=[
        *("500-html", "502", "503-odd-wait", "half-json", "deep-json", "cut", "reset", "silence", "trickle"),
    ],
)
def test_a_passing_fault_is_retried_and_a_lasting_one_is_unavailable(bad: Answer, says: str) -> None:
    with FakeServer([bad]) as server:
        assert ask(server)[0].text == "What do you think, 0?"
        assert len(server.requests) == 2
    with FakeServer([bad] * 3) as server:
        with pytest.raises(EngineUnavailable, match=says) as raised:
            ask(server)
        assert len(server.requests) == 3
    assert KEY not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with FakeServer() as other:
        for target in (f"{other.url}/chat/completions", "/v1/elsewhere", "file:///etc/passwd"):
            with FakeServer([Answer(status, "", {"Location": target})]) as server:
                with pytest.raises(EngineRefused, match=f"HTTP {status}.*Redirects are not followed"):
                    ask(server)
                assert [path for path, *_ in server.requests] == ["/v1/chat/completions"]
    assert other.requests == []


@pytest.mark.parametrize(
    "bad",
    [
        Answer(401, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})),
        Answer(400, f"header was Bearer {KEY}"),
        Answer(500, json.dumps({"error": {"message": KEY * 50}})),
        Answer(body="x" * 70 + KEY),
        Answer(body='{"choices": [{"message": {"content": 3, "key": "' + KEY + '"}}]}'),
        Answer(body=json.dumps({KEY: KEY})),
        Answer(body=json.dumps({"choices": [{"message": {"content": None, "refusal": f"no, {KEY}"}}]})),
        Answer(body=chat(None, finish=KEY)),
        Answer(302, "", {"Location": f"http://127.0.0.1:9/{KEY}"}),
    ],
    ids=["401", "400", "500", "cut", "wrong-type", "names", "refusal", "finish", "redirect"],
)
def test_a_key_that_the_server_echoes_is_in_no_error_and_no_log(bad: Answer, caplog: pytest.LogCaptureFixture) -> None:
    # at DEBUG the HTTP library tells the headers that it received, as whoever turns that on wants it to
    with caplog.at_level(logging.INFO), FakeServer([bad] * 3) as server:
        with pytest.raises(EngineError) as raised:
            ask(server)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    for part in (KEY, KEY[:12], KEY[-12:]):
        assert part not in told


def test_a_key_that_the_server_says_is_in_no_reply() -> None:
    plain = chat(f"your key is {KEY}!")
    bodies = [plain, plain.replace("/", "\\/"), plain.replace("very", "\\u0076er\\u0079")]
    assert len({json.loads(body)["choices"][0]["message"]["content"] for body in bodies}) == 1 == bodies.count(plain)
    with FakeServer([Answer(body=body) for body in bodies]) as server:
        assert [ask(server)[0].text for _ in bodies] == ["your key is ***!"] * 3


def test_a_word_in_the_place_of_a_key_may_be_said() -> None:
    async def generate(server: FakeServer) -> str:
        engine = OpenAIEngine("m", server.url, "none")
        try:
            return (await engine.generate(MESSAGES, Sampling()))[0].text
        finally:
            await engine.close()

    with FakeServer([Answer(body=chat("there is none"))]) as server:
        assert asyncio.run(generate(server)) == "there is none"
