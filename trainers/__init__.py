"""Who learns: dialogues to training rows, QLoRA preference optimisation, and the registry of trained adapters."""
