"""Connects to Ray: the cluster of the running job, the one that is named (`auto` finds a running head), or a local one.

Invariant: a local cluster is stopped by whoever started it; the endpoint key of a pool
is never put into a runtime environment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.authentication import authentication_token_setup
from ray.exceptions import RayError

from agents.engines.address import is_loopback
from agents.errors import InputError
from agents.hardware import cores
from sim import signals
from sim.config import Config
from sim.storage.files import Location, is_uri, locate

ROOT = Path(__file__).resolve().parent.parent
STARTS = 3
WHICH_CLUSTER = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""The first that Ray's own clients ask a head."""
PROBE_SECONDS = 10.0


@contextmanager
def cluster(config: Config) -> Iterator[None]:
    """A Ray connection for the length of a run.

    Raises:
        InputError: `run.ray_address` does not answer.
    """
    started = not ray.is_initialized()
    with signals.handled():  # while Ray starts and ends too
        try:
            if started:
                _connect(config)
            with signals.handled():  # once more: Ray's C++ library took SIGTERM over, which Python does not see
                yield
        finally:
            if started:
                ray.shutdown()


def address_of(config: Config) -> str:
    """Of the cluster that a run uses; empty: it starts Ray on this machine."""
    return config.run.ray_address or os.environ.get("RAY_ADDRESS", "")


def _connect(config: Config) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address_of(config)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        if address:
            if "//" not in address and is_loopback(f"http://{address}"):
                stay_on_loopback()
            _take_token(address)
            ray.init(address=address, **quiet)
            return
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        # "local" always starts one: without it Ray looks for a cluster that a stale file of an ended head names.
        quiet["_node_ip_address"] = "127.0.0.1"
        stay_on_loopback()
        start_local(quiet)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        hint = "; is it up, and is its token here (docs/deploy.md)?" if address else ""
        raise InputError(f"Ray at {address or 'this machine'} does not start or answer: {error}{hint}") from error


def _take_token(address: str) -> None:
    """Has Ray show its token to a cluster that asks for one. Nothing where the user said which (`RAY_AUTH_MODE`).

    `ray start` asks for a token as soon as one lies in the home folder, and every local Ray puts one there; a driver
    that was not told so would come without and be refused. To one that asks for none the token must not be shown: this
    process would then ask it of the cluster's workers. For the address `auto` Ray does this itself. Seen with Ray 2.60.

    Raises:
        InputError: the cluster asks for a token and this machine has none.
    """
    if "RAY_AUTH_MODE" in os.environ or address == "auto" or "//" in address or not _refuses(address):
        return
    logging.getLogger(authentication_token_setup.__name__).setLevel(logging.ERROR)
    if not authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
        raise InputError(f"Ray at {address} asks for a token and this machine has none; see docs/deploy.md, tokens")


def _refuses(address: str) -> bool:
    """Whether a cluster turns away who comes without a token; False where nobody answers, which Ray tells better."""
    import grpc

    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(WHICH_CLUSTER)(b"", timeout=PROBE_SECONDS)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
    return False


def stay_on_loopback() -> None:
    """Lets Ray keep the address 127.0.0.1; otherwise it takes the machine's own, and listens on all of them.

    Ray knows this only as the way of systems it does not support clusters on; its processes read the variable, this one
    has read it already. Seen with Ray 2.60; `test_secrets_run.py` looks at every listening socket of a run.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def start_local(options: dict[str, Any]) -> None:
    """Starts Ray here. It gives its own processes 30 seconds, which a busy machine may exceed: then once or twice more.

    Raises:
        RuntimeError: none of the tries was in time.
    """
    for _ in range(STARTS):
        try:
            ray.init(**{"address": "local", "num_cpus": max(2, len(cores())), "include_dashboard": False, **options})
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
    raise RuntimeError(f"its processes were not up in time, {STARTS} times; is the machine overloaded? Try again later")


def runs_folder(config: Config) -> Location:
    """Where run folders are made: a URI as it was given, else an absolute local folder.

    Inside a submitted job the working directory is a temporary copy, so a relative folder is taken from
    `$TUTORLOOP_HOME`, by default `tutorloop` under the home folder of the node the job runs on.
    """
    folder = Path(config.run.folder).expanduser()
    if is_uri(config.run.folder) or folder.is_absolute():
        return locate(config.run.folder)
    if "runtime_resources" in Path.cwd().parts:
        return locate(Path(os.environ.get("TUTORLOOP_HOME") or Path.home() / "tutorloop") / folder)
    return locate(folder)
