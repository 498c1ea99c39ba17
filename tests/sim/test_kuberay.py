"""The KubeRay manifests: names that KubeRay knows, nodes that come and go, metrics that are scraped, no key in them.

Offline and structural: KubeRay's own schema is not in a package, so the names were read from its types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RAYJOB, RAYCLUSTER = "deploy/kuberay/rayjob.yaml", "deploy/kuberay/raycluster.yaml"
ENTRYPOINT = "python -m sim.cli loop configs/quickstart.yaml"

Document = dict[str, Any]


def load(path: str) -> Document:
    document: Document = yaml.safe_load((ROOT / path).read_text())
    return document


def locked_ray() -> str:
    (found,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements" / "gpu.txt").read_text(), flags=re.MULTILINE)
    return str(found)


FIELDS = {
    "RayJob": "entrypoint submissionMode runtimeEnvYAML backoffLimit shutdownAfterJobFinishes ttlSecondsAfterFinished "
    "rayClusterSpec activeDeadlineSeconds metadata clusterSelector submitterConfig entrypointNumCpus",
    "RayCluster": "rayVersion enableInTreeAutoscaling autoscalerOptions gcsFaultToleranceOptions headGroupSpec "
    "workerGroupSpecs headServiceAnnotations suspend",
    "autoscalerOptions": "idleTimeoutSeconds upscalingMode resources image imagePullPolicy env envFrom volumeMounts "
    "securityContext",
    "gcsFaultToleranceOptions": "redisAddress redisPassword redisUsername externalStorageNamespace",
    "headGroupSpec": "rayStartParams template serviceType headService enableIngress",
    "workerGroupSpecs": "groupName replicas minReplicas maxReplicas idleTimeoutSeconds rayStartParams template "
    "numOfHosts scaleStrategy suspend",
    "template": "metadata spec",
    "spec": "restartPolicy securityContext tolerations nodeSelector serviceAccountName containers volumes",
    "containers": "name image env ports resources volumeMounts",
}
"""Names of KubeRay's Go types (ray-operator/apis/ray/v1, read on 2026-11-22) and of Kubernetes' pods, as far as these
files may use them. A cluster may drop an unknown one without a word."""


def unknown_fields(section: Document, name: str) -> list[str]:
    """Keys of a section that are not among its names."""
    return [f"{name}: unknown key {key}" for key in section if key not in FIELDS[name].split()]


def problems_of_pod(template: Document, name: str) -> list[str]:
    """What is wrong with a pod template of a Ray cluster."""
    pod: Document = template.get("spec", {})
    found = unknown_fields(template, "template") + unknown_fields(pod, "spec")
    mounted = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod.get("containers", []):
        found += unknown_fields(container, "containers")
        if ":" not in container.get("image", ""):
            found.append(f"{name}: image without a tag")
        found += [f"{name}: no volume {m['name']}" for m in container["volumeMounts"] if m["name"] not in mounted]
        found += problems_of_metrics(template, container, name)
        # A key would stand in the cluster for everybody to read; a file named by NAME_FILE does not.
        found += [f"{name}: {e['name']} is a secret" for e in container.get("env", []) if e["name"].endswith("_KEY")]
    if pod.get("restartPolicy") not in ("Never", "Always"):
        found.append(f"{name}: no restart policy")
    return found if pod.get("containers") else [f"{name}: no container"]


def problems_of_metrics(template: Document, container: Document, name: str) -> list[str]:
    """Whether Prometheus is sent to a port that the container has."""
    said = template.get("metadata", {}).get("annotations", {})
    ports = {str(port["containerPort"]) for port in container.get("ports", [])}
    scraped = said.get("prometheus.io/scrape") == "true" and said.get("prometheus.io/port") in ports
    return [] if scraped else [f"{name}: metrics are not scraped"]


def problems_of_cluster(cluster: Document) -> list[str]:
    """What is wrong with the spec of a Ray cluster."""
    head, workers = cluster.get("headGroupSpec", {}), cluster.get("workerGroupSpecs", [])
    groups = [head, *workers]
    ports = {group.get("rayStartParams", {}).get("metrics-export-port") for group in groups}
    checks = {
        "Ray differs from the lock": cluster.get("rayVersion") == locked_ray(),
        "the head offers CPUs": head.get("rayStartParams", {}).get("num-cpus") == "0",
        "no worker group": bool(workers),
        "nodes do not come and go": cluster.get("enableInTreeAutoscaling") is True,
        "Ray's metrics are elsewhere": ports == {"8080"},
    }
    found = [problem for problem, passed in checks.items() if not passed]
    found += unknown_fields(cluster, "RayCluster") + unknown_fields(head, "headGroupSpec")
    for name in ("autoscalerOptions", "gcsFaultToleranceOptions"):
        found += unknown_fields(cluster.get(name, {}), name)
    for name, group in [("head", head), *((group["groupName"], group) for group in workers)]:
        found += problems_of_pod(group.get("template", {}), name)
    for group in workers:
        found += unknown_fields(group, "workerGroupSpecs")
        limits = [c.get("resources", {}).get("limits", {}) for c in group["template"]["spec"]["containers"]]
        if not any(int(limit.get("nvidia.com/gpu", 0)) >= 1 for limit in limits):
            found.append(f"{group['groupName']}: no GPU limit")
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            found.append(f"{group['groupName']}: replicas out of range")
    if all(group["minReplicas"] == group["maxReplicas"] for group in workers):
        found.append("no group can grow")
    return found


def problems_of_rayjob(job: Document) -> list[str]:
    """What is wrong with a RayJob: the keys that KubeRay and docs/deploy.md need, checked one by one."""
    spec = job["spec"]
    environment = yaml.safe_load(spec.get("runtimeEnvYAML", "{}"))
    checks = {
        "not a RayJob of ray.io/v1": (job.get("apiVersion"), job.get("kind")) == ("ray.io/v1", "RayJob"),
        "no name": bool(job.get("metadata", {}).get("name")),
        "entrypoint is not the documented one": spec.get("entrypoint") == ENTRYPOINT,
        "working_dir needs K8sJobMode": spec.get("submissionMode") == "K8sJobMode",
        "no absolute working_dir": environment.get("working_dir", "").startswith("/"),
        "keys in the runtime environment": "env_vars" not in environment,
        "the cluster stays after the job": spec.get("shutdownAfterJobFinishes") is True,
    }
    found = [problem for problem, passed in checks.items() if not passed] + unknown_fields(spec, "RayJob")
    return found + problems_of_cluster(spec.get("rayClusterSpec", {}))


def worker(job: Document) -> Document:
    group: Document = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    return group


def test_rayjob_has_no_problem() -> None:
    assert problems_of_rayjob(load(RAYJOB)) == []


def test_raycluster_has_no_problem_and_keeps_its_state_outside_the_head() -> None:
    cluster = load(RAYCLUSTER)
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert problems_of_cluster(cluster["spec"]) == []
    redis = cluster["spec"]["gcsFaultToleranceOptions"]
    assert redis["redisAddress"] and "secretKeyRef" in redis["redisPassword"]["valueFrom"]
    # Something stays when every machine that can be taken away was.
    assert cluster["spec"]["workerGroupSpecs"][0]["minReplicas"] >= 1


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda job: job.update(apiVersion="ray.io/v1alpha1"), "not a RayJob of ray.io/v1"),
        (lambda job: job["spec"].update(entrypoint="python loop.py"), "entrypoint is not the documented one"),
        (lambda job: job["spec"].pop("shutdownAfterJobFinishes"), "the cluster stays after the job"),
        (lambda job: job["spec"].update(backofLimit=1), "RayJob: unknown key backofLimit"),
        (lambda job: job["spec"]["rayClusterSpec"].update(rayVersion="2.9.3"), "Ray differs from the lock"),
        (lambda job: job["spec"]["rayClusterSpec"].pop("enableInTreeAutoscaling"), "nodes do not come and go"),
        (lambda job: worker(job).update(maxReplicas=1), "no group can grow"),
        (lambda job: worker(job).update(replicas=5), "gpu: replicas out of range"),
        (lambda job: worker(job).update(minReplica=1), "workerGroupSpecs: unknown key minReplica"),
        (lambda job: worker(job)["template"]["spec"]["containers"][0].pop("resources"), "gpu: no GPU limit"),
        (lambda job: worker(job)["template"]["spec"]["containers"][0].pop("ports"), "gpu: metrics are not scraped"),
        (lambda job: worker(job)["template"]["spec"].pop("restartPolicy"), "gpu: no restart policy"),
        (
            lambda job: worker(job)["template"]["spec"].update(volumes=worker(job)["template"]["spec"]["volumes"][1:]),
            "gpu: no volume shared",
        ),
        (
            lambda job: worker(job)["template"]["spec"]["containers"][0]["env"].append({"name": "A_KEY", "value": "1"}),
            "gpu: A_KEY is a secret",
        ),
    ],
)
def test_the_rayjob_check_finds_what_is_wrong(spoil: Callable[[Document], object], problem: str) -> None:
    job: Document = json.loads(json.dumps(load(RAYJOB)))  # YAML's anchors made one object of several
    spoil(job)
    assert problems_of_rayjob(job) == [problem]
