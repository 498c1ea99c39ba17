"""What a token of a training pass costs in memory: the bytes autograd keeps, for models of 7 to 8 billion parameters.

Models of one and of two layers with random weights run forward on the CPU, in bfloat16 with LoRA as in training; the
difference is one layer's. Quantisation changes nothing of it: a frozen layer keeps no input. Nothing is measured on a
GPU, whose attention may keep a little less.

    python benchmarks/activations.py
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from trainers.model import PROJECTIONS

TOKENS = 128
SHAPES = {
    "Qwen2.5-7B": (28, {"hidden_size": 3584, "intermediate_size": 18944, "heads": 28, "kv": 4}),
    "Mistral-7B-v0.3, Llama-3.1-8B": (32, {"hidden_size": 4096, "intermediate_size": 14336, "heads": 32, "kv": 8}),
}


def kept_bytes(layers: int, shape: dict[str, int]) -> float:
    """Bytes per token that a forward pass keeps for the backward one, parameters not counted."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=shape["hidden_size"],
        intermediate_size=shape["intermediate_size"],
        num_hidden_layers=layers,
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv"],
    )
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")
    base: Any = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
    model: Any = get_peft_model(base.to(torch.bfloat16), lora).train()
    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        if (place := value.untyped_storage().data_ptr()) not in own:
            kept[place] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        hidden = model.get_base_model().model(torch.zeros((1, TOKENS), dtype=torch.long), use_cache=False)[0]
    assert hidden.requires_grad
    return sum(value.untyped_storage().nbytes() for value in kept.values()) / TOKENS


def main() -> None:
    """Prints megabytes a token."""
    for name, (layers, shape) in SHAPES.items():
        layer = kept_bytes(2, shape) - kept_bytes(1, shape)
        print(f"{name}: {layer / 1e3:.0f} kB a token and layer, {layers * layer / 1e6:.1f} MB a token")


if __name__ == "__main__":
    main()
