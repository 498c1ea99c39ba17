"""Tree rows: the same loss and gradients as plain rows, tokens only from the template, nothing dropped silently."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from shapes import assert_equal, loss_and_gradients, moved_policy, trees
from tiny import LAST_USER, REWRITING, TEMPLATE, THINKING, build_tokenizer, make_tree

from agents.errors import TrainerError
from agents.records import Dialogue, EpisodeSpec, Role, Turn
from trainers.attention import attention_mask
from trainers.data import to_tree
from trainers.losses import dpo, sft
from trainers.model import Policy
from trainers.rendering import Renderer
from trainers.rows import Row, pair_rows, sft_rows, tree_rows
from trainers.trees import Tree, TreePair

BETA, SFT_WEIGHT = 0.1, 0.5


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer())


@pytest.fixture(scope="module")
def policy(model_path: Path) -> Policy:
    return moved_policy(model_path)


def pair_loss(chosen: Any, rejected: Any, ref_chosen: Any, ref_rejected: Any, counts: Any) -> torch.Tensor:
    terms = dpo(chosen, rejected, ref_chosen, ref_rejected, beta=BETA)
    return terms.loss.sum() + sft(chosen, SFT_WEIGHT / counts)


def tree_loss(policy: Policy, row: Row) -> torch.Tensor:
    sums, counts = policy.logprobs(row)
    reference = policy.reference_logprobs(row)
    chosen, rejected = torch.tensor(row.pairs).T
    return pair_loss(sums[chosen], sums[rejected], reference[chosen], reference[rejected], counts[chosen])


def plain_loss(policy: Policy, chosen: Row, rejected: Row) -> torch.Tensor:
    (high, counts), (low, _) = policy.logprobs(chosen), policy.logprobs(rejected)
    return pair_loss(high, low, policy.reference_logprobs(chosen), policy.reference_logprobs(rejected), counts)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees())
def test_a_tree_row_equals_its_pair_rows(policy: Policy, renderer: Renderer, tree: Tree) -> None:
    made = tree_rows(tree, renderer, max_row_tokens=10_000)
    plain = pair_rows(tree, renderer)
    if not tree.pairs:
        assert made.rows == () and plain == []
        return
    (row,) = made.rows
    assert made.rejections == () and made.notes == ()
    ours, gradient = loss_and_gradients(policy, [lambda: tree_loss(policy, row)])
    theirs, expected = loss_and_gradients(policy, [partial(plain_loss, policy, *pair) for pair in plain])
    assert abs(ours - theirs) <= 1e-6 * abs(theirs)
    assert float(expected.norm()) > 0
    assert float((gradient - expected).norm()) <= 1e-4 * float(expected.norm())
    assert len(row.tokens) <= sum(len(one.tokens) for pair in plain for one in pair)


def test_a_tree_row_runs_the_spine_once(renderer: Renderer) -> None:
    tree = make_tree("t", 8)
    (row,) = tree_rows(tree, renderer, max_row_tokens=10_000).rows
    separate = sum(len(one.tokens) for pair in pair_rows(tree, renderer) for one in pair)
    assert len(row.pairs) == 8 and separate > 6 * len(row.tokens)


def test_scored_tokens_are_the_reply_and_its_end(renderer: Renderer, tokenizer: Any) -> None:
    tree = make_tree("t", 2, leaf_chosen=[1])
    (row,) = tree_rows(tree, renderer, max_row_tokens=10_000).rows
    texts = [tokenizer.decode(reply.targets) for reply in row.replies]
    expected = [text for pair in tree.pairs for text in (pair.chosen, pair.rejected)]
    assert texts == [text + "<|im_end|>" for text in expected]
    prompt = renderer.prompt(tree.messages[:2])
    assert list(row.tokens[: len(prompt)]) == prompt
    assert row.replies[0].sources[0] == row.replies[1].sources[0] == len(prompt) - 1


def test_a_leaf_sees_its_prefix_and_itself_only(renderer: Renderer) -> None:
    (row,) = tree_rows(make_tree("t", 2, leaf_chosen=[0]), renderer, max_row_tokens=10_000).rows
    mask = attention_mask(row)
    assert mask.shape == (len(row.tokens), len(row.tokens))
    spine, *leaves = row.segments
    assert len(leaves) == 3
    for query in range(spine.length):
        assert mask[query].nonzero()[:, 0].tolist() == list(range(query + 1))
    for leaf in leaves:
        for offset in range(leaf.length):
            seen = mask[leaf.start + offset].nonzero()[:, 0].tolist()
            assert seen == [*range(leaf.prefix), *range(leaf.start, leaf.start + offset + 1)]
            assert row.positions[leaf.start + offset] == leaf.prefix + offset


def test_the_last_pairs_go_when_a_row_is_too_long(renderer: Renderer) -> None:
    tree = make_tree("t", 4)
    whole = len(tree_rows(tree, renderer, max_row_tokens=10_000).rows[0].tokens)
    made = tree_rows(tree, renderer, max_row_tokens=whole - 1)
    assert len(made.rows[0].pairs) == 3 and len(made.rows[0].tokens) < whole
    assert [(entry.turn, entry.reason) for entry in made.rejections] == [(7, "too_long")]
    nothing = tree_rows(tree, renderer, max_row_tokens=10)
    assert nothing.rows == () and [entry.turn for entry in nothing.rejections] == [1, 3, 5, 7]


def test_a_template_that_rewrites_gets_a_row_per_turn(policy: Policy) -> None:
    rewriting = Renderer(build_tokenizer(REWRITING))
    tree = make_tree("t", 3, leaf_chosen=[2])
    made = tree_rows(tree, rewriting, max_row_tokens=10_000)
    assert len(made.rows) == 3 and len(made.notes) == 1 and "rewrites" in made.notes[0]
    plain = pair_rows(tree, rewriting)
    ours = loss_and_gradients(policy, [partial(tree_loss, policy, row) for row in made.rows])[0]
    theirs = loss_and_gradients(policy, [partial(plain_loss, policy, *pair) for pair in plain])[0]
    assert abs(ours - theirs) <= 1e-6 * abs(theirs)


def test_sft_trains_every_turn_as_separate_rows_would(policy: Policy, renderer: Renderer) -> None:
    tree = make_tree("t", 3)
    (row,) = sft_rows(tree, renderer, max_row_tokens=10_000).rows
    assert row.kind == "sft" and row.units == 3 and [reply.turn for reply in row.replies] == [1, 3, 5]
    said = Tree("t", tree.messages, tuple(TreePair(0, tree.messages[p]["content"], "x", 1, p, True) for p in (2, 4, 6)))

    def loss(one: Row) -> torch.Tensor:
        sums, counts = policy.logprobs(one)
        return sft(sums, 1.0 / counts)

    ours, gradient = loss_and_gradients(policy, [lambda: loss(row)])
    plain = [pair[0] for pair in pair_rows(said, renderer)]
    theirs, expected = loss_and_gradients(policy, [partial(loss, one) for one in plain])
    assert abs(ours - theirs) <= 1e-6 * abs(theirs)
    assert float((gradient - expected).norm()) <= 1e-4 * float(expected.norm())


def test_a_tokenizer_that_cannot_end_a_turn_is_refused() -> None:
    with pytest.raises(TrainerError, match="no special token"):
        Renderer(build_tokenizer("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"))
    bare = build_tokenizer()
    bare.chat_template = None
    with pytest.raises(TrainerError, match="no chat template"):
        Renderer(bare)


def test_pairs_that_teach_nothing_are_counted(renderer: Renderer) -> None:
    """As a file written by hand may hold them."""
    tree = make_tree("t", 4)
    texts = [(" ", "b"), ("a", ""), ("a", " a\n"), ("a", "b")]
    pairs = tuple(
        replace(pair, chosen=chosen, rejected=rejected)
        for pair, (chosen, rejected) in zip(tree.pairs, texts, strict=True)
    )
    made = tree_rows(replace(tree, pairs=pairs), renderer, max_row_tokens=10_000)
    assert [len(row.pairs) for row in made.rows] == [1]
    found = [(one.turn, one.reason) for one in made.rejections]
    assert found == [(1, "empty"), (3, "empty"), (5, "equal_texts")]


def test_an_empty_turn_is_counted_and_turns_are_those_of_the_dialogue(renderer: Renderer) -> None:
    """A message that was put before a tutor who speaks first is no turn."""
    spec = EpisodeSpec("d", "a", "corpus", "human", {}, "human", "p", "i", -1, 0, "k")
    talk: list[tuple[Role, str]] = [
        ("tutor", "Hi"),
        ("student", "hm"),
        ("tutor", " "),
        ("student", "?"),
        ("tutor", "So"),
    ]
    dialogue = Dialogue(spec, tuple(Turn(index, role, text) for index, (role, text) in enumerate(talk)))
    for tree in (to_tree(dialogue, None), to_tree(dialogue, "teach")):
        made = sft_rows(tree, renderer, max_row_tokens=10_000)
        assert [reply.turn for reply in made.rows[0].replies] == [0, 4]
        assert [(one.turn, one.reason) for one in made.rejections] == [(2, "empty")]


def mistral_samples(tree: Tree, place: int, text: str) -> tuple[list[int], list[int]]:
    """Prompt and reply at one turn written out by hand, as an engine with Mistral's template has them."""
    system, *said = tree.messages[:place]
    parts = [f"<|im_start|> {m['content']}<|im_start|>" if m["role"] == "user" else f" {m['content']}<|im_end|>"
             for m in said[:-1]]  # fmt: skip
    parts.append(f"<|im_start|> {system['content']}\n\n{said[-1]['content']}<|im_start|>")
    encode = build_tokenizer(LAST_USER).encode
    return encode("".join(parts)), encode(f" {text}<|im_end|>")


