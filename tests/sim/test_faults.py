"""A run on a real Ray whose engines and classrooms are killed while it goes on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
import ray
from fleet_fakes import Told

from agents.errors import EngineError
from sim.config import Config
from sim.delivery import deliver
from sim.fleet import scale
from sim.fleet.chaos import Chaos
from sim.fleet.chaos_plan import ChaosPlan
from sim.fleet.rooms import Rooms
from sim.grid import experiment_specs
from sim.pools import Pools
from sim.sight.records import ReplicaState
from sim.simulate import Batch, simulate
from sim.storage.store import RunStore

pytestmark = pytest.mark.slow
SEQUENCES = [[1, 2, 3], [4, 5, 6]]


def faulty(name: str, **changes: object) -> Config:
    return Config.model_validate(
        {
            "name": name,
            "seed": 3,
            "pools": {
                "class": {"roles": ["student"], "engine": "scripted", "latency_seconds": 0.15, "replicas": 2},
                "tutor": {"roles": ["tutor"], "engine": "scripted", "latency_seconds": 0.15, "gpus": 0, "cpus": 0.5},
            },
            "dialogue": {"turns": 3},
            "items": {"limit": 10, "repeats": 6},
            "run": {"classrooms": 2, "in_flight": 8, "part_dialogues": 8},
            **changes,
        }
    )


def adapter(folder: Path) -> Path:
    """An adapter as the scripted engine takes it: log-probs it will answer with."""
    folder.mkdir(parents=True)
    proof = {"sequences": SEQUENCES, "new": [[-1.0, -1.5], [-2.0, -0.5]], "old": [[-3.0, -3.5], [-4.0, -2.5]]}
    (folder / "proof.json").write_text(json.dumps(proof), encoding="utf-8")
    return folder


def test_a_run_with_chaos_ends_with_every_dialogue_once(tmp_path: Path, local_ray: object) -> None:
    config, told = faulty("chaos"), Told()
    store = RunStore(tmp_path / "chaos")
    store.open(config.model_dump(mode="json"), {})
    specs = experiment_specs(config)

    async def play() -> Counter[str]:
        pools = Pools(config, dict.fromkeys(config.pools, "scripted"), told, chaos=ChaosPlan(4.0))
        try:
            await pools.start(["student", "tutor"])
            await simulate([Batch(specs, 1)], what="t", config=config, pools=pools, store=store, teller=told)
            return pools.faults
        finally:
            await pools.close()

    faults = asyncio.run(play())
    assert store.ids(with_failed=False) == {spec.id for spec in specs}  # ids() raises where one stands twice
    assert faults["killed engine actor"] and faults["killed classroom"]
    assert faults["engine restarted"] and faults["classroom restarted"]


def test_an_engine_that_died_serves_the_live_policy_again_before_it_serves(tmp_path: Path, local_ray: object) -> None:
    config, told = faulty("policy"), Told()
    path = adapter(tmp_path / "adapters" / "tutor" / "v0001")
    store = RunStore(tmp_path / "policy")
    store.open(config.model_dump(mode="json"), {})
    specs = experiment_specs(config)[:80]

    async def play() -> int:
        pools = Pools(config, dict.fromkeys(config.pools, "scripted"), told)
        try:
            await pools.start(["student", "tutor"])
            await _delivered(config, pools, path)
            running = asyncio.create_task(
                simulate([Batch(specs, 1)], what="t", config=config, pools=pools, store=store, teller=told)
            )
            (tutor,) = [replica for replica in pools.replicas() if replica.pool == "tutor"]
            while tutor.load.requests < 20:  # of some 240
                await asyncio.sleep(0.1)
            async with Rooms(config, pools, told) as rooms:
                chaos = Chaos(rooms, pools, ChaosPlan(1.0), seed=0, say=told.say)
                pools_of_tutor = [replica for replica in pools.replicas() if replica is not tutor]
                for other in pools_of_tutor:
                    other.state = "starting"  # so that the tutor's engine is the one to be struck
                assert await chaos.strike("actor")
                for other in pools_of_tutor:
                    other.state = "serving"
            await running
            return tutor.restarts
        finally:
            await pools.close()

    assert asyncio.run(play()) == 1
    dialogues = store.dialogues()
    assert {dialogue.id for dialogue in dialogues if dialogue.failure is None} == {spec.id for spec in specs}
    versions = {turn.policy_version for dialogue in dialogues for turn in dialogue.tutor_turns}
    assert versions == {"tutor/v0001"}


def test_a_replica_that_dies_again_and_again_is_taken_out_and_its_pool_is_lost(
    tmp_path: Path, local_ray: object
) -> None:
    config, told = faulty("lost"), Told()
    store = RunStore(tmp_path / "lost")
    store.open(config.model_dump(mode="json"), {})
    specs = experiment_specs(config)[:60]

    async def play() -> list[str]:
        pools = Pools(config, dict.fromkeys(config.pools, "scripted"), told)
        try:
            await pools.start(["student", "tutor"])
            running = asyncio.create_task(
                simulate([Batch(specs, 1)], what="t", config=config, pools=pools, store=store, teller=told)
            )
            (tutor,) = [replica for replica in pools.replicas() if replica.pool == "tutor"]
            for _ in range(3):
                while tutor.state != "serving":
                    await asyncio.sleep(0.1)
                ray.kill(tutor.actor)
                while tutor.state == "serving":
                    await asyncio.sleep(0.1)
            with pytest.raises(EngineError, match="no engine any more: all its replicas were taken out"):
                await running
            return [tutor.state]
        finally:
            await pools.close()

    assert asyncio.run(play()) == ["out"]
    assert any("is taken out: it died 3 times" in text for text in told.said)
    failures = [dialogue.failure for dialogue in store.dialogues()]
    assert failures and all(failure and "no engine any more" in failure.message for failure in failures)


async def _delivered(config: Config, pools: Pools, path: Path) -> None:
    """Without merging: a scripted engine reads the adapter itself."""
    no_merge = config.model_copy(
        update={"pools": {name: pool.model_copy(update={"gpus": 1}) for name, pool in config.pools.items()}}
    )
    await deliver(no_merge, pools, base="", adapter=path, version="tutor/v0001", scratch=path.parent)


def test_a_pool_grows_while_requests_wait_and_shrinks_when_they_do_not(
    tmp_path: Path, local_ray: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "CALM", 3)
    narrow = {"roles": ["student", "tutor"], "engine": "scripted", "latency_seconds": 0.1, "slots": 2}
    config, told = faulty("grow", pools={"class": narrow | {"max_replicas": 3}}), Told()
    store = RunStore(tmp_path / "grow")
    store.open(config.model_dump(mode="json"), {})
    specs = experiment_specs(config)

    async def play() -> tuple[list[ReplicaState], list[ReplicaState]]:
        pools = Pools(config, {"class": "scripted"}, told)
        try:
            await pools.start(["student", "tutor"])
            await simulate([Batch(specs, 1)], what="t", config=config, pools=pools, store=store, teller=told)
            grown = [replica.state for replica in pools.replicas()]
            while len(pools.directory().hosts["class"]) > 1:
                await asyncio.sleep(0.1)
            return grown, [replica.state for replica in pools.replicas()]
        finally:
            await pools.close()

    grown, after = asyncio.run(play())
    assert grown.count("serving") > 1
    assert after.count("serving") == 1 and set(after) <= {"serving", "leaving", "left"}
    stored = store.dialogues()
    assert {dialogue.id for dialogue in stored} == {spec.id for spec in specs}
    assert not [dialogue for dialogue in stored if dialogue.failure]
