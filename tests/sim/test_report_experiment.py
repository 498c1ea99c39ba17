"""The report of an experiment: what each section says, what it never says, and what hostile names cannot do to it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import HOSTILE, RUBRIC, TUTORS, Page, make_episode, make_episodes, make_experiment

from agents.records import Failure, Leak
from sim.report.experiment_tables import comparisons, reading_of
from sim.report.measures import measure
from sim.report.page import report_html
from sim.report.verdicts import Verdicts

ORDER = ["leaderboard", "comparisons", "pareto", "personas", "curves", "robustness", "cost", "corrected", "gaps"]
EMPTY: dict[str, Any] = {
    "baseline": "", "family": [], "metrics": {}, "tutors": [], "comparisons": [], "mixed": [], "cells": [],
    "beliefs": [], "robustness": [], "worst": [], "corrected": [], "missing": {}, "methods": [],
}  # fmt: skip


def part(html: str, name: str) -> str:
    """The text of a section, spaces collapsed."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', html, re.S)
    assert found is not None, name
    return " ".join(" ".join(Page(found.group(1)).text).split())


def tables(html: str, name: str) -> list[list[str]]:
    """The rows of all tables of a section as texts."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', html, re.S)
    assert found is not None, name
    bodies = re.findall(r"<table.*?</table>", found.group(1), re.S)
    rows = [re.findall(r"<tr>(.*?)</tr>", body, re.S) for body in bodies]
    return [[" ".join(" ".join(Page(row).text).split()) for row in body] for body in rows]


def test_sections_stand_in_their_order_and_arms_give_way() -> None:
    summary = make_experiment() | {"arms": [{"arm": "x", "mean": {"gain": 0.1}}]}
    html = report_html(summary, make_episodes())
    found = re.findall(r'<section id="(\w+)">', html)
    assert found == [*ORDER, "ran", "leaks", "method", "browser"]
    links = [attrs["href"] for tag, attrs in Page(html).tags if tag == "a"]
    assert {f"#{name}" for name in found} <= set(links)


def test_a_run_without_the_experiments_part_keeps_its_arms() -> None:
    arm = {"arm": "socratic x engaged", "n": 3, "n_failed": 0, "mean": {"gain": 0.2}, "ci95": {"gain": [0.1, 0.3]}}
    page = Page(report_html({"name": "older", "kind": "run", "arms": [arm]}, make_episodes()))
    assert "arms" in page.ids and not page.ids & set(ORDER)


def test_leaderboard_shows_figure_interval_n_and_rank_and_who_was_given_up() -> None:
    html = report_html(make_experiment(), make_episodes())
    (_, *rows) = tables(html, "leaderboard")[0]
    by_name = {row.split()[0]: row for row in rows}
    assert "0.080 0.060 to 0.100 n 18 rank 2 (1 to 3)" in by_name["direct"]
    assert "14.0% 11.0 to 17.0% n 18" in by_name["direct"]
    assert "stopped: its endpoint failed 5 times in a row" in by_name["silent"]
    assert by_name["socratic"].startswith("socratic baseline")
    text = part(html, "leaderboard")
    assert "Turns that leak lower is better" in text


def test_an_invalid_verdict_is_visible_in_every_table_it_touches() -> None:
    dialogues = make_episodes()
    summary = make_experiment()
    summary["experiment"]["worst"][0] |= {"dialogue": "direct-1"}
    html = report_html(summary, dialogues)

    def rows(section: str, *words: str) -> list[str]:
        return [row for table in tables(html, section) for row in table if all(word in row for word in words)]

    assert "1 of 18 (5.6%)" in rows("leaderboard", "direct")[0]
    asks = [row for row in re.split(r"<h3>", html) if row.startswith("Asks (rubric:clear)")]
    assert "1 of 36 (2.8%)" in asks[0] and "0 of 36 (0.0%)" in asks[0]
    assert "1 of 36 (2.8%)" in rows("comparisons", "Asks (rubric:clear)", "direct")[0]
    assert "invalid 1 of 6 (16.7%)" in rows("personas", "begging", "invalid")[0]
    assert "invalid 1 of 12 (8.3%)" in rows("robustness", "Asks (rubric:clear)", "direct")[0]
    assert "1 of 1 (100.0%)" in rows("robustness", "ph-02")[0]
    assert "1 of 18 (5.6%)" in rows("corrected", "direct")[0]
    assert "1 of 71 (1.4%)" in rows("gaps", "rubric:clear")[0]
    assert "1 of 71 (1.4%)" in rows("ran", "run")[0]
    assert "1 of 71 (1.4%)" in " ".join(" ".join(Page(html.split("<main>")[0]).text).split())


def test_tables_of_loops_and_older_runs_show_invalid_verdicts_too() -> None:
    dialogues = make_episodes()
    arm = {"arm": dialogues[0].spec.arm, "n": 3, "n_failed": 0, "mean": {"quality": 0.2}}
    html = report_html({"kind": "run", "arms": [arm], "phases": {"run": {"n_invalid_verdicts": 1}}}, dialogues)
    count = Verdicts([d for d in dialogues if d.spec.arm == arm["arm"]]).all
    assert count.verdicts
    assert count.words in tables(html, "arms")[0][1]
    assert "1 of 71 (1.4%)" in tables(html, "ran")[0][1]
    held = [replace(d, spec=replace(d.spec, phase="heldout/base")) for d in dialogues]
    loop = {"heldout": {"before": {"quality": 2.0}, "after": {}, "before_phase": "heldout/base"}}
    assert "heldout/base: 1 of 71 (1.4%)" in part(report_html(loop, held), "heldout")


def test_a_p_value_never_stands_without_n_and_effect() -> None:
    summary = make_experiment()
    first, second, third = summary["experiment"]["comparisons"][:3]
    first |= {"p": 0.0413, "p_holm": 0.0467, "effect": None}
    second |= {"p": 0.0434, "n": 0}
    third |= {"p": 0.0351}
    for row in summary["experiment"]["mixed"]:
        row |= {"p": 0.0567, "n": None}
    text = part(report_html(summary, make_episodes()), "comparisons")
    assert not [p for p in ("0.041", "0.047", "0.043", "0.057") if p in text]
    assert "0.035" in text
    assert text.count("p is not shown: there is no effect size.") == 2


def test_a_difference_is_clear_only_after_the_correction() -> None:
    metric = measure(make_experiment()["experiment"], "net_gain")
    apart = {"mean": -0.1, "low": -0.2, "high": -0.01}
    assert reading_of(apart | {"p_holm": 0.01}, metric, 0.05) == ("worse", "worse")
    assert reading_of(apart | {"p_holm": 0.2}, metric, 0.05) == ("unclear", "not clear after correction")
    assert reading_of(apart | {"p_holm": None}, metric, 0.05) == ("unclear", "not tested")
    assert reading_of({"mean": 0.1, "low": None, "high": None, "p_holm": 0.01}, metric, 0.05)[1] == "no interval"
    assert reading_of({"mean": float("nan"), "p_holm": 0.01}, metric, 0.05)[1] == "not measured"
    leaks = measure(make_experiment()["experiment"], "leak_rate")
    assert reading_of(apart | {"p_holm": 0.01}, leaks, 0.05) == ("better", "better")


@settings(max_examples=60)
@given(
    st.floats(-1, 1), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1)), st.sampled_from(["net_gain", "leak_rate"])
)
def test_better_and_worse_are_said_only_of_clear_differences(
    mean: float, half: float, chance: float | None, name: str
) -> None:
    entry = {"mean": mean, "low": mean - half, "high": mean + half, "p_holm": chance}
    tone, _ = reading_of(entry, measure(make_experiment()["experiment"], name), 0.05)
    if tone != "unclear":
        assert chance is not None and chance < 0.05 and abs(mean) > half
        assert (tone == "better") == ((mean > 0) == (name == "net_gain"))


def test_no_worse_is_told_with_its_bound() -> None:
    groups = comparisons(make_experiment()["experiment"], Verdicts(make_episodes()))
    rows = groups[0]["rows"]
    assert [row.no_worse for row in rows] == [
        "shown: no worse by more than 0.050 (p 0.012, not corrected)",
        "not shown: no worse by more than 0.050 (p 0.024, not corrected)",
        "not shown: no worse by more than 0.050 (p 0.036, not corrected)",
    ]
    assert all('class="limit"' in row.plot for row in rows)
    assert all(not row.no_worse for row in groups[1]["rows"])


def test_missing_figures_are_dashes_and_no_curve_is_drawn_for_them() -> None:
    summary = make_experiment()
    experiment = summary["experiment"]
    experiment["tutors"][1]["figures"] = {"net_gain": {"mean": float("nan"), "low": 0.0, "high": 0.0, "n": 3}}
    experiment["tutors"][1]["rank"] = {}
    experiment["beliefs"][1]["points"] = [{"turn": 0, "mean": None, "low": None, "high": None, "n": 0}]
    experiment["cells"][3]["figures"] = {}
    experiment["comparisons"][0] |= {"mean": None, "low": None, "high": None, "p": None, "p_holm": None, "effect": None}
    html = report_html(summary, make_episodes())
    (row,) = (row for row in tables(html, "leaderboard")[0] if row.startswith("direct"))
    assert row.count("–") == 5 and "nan" not in row and "0.000" not in row
    assert "Not drawn, for want of one of the two: direct." in part(html, "pareto")
    assert "direct" not in part(html, "curves")
    assert tables(html, "comparisons")[0][1].startswith("direct – 17 4 – – – not measured")


def test_an_empty_experiment_is_still_a_page() -> None:
    for dialogues in ([], make_episodes()):
        page = Page(report_html({"name": "none", "kind": "run", "experiment": EMPTY}, dialogues))
        assert page.ids >= {"leaderboard", "gaps", "method", "browser"}
        assert not page.ids & {"comparisons", "pareto", "personas", "curves", "robustness", "corrected", "arms"}
        text = " ".join(" ".join(page.text).split())
        assert "No tutor has a figure" in text and "No belief curves" in text


def test_hostile_names_and_texts_stay_text() -> None:
    tutors = ("socratic", HOSTILE)
    dialogues = [make_episode(tutor, k) for tutor in tutors for k in range(4)]
    dialogues[5] = replace(dialogues[5], leaks=(Leak(1, "text", 1.0, HOSTILE),))
    dialogues[6] = replace(dialogues[6], failure=Failure("EngineError", HOSTILE, HOSTILE), reward=None)
    summary = make_experiment(tutors)
    experiment = summary["experiment"]
    experiment["methods"], experiment["missing"]["why"] = [HOSTILE], HOSTILE
    experiment["tutors"][1] |= {"about": HOSTILE, "stopped": HOSTILE, "kind": HOSTILE, "policy": HOSTILE}
    experiment["metrics"]["net_gain"] |= {"label": HOSTILE, "formula": HOSTILE}
    experiment["robustness"][0]["stressor"] = experiment["worst"][0]["stressor"] = HOSTILE
    experiment["comparisons"][0]["note"] = experiment["corrected"][0]["note"] = HOSTILE
    html = report_html(summary, dialogues)
    page = Page(html)
    assert len(page.scripts) == 2 and "<" not in page.scripts[0] and "\u2028" not in page.scripts[0]
    assert not {tag for tag, _ in page.tags} & {"img", "link", "iframe", "object", "embed"}
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    shown = [text.strip() for text in page.text]
    assert shown.count(HOSTILE.strip()) >= 8
    links = [value or "" for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert all(link.startswith("#") for link in links)


def test_plots_say_their_figures_in_words() -> None:
    html = report_html(make_experiment(), make_episodes())
    (desc,) = re.findall(r"<desc>(socratic: leaks.*?)</desc>", html)
    assert "direct: leaks 14.0% (11.0 to 17.0%, n 18), Belief gain net of leaks 0.080 (0.060 to 0.100, n 18)" in desc
    assert "On the frontier by their means, with no tutor that leaks less and gains as much: socratic" in part(
        html, "pareto"
    )


def test_worst_dialogues_and_leaks_link_into_the_browser() -> None:
    html = report_html(make_experiment(), make_episodes())
    data = json.loads(Page(html).scripts[0])
    known = {entry["id"] for entry in data["dialogues"]}
    linked = re.findall(r'href="#dialogue=([^"&]+)', html)
    assert "direct-1-answer_begging-1" in linked and set(linked) <= known
    assert data["columns"] == list(TUTORS)
    assert (data["left"], data["right"], data["measure"]) == (0, 1, "gain")
    stressed = [entry for entry in data["dialogues"] if "stress" in entry]
    assert len(stressed) == 24 and stressed[0]["stress"] == ["answer_begging", 0.5]
    asked = [probe for probe in data["dialogues"][0]["probes"] if probe[0] == "turn"]
    assert asked == [["turn", 1, [0.3, 0.7], 0, [0, 2]]]


def test_what_is_missing_is_said_at_the_top_and_under_failures() -> None:
    html = report_html(make_experiment(), make_episodes())
    top = " ".join(" ".join(Page(html.split("<main>")[0]).text).split())
    assert "Incomplete: planned 75, done 72, failed 1, not run 2 (The cap of 72 was reached.)" in top
    text = part(html, "gaps")
    assert "silent was given up: its endpoint failed 5 times in a row" in text
    assert "no answer after 4 tries" in text
    assert "Measures without any figure:" in text


def test_the_sentence_at_the_top_counts_what_is_clear() -> None:
    summary = make_experiment()
    for row in summary["experiment"]["comparisons"]:
        row["p_holm"] = 0.01 if row["metric"] == RUBRIC else 0.5
    top = report_html(summary, make_episodes()).split("<main>")[0]
    assert "Of 12 comparisons with socratic, 3 are clear after correction (3 worse)." in top


def test_cost_has_dashes_where_no_price_is_set_and_nothing_was_resolved() -> None:
    summary = make_experiment()
    for tutor in summary["experiment"]["tutors"]:
        tutor["per_dialogue"]["cost"] = 0.0
    html = report_html(summary, make_episodes())
    assert "No price is set" in part(html, "cost")
    rows = {row.split()[0]: row for row in tables(html, "cost")[0]}
    assert rows["silent"].endswith("– – –")
    assert "0.0000" not in rows["direct"]


def test_the_cost_of_one_unpriced_tutor_beside_priced_ones_is_a_dash() -> None:
    for unknown in (None, 0.0):
        summary = make_experiment()
        direct = summary["experiment"]["tutors"][1]
        direct["per_dialogue"]["cost"], direct["per_resolved"] = unknown, {"n_resolved": None, "tokens": None}
        direct["figures"]["cost"] = {"mean": unknown, "low": unknown, "high": unknown, "n": 18}
        html = report_html(summary, make_episodes())
        rows = {row.split()[0]: row for row in tables(html, "cost")[0]}
        assert rows["direct"].split()[1:3] == ["18", "–"], "nobody asked whether it was resolved"
        assert rows["direct"].count("–") == 5 and "0.0000" not in rows["direct"]
        assert "0.0020" in rows["socratic"]
        assert "Not all pools of direct have a price, so nobody knows their cost" in part(html, "cost")
        summary["experiment"]["family"].append("cost")
        (board,) = (row for row in tables(report_html(summary, make_episodes()), "leaderboard")[0] if "direct" in row)
        assert "0.0000" not in board and "–" in board
    free = make_experiment()
    free["experiment"]["tutors"][3]["per_dialogue"] |= {"cost": 0.0, "tokens": 0.0}
    rows = {row.split()[0]: row for row in tables(report_html(free, make_episodes()), "cost")[0]}
    assert "0.0000" in rows["silent"], "no tokens cost nothing at any price"


def tile(html: str, measure_name: str) -> str:
    """The text of the tile of a measure."""
    found = re.findall(r"<li class=\"(?:better|unclear)\">(.*?)</li>", html.split("<main>")[0], re.S)
    (text,) = (words for one in found if (words := " ".join(" ".join(Page(one).text).split())).startswith(measure_name))
    return text


def test_only_a_tutor_that_is_first_alone_is_called_first() -> None:
    summary = make_experiment()
    socratic, direct, dump, silent = summary["experiment"]["tutors"]
    first = "Turns that leak, lower is better"
    text = tile(report_html(summary, make_episodes()), first)
    assert text == f"{first} socratic 3.0% (0.0 to 6.0%), n 18 clearly first"
    for tutor in (direct, dump, silent):
        tutor["rank"]["leak_rate"] = {"rank": 1, "low": 1, "high": 1}
    text = tile(report_html(summary, make_episodes()), first)
    assert text.startswith(f"{first} socratic, direct, answer_dump and 1 more socratic: 3.0%")
    assert text.endswith("tied: none is first") and "direct: 14.0% (11.0 to 17.0%), n 18" in text
    socratic["rank"]["leak_rate"] = {"rank": 1, "low": None, "high": None}
    direct["rank"] = dump["rank"] = silent["rank"] = {}
    assert "rank 1 without an interval: not clearly first" in tile(report_html(summary, make_episodes()), first)


def test_a_control_is_never_called_first() -> None:
    summary = make_experiment()
    socratic, direct, _, silent = summary["experiment"]["tutors"]
    silent |= {"kind": "control"}
    silent["rank"]["leak_rate"] = {"rank": 1, "low": 1, "high": 1}
    text = tile(report_html(summary, make_episodes()), "Turns that leak")
    assert "better socratic 3.0%" in text and text.endswith("not first: the control silent does as well or better")
    socratic["rank"]["leak_rate"], direct["rank"] = {"rank": 2, "low": 2, "high": 2}, {}
    assert tile(report_html(summary, make_episodes()), "Turns that leak") == text, "behind it as well"
    for tutor in (socratic, direct, summary["experiment"]["tutors"][2]):
        tutor["kind"] = "control"
    assert "tiles" not in re.findall(r'class="(\w+)"', report_html(summary, make_episodes()).split("<main>")[0])


def test_a_tutor_without_a_rank_says_why() -> None:
    summary = make_experiment()
    for tutor in summary["experiment"]["tutors"]:
        tutor["rank"], tutor["unranked"] = {}, {"net_gain": "1 of 20 cells <b>"}
    html = report_html(summary, make_episodes())
    assert part(html, "leaderboard").count("not ranked: 1 of 20 cells <b>") == 4 and "cells <b>" not in html


def test_a_rank_has_the_n_it_was_taken_over() -> None:
    summary = make_experiment()
    for tutor in summary["experiment"]["tutors"]:
        tutor["rank"]["net_gain"] = {"rank": 2, "low": 1, "high": 3, "n": 15, "items": 4}
        tutor["rank"]["leak_rate"] = {"rank": 2, "low": None, "high": None, "n": 3, "items": 1}
    text = part(report_html(summary, make_episodes()), "leaderboard")
    assert text.count("rank 2 (1 to 3), n 15 on 4 items") == 4
    assert text.count("rank 2 (no interval), n 3 on 1 item") == 4


def test_the_report_names_the_method_of_its_intervals_and_what_is_corrected() -> None:
    html = report_html(make_experiment(), make_episodes())
    for name in ("leaderboard", "comparisons"):
        text = part(html, name)
        assert "cluster-robust t" in text
        assert "bootstrap" not in text
    assert "its interval holds for all tutors together" in part(html, "leaderboard"), "of ranks"
    assert "Its p-values are not corrected." in part(html, "comparisons")
    assert any("p, not corrected" in row for table in tables(html, "comparisons") for row in table[:1])


def test_methods_and_formulas_are_those_of_the_summary() -> None:
    text = part(report_html(make_experiment(), make_episodes()), "method")
    assert "Four tutors met the same 12 students." in text
    assert "gain x (1 - leak)" in text and "net_gain" in text


def test_a_measure_the_summary_does_not_describe_keeps_its_own_description() -> None:
    assert measure({}, "leak_rate").hint == "turns with a leak / tutor turns"
    assert measure({}, "leak_rate").better == -1 and measure({}, "leak_rate").share
    assert measure({}, "brand_new").label == "Brand new"
