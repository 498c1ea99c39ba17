"""Tables and figures as files: the same figures as the report, null where nothing was measured, whole SVG documents."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from report_samples import HOSTILE, RUBRIC, make_dialogue, make_episode, make_episodes, make_experiment

from agents.errors import StoreError
from sim.experiment.metrics import METRICS
from sim.report.export import export_figures, export_tables
from sim.report.standalone import styled
from sim.storage.files import locate

NAMES = (
    "leaderboard", "comparisons", "mixed", "cells", "beliefs", "robustness", "cost", "corrected", "worst", "leaks",
    "failures", "verdicts", "dialogues",
)  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_table_is_written_twice_with_the_same_rows(tmp_path: Path) -> None:
    written = export_tables(make_experiment(), make_episodes(), tmp_path)
    assert [path.relative_to(locate(tmp_path)) for path in written] == [
        f"tables/{name}.{ending}" for name in NAMES for ending in ("csv", "parquet")
    ]
    leaks = sum(len(dialogue.leaks) for dialogue in make_episodes())
    verdicts = sum(len(dialogue.verdicts) for dialogue in make_episodes())
    sizes = dict(zip(NAMES, (4, 12, 6, 24, 20, 36, 4, 1, 1, leaks, 1, verdicts, 72), strict=True))
    for name, size in sizes.items():
        table, rows = pq.read_table(tmp_path / "tables" / f"{name}.parquet"), read(tmp_path, name)
        assert (table.num_rows, len(rows)) == (size, size), name
        assert table.column_names == list(rows[0])
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(path.name for path in written)


def test_tables_hold_the_figures_of_the_summary_and_the_invalid_verdicts(tmp_path: Path) -> None:
    export_tables(make_experiment(), make_episodes(), tmp_path)
    board = {row["tutor"]: row for row in read(tmp_path, "leaderboard")}
    assert float(board["direct"]["net_gain.mean"]) == pytest.approx(0.08)
    assert (board["direct"]["net_gain.rank_low"], board["direct"]["net_gain.n"]) == ("1", "18")
    assert (board["direct"]["n_invalid"], board["socratic"]["n_invalid"]) == ("1", "0")
    compared = {(row["metric"], row["tutor"]): row for row in read(tmp_path, "comparisons")}
    assert compared[RUBRIC, "direct"]["n_invalid"] == "1" and compared[RUBRIC, "direct"]["n_verdicts"] == "36"
    assert compared["leak_rate", "direct"]["n_invalid"] == ""
    assert compared["net_gain", "direct"]["no_worse_shown"] == "true"
    cells = {(row["tutor"], row["persona"], row["metric"]): row for row in read(tmp_path, "cells")}
    assert cells["direct", "begging", RUBRIC]["n_invalid"] == "1"
    tough = {(r["tutor"], r["metric"], r["intensity"]): r for r in read(tmp_path, "robustness")}
    assert tough["direct", RUBRIC, "0"]["n_invalid"] == "1" and tough["direct", RUBRIC, "1"]["n_invalid"] == "0"
    costs = {row["tutor"]: row for row in read(tmp_path, "cost")}
    assert costs["silent"]["tokens_per_resolved"] == "" and costs["silent"]["n_resolved"] == "0"


def test_ranks_have_the_n_of_the_students_that_all_tutors_share(tmp_path: Path) -> None:
    summary = make_experiment()
    summary["experiment"]["tutors"][1]["rank"]["net_gain"] |= {"n": 16, "items": 4}
    export_tables(summary, make_episodes(), tmp_path)
    board = {row["tutor"]: row for row in read(tmp_path, "leaderboard")}
    assert (board["direct"]["net_gain.rank_n"], board["direct"]["net_gain.rank_items"]) == ("16", "4")
    assert board["silent"]["net_gain.rank_n"] == "", "an older summary does not say"


def test_rates_corrected_for_judge_error_have_both_figures_and_their_verdicts(tmp_path: Path) -> None:
    summary = make_experiment()
    entry = summary["experiment"]["corrected"][0]
    summary["experiment"]["corrected"].append(entry | {"tutor": "silent", "corrected": None, "note": "no better"})
    export_tables(summary, make_episodes(), tmp_path)
    first, second = pq.read_table(tmp_path / "tables" / "corrected.parquet").to_pylist()
    assert (first["tutor"], first["observed.mean"], first["corrected.mean"]) == ("direct", 0.8, 0.85)
    assert (first["corrected.low"], first["corrected.n"], first["sensitivity"]) == (pytest.approx(0.7), 18, 0.9)
    assert (first["n_invalid"], first["n_verdicts"]) == (1, 18)
    assert second["corrected.mean"] is None and second["observed.n"] == 18 and second["note"] == "no better"


def test_worst_dialogues_leaks_and_failures_say_where_they_belong(tmp_path: Path) -> None:
    dialogues, summary = make_episodes(), make_experiment()
    summary["experiment"]["worst"].append({**summary["experiment"]["worst"][0], "dialogue": "gone", "net_gain": 0.2})
    export_tables(summary, dialogues, tmp_path)
    tables = {name: pq.read_table(tmp_path / "tables" / f"{name}.parquet").to_pylist() for name in NAMES}
    worst, gone = tables["worst"]
    assert worst["dialogue"] == "direct-1-answer_begging-1" and worst["net_gain"] is None and worst["leak"] == 0.5
    assert (worst["intensity"], worst["n_verdicts"], worst["n_invalid"]) == (1.0, 1, 0)
    assert (gone["n_verdicts"], gone["net_gain"]) == (None, 0.2)
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    assert sum(row["tutor"] == "answer_dump" for row in tables["leaks"]) == 18
    for row in tables["leaks"]:
        (leak,), spec = by_id[row["dialogue"]].leaks, by_id[row["dialogue"]].spec
        assert (row["turn"], row["kind"], row["severity"], row["evidence"]) == (1, "text", 0.5, leak.evidence)
        assert (row["tutor"], row["persona"], row["item"]) == (spec.tutor_name, spec.persona, spec.item_id)
        assert (row["stressor"], row["intensity"]) == (spec.stressor, spec.intensity)
    (failed,) = tables["failures"]
    assert (failed["dialogue"], failed["tutor"]) == ("silent-11", "silent")
    assert (failed["error"], failed["where"]) == ("EngineUnavailable", "turn 3")
    assert failed["message"] == "no answer after 4 tries"


@pytest.mark.parametrize("unknown", [None, 0.0])
def test_a_cost_that_nobody_knows_is_null_in_every_table(tmp_path: Path, unknown: float | None) -> None:
    summary, dialogues = make_experiment(), make_episodes()
    direct = summary["experiment"]["tutors"][1]
    direct["per_dialogue"]["cost"], direct["per_resolved"]["cost"] = unknown, unknown
    direct["per_resolved"]["n_resolved"] = None
    zero = {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 18}
    for tutor in summary["experiment"]["tutors"]:
        tutor["figures"]["cost"] = zero if tutor is direct else {"mean": 0.002, "low": 0.001, "high": 0.003, "n": 18}
    if unknown is None:
        del direct["figures"]["cost"]
    dialogues = [replace(d, usage=replace(d.usage, cost=0.0)) if d.spec.tutor == "direct" else d for d in dialogues]
    export_tables(summary, dialogues, tmp_path)
    board = {row["tutor"]: row for row in read(tmp_path, "leaderboard")}
    assert board["direct"]["cost.mean"] == board["direct"]["cost.low"] == board["direct"]["cost.n"] == ""
    assert float(board["socratic"]["cost.mean"]) == 0.002
    costs = {row["tutor"]: row for row in read(tmp_path, "cost")}
    parts = ("cost_per_dialogue", "cost_per_resolved", "n_resolved")
    assert [costs["direct"][part] for part in parts] == [""] * 3 and costs["direct"]["tokens_per_dialogue"] == "1120"
    assert float(costs["socratic"]["cost_per_dialogue"]) == 0.002
    rows = read(tmp_path, "dialogues")
    assert {row["cost"] for row in rows if row["tutor"] == "direct"} == {""}
    assert {float(row["cost"]) for row in rows if row["tutor"] == "socratic"} == {0.002}


def test_dialogues_have_every_measure_and_no_figure_for_what_failed(tmp_path: Path) -> None:
    dialogues = make_episodes()
    export_tables(make_experiment(), dialogues, tmp_path)
    rows = pq.read_table(tmp_path / "tables" / "dialogues.parquet").to_pylist()
    assert set(METRICS) <= set(rows[0]) and RUBRIC in rows[0]
    by_id = {row["id"]: row for row in rows}
    for dialogue in dialogues:
        row = by_id[dialogue.id]
        assert row["cell"] == dialogue.spec.cell and row["tutor"] == dialogue.spec.tutor_name
        assert row["net_gain"] == METRICS["net_gain"].value(dialogue)
        assert row["n_invalid"] == sum(v.kind == "invalid" for v in dialogue.verdicts)
    (failed,) = (row for row in rows if row["failure"])
    assert failed["failure"] == "EngineUnavailable" and failed["leak_rate"] is None and failed["reward"] is None
    assert by_id["direct-1"][RUBRIC] is None and by_id["direct-1"]["n_invalid"] == 1


def test_what_is_not_a_number_is_null_and_p_needs_its_effect(tmp_path: Path) -> None:
    summary = make_experiment()
    summary["experiment"]["tutors"][0]["figures"]["gain"] = {"mean": float("nan"), "low": None, "high": None, "n": 0}
    summary["experiment"]["comparisons"][0] |= {"effect": None, "p": 0.01, "p_holm": 0.02}
    export_tables(summary, make_episodes(), tmp_path)
    board = pq.read_table(tmp_path / "tables" / "leaderboard.parquet").to_pylist()
    assert board[0]["gain.mean"] is None and board[1]["gain.mean"] is not None
    row = pq.read_table(tmp_path / "tables" / "comparisons.parquet").to_pylist()[0]
    assert (row["p"], row["p_holm"], row["no_worse_p"]) == (None, None, None)
    assert "nan" not in (tmp_path / "tables" / "leaderboard.csv").read_text(encoding="utf-8").lower()


def test_an_empty_run_has_all_tables_with_their_columns_and_no_figures(tmp_path: Path) -> None:
    assert len(export_tables({}, [], tmp_path)) == 2 * len(NAMES)
    assert export_figures({}, tmp_path) == []
    header = (tmp_path / "tables" / "comparisons.csv").read_text(encoding="utf-8").splitlines()
    assert len(header) == 1 and "p_holm" in header[0]
    assert pq.read_table(tmp_path / "tables" / "dialogues.parquet").num_rows == 0
    loop = export_tables({"name": "a loop"}, [make_dialogue("run", 0, said="\ud83d")], tmp_path)
    assert len(loop) == 2 * len(NAMES) and len(read(tmp_path, "dialogues")) == 1


def test_figures_are_whole_documents_that_need_no_style_sheet(tmp_path: Path) -> None:
    written = export_figures(make_experiment(), tmp_path)
    names = {path.name for path in written}
    assert {"pareto.svg", "beliefs-direct.svg", "robustness-answer_begging-leak_rate.svg"} <= names
    assert {"heat-net_gain.svg", "differences-net_gain.svg", "differences-rubric-clear-asks.svg"} <= names
    for path in written:
        text = path.read_text(encoding="utf-8")
        root = ET.fromstring(text)
        assert root.tag == f"{SVG}svg" and root.get("font-family", "").startswith("Helvetica")
        children = [child.tag.removeprefix(SVG) for child in root]
        assert children[:3] == ["title", "desc", "rect"] and root[2].get("fill") == "#ffffff"
        assert root[0].text and root[1].text
        assert (
            "class=" not in text and "var(" not in text and "<style" not in text and "http" not in text.split(">", 2)[2]
        )
        for node in root.iter():
            kind = node.tag.removeprefix(SVG)
            if kind in ("circle", "rect", "polygon", "text"):
                assert node.get("fill"), (path.name, ET.tostring(node))
            elif kind in ("line", "polyline"):
                assert node.get("stroke"), (path.name, ET.tostring(node))


def test_a_class_without_a_style_is_an_error_and_not_a_black_shape() -> None:
    with pytest.raises(KeyError):
        styled("grid nothing-of-ours")


def test_hostile_names_become_plain_file_names_and_stay_text(tmp_path: Path) -> None:
    tutors = ("socratic", HOSTILE, "../../up", HOSTILE.upper())
    summary = make_experiment(tutors)
    dialogues = [make_episode(tutor, 0) for tutor in tutors]
    written = export_figures(summary, tmp_path) + export_tables(summary, dialogues, tmp_path)
    assert all(path.local.resolve().is_relative_to(tmp_path.resolve()) and path.is_file() for path in written)
    assert len({path.name.lower() for path in written}) == len(written)
    for path in written:
        if path.suffix == ".svg":
            assert not {node.tag.removeprefix(SVG) for node in ET.parse(path).iter()} & {"script", "img", "a", "image"}
    assert [row["tutor"] for row in read(tmp_path, "leaderboard")] == list(tutors)


def test_an_unwritable_place_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        export_tables(make_experiment(), make_episodes(), tmp_path)


def test_a_second_export_replaces_the_first(tmp_path: Path) -> None:
    export_tables(make_experiment(), make_episodes(), tmp_path)
    export_tables(make_experiment(), [replace(make_episodes()[0])], tmp_path)
    assert len(read(tmp_path, "dialogues")) == 1
