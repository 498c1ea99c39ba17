"""Endpoints: a dead one is found before anything starts, and the engine keeps its contract on a real vLLM server."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from drivers import wait_until

from agents.engines.openai import OpenAIEngine
from agents.engines.vllm_settings import VLLMSettings, engine_environment
from agents.errors import InputError
from agents.hardware import serving_dtype
from agents.models import ensure_embedded
from sim.config import PoolConfig
from sim.engines import check_endpoint
from tests.agents.contract import check_engine


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


@pytest.mark.slow
def test_the_contract_holds_on_a_real_vllm_server(tmp_path: Path) -> None:
    model, port = str(ensure_embedded()), free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--served-model-name", "smol", "--enforce-eager", "--max-model-len", "1024"]
    command += ["--max-num-seqs", "8", "--block-size", "32", "--dtype", serving_dtype("auto", gpu=False)]
    environment = {**os.environ, **engine_environment(VLLMSettings(model, kv_cache_gib=1))}
    log = tmp_path / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}/health", log)
        url = f"http://127.0.0.1:{port}/v1"
        check_endpoint("t", pool(url), "smol")
        asyncio.run(check_engine(OpenAIEngine("smol", url, "none")))
    finally:
        process.terminate()
        process.wait()


def wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    def healthy() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=60):
                return True
        except OSError:
            return False

    wait_until(healthy, log.read_text, lambda: process.poll() is not None)
