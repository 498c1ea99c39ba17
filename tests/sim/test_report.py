"""The report: what it holds, what it leaves out, and what hostile dialogues cannot do to it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import AFTER, BEFORE, HOSTILE, Page, make_dialogue, make_dialogues, make_summary

from agents.errors import StoreError
from agents.records import Candidate, Probe, Turn, TurnRules, Verdict
from sim.report.data import DIALOGUE_BYTES, browser_data, script_json
from sim.report.evidence import beliefs, leak_ledger
from sim.report.page import render_report, report_html
from sim.report.verdicts import LISTED, RAW, unreadable


def test_report_of_a_loop_has_all_its_sections() -> None:
    page = Page(report_html(make_summary(), make_dialogues()))
    assert {"heldout", "ran", "leaks", "beliefs", "training", "delivery", "browser", "method"} <= page.ids
    assert "arms" not in page.ids
    text = " ".join(" ".join(page.text).split())
    assert "Promoted: tutor/v0001 is now the tutor. The reward rose by 0.33" in text
    assert "quick <start>" in text
    assert "+0.330" in text and "+0.120 to +0.550" in text
    assert "1 x EngineUnavailable" in text
    assert "7 min 30 s" in text
    assert "6 pairs of dialogues on 4 items" in text


def test_differences_are_called_better_only_when_the_interval_excludes_zero() -> None:
    html = report_html(make_summary(), make_dialogues())
    rows = {
        str(name): str(reading)
        for name, reading in re.findall(r'<th scope="row">([^<]+)<small>.*?class="reading \w+">([^<]+)<', html, re.S)
    }
    assert rows["Reward"] == "better"
    assert rows["Leak rate"] == "no clear difference"
    assert rows["Words per turn"] == "lower"
    assert rows["Belief gain"] == "no interval"


def test_a_missing_figure_is_a_dash_and_not_a_zero() -> None:
    html = report_html(make_summary(), make_dialogues())
    row = re.search(r'<th scope="row">Belief gain.*?</tr>', html, re.S)
    assert row is not None
    cells = re.findall(r'<td class="n">([^<]*)<', row.group())
    assert cells == ["0.0080", "–", "–", "–"]


def test_hostile_text_stays_text() -> None:
    html = report_html(make_summary(), make_dialogues())
    page = Page(html)
    assert len(page.scripts) == 2
    data = json.loads(page.scripts[0])
    said = [turn["text"] for entry in data["dialogues"] for turn in entry["turns"]]
    assert HOSTILE in said
    assert HOSTILE in page.text
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "<" not in page.scripts[0]


def test_the_file_refers_to_nothing_outside() -> None:
    page = Page(report_html(make_summary(), make_dialogues()))
    links = [value or "" for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert links and all(link.startswith("#") for link in links)
    style = report_html({}, []).split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert not any(tag in ("link", "iframe", "object", "embed") for tag, _ in page.tags)


def test_run_report_leaves_out_what_a_run_has_not() -> None:
    dialogues = [make_dialogue("run", k, strategy=name) for name in ("socratic", "direct") for k in range(3)]
    arm = {"arm": "socratic/begging", "strategy": "socratic", "persona": "begging", "n": 3, "n_failed": 0}
    numbers = {"mean": {"gain": 0.2, "question_share": 1.0}, "ci95": {"gain": [0.1, 0.3]}}
    page = Page(report_html({"name": "plain", "kind": "run", "arms": [{**arm, **numbers}]}, dialogues))
    assert {"arms", "leaks", "beliefs", "browser", "method"} <= page.ids
    assert not {"heldout", "training", "delivery", "ran"} & page.ids
    data = json.loads(page.scripts[0])
    assert data["columns"] == ["run, socratic", "run, direct"]
    assert (data["left"], data["right"]) == (0, 1)


def test_ledger_counts_leaks_by_phase_and_links_the_dialogue() -> None:
    ledger = {phase.phase: phase for phase in leak_ledger(make_dialogues())}
    assert list(ledger) == ["simulate/0001", BEFORE, AFTER]
    before = ledger[BEFORE]
    assert (before.dialogues, before.leaking, before.tutor_turns, before.total) == (6, 1, 6, 1)
    assert before.kinds == {"text": 1, "claim": 0, "letter": 0, "number": 0, "paraphrase": 0}
    assert ledger[AFTER].total == 0 and ledger[AFTER].tutor_turns == 5
    html = report_html(make_summary(), make_dialogues())
    assert 'href="#dialogue=heldout-base-socratic-1&amp;turn=1"' in html


def test_beliefs_carry_their_n_and_an_interval_over_items() -> None:
    spread = [make_dialogue(AFTER, k, right=0.3 + 0.1 * (k % 4)) for k in range(8)]
    (phase,) = beliefs([*spread, replace(make_dialogue(AFTER, 9), probes=())], [AFTER, "heldout/never"])
    label, before, after, n = phase.lines[0]
    assert (label, n) == ("right answer", "8")
    assert before == "0.200 (0.200 to 0.200)"
    found = re.fullmatch(r"0\.450 \((0\.\d+) to (0\.\d+)\)", after)
    assert found is not None
    assert 0.2 <= float(found.group(1)) < 0.45 < float(found.group(2)) <= 0.7  # four items: wider than their range
    (single,) = beliefs([make_dialogue(AFTER, 0)], [AFTER])
    assert single.lines[0][2] == "0.400"


def test_beliefs_find_an_option_where_only_some_were_asked_about() -> None:
    base = make_dialogue(AFTER, 0)
    asked = (Probe("before", 0, (0.4, 0.6), 0, (0, 2)), Probe("after", 2, (0.7, 0.3), 0, (0, 2)))
    (phase,) = beliefs([replace(base, probes=asked)], [AFTER])
    assert [(label, before, after) for label, before, after, _ in phase.lines] == [
        ("right answer", "0.400", "0.700"),
        ("held misconception", "0.600", "0.300"),
    ]
    entry = browser_data([replace(base, probes=asked)], None, None)["dialogues"][0]
    assert entry["probes"][0] == ["before", 0, [0.4, 0.6], 0, [0, 2]]


def test_an_undelivered_version_is_not_called_proved() -> None:
    summary = make_summary()
    summary["delivery"]["agreement"] = 0.4
    assert "NOT proved: engine and trainer disagree" in report_html(summary, [])
    summary["delivery"] |= {"agreement": 0.001, "changed": 0.0}
    assert "NOT proved: the new weights differ" in report_html(summary, [])


def test_report_of_nothing_is_still_a_page() -> None:
    page = Page(report_html({}, []))
    assert page.ids >= {"browser", "method"}
    assert not page.ids & {"heldout", "arms", "leaks", "beliefs"}


def test_pairs_open_on_the_compared_phases() -> None:
    data = browser_data(make_dialogues(), BEFORE, AFTER)
    assert data["columns"][data["left"]] == f"Before: {BEFORE}"
    assert data["columns"][data["right"]] == f"After: {AFTER}"


def test_token_ids_are_dropped_and_the_chosen_text_is_embedded_once() -> None:
    data = browser_data([make_dialogue("simulate/0001", 0, candidates=3)], None, None)
    assert "token_ids" not in script_json(data)
    turn = data["dialogues"][0]["turns"][1]
    assert turn["candidates"] == [
        [None, 1.5, True, 0.0],
        ["another reply 1", -0.5, True, 0.0],
        ["another reply 2", -1.5, True, 0.0],
    ]


def test_dialogues_fit_the_budget_and_say_what_was_cut() -> None:
    big = make_dialogue("simulate/0001", 0)
    rules = TurnRules(True, 0.0, 1.0, 0.0, 300, 8.0)
    candidates = tuple(Candidate("word " * 400 + str(k), (1,), rules, None, float(k)) for k in range(8))
    turns = tuple(Turn(i, "tutor", "word " * 400, (), "stop", "base", rules, candidates, 0) for i in range(4))
    data = browser_data([replace(big, turns=turns)] * 3, None, None)
    size = sum(len(script_json(entry).encode()) for entry in data["dialogues"])
    assert size <= 3 * DIALOGUE_BYTES
    assert "600 characters" in data["shortened"]
    assert browser_data([big], None, None)["shortened"] == ""


def test_an_unknown_pack_is_said_and_not_fatal() -> None:
    data = browser_data([make_dialogue(BEFORE, 0, pack="nowhere")], BEFORE, None)
    assert data["items"] == {}
    assert len(data["notes"]) == 1 and "nowhere" in data["notes"][0]


def test_writing_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report.html"
    render_report({"name": "first"}, [], out)
    half_emoji = make_dialogue("run", 0, said="\ud83d")
    render_report({"name": "second"}, [half_emoji], out)
    assert "second" in out.read_text(encoding="utf-8")
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_an_unwritable_place_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        render_report({}, [], tmp_path / "file" / "report.html")


def test_what_a_judge_said_that_is_no_verdict_is_shown_closed_and_as_text() -> None:
    unread = Verdict("rubric:x", "leak", "invalid", votes=("OK", "invalid"), rationale="1 of 2 votes", raw=HOSTILE)
    spoilt = Verdict("rubric:x", "leak", "pass", score=1.0, votes=("OK", "invalid", "OK"), raw="a cut-off {")
    done = Verdict("rubric:x", "tone", "pass", score=1.0, fallbacks=("json_schema", "n"))
    dialogues = [replace(make_dialogue("run", 0), verdicts=(unread, spoilt, done))]
    html = report_html({"name": "plain", "kind": "run"}, dialogues)
    page = Page(html)
    assert "unreadable" in page.ids and HOSTILE in page.text
    text = " ".join(page.text)
    assert "rubric:x, leak: invalid 1 of 2 (50.0%), an unreadable answer in 2" in text and "a cut-off {" in text
    assert "rubric:x: the endpoint took no JSON schema: the answers were validated only (1 verdicts)." in text
    section = html.split('id="unreadable"')[1].split('id="leaks"')[0]
    assert "<details open" not in section and "<img" not in section and "<script" not in section
    assert "rubric:x, tone" not in section


def test_of_many_unreadable_answers_the_first_are_listed_and_all_are_counted() -> None:
    unread = Verdict("rubric:x", "leak", "invalid", raw="no" * 900)
    (group,) = unreadable([replace(make_dialogue("run", k), verdicts=(unread,)) for k in range(30)])
    assert (group.total, len(group.rows), group.count.words) == (30, LISTED, "30 of 30 (100.0%)")
    assert all(len(row.raw) == RAW for row in group.rows)
