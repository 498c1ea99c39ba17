"""The tables at the end of a run on a terminal of 80 columns: nothing is cut off, nothing missing looks like a 0."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import RUBRIC, make_experiment, make_summary
from rich.console import Console

from sim.tables import show, show_scorer

LONG = "direct-with-worked-examples-and-hints"


def shown(summary: dict[str, Any], width: int = 80) -> str:
    """What the terminal shows; the console is that of a command."""
    stream = io.StringIO()
    show(summary, Path("runs/x"), Console(file=stream, width=width, highlight=False, soft_wrap=True))
    return stream.getvalue()


def block(said: str, title: str) -> list[list[str]]:
    """The words of the lines of a table."""
    lines = said.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    rest = lines[start + 2 :]
    end = next(i for i, line in enumerate(rest) if not line.strip())
    return [line.split() for line in rest[:end]]


def of_tutor(rows: list[list[str]], name: str) -> tuple[list[str], list[str]]:
    """A tutor's line and the one below it."""
    at = next(i for i, row in enumerate(rows) if row[:1] == [name])
    return rows[at][1:], rows[at + 1] if at + 1 < len(rows) else []


def make_sweep() -> dict[str, Any]:
    """A sweep's summary with two rewards."""
    change = {name: {"mean": 0.1, "ci95": [-0.05, 0.25], "n": 5} for name in ("question_share", "gain", "leak_rate")}
    points = [
        {"label": f"reward-{kind}-with-a-long-name", "after": dict.fromkeys(change, 0.4), "difference": change,
         "improves": kind == "b"}
        for kind in "ab"
    ]  # fmt: skip
    return make_summary() | {"frontier": {"base": {"mean": {"gain": 0.3}}, "points": points}}


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_name_is_cut_off_and_no_table_is_wider_than_the_terminal(width: int) -> None:
    tutors = ("socratic", LONG, "metacognition", "answer_dump")
    for summary in (make_experiment(tutors), make_summary(), make_sweep()):
        said = shown(summary, width)
        table_lines = [line for line in said.splitlines() if line.startswith(" ")]
        assert "…" not in said and table_lines and max(map(len, table_lines)) <= width
    said = shown(make_experiment(tutors), width)
    for name in ("net_gain", "question_share", "leak_rate"):
        assert f"Difference from socratic: {name}" in said
        assert any(name in row for row in block(said, "Means"))
    assert said.count("metacognition") >= 6
    joined = "".join(part for line in said.splitlines() for part in line.split()[:1])
    assert joined.count(LONG) >= 6, "a long name goes on in the next line"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abcdefgh_-", min_size=1, max_size=60), min_size=2, max_size=4, unique=True))
def test_tables_of_any_names_fit(names: list[str]) -> None:
    said = shown(make_experiment(tuple(names)))
    assert "…" not in said
    assert all(len(line) <= 80 for line in said.splitlines() if line.startswith(" "))


def test_a_figure_has_its_n_and_interval_and_a_missing_one_is_a_dash() -> None:
    summary = make_experiment()
    tutors = summary["experiment"]["tutors"]
    tutors[1]["figures"]["net_gain"] = {"mean": None, "low": None, "high": None, "n": 0}
    tutors[2]["figures"].pop("net_gain")
    tutors[3]["figures"]["net_gain"] |= {"low": None, "high": None}
    rows = block(shown(summary), "Means")
    above, below = of_tutor(rows, "socratic")
    assert above[:3] == ["0.110", "(n", "18)"] and below[:2] == ["[0.090,", "0.130]"]
    assert of_tutor(rows, "direct")[0][0] == of_tutor(rows, "answer_dump")[0][0] == "-"
    assert of_tutor(rows, "silent")[1][:2] == ["no", "interval"]


def test_a_cost_that_nobody_knows_is_a_dash() -> None:
    summary = make_experiment()
    summary["experiment"]["family"] = ["cost"]
    tutors = summary["experiment"]["tutors"]
    for tutor in tutors:
        tutor["figures"]["cost"] = {"mean": 0.0002, "low": 0.0001, "high": 0.0003, "n": 18}
    tutors[1]["per_dialogue"]["cost"] = None
    del tutors[1]["figures"]["cost"]
    tutors[2]["per_dialogue"]["cost"], tutors[2]["figures"]["cost"] = (
        0.0,
        {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 18},
    )
    rows = block(shown(summary), "Means")
    assert of_tutor(rows, "socratic")[0][0] == "0.0002", "a small cost is no 0.000"
    assert of_tutor(rows, "direct")[0][0] == of_tutor(rows, "answer_dump")[0][0] == "-"


