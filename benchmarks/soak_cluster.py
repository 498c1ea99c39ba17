"""A run on a cluster where everything around it fails again and again: is every dialogue there once in the end?

On this machine: Ray with a head and three worker nodes (processes of their own), run folder in an S3-compatible server,
students on scripted engines, the tutor behind an HTTP endpoint. At random times, from a seed:

- `tutorloop run --chaos` kills engine actors, classrooms and whole worker nodes; another node joins soon after;
- the driver is killed with -9 and started again, each time after a part of the run folder was cut off;
- the store does not answer for a while;
- of the endpoint's answers some are 429, 500, garbage, cut off, silent or slow.

At the end the run folder is verified part by part, and dialogues that failed are held once more (`--retry-failed`). It
exits with an error unless every dialogue is there once and the folder is whole.

    python benchmarks/soak_cluster.py --dialogues 20000 --json FILE
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import psutil
import yaml
from rich.console import Console

from agents.hardware import describe
from sim.config import Config
from sim.grid import experiment_specs
from sim.storage.files import locate
from sim.storage.store import RunStore
from sim.storage.verified import show_verified
from sim.storage.verify import verify
from tests.agents.server import Answer, FakeServer, chat
from tests.sim.nodes import Nodes, nodes
from tests.sim.s3_server import s3_server

ROOT = Path(__file__).resolve().parents[1]
NODES = 3
FAULTS = (
    Answer(429, "slow down", {"Retry-After": "0.2"}),
    Answer(500, "<html>oops</html>"),
    Answer(body=chat("a")[:-5]),
    Answer(body=chat("a"), how="cut"),
    Answer(body=chat("a"), how="reset"),
    Answer(body=chat("a"), how="silence"),
    Answer(body=chat("a"), delay_seconds=3.0),
)


class FaultyServer(FakeServer):
    """An endpoint of which a share of the answers goes wrong."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # drivers that die leave connections
        self._share, self._random = share, random.Random(seed)
        self.answered: Counter[str] = Counter()

    def _well_behaved(self, path: str, body: dict[str, Any]) -> Answer:
        self.requests.clear()  # tens of thousands, which nobody reads
        if path.endswith("/models"):
            return super()._well_behaved(path, body)
        with self._lock:
            fault = self._random.choice(FAULTS) if self._random.random() < self._share else None
            self.answered["fault" if fault else "well"] += 1
        return fault or super()._well_behaved(path, body)


class Soak:
    """One run and what is done to it."""

    def __init__(self, arguments: argparse.Namespace, cluster: Nodes, path: Path) -> None:
        self._arguments, self._cluster, self._path = arguments, cluster, path
        config = Config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        self.folder = locate(config.run.folder) / config.name
        self.planned = {spec.id for spec in experiment_specs(config)}
        self._random = random.Random(arguments.seed)
        self._store_process = next(
            one for one in psutil.Process().children() if any("moto" in part for part in one.cmdline())
        )
        self._silent_until = 0.0
        self.done: Counter[str] = Counter()

    def run(self, log: Path) -> None:
        """Drivers one after the other until one comes to its end."""
        kills = ["--chaos", str(self._arguments.chaos), "--kill", "actor", "--kill", "classroom", "--kill", "node"]
        while True:
            with log.open("a", encoding="utf-8") as told:
                driver = self._start(told, *kills)
                killed = self._disturb(driver)
            self.done["drivers"] += 1
            if not killed:
                if driver.returncode:
                    raise SystemExit(f"a driver ended with {driver.returncode}:\n{log.read_text()[-4000:]}")
                return
            self._cut_a_part()

    def retry_failed(self, log: Path) -> None:
        """Holds what failed once more, undisturbed."""
        with log.open("a", encoding="utf-8") as told:
            if self._start(told, "--retry-failed").wait():
                raise SystemExit(f"what failed could not be held again:\n{log.read_text()[-4000:]}")

    def stored(self, *, with_failed: bool = False) -> set[str]:
        """Ids in the run folder; raises where one stands twice."""
        return RunStore(self.folder).ids(with_failed=with_failed)

    def _start(self, told: Any, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "sim.cli", "run", str(self._path), *options],
            cwd=ROOT,
            # Unbuffered: what a driver told before it was killed is counted.
            env={**self._cluster.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=told,
            stderr=subprocess.STDOUT,
        )

    def _disturb(self, driver: subprocess.Popen[bytes]) -> bool:
        """Until the driver ends or is killed; returns whether it was."""
        ends = time.monotonic() + self._after(self._arguments.kill_driver)
        silence = time.monotonic() + self._after(self._arguments.kill_driver)
        try:
            while driver.poll() is None:
                time.sleep(1.0)
                if len(self._cluster.alive()) <= NODES:  # the head is one of them
                    self._cluster.ask("add 2")
                    self.done["nodes joined"] += 1
                now = time.monotonic()
                if now > silence and not self._silent_until:
                    self._store_process.suspend()
                    self._silent_until = now + self._arguments.silence
                    self.done["store silent"] += 1
                if self._silent_until and now > self._silent_until:
                    self._store_speaks()
                    silence = now + self._after(self._arguments.kill_driver)
                if now > ends:
                    driver.send_signal(signal.SIGKILL)
                    driver.wait()
                    self.done["drivers killed"] += 1
                    return True
            return False
        finally:
            self._store_speaks()

    def _store_speaks(self) -> None:
        if self._silent_until:
            self._store_process.resume()
            self._silent_until = 0.0

    def _after(self, mean: float) -> float:
        return 5.0 + self._random.expovariate(1.0 / mean)

    def _cut_a_part(self) -> None:
        parts = RunStore(self.folder).parts()
        if parts:
            part = self._random.choice(parts)
            part.write_bytes(part.read_bytes()[: self._random.randrange(1, 500)])
            self.done["parts cut off"] += 1


