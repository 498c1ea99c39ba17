"""Merged weights and proofs: what is served is what was trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tiny import build_model, build_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents.errors import TrainerError
from trainers.merge import merge, round_at_random
from trainers.model import PROJECTIONS
from trainers.proof import compare, read_proof, write_proof


@pytest.fixture(scope="module")
def adapter(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter"))


def make_adapter(
    folder: Path, *, seed: int = 1, use_rslora: bool = False, projections: tuple[str, ...] = PROJECTIONS
) -> Path:
    """A random adapter of rank 4 on the tiny model."""
    config = LoraConfig(r=4, lora_alpha=10, target_modules=list(projections), use_rslora=use_rslora)
    model = get_peft_model(build_model(), config)
    torch.manual_seed(seed)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.data.normal_(std=0.1)
    model.save_pretrained(str(folder))
    return folder


def peft_merged(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(adapter))
    merged: dict[str, torch.Tensor] = model.merge_and_unload().state_dict()
    return merged


@pytest.mark.parametrize("use_rslora", [False, True])
def test_merge_equals_peft(model_path: Path, tmp_path: Path, use_rslora: bool) -> None:
    adapter = make_adapter(tmp_path / "adapter", use_rslora=use_rslora)
    merge(model_path, adapter, tmp_path / "merged", torch.float32)
    expected = peft_merged(model_path, adapter)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert model.dtype == torch.float32
    for name, value in model.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    base = load_file(model_path / "model.safetensors")
    assert not torch.allclose(base["model.layers.0.mlp.up_proj.weight"], expected["model.layers.0.mlp.up_proj.weight"])


def test_merge_keeps_shards_ties_and_tokenizer(tmp_path: Path, adapter: Path) -> None:
    base = tmp_path / "sharded"
    half: Any = build_model().bfloat16()
    half.save_pretrained(base, max_shard_size="40KB")
    build_tokenizer().save_pretrained(base)
    shards = sorted(path.name for path in base.glob("*.safetensors"))
    assert len(shards) > 1
    merge(base, adapter, tmp_path / "merged", torch.bfloat16)
    assert sorted(path.name for path in (tmp_path / "merged").glob("*.safetensors")) == shards
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    expected = peft_merged(base, adapter)
    for name, value in model.state_dict().items():
        assert torch.allclose(value.float(), expected[name], rtol=2**-7, atol=1e-6), name
    ids = AutoTokenizer.from_pretrained(tmp_path / "merged").apply_chat_template(
        [{"role": "user", "content": "hi"}], return_dict=False
    )
    assert ids[0] == 256


def test_changes_below_half_a_step_survive_bfloat16() -> None:
    """On a base that lies on the grid, rounding to nearest would take back every one of them."""
    torch.manual_seed(0)
    base = torch.randn(1000, 1000).bfloat16().float()
    step = torch.finfo(torch.bfloat16).eps * 2.0 ** torch.floor(torch.log2(base.abs()))
    change = 0.2 * step * torch.sign(torch.randn_like(base))
    lost = (base + change).bfloat16().float() - base
    rounded = round_at_random(base + change, 1)
    kept = rounded.float() - base
    assert float((kept / change).mean()) == pytest.approx(1.0, abs=0.02) and float((lost / change).mean()) < 0.05
    assert float(((kept - change).abs() / step).max()) <= 1.0, "never further than the next number"
    assert torch.equal(rounded, round_at_random(base + change, 1)), "the same merge again gives the same weights"
    assert torch.equal(round_at_random(base, 1).float(), base), "what lies on the grid stays"


def test_the_config_names_the_written_type(model_path: Path, adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    merge(model_path, adapter, out, torch.float32)
    merge(model_path, adapter, out, torch.bfloat16)
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_a_merge_that_cannot_be_right_writes_nothing(model_path: Path, adapter: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(TrainerError, match="No safetensors"):
        merge(work, adapter, work / "out", torch.float32)
    with pytest.raises(TrainerError, match="not a complete PEFT adapter"):
        merge(model_path, work, work / "out", torch.float32)
    odd = shutil.copytree(adapter, tmp_path / "odd")
    config = json.loads((odd / "adapter_config.json").read_text())
    (odd / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(TrainerError, match="use_dora"):
        merge(model_path, odd, work / "out", torch.float32)
    small = tmp_path / "small"
    small.mkdir()
    shutil.copyfile(model_path / "config.json", small / "config.json")
    torch.save({}, small / "unused.pt")
    from safetensors.torch import save_file

    save_file({"model.embed_tokens.weight": torch.zeros(2, 2)}, small / "model.safetensors")
    with pytest.raises(TrainerError, match="14 weights that"):
        merge(small, adapter, work / "out", torch.float32)
    assert list(work.iterdir()) == []


def test_the_proof_tells_new_from_old(model_path: Path, adapter: Path, tmp_path: Path) -> None:
    sequences = [list(range(20)), [5], list(range(250)), [7, 8], [9, 10, 11], [1, 2, 3]]
    parent = make_adapter(tmp_path / "parent", seed=2, projections=("q_proj", "v_proj"))
    write_proof(model_path, adapter, sequences, tmp_path, parent=parent)
    proof = read_proof(tmp_path)
    assert [len(ids) for ids in proof["sequences"]] == [20, 192, 2, 3]
    assert [len(scores) for scores in proof["new"]] == [19, 191, 1, 2]
    merge(model_path, adapter, tmp_path / "merged", torch.float32)
    merge(model_path, parent, tmp_path / "before", torch.float32)
    served, before = (scores(tmp_path / name, proof["sequences"]) for name in ("merged", "before"))
    assert compare(proof["new"], served) < 1e-4 and compare(proof["old"], before) < 1e-4
    assert compare(proof["new"], before) > 0.1 and compare(proof["old"], served) > 0.1


def scores(model_path: Path, sequences: list[list[int]]) -> list[list[float]]:
    """What an engine would say: log-probability of each token but the first."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    found = []
    for ids in sequences:
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        found.append([float(table[place, token]) for place, token in enumerate(ids[1:])])
    return found


def test_proofs_of_other_tokens_do_not_compare(tmp_path: Path, model_path: Path, adapter: Path) -> None:
    assert compare([[0.0, -1.0], [-2.0]], [[0.0, -1.5], [-3.0]]) == pytest.approx(0.5)
    for ours, theirs in (([[0.0]], [[0.0, 1.0]]), ([[0.0]], []), ([], [])):
        with pytest.raises(TrainerError, match="Cannot compare"):
            compare(ours, theirs)
    with pytest.raises(TrainerError, match="No usable proof"):
        read_proof(tmp_path)
    with pytest.raises(TrainerError, match="No token sequence"):
        write_proof(model_path, adapter, [[1]], tmp_path)
