"""Training a scorer: it learns, stops, resumes to the same weights, and refuses what cannot be learned from."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401

from agents.errors import InputError, TrainerError
from trainers.scorer.batches import scoring_batches, training_batches
from trainers.scorer.encoder import Encoder
from trainers.scorer.fit import fit_scorer
from trainers.scorer.labels import THREE_STEPS
from trainers.scorer.scorer import load_scorer
from trainers.scorer.settings import Epoch, Example, ScorerSettings

REPLIES = {0.0: "the answer is {}", 0.5: "it falls because {}", 1.0: "what do you think {} ?"}


def make_examples(n: int, *, seed: int = 0, group: str = "g") -> list[Example]:
    """Dialogues whose rating is whether the tutor tells, explains or asks; six to a group."""
    chance = random.Random(seed)
    made = []
    for number in range(n):
        words = chance.choices("rain sun moon rock x y z".split(), k=chance.randint(1, 6))
        rating = chance.choice([0.0, 0.5, 1.0, 1.0])
        text = f"Student: why {words[0]}\nTutor: {REPLIES[rating].format(' '.join(words))}"
        made.append(Example(text, rating, f"{group}{number // 6}", ("A", "B")[number % 2]))
    return made


def make_settings(encoder: str, **changes: Any) -> ScorerSettings:
    """Settings under which the tiny encoder learns in seconds."""
    values: dict[str, Any] = {
        "kind": "encoder",
        "encoder": encoder,
        "levels": THREE_STEPS,
        "epochs": 4,
        "learning_rate": 2e-3,
        "head_learning_rate": 1e-2,
        "max_tokens": 32,
    }
    return ScorerSettings(**(values | changes))


TRAIN, HELD, TEST = make_examples(90), make_examples(24, seed=1, group="h"), make_examples(30, seed=2, group="t")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def trained(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scorer trained for four epochs."""
    out = tmp_path_factory.mktemp("scorer") / "asks-v1"
    fit_scorer(TRAIN, HELD, make_settings(encoder), out, corpus="made up")
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "encoder" / "model.safetensors") | load_file(folder / "head.safetensors")


def same(left: Path, right: Path) -> bool:
    first, second = weights(left), weights(right)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_what_the_majority_cannot_know(trained: Path) -> None:
    scores = load_scorer(trained).score([example.text for example in TEST])
    right = sum(score.level == example.rating for score, example in zip(scores, TEST, strict=True))
    most = max(sum(example.rating == level for example in TEST) for level in THREE_STEPS.values)
    assert right >= 27 and most <= 20
    for score in scores:
        assert abs(sum(score.distribution) - 1) < 1e-9 and len(score.distribution) == 3
        mean = sum(p * value for p, value in zip(score.distribution, THREE_STEPS.values, strict=True))
        assert score.expected == pytest.approx(mean) and score.dropped_tokens == 0
    low, high = ([s.expected for s, e in zip(scores, TEST, strict=True) if e.rating == r] for r in (0.0, 1.0))
    assert max(low) < min(high)


def test_the_folder_says_what_it_was_trained_on(trained: Path) -> None:
    facts = json.loads((trained / "scorer.json").read_text(encoding="utf-8"))
    said = facts["trained_on"]
    assert said["corpus"] == "made up" and said["n"] == 90 and said["n_validation"] == 24
    assert sum(said["label_distribution"].values()) == 90
    assert facts["settings"]["levels"] == [0.0, 0.5, 1.0] and facts["validation"]["n"] == 24
    assert facts["validation"]["metrics"]["exact"]["scorer"]["n"] == 24
    assert sorted(path.name for path in trained.iterdir()) == ["encoder", "head.safetensors", "scorer.json"]


def test_scores_keep_their_order_and_do_not_depend_on_the_batch(trained: Path) -> None:
    scorer = load_scorer(trained)
    texts = [example.text for example in TEST]
    one, many = scorer.score(texts, batch_size=1), scorer.score(texts, batch_size=16)
    assert [score.expected for score in one] == pytest.approx([score.expected for score in many], abs=1e-4)
    assert scorer.score([]) == []
    assert scorer.score(["Tutor: " + "rain " * 50])[0].dropped_tokens == 22
    with pytest.raises(TrainerError, match="no tokens"):
        scorer.score(["Tutor: x", " "])


