"""Parity with TRL's own trainers: on the same data, the same loss and the same gradient of every LoRA matrix.

TRL's trainers are built as a user builds them, batches come from their own data loaders, and the loss from their own
`compute_loss`. Both sides hold the same adapter, with B matrices that are not zero; the reference is the base, which
TRL takes by switching the adapter off. Tolerances: loss 1e-5 relative (2e-6 absolute where it is near 0); each LoRA
matrix's gradient 1e-4 of its norm, and all of them as one vector 5e-5. Measured: 3e-6 for all three.

What TRL does differently, and how the data is made the same here:

- A completion is everything the template writes after the prompt, so with a ChatML template TRL scores the newline
  behind the end-of-turn token. An engine never samples it and we do not score it. `MARKED` writes that newline before
  the next message instead of after each one, so both sides read the same tokens and score the same ones.
- `assistant_only_loss` needs a template with generation marks. `MARKED` has them around the reply and its end-of-turn
  token, which is what we score.
- SFT is a mean over the scored tokens of a batch: our weighting `token`. A sample alone in its batch gives its own
  mean over tokens, and the mean of these over samples is our weighting `turn`.
- DPO and IPO are means over pairs: our weighting `turn` with `sft_weight` 0. TRL's `sft` term is a mean over the chosen
  tokens of a batch, so it is our `sft_weight` term for a pair alone in its batch.
- ORPO's likelihood in TRL covers the prompt too. The paper's does not and ours does not. Losses and gradients are
  linear in the weight of the odds-ratio term, so that term alone is compared, as a difference of two weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel
from shapes import moved_policy, trees
from tiny import TEMPLATE, build_tokenizer, make_tree
from transformers import AutoModelForCausalLM
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from trainers.model import PROJECTIONS, Policy, load_policy
from trainers.objective import Objective
from trainers.packing import build_rows, pack
from trainers.plan import TrainSettings
from trainers.rendering import Renderer
from trainers.trees import Tree

MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The tiny template with generation marks, and without the newline behind the last message."""
DIALOGUES = (make_tree("a", 2), make_tree("b", 4, leaf_chosen=[1, 2], words="two words"))
pytestmark = pytest.mark.long
FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Measured = tuple[float, dict[str, torch.Tensor]]
"""A loss, and the gradient of each LoRA matrix by name."""


@pytest.fixture(scope="module")
def policy(model_path: Path) -> Policy:
    return moved_policy(model_path)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """No progress bars, and one thread: a model this small only waits for more."""
    threads = torch.get_num_threads()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    datasets.enable_progress_bars()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def ours(policy: Policy, found: Sequence[Tree], **values: Any) -> Measured:
    """The packed rows of all trees, through the training loop's own parts."""
    plan = TrainSettings(**values)
    objective = Objective(plan)
    rows = build_rows(found, Renderer(build_tokenizer()), objective=plan.objective, max_row_tokens=10_000).rows
    row = pack(rows)
    reference = policy.reference_logprobs(row) if objective.needs_reference else None
    loss = objective.terms(row, *policy.logprobs(row), reference).loss / objective.mass(row)
    policy.model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), gradients(policy.model)


@pytest.fixture
def build(policy: Policy, model_path: Path, tmp_path: Path) -> Callable[..., Any]:
    """Builds a TRL trainer on the tiny model with the policy's adapter weights; all samples in a batch by default."""

    def made(kind: Any, config: Any, samples: list[dict[str, Any]], template: str = MARKED, **options: Any) -> Any:
        trainer = kind(
            model=AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32),
            args=arguments(config, tmp_path, {"per_device_train_batch_size": len(samples)} | options),
            train_dataset=datasets.Dataset.from_list(samples),
            processing_class=build_tokenizer(template),
            peft_config=LoraConfig(r=4, lora_alpha=32, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM"),
        )
        take_weights(trainer.model, policy)
        trainer.model.train()
        return trainer

    return made


def arguments(config: Any, folder: Path, options: dict[str, Any]) -> Any:
    """A TRL config for float32 on a CPU, nothing cut off."""
    plain = {"use_cpu": True, "report_to": "none", "bf16": False, "gradient_checkpointing": False, "max_length": None}
    return config(output_dir=str(folder / "trl"), **(plain | options))


