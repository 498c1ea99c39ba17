"""The run's log: one JSON object a line, of bounded size, without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.sight.log import MOST_CHARACTERS, RunLog
from sim.sight.redaction import HIDDEN, SHORTEST, Redaction


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_what_and_about_whom(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run" / "log.jsonl", "demo")
    log.write("restart", "it died", level="warning", pool="class", replica=1, restarts=2)
    log.write("failed", "no answer\nafter 3 tries", dialogue="run-7", error="EngineUnavailable")
    log.close()
    first, second = rows(log.path)
    assert first.pop("time").endswith("+00:00")
    assert first == {
        **{"level": "warning", "event": "restart", "run": "demo", "pool": "class", "text": "it died"},
        **{"replica": 1, "restarts": 2},
    }
    assert (second["dialogue"], second["text"], second["level"]) == ("run-7", "no answer\nafter 3 tries", "info")


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for start in range(2):
        log = RunLog(tmp_path / "log.jsonl", "demo")
        log.write("start", str(start))
        log.close()
    assert [row["text"] for row in rows(tmp_path / "log.jsonl")] == ["0", "1"]


def test_a_log_is_of_bounded_size(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl", "demo", limit_bytes=20_000)
    for number in range(2000):
        log.write("failed", "ü" * 50, dialogue=f"run-{number}")
    log.write("news", "x" * 100_000)
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "log.jsonl.1"}
    assert all(path.stat().st_size <= 20_000 for path in tmp_path.iterdir())
    assert len(rows(log.path)[-1]["text"]) == MOST_CHARACTERS + 3
    assert rows(log.path)[-2]["dialogue"] == "run-1999"


def test_a_log_that_cannot_be_written_counts_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.jsonl").mkdir()
    log = RunLog(tmp_path / "log.jsonl", "demo")
    log.write("start")
    log.write("finished")
    assert log.lost == 2
    assert capsys.readouterr().err == ""


def test_the_log_of_an_object_store_is_uploaded_at_the_end(tmp_path: Path) -> None:
    stored: dict[str, str] = {}
    for start in range(2):
        log = RunLog(
            tmp_path / str(start) / "log.jsonl",
            "demo",
            upload=stored.__setitem__,
            earlier=stored.get("log.jsonl", ""),
            limit_bytes=5_000,
        )
        log.write("start", str(start))
        assert len(stored) == start
        log.close()
    assert [json.loads(row)["text"] for row in stored["log.jsonl"].splitlines()] == ["0", "1"]
    long = "".join(f'{{"text": "{i}"}}\n' for i in range(2000))
    log = RunLog(tmp_path / "2" / "log.jsonl", "demo", upload=stored.__setitem__, earlier=long, limit_bytes=5_000)
    log.close()
    kept = [json.loads(row)["text"] for row in stored["log.jsonl"].splitlines()]
    assert kept[-1] == "1999" and len(stored["log.jsonl"]) <= 5_000


KEYS = st.text(min_size=SHORTEST, max_size=40)


@settings(deadline=None)
@given(KEYS, KEYS, st.text(max_size=20), st.text(max_size=20))
def test_no_key_of_the_environment_is_ever_seen(first: str, second: str, before: str, after: str) -> None:
    hides = Redaction.of_environment(["A_KEY", "B_KEY", "NOT_SET"], {"A_KEY": first, "B_KEY": second, "OTHER": "x"})
    for secret in (first, second):
        for told in (hides.text(before + secret + after), *hides.every([{before + secret: (secret + after,)}])[0]):
            assert secret not in told.replace(HIDDEN, "\0") or secret in before + "\0" + after


def test_keys_are_hidden_wherever_they_stand_in_a_line(tmp_path: Path) -> None:
    secret = 'pa"ss\\wörd\n1'  # JSON writes it in another way: it has to be hidden before
    log = RunLog(tmp_path / "log.jsonl", "demo", redaction=Redaction([secret, "tiny"]))
    log.write("failed", f"a{secret}b", pool=secret, dialogue=f"x{secret}", endpoint=f"https://host/?key={secret}")
    log.close()
    (row,) = rows(log.path)
    assert row["text"] == f"a{HIDDEN}b" and row["pool"] == HIDDEN and row["endpoint"] == f"https://host/?key={HIDDEN}"
    assert "wörd" not in log.path.read_text() and "w\\u00f6rd" not in log.path.read_text()


def test_a_secret_at_the_cut_is_not_half_there(tmp_path: Path) -> None:
    secret = "s3cr3t-" * 6
    log = RunLog(tmp_path / "log.jsonl", "demo", redaction=Redaction([secret]))
    log.write("news", "x" * (MOST_CHARACTERS - 10) + secret)
    log.close()
    assert "s3cr3t" not in log.path.read_text()


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("openai: sk-proj-0123456789abcdef is wrong", "0123456789abcdef"),
        ("https://user:hunter22@host/v1", "hunter22"),
        ("--set pools.a.api_key=abcdef", "abcdef"),
        ("access_token: qwerty&x=1", "qwerty"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_too(text: str, gone: str) -> None:
    told = Redaction().text(text)
    assert gone not in told and HIDDEN in told


def test_a_word_for_no_key_is_no_secret() -> None:
    hides = Redaction.of_environment(["KEY"], {"KEY": "none"})
    assert (
        hides.text("none of 3 dialogues failed; 12 prompt_tokens=4") == "none of 3 dialogues failed; 12 prompt_tokens=4"
    )
