"""The registry: immutable numbered adapters, checked on every read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agents.errors import RegistryError
from trainers.registry import Registry

LINEAGE = {"parent": None, "dialogues": ["d1", "d2"], "pairs": 3, "config": {"beta": 0.1}, "metrics": {"loss": 1.0}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_versions_count_up_and_keep_their_story(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path / "registry")
    first, second = registry.publish("tutor", source, LINEAGE), registry.publish("tutor", source, LINEAGE)
    other = registry.publish("student", source, LINEAGE)
    assert [first.name, second.name, other.name] == ["tutor/v0001", "tutor/v0002", "student/v0001"]
    assert registry.versions("tutor") == [first, second] and registry.versions("nobody") == []
    assert registry.get("tutor/v0002") == second and second.number == 2 and second.family == "tutor"
    lineage = first.lineage
    assert {key: lineage[key] for key in LINEAGE} == LINEAGE and lineage["name"] == "tutor/v0001"
    assert set(lineage["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert first.path == tmp_path / "registry" / "tutor" / "v0001"


def test_promotion_moves_current(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.current("tutor") is None
    first, second = registry.publish("tutor", source, {}), registry.publish("tutor", source, {})
    assert registry.current("tutor") is None, "publishing is not promoting"
    registry.promote(second.name)
    assert registry.current("tutor") == second
    registry.promote(first.name)
    assert Registry(tmp_path).current("tutor") == first


def test_a_number_is_never_used_twice(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.publish("tutor", source, {}).number == 1
    with pytest.raises(RegistryError, match="not JSON"):
        registry.publish("tutor", source, {"config": object()})
    assert registry.publish("tutor", source, {}).number == 3
    shutil.rmtree(tmp_path / "tutor" / "v0003")
    assert registry.publish("tutor", source, {}).number == 4
    assert [adapter.number for adapter in registry.versions("tutor")] == [1, 4]


def test_a_crash_before_the_rename_publishes_nothing(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    registry.publish("tutor", source, {})
    # What a process killed between its claim and its rename leaves behind.
    (tmp_path / "tutor" / ".claims" / "v0002").touch()
    shutil.copytree(source, tmp_path / "tutor" / ".v0002.partial")
    assert [adapter.number for adapter in registry.versions("tutor")] == [1]
    assert registry.publish("tutor", source, {}).number == 3


def test_nothing_is_overwritten(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    adapter = registry.publish("tutor", source, {})
    assert (adapter.path / "adapter_model.safetensors").stat().st_mode & 0o222 == 0
    (source / "adapter_model.safetensors").write_bytes(b"others")
    assert registry.publish("tutor", source, {}).number == 2
    assert (adapter.path / "adapter_model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_adapter_is_refused(tmp_path: Path, source: Path, damage: str) -> None:
    registry = Registry(tmp_path)
    good, bad = registry.publish("tutor", source, {}), registry.publish("tutor", source, {})
    registry.promote(bad.name)
    path = bad.path / "adapter_model.safetensors"
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"weightz")
    for use in (registry.get, registry.promote):
        with pytest.raises(RegistryError, match=rf"adapter_model.safetensors is {damage}.*tutor/v0001"):
            use(bad.name)
    with pytest.raises(RegistryError, match="corrupt"):
        registry.current("tutor")
    assert registry.get(good.name) == good


def test_an_unreadable_lineage_is_refused(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    adapter = registry.publish("tutor", source, {})
    path = adapter.path / "lineage.json"
    for text, message in (("{", "cannot be read"), ("[]", "no object"), ("{}", "without files")):
        path.unlink()
        path.write_text(text)
        with pytest.raises(RegistryError, match=message):
            registry.get(adapter.name)


def test_an_unknown_name_gets_the_nearest(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(RegistryError, match="known: none"):
        registry.get("tutor/v0001")
    registry.publish("tutor", source, {})
    for name in ("tutor/v0007", "tuter/v0001", "tutor", "tutor/.claims", "tutor/../tutor/v0001"):
        with pytest.raises(RegistryError, match="tutor/v0001"):
            registry.get(name)


def test_a_decision_is_written_once(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path)
    adapter = registry.publish("tutor", source, {})
    assert adapter.decision is None
    registry.decide(adapter.name, {"promoted": False, "why": "leaks"})
    registry.decide(adapter.name, {"promoted": False, "why": "leaks"})
    with pytest.raises(RegistryError, match="decided on before"):
        registry.decide(adapter.name, {"promoted": True})
    assert registry.get(adapter.name).decision == {"promoted": False, "why": "leaks"}


def test_only_adapters_with_proper_names_are_published(tmp_path: Path, source: Path) -> None:
    registry = Registry(tmp_path / "registry")
    with pytest.raises(RegistryError, match="cannot name"):
        registry.publish("../tutor", source, {})
    with pytest.raises(RegistryError, match="is no adapter"):
        registry.publish("tutor", tmp_path, {})
    assert not (tmp_path / "registry").exists()
