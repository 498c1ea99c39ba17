"""Packed rows and every objective: equal to plain causal rows through the model's own forward pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapes import assert_equal, loss_and_gradients, moved_policy, trees
from tiny import REWRITING, THINKING, build_spine, build_tokenizer, make_tree
from torch.nn.attention.flex_attention import create_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from agents.errors import TrainerError
from trainers.attention import attention_mask, attention_rule, layout, tree_attention
from trainers.contrast import contrast_rows
from trainers.model import Policy
from trainers.objective import Objective
from trainers.packing import build_rows, pack, plan_passes
from trainers.plan import TrainSettings
from trainers.rendering import Renderer
from trainers.rows import Row
from trainers.trees import Tree

OBJECTIVES = ("sft", "dpo", "ipo", "simpo", "orpo")


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer())


@pytest.fixture(scope="module")
def policy(model_path: Path) -> Policy:
    return moved_policy(model_path)


def rows_of(found: list[Tree], renderer: Renderer, objective: str) -> list[Row]:
    return list(build_rows(found, renderer, objective=objective, max_row_tokens=10_000).rows)


def ours(policy: Policy, objective: Objective, rows: list[Row]) -> torch.Tensor:
    """The loss of packed rows, as the training loop takes it."""
    row = pack(rows)
    reference = policy.reference_logprobs(row) if objective.needs_reference else None
    return objective.terms(row, *policy.logprobs(row), reference).loss / objective.mass(row)


def plainly(model: Any, prompt: list[int], reply: list[int]) -> torch.Tensor:
    """Log-probability of a reply through the model's own forward pass and its own causal attention."""
    logits = model(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    scores: torch.Tensor = logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum()
    return scores


def written_out(policy: Policy, renderer: Renderer, found: list[Tree], settings: TrainSettings) -> torch.Tensor:
    """The objective written out, one sample per turn or pair, straight from its definition."""
    terms, masses = [], []
    for tree in found:
        units: list[tuple[int, tuple[str, ...]]] = [(pair.prefix, (pair.chosen, pair.rejected)) for pair in tree.pairs]
        if settings.objective == "sft":
            units = [(place, (m["content"],)) for place, m in enumerate(tree.messages) if m["role"] == "assistant"]
        for place, texts in units:
            rendered = [renderer.reply(tree.messages[:place], text) for text in texts]
            parts = [part for part in rendered if part is not None]
            now = [plainly(policy.model, *part) for part in parts]
            with torch.no_grad(), policy.model.disable_adapter():
                old = [plainly(policy.model, *part) for part in parts]
            sizes = [len(reply) for _, reply in parts]
            size = sum(sizes) if settings.weighting == "token" else 1
            masses.append(tree.weight * size)
            terms.append(tree.weight * size * one_loss(settings, now, old, sizes))
    return torch.stack(terms).sum() / sum(masses)


def one_loss(settings: TrainSettings, now: list[torch.Tensor], old: list[torch.Tensor], sizes: list[int]) -> Any:
    likelihood = -now[0] / sizes[0]
    if settings.objective == "sft":
        return likelihood
    mean = [score / size for score, size in zip(now, sizes, strict=True)]
    if settings.objective == "simpo":
        loss = -torch.sigmoid(settings.beta * (mean[0] - mean[1]) - settings.simpo_gamma).log()
    elif settings.objective == "orpo":
        odds = [score.exp() / (1 - score.exp()) for score in mean]
        return likelihood - settings.beta * torch.sigmoid((odds[0] / odds[1]).log()).log()
    elif settings.objective == "ipo":
        ratios = [(a - b) / size for a, b, size in zip(now, old, sizes, strict=True)]
        loss = (ratios[0] - ratios[1] - 1 / (2 * settings.beta)) ** 2
    else:
        loss = -torch.sigmoid(settings.beta * ((now[0] - old[0]) - (now[1] - old[1]))).log()
    return loss + settings.sft_weight * likelihood


@pytest.mark.long
@pytest.mark.parametrize("weighting", ["turn", "token"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(trees(), min_size=1, max_size=3))
def test_packed_rows_equal_the_objective_written_out(
    policy: Policy, renderer: Renderer, objective: Any, weighting: Any, found: list[Tree]
) -> None:
    plan = TrainSettings(objective=objective, weighting=weighting)
    rows = rows_of(found, renderer, objective)
    if not rows:
        assert all(not tree.pairs for tree in found)
        return
    packed = loss_and_gradients(policy, [lambda: ours(policy, Objective(plan), rows)])
    plain = loss_and_gradients(policy, [lambda: written_out(policy, renderer, found, plan)])
    assert_equal(packed, plain)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(trees(), min_size=1, max_size=4))
def test_attention_is_what_the_mask_says(renderer: Renderer, found: list[Tree]) -> None:
    rows = rows_of(found, renderer, "dpo")
    if not rows:
        return
    row = pack(rows)
    mask, size = attention_mask(row), len(row.tokens)
    assert torch.equal(create_mask(attention_rule(row, "cpu"), 1, 1, size, size, device="cpu")[0, 0], mask)
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, size, 8), torch.randn(1, 2, size, 8), torch.randn(1, 2, size, 8)
    mixed, _ = tree_attention(None, query, key, value, None, layout=layout(row), scaling=0.3)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True)
    assert torch.allclose(mixed.transpose(1, 2), wanted, atol=1e-5)


