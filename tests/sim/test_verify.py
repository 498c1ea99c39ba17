"""`tutorloop verify`: a whole folder passes, every kind of damage is named with what to do, nothing is changed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from builders import config, dialogue
from rich.console import Console

from agents.errors import InputError
from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.grid import episodes, experiment_specs
from sim.storage.store import RunStore
from sim.storage.verified import Verified, show_verified
from sim.storage.verify import verify
from trainers.registry import Registry


def held(spec: EpisodeSpec) -> Dialogue:
    made = dialogue(0, phase=spec.phase, item=spec.item_id, reward=1.0)
    return replace(made, spec=spec)


def run_folder(folder: Path, settings: Config, specs: list[EpisodeSpec]) -> RunStore:
    store = RunStore(folder)
    store.open(settings.model_dump(mode="json"), {"started": "now"})
    for i in range(0, len(specs), 2):
        store.append([held(spec) for spec in specs[i : i + 2]])
    store.finish_step("run", {"seconds": 1.0})
    (folder / "summary.json").write_text("{}")
    (folder / "report.html").write_text("<html>")
    return store


def experiment(folder: Path) -> RunStore:
    settings = config(items={"limit": 3})
    return run_folder(folder, settings, experiment_specs(settings))


def shown(found: Verified) -> tuple[int, str]:
    said = io.StringIO()
    return show_verified(found, Console(file=said, width=300)), said.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_run_is_whole_before_and_after_compaction(tmp_path: Path) -> None:
    store = experiment(tmp_path / "r")
    planned = len(experiment_specs(config(items={"limit": 3})))
    for parts in (len(store.parts()), 1):
        before = contents(tmp_path)
        found = verify(tmp_path / "r")
        assert found.whole and found.findings == () and found.parts == parts
        assert found.dialogues == found.planned == planned >= 3 and found.failed == 0
        code, said = shown(found)
        assert code == 0 and "whole" in said and f"{planned} dialogues of {planned}" in said
        assert contents(tmp_path) == before, "nothing is changed"
        store.compact()


def test_no_run_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        verify(tmp_path)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 255
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def unsummed(path: Path) -> None:
    """As an older version named it."""
    path.rename(path.with_name("part-000000-1a2b3c4d.parquet"))


def forged(path: Path) -> None:
    """A part without checksum whose record is no dialogue."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["record"] = '{"spec": 1}'
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    unsummed(path)


