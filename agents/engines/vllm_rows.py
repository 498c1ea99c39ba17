"""Scores of a continuation at the price of its own rows, in the process that computes for vLLM.

Asked for log-probs of a prompt, vLLM 0.32 makes a row as wide as the vocabulary for every prompt token it computes,
one request after the other. A score needs the rows of its continuation only. Here a request that names its first row
gets those, and the rows of all such requests of a step are computed together (docs/performance.md has what it gains).
Requests that name none are left to vLLM, and vLLM's second model runner, which it takes on GPUs, is not touched.

Invariant: the log-probs that vLLM would give for those rows, within its rounding; a row that was not computed, because
its token came out of the prefix cache, holds the token -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm.v1.outputs import LogprobsTensors

from agents.engines.vllm_scoring import FIRST_ROW

AT_ONCE = 256
"""Rows computed together; each takes six bytes of memory for every word of the vocabulary."""
Found = dict[str, LogprobsTensors | None]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one step computes of one request's rows: `rows[filled]` from `hidden[read]`, for `targets`."""

    rows: LogprobsTensors
    filled: slice
    read: slice
    targets: list[int]


def install(runner: type[Any]) -> None:
    """Has a model runner class of vLLM compute the named rows only."""
    whole: Callable[[Any, Tensor, Mapping[str, int]], Found] = runner._get_prompt_logprobs_dict

    def prompt_logprobs(self: Any, hidden: Tensor, scheduled: Mapping[str, int]) -> Found:
        asked: dict[str, int] = self.num_prompt_logprobs
        named = {name: count for name, count in asked.items() if _first_row(self.requests[name]) is not None}
        if not named:
            return whole(self, hidden, scheduled)
        self.num_prompt_logprobs = {name: count for name, count in asked.items() if name not in named}
        found = whole(self, hidden, scheduled)
        found |= _named_rows(self, named, hidden, scheduled)
        self.num_prompt_logprobs |= {name: count for name, count in named.items() if name not in found}
        return found

    runner._get_prompt_logprobs_dict = prompt_logprobs


def _first_row(request: Any) -> int | None:
    extra = request.sampling_params.extra_args if request.sampling_params else None
    return extra.get(FIRST_ROW) if extra else None


def _named_rows(runner: Any, named: Mapping[str, int], hidden: Tensor, scheduled: Mapping[str, int]) -> Found:
    """Fills the rows that this step computed; returns those of the prompts that are complete."""
    parts: list[_Part] = []
    found: Found = {}
    for name in named:
        if name in scheduled:  # else it was preempted
            request, at = runner.requests[name], runner.input_batch.req_id_to_index[name]
            part = _part(request, scheduled[name], int(runner.query_start_loc.np[at]))
            parts += [part] if part.targets else []
            if request.num_computed_tokens + scheduled[name] >= len(request.prompt_token_ids):
                found[name] = part.rows
                request.in_progress_prompt_logprobs_cpu = None
    if parts:
        _fill(runner.model.compute_logits, hidden, parts)
    return found


def _part(request: Any, tokens: int, offset: int) -> _Part:
    """A request's share of a step that computes `tokens` of it, which begin at row `offset` of the hidden states."""
    prompt, first = request.prompt_token_ids, _first_row(request) or 0
    rows = request.in_progress_prompt_logprobs_cpu
    if rows is None:
        rows = LogprobsTensors.empty_cpu(len(prompt) - 1 - first, 1)
        rows.logprob_token_ids.fill_(-1)
        rows.logprobs.fill_(0.0)
        rows.selected_token_ranks.fill_(0)
        request.in_progress_prompt_logprobs_cpu = rows
    computed = request.num_computed_tokens
    start = max(first, computed)
    end = max(start, min(computed + tokens, len(prompt) - 1))  # the last token of a prompt predicts none of it
    read = slice(offset + start - computed, offset + end - computed)
    return _Part(rows, slice(start - first, end - first), read, list(prompt[start + 1 : end + 1]))


def _fill(compute_logits: Callable[[Tensor], Tensor], hidden: Tensor, parts: list[_Part]) -> None:
    wanted = torch.cat([hidden[part.read] for part in parts])
    targets = torch.tensor([token for part in parts for token in part.targets], device=hidden.device)
    pieces = []
    for rows, ids in zip(torch.split(wanted, AT_ONCE), torch.split(targets, AT_ONCE), strict=True):
        logits = compute_logits(rows).float()
        pieces.append(logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(-1))
    logprobs, counts = torch.cat(pieces).cpu(), [len(part.targets) for part in parts]
    for part, piece in zip(parts, torch.split(logprobs, counts), strict=True):
        part.rows.logprobs[part.filled, 0] = piece
        part.rows.logprob_token_ids[part.filled, 0] = torch.tensor(part.targets, dtype=torch.int32)