def test_the_same_seed_gives_the_same_weights(encoder: str, trained: Path, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    fit_scorer(TRAIN, HELD, make_settings(encoder), tmp_path / "again")
    assert torch.equal(state, torch.random.get_rng_state())
    assert same(trained, tmp_path / "again")
    fit_scorer(TRAIN, HELD, make_settings(encoder, seed=1, epochs=1), tmp_path / "other")
    assert not same(trained, tmp_path / "other")


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_ends_with_the_same_weights(encoder: str, trained: Path, tmp_path: Path, after: int) -> None:
    def kill(epoch: Epoch) -> None:
        if epoch.number == after:
            raise Killed

    with pytest.raises(Killed):
        fit_scorer(TRAIN, HELD, make_settings(encoder), tmp_path, on_epoch=kill)
    with pytest.raises(TrainerError, match="no finished scorer"):
        load_scorer(tmp_path)
    with pytest.raises(TrainerError, match="belongs to other examples or settings"):
        fit_scorer(TRAIN[:-1], HELD, make_settings(encoder), tmp_path)
    heard: list[int] = []
    result = fit_scorer(
        TRAIN, HELD, make_settings(encoder), tmp_path, on_epoch=lambda epoch: heard.append(epoch.number)
    )
    assert heard == list(range(after + 1, 5)) and [epoch.number for epoch in result.epochs] == [1, 2, 3, 4]
    assert same(trained, tmp_path)


def test_a_finished_run_is_not_done_again(encoder: str, trained: Path) -> None:
    def refuse(epoch: Epoch) -> None:
        raise AssertionError(epoch)

    result = fit_scorer(TRAIN, HELD, make_settings(encoder), trained, on_epoch=refuse)
    assert result.folder == trained and len(result.epochs) == 4 and result.stop == "epochs"
    with pytest.raises(TrainerError, match="other examples or settings"):
        fit_scorer(TRAIN, HELD, make_settings(encoder, epochs=5), trained)


def test_the_best_epoch_is_kept_and_patience_ends_it(encoder: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    noise = [replace(example, rating=chance.choice([0.0, 0.5, 1.0])) for example in TRAIN[:40]]
    wrong = [replace(example, rating=1.0 - example.rating) for example in HELD]
    settings = make_settings(encoder, epochs=12, patience=2)
    result = fit_scorer(noise, wrong, settings, tmp_path / "long")
    losses = [epoch.validation_loss for epoch in result.epochs]
    assert result.stop == "patience" and len(losses) == result.best_epoch + 2 < 12
    assert losses[result.best_epoch - 1] == min(losses)
    assert [epoch.number for epoch in result.epochs if epoch.best][-1] == result.best_epoch
    scores = load_scorer(tmp_path / "long").score([example.text for example in wrong])
    likelihoods = [score.distribution[round(2 * e.rating)] for score, e in zip(scores, wrong, strict=True)]
    found = -sum(torch.tensor(likelihoods).log().tolist()) / len(wrong)
    assert found == pytest.approx(min(losses), rel=1e-4)


def test_frozen_layers_stay_and_the_others_do_not(encoder: str, tmp_path: Path) -> None:
    fit_scorer(TRAIN[:24], HELD, make_settings(encoder, epochs=1, frozen_layers=1), tmp_path)
    before = Encoder(encoder).model.state_dict()
    after = load_file(tmp_path / "encoder" / "model.safetensors")
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("encoder.layer.1.") for name in changed)


def test_windows_and_lower_precision_train(encoder: str, tmp_path: Path) -> None:
    settings = make_settings(encoder, epochs=1, max_tokens=12, window_stride=6, precision="bfloat16")
    result = fit_scorer(TRAIN[:24], HELD, settings, tmp_path)
    assert result.epochs[0].train_loss < 3
    score = load_scorer(tmp_path).score(["Tutor: " + "what do you think ? " * 9])[0]
    assert score.dropped_tokens == 0 and abs(sum(score.distribution) - 1) < 1e-9


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_best(encoder: str, tmp_path: Path) -> None:
    settings = make_settings(encoder, batch_size=64, head_learning_rate=1e36, warmup=0.0, dropout=0.0)
    with pytest.raises(TrainerError, match=r"Epoch 2: .*(nan|inf).*epoch 1 is kept in .*best"):
        fit_scorer(TRAIN[:40], HELD, settings, tmp_path)
    best = load_scorer(tmp_path / "best")
    assert best.about["stop"] == "diverged" and best.about["best_epoch"] == 1
    with pytest.raises(TrainerError, match="no finished scorer"):
        load_scorer(tmp_path)


def test_examples_that_cannot_be_learned_from_are_refused(encoder: str, tmp_path: Path) -> None:
    settings = make_settings(encoder)

    def refused(train: list[Example], held: list[Example], why: str) -> None:
        with pytest.raises(TrainerError, match=why):
            fit_scorer(train, held, settings, tmp_path)

    refused([], HELD, "no training examples")
    refused(TRAIN, [], "no validation examples")
    odd = [*TRAIN[:3], replace(TRAIN[3], rating=0.75)]
    refused(odd, HELD, r"Row 3 of the training examples is rated 0.75, .* levels 0, 0.5, 1")
    refused(TRAIN, [replace(HELD[0], rating=float("nan"))], "Row 0 of the validation examples is rated nan")
    refused([*TRAIN, Example("  ", 1.0)], HELD, "Row 90 .* has no text")
    refused([replace(example, rating=0.5) for example in TRAIN], HELD, "All 90 training examples are rated 0.5")
    refused(TRAIN, TRAIN[:6], "1 groups are in training and in validation, such as 'g0'")
    assert not list(tmp_path.iterdir())


def test_more_tokens_than_the_encoder_reads_are_refused(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_tokens is 65 .* reads 64"):
        fit_scorer(TRAIN, HELD, make_settings(encoder, max_tokens=65), tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("patience", 0), ("learning_rate", 0.0), ("warmup", 1.5), ("window_stride", 33), ("dropout", 1.0)],
)
def test_settings_that_cannot_train_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}"):
        make_settings("minilm", **{name: value})


