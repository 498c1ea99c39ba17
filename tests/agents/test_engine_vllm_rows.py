"""Rows of a continuation, computed in steps and beside others: each is its token's log-prob, and no other is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

pytestmark = pytest.mark.long
rows: Any = None
WORDS, WIDTH = 13, 6


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """vLLM, where it is used and not where tests are collected: loading it takes longer than these tests."""
    global rows
    rows = pytest.importorskip("agents.engines.vllm_rows")


@dataclass
class Asked:
    """A request as vLLM's model runner keeps it, with what this test wants to know of it."""

    prompt_token_ids: list[int]
    first: int | None
    num_computed_tokens: int
    states: torch.Tensor
    in_progress_prompt_logprobs_cpu: Any = None
    cached: int = field(init=False)

    def __post_init__(self) -> None:
        self.cached = self.num_computed_tokens

    @property
    def sampling_params(self) -> SimpleNamespace:
        return SimpleNamespace(extra_args=None if self.first is None else {rows.FIRST_ROW: self.first})


class Runner:
    """What the rows need of a model runner; `_get_prompt_logprobs_dict` notes what was left to vLLM."""

    def __init__(self, requests: dict[str, Asked], head: torch.Tensor) -> None:
        self.requests, self.widest, self.left = requests, 0, list[set[str]]()
        self.num_prompt_logprobs = dict.fromkeys(requests, 0)
        self.model = SimpleNamespace(compute_logits=lambda hidden: self._logits(hidden, head))

    def _logits(self, hidden: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        self.widest = max(self.widest, len(hidden))
        return hidden @ head

    def _get_prompt_logprobs_dict(self, hidden: torch.Tensor, scheduled: dict[str, int]) -> dict[str, Any]:
        self.left.append(set(self.num_prompt_logprobs))
        return {}

    def step(self, scheduled: dict[str, int]) -> dict[str, Any]:
        """One forward pass over the next tokens of some requests."""
        batch = [(self.requests[name], tokens) for name, tokens in scheduled.items()]
        starts = [sum(tokens for _, tokens in batch[:at]) for at in range(len(batch))]
        self.input_batch = SimpleNamespace(req_id_to_index={name: at for at, name in enumerate(scheduled)})
        self.query_start_loc = SimpleNamespace(np=starts)
        hidden = [one.states[one.num_computed_tokens : one.num_computed_tokens + tokens] for one, tokens in batch]
        found = self._get_prompt_logprobs_dict(torch.cat(hidden), scheduled)
        for one, tokens in batch:
            one.num_computed_tokens += tokens
        return found


@some.composite
def requests(draw: some.DrawFn) -> dict[str, Asked]:
    found = {}
    for at in range(draw(some.integers(1, 4))):
        length = draw(some.integers(2, 12))
        prompt = draw(some.lists(some.integers(0, WORDS - 1), min_size=length, max_size=length))
        first = draw(some.none() | some.integers(0, length - 2))
        states = torch.randn(length, WIDTH, generator=torch.Generator().manual_seed(draw(some.integers(0, 99))))
        found[str(at)] = Asked(prompt, first, draw(some.integers(0, length - 1)), states)
    return found


def runner(asked: dict[str, Asked], head: torch.Tensor) -> Runner:
    class Installed(Runner):
        """Its own class, so that nothing stays installed."""

    rows.install(Installed)
    return Installed(asked, head)


@settings(max_examples=150, deadline=None)
@given(asked=requests(), at_once=some.sampled_from([1, 3, 256]), data=some.data())
def test_every_named_row_is_its_tokens_logprob(asked: dict[str, Asked], at_once: int, data: some.DataObject) -> None:
    head = torch.randn(WIDTH, WORDS, generator=torch.Generator().manual_seed(7))
    it, found = runner(asked, head), dict[str, Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "AT_ONCE", at_once)
        while left := {n: len(a.prompt_token_ids) - a.num_computed_tokens for n, a in asked.items()}:
            unfinished = sorted(name for name, tokens in left.items() if tokens)
            if not unfinished:
                break
            names = data.draw(some.lists(some.sampled_from(unfinished), min_size=1, unique=True))
            new = it.step({name: data.draw(some.integers(1, left[name])) for name in names})
            assert not set(new) & set(found)
            found |= new
    named = {name for name, one in asked.items() if one.first is not None}
    assert set(found) == named
    assert set(it.num_prompt_logprobs) == set(asked) - named
    assert all(left <= set(asked) - named or not named for left in it.left)
    assert it.widest <= at_once
    for name in named:
        check(asked[name], found[name], head)


def check(one: Asked, found: Any, head: torch.Tensor) -> None:
    exact = (one.states.double() @ head.double()).log_softmax(-1)
    wanted = range(one.first or 0, len(one.prompt_token_ids) - 1)
    assert len(found.logprobs) == len(wanted)
    for at, row in enumerate(wanted):
        token = one.prompt_token_ids[row + 1]
        assert found.logprob_token_ids[at, 0] == (-1 if row < one.cached else token)
        if row >= one.cached:
            assert float(found.logprobs[at, 0]) == pytest.approx(float(exact[row, token]), abs=1e-5)


def test_nothing_is_computed_where_no_row_is_wanted_yet() -> None:
    asked = {"a": Asked(list(range(8)), 6, 0, torch.zeros(8, WIDTH))}
    it = runner(asked, torch.zeros(WIDTH, WORDS))
    assert it.step({"a": 5}) == {} and it.widest == 0
    (found,) = it.step({"a": 3}).values()
    assert it.widest == 1 and found.logprob_token_ids.tolist() == [[7]]
