"""Models of the Hugging Face hub as folders on this machine, for whatever reads weights itself: training and merging.

Invariant: a folder that is returned holds config and all safetensors of the model. What the cache has is taken from it;
`HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN` mean what they mean to the hub's own client.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from agents.errors import InputError

Fetch = Callable[..., str]
"""`huggingface_hub.snapshot_download`, or what stands in for it: a name and patterns to the folder of the files."""
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
"""Weights in one form, config, and tokenizers of every kind."""
_UNWANTED = ["*/*", "consolidated*"]
"""Second copies of the weights: other formats in folders, and Mistral's own form, which is as large as the first."""


def is_hub_name(name: str) -> bool:
    """Whether a model name has the form `owner/model`; whether the hub has it is not asked."""
    return name.count("/") == 1 and all(name.split("/")) and not name.startswith((".", "~"))


def download(name: str, *, fetch: Fetch | None = None) -> Path:
    """The absolute folder of a hub model, downloaded where the cache does not have it.

    Args:
        name: such as `Qwen/Qwen2.5-7B-Instruct`.
        fetch: by default the hub's own client.

    Raises:
        InputError: it cannot be had, or has no whole set of safetensors.
    """
    if fetch is None:
        from huggingface_hub import snapshot_download

        fetch = snapshot_download
    try:
        folder = Path(fetch(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED)).absolute()
    except Exception as error:
        raise unavailable(name, error) from error
    if missing := _missing(folder):
        raise InputError(
            f"model {name!r}: {folder} has no {missing}. A download that was cut off goes on with `hf download {name}` "
            "on a machine with network; a model without safetensors cannot be trained"
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that make up the model in a folder: those its index names, else all; some may not be there."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    shards: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return sorted(folder / name for name in set(shards.values()))


def _missing(folder: Path) -> str:
    """What a model folder lacks; empty when it is whole."""
    if not (folder / "config.json").is_file():
        return "config.json"
    files = weight_files(folder)
    return next((path.name for path in files if not path.is_file()), "" if files else "*.safetensors")


def unavailable(name: str, error: Exception) -> InputError:
    """The error for a hub model that could not be had, with what to do about it."""
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        what = (
            "its owner gives access on request. Accept the terms on its page of the hub and set HF_TOKEN to a token of "
            "that account"
        )
    elif isinstance(error, RepositoryNotFoundError):
        what = "the hub has no such model, or it is private. Check the name; for a private one set HF_TOKEN"
    elif isinstance(error, (LocalEntryNotFoundError, ConnectionError)):
        what = (
            "not whole in the local hub cache, and the hub cannot be reached (no network, or HF_HUB_OFFLINE is set). "
            f"Run `hf download {name}` where there is network, with this HF_HOME"
        )
    else:
        what = f"it cannot be downloaded ({type(error).__name__}: {str(error)[:300]}). Check the name and the network"
    return InputError(f"model {name!r}: {what}; or use the embedded 'smollm2-135m'")
