"""A model's chat template and tokens without the model: what `check` reads before anything starts.

Transformers would do the same and takes ten seconds to import; this reads the same files, in a sandbox with the names
that chat templates may use. A test holds the two to the same text.

Invariant: nothing of the model's folder is run but the sandboxed template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.catalogue import KNOWN
from agents.engines.base import Message
from agents.engines.forms import Form, find_form, keeps_thoughts, shaped
from agents.errors import InputError
from agents.hub import Fetch, is_hub_name, unavailable
from agents.models import folder_of, resolve_model

_FILES = ["tokenizer*.json", "special_tokens_map.json", "chat_template*", "config.json"]


class Template:
    """The chat template in a model folder."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: of a model.

        Raises:
            InputError: it has no chat template, or files that cannot be read.
        """
        self.folder = folder
        config = _json(folder / "tokenizer_config.json")
        source = _source(folder, config)
        if not source:
            raise InputError(
                f"{folder} has no chat template: use an instruction model, or put a chat_template.jinja into the folder"
            )
        try:
            self._template = _compiled(source)
        except Exception as error:  # jinja's own errors, of a template that somebody else wrote
            raise InputError(f"the chat template in {folder} cannot be read: {error}") from error
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        self._special = {name: _content(config[name]) for name in names if config.get(name) is not None}

    def render(self, messages: Sequence[Message], generation: bool) -> str:
        """The template's text; raises whatever the template raises."""
        text: str = self._template.render(
            messages=list(messages), add_generation_prompt=generation, tools=None, documents=None, **self._special
        )
        return text

    def form(self) -> Form:
        """The form it takes dialogues in. Raises InputError where there is none."""
        try:
            return find_form(self.render)
        except InputError as error:
            raise InputError(f"the chat template in {self.folder} cannot render a dialogue. {error}") from error

    def keeps_thoughts(self) -> bool:
        """Whether a reply's thought is a part of what is trained. Raises InputError where it takes no dialogue."""
        return keeps_thoughts(self.render, self.form())

    def text(self, view: Sequence[Message], form: Form) -> str:
        """What an engine reads of a view. Raises InputError where the template refuses it."""
        try:
            return self.render(shaped(view, form, reply=True), True)
        except Exception as error:
            raise InputError(f"the chat template in {self.folder} refuses a dialogue: {error}") from error


def local_folder(model: str, *, fetch: Fetch | None = None, download: bool = False) -> Path:
    """Where a model's tokenizer is on this machine.

    Args:
        model: a known name, a folder or a hub name.
        fetch: see `agents.hub.download`.
        download: whether to get a hub model's tokenizer, and to make the embedded model, where they are not there yet.

    Raises:
        InputError: it is not there, or cannot be had.
    """
    if (known := KNOWN.get(model)) is not None:
        if (folder_of(known) / "tokenizer.json").is_file():
            return folder_of(known)
        if known.embedded and not download:
            raise InputError(f"model {model!r} is made at its first use")
        return Path(resolve_model(model))  # one that was not added: an error with the command
    folder = Path(model).expanduser()
    if folder.is_dir() or not is_hub_name(model):
        return folder
    if fetch is None:
        from huggingface_hub import snapshot_download

        fetch = snapshot_download
    try:
        return Path(fetch(model, allow_patterns=_FILES, local_files_only=not download))
    except Exception as error:
        raise unavailable(model, error) from error


def counter(folder: Path) -> Callable[[str], int] | None:
    """How many tokens a text has for the tokenizer in a folder; None where it has none that can be read alone."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # the library raises bare Exception: no such file, or no tokenizer
        return None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _source(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = _json(folder / "chat_template.json").get("chat_template") or config.get("chat_template") or ""
    if isinstance(found, list):  # several, by name
        by_name = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = by_name.get("default") or ""
    return str(found)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _compiled(source: str) -> Any:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, by which some templates mark what the assistant says; the text is as without it."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **({"ensure_ascii": False} | options))
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)