def test_flex_attention_is_the_same(renderer: Renderer) -> None:
    """Its forward pass runs on a CPU; only its backward pass needs CUDA."""
    row = pack(rows_of([make_tree("a", 2), make_tree("b", 3, leaf_chosen=[1])], renderer, "dpo"))
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, len(row.tokens), 16) for heads in (4, 2, 2))
    blocks = layout(row, flex=True).blocks
    flexed: Any = flex_attention(query, key, value, block_mask=blocks, scale=0.3, enable_gqa=True)
    mixed, _ = tree_attention(None, query, key, value, None, layout=layout(row), scaling=0.3)
    assert torch.allclose(flexed, mixed.transpose(1, 2), atol=1e-5)


@given(lengths=st.lists(st.integers(1, 50), max_size=12), budget=st.integers(0, 100))
def test_every_row_is_in_one_pass(lengths: list[int], budget: int) -> None:
    passes = plan_passes(lengths, budget)
    assert sorted(index for one in passes for index in one) == list(range(len(lengths)))
    assert all(len(one) == 1 or sum(lengths[index] for index in one) <= budget for one in passes)


def test_a_pack_holds_all_of_its_rows(renderer: Renderer) -> None:
    rows = rows_of([make_tree("a", 2), make_tree("b", 3, leaf_chosen=[1])], renderer, "dpo")
    row = pack(rows)
    assert row.tree_ids == ("a", "b") and row.units == 5 and len(row.weights) == len(row.gaps) == 5
    first, second = rows
    assert row.tokens == first.tokens + second.tokens and row.mass("token") == sum(one.mass("token") for one in rows)
    assert not attention_mask(row)[len(first.tokens) :, : len(first.tokens)].any()


def test_gap_weights_keep_the_mean(renderer: Renderer) -> None:
    tree = make_tree("t", 2)
    pairs = tuple(replace(pair, margin=gap) for pair, gap in zip(tree.pairs, (0.5, 1.5), strict=True))
    made = build_rows([replace(tree, pairs=pairs)], renderer, objective="dpo", max_row_tokens=9999, weigh_by_gap=True)
    assert made.rows[0].weights == (0.5, 1.5) and made.rows[0].gaps == (0.5, 1.5)


def test_the_gap_as_an_offset_by_hand(renderer: Renderer) -> None:
    """margin = 0.5 * ((c - r) - (c_ref - r_ref)); l = log(1 + exp(gap - margin)); the gap itself, whatever beta is."""
    tree = make_tree("t", 2)
    pairs = tuple(replace(pair, margin=gap) for pair, gap in zip(tree.pairs, (1.5, 4.0), strict=True))
    (row,) = rows_of([replace(tree, pairs=pairs)], renderer, "dpo")
    assert row.pairs == ((0, 1), (2, 3)) and row.gaps == (1.5, 4.0)
    sums, reference = torch.tensor([-2.0, -9.0, -5.0, -4.0]), torch.tensor([-3.0, -6.0, -4.0, -5.0])
    terms = Objective(TrainSettings(beta=0.5, reward_gap="offset", sft_weight=0.0)).terms(
        row, sums, torch.ones(4), reference
    )
    # Pair 1: margin 0.5 * (7 - 3) = 2, 2 - 1.5 = 0.5, l = log(1 + e^-0.5) = 0.474077.
    # Pair 2: margin 0.5 * (-1 - 1) = -1, -1 - 4 = -5, l = log(1 + e^5) = 5.006715.
    assert float(terms.loss) == pytest.approx(0.474077 + 5.006715, abs=1e-5)
    assert terms.margin == 2.0 - 1.0 and terms.correct == 1.0
    ignored = Objective(TrainSettings(beta=0.5, sft_weight=0.0)).terms(row, sums, torch.ones(4), reference)
    assert float(ignored.loss) == pytest.approx(0.126928 + 1.313262, abs=1e-5), "log(1 + e^-2) and log(1 + e)"


