"""The same model on every machine, though each has it in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fleet_fakes import MortalEngine

from agents.errors import InputError
from agents.models import EMBEDDED, ensure_embedded, for_every_machine, is_a_name
from sim.config import Config, PoolConfig
from sim.config_training import TrainingConfig
from sim.fleet.host import EngineHost
from sim.run import models_of

(NAME,) = EMBEDDED
ELSEWHERE = """
import asyncio
from agents.engines.vllm import VLLMEngine
from sim.config import PoolConfig
from sim.config_training import TrainingConfig
from sim.fleet.host import EngineHost

async def start(settings):
    print(settings.model)
    raise SystemExit

VLLMEngine.start = start
asyncio.run(EngineHost(PoolConfig(roles=["tutor"]), "{name}", TrainingConfig()).start())
"""


def test_hosts_are_told_the_embedded_model_by_its_name_and_a_folder_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ensure_embedded()
    monkeypatch.chdir(folder.parent)
    pools = {"a": {"roles": ["tutor"]}, "b": {"roles": ["student", "judge"], "model": f"./{folder.name}"}}
    assert models_of(Config.model_validate({"name": "x", "pools": pools})) == {"a": NAME, "b": str(folder)}
    assert is_a_name(NAME) and is_a_name("owner/model") and not is_a_name(str(folder))
    with pytest.raises(InputError, match="no folder"):
        for_every_machine("./nothing")


@pytest.mark.slow
def test_a_machine_that_never_had_the_embedded_model_makes_it(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}
    script = ELSEWHERE.replace("{name}", NAME)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path) and (folder / "model.safetensors").is_file(), done.stderr[-2000:]


def test_the_base_goes_back_into_an_engine_from_its_own_machines_folder() -> None:
    """What a rollback delivers is a name, and vLLM on a CPU reloads from a folder."""

    class Taking(MortalEngine):
        async def deliver(self, version: str, *, weights: str = "", adapter: str = "") -> float:
            taken.append(weights)
            return 0.0

        async def token_logprobs(self, sequences: Any) -> list[list[float]]:
            return []

    taken: list[str] = []
    host = EngineHost(PoolConfig(roles=("tutor",)), NAME, TrainingConfig())
    host._engine = Taking(("Why?",))
    for weights in (NAME, str(ensure_embedded()), ""):
        asyncio.run(host.deliver("base", weights, ""))
    assert taken == [str(ensure_embedded())] * 2 + [""]
