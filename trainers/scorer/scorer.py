"""A trained scorer: a folder of weights and facts, and the function from texts to scores.

    scorer.json         settings, levels, what it was trained on, figures, and the checksum of every other file
    words.safetensors   of kind `words`: what its logistic regression is made of
    terms.json          the words it knows
    head.safetensors    of kind `encoder`: the ordinal head
    encoder/            the encoder with its tokenizer, as a Hugging Face folder

Invariant: `scorer.json` is written last and by one rename, and its checksums are compared on loading, so a scorer that
loads is whole. A score does not depend on the texts beside it beyond rounding.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agents.errors import InputError, TrainerError
from agents.files import sha256, write_text
from trainers.scorer.batches import scoring_batches
from trainers.scorer.encoder import Encoded, Encoder
from trainers.scorer.head import CornHead, distribution
from trainers.scorer.labels import Levels
from trainers.scorer.settings import ScorerSettings
from trainers.scorer.words import WordModel

FACTS = "scorer.json"
"""Name of the file that makes a folder a scorer."""
_HEAD = "head.safetensors"
_ENCODER = "encoder"
_WORDS = "words.safetensors"
_TERMS = "terms.json"
_ARRAYS = ("inverse", "centre", "spread", "weight", "intercept")
"""Arrays of a `WordModel`, by the names they are stored under."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the scorer says of one text."""

    expected: float
    """Mean of the level distribution, in rating points."""
    level: float
    """The predicted level: the median of the distribution."""
    distribution: tuple[float, ...]
    """Probability of each level, lowest first; sums to 1."""
    dropped_tokens: int = 0
    """Tokens cut from the start of the text because it is too long."""


class ScorerModel(nn.Module):
    """Encoder and head: from encoded texts to conditional logits `(N, levels - 1)`."""

    def __init__(self, encoder: Encoder, settings: ScorerSettings) -> None:
        super().__init__()
        if settings.max_tokens > encoder.limit:
            raise InputError(
                f"max_tokens is {settings.max_tokens} but encoder {settings.encoder!r} reads {encoder.limit} tokens: "
                "lower it, or set window_stride to read longer texts in windows"
            )
        self.settings = settings
        self.encoder = encoder
        self.head = CornHead(encoder.width, len(settings.levels), dropout=settings.dropout)

    def encode(self, text: str) -> Encoded:
        """Returns the token ids of a text as the settings have it. Raises `TrainerError` for a text without tokens."""
        return self.encoder.encode(text, max_tokens=self.settings.max_tokens, stride=self.settings.window_stride)

    def forward(self, batch: Sequence[Encoded]) -> Tensor:
        """Returns the logits in float32."""
        lower = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=lower):
            vectors = self.encoder(batch)
        logits: Tensor = self.head(vectors.float())
        return logits

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.linear.weight.device

    def logits(self, texts: Sequence[Encoded], *, batch_size: int) -> Tensor:
        """Returns the logits of any number of texts, in their order, on the CPU, without dropout."""
        found = torch.zeros(len(texts), len(self.settings.levels) - 1)
        training = self.training
        self.eval()
        with torch.inference_mode():
            for batch in scoring_batches([text.longest for text in texts], batch_size=batch_size):
                found[torch.tensor(batch)] = self([texts[index] for index in batch]).cpu()
        self.train(training)
        return found


class Scorer:
    """Scores texts. Make one with `load_scorer`; it is not safe to use from two threads at once.

    Args:
        folder: where it came from.
        model: encoder and head, or words.
        settings: what it was trained with.
        about: what `scorer.json` holds.
    """

    def __init__(
        self, folder: Path, model: ScorerModel | WordModel, settings: ScorerSettings, about: dict[str, Any]
    ) -> None:
        self.folder, self.settings, self.about = folder, settings, about
        self._model = model if isinstance(model, WordModel) else model.eval()

    @property
    def levels(self) -> Levels:
        """The scale it scores on."""
        return self.settings.levels

    @property
    def dimension_tag(self) -> bool:
        """Whether the texts it was trained on begin with their dimension."""
        return bool(self.about["trained_on"].get("dimension_tag", False))

    def score(self, texts: Sequence[str], *, batch_size: int | None = None) -> list[Score]:
        """Returns one score per text, in their order.

        Args:
            texts: as `trainers.scorer.text` makes them.
            batch_size: texts computed at once; by default as in training.

        Raises:
            TrainerError: a text has no tokens, which kind `words` does not need.
        """
        if isinstance(self._model, WordModel):
            return scores_of(torch.from_numpy(self._model.chances(texts)), self.levels, [0] * len(texts))
        encoded = [self._model.encode(text) for text in texts]
        if not encoded:
            return []
        logits = self._model.logits(encoded, batch_size=batch_size or self.settings.batch_size)
        return read_scores(logits, self.levels, [text.dropped for text in encoded])


