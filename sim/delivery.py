"""Delivery: a trained adapter goes live in the running engines, and it is proved that it did.

On a CPU the adapter is merged into the unquantised base and the engine reloads the merged weights in place; on a GPU
the engine loads the adapter under its version. Then the engine's log-probs of fixed token sequences are compared with
those the trainer wrote: they must agree with the new policy and show what training changed. A silent no-op sync, where
everything looks fine and the old policy keeps speaking, is the worst bug of such loops.

Invariant: `deliver` returns only when every replica was proved to serve the new policy; otherwise DeliveryError.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.errors import DeliveryError
from agents.hardware import serving_dtype
from agents.models import local_model
from sim.config import Config, PoolConfig
from sim.fleet.renewal import Put
from sim.pools import Pools

TOLERANCES = {"float32": 0.05, "half": 0.15}
"""By what the engine computes in. The embedded model is 0.04 from itself in bfloat16 (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The proof of a delivery. Differences are mean absolute nats per token."""

    version: str
    agreement: float
    """Between the trainer's log-probs of the new policy and the engine's; the worst replica."""
    changed: float
    """Between the trainer's log-probs of the old policy and the engine's; the least changed replica."""
    share: float
    """How much of what training changed the engine shows; 1 is all. Of the replica that is in most doubt."""
    share_error: float
    """Its standard error."""
    tolerance: float
    seconds: float
    """Drain, reload and cache reset in the live engine."""
    merge_seconds: float
    prove_seconds: float
    """Scoring the proof's sequences in the engine, and comparing."""

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the log-probs of all replicas say."""

    agreement: float
    changed: float
    share: float
    share_error: float


def judge_proof(proof: dict[str, Any], served: list[list[list[float]]], *, version: str, tolerance: float) -> Judged:
    """Agreement with the new policy and change from the old one; the worst replica's.

    A replica serves the new policy if it agrees within the tolerance and shows between half and one and a half of what
    training changed, and that with three standard errors to spare.

    Raises:
        DeliveryError: a replica does not serve the new policy, or that cannot be told.
    """
    from trainers.proof import compare, share_served

    agreement = max(compare(proof["new"], one) for one in served)
    changed = min(compare(proof["old"], one) for one in served)
    share, error = max((share_served(proof, one) for one in served), key=lambda found: _doubt(*found))
    if agreement <= tolerance and _doubt(share, error) < 0.5:  # so that a NaN is never a proof
        return Judged(agreement, changed, share, error)
    raise DeliveryError(
        f"{version} was delivered but the engine is not seen to serve it: its log-probs differ from the trainer's by "
        f"{agreement:.4f} nats a token (allowed {tolerance}), and it shows {share:.2f} of what training changed, "
        f"standard error {error:.2f} (must be 1 within 0.5, three errors included). The loop stops here; nothing was "
        f"promoted. If training changed very little, train longer; engines in float32 tell smaller changes"
    )


def _doubt(share: float, error: float) -> float:
    """How far from 1 a share may lie; infinite where it is no number."""
    far = abs(share - 1.0) + 3.0 * error
    return far if math.isfinite(far) else math.inf


@dataclass(frozen=True, slots=True)
class _Policy:
    """What is to be served, and how it gets into an engine."""

    base: str
    adapter: Path
    version: str
    scratch: Path
    """Where merged weights are written for as long as an engine reads them."""
    pool: PoolConfig
    tolerance: float

    @asynccontextmanager
    async def weights(self) -> AsyncIterator[tuple[str, float]]:
        """Merged weights on a CPU, with the seconds it took; on a GPU the adapter is all that is needed."""
        if self.pool.gpus > 0:
            yield "", 0.0
            return
        started = time.monotonic()
        out = self.scratch / f"{self.version.replace('/', '-')}-{uuid.uuid4().hex[:6]}"
        try:
            await asyncio.to_thread(_merge, self.pool, self.base, self.adapter, out)
            yield str(out), time.monotonic() - started
        finally:
            await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)

    @asynccontextmanager
    async def renewal(self) -> AsyncIterator[Put]:
        """Makes the policy ready; what it yields puts it on one engine and proves it, or raises DeliveryError."""
        async with self.weights() as (weights, _):

            async def put(actor: Any) -> None:
                await actor.deliver.remote(self.version, weights, str(self.adapter))
                proof = self.proof()
                self.judge(proof, [await actor.token_logprobs.remote(proof["sequences"])])

            yield put

    def proof(self) -> dict[str, Any]:
        """The trainer's log-probs of fixed sequences under the new and the old policy."""
        from trainers.proof import read_proof

        return read_proof(self.adapter)

    def judge(self, proof: dict[str, Any], served: list[list[list[float]]]) -> Judged:
        """See `judge_proof`."""
        return judge_proof(proof, served, version=self.version, tolerance=self.tolerance)


async def deliver(
    config: Config, pools: Pools, *, base: str, adapter: Path, version: str, scratch: Path, pool_name: str = ""
) -> Delivered:
    """Makes an adapter live on every replica of a tutor's pool and proves it.

    Args:
        config: the run's config.
        pools: the running pools; this one has its own engine by now.
        base: the unquantised base model: a folder, or a name (`agents.models.is_a_name`).
        adapter: PEFT folder with `proof.json` beside the weights.
        version: the adapter's name.
        scratch: where merged weights are written for as long as the engine reads them.
        pool_name: of the pool; empty: the one with the role `tutor`.

    Raises:
        DeliveryError: the engine does not serve what was delivered.
    """
    name = pool_name or config.pool_of("tutor")
    pool = config.pools[name]
    policy = _Policy(base, adapter, version, scratch, pool, config.loop.agreement_tolerance or _tolerance(pool))
    async with policy.weights() as (weights, merge_seconds):
        seconds = await pools.deliver(name, version, weights=weights, adapter=str(adapter), renewal=policy.renewal)
    begun = time.monotonic()
    proof = policy.proof()
    judged = policy.judge(proof, await pools.token_logprobs(name, proof["sequences"]))
    return Delivered(
        version,
        **asdict(judged),
        tolerance=policy.tolerance,
        seconds=seconds,
        merge_seconds=merge_seconds,
        prove_seconds=time.monotonic() - begun,
    )


def _tolerance(pool: PoolConfig) -> float:
    """Nats a token that an engine's own rounding may move log-probs."""
    return TOLERANCES["float32" if serving_dtype(pool.dtype, gpu=pool.gpus > 0) == "float32" else "half"]


def _merge(pool: PoolConfig, base: str, adapter: Path, out: Path) -> Path:
    import torch

    from trainers.merge import merge

    merge(local_model(base), adapter, out, getattr(torch, serving_dtype(pool.dtype, gpu=False)))
    return out
