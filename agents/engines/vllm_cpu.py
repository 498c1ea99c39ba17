"""What vLLM 0.32 has for a CPU and does not use there by itself (docs/performance.md), entered where it computes.

Its CPU library has fused kernels of RMS norm, but its table of kernels names them for GPUs only, so a CPU runs the
plain PyTorch form: ten small operations where one is enough. And it has an attention that takes cache blocks of 16
tokens, which it does not say; `agents.engines.vllm_settings` decides where such blocks are used.

Invariant: the same function within the rounding of the type it computes in; what the kernels do not cover (no weight,
another type, an override of the size) goes to vLLM's own.
"""

import torch
import vllm.kernels  # noqa: F401  loads the CPU library
from torch import Tensor
from vllm import ir
from vllm.v1.attention.backend import MultipleOf
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

from agents.engines.vllm_settings import OPS, PROVIDER, SMALL_BLOCK

LANES = 8
"""The kernels take widths that are multiples of it."""
_PRESENT = all(hasattr(torch.ops._C, op) for op in OPS)
"""Not every processor's library has them."""

# No `from __future__ import annotations`: vLLM reads the types of these functions and compares them with its own.


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    """`x / sqrt(mean(x^2) + epsilon) * weight` over the last dimension."""
    out = torch.empty(x.shape, dtype=x.dtype)
    torch.ops._C.rms_norm(out, x, weight, epsilon)
    return out


def fused_add_rms_norm(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """The norm of `x + x_residual`, and that sum; both are written in place."""
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual


def _covers(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:
    alike = weight is not None and weight.dtype == x.dtype and x.is_contiguous()
    return _PRESENT and variance_size is None and alike and x.shape[-1] % LANES == 0


def _covers_both(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> bool:
    return _covers(x, weight, epsilon, variance_size) and x_residual.is_contiguous() and x_residual.dtype == x.dtype


def _block_sizes(kv_cache_spec: object = None) -> list[int | MultipleOf]:
    return [MultipleOf(SMALL_BLOCK)]


CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(_block_sizes)  # type: ignore[method-assign]
ir.ops.rms_norm.register_impl(PROVIDER, supports_args=_covers)(rms_norm)
ir.ops.fused_add_rms_norm.register_impl(PROVIDER, supports_args=_covers_both, inplace=True)(fused_add_rms_norm)