def column(path: Path) -> None:
    """A part without checksum whose column disagrees with its record."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["failure"] = "Made up"
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    unsummed(path)


PARTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (cut, "put aside"),
    "flipped": (lambda path: flip(path, 300), "put aside"),
    "flipped footer": (lambda path: flip(path, path.stat().st_size - 40), "put aside"),
    "empty": (lambda path: path.write_bytes(b""), "put aside"),
    "gone": (lambda path: path.unlink(), "they are held"),
    "unsummed": (unsummed, "put together with checksums"),
    "forged": (forged, "--fresh"),
    "column": (column, "move the part out"),
}


@pytest.mark.parametrize("damage", PARTS)
def test_a_damaged_part_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    store = experiment(tmp_path / "r")
    part = store.parts()[0]
    work, advice = PARTS[damage]
    work(part.local)
    code, said = shown(verify(tmp_path / "r"))
    assert code == 1 and advice in said
    assert damage in ("gone", "unsummed", "forged", "column") or part.name in said
    if damage in ("cut", "flipped", "gone", "empty"):
        assert "2 of" in said and "are not stored" in said, "its dialogues are told as missing too"


def test_going_on_mends_what_verify_found(tmp_path: Path) -> None:
    store = experiment(tmp_path / "r")
    settings = config(items={"limit": 3})
    cut(store.parts()[0].local)
    flip(store.parts()[1].local, 300)
    assert len(verify(tmp_path / "r").findings) == 3
    store.open(settings.model_dump(mode="json"), {})
    assert len(store.put_aside) == 2
    store.append([held(spec) for spec in experiment_specs(settings)])
    found = verify(tmp_path / "r")
    assert found.whole and len(found.put_aside) == 2
    assert "was put aside earlier" in shown(found)[1]


def test_other_damage_is_named(tmp_path: Path) -> None:
    store = experiment(tmp_path / "r")
    folder = tmp_path / "r"
    (folder / "steps" / "run.json").write_text("{")
    (folder / "steps" / "more.json").write_text("[]")
    (folder / "environment.json").unlink()
    (folder / "report.html").unlink()
    store.append([replace(held(experiment_specs(config(items={"limit": 4}))[-1]))])
    (folder / "dialogues" / "bundles.json").write_text("nonsense")
    code, said = shown(verify(folder))
    assert code == 1
    for word in (
        "steps/run.json",
        "steps/more.json",
        "environment.json",
        "report.html",
        "not of this config",
        "bundles.json",
    ):
        assert word in said, word


def test_a_mixed_folder_is_told(tmp_path: Path) -> None:
    first, second = experiment(tmp_path / "a"), experiment(tmp_path / "b")
    second.compact()
    (bundle,) = second.parts()
    (tmp_path / "a" / "dialogues" / "part-000099-x.parquet").write_bytes(bundle.read_bytes())
    n = len(second.ids())
    assert f"{n} stand more than once" in shown(verify(first.folder))[1]


def loop_folder(tmp_path: Path, *, decided: bool = True) -> tuple[RunStore, Config]:
    settings = config(
        kind="loop",
        name="l",
        items={"limit": 2},
        loop={"rounds": 1, "heldout": {"items": {"pack": "physics", "limit": 2}}},
    )
    loop = settings.loop
    specs = episodes(settings, phase="simulate/0001", items=settings.items, personas=settings.students.personas)
    for policy in ("base", "tutor/v0001"):
        phase = f"heldout/{policy}"
        specs += episodes(settings, phase=phase, items=loop.heldout.items, personas=loop.heldout.personas)
    store = run_folder(tmp_path / "l", settings, specs)
    source = tmp_path / "adapter"
    source.mkdir()
    (source / "adapter_config.json").write_text("{}")
    (source / "adapter_model.safetensors").write_bytes(b"weights" * 1000)
    adapter = Registry(store.scratch / "adapters").publish("tutor", source, {"round": "round-0001"})
    store.finish_step("round-0001-train", {"adapter": adapter.name})
    if decided:
        store.finish_step("round-0001-decide", {"adapter": adapter.name, "decision": "promoted"})
    return store, settings


def test_a_whole_loop_is_whole_and_an_undecided_one_is_not(tmp_path: Path) -> None:
    store, _ = loop_folder(tmp_path)
    found = verify(store.folder)
    assert found.findings == () and found.adapters == 1 and found.planned == found.dialogues
    (tmp_path / "l" / "steps" / "round-0001-decide.json").unlink()
    code, said = shown(verify(store.folder))
    assert code == 1 and "round-0001 is not decided" in said


def test_a_changed_or_lost_adapter_is_named(tmp_path: Path) -> None:
    store, _ = loop_folder(tmp_path)
    version = tmp_path / "l" / "adapters" / "tutor" / "v0001"
    weights = version / "adapter_model.safetensors"
    weights.chmod(0o644)
    flip(weights, 3)
    assert "adapters/tutor/v0001/adapter_model.safetensors is changed" in shown(verify(store.folder))[1]
    weights.unlink()
    assert "is missing" in shown(verify(store.folder))[1]
    lineage = version / "lineage.json"
    lineage.chmod(0o644)
    escaping = {"files": {"../../config.yaml": hashlib.sha256(b"").hexdigest()}}
    lineage.write_text(json.dumps(escaping))
    assert "must not leave" in shown(verify(store.folder))[1]
    for path in version.iterdir():
        path.unlink()
    version.rmdir()
    assert "adapters/tutor/v0001 is missing, and round-0001-train made it" in shown(verify(store.folder))[1]


def test_markup_in_a_folder_is_shown_as_text(tmp_path: Path) -> None:
    store = experiment(tmp_path / "r")
    (tmp_path / "r" / "steps" / "[red]x.json").write_text("{")
    assert "[red]x.json" in shown(verify(store.folder))[1]
    assert yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())["name"] == "t"
