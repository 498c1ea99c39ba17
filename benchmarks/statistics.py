"""Whether the statistics of experiments hold what they promise (benchmarks/simulated.py says how that is found out).

Usage: `python benchmarks/statistics.py --json FILE [--experiments 500] [--items 20] [--seed 0] [--rates]`. Written are
`false_positive_rate`, `coverage` and `power_error` (in points), overall and by kind of values, machine and date, and
`rates` (benchmarks/simulated_rates.py) with `coverage_min` and `width_ratio_max`. `--rates` writes the rates alone.

The other scripts of this folder must still find the standard library's `statistics`, which this file's name hides from
them: imported under that name, it hands the standard library's over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Simulates, prints and writes; returns the exit code."""
    from agents.hardware import describe
    from benchmarks.simulated import compare_methods, mixed_rate, study
    from benchmarks.simulated_rates import study_ranks, study_rates

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="receives settings, machine, date and all figures")
    parser.add_argument("--experiments", type=int, default=500, help="of each kind; default %(default)s")
    parser.add_argument("--items", type=int, default=20, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=4000, help="of each cell of rates; default %(default)s")
    parser.add_argument("--rates", action="store_true", help="the rates alone")
    arguments = parser.parse_args(argv)
    started, date = time.monotonic(), datetime.now(UTC)
    experiments, items, seed = arguments.experiments, arguments.items, arguments.seed
    tests = {}
    if not arguments.rates:
        tests = study(experiments, items, seed) | {
            "methods": compare_methods(experiments, seed),
            "mixed_model": mixed_rate(min(100, experiments), items, seed),
        }
    result = {
        "date": date.isoformat(timespec="seconds"),
        "machine": describe(),
        "experiments": experiments,
        "items": items,
        "seed": seed,
        "rates": study_rates(arguments.samples, seed),
        "ranks": study_ranks(min(500, experiments), seed),
        **tests,
        "seconds": round(time.monotonic() - started, 1),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0


def _hand_over() -> None:
    """Puts the standard library's module in the place of this one."""
    spec = PathFinder.find_spec("statistics", [sysconfig.get_path("stdlib")])
    if spec is None or spec.loader is None:
        raise ImportError("The standard library has no module statistics.")
    sys.modules["statistics"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["statistics"])


if __name__ == "statistics":
    _hand_over()
elif __name__ == "__main__":
    # The repository in place of this folder, so that nothing imported below takes this file for the library's.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    # Its matrices are so small that threads only wait for each other; read when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
