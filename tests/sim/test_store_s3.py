"""Run folders in a real S3-compatible store: the same promises as on a disk, and a run killed and completed there."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from builders import config as config_of
from builders import dialogue
from drivers import Driver
from nodes import Nodes
from rich.console import Console
from s3_server import s3_server

from agents.errors import InputError, StoreError
from agents.records import Dialogue
from sim.compare.read import open_run
from sim.config import Config
from sim.grid import experiment_specs
from sim.identity import gather
from sim.plan.rates import newest_run
from sim.progress import Teller
from sim.run import environment, execute
from sim.storage.files import locate
from sim.storage.mirror import local_copy
from sim.storage.store import RunStore, stored_config
from sim.storage.verified import show_verified
from sim.storage.verify import verify
from sim.summary import summarise
from trainers.registry import Registry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as uri:
        yield uri


@pytest.fixture
def uri(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder in the store that no other test uses, and a cache of the test's own."""
    monkeypatch.setenv("TUTORLOOP_CACHE", str(tmp_path / "cache"))
    return server.format(f"{tmp_path.name}/run")


def some(n: int) -> list[Dialogue]:
    return [dialogue(i, phase="run", item="es-astro-01", reward=1.0) for i in range(n)]


def opened(uri: str, *, fresh: bool = False) -> RunStore:
    store = RunStore(uri)
    store.open({"name": "a"}, {"started": "now"}, fresh=fresh)
    return store


def test_inputs_are_kept_and_what_they_touch_is_put_aside(uri: str, tmp_path: Path) -> None:
    raw = yaml.safe_load(Path(str(files("agents").joinpath("data/packs/earth_science.yaml"))).read_text("utf-8"))
    pack, tape = tmp_path / "mine.yaml", tmp_path / "tape"
    tape.mkdir()
    (tape / "tape-000000-0a.jsonl").write_text('{"begin": "x"}\n')
    pack.write_text(yaml.safe_dump({**raw, "items": raw["items"][:2]}))
    given = config_of(items={"pack": str(pack)}, run={"replay": str(tape)})
    store, resolved = RunStore(uri), given.model_dump(mode="json")
    store.open(resolved, {"started": "now"}, inputs=gather(given))
    specs = experiment_specs(store.settled(given))
    store.append([replace(dialogue(0, phase="run", item=s.item_id, reward=1.0), spec=s) for s in specs])
    pack.write_text(yaml.safe_dump({**raw, "items": [{**raw["items"][0], "concept": "another"}, raw["items"][1]]}))
    touched = {spec.id for spec in specs if spec.item_id == raw["items"][0]["id"]}
    with pytest.raises(InputError, match=rf"{len(touched)} of its {len(specs)} dialogues (.|\n)*\(concept\)"):
        RunStore(uri).open(resolved, {}, inputs=gather(given))
    RunStore(uri).open(resolved, {}, inputs=gather(given), renew=True)
    assert RunStore(uri).ids() == {spec.id for spec in specs} - touched
    aside = store.folder / "put_aside" / "0001"
    assert RunStore(aside).ids() == touched
    kept = [stored_config(one).inputs.pack(str(pack)).items[0].concept for one in (aside, store.folder)]
    assert kept == [raw["items"][0]["concept"], "another"]
    (copy,) = [one for one in (store.folder / "inputs").walk() if one.suffix == ".jsonl"]
    assert copy.read_text() == '{"begin": "x"}\n'


def test_dialogues_steps_and_compaction(uri: str) -> None:
    store = opened(uri)
    for n in (2, 4, 5):
        store.append(some(n))
    assert store.append(some(5)) is None
    assert len(store.parts()) == 3 and RunStore(uri).dialogues() == some(5)
    assert store.compact(4) == (3, 2) and RunStore(uri).dialogues() == some(5)
    assert store.step("x") is None
    store.finish_step("x", {"seconds": 2.0})
    assert RunStore(uri).steps() == {"x": {"seconds": 2.0}} and store.phases() == {"run"}
    assert opened(uri).ids() == {f"run-{i}" for i in range(5)}


def test_a_damaged_part_is_put_aside(uri: str) -> None:
    store = opened(uri)
    part = store.append(some(2))
    store.append(some(4))
    assert part is not None
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(StoreError, match="is corrupt"):
        RunStore(uri).ids()
    again = opened(uri)
    assert again.ids() == {"run-2", "run-3"} and "put aside" in again.put_aside[0]
    again.append(some(4))
    assert again.dialogues() == some(4)


def test_a_fresh_start_puts_the_old_run_aside_whole(uri: str) -> None:
    store = opened(uri)
    store.append(some(3))
    old = store.scratch
    store = opened(uri, fresh=True)
    assert store.ids() == set() and store.scratch != old, "what the old run left locally is not taken for the new one's"
    (aside,) = store.folder.parent.glob("run.??????.old")
    assert RunStore(aside).dialogues() == some(3) and (aside / "config.yaml").is_file()
    # a run of its own kind is found by name, the one that was put aside as well
    assert newest_run(store.folder.parent, "nobody") == (None, ())


