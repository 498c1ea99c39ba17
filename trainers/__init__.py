"""Who learns: dialogues to training rows, QLoRA preference optimisation, and the registry of trained adapters."""

import logging

# On a CPU with AVX512-BF16 it looks on a hub for a kernel that only inference uses, and warns that there is none.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