def config_of(arguments: argparse.Namespace, cluster: Nodes, folder: str, endpoint: str) -> dict[str, Any]:
    """The run as a config."""
    scripted = {"engine": "scripted", "latency_seconds": 0.2, "replicas": 2, "cpus": 1.0}
    api = {"engine": "openai", "base_url": endpoint, "model": "m", "timeout_seconds": 4.0, "cpus": 1.0}
    return {
        "name": "soak-cluster",
        "seed": arguments.seed,
        "pools": {"class": {"roles": ["student"], **scripted}, "tutor": {"roles": ["tutor"], **api}},
        "probes": {"question": False, "transfer": False},
        "items": {"limit": 20, "repeats": -(-arguments.dialogues // 40)},
        "run": {
            "folder": folder,
            "ray_address": cluster.address,
            "classrooms": 2,
            "in_flight": arguments.in_flight // 2,
            "part_dialogues": 64,
        },
    }


def soak(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Soaks and says what became of it."""
    begun, log = time.monotonic(), scratch / "drivers.log"
    os.environ["TUTORLOOP_CACHE"] = str(scratch / "cache")
    with s3_server() as uri, FaultyServer(arguments.faults, arguments.seed) as endpoint, nodes("cluster") as cluster:
        for _ in range(NODES):
            cluster.ask("add 2")
        path = scratch / "soak.yaml"
        path.write_text(yaml.safe_dump(config_of(arguments, cluster, uri.format("soaks"), endpoint.url)))
        work = Soak(arguments, cluster, path)
        work.run(log)
        finished, missing = work.stored(), work.planned - work.stored(with_failed=True)
        if finished < work.planned:
            work.retry_failed(log)
        dialogues = {"planned": len(work.planned), "finished": len(finished), "missing": len(missing)}
        dialogues["after_retry"] = len(work.stored() & work.planned)
        whole = show_verified(verify(work.folder), Console(width=200)) == 0
    said = log.read_text(encoding="utf-8")
    kills = {kind: said.count(f"({kind})") for kind in ("engine actor", "classroom", "worker node")}
    return {
        "machine": describe(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.monotonic() - begun,
        "dialogues": dialogues,
        "killed": kills | dict(work.done),
        "serves_again": said.count("serves again"),
        "damaged_parts_put_aside": said.count("DAMAGED"),
        "endpoint": dict(endpoint.answered),
        "verified": whole,
    }


def main() -> None:
    """Soaks and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=20_000, help="rounded up to whole repeats of 40")
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--chaos", type=float, default=20.0, help="mean seconds between two kills by --chaos")
    parser.add_argument("--kill-driver", type=float, default=90.0, help="mean seconds until a driver dies")
    parser.add_argument("--silence", type=float, default=20.0, help="seconds in which the store does not answer")
    parser.add_argument("--faults", type=float, default=0.03, help="share of the endpoint's answers that go wrong")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = soak(arguments, Path(scratch))
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    missing, dialogues = found["dialogues"]["missing"], found["dialogues"]
    if missing:
        sys.exit(f"{missing} dialogues were missing when a driver had come to its end")
    if dialogues["after_retry"] < dialogues["planned"] or not found["verified"]:
        sys.exit(f"of {dialogues['planned']} dialogues {dialogues['after_retry']} finished, or the folder is not whole")


if __name__ == "__main__":
    main()
