"""Keys come from the environment or a secret file; a config that holds one is refused without showing it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.openai import OpenAIEngine
from agents.errors import InputError
from agents.secrets import HIDDEN, looks_like_secret, redact, refuse_secrets, secret

KEY = "sk-proj-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TUTOR_KEY", "TUTOR_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def key_file(folder: Path, content: str = f"{KEY}\n", mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(content)
    path.chmod(mode)
    return path


def test_the_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert secret("TUTOR_KEY") is None
    monkeypatch.setenv("TUTOR_KEY_FILE", str(key_file(tmp_path)))
    assert secret("TUTOR_KEY") == KEY
    monkeypatch.setenv("TUTOR_KEY", " other-key\n")
    assert secret("TUTOR_KEY") == "other-key"
    monkeypatch.setenv("TUTOR_KEY", "  ")
    assert secret("TUTOR_KEY") == KEY


def test_the_engine_takes_the_key_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TUTOR_KEY_FILE"):
        OpenAIEngine.from_env("m", "https://tutor.example/v1", "TUTOR_KEY")
    monkeypatch.setenv("TUTOR_KEY_FILE", str(key_file(tmp_path)))
    engine = OpenAIEngine.from_env("m", "https://tutor.example/v1", "TUTOR_KEY")
    assert KEY not in repr(engine)


def test_a_file_that_others_may_read_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = key_file(tmp_path, mode=0o644)
    monkeypatch.setenv("TUTOR_KEY_FILE", str(path))
    with caplog.at_level(logging.WARNING):
        assert secret("TUTOR_KEY") == secret("TUTOR_KEY") == KEY
    assert [record.message.count("mode 644") for record in caplog.records] == [1]
    assert KEY not in caplog.text
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("TUTOR_KEY_FILE", str(key_file(other)))
    caplog.clear()
    assert secret("TUTOR_KEY") == KEY and not caplog.records


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        (f"{KEY}\n{KEY}", "no usable key"),
        ("k\u00e9y-of-mine", "no usable key"),
        ("x" * 70_000, "too many"),
    ],
)
def test_a_file_that_holds_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, says: str) -> None:
    monkeypatch.setenv("TUTOR_KEY_FILE", str(key_file(tmp_path, content)))
    with pytest.raises(InputError, match=says) as raised:
        secret("TUTOR_KEY")
    assert KEY not in str(raised.value)


def test_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "not a file"),
        (tmp_path / "pipe", "not a file"),
    ):
        monkeypatch.setenv("TUTOR_KEY_FILE", str(path))
        with pytest.raises(InputError, match=f"TUTOR_KEY_FILE.*{says}"):
            secret("TUTOR_KEY")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("TUTOR_KEY_FILE", str(tmp_path / "bytes"))
    with pytest.raises(InputError, match="not text"):
        secret("TUTOR_KEY")


def test_a_key_in_the_place_of_its_name_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no name of an environment variable") as raised:
        secret(KEY)
    assert KEY not in str(raised.value)
    monkeypatch.setenv("TUTOR_KEY", f"{KEY} {KEY}")
    with pytest.raises(InputError, match="the environment variable TUTOR_KEY holds no usable key") as raised:
        secret("TUTOR_KEY")
    assert KEY not in str(raised.value)


@settings(deadline=None)
@given(st.text(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12), st.text())
def test_a_redacted_text_holds_no_key(before: str, key: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUTOR_KEY", key)
        for form in (key, json.dumps(key), quote(key, safe="")):
            found = redact(f"{before}{form}{after}", ["TUTOR_KEY", "NOT_SET"])
            # the stars themselves, together with what stands around them, may be what was looked for
            assert key not in found or "*" in key
            assert HIDDEN in found
        assert redact("nothing here", ["NOT_SET", "no name"]) == "nothing here"


def test_a_word_in_the_place_of_a_key_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTOR_KEY", "none")
    assert redact("there is none", ["TUTOR_KEY"]) == "there is none"


HELD = [
    {"pools": {"tutor": {"base_url": "https://me:hunter22@tutor.example/v1"}}},
    {"pools": {"tutor": {"base_url": "https://tutor.example/v1?api_key=hunter2222"}}},
    {"pools": {"tutor": {"api_key_env": KEY}}},
    {"pools": {"tutor": {"api_key_env": "hunter-22"}}},
    {"pools": {"tutor": {"api_key": "hunter22"}}},
    {"pools": {KEY: {}}},
    {"run": {"folder": "s3://AKIAIOSFODNN7EXAMPLE:hunter22@bucket/runs"}},
    {"tutors": [{"prompt": f"Use Bearer {KEY}"}]},
    {"name": "hf_abcdefghijklmnopqrstuvwxyz"},
    [f"pools.tutor.model={KEY}"],
    KEY,
]


@pytest.mark.parametrize("raw", HELD)
def test_a_config_that_holds_a_key_is_refused_without_showing_it(raw: object) -> None:
    with pytest.raises(InputError, match="looks like .*api_key_env") as raised:
        refuse_secrets(raw, "mine.yaml")
    assert "mine.yaml" in str(raised.value)
    assert not any(part in str(raised.value) for part in (KEY, "hunter", "AKIA", "hf_a"))


def test_configs_without_keys_pass() -> None:
    loop: list[object] = ["a"]
    loop.append(loop)
    refuse_secrets(loop, "x")
    for text in (
        *(
            "http://127.0.0.1:8000/v1",
            "OPENAI_API_KEY",
            "https://host/v1?api-version=2024-06-01",
            "task-force-of-many-words",
        ),
        *("Qwen/Qwen2.5-7B-Instruct", "ask-the-student-a-question-first", "s3://bucket/runs", "mailto:me@host"),
    ):
        assert looks_like_secret(text) == ""
        refuse_secrets({"a": [text, 3, None], "api_key_env": "MY_KEY"}, "x")
    for path in sorted(Path("configs").rglob("*.yaml")):
        refuse_secrets(path.read_text(), str(path))
