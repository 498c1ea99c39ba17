"""A hub model becomes a whole folder, or an error that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from agents.errors import InputError
from agents.hub import Fetch, download, weight_files
from agents.models import local_model

NAME = "owner/model"
ANSWER: Any = httpx.Response(403, request=httpx.Request("GET", "https://hub.invalid/owner/model"))


def hands_out(folder: Path, *names: str) -> Fetch:
    """A client that finds these files on the hub."""

    def fetch(name: str, **patterns: Any) -> str:
        assert name == NAME and "*.safetensors" in patterns["allow_patterns"]
        folder.mkdir(exist_ok=True)
        for file in names:
            (folder / file).write_text("{}")
        return str(folder)

    return fetch


def test_a_hub_model_becomes_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fetch = hands_out(Path("snapshot"), "config.json", "model.safetensors")
    assert local_model(NAME, fetch=fetch) == tmp_path / "snapshot"


def test_a_folder_is_not_asked_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    def fetch(name: str, **patterns: Any) -> str:
        raise AssertionError(name)

    assert local_model(str(tmp_path), fetch=fetch) == tmp_path
    with pytest.raises(InputError, match="no folder with a config.json there"):
        local_model(str(tmp_path / "nothing"), fetch=fetch)


@pytest.mark.parametrize(
    ("files", "lacks"),
    [
        (("config.json",), "*.safetensors"),
        (("model.safetensors",), "config.json"),
        (("config.json", "model.safetensors.index.json", "model-1.safetensors"), "model-2.safetensors"),
    ],
)
def test_half_a_download_is_no_model(tmp_path: Path, files: tuple[str, ...], lacks: str) -> None:
    fetch = hands_out(tmp_path, *files)

    def indexed(name: str, **patterns: Any) -> str:
        folder = fetch(name, **patterns)
        shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
        if "model.safetensors.index.json" in files:
            (tmp_path / "model.safetensors.index.json").write_text(json.dumps(shards))
        return folder

    with pytest.raises(InputError) as caught:
        download(NAME, fetch=indexed)
    assert f"has no {lacks}" in str(caught.value) and f"hf download {NAME}" in str(caught.value)


def test_an_index_says_which_files_are_the_model(tmp_path: Path) -> None:
    for name in ("consolidated.safetensors", "model-1.safetensors"):
        (tmp_path / name).write_text("")
    assert len(weight_files(tmp_path)) == 2
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert weight_files(tmp_path) == [tmp_path / "model-1.safetensors"]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            GatedRepoError("no", response=ANSWER),
            "the terms on its page of the hub and set HF_TOKEN",
        ),
        (RepositoryNotFoundError("no", response=ANSWER), "Check the name; for a private one set HF_TOKEN"),
        (LocalEntryNotFoundError("no"), "Run `hf download owner/model` where there is network"),
        (OSError("No space left on device"), "No space left on device"),
    ],
)
def test_an_error_says_what_to_do(error: Exception, advice: str) -> None:
    def fetch(name: str, **patterns: Any) -> str:
        raise error

    with pytest.raises(InputError) as caught:
        download(NAME, fetch=fetch)
    assert str(caught.value).startswith(f"model {NAME!r}: ") and advice in str(caught.value)
