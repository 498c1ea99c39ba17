"""The pages on data and on the scorer do what they say: their files are written, their Python runs, outputs and all."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
from test_scorer_encoder import one_thread  # noqa: F401

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["data.md", "scorer.md"])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    for block in _BLOCK.finditer(text):
        language, file, body = block.groups()
        if file:
            (tmp_path / file).write_text(body, encoding="utf-8")
        elif language == "python":
            line = text[: block.start()].count("\n") + 1
            example = doctest.DocTestParser().get_doctest(body, names, page, str(DOCS / page), line)
            runner.run(example, out=said.append, clear_globs=False)
            names = example.globs
    assert runner.tries > 5 and runner.failures == 0, "".join(said)
