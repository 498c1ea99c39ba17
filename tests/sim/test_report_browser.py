"""The report in a real headless browser: it shows what it holds, and nothing hostile runs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_samples import HOSTILE, Page, make_dialogues, make_episodes, make_experiment, make_summary

from agents.packs import load_pack
from sim.report.page import render_report, report_html
from tests.needs import browser

pytestmark = pytest.mark.slow


def browse(page: Path, folder: Path, fragment: str = "") -> tuple[str, str]:
    """DOM after scripts ran, and what the browser logged."""
    command = [
        browser(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=2000",
        "--window-size=1280,900",
        "--dump-dom",
        page.as_uri() + fragment,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def with_script(html: str, script: str, *, drop_policy: bool) -> str:
    if drop_policy:
        html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    return html.replace("</body>", f"<script>{script}</script></body>")


def test_browser_shows_tables_and_dialogues_and_runs_nothing_hostile(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    render_report(make_summary(), make_dialogues(), out)
    leaking = "heldout-base-socratic-1"
    dom, log = browse(out, tmp_path, f"#d={leaking}&t=1")
    page = Page(dom)
    assert "CONSOLE" not in log
    assert "<title>quick &lt;start&gt; – tutorloop report</title>" in dom
    assert "+0.330" in dom
    sides = [attrs.get("data-id") for _, attrs in page.tags if "data-id" in attrs]
    assert sides == [leaking, "heldout-tutor-v0001-socratic-1"]
    # once in the ledger, once in the transcript, the second failed dialogue is not open
    assert page.text.count(HOSTILE) == 2
    assert not any(tag == "img" for tag, _ in page.tags)
    assert sum("target" in (attrs.get("class") or "").split() for _, attrs in page.tags) == 1
    assert load_pack("physics").item("ph-02").question.text in page.text


def test_browser_shows_the_typed_error_of_a_failed_dialogue(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    render_report(make_summary(), make_dialogues(), out)
    dom, log = browse(out, tmp_path, "#d=heldout-tutor-v0001-socratic-1")
    assert "CONSOLE" not in log
    assert "<b>EngineUnavailable</b>" in dom
    assert f"no answer {HOSTILE}" in Page(dom).text


def test_search_filters_and_arrow_keys_work_in_the_browser(tmp_path: Path) -> None:
    drive = """
    const log = [], current = () => document.querySelector('.side').dataset.id;
    const status = () => document.querySelector('[role=status]').textContent;
    const key = (name) => document.body.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
    log.push(status()); key('ArrowRight'); log.push(status(), current()); key('ArrowLeft'); log.push(status());
    const search = document.getElementById('search');
    search.value = 'TITLE=\\'Owned'; search.dispatchEvent(new Event('input')); log.push(status());
    search.value = 'no such words'; search.dispatchEvent(new Event('input')); log.push(status());
    search.value = ''; search.dispatchEvent(new Event('input'));
    set('leak', 'yes'); log.push(status()); set('leak', 'no'); log.push(status()); set('leak', '');
    set('failed', 'yes'); log.push(status());
    """
    assert driven(report_html(make_summary(), make_dialogues()), drive, tmp_path) == [
        "1 of 6", "2 of 6", "heldout-base-socratic-1", "1 of 6", "1 of 1", "0", "1 of 1", "1 of 5", "1 of 1",
    ]  # fmt: skip


def driven(html: str, drive: str, folder: Path, fragment: str = "") -> Any:
    """What a script that works the page pushed to `log`; `set` chooses a filter's value."""
    tools = """
    const set = (name, value) => { const select = document.getElementById('filter-' + name);
      select.value = value; select.dispatchEvent(new Event('change')); };
    """
    tell = """
    const seen = document.createElement('pre'); seen.id = 'seen'; seen.textContent = JSON.stringify(log);
    document.body.append(seen);
    """
    out = folder / "report.html"
    out.write_text(with_script(html, tools + drive + tell, drop_policy=True), encoding="utf-8")
    dom, log = browse(out, folder, fragment)
    assert "CONSOLE" not in log
    (found,) = [text for text in Page(dom).text if text.startswith("[")]
    return json.loads(found)