def test_settings_survive_json() -> None:
    settings = make_settings("roberta-base", frozen_layers=3)
    assert ScorerSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(("file", "state"), [("head.safetensors", "changed"), ("encoder/config.json", "missing")])
def test_a_damaged_scorer_is_not_loaded(encoder: str, tmp_path: Path, file: str, state: str) -> None:
    fit_scorer(TRAIN[:12], HELD, make_settings(encoder, epochs=1), tmp_path)
    if state == "changed":
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-1] + b"x")
    else:
        (tmp_path / file).unlink()
    with pytest.raises(TrainerError, match=f"corrupt: {file} is {state}"):
        load_scorer(tmp_path)


@given(lengths=st.lists(st.integers(1, 99), max_size=200), size=st.integers(1, 8), seed=st.integers(0, 9))
def test_batches_hold_every_text_once(lengths: list[int], size: int, seed: int) -> None:
    for batches in (
        training_batches(lengths, batch_size=size, seed=seed),
        scoring_batches(lengths, batch_size=size),
    ):
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= size for batch in batches)
    assert training_batches(lengths, batch_size=size, seed=seed) == training_batches(
        lengths, batch_size=size, seed=seed
    )


def test_sorted_batches_waste_little_and_still_vary() -> None:
    chance = random.Random(0)
    lengths = [chance.randint(1, 250) for _ in range(512)]
    batches = training_batches(lengths, batch_size=8, seed=1)
    padded = sum(8 * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)
    assert batches != training_batches(lengths, batch_size=8, seed=2)
    assert [max(batch) for batch in batches] != sorted(max(batch) for batch in batches)
