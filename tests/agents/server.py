"""A small real HTTP server on loopback that speaks as much of the OpenAI and vLLM protocols as the engine uses.

It answers from a queue of `Answer`s first, then as a well-behaved server; every request is kept.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal


@dataclass
class Answer:
    """One canned answer."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    how: Literal["whole", "trickle", "cut", "reset", "silence"] = "whole"
    """`trickle`: a byte every 0.05 s; `cut`: half of the body, then the connection ends; `reset`: half of it, then the
    connection is torn down; `silence`: nothing, until the client goes away."""


def chat(*texts: str | None, usage: tuple[int, int] | None = (10, 6), finish: str = "stop") -> str:
    """Returns the JSON of a chat answer."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for i, text in enumerate(texts)
    ]
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "model": "m", "choices": choices}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return json.dumps(body)


class FakeServer:
    """`with FakeServer(...) as server:` serves at `server.url`; `vllm=False` has no /tokenize."""

    def __init__(self, answers: Iterable[Answer] = (), *, vllm: bool = True, ignores_n: bool = False) -> None:
        self.answers = deque(answers)
        self.requests: list[tuple[str, dict[str, Any], dict[str, str], float]] = []
        """Path, body, headers and time of each request."""
        self.most_in_flight = 0
        self.when_hung: Callable[[], None] = lambda: None
        """Called when a request is answered by silence, or when the first byte of a trickle was sent."""
        self._in_flight = 0
        self._lock = threading.Lock()
        self._vllm, self._ignores_n = vllm, ignores_n
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        """The answer to one request."""
        with self._lock:
            self.requests.append((path, body, headers, time.monotonic()))
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            canned = self.answers.popleft() if self.answers else None
        answer = canned or self._well_behaved(path, body)
        time.sleep(answer.delay_seconds)
        with self._lock:
            self._in_flight -= 1
        return answer

    def _well_behaved(self, path: str, body: dict[str, Any]) -> Answer:
        if path == "/v1/chat/completions":
            count = 1 if self._ignores_n else body.get("n", 1)
            return Answer(body=chat(*(f" What do you think, {i}? " for i in range(count)), usage=(10, 6 * count)))
        if path == "/tokenize" and self._vllm:
            text = body["prompt"] if "prompt" in body else " ".join(one["content"] for one in body["messages"])
            tokens = [zlib.crc32(word.encode()) % 1000 for word in text.split()]
            return Answer(body=json.dumps({"tokens": tokens, "count": len(tokens), "max_model_len": 512}))
        if path == "/v1/completions" and self._vllm:
            rows = [{str(token): {"logprob": -1.0 - token / 1000, "rank": 3}} for token in body["prompt"]]
            choice = {"index": 0, "text": " x", "prompt_logprobs": [None, *rows[1:]]}
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
            return Answer(body=json.dumps({"choices": [choice], "usage": usage}))
        return Answer(404, json.dumps({"error": {"message": "no such path"}}))


def _handler(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for the head of it to be acknowledged

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            answer = fake.answer(self.path, body, {key.lower(): value for key, value in self.headers.items()})
            try:
                self._send(answer)
            except OSError:
                self.close_connection = True  # the client gave up waiting, as the timeout tests mean it to

        do_GET = do_POST  # a followed redirect may come as one

        def _send(self, answer: Answer) -> None:
            data = answer.body.encode()
            if answer.how == "silence":
                fake.when_hung()
                self.connection.settimeout(60.0)  # only ends a hang
                self.connection.recv(1)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for key, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if answer.how == "whole":
                self.wfile.write(data)
                return
            if answer.how == "trickle":
                for place in range(len(data)):
                    self.wfile.write(data[place : place + 1])
                    if not place:
                        fake.when_hung()
                    time.sleep(0.05)
                return
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            if answer.how == "reset":
                # linger for no time: closing sends RST in place of FIN
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def log_message(self, format: str, *args: object) -> None:
            return None

    return Handler
