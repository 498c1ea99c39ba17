"""Training a scorer: words by their optimum, or encoder and ordinal head, stopped early on the validation loss.

Invariant: a run is a function of examples, settings and machine. One that was killed and called again ends with the
weights of one that was not, since every epoch's order and dropout come from the seed and the epoch; on a GPU that holds
up to the order in which it sums. The weights that are kept are those of the epoch with the lowest validation loss.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.errors import TrainerError
from trainers.schedule import learning_rate_factor
from trainers.scorer.batches import epoch_seed, training_batches
from trainers.scorer.encoder import Encoded, Encoder
from trainers.scorer.head import corn_loss
from trainers.scorer.metrics import Predictions, evaluate
from trainers.scorer.scorer import FACTS, Score, ScorerModel, read_facts, read_scores, scores_of, write_scorer
from trainers.scorer.settings import Epoch, Example, ScorerResult, ScorerSettings, Stop, check_examples
from trainers.scorer.state import fingerprint, load_state, save_state
from trainers.scorer.text import split_header
from trainers.scorer.words import WordModel, fit_words

_CHECKPOINT = "checkpoint"
_BEST = "best"


def fit_scorer(
    train: Sequence[Example],
    validation: Sequence[Example],
    settings: ScorerSettings,
    out: Path,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    corpus: str = "",
    device: str = "cpu",
) -> ScorerResult:
    """Trains a scorer, or goes on with one that was interrupted, or returns the finished one.

    Args:
        train: examples of at least two levels.
        validation: examples that choose the epoch; no group of theirs is in `train`. Kind `words` has no epochs and
            can do without: it is then not measured here.
        settings: how to train.
        out: becomes the scorer's folder; holds `checkpoint/` until it is finished.
        on_epoch: told of every epoch that is done in this call.
        corpus: name of what the examples are from, for the record.
        device: where to compute.

    Raises:
        TrainerError: the examples cannot be learned from, only some have a dimension header, a group is on both
            sides, `out` belongs to another run, or the loss stopped being a number (the best scorer so far is
            then in `out/best`).
        InputError: the encoder is missing or reads fewer tokens than asked for.
    """
    check_examples(train, settings.levels, "training", varied=True)
    if validation or settings.kind == "encoder":
        check_examples(validation, settings.levels, "validation", varied=False)
    shared = sorted({example.group for example in train if example.group} & {example.group for example in validation})
    if shared:
        raise TrainerError(
            f"{len(shared)} groups are in training and in validation, such as {shared[0][:60]!r}, so the validation "
            "loss would flatter. Split the examples by group."
        )
    _check_headers([*train, *validation])
    mark = fingerprint(settings, train, validation)
    if (out / FACTS).is_file():
        return _finished(out, mark)
    if settings.kind == "words":
        return _fit_words(train, validation, settings, out, mark, corpus)
    cuda = [torch.device(device).index or 0] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        loop = _Loop(train, validation, settings, out, mark, corpus, device)
        loop.run(on_epoch or (lambda epoch: None))
        return loop.finish()


def _check_headers(examples: Sequence[Example]) -> None:
    """Refuses texts of which only some begin with a dimension: who scores others by them has to know which it is."""
    headed = sum(bool(split_header(example.text)[0]) for example in examples)
    if 0 < headed < len(examples):
        raise TrainerError(
            f"{headed} of {len(examples)} texts begin with a dimension header, the others do not. Give all texts "
            "one, or none (`dialogue_text(..., dimension_tag)`)."
        )


def _finished(out: Path, mark: str) -> ScorerResult:
    about = read_facts(out)
    if about.get("fingerprint") != mark:
        raise TrainerError(f"{out} holds a scorer of other examples or settings. Train into another folder.")
    epochs = tuple(Epoch(**epoch) for epoch in about["epochs"])
    return ScorerResult(out, epochs, about["best_epoch"], about["stop"], about["validation"])


def _fit_words(
    train: Sequence[Example],
    validation: Sequence[Example],
    settings: ScorerSettings,
    out: Path,
    mark: str,
    corpus: str,
) -> ScorerResult:
    model = word_model(train, settings, with_form=True)
    figures: dict[str, Any] = {}
    if validation:
        chances = torch.from_numpy(model.chances([example.text for example in validation]))
        scores = scores_of(chances, settings.levels, [0] * len(validation))
        figures = evaluate(predictions(validation, scores, train, settings), settings.levels).to_dict()
    about = {
        "fingerprint": mark,
        "trained_on": _trained_on(train, validation, settings, corpus, [0] * len(train)),
        "stop": "optimum",
        "best_epoch": 0,
        "epochs": [],
        "validation": figures,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_scorer(out, model, settings, about)
    return ScorerResult(out, (), 0, "optimum", figures)


def _trained_on(
    train: Sequence[Example], validation: Sequence[Example], settings: ScorerSettings, corpus: str, cut: Sequence[int]
) -> dict[str, Any]:
    """What `scorer.json` says of the examples; `cut` is how many tokens of each were not read."""
    return {
        "corpus": corpus,
        "n": len(train),
        "n_validation": len(validation),
        "label_distribution": settings.levels.counts(example.rating for example in train),
        "dimension_tag": bool(split_header(train[0].text)[0]),
        "texts_cut": sum(tokens > 0 for tokens in cut),
        "tokens_dropped": sum(cut),
    }


class _Loop:
    """One run."""

    def __init__(
        self,
        train: Sequence[Example],
        validation: Sequence[Example],
        settings: ScorerSettings,
        out: Path,
        mark: str,
        corpus: str,
        device: str,
    ) -> None:
        self.train, self.validation, self.settings, self.out, self.corpus = train, validation, settings, out, corpus
        encoder = Encoder(settings.encoder)
        encoder.freeze(settings.frozen_layers)
        torch.manual_seed(settings.seed)
        self.model = ScorerModel(encoder, settings)
        self.model.head.start_at(list(settings.levels.counts(example.rating for example in train).values()))
        self.model.to(device)
        self.texts, self.targets = self._encode(train)
        self.held_texts, self.held_targets = self._encode(validation)
        self.trained = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        self.optimizer = torch.optim.AdamW(self._parameter_groups())
        self.peaks = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.state = load_state(out / _CHECKPOINT / "state.pt", mark)
        if self.state.history:
            self._put(self.state.weights)
            self.optimizer.load_state_dict(self.state.optimizer)

    @property
    def stop(self) -> Stop | None:
        """Why no further epoch is due, or None when one is."""
        if self.state.bad >= self.settings.patience:
            return "patience"
        return "epochs" if len(self.state.history) >= self.settings.epochs else None

    def run(self, on_epoch: Callable[[Epoch], None]) -> None:
        """Does the epochs that are left, each followed by a checkpoint."""
        while self.stop is None:
            epoch = self._epoch(len(self.state.history))
            self._remember(epoch)
            save_state(self.state, self.out / _CHECKPOINT / "state.pt")
            on_epoch(epoch)

    def finish(self) -> ScorerResult:
        """Writes the best epoch's scorer, removes the checkpoint, and returns the result."""
        stop = self.stop or "epochs"
        validation = self._write(self.out, stop)
        for name in (_CHECKPOINT, _BEST):
            shutil.rmtree(self.out / name, ignore_errors=True)
        epochs = tuple(Epoch(**epoch) for epoch in self.state.history)
        return ScorerResult(self.out, epochs, self.state.best_epoch, stop, validation)

    def _encode(self, examples: Sequence[Example]) -> tuple[list[Encoded], Tensor]:
        levels = self.settings.levels
        targets = [found for example in examples if (found := levels.find(example.rating)) is not None]
        return [self.model.encode(example.text) for example in examples], torch.tensor(targets)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Encoder and head have rates of their own; biases and norms are not decayed."""
        groups = []
        for part, rate in (("encoder.", self.settings.learning_rate), ("head.", self.settings.head_learning_rate)):
            mine = [value for name, value in self.trained.items() if name.startswith(part)]
            for decay, matrices in ((self.settings.weight_decay, True), (0.0, False)):
                chosen = [value for value in mine if (value.ndim >= 2) is matrices]
                if chosen:
                    groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
        return groups

    def _epoch(self, number: int) -> Epoch:
        started = time.perf_counter()
        seed = epoch_seed(self.settings.seed, number)
        torch.manual_seed(seed)
        self.model.train()
        lengths = [text.longest for text in self.texts]
        batches = training_batches(lengths, batch_size=self.settings.batch_size, seed=seed)
        total = sum(
            self._step(batch, number * len(batches) + step, self.settings.epochs * len(batches)) * len(batch)
            for step, batch in enumerate(batches)
        )
        logits = self.model.logits(self.held_texts, batch_size=self.settings.batch_size)
        loss = float(corn_loss(logits, self.held_targets))
        self._check(loss, "validation loss", number)
        scores = read_scores(logits, self.settings.levels, [0] * len(logits))
        pairs = list(zip(self.validation, scores, strict=True))
        right = [
            self.settings.levels.find(example.rating) == self.settings.levels.find(score.level)
            for example, score in pairs
        ]
        return Epoch(
            number=number + 1,
            train_loss=total / len(self.texts),
            validation_loss=loss,
            validation_exact=sum(right) / len(right),
            validation_mae=sum(abs(example.rating - score.expected) for example, score in pairs) / len(pairs),
            seconds=time.perf_counter() - started,
            best=loss < self.state.best_loss,
        )

    def _step(self, batch: Sequence[int], step: int, steps: int) -> float:
        """One optimiser step; returns the batch's mean loss."""
        factor = learning_rate_factor(step, steps, self.settings.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss = corn_loss(self.model([self.texts[index] for index in batch]), self.targets[batch].to(self.model.device))
        self._check(float(loss.detach()), "training loss", len(self.state.history))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.max_grad_norm))
        self._check(norm, "gradient norm", len(self.state.history))
        self.optimizer.step()
        return float(loss.detach())

    def _check(self, value: float, name: str, done: int) -> None:
        """Raises when a figure is no number, after keeping the best scorer so far."""
        if math.isfinite(value):
            return
        kept = "No epoch was finished before."
        if self.state.best_epoch:
            self._put(self.state.best or self.state.weights)
            self._write(self.out / _BEST, "diverged")
            kept = f"The scorer of epoch {self.state.best_epoch} is kept in {self.out / _BEST}."
        raise TrainerError(
            f"Epoch {done + 1}: the {name} is {value}. {kept} Lower learning_rate or head_learning_rate and train into "
            "another folder."
        )

    def _remember(self, epoch: Epoch) -> None:
        """Moves the state on by an epoch."""
        state = self.state
        weights = {name: value.detach().cpu().clone() for name, value in self.trained.items()}
        improved = state.best_loss - epoch.validation_loss > self.settings.min_delta
        if epoch.best:
            state.best_epoch, state.best_loss, state.best = epoch.number, epoch.validation_loss, {}
        elif not state.best:
            state.best = state.weights
        state.bad = 0 if improved else state.bad + 1
        state.weights, state.optimizer = weights, self.optimizer.state_dict()
        state.history.append(asdict(epoch))

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(weights[name])

    def _write(self, folder: Path, stop: Stop) -> dict[str, Any]:
        """Writes the best epoch's scorer and returns its figures on the validation examples."""
        self._put(self.state.best or self.state.weights)
        logits = self.model.logits(self.held_texts, batch_size=self.settings.batch_size)
        scores = read_scores(logits, self.settings.levels, [text.dropped for text in self.held_texts])
        pooled = predictions(self.validation, scores, self.train, self.settings)
        validation = evaluate(pooled, self.settings.levels).to_dict()
        cut = [text.dropped for text in self.texts]
        about = {
            "fingerprint": self.state.fingerprint,
            "trained_on": _trained_on(self.train, self.validation, self.settings, self.corpus, cut),
            "stop": stop,
            "best_epoch": self.state.best_epoch,
            "epochs": self.state.history,
            "validation": validation,
        }
        write_scorer(folder, self.model, self.settings, about)
        return validation


def word_model(train: Sequence[Example], settings: ScorerSettings, *, with_form: bool) -> WordModel:
    """Fits words to examples; without the form of what is said it is the baseline of every scorer."""
    levels = settings.levels
    targets = [levels.find(example.rating) for example in train]
    texts = [example.text for example in train]
    return fit_words(texts, targets, len(levels), unit=settings.unit, with_form=with_form)


def predictions(
    examples: Sequence[Example], scores: Sequence[Score], train: Sequence[Example], settings: ScorerSettings
) -> Predictions:
    """Puts scores beside the ratings, and beside what majority and words of the training examples would have said."""
    levels = settings.levels
    chances = word_model(train, settings, with_form=False).chances([example.text for example in examples])
    return Predictions.against_majority(
        truth=[example.rating for example in examples],
        level=[score.level for score in scores],
        expected=[score.expected for score in scores],
        groups=[example.group or f"row {row}" for row, example in enumerate(examples)],
        training=[example.rating for example in train],
        levels=levels,
        baseline=[levels.values[index] for index in chances.argmax(axis=1)],
        baseline_expected=(chances @ np.asarray(levels.values)).tolist(),
    )