def take_weights(model: Any, policy: Policy) -> None:
    theirs = {name: value for name, value in model.named_parameters() if ".default." in name}
    assert theirs.keys() == policy.trainable.keys()
    for name, value in theirs.items():
        value.data.copy_(policy.trainable[name].data)


def measure(trainer: Any) -> Measured:
    """The mean over the trainer's batches of its loss, and the gradients of that."""
    losses = []
    batches = list(trainer.get_train_dataloader())
    for batch in batches:
        loss = trainer.compute_loss(trainer.model, batch) / len(batches)
        loss.backward()
        losses.append(float(loss.detach()))
    return sum(losses), gradients(trainer.model)


def assert_same(mine: Measured, theirs: Measured) -> None:
    assert mine[0] == pytest.approx(theirs[0], rel=1e-5, abs=2e-6)
    assert mine[1].keys() == theirs[1].keys() and len(mine[1]) == 2 * 2 * len(PROJECTIONS)
    names = sorted(mine[1])
    for name in names:
        assert float(theirs[1][name].norm()) > 0
        assert float((mine[1][name] - theirs[1][name]).norm()) <= 1e-4 * float(theirs[1][name].norm()), name
    high, low = (torch.cat([part[1][name].flatten() for name in names]) for part in (mine, theirs))
    assert float((high - low).norm()) <= 5e-5 * float(low.norm())


def turn_samples(found: Sequence[Tree]) -> list[dict[str, Any]]:
    """A prompt and completion for each reply that was said."""
    return [
        {"prompt": list(tree.messages[:place]), "completion": [message]}
        for tree in found
        for place, message in enumerate(tree.messages)
        if message["role"] == "assistant"
    ]


def pair_samples(found: Sequence[Tree]) -> list[dict[str, Any]]:
    return [
        {
            "prompt": list(tree.messages[: pair.prefix]),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for tree in found
        for pair in tree.pairs
    ]


def evened(found: Sequence[Tree]) -> list[Tree]:
    """The trees that hold pairs, each pair counting the same: TRL has no weights."""
    found = [replace(tree, weight=1.0) for tree in found if tree.pairs]
    assume(found)
    return found


def test_the_marked_template_writes_the_same_tokens() -> None:
    """But for the newline behind the last message."""
    plain, marked = Renderer(build_tokenizer()), Renderer(build_tokenizer(MARKED))
    newline = build_tokenizer().encode("\n")
    for tree in DIALOGUES:
        for count in range(1, len(tree.messages) + 1):
            part = tree.messages[:count]
            assert marked.prompt(part) == plain.prompt(part)
            assert marked.whole(part) + newline == plain.whole(part)


def test_trl_scores_the_newline_of_the_plain_template(build: Callable[..., Any]) -> None:
    """The difference that `MARKED` takes out of the data; when TRL drops it, `MARKED` may keep its newline."""
    samples = turn_samples(DIALOGUES[:1])
    characters = sum(len(sample["completion"][0]["content"]) for sample in samples)
    for template, marks in ((MARKED, 1), (TEMPLATE, 2)):
        (batch,) = build(SFTTrainer, SFTConfig, samples, template).get_train_dataloader()
        assert int((batch["labels"] != -100).sum()) == characters + marks * len(samples)


@FEW
@given(found=st.lists(trees(), min_size=1, max_size=3))
def test_sft_rows_equal_trl_on_whole_dialogues(policy: Policy, build: Callable[..., Any], found: list[Tree]) -> None:
    """One row per dialogue on both sides: TRL pads a batch of them, we lay them side by side."""
    found = [replace(tree, weight=1.0) for tree in found]
    samples = [{"messages": list(tree.messages)} for tree in found]
    trainer = build(SFTTrainer, SFTConfig, samples, assistant_only_loss=True)
    assert_same(ours(policy, found, objective="sft", weighting="token"), measure(trainer))


@pytest.mark.parametrize(("weighting", "size"), [("turn", 1), ("token", 6)])
def test_sft_rows_equal_trl_on_one_sample_a_turn(
    policy: Policy, build: Callable[..., Any], weighting: str, size: int
) -> None:
    """Alone in its batch each turn counts the same; together in one batch each token does."""
    samples = turn_samples(DIALOGUES)
    assert len(samples) == 6
    trainer = build(SFTTrainer, SFTConfig, samples, per_device_train_batch_size=size)
    assert_same(ours(policy, DIALOGUES, objective="sft", weighting=weighting), measure(trainer))


@pytest.mark.parametrize(("objective", "loss_type"), [("dpo", "sigmoid"), ("ipo", "ipo")])
@FEW
@given(found=st.lists(trees(), min_size=1, max_size=2))
def test_tree_rows_equal_trl_on_pairs(
    policy: Policy, build: Callable[..., Any], objective: str, loss_type: str, found: list[Tree]
) -> None:
    found, samples = evened(found), pair_samples(found)
    trainer = build(DPOTrainer, DPOConfig, samples, loss_type=[loss_type], beta=0.2)
    assert "ref" not in trainer.model.peft_config and trainer.ref_model is None
    assert_same(ours(policy, found, objective=objective, beta=0.2, sft_weight=0.0), measure(trainer))


def test_the_default_objective_equals_trl_with_its_sft_term(policy: Policy, build: Callable[..., Any]) -> None:
    options: dict[str, Any] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, TrainSettings().sft_weight]}
    options |= {"beta": TrainSettings().beta, "per_device_train_batch_size": 1}
    trainer = build(DPOTrainer, DPOConfig, pair_samples(DIALOGUES), **options)
    assert_same(ours(policy, DIALOGUES), measure(trainer))


