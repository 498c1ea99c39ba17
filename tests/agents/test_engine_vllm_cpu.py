"""The fused norms against float64: as near to it as vLLM's own, and only where they apply. Which blocks a CPU gets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from agents.engines.vllm_settings import cpu_block

pytestmark = pytest.mark.long
fused: Any = None
EPSILON = 1e-5
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """vLLM, where it is used and not where tests are collected: loading it takes longer than these tests."""
    global fused
    pytest.importorskip("vllm.ir")
    fused = pytest.importorskip("agents.engines.vllm_cpu")


def exact(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.double()
    return wide / (wide.pow(2).mean(-1, keepdim=True) + EPSILON).sqrt() * weight.double()


@settings(max_examples=40, deadline=None)
@given(
    rows=some.integers(1, 70),
    width=some.sampled_from([8, 64, 576, 1000]),
    name=some.sampled_from(sorted(TYPES)),
    seed=some.integers(0, 1000),
    scale=some.sampled_from([0.01, 1.0, 30.0]),
)
def test_the_fused_norms_are_the_norms(rows: int, width: int, name: str, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    kind = TYPES[name]
    x, residual = ((torch.randn(rows, width, generator=generator) * scale).to(kind) for _ in range(2))
    weight = torch.randn(width, generator=generator).to(kind)
    assert fused._covers(x, weight, EPSILON) and fused._covers_both(x, residual, weight, EPSILON)
    near = 4 * torch.finfo(kind).eps
    torch.testing.assert_close(fused.rms_norm(x, weight, EPSILON).double(), exact(x, weight), rtol=near, atol=near)
    whole = x.double() + residual.double()
    normed, added = fused.fused_add_rms_norm(x, residual, weight, EPSILON)
    torch.testing.assert_close(added.double(), whole, rtol=near, atol=near * scale)
    torch.testing.assert_close(normed.double(), exact(whole, weight), rtol=near, atol=near)


def test_what_they_do_not_cover_is_left_to_vllm() -> None:
    x, weight = torch.ones(2, 8, dtype=torch.bfloat16), torch.ones(8, dtype=torch.bfloat16)
    assert fused._covers(x, weight, EPSILON)
    assert not fused._covers(x, None, EPSILON)
    assert not fused._covers(x, weight.float(), EPSILON)
    assert not fused._covers(x, weight, EPSILON, 4)
    assert not fused._covers(torch.ones(8, 2, dtype=torch.bfloat16).T, weight, EPSILON)
    assert not fused._covers(torch.ones(2, 12), torch.ones(12), EPSILON)
    assert not fused._covers_both(x, x.float(), weight, EPSILON)


def test_small_blocks_are_for_cpus_with_avx512_and_without_amx() -> None:
    assert cpu_block(True, {"avx2", "avx512f", "avx512_bf16"}) == 16
    assert cpu_block(True, {"avx2", "avx512f", "amx_bf16"}) == 32  # its attention takes 32s
    assert cpu_block(True, {"avx2"}) == 32
    assert cpu_block(False, {"avx512f"}) == 32
