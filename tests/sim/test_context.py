"""Whether dialogues fit, and which form a model's chat template takes: known before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import yaml
from typer.testing import CliRunner

from agents.engines.forms import form_of
from agents.engines.template import Template
from agents.errors import InputError
from sim.cli import app
from sim.context import check_thoughts, estimated
from sim.load import load_config

Write = Callable[..., Path]
TEMPLATES = [
    tiny.TEMPLATE,
    tiny.MISTRAL,
    tiny.MISTRAL_FIRST,
    tiny.GEMMA,
    tiny.GEMMA3,
    tiny.LLAMA,
    tiny.QWEN,
    tiny.DROPPING,
]


def model_folder(folder: Path, template: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    tiny.build_tokenizer(template).save_pretrained(str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def config(
        model: str, *, opening: str = "Why?", length: int = 1024, turns: int = 2, transfer: str = "What?"
    ) -> Path:
        item = {
            "id": "i",
            "area": "a",
            "concept": "rotation",
            "keywords": ["earth"],
            "opening": opening,
            "question": "Why is there day and night?",
            "options": [{"text": "It spins", "correct": True}, {"text": "It hides", "misconception": "m"}],
            "transfer": {
                "question": transfer,
                "options": [{"text": "It turns", "correct": True}, {"text": "It stops"}],
            },
        }
        pack = {"name": "p", "subject": "s", "grade": "g", "licence": "l", "author": "a", "items": [item]}
        (tmp_path / "pack.yaml").write_text(yaml.safe_dump(pack, allow_unicode=True), encoding="utf-8")
        (tmp_path / "run.yaml").write_text(
            yaml.safe_dump(
                {
                    "name": "t",
                    "model": model,
                    "items": {"pack": str(tmp_path / "pack.yaml")},
                    "dialogue": {"turns": turns},
                    "students": {"personas": ["engaged"]},
                    "pools": {"all": {"roles": ["tutor", "student"], "max_model_len": length}},
                }
            )
        )
        return tmp_path / "run.yaml"

    return config


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_read_as_transformers_reads_it(template: str, tmp_path: Path) -> None:
    folder, tokenizer = model_folder(tmp_path / "m", template), tiny.build_tokenizer(template)
    read = Template(folder)
    assert read.form() == form_of(tokenizer)
    said = tiny.build_spine(2)[1:4]
    given = [{"role": str(message["role"]), "content": message["content"]} for message in said]
    assert read.render(said, True) == tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize(
    ("template", "told"),
    [(tiny.MISTRAL, "opening user message"), (tiny.GEMMA, "folded into the first user"), (tiny.QWEN, "as they stand")],
)
def test_check_says_the_form_of_each_engine(template: str, told: str, tmp_path: Path, write: Write) -> None:
    folder = model_folder(tmp_path / "m", template)
    found = CliRunner().invoke(app, ["check", str(write(str(folder), length=2048))])
    assert found.exit_code == 0 and told in found.output and "takes the messages of both roles" in found.output


@pytest.mark.parametrize("template", [tiny.DEAF, "{{ raise_exception('nobody likes it') }}", "{% if %}"])
def test_check_refuses_a_template_that_renders_no_dialogue(template: str, tmp_path: Path, write: Write) -> None:
    folder = model_folder(tmp_path / "m", template)
    found = CliRunner().invoke(app, ["check", str(write(str(folder), length=2048))])
    assert isinstance(found.exception, InputError) and "pools.all.model: the chat template in" in str(found.exception)


@pytest.mark.parametrize(("template", "kept"), [(tiny.FORGETTING, False), (tiny.REMEMBERING, True)])
def test_reasoning_is_refused_where_the_template_takes_it_out(
    template: str, kept: bool, tmp_path: Path, write: Write
) -> None:
    given = yaml.safe_load(write(str(model_folder(tmp_path / "m", template)), length=2048).read_text())
    given |= {"kind": "loop", "training": {"reasoning": True}, "dialogue": {"turns": 2, "candidates": 2}}
    given["tutor"] = {"strategies": ["socratic"]}
    given["pools"] = {role: {"roles": [role], "max_model_len": 2048} for role in ("tutor", "student")}
    given["loop"] = {"heldout": {"items": given["items"], "personas": ["limited"]}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(given))
    found = CliRunner().invoke(app, ["check", str(tmp_path / "run.yaml")])
    config = load_config(tmp_path / "run.yaml")
    if kept:
        check_thoughts(config)
        assert found.exit_code == 0, found.output
    else:
        assert isinstance(found.exception, InputError) and "training.reasoning: true, and" in str(found.exception)
        with pytest.raises(InputError, match="takes the thought out of a reply.*set it to false"):
            check_thoughts(config)
        check_thoughts(load_config(tmp_path / "run.yaml", ("training.reasoning=false",)))


def test_check_says_why_a_model_that_is_not_there_was_not_rendered(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    found = CliRunner().invoke(app, ["check", str(write("nobody/nothing", length=2048))])
    assert found.exit_code == 0 and "were not rendered by the chat template of nobody/nothing" in found.output


@pytest.mark.parametrize("text", ["为什么白天和黑夜会交替" * 40, "Почему день сменяет ночь? " * 40, "🙂" * 300])
def test_what_is_not_ascii_is_counted_by_bytes_or_by_the_tokenizer(text: str, tmp_path: Path, write: Write) -> None:
    with pytest.raises(InputError, match="estimated"):
        load_config(write("nobody/nothing", opening=text))
    with pytest.raises(InputError, match="counted by the tokenizer"):  # a byte is a token for it
        load_config(write(str(model_folder(tmp_path / "m", tiny.TEMPLATE)), opening=text))
    assert load_config(write("nobody/nothing")).model == "nobody/nothing"
    with pytest.raises(InputError, match="may need"):
        load_config(write("nobody/nothing", transfer=text))
    assert load_config(write("nobody/nothing", opening=text, length=8192)) is not None


def test_four_hundred_chinese_letters_need_more_than_a_context_of_1024(write: Write) -> None:
    with pytest.raises(InputError, match="item 'i' may need"):
        load_config(write("smollm2-135m", opening="昼" * 400))
    assert estimated("昼" * 400) == 1200 and estimated("abcdef") == 2
