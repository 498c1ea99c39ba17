"""Random dialogues for property tests, and what is compared: losses and all gradients in one vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from hypothesis import strategies as st
from tiny import build_spine

from trainers.model import Policy, load_policy
from trainers.plan import TrainSettings
from trainers.trees import Tree, TreePair


def moved_policy(model_path: Path) -> Policy:
    """A policy that is not its reference: the adapter's B matrices are random. In float32, on every machine."""
    made = load_policy(
        model_path,
        settings=TrainSettings(quantization="none", dtype="float32", lora_rank=4),
        parent=None,
        reference=True,
    )
    torch.manual_seed(3)
    for name, value in made.trainable.items():
        if "lora_B" in name:
            value.data.normal_(std=0.1)
    return made


def loss_and_gradients(policy: Policy, parts: Sequence[Callable[[], torch.Tensor]]) -> tuple[float, torch.Tensor]:
    """Backward through each part in turn, and all gradients in one vector."""
    policy.model.zero_grad(set_to_none=True)
    total = 0.0
    for part in parts:
        loss = part()
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total, torch.cat([value.grad.reshape(-1) for value in policy.trainable.values() if value.grad is not None])


def assert_equal(ours: tuple[float, torch.Tensor], theirs: tuple[float, torch.Tensor], *, loss: float = 1e-6) -> None:
    """Loss to 1e-6 relative, gradients to 1e-4 relative."""
    assert abs(ours[0] - theirs[0]) <= loss * abs(theirs[0])
    assert float(theirs[1].norm()) > 0
    assert float((ours[1] - theirs[1]).norm()) <= 1e-4 * float(theirs[1].norm())


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Dialogues of 1 to 4 turns with up to 2 pairs a turn, chosen on or off the spine."""
    turns = draw(st.integers(1, 4))
    messages = build_spine(turns, words=draw(st.sampled_from(["abc", "é", "two words"])))
    pairs = []
    for turn in range(turns):
        place = 2 + 2 * turn
        leaf = draw(st.booleans())
        chosen = f"good {turn}" if leaf else messages[place]["content"]
        for text in draw(st.lists(st.sampled_from(["no", "never ever", "x"]), max_size=2, unique=True)):
            pairs.append(TreePair(1 + 2 * turn, chosen, text, draw(st.sampled_from([0.3, 1.0])), place, not leaf))
    return Tree("t", messages, tuple(pairs), weight=draw(st.sampled_from([1.0, 2.0, 0.5])))