def test_what_is_nearly_nothing_has_three_decimals_unless_it_is_money() -> None:
    summary = make_experiment()
    small = {"mean": -2.44e-06, "low": -1.85e-05, "high": 0.0007, "n": 60}
    summary["experiment"]["tutors"][0]["figures"]["net_gain"] = small
    above, below = of_tutor(block(shown(summary), "Means"), "socratic")
    assert above[:3] == ["0.000", "(n", "60)"] and below[:2] == ["[0.000,", "0.001]"]


def test_invalid_verdicts_stand_beside_all_verdicts() -> None:
    summary = make_experiment()
    summary["experiment"]["tutors"][2] |= {"n_verdicts": 0, "n_invalid": 0}
    rows = block(shown(summary), "Tutors")
    assert rows[0] == ["tutor", "finished", "failed", "not", "run", "invalid", "verdicts"]
    assert of_tutor(rows, "direct")[0] == ["18", "0", "0", "1/18"]
    assert of_tutor(rows, "answer_dump")[0] == ["18", "0", "0", "-"]
    for tutor in summary["experiment"]["tutors"]:
        tutor |= {"n_verdicts": 0, "n_invalid": 0}
    assert "invalid" not in shown(summary), "no judge, no column"


def test_a_loop_says_how_many_verdicts_were_invalid() -> None:
    summary = make_summary()
    assert "invalid" not in shown(summary)
    summary["phases"]["heldout/base"]["n_invalid_verdicts"] = 3
    assert "invalid verdicts, which give no score: 3;" in shown(summary)


def test_differences_have_a_sign_an_n_and_no_p_without_an_effect() -> None:
    summary = make_experiment()
    first, second, _ = summary["experiment"]["comparisons"][:3]
    first |= {"p_holm": 0.00004}
    second |= {"effect": None, "note": "no variation"}
    said = shown(summary)
    rows = block(said, "Difference from socratic: net_gain (higher is better)")
    above, below = of_tutor(rows, "direct")
    assert above == ["-0.030", "17", "/", "4", "4e-05", "-0.40"] and below == ["[-0.050,", "-0.010]"]
    assert of_tutor(rows, "answer_dump")[0][-2:] == ["-", "-"] and "\nanswer_dump: no variation\n" in said
    summary["experiment"]["comparisons"][0] |= {"mean": None, "low": None, "high": None, "n": 0, "items": 0}
    rows = block(shown(summary), "Difference from socratic: net_gain")
    assert of_tutor(rows, "direct")[0] == ["-", "0", "/", "0", "-", "-"]


def test_a_measure_beyond_the_third_has_a_table_of_its_own_and_a_name_that_breaks_at_the_slash() -> None:
    said = shown(make_experiment())
    assert said.count("Means, 95% intervals below") == 2
    assert RUBRIC == "rubric:clear/asks" and "rubric:clear/" in said and " asks " in said


def test_a_name_is_text_and_no_markup() -> None:
    said = shown(make_experiment(("socratic", "[red]x[/red]", "[/]")))
    assert said.count("[red]x[/red]") >= 5 and "[/]" in said


def test_a_frontier_shows_what_improves_and_a_dash_for_what_was_not_measured() -> None:
    said = shown(make_sweep(), 120)
    flat = [" ".join(line.split()) for line in said.partition("Frontier")[2].splitlines()]
    assert "reward-b-with-a-long-name question_share 0.400 +0.100" in flat
    assert sum("improves gain" in row for row in flat) == 1 and sum("not better" in row for row in flat) == 1
    assert "net_gain - -" in flat and "gain 0.300" in flat


def test_a_scorers_table_fits_too() -> None:
    figure = {"scorer": {"value": 0.5}, "majority": {"value": 0.3}, "baseline": {"value": 0.4},
              "over_baseline": {"value": 0.1, "low": -0.05, "high": 0.25}}  # fmt: skip
    stream = io.StringIO()
    out = Console(file=stream, width=80, highlight=False, soft_wrap=True)
    names = ("mean_absolute_error_of_the_expected_rating", "spearman")
    report = {"n": 5, "groups": 2, "metrics": dict.fromkeys(names, figure), "warning": "not [shown]"}
    show_scorer(report, Path("x"), out)
    said = stream.getvalue()
    assert "…" not in said and "[-0.050, +0.250]" in said and "warning: not [shown]" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_a_tutor_without_a_rank_says_why() -> None:
    summary, said = make_experiment(), io.StringIO()
    summary["experiment"]["tutors"][1]["unranked"] = {"net_gain": "1 of 20 cells", "leak_rate": "1 of 20 cells"}
    show(summary, Path("runs/t"), Console(file=said, width=200))
    name = summary["experiment"]["tutors"][1]["tutor"]
    assert f"{name} is not ranked in net_gain, leak_rate: 1 of 20 cells" in said.getvalue()
