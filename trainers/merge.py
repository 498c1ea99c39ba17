"""Base plus adapter as one plain model folder, for engines that serve merged weights.

W + (alpha / r) B A is computed in float32 straight on the safetensors, shard by shard, without building a model, and
rounded once. In bfloat16 it is rounded up or down at random, so that the mean is exact: the base's weights lie on the
grid of the type, and rounding to nearest would take back every change of less than half a step (docs/performance.md,
"Serving in bfloat16"). The draw depends on the weight's name alone.

Invariant: every adapter matrix finds its weight or nothing is written; the folder appears whole. The base must be the
unquantised one: merging into a 4-bit copy would bake its rounding in.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from agents.errors import TrainerError
from agents.hardware import cores
from agents.hub import weight_files

_UNUSUAL = ("use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern")
_PREFIX = "base_model.model."
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".gguf")


def merge(base: Path, adapter: Path, out: Path, dtype: torch.dtype) -> None:
    """Writes the merged model.

    Args:
        base: unquantised Hugging Face folder, sharded or not, embeddings tied or not.
        adapter: PEFT LoRA folder trained on it.
        out: folder of the merged model; replaced if it exists.
        dtype: type of the written floating-point weights.

    Raises:
        TrainerError: a folder is incomplete, or the adapter is not plain LoRA on this base.
    """
    deltas = _factors(adapter)
    shards = weight_files(base)  # not every file: Mistral's folders hold the weights a second time, in another form
    if not shards:
        raise TrainerError(f"No safetensors in {base}. Save the model with save_pretrained first.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        left = set(deltas)
        for shard in shards:
            weights = dict(_merged(shard, deltas, left, dtype))
            save_file(weights, str(partial / shard.name), metadata={"format": "pt"})
        if left:
            raise TrainerError(
                f"{adapter} changes {len(left)} weights that {base} does not have, such as {sorted(left)[0]!r}. "
                "Merge into the base the adapter was trained on."
            )
        _copy_rest(base, partial, dtype)
        _replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _factors(adapter: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A and scaled B of every changed weight, in float32, by the base's name of the weight."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(str(adapter / "adapter_model.safetensors"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"{adapter} is not a complete PEFT adapter ({error}). Publish it again.") from error
    odd = [name for name in _UNUSUAL if config.get(name)]
    if config.get("bias", "none") != "none":
        odd.append("bias")
    others = [name for name in tensors if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if config.get("peft_type") != "LORA" or odd or others:
        raise TrainerError(
            f"{adapter} is not plain LoRA (type {config.get('peft_type')}, {odd + others[:3]}). Merge it with PEFT."
        )
    root = config["r"] ** 0.5 if config.get("use_rslora") else config["r"]
    scale = config["lora_alpha"] / root
    factors = {}
    for name, a in tensors.items():
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            b = tensors[stem + ".lora_B.weight"]
            factors[stem.removeprefix(_PREFIX) + ".weight"] = (a.float(), b.float() * scale)
    return factors


def _merged(
    shard: Path, deltas: dict[str, tuple[torch.Tensor, torch.Tensor]], left: set[str], dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """The shard's tensors with their deltas added; takes what it used out of `left`.

    A core works on a tensor of its own: where cores are busy, torch's threads spin while they wait for one another, and
    a merge took four times the processor time.
    """
    before = torch.get_num_threads()
    workers = ThreadPoolExecutor(len(cores()), initializer=torch.set_num_threads, initargs=(1,))
    try:
        with safe_open(str(shard), framework="pt") as file, workers:

            def one(name: str) -> tuple[str, torch.Tensor]:
                value = _with_delta(name, file.get_tensor(name), deltas, dtype)
                return name, value.to(dtype).contiguous() if value.is_floating_point() else value

            for name, value in workers.map(one, file.keys()):
                left.discard(name)
                yield name, value
    finally:
        torch.set_num_threads(before)


def _with_delta(
    name: str, value: torch.Tensor, deltas: dict[str, tuple[torch.Tensor, torch.Tensor]], dtype: torch.dtype
) -> torch.Tensor:
    if name not in deltas:
        return value
    a, b = deltas[name]
    if value.shape != (b.shape[0], a.shape[1]):
        raise TrainerError(
            f"{name} is {tuple(value.shape)} in the base and {(b.shape[0], a.shape[1])} in the adapter. "
            "Merge into the base the adapter was trained on."
        )
    value = torch.addmm(value.float(), b, a)
    return round_at_random(value, zlib.crc32(name.encode())) if dtype == torch.bfloat16 else value


def round_at_random(value: torch.Tensor, seed: int) -> torch.Tensor:
    """A float32 tensor in bfloat16, each element rounded up or down at random so that its mean is exact."""
    # bfloat16 is the upper half of float32: what the lower half holds is the chance that adding a number carries over.
    drawn = torch.randint(0, 2**16, value.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
    return ((value.contiguous().view(torch.int32) + drawn) >> 16).to(torch.int16).view(torch.bfloat16)


def _copy_rest(base: Path, out: Path, dtype: torch.dtype) -> None:
    """Copies config and tokenizer, and states the new type in the config."""
    for path in base.iterdir():
        if path.is_file() and not path.name.endswith(_WEIGHTS):
            shutil.copyfile(path, out / path.name)
    index = base / "model.safetensors.index.json"
    if index.is_file():
        shutil.copyfile(index, out / index.name)
    config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        raise TrainerError(f"{base} is quantised. Merge into the unquantised model it was made from.")
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtype).removeprefix("torch.")
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _replace(partial: Path, out: Path) -> None:
    """Moves the finished folder into place."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.rename(out, old)
    os.rename(partial, out)
    shutil.rmtree(old, ignore_errors=True)
