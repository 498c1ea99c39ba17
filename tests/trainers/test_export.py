"""Exports: TRL reads them, and its DPO loss on them is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import build_tokenizer, make_tree

from trainers.export import export_conversations, export_preferences
from trainers.rendering import Renderer
from trainers.rows import pair_rows


def test_pairs_as_prompt_chosen_rejected(tmp_path: Path) -> None:
    tree = make_tree("t", 2, leaf_chosen=[1])
    assert export_preferences([tree, tree], tmp_path / "pairs.jsonl") == 4
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").open()]
    assert lines[:2] == lines[2:]
    assert lines[1]["prompt"] == list(tree.messages[:4])
    assert lines[1]["chosen"] == [{"role": "assistant", "content": "good 1"}]
    assert lines[1]["rejected"] == [{"role": "assistant", "content": "no 1a"}]


def test_dialogues_as_messages(tmp_path: Path) -> None:
    tree = make_tree("t", 2)
    assert export_conversations([tree], tmp_path / "chat.jsonl") == 1
    assert json.loads((tmp_path / "chat.jsonl").read_text()) == {"messages": list(tree.messages)}


@pytest.mark.slow
def test_trl_trains_on_the_export_and_sees_our_tokens(tmp_path: Path, model_path: Path) -> None:
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    tree = make_tree("t", 2, leaf_chosen=[1])
    export_preferences([tree], tmp_path / "pairs.jsonl")
    data = load_dataset("json", data_files=str(tmp_path / "pairs.jsonl"), split="train", cache_dir=str(tmp_path / "c"))
    tokenizer: Any = build_tokenizer()
    arguments = DPOConfig(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        bf16=False, save_strategy="no", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = DPOTrainer(str(model_path), args=arguments, train_dataset=data, processing_class=tokenizer)
    examples: Any = trainer.train_dataset
    for example, (chosen, rejected) in zip(examples, pair_rows(tree, Renderer(tokenizer)), strict=True):
        for key, row in (("chosen_ids", chosen), ("rejected_ids", rejected)):
            ours = list(row.tokens) + [row.replies[0].targets[-1]]
            theirs = list(example["prompt_ids"]) + list(example[key])
            assert theirs[: len(ours)] == ours
            assert tokenizer.decode(theirs[len(ours) :]).strip() == "", "TRL also trains the template's last newline"
    assert trainer.train().training_loss == pytest.approx(0.6931, abs=1e-3)
