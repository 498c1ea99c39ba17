"""A real S3-compatible server on loopback (moto's), in a process of its own, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

BUCKET = "runs"


@contextmanager
def s3_server() -> Iterator[str]:
    """Starts a server with one bucket; yields the URI of a folder in it, to put a name in: `uri.format("a")`.

    Credentials are set in the environment for as long, and pyarrow is kept from asking a cloud's metadata service.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {
        "AWS_ACCESS_KEY_ID": "testing-key",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _make_bucket(f"http://127.0.0.1:{port}/{BUCKET}", server)
        yield f"s3://{BUCKET}/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _make_bucket(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=60)
            return
        except urllib.error.HTTPError:
            raise
        except OSError:
            if server.poll() is not None:
                raise RuntimeError(f"the S3 server ended with {server.returncode}") from None
            time.sleep(0.1)
    raise RuntimeError("the S3 server did not answer within ten minutes")
