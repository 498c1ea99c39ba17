"""The policy and its reference: equal at the start, still trainable after a reference pass, plain PEFT on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import build_model, build_tokenizer, make_plan, make_tree
from transformers import AutoModelForCausalLM

from agents.errors import TrainerError
from trainers.fit import fit
from trainers.losses import dpo, sft
from trainers.model import PROJECTIONS, forward_logprobs, load_policy
from trainers.plan import TrainSettings
from trainers.rendering import Renderer
from trainers.rows import Row, tree_rows

PLAIN = TrainSettings(quantization="none", dtype="float32", lora_rank=4, lora_alpha=8)


@pytest.fixture(scope="module")
def row() -> Row:
    return tree_rows(make_tree("t", 2), Renderer(build_tokenizer()), max_row_tokens=10_000).rows[0]


@pytest.fixture(scope="module")
def adapter(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained adapter of rank 4."""
    folder = tmp_path_factory.mktemp("parent")
    return fit(make_plan(model_path, folder, [make_tree("t", 2)], epochs=3)).adapter


def backward(loss: torch.Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def preference_gradients(policy: Any, row: Row) -> dict[str, float]:
    """Norm of each adapter matrix's gradient after a reference pass and a DPO step's backward pass."""
    reference = policy.reference_logprobs(row)
    sums, _ = policy.logprobs(row)
    chosen, rejected = torch.tensor(row.pairs).T
    backward(dpo(sums[chosen], sums[rejected], reference[chosen], reference[rejected], beta=0.1).loss.sum())
    return {name: 0.0 if value.grad is None else float(value.grad.norm()) for name, value in policy.trainable.items()}


def test_dpo_by_hand() -> None:
    one = torch.tensor([-1.0, -4.0])
    terms = dpo(one, one.flip(0), torch.zeros(2), torch.zeros(2), beta=0.5)
    assert terms.margin.tolist() == [1.5, -1.5] and terms.correct.tolist() == [1.0, 0.0]
    assert terms.loss.tolist() == pytest.approx([0.2014133, 1.7014133])
    assert float(sft(torch.tensor([-2.0, -1.0, -3.0]), torch.tensor([1.0, 0.5, 0.5]))) == 4.0


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_new_adapter_starts_at_its_reference(
    model_path: Path, row: Row, quantization: Any, dropout: float, dtype: Any
) -> None:
    settings = TrainSettings(quantization=quantization, dtype=dtype, lora_rank=4, lora_dropout=dropout)
    policy = load_policy(model_path, settings=settings, parent=None, reference=True)
    assert policy.check_start(row) == 0.0
    assert policy.model.training


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_continued_adapter_starts_at_its_parent_to_the_last_bit(
    model_path: Path, adapter: Path, row: Row, quantization: Any, dtype: Any
) -> None:
    settings = replace(PLAIN, quantization=quantization, dtype=dtype, lora_dropout=0.2)
    policy = load_policy(model_path, settings=settings, parent=adapter, reference=True)
    assert policy.check_start(row) == 0.0


def test_a_continued_adapter_starts_at_its_parent(model_path: Path, adapter: Path, row: Row) -> None:
    policy = load_policy(model_path, settings=PLAIN, parent=adapter, reference=True)
    assert policy.check_start(row) == 0.0
    base = load_policy(model_path, settings=PLAIN, parent=None, reference=True)
    away = (policy.reference_logprobs(row) - base.reference_logprobs(row)).abs().max()
    assert float(away) > 0.1, "the reference must be the parent and not the base"
    before = policy.reference_logprobs(row)
    assert set(preference_gradients(policy, row)) == set(policy.trainable)
    with torch.no_grad():
        for value in policy.trainable.values():
            value.add_(0.05)
    assert torch.equal(policy.reference_logprobs(row), before), "training must not move the reference"
    learning = {name for name, value in policy.model.named_parameters() if value.requires_grad}
    assert learning == set(policy.trainable)


@pytest.mark.parametrize("size", [1e-2, 1e-7])
def test_a_policy_away_from_its_reference_is_refused(model_path: Path, row: Row, size: float) -> None:
    """However little: a hundredth of what was once let pass is as wrong a reference."""
    policy = load_policy(model_path, settings=PLAIN, parent=None, reference=True)
    with torch.no_grad():
        for name, value in policy.trainable.items():
            if "lora_B" in name:
                value.fill_(size)
    with pytest.raises(TrainerError, match="differs from its reference"):
        policy.check_start(row)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_all_projections_learn_after_a_reference_pass(model_path: Path, row: Row, quantization: Any) -> None:
    settings = TrainSettings(quantization=quantization, lora_rank=4)
    policy = load_policy(model_path, settings=settings, parent=None, reference=True)
    fresh = load_policy(model_path, settings=settings, parent=None, reference=True)
    for one in (policy, fresh):
        torch.manual_seed(0)
        for value in one.trainable.values():
            value.data.normal_(std=0.05)
    reference = policy.reference_logprobs(row)  # an extra reference pass must change nothing
    assert reference.requires_grad is False
    norms, expected = preference_gradients(policy, row), preference_gradients(fresh, row)
    for projection in PROJECTIONS:
        own = [norm for name, norm in norms.items() if projection in name]
        assert len(own) == 4 and min(own) > 0.0, projection
    assert norms == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16"), reason="bitsandbytes repacks weights on AVX512-BF16 only"
)
def test_one_pass_in_eval_mode_would_lose_gradients_silently(model_path: Path, row: Row) -> None:
    """What the invariant is for. Where this fails, bitsandbytes has mended it and train mode is needed no more."""
    policy = load_policy(model_path, settings=TrainSettings(lora_rank=4), parent=None, reference=True)
    torch.manual_seed(0)
    for value in policy.trainable.values():
        value.data.normal_(std=0.05)
    expected = preference_gradients(policy, row)
    for value in policy.trainable.values():
        value.grad = None
    assert preference_gradients(policy, row) == expected, "our own passes lose none"
    policy.model.eval()
    with torch.no_grad():
        policy.logprobs(row)
    policy.model.train()
    for value in policy.trainable.values():
        value.grad = None
    lost = preference_gradients(policy, row)
    assert all(lost[name] < 0.7 * expected[name] for name in expected if "q_proj" in name or "v_proj" in name)


