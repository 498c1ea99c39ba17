"""What tutorloop adds to the process that computes for vLLM, which imports this module there (`worker_extension_cls`).

On a CPU the fused norms are entered before vLLM chooses kernels. And the process ends with the one that started it: by
itself it would wait for ever, with its memory, for a parent that was killed by -9. An engine over several GPUs imports
this in its workers only, so its core is not looked after.

Invariant: no process but one that `multiprocessing` started is made to end with its parent.
"""

from __future__ import annotations

from vllm import ir
from vllm.platforms import current_platform
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

from agents.engines import vllm_rows
from agents.engines.orphan import end_with_parent
from agents.engines.vllm_settings import OPS


class WorkerExtension:
    """What vLLM's worker can do besides."""

    def norm_providers(self) -> list[str]:
        """Of each operation in `OPS`, who provides the kernel that is tried first."""
        return [getattr(ir.ops, op)._priority_impls[0].provider for op in OPS]


end_with_parent()
vllm_rows.install(GPUModelRunner)
if current_platform.is_cpu():
    import agents.engines.vllm_cpu  # noqa: F401
