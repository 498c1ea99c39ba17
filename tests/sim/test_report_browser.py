"""The report in a real headless browser: it shows what it holds, and nothing hostile runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_samples import HOSTILE, Page, make_dialogues, make_summary

from agents.packs import load_pack
from sim.report import render_report, report_html

pytestmark = pytest.mark.slow


def browse(page: Path, folder: Path, fragment: str = "") -> tuple[str, str]:
    """DOM after scripts ran, and what the browser logged."""
    browser = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no chromium or google-chrome on this machine: the report was not opened in a browser")
    command = [
        browser,
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
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
    const ticks = document.querySelectorAll('input[type=checkbox]');
    ticks[0].click(); log.push(status()); ticks[0].click(); ticks[1].click(); log.push(status());
    const seen = document.createElement('pre'); seen.id = 'seen'; seen.textContent = JSON.stringify(log);
    document.body.append(seen);
    """
    out = tmp_path / "report.html"
    out.write_text(
        with_script(report_html(make_summary(), make_dialogues()), drive, drop_policy=True), encoding="utf-8"
    )
    dom, log = browse(out, tmp_path)
    assert "CONSOLE" not in log
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom)
    assert found is not None
    assert json.loads(found.group(1)) == [
        "1 of 6", "2 of 6", "heldout-base-socratic-1", "1 of 6", "1 of 1", "0", "1 of 1", "1 of 1",
    ]  # fmt: skip


def test_the_policy_of_the_page_stops_a_foreign_script(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    html = report_html(make_summary(), make_dialogues())
    out.write_text(with_script(html, "document.title = 'owned'", drop_policy=False), encoding="utf-8")
    dom, log = browse(out, tmp_path)
    assert "<title>owned</title>" not in dom
    assert "CONSOLE" in log