def written_out(policy: Policy, tree: Tree, place: int, text: str) -> tuple[torch.Tensor, int]:
    """Log-probability of a reply in a causal row of its own, by the model's own forward pass, and its length."""
    prompt, reply = mistral_samples(tree, place, text)
    logits = policy.model(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum(), len(reply)


def sft_loss(policy: Policy, row: Row) -> torch.Tensor:
    sums, counts = policy.logprobs(row)
    return sft(sums, 1.0 / counts)


def sft_written_out(policy: Policy, tree: Tree, place: int) -> torch.Tensor:
    score, size = written_out(policy, tree, place, tree.messages[place]["content"])
    return -score / size


def dpo_written_out(policy: Policy, tree: Tree, pair: TreePair) -> torch.Tensor:
    texts = pair.chosen, pair.rejected
    with torch.no_grad(), policy.model.disable_adapter():
        old = [written_out(policy, tree, pair.prefix, text)[0] for text in texts]
    (high, size), (low, _) = (written_out(policy, tree, pair.prefix, text) for text in texts)
    return -torch.nn.functional.logsigmoid(BETA * (high - old[0] - low + old[1])) - SFT_WEIGHT * high / size


def test_a_system_prompt_that_vanishes_once_answered_is_trained_turn_by_turn(policy: Policy) -> None:
    """With Mistral-7B-Instruct-v0.3's template no prompt is a prefix of its answered form."""
    renderer, tree = Renderer(build_tokenizer(LAST_USER)), make_tree("t", 3, leaf_chosen=[1])
    made = sft_rows(tree, renderer, max_row_tokens=10_000)
    assert len(made.rows) == 3 and made.rejections == () and "rewrites" in made.notes[0]
    for row, place in zip(made.rows, (2, 4, 6), strict=True):
        prompt, reply = mistral_samples(tree, place, tree.messages[place]["content"])
        assert list(row.tokens) == (prompt + reply)[:-1] and list(row.replies[0].targets) == reply
    ours = loss_and_gradients(policy, [partial(sft_loss, policy, row) for row in made.rows])
    assert_equal(
        ours, loss_and_gradients(policy, [partial(sft_written_out, policy, tree, place) for place in (2, 4, 6)])
    )
    pairs = tree_rows(tree, renderer, max_row_tokens=10_000)
    assert len(pairs.rows) == 3 and pairs.rejections == () and len(pairs.notes) == 1
    ours = loss_and_gradients(policy, [partial(tree_loss, policy, row) for row in pairs.rows])
    assert_equal(
        ours, loss_and_gradients(policy, [partial(dpo_written_out, policy, tree, pair) for pair in tree.pairs])
    )
    bare = Tree("t", tree.messages[1:], ())
    assert len(sft_rows(bare, renderer, max_row_tokens=10_000).rows) == 1, "without a system prompt nothing vanishes"


@pytest.mark.parametrize("header", ["<|im_start|>assistant\n", "### Reply: "])
def test_a_template_whose_generation_prompt_writes_no_header_is_refused(header: str) -> None:
    """The header would be scored with the reply, and missing from what an engine is asked."""
    without = TEMPLATE.split("{% if add_generation_prompt %}")[0]
    told = without.replace(
        "'<|im_start|>' + message['role'] + '\n'", f"({header!r} if message['role'] != 'user' else '')"
    )
    assert told != without
    with pytest.raises(TrainerError, match=f"no generation prompt.*{header.strip().strip('<|>')[:5]}"):
        Renderer(build_tokenizer(told))
    asked = told + "{% if add_generation_prompt %}{{ " + repr(header) + " }}{% endif %}"
    assert Renderer(build_tokenizer(asked)).end_of_turn == 257


@pytest.mark.parametrize("template", [TEMPLATE, REWRITING, THINKING, LAST_USER])
def test_templates_with_a_header_or_without_any_are_taken(template: str) -> None:
    assert Renderer(build_tokenizer(template)).end_of_turn == 257


def test_a_mark_that_holds_letters_of_the_trial_answer_is_found() -> None:
    """`<|endoftext|>` ends a turn in some templates; looked for by one letter, the answer seemed to be inside it."""
    tokenizer = build_tokenizer(TEMPLATE.replace("<|im_end|>", "<|endoftext|>"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    assert Renderer(tokenizer).end_of_turn == tokenizer.convert_tokens_to_ids("<|endoftext|>")