def test_nf4_is_four_bits(model_path: Path) -> None:
    policy = load_policy(model_path, settings=TrainSettings(lora_rank=4), parent=None, reference=True)
    weight = policy.model.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    assert weight.dtype == torch.uint8 and weight.quant_state.quant_type == "nf4" and weight.quant_state.nested


def test_a_parent_of_another_rank_is_refused(model_path: Path, adapter: Path) -> None:
    with pytest.raises(TrainerError, match="rank 4 and alpha 8"):
        load_policy(model_path, settings=TrainSettings(quantization="none"), parent=adapter, reference=True)


def test_a_model_without_the_projections_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=258, n_embd=16, n_layer=1, n_head=1, bos_token_id=256, eos_token_id=257)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(TrainerError, match="gpt2 has no q_proj"):
        load_policy(tmp_path, settings=PLAIN, parent=None, reference=True)


def test_plain_peft_loads_the_adapter(model_path: Path, adapter: Path, row: Row) -> None:
    base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter)
    ids = torch.tensor([row.tokens[: row.segments[0].length]])
    with torch.no_grad():
        adapted = model(ids).logits
        with model.disable_adapter():
            plain = model(ids).logits
    assert not torch.allclose(adapted, plain)
    policy = load_policy(model_path, settings=PLAIN, parent=adapter, reference=False)
    with torch.no_grad():
        ours = policy.model(ids).logits
    assert torch.allclose(ours, adapted, atol=1e-6)


def test_scores_do_not_depend_on_how_the_vocabulary_pass_is_cut(model_path: Path, row: Row) -> None:
    policy = load_policy(model_path, settings=PLAIN, parent=None, reference=True)
    outcomes = []
    for logits in (2**26, 258 * 5):
        policy.model.zero_grad(set_to_none=True)
        sums, _ = forward_logprobs(policy.model, row, logits_at_once=logits)
        backward(sums.sum())
        grads = torch.cat([value.grad.reshape(-1) for value in policy.trainable.values() if value.grad is not None])
        outcomes.append((sums.detach(), grads))
    assert torch.allclose(outcomes[0][0], outcomes[1][0], rtol=1e-6)
    assert float((outcomes[0][1] - outcomes[1][1]).norm()) <= 1e-5 * float(outcomes[0][1].norm())


def test_only_scored_positions_meet_the_vocabulary(model_path: Path, row: Row) -> None:
    policy = load_policy(model_path, settings=PLAIN, parent=None, reference=True)
    met: list[int] = []
    head = policy.model.get_base_model().get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: met.append(inputs[0].reshape(-1, 64).shape[0]))
    targets = sum(len(reply.targets) for reply in row.replies)
    policy.logprobs(row)
    policy.reference_logprobs(row)
    assert met == [targets, targets] and targets < len(row.tokens)
    met.clear()
    forward_logprobs(policy.model, row, logits_at_once=258 * 5)
    assert sum(met) == targets and max(met) == 5, "also in pieces"


def test_the_tiny_model_is_deterministic() -> None:
    first, second = build_model().state_dict(), build_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_quantised_model_never_runs_in_eval_mode(model_path: Path, row: Row) -> None:
    """In eval mode bitsandbytes repacks weights on some CPUs and gradients are lost: so not one pass may be in it."""
    from bitsandbytes.nn.modules import Linear4bit

    policy = load_policy(model_path, settings=TrainSettings(lora_rank=4, lora_dropout=0.2), parent=None, reference=True)
    layers = [module for module in policy.model.modules() if isinstance(module, Linear4bit)]
    modes: list[bool] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    policy.check_start(row)
    policy.reference_logprobs(row)
    with policy.measuring():
        measured = policy.logprobs(row)[0]
    sums, _ = policy.logprobs(row)
    backward(sums.sum())
    assert len(modes) == 5 * len(layers) > 0 and all(modes)
    assert torch.equal(measured, policy.reference_logprobs(row)), "measured without dropout"
    policy.model.eval()
    policy.logprobs(row)
    assert not all(modes), "the hook would have seen it"


def test_a_bfloat16_model_scores_as_its_float32_copy_whole_or_in_pieces(model_path: Path, row: Row) -> None:
    lower: Any = AutoModelForCausalLM.from_pretrained(str(model_path), dtype=torch.bfloat16)
    copy: Any = AutoModelForCausalLM.from_pretrained(str(model_path), dtype=torch.bfloat16)
    copy = copy.float()
    found = {name: forward_logprobs(model, row)[0] for name, model in (("lower", lower), ("copy", copy))}
    assert found["lower"].dtype == torch.float32
    assert torch.allclose(found["lower"], found["copy"], rtol=2e-2)
    pieces = forward_logprobs(lower, row, logits_at_once=3 * lower.config.vocab_size)[0]
    assert torch.allclose(pieces, found["lower"], rtol=1e-5)
    backward(pieces.sum())
    weight = lower.model.layers[0].mlp.up_proj.weight
    assert weight.grad.dtype == torch.bfloat16 and float(weight.grad.norm()) > 0
