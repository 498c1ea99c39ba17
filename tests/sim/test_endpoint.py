"""Endpoints: a dead one is found before anything starts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agents.errors import InputError
from sim.config import PoolConfig
from sim.engines import check_endpoint


def pool(url: str) -> PoolConfig:
    return PoolConfig(roles=("tutor",), engine="openai", base_url=url)


@contextmanager
def serving(status: int, body: str) -> Iterator[str]:
    """A server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_an_endpoint_that_does_not_answer_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"pools.t.base_url: .*does not answer.*is the server running"):
        check_endpoint("t", pool(f"http://127.0.0.1:{free_port()}/v1"), "m")


def test_a_refused_key_and_another_model_are_bad_input() -> None:
    with serving(401, "") as url, pytest.raises(InputError, match="refuses the key in OPENAI_API_KEY"):
        check_endpoint("t", pool(url), "m")
    with serving(200, '{"data": [{"id": "mistral"}]}') as url, pytest.raises(InputError, match="mean 'mistral'"):
        check_endpoint("t", pool(url), "mistrall")


def test_an_endpoint_that_lists_no_models_is_taken_as_it_is() -> None:
    with serving(404, "nothing here") as url:
        check_endpoint("t", pool(url), "m")
    with serving(200, '{"data": [{"id": "m"}]}') as url:
        check_endpoint("t", pool(url), "m")
