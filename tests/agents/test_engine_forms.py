"""An endpoint whose template refuses the roles of a dialogue is asked in the form it takes."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from agents.engines.base import Sampling
from agents.engines.openai import OpenAIEngine
from agents.errors import EngineRefused
from agents.records import Turn
from agents.views import view
from tests.agents.server import Answer, FakeServer

STUDENT = view("Be a student.", [Turn(0, "student", "Why?"), Turn(1, "tutor", "What do you see?")], "student")
SYSTEM = "System role not supported"
ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."


class Strict(FakeServer):
    """Speaks the protocol with a template like Mistral's, or with `system=False` like Gemma's."""

    def __init__(self, *, system: bool, status: int = 400) -> None:
        super().__init__()
        self.takes_system, self.status = system, status

    def answer(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        roles = [message["role"] for message in body.get("messages", ())]
        why = ""
        if "system" in roles and not self.takes_system:
            why = SYSTEM
        spoken = [role for role in roles if role != "system"]
        if any((role == "user") != (place % 2 == 0) for place, role in enumerate(spoken)):
            why = why or ALTERNATE
        well = super().answer(path, body, headers)
        return Answer(self.status, json.dumps({"error": {"message": why}})) if why else well


def talk(server: FakeServer) -> list[str]:
    async def both() -> list[str]:
        engine = OpenAIEngine("m", server.url, "key", max_retries=0)
        try:
            first = await engine.generate(STUDENT, Sampling())
            scores = await engine.score(STUDENT, ["Because it turns"])
            again = await engine.generate(STUDENT, Sampling())
            return [first[0].text, str(len(scores)), again[0].text]
        finally:
            await engine.close()

    return asyncio.run(both())


@pytest.mark.parametrize(("system", "refused"), [(True, 1), (False, 2)])
@pytest.mark.parametrize("status", [400, 422])
def test_a_strict_server_is_asked_in_its_form_from_then_on(
    system: bool, refused: int, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Strict(system=system, status=status) as server:
        assert talk(server)[1] == "1"
    given = [[m["role"] for m in body["messages"]] for _, body, _, _ in server.requests if "messages" in body]
    last = ["user", "assistant", "user"]
    assert given[refused:] == [["system", *last] if system else last] * 3
    assert sum("refuses the roles" in record.message for record in caplog.records) == 1
    whole = json.dumps([body["messages"] for _, body, _, _ in server.requests[-1:]])
    assert all(text in whole for text in ("Be a student.", "Why?", "What do you see?"))


def test_a_server_that_takes_roles_is_asked_as_before() -> None:
    with FakeServer() as server:
        talk(server)
    assert server.requests[0][1]["messages"] == list(STUDENT)


def test_a_refusal_that_no_form_mends_is_told_as_it_came() -> None:
    refusals = [Answer(400, json.dumps({"error": {"message": f"unknown role, {i}"}})) for i in range(3)]
    with FakeServer(refusals) as server, pytest.raises(EngineRefused, match="unknown role, 0"):
        talk(server)
    assert len(server.requests) == 3
    other = Answer(400, json.dumps({"error": {"message": "the prompt is too long"}}))
    with FakeServer([other]) as server, pytest.raises(EngineRefused, match="too long"):
        talk(server)
    assert len(server.requests) == 1
