"""The promise of the default test on experiments whose truth is known: the short form of benchmarks/statistics.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated import (
    EFFECTS,
    KINDS,
    METHODS,
    PAIRS,
    default,
    draw,
    estimates,
    pairs,
    planner_error,
    rates_of_methods,
    totals,
)
from sim.stats.clustered import Clustered

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_false_positives_and_coverage_of_500_experiments(kind: str) -> None:
    """Over 40 seeds the rate was 3.9 to 5.2% and the coverage 94.6 to 96.4%."""
    found = rates_of_methods(kind, 500, 20, 0, {"default": default})["default"]
    assert 0.03 <= found["false_positive_rate"] <= 0.07
    assert 0.93 <= found["coverage"] <= 0.97


@pytest.mark.long
def test_a_percentile_bootstrap_would_fail_this_test() -> None:
    methods = {name: METHODS[name] for name in ("default", "percentile_bootstrap")}
    found = rates_of_methods("normal", 200, 12, 0, methods)
    assert found["percentile_bootstrap"]["false_positive_rate"] > 0.07
    assert found["percentile_bootstrap"]["coverage"] < 0.93
    assert 0.03 <= found["default"]["false_positive_rate"] <= 0.07


def test_the_fast_path_is_the_public_test() -> None:
    values, _ = draw("rates", 8, 12, 0)
    fast = Clustered.of(*totals(pairs(values))).p()
    assert [found.p for found in estimates(values)] == pytest.approx(fast.tolist())


@pytest.mark.long
@pytest.mark.parametrize("kind", ["normal", "rates"])
def test_planned_power_is_within_5_points_of_simulated_power(kind: str) -> None:
    values, truth = draw(kind, 500, 20, 0, effect=EFFECTS[kind])
    simulated = float((Clustered.of(*totals(pairs(values))).p() < 0.05).mean())
    found = planner_error(kind, 20, 0, truth, simulated, pilots=60)
    assert 0.6 < simulated < 0.95 and found["power_error"] < 5.0 and found["power_error_large_pilots"] < 5.0


def test_the_truth_of_simulated_rates_is_their_mean() -> None:
    for kind in KINDS:
        values, truth = draw(kind, 400, 20, 3, effect=EFFECTS[kind])
        differences = pairs(values)
        error = np.nanstd(np.nanmean(differences, axis=(1, 2))) / np.sqrt(400)
        assert abs(float(np.nanmean(differences)) - truth) < 4 * error
        assert np.isfinite(differences).mean() * 3 == pytest.approx(PAIRS, abs=0.05)


def run_python(*arguments: str, cwd: Path) -> str:
    """What a call of Python prints."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.long
def test_the_benchmark_writes_its_figures(tmp_path: Path) -> None:
    path, script = tmp_path / "figures" / "statistics.json", str(ROOT / "benchmarks" / "statistics.py")
    printed = run_python(
        script, "--json", str(path), "--experiments", "2", "--items", "8", "--samples", "5", cwd=tmp_path
    )
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written == json.loads(printed)
    for name in ("false_positive_rate", "coverage", "power_error"):
        assert written[name] == pytest.approx(np.mean([kind[name] for kind in written["kinds"].values()]))
    assert len(written["rates"]["cells"]) == 48 and written["rates"]["samples"] == 5
    assert set(written["kinds"]) == set(KINDS) and written["machine"]["cores"] and written["experiments"] == 2


def test_other_scripts_of_the_folder_still_find_the_library_of_the_same_name() -> None:
    code = "import statistics, sys; print(statistics.median([1, 2, 9]), sys.modules['statistics'] is statistics)"
    assert run_python("-c", code, cwd=ROOT / "benchmarks").split() == ["2", "True"]
