"""How far each headline measure can be trusted, in one file: runs the measures' benchmarks and keeps their figures.

    leak.kappa                                                           benchmarks/leaks.py
    question.{telling,telling_generic}.{kappa,bare_kappa,difference_ci95}  benchmarks/questions.py
    scorer.{guidance,actionability}.{kappa,baseline_kappa,difference_ci95} benchmarks/scorer.py
    probe.{model}.{form}.{assert,deny,shuffled}                          benchmarks/probes.py
    rates.{coverage_min,width_ratio_max}                                 benchmarks/statistics.py

Each runs by itself, one after the other, with its own figures in FILE's folder; one that fails (data that is not there)
stands in the file as `not_measured` with what it said, and the command ends with 1.

Usage: `python benchmarks/measures.py --json FILE [--only leak ...]`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.hardware import describe

HERE = Path(__file__).resolve().parent
PARTS: dict[str, tuple[str, ...]] = {
    "leak": ("leaks.py",),
    "question": ("questions.py",),
    "scorer": ("scorer.py",),
    "probe": ("probes.py",),
    "rates": ("statistics.py", "--rates"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measures how far each headline measure can be trusted.")
    parser.add_argument("--json", type=Path, required=True, help="write the figures there")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part alone; may be given again")
    asked = parser.parse_args(argv)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe()}
    for name in asked.only or PARTS:
        started = time.monotonic()
        print(f"{name}: benchmarks/{' '.join(PARTS[name])}", flush=True)
        result[name] = measured(name, asked.json.with_name(f"{asked.json.stem}-{name}.json"))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    lacking = [name for name in asked.only or PARTS if "not_measured" in result[name]]
    if lacking:
        print(f"not measured: {', '.join(lacking)}", file=sys.stderr)
    return 1 if lacking else 0


def measured(name: str, place: Path) -> dict[str, Any]:
    """What the part's benchmark found, under the part's name in its file; else why it found nothing."""
    script, *options = PARTS[name]
    command = [sys.executable, str(HERE / script), *options, "--json", str(place)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=HERE.parent)
    if done.returncode != 0:
        return {"not_measured": done.stderr.strip()[-500:] or f"{script} ended with {done.returncode}"}
    found = json.loads(place.read_text(encoding="utf-8"))
    own = {"kappa": found["mathdial"]["kappa"], "ci95": found["mathdial"]["ci95"]} if name == "leak" else found[name]
    assert isinstance(own, dict)
    return own


if __name__ == "__main__":
    sys.exit(main())