@pytest.mark.parametrize("gap", [0.0, -1.0])
def test_a_gap_that_weighs_nothing_is_refused(renderer: Renderer, gap: float) -> None:
    """All gaps at 0 used to mean that gaps were ignored; a negative one would prefer the rejected reply."""
    tree = make_tree("t7", 1)
    bad = replace(tree, pairs=(replace(tree.pairs[0], margin=gap),))
    with pytest.raises(TrainerError, match="dialogue t7 has the gap"):
        build_rows([bad], renderer, objective="dpo", max_row_tokens=9999, weigh_by_gap=True)
    assert build_rows([bad], renderer, objective="dpo", max_row_tokens=9999).rows[0].weights == (1.0,)


def test_a_contrast_row_equals_the_two_dialogues(policy: Policy, renderer: Renderer) -> None:
    good, bad = build_spine(3), (*build_spine(1)[:2], *build_spine(2, words="xyz")[2:])
    (row,) = contrast_rows(Tree("t", good, (), rival=bad, rival_gap=2.0), renderer, max_row_tokens=10_000).rows
    assert row.gaps == (2.0,) and len(row.segments) == 2 and row.segments[1].prefix > 20
    plan = TrainSettings(objective="dpo", sft_weight=0.0)

    def whole(messages: Any) -> torch.Tensor:
        places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        parts = [renderer.reply(messages[:place], messages[place]["content"]) for place in places]
        return torch.stack([plainly(policy.model, *part) for part in parts if part is not None]).sum()

    def separate() -> torch.Tensor:
        with torch.no_grad(), policy.model.disable_adapter():
            old = whole(good) - whole(bad)
        return -torch.nn.functional.logsigmoid(plan.beta * (whole(good) - whole(bad) - old))

    packed = loss_and_gradients(policy, [lambda: ours(policy, Objective(plan), [row])])
    # The margin is a small difference of sums of hundreds of nats, so float32 leaves it fewer digits.
    assert_equal(packed, loss_and_gradients(policy, [separate]), loss=1e-5)


def test_contrasts_that_cannot_be_made_are_counted(renderer: Renderer) -> None:
    same = build_spine(2)
    made = contrast_rows(Tree("t", same, (), rival=same), renderer, max_row_tokens=10_000)
    assert made.rows == () and [entry.reason for entry in made.rejections] == ["equal_texts"]
    rewriting = Renderer(build_tokenizer(REWRITING))
    made = contrast_rows(Tree("t", same, (), rival=build_spine(3)), rewriting, max_row_tokens=10_000)
    assert made.rows == () and [entry.reason for entry in made.rejections] == ["template"]


def test_a_contrast_whose_sides_have_leaves_is_refused() -> None:
    """Its earlier turns hang off the spine, so that the side as it stands is not what was said."""
    thinking = Renderer(build_tokenizer(THINKING))
    (side,) = rows_of([Tree("t", build_spine(2), ())], thinking, "sft")
    assert len(side.segments) == 2, "the earlier turn is a leaf"
    for good, bad in ((2, 1), (1, 2), (3, 2)):
        tree = Tree("t", build_spine(good), (), rival=build_spine(bad, words="xyz"))
        made = contrast_rows(tree, thinking, max_row_tokens=10_000)
        assert made.rows == () and [entry.reason for entry in made.rejections] == ["template"]
    tree = Tree("t", build_spine(1), (), rival=build_spine(1, words="xyz"))
    assert contrast_rows(tree, thinking, max_row_tokens=10_000).rows, "one turn each is one run each"
