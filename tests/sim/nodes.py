"""Ray clusters of several nodes on this machine, in a process of their own; not a test.

Run as a script it starts a cluster and obeys lines on stdin: `add CPUS` (answers with the node's id), `kill ID`
(SIGKILL for the node and all it runs), `clear` (that for all), `state`. It ends the cluster when stdin is closed.
Answers are lines of JSON.
The process of the tests never connects to Ray: Ray reads its token once per process, and another test may have been
first. Everything listens on loopback and on free ports, and Ray's note of the running cluster goes into a folder of its
own, where no other `ray.init` of this machine finds it.

Two kinds: `cluster` is `ray.cluster_utils.Cluster`. `autoscaling` is Ray's fake multi-node provider, which makes a node
a process. `ray.cluster_utils.AutoscalingCluster` is not used: the wheel lacks a file it reads, and it runs `ray stop`,
which ends every Ray of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_ID = "f" * 51 + "00000"
"""What the provider calls the head."""
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 6}
"""A dead node is noticed after three seconds, not half a minute."""
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
LOOPBACK = "127.0.0.1"
TRIES = 3
"""Ray gives a node 30 seconds to start, which a busy machine may not keep."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
        return port


class Nodes:
    """A cluster, from a test."""

    def __init__(self, kind: str, *, token: bool = True) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tl"))  # short: sockets lie below it
        self._own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token" if token else "disabled",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_TMPDIR": str(self._folder),
            # Else Ray puts this machine's address in the place of 127.0.0.1.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.environment = {**os.environ, **self._own}
        self.log = self._folder / "nodes.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-u", __file__, kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment,
                cwd=self._folder,
            )
        self.address, self.dashboard = self._answer()

    def ask(self, command: str) -> Any:
        """Sends a command and returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def alive(self) -> set[str]:
        """Ids of the nodes that are alive, the head's included."""
        return set(self.ask("state")["nodes"])

    def hosts(self) -> dict[str, int]:
        """By node: how many engine hosts run there."""
        found: dict[str, int] = self.ask("state")["hosts"]
        return found

    def driver_environment(self) -> dict[str, str]:
        """Of a driver that shall use the cluster and is not told so by its config."""
        return {**os.environ, **self._own, "RAY_ADDRESS": self.address}

    def clear(self) -> None:
        """Kills all nodes but the head, and waits until that is known."""
        self.ask("clear")
        while len(self.alive()) > 1:
            time.sleep(0.1)

    def close(self) -> None:
        """Ends all processes of the cluster."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        for process in [*children, psutil.Process(self._process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log.read_text()[-4000:]
        return json.loads(line)


@contextlib.contextmanager
def nodes(kind: str, *, token: bool = True) -> Iterator[Nodes]:
    """A cluster for as long as the block runs: a head without CPUs and nothing else. By default it asks for a token."""
    found = Nodes(kind, token=token)
    try:
        yield found
    finally:
        found.close()


# ---- the script


def _cluster() -> tuple[Any, str, str]:
    for _ in range(TRIES - 1):
        try:
            return _head()
        except Exception as error:
            print(error, file=sys.stderr)
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
    return _head()


def _head() -> tuple[Any, str, str]:
    from ray.cluster_utils import Cluster

    dashboard = free_port()
    head = {
        "num_cpus": 0,
        "node_ip_address": LOOPBACK,
        "include_dashboard": True,
        "dashboard_host": LOOPBACK,
        "dashboard_port": dashboard,
        "dashboard_agent_listen_port": free_port(),  # takes the jobs; its default may be that of another head
        "gcs_server_port": free_port(),
        "_system_config": QUICK,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    return cluster, str(cluster.address), f"http://{LOOPBACK}:{dashboard}"


def _autoscaling() -> str:
    """Starts a head with the fake provider; returns its address."""
    port, folder = free_port(), Path(os.environ["RAY_TMPDIR"])
    small = {"resources": {"CPU": 2, "object_store_memory": 100 << 20}, "node_config": {}, "min_workers": 0}
    config = {
        "cluster_name": "fake",
        "max_workers": 2,
        "idle_timeout_minutes": 0.05,
        "upscaling_speed": 10.0,
        "provider": {
            "type": "external",
            "module": PROVIDER,
            "gcs_address": f"{LOOPBACK}:{port}",
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "small": {**small, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        # Ray has no defaults for a provider of this type, and asks for each.
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in COMMANDS},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
    path = folder / "autoscaling.json"
    path.write_text(json.dumps(config))
    environment = {
        **os.environ,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "AUTOSCALER_METRIC_PORT": str(free_port()),
        "RAY_FAKE_CLUSTER": "1",
        # The autoscaler that `ray up` and KubeRay use since Ray 2.50.
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "RAY_NODE_TYPE_NAME": "ray.head.default",
    }
    command = ["ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=0", f"--node-ip-address={LOOPBACK}"]
    command += ["--include-dashboard=false", f"--autoscaling-config={path}", f"--temp-dir={folder}"]
    for _ in range(TRIES):
        head = subprocess.Popen(command, env=environment, stdout=sys.stderr, stderr=sys.stderr)
        while head.poll() is None:
            if _serves(port):
                return f"{LOOPBACK}:{port}"
            time.sleep(0.25)
    raise SystemExit("the head does not start")


def _serves(port: int) -> bool:
    """Whether the head's node is there; what answers before it takes no driver."""
    with socket.socket() as door:
        if door.connect_ex((LOOPBACK, port)) != 0:
            return False
    try:
        return bool(_state(f"{LOOPBACK}:{port}")["nodes"])
    except Exception:
        return False


def _state(address: str) -> dict[str, Any]:
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]

    state: Any = GlobalState()  # type: ignore[no-untyped-call]
    options = GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
    state._initialize_global_state(options)
    alive = [node["NodeID"] for node in state.node_table() if node["Alive"]]
    hosts = dict.fromkeys(alive, 0)
    for actor in state.actor_table(None).values():
        where = actor["Address"]["NodeID"]
        if actor["State"] == "ALIVE" and actor["ActorClassName"] == "EngineHost" and where in hosts:
            hosts[where] += 1
    return {"nodes": alive, "hosts": hosts}


def _add(cluster: Any, cpus: int) -> Any:
    """A node with a folder of its own: in a shared one each deletes what jobs uploaded once it needs it no more."""
    for left in reversed(range(TRIES)):
        folder = tempfile.mkdtemp(prefix="n", dir=os.environ["RAY_TMPDIR"])
        try:
            return cluster.add_node(num_cpus=cpus, node_ip_address=LOOPBACK, temp_dir=folder)
        except Exception:
            if not left:
                raise
    raise AssertionError("unreachable")


def _obey(kind: str) -> None:
    cluster, dashboard = None, ""
    if kind == "cluster":
        cluster, address, dashboard = _cluster()
    else:
        address = _autoscaling()
    print(json.dumps([address, dashboard]))
    added: dict[str, Any] = {}
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        answer: Any = ""
        if command == "add" and cluster is not None:
            node = _add(cluster, int(argument))
            added[node.node_id], answer = node, node.node_id
        elif command == "kill" and cluster is not None:
            cluster.remove_node(added.pop(argument), allow_graceful=False)
        elif command == "clear" and cluster is not None:
            alive = _state(address)["nodes"]
            for node_id, node in added.items():
                if node_id in alive:  # not one that a test has killed
                    cluster.remove_node(node, allow_graceful=False)
            added.clear()
        elif command == "state":
            answer = _state(address)
        print(json.dumps(answer))


if __name__ == "__main__":
    _obey(sys.argv[1])
