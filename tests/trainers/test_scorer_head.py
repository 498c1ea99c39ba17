"""Levels and the CORN head: a proper distribution for any logits, and a loss that is exactly its likelihood."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scorer_encoder import one_thread  # noqa: F401
from torch.nn.functional import binary_cross_entropy_with_logits

from agents.errors import InputError
from trainers.scorer.head import CornHead, corn_loss, distribution, exceedance, predicted_index
from trainers.scorer.labels import EFFECTIVENESS, THREE_STEPS, Levels, majority, round_half_up

LOGITS = st.integers(1, 9).flatmap(
    lambda tasks: st.lists(
        st.lists(st.floats(-60, 60, width=32), min_size=tasks, max_size=tasks), min_size=1, max_size=6
    )
)


def test_levels_are_exact() -> None:
    assert EFFECTIVENESS.values == (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
    assert EFFECTIVENESS.find(2.5) == 3 and EFFECTIVENESS.find(2.25) is None and EFFECTIVENESS.find(math.nan) is None
    assert THREE_STEPS.counts([0, 1, 1, 7]) == {"0": 1, "0.5": 0, "1": 2}
    assert EFFECTIVENESS.has_parts and not THREE_STEPS.has_parts and not Levels((1, 2, 3)).has_parts


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 1.0), (2.0, 1.0), (1.0, math.nan), (0.0, math.inf)])
def test_levels_that_are_no_scale_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="at least two finite values in ascending order"):
        Levels(values)


def test_halves_round_up_and_ties_go_low() -> None:
    assert [round_half_up(value) for value in (1.0, 1.5, 2.5, 4.4)] == [1, 2, 3, 4]
    assert majority([3, 1, 3, 1, 2]) == 1


def test_a_case_worked_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)]] * 3)
    # P(above 0) = 1/2; P(above 1 | above 0) = 3/4.
    assert distribution(logits)[0].tolist() == pytest.approx([0.5, 0.125, 0.375], abs=1e-7)
    loss = corn_loss(logits, torch.tensor([0, 1, 2]))
    assert float(loss) == pytest.approx(-(math.log(0.5) + math.log(0.125) + math.log(0.375)) / 3, rel=1e-6)
    assert predicted_index(torch.tensor([[0.0, 5.0], [0.1, -0.1], [3.0, 3.0]])).tolist() == [0, 1, 2]


@settings(max_examples=60, deadline=None)
@given(rows=LOGITS)
def test_any_logits_give_an_ordered_distribution(rows: list[list[float]]) -> None:
    logits = torch.tensor(rows)
    chances, above = distribution(logits), exceedance(logits)
    assert chances.shape == (len(rows), len(rows[0]) + 1)
    assert bool((chances >= 0).all()) and bool((above[:, 1:] <= above[:, :-1]).all())
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(len(rows), dtype=torch.float64), atol=1e-12, rtol=0)
    reached = chances.cumsum(dim=1)
    for index, total, row in zip(predicted_index(logits).tolist(), reached, chances, strict=True):
        assert float(total[index]) >= 0.5 - 1e-9 and float(total[index] - row[index]) <= 0.5 + 1e-9


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rows=LOGITS)
def test_the_loss_is_the_likelihood_and_the_papers_sum(data: st.DataObject, rows: list[list[float]]) -> None:
    logits = torch.tensor(rows, dtype=torch.float64).clamp(-15, 15)
    tasks = logits.shape[1]
    targets = torch.tensor(data.draw(st.lists(st.integers(0, tasks), min_size=len(rows), max_size=len(rows))))
    likelihood = distribution(logits).gather(1, targets[:, None]).log()
    torch.testing.assert_close(corn_loss(logits, targets), -likelihood.mean(), rtol=1e-4, atol=1e-6)
    total, seen = 0.0, 0
    for task in range(tasks):
        subset = targets >= task
        seen += int(subset.sum())
        above = (targets[subset] > task).double()
        total += float(binary_cross_entropy_with_logits(logits[subset, task], above, reduction="sum"))
    paper = total / seen
    assert float(corn_loss(logits, targets)) * len(rows) / seen == pytest.approx(paper, rel=1e-9, abs=1e-12)


def test_the_head_starts_at_the_label_distribution() -> None:
    counts = [100, 0, 300, 600]
    head = CornHead(8, 4).eval()
    head.start_at(counts)
    chances = distribution(head(torch.randn(5, 8)))
    wanted = torch.tensor([0.1, 0.0, 0.3, 0.6], dtype=torch.float64).expand(5, 4)
    torch.testing.assert_close(chances, wanted, atol=2e-3, rtol=0)