def test_an_experiments_dialogues_are_filtered_paired_and_linked(tmp_path: Path) -> None:
    drive = """
    const log = [], ids = () => [...document.querySelectorAll('.side')].map((side) => side.dataset.id);
    const count = () => Number(document.querySelector('[role=status]').textContent.split(' ').pop());
    const pick = (label, value) => { const select = [...document.querySelectorAll('.controls label')]
      .find((node) => node.firstChild.textContent === label).querySelector('select');
      select.value = value; select.dispatchEvent(new Event('change')); };
    log.push(ids(), [...document.querySelectorAll('.side mark')].map((node) => node.textContent));
    document.getElementById('differ').click(); log.push(document.querySelectorAll('.side mark').length);
    pick('Left', '-1'); pick('Right', '-1'); log.push(count());
    set('persona', 'begging'); log.push(count()); set('stress', 'answer_begging @ 1'); log.push(count());
    set('persona', ''); set('stress', ''); set('verdict', 'invalid'); log.push(count(), ids());
    set('verdict', ''); set('item', 'physics/ph-01'); set('leak', 'no'); log.push(count()); set('leak', '');
    set('item', ''); set('failed', 'yes'); log.push(count(), ids()); set('failed', '');
    const search = document.getElementById('search');
    search.value = 'direct "case 7"'; search.dispatchEvent(new Event('input')); log.push(count(), ids());
    """
    found = driven(report_html(make_experiment(), make_episodes()), drive, tmp_path, "#dialogue=direct-1&turn=1")
    assert found[0] == ["socratic-1", "direct-1"]
    assert found[1] == ["socratic", "direct"]
    # 12 students and 6 stressed ones under 4 tutors; begging: 4 and 2 of them, 1 at full intensity
    assert found[2:6] == [0, 72, 24, 4]
    assert found[6:8] == [1, ["direct-1"]]
    # of ph-01 (students 0, 4, 8 and the stressed 0) only answer_dump always leaks, and direct does not
    assert found[8] == 15
    assert found[9:11] == [1, ["silent-11"]]
    assert found[11:] == [1, ["direct-7"]]


def test_tables_sort_by_keyboard_and_what_is_missing_stays_last(tmp_path: Path) -> None:
    summary = make_experiment()
    del summary["experiment"]["tutors"][1]["figures"]["leak_rate"]
    drive = """
    const log = [], table = document.querySelector('#leaderboard table');
    const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].dataset.value);
    const heads = [...table.querySelectorAll('thead th')];
    const head = heads.find((node) => node.textContent.startsWith('Turns that leak'));
    log.push(heads.every((node) => node.querySelector('button')));
    head.querySelector('button').focus(); document.activeElement.click();
    log.push(names(), head.getAttribute('aria-sort'));
    document.activeElement.click(); log.push(names(), head.getAttribute('aria-sort'));
    """
    assert driven(report_html(summary, make_episodes()), drive, tmp_path) == [
        True,
        ["socratic", "answer_dump", "silent", "direct"],
        "ascending",
        ["silent", "answer_dump", "socratic", "direct"],
        "descending",
    ]


def test_the_browser_says_when_a_dialogue_is_not_in_the_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    render_report(make_experiment(), make_episodes(), out)
    dom, log = browse(out, tmp_path, "#dialogue=nowhere%3Cb%3E")
    assert "CONSOLE" not in log
    assert "Dialogue nowhere<b> is not in this page; the run folder has it." in Page(dom).text


def test_an_experiment_with_a_hostile_tutor_runs_nothing_in_the_browser(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    tutors = ("socratic", HOSTILE)
    render_report(make_experiment(tutors), make_episodes(tutors), out)
    dom, log = browse(out, tmp_path, "#dialogue=socratic-1")
    assert "CONSOLE" not in log
    assert "<title>four tutors – tutorloop report</title>" in dom
    page = Page(dom)
    assert not any(tag == "img" for tag, _ in page.tags)
    assert len([attrs for _, attrs in page.tags if "data-id" in attrs]) == 2


def test_the_policy_of_the_page_stops_a_foreign_script(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    html = report_html(make_summary(), make_dialogues())
    out.write_text(with_script(html, "document.title = 'owned'", drop_policy=False), encoding="utf-8")
    dom, log = browse(out, tmp_path)
    assert "<title>owned</title>" not in dom
    assert "CONSOLE" in log