def test_adapters_are_kept_in_the_store_and_found_on_another_machine(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(uri)
    source = tmp_path / "adapter"
    source.mkdir()
    (source / "adapter_config.json").write_text("{}")
    (source / "adapter_model.safetensors").write_bytes(os.urandom(200_000))
    registry = Registry(store.mirror.recall("adapters"))
    for number in (1, 2):
        adapter = registry.publish("tutor", source, {"round": f"round-{number:04d}"})
        registry.promote(adapter.name)
        for name in (adapter.name, "tutor/.claims", "tutor/current"):
            store.mirror.keep(f"adapters/{name}")
    monkeypatch.setenv("TUTORLOOP_CACHE", str(tmp_path / "elsewhere"))
    other = RunStore(uri)
    assert not other.scratch.exists() and other.scratch != store.scratch
    there = Registry(other.mirror.recall("adapters"))
    current = there.current("tutor")
    assert current is not None and current.name == "tutor/v0002" and current.lineage["round"] == "round-0002"
    assert there.get("tutor/v0001").path.is_relative_to(other.scratch)
    weights = current.path / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"x" * 200_000)
    other.mirror.recall("adapters")
    assert there.get("tutor/v0002") == current, "the store has the last word"
    copied = local_copy(str(other.folder / "adapters" / "tutor" / "v0001"))
    assert (copied / "adapter_config.json").is_file()
    with pytest.raises(StoreError, match="nothing is there"):
        local_copy(str(other.folder / "adapters" / "nobody"))


def test_a_store_that_does_not_answer_is_an_error_and_no_damage(uri: str) -> None:
    store = opened(uri)
    part = store.append(some(2))
    assert part is not None
    with s3_server() as gone:
        dead = locate(gone.format("run"))
        (dead / "config.yaml").write_text("x")
    with pytest.raises((StoreError, OSError)):
        RunStore(dead).ids()
    assert [one.name for one in store.parts()] == [part.name]


@pytest.fixture
def config(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment of 24 dialogues whose run folder is in the store."""
    monkeypatch.setenv("TUTORLOOP_CACHE", str(tmp_path / "cache"))
    content = {
        "name": "far",
        "pools": {"class": {"roles": ["tutor", "student"], "engine": "scripted"}},
        "items": {"limit": 6},
        "students": {"personas": ["engaged", "limited"]},
        "tutors": [{"name": "a"}, {"name": "dump", "control": "answer_dump"}],
        "experiment": {"resamples": 100},
        "run": {"folder": server.format(tmp_path.name), "in_flight": 2, "part_dialogues": 2, "part_seconds": 0.2},
    }
    path = tmp_path / "far.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_complete_run_is_put_together_reported_and_verified(config: Path) -> None:
    settings = Config.model_validate(yaml.safe_load(config.read_text()))
    store, specs = RunStore(locate(settings.run.folder) / "far"), experiment_specs(settings)
    store.open(settings.model_dump(mode="json"), environment(settings))
    made = [replace(dialogue(0, phase="run", item=spec.item_id, reward=1.0), spec=spec) for spec in specs]
    for i in range(0, len(made), 5):
        store.append(made[i : i + 5])
    said = io.StringIO()
    _, folder = execute(settings, Teller(Console(file=said, width=300)))
    assert folder == store.folder and "5 parts were put together to 1" in said.getvalue()
    assert verify(folder).findings == ()
    check_report(store)
    with pytest.raises(InputError, match="credentials"):
        changed = settings.run.model_copy(update={"folder": "s3://key:hush@bucket/runs"})
        execute(settings.model_copy(update={"run": changed}), Teller(Console(file=said)))


def test_a_run_is_killed_completed_verified_and_reported_in_the_store(config: Path, head: Nodes) -> None:
    settings = Config.model_validate(yaml.safe_load(config.read_text()))
    store = RunStore(locate(settings.run.folder) / "far")

    def start(latency: float) -> Driver:
        slow = f"pools.class.latency_seconds={latency}"
        return Driver("run", config, "--set", slow, log=config, environment=head.driver_environment())

    driver = start(0.5)
    driver.wait_until(lambda: len(store.parts()) >= 2)
    driver.killed()
    before = store.ids()
    planned = {spec.id for spec in experiment_specs(settings)}
    assert before and before < planned
    assert not verify(store.folder).whole, "a run that was cut short is not whole"
    part = store.parts()[0]
    part.write_bytes(part.read_bytes()[:50])
    said = start(0.0).ends()
    assert "DAMAGED" in said and part.name in said
    assert Counter(one.id for one in store.dialogues()) == Counter(planned)
    assert len(store.parts()) == 1 and "were put together" in said
    found, shown = verify(store.folder), io.StringIO()
    assert show_verified(found, Console(file=shown, width=200)) == 0, shown.getvalue()
    assert found.planned == found.dialogues == 24 and len(found.put_aside) == 1
    check_report(store)
    assert "testing-secret" not in said and all(
        b"testing-secret" not in one.read_bytes() for one in store.folder.walk()
    )


def check_report(store: RunStore) -> None:
    """Computed again from the store alone, and read as one side of a comparison."""
    summary = json.loads((store.folder / "summary.json").read_text())
    again = summarise(stored_config(store.folder), store)
    assert again["experiment"]["tutors"] == summary["experiment"]["tutors"]
    assert "answer_dump" in (store.folder / "report.html").read_text()
    assert {"leaderboard.csv", "dialogues.parquet"} <= {one.name for one in (store.folder / "tables").iterdir()}
    side = open_run(f"{store.folder}@run")
    assert len(side.dialogues) == 24 and len(open_run(str(store.folder)).dialogues) == 24
    found, _ = newest_run(store.folder.parent, "far")
    assert found is not None and found.folder == store.folder
