"""The analysis of an experiment: paired, clustered, with everything that is missing counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from builders import config

from agents.records import Dialogue, Failure, Leak, Probe, Turn, TurnRules, Usage, Verdict
from sim.experiment import analyse
from sim.grid import experiment_specs
from sim.metrics import METRICS, metrics_of

MADE = config(
    tutors=[
        {"name": "plain"},
        {"name": "asks"},
        {"name": "dump", "control": "answer_dump"},
        {"name": "none", "control": "no_tutor"},
    ],
    items={"limit": 12},
    students={"personas": ["engaged", "limited"]},
    stressors=[{"name": "silence", "intensities": [0, 1]}],
    experiment={
        "metrics": ["net_gain", "question_share", "leak_rate"],
        "no_worse_by": {"net_gain": 0.05},
        "resamples": 200,
    },
)


def made() -> list[Dialogue]:
    """Dialogues in which `asks` always asks, `dump` always leaks, and gains differ by item."""
    found = []
    for number, spec in enumerate(experiment_specs(MADE)):
        tutor, silent = spec.tutor_name, spec.tutor_name == "none"
        rules = TurnRules(tutor == "asks", float(tutor == "dump"), 1.0, 0.0, 5, 3.0)
        turns: tuple[Turn, ...] = (Turn(0, "student", "Why is it so?"),)
        if not silent:
            turns += (Turn(1, "tutor", "Look at it again.", policy_version="base", rules=rules),)
        gain = 0.0 if silent else 0.1 + 0.01 * (number % 7) - 0.05 * bool(spec.stressor)
        probes = (Probe("before", 0, (0.4, 0.6), 0), Probe("after", len(turns) - 1, (0.4 + gain, 0.6 - gain), 0))
        leaks = (Leak(1, "text", 1.0, "it"),) if tutor == "dump" else ()
        found.append(Dialogue(spec=spec, turns=turns, probes=probes, leaks=leaks, usage=Usage(100, 10, 0.0, 3, 0.5)))
    return found


def test_it_finds_who_asks_and_who_leaks() -> None:
    found = analyse(MADE, made(), planned=experiment_specs(MADE))
    json.dumps(found, allow_nan=False)
    tutors = {row["tutor"]: row for row in found["tutors"]}
    assert tutors["asks"]["figures"]["question_share"]["mean"] == 1.0
    assert (
        tutors["dump"]["figures"]["leak_rate"]["mean"] == 1.0 and tutors["dump"]["figures"]["net_gain"]["mean"] == 0.0
    )
    assert tutors["plain"]["n"] == 48 and tutors["plain"]["n_items"] == 12
    assert tutors["asks"]["rank"]["question_share"]["rank"] == 1
    assert "leak_rate" not in tutors["none"]["figures"]
    rows = {(row["metric"], row["tutor"]): row for row in found["comparisons"]}
    assert set(rows) == {(m, t) for m in MADE.experiment.metrics for t in ("asks", "dump", "none")}
    dump = rows["net_gain", "dump"]
    assert dump["n"] == 48 and dump["items"] == 12 and dump["high"] < 0.0 and dump["p_holm"] >= dump["p"]
    assert dump["no_worse"] is not None and not dump["no_worse"]["shown"]
    assert rows["leak_rate", "none"]["n"] == 0 and rows["leak_rate", "none"]["p"] is None


def test_curves_share_the_calm_point() -> None:
    found = analyse(MADE, made())
    curve = next(r for r in found["robustness"] if r["tutor"] == "plain" and r["metric"] == "net_gain")
    assert [point["intensity"] for point in curve["points"]] == [0.0, 1.0]
    assert curve["points"][0]["n"] == curve["points"][1]["n"] == 24
    assert curve["points"][0]["mean"] > curve["points"][1]["mean"]
    belief = next(r for r in found["beliefs"] if r["tutor"] == "plain")
    assert [point["turn"] for point in belief["points"]] == [0, 1]
    worst = [row for row in found["worst"] if row["tutor"] == "dump"]
    assert len(worst) == 3 and all(row["leak"] == 1.0 for row in worst)


def test_failed_missing_and_invalid_are_counted_and_never_averaged() -> None:
    dialogues = [d for d in made() if d.spec.tutor_name == "plain"]
    failed = replace(dialogues[0], failure=Failure("EngineUnavailable", "turn 1", "gone"), probes=())
    judged = replace(
        dialogues[1], verdicts=(Verdict("rubric:r", "fair", "invalid"), Verdict("rubric:r", "kind", "pass", 1.0))
    )
    found = analyse(
        MADE,
        [failed, judged, *dialogues[2:]],
        planned=experiment_specs(MADE),
        ended={"given_up": {"asks": "5 in a row"}},
    )
    row = next(r for r in found["tutors"] if r["tutor"] == "plain")
    assert (row["n"], row["n_failed"], row["n_verdicts"], row["n_invalid"]) == (47, 1, 2, 1)
    assert row["figures"]["rubric:r/kind"]["n"] == 1 and "rubric:r/fair" not in row["figures"]
    assert found["missing"]["not_run"] == 3 * 48 and "5 in a row" in found["missing"]["why"]
    assert next(r for r in found["tutors"] if r["tutor"] == "asks")["stopped"] == "5 in a row"
    assert all(r["n"] == 0 and r["p"] is None for r in found["comparisons"])
    assert any("1 of them invalid" in sentence for sentence in found["methods"])


def test_nothing_stored_is_an_analysis_too() -> None:
    found = analyse(MADE, [], planned=experiment_specs(MADE))
    assert found["missing"]["not_run"] == 4 * 48 and all(row["n"] == 0 for row in found["tutors"])


def test_rates_are_corrected_with_a_calibration(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    path.write_text("rubric:r: {fair: {sensitivity: 0.9, specificity: 0.8, n_positive: 200, n_negative: 200}}")
    settings = MADE.model_copy(update={"experiment": MADE.experiment.model_copy(update={"calibration": str(path)})})
    dialogues = [
        replace(d, verdicts=(Verdict("rubric:r", "fair", "pass" if n % 2 else "fail", float(n % 2)),))
        for n, d in enumerate(d for d in made() if d.spec.tutor_name == "plain")
    ]
    row = analyse(settings, dialogues)["corrected"][0]
    assert row["observed"]["mean"] == 0.5
    assert abs(row["corrected"]["mean"] - (0.5 + 0.8 - 1) / (0.9 + 0.8 - 1)) < 1e-9


def test_the_docs_hold_every_measure_and_its_formula() -> None:
    page = Path("docs/measures.md").read_text(encoding="utf-8")
    for name, metric in METRICS.items():
        assert f"`{name}`" in page and metric.formula in page, name


def test_measures_that_were_not_taken_are_none() -> None:
    empty = Dialogue(spec=experiment_specs(MADE)[0], turns=(Turn(0, "student", "Why?"),))
    taken = {name for name, metric in metrics_of([empty]).items() if metric.value(empty) is not None}
    assert taken == {"tokens", "cost"}