def read_scores(logits: Tensor, levels: Levels, dropped: Sequence[int]) -> list[Score]:
    """Returns the scores that conditional logits `(N, levels - 1)` stand for."""
    return scores_of(distribution(logits), levels, dropped)


def scores_of(chances: Tensor, levels: Levels, dropped: Sequence[int]) -> list[Score]:
    """Returns the scores that probabilities of levels `(N, levels)` stand for."""
    expected = chances @ torch.tensor(levels.values, dtype=torch.float64)
    above = 1.0 - torch.cumsum(chances, dim=1)[:, :-1]
    picked = (above > 0.5).sum(dim=1).tolist()
    return [
        Score(mean, levels.values[index], tuple(row), cut)
        for mean, index, row, cut in zip(expected.tolist(), picked, chances.tolist(), dropped, strict=True)
    ]


def write_scorer(folder: Path, model: ScorerModel | WordModel, settings: ScorerSettings, about: dict[str, Any]) -> None:
    """Writes a scorer into a folder, which may hold other things; `scorer.json` comes last."""
    partial = folder / ".scorer.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if isinstance(model, WordModel):
        arrays = {name: torch.from_numpy(getattr(model, name)).contiguous() for name in _ARRAYS}
        save_file(arrays, partial / _WORDS)
        write_json(partial / _TERMS, model.terms)
    else:
        model.encoder.save(partial / _ENCODER)
        head = {name: value.detach().cpu().contiguous() for name, value in model.head.state_dict().items()}
        save_file(head, partial / _HEAD)
    files = {str(path.relative_to(partial)): sha256(path) for path in sorted(partial.rglob("*")) if path.is_file()}
    facts = about | {"settings": settings.to_dict(), "files": files}
    (folder / FACTS).unlink(missing_ok=True)
    shutil.rmtree(folder / _ENCODER, ignore_errors=True)
    for path in sorted(partial.iterdir()):
        os.replace(path, folder / path.name)
    write_json(folder / FACTS, facts)
    partial.rmdir()


def write_json(path: Path, data: Any) -> None:
    """Writes JSON in one atomic step."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False))


def read_facts(folder: Path) -> dict[str, Any]:
    """Returns what a scorer's `scorer.json` holds.

    Raises:
        TrainerError: there is none, or it cannot be read.
    """
    path = folder / FACTS
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TrainerError(f"{folder} holds no finished scorer: there is no {FACTS}. Train one into it.") from error
    except (OSError, ValueError) as error:
        raise TrainerError(
            f"The scorer {folder} is corrupt: {path} cannot be read ({error}). Train it again."
        ) from error
    if not isinstance(data, dict) or not {"settings", "files"} <= data.keys():
        raise TrainerError(f"The scorer {folder} is corrupt: {path} lacks settings or files. Train it again.")
    return data


def load_scorer(folder: Path, *, device: str = "cpu") -> Scorer:
    """Reads what `fit_scorer` wrote.

    Args:
        folder: with a `scorer.json`.
        device: where to compute.

    Raises:
        TrainerError: there is no scorer, or a file of it is missing or changed.
    """
    about = read_facts(folder)
    for file, expected in about["files"].items():
        path = folder / file
        if not path.is_file() or sha256(path) != expected:
            state = "changed" if path.is_file() else "missing"
            raise TrainerError(f"The scorer {folder} is corrupt: {file} is {state}. Train it again.")
    settings = ScorerSettings.from_dict(about["settings"])
    if settings.kind == "words":
        return Scorer(folder, _load_words(folder, settings), settings, about)
    # The saved encoder is read in place of the one the settings name, which may be gone or have changed.
    model = ScorerModel(Encoder(str(folder.resolve() / _ENCODER)), settings)
    model.head.load_state_dict(load_file(folder / _HEAD))
    return Scorer(folder, model.to(device), settings, about)


def _load_words(folder: Path, settings: ScorerSettings) -> WordModel:
    arrays = {name: value.numpy() for name, value in load_file(folder / _WORDS).items()}
    terms = tuple(json.loads((folder / _TERMS).read_text(encoding="utf-8")))
    return WordModel(settings.unit, terms, **arrays)