def test_a_continued_adapter_has_the_same_reference(policy: Policy, model_path: Path, tmp_path: Path) -> None:
    """Given a PEFT model TRL keeps a frozen copy as its reference, as we do for a parent."""
    policy.save(tmp_path / "parent")
    plan = TrainSettings(quantization="none", dtype="float32", lora_rank=4)
    grown = load_policy(model_path, settings=plan, parent=tmp_path / "parent", reference=True)
    base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    trainer: Any = DPOTrainer(
        model=PeftModel.from_pretrained(base, str(tmp_path / "parent"), is_trainable=True),
        args=arguments(DPOConfig, tmp_path, {"per_device_train_batch_size": 6}),
        train_dataset=datasets.Dataset.from_list(pair_samples(DIALOGUES)),
        processing_class=build_tokenizer(MARKED),
    )
    torch.manual_seed(5)
    for value in grown.trainable.values():
        value.data.add_(torch.randn_like(value) * 0.05)
    take_weights(trainer.model, grown)
    trainer.model.train()
    mine = ours(grown, DIALOGUES, beta=0.1, sft_weight=0.0)
    assert_same(mine, measure(trainer))
    assert abs(mine[0] - ours(policy, DIALOGUES, beta=0.1, sft_weight=0.0)[0]) > 1e-3


def test_simpo_equals_trls(policy: Policy, build: Callable[..., Any]) -> None:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    options: dict[str, Any] = {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0, "simpo_gamma": 0.7}
    trainer = build(CPOTrainer, CPOConfig, pair_samples(DIALOGUES), max_length=4096, **options)
    mine = ours(policy, DIALOGUES, objective="simpo", beta=2.0, simpo_gamma=0.7, sft_weight=0.0)
    assert_same(mine, measure(trainer))


def test_orpos_odds_ratio_equals_trls(policy: Policy, build: Callable[..., Any]) -> None:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    trainer = build(ORPOTrainer, ORPOConfig, pair_samples(DIALOGUES), max_length=4096)
    theirs, mine = [], []
    for weight in (1.0, 0.0):
        trainer.beta = weight
        theirs.append(measure(trainer))
        mine.append(ours(policy, DIALOGUES, objective="orpo", beta=weight))
    assert_same(difference(*mine), difference(*theirs))


def difference(high: Measured, low: Measured) -> Measured:
    return high[0] - low[0], {name: value - low[1][name] for name, value in high[1].items()}
