"""What a scorer is trained with and on, and what came of it, as plain data.

Invariant: settings that exist can be trained with, as far as that can be known without the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from agents.errors import InputError, TrainerError
from trainers.scorer.labels import EFFECTIVENESS, Levels
from trainers.scorer.text import Unit

Stop = Literal["epochs", "patience", "diverged", "optimum"]
Kind = Literal["words", "encoder"]


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """How to train. Epochs, patience, learning rate and batch size are those of ConvoLearn v4, appendix J.

    A scorer of kind `words` has no settings but `levels` and `unit`: the others are of an encoder.

    Raises:
        InputError: a value that nothing can be trained with.
    """

    kind: Kind = "words"
    """`words`: from words and form of what the tutor says (`trainers.scorer.words`); `encoder`: a trained encoder."""
    unit: Unit = "dialogue"
    """What was rated: all that the tutor says, or its last turn. The baseline of every kind reads that alone; an
    encoder reads the whole text."""
    encoder: str = "minilm"
    """The embedded `minilm`, the folder of a Hugging Face encoder, or a hub name such as `roberta-base`."""
    levels: Levels = EFFECTIVENESS
    """The values a rating may take."""
    epochs: int = 10
    """At most so many."""
    patience: int = 3
    """Epochs in a row without a better validation loss after which training stops."""
    min_delta: float = 0.0
    """By how many nats the validation loss must fall for an epoch to count as better in that."""
    learning_rate: float = 2e-5
    """Peak rate of the encoder."""
    head_learning_rate: float = 1e-3
    """Peak rate of the head, which starts from nothing."""
    batch_size: int = 8
    """Texts in an optimiser step."""
    weight_decay: float = 0.01
    """Of weight matrices; biases and norms have none."""
    warmup: float = 0.1
    """Share of all steps in which the rate rises; then it falls to 0."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    dropout: float = 0.1
    """Of the pooled vector."""
    max_tokens: int = 256
    """Longest input in tokens, special tokens included: of a text, or of a window of it."""
    window_stride: int = 0
    """0 keeps the end of a text that is too long; else tokens between the starts of its windows."""
    frozen_layers: int = 0
    """Lowest encoder layers that stay as they are, for small machines; with any, the embeddings stay too."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the encoder's computation; weights and loss are float32 always."""
    seed: int = 0
    """Of the head, the order of the examples and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size", "max_tokens"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "head_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            self._check(name, value > 0 and math.isfinite(value), "above 0")
        for name in ("weight_decay", "min_delta", "frozen_layers"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("warmup", 0 <= self.warmup <= 1, "from 0 to 1")
        self._check("dropout", 0 <= self.dropout < 1, "from 0 to below 1")
        self._check("window_stride", 0 <= self.window_stride <= self.max_tokens, f"from 0 to {self.max_tokens}")

    def _check(self, name: str, fine: bool, wanted: str) -> None:
        if not fine:
            raise InputError(f"scorer setting {name} is {getattr(self, name)!r}: give a value {wanted}")

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-able dict."""
        return asdict(self) | {"levels": list(self.levels.values)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ScorerSettings:
        """Reads what `to_dict` returned. Raises `TypeError` on unknown names, `InputError` on wrong values.

        Scorers that were saved before there were kinds are encoders.
        """
        return cls(**{"kind": "encoder"} | data | {"levels": Levels(tuple(data["levels"]))})


@dataclass(frozen=True, slots=True)
class Example:
    """A rated text."""

    text: str
    """What the encoder reads; see `trainers.scorer.text`."""
    rating: float
    group: str = ""
    """What the text shares with others (its seed question, its student); empty: nothing."""
    dimension: str = ""
    """Which dimension was rated, for figures by dimension; a model sees it only where it is in the text."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training examples, and the validation examples after it."""

    number: int
    """From 1."""
    train_loss: float
    """Mean negative log-likelihood in nats, with dropout, while the weights changed."""
    validation_loss: float
    """The same on the validation examples, after the epoch and without dropout."""
    validation_exact: float
    """Share of validation examples whose level is predicted exactly."""
    validation_mae: float
    """Mean absolute error of the expected score on the validation examples, in rating points."""
    seconds: float
    best: bool
    """Whether the validation loss is the lowest so far."""


@dataclass(frozen=True, slots=True)
class ScorerResult:
    """A finished training run."""

    folder: Path
    """What `load_scorer` reads."""
    epochs: tuple[Epoch, ...]
    """Empty for kind `words`, whose fit has an optimum."""
    best_epoch: int
    """0 for kind `words`."""
    stop: Stop
    validation: dict[str, Any]
    """Figures of the best epoch on the validation examples, which chose it, so they flatter; empty without any."""


def check_examples(examples: Sequence[Example], levels: Levels, name: str, *, varied: bool) -> None:
    """Refuses examples that nothing can be learned from.

    Args:
        examples: to look at.
        levels: what their ratings may be.
        name: what the examples are called in errors.
        varied: whether they must have two different ratings.

    Raises:
        TrainerError: no examples, a rating outside the levels, an empty text, or the same rating everywhere.
    """
    if not examples:
        raise TrainerError(f"There are no {name} examples. Give at least one.")
    for row, example in enumerate(examples):
        if levels.find(example.rating) is None:
            raise TrainerError(
                f"Row {row} of the {name} examples is rated {example.rating!r}, which is none of the levels {levels}. "
                "Correct the row, or give the levels of these ratings."
            )
        if not example.text.strip():
            raise TrainerError(f"Row {row} of the {name} examples has no text. Leave it out.")
    if varied and len({levels.find(example.rating) for example in examples}) == 1:
        raise TrainerError(
            f"All {len(examples)} {name} examples are rated {examples[0].rating:g}, so there is nothing to learn. "
            "Give examples of at least two levels."
        )
