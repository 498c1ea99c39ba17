"""The model that learns: a frozen base, in 4 bits or plain, with one trainable LoRA adapter.

Invariant: a quantised model never runs in eval mode. bitsandbytes repacks its weights in place there on CPUs with
AVX512-BF16, and the next training step silently loses gradients. So reference passes run in train mode, without grad
and with dropout at 0. Only scored positions meet the vocabulary matrix, which is a fifth of a small model.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from agents.errors import TrainerError
from trainers.attention import attending, layout
from trainers.plan import TrainSettings
from trainers.rows import Row

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CUDA_MARGIN = 1e-4
"""How far policy and reference may be apart before training on CUDA, where the sum over a reply's tokens is made by
atomic additions in any order. On a CPU the same numbers go through the same operations, and nothing is allowed."""
LOGITS_AT_ONCE = 2**26
"""Logits in memory at once: 256 MiB in float32."""


def compute_dtype(device: torch.device | str) -> torch.dtype:
    """The type to compute in: bfloat16 where the hardware has it, else float32 (a CPU without it is 30x slower)."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    flags = torch.cpu.get_capabilities()
    return torch.bfloat16 if flags.get("avx512_bf16") or flags.get("amx_bf16") else torch.float32


@dataclass(slots=True)
class Policy:
    """A base with a trainable adapter `default` and, where an adapter is continued, its frozen copy `reference`."""

    model: Any
    device: torch.device
    dtype: torch.dtype
    continues: bool
    flex: bool = False
    """Whether rows run through FlexAttention."""

    @property
    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The adapter's parameters by name, in a fixed order."""
        return {name: value for name, value in sorted(self.model.named_parameters()) if ".default." in name}

    def logprobs(self, row: Row) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed log-probability and token count of each reply of the row, with gradients."""
        return forward_logprobs(self.model, row, flex=self.flex)

    def reference_logprobs(self, row: Row) -> torch.Tensor:
        """Summed log-probability of each reply under the policy that training started from, shape [R]."""
        with self._as_reference():
            return forward_logprobs(self.model, row, flex=self.flex)[0]

    def check_start(self, row: Row) -> float:
        """Returns the largest difference between policy and reference on a row, which must be 0 before training.

        Raises:
            TrainerError: the reference is not the policy that training starts from.
        """
        with torch.no_grad(), _no_dropout(self.model):
            now = self.logprobs(row)[0]
        off = float((now - self.reference_logprobs(row)).abs().max())
        if not off <= (CUDA_MARGIN if now.is_cuda else 0.0):
            raise TrainerError(
                f"Before the first step the policy differs from its reference by {off:.3g} nats, so preferences would "
                "be measured against the wrong model. Check that the parent adapter belongs to this base model."
            )
        return off

    def save(self, folder: Path) -> None:
        """Writes the adapter as a PEFT folder, replacing one that is there."""
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self.model.save_pretrained(str(partial), selected_adapters=["default"])
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """No gradients and no dropout, yet in train mode, which a quantised model needs."""
        with torch.no_grad(), _no_dropout(self.model):
            yield

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        with torch.no_grad(), _no_dropout(self.model):
            try:
                if self.continues:
                    self.model.set_adapter("reference", inference_mode=True)
                    yield
                else:
                    with self.model.disable_adapter():
                        yield
            finally:
                if self.continues:
                    self.model.set_adapter("default")
                for value in self.trainable.values():
                    value.requires_grad_(True)


def load_policy(
    model_path: Path,
    *,
    settings: TrainSettings,
    parent: Path | None,
    reference: bool,
    device: torch.device | str = "cpu",
) -> Policy:
    """Loads a base, quantised as set, and puts a new or continued adapter on it.

    A new adapter's B matrices are 0, so the policy starts as the base; its reference is the base itself.

    Args:
        model_path: unquantised model in Hugging Face form.
        settings: rank, alpha, dropout, quantisation and dtype.
        parent: the adapter to continue, or None for a new one.
        reference: whether a continued adapter needs its frozen copy (preference objectives do).
        device: where to compute.

    Raises:
        TrainerError: the model is missing, of an unknown shape, or the parent does not fit the settings.
    """
    where = torch.device(device)
    dtype = compute_dtype(where) if settings.dtype == "auto" else getattr(torch, settings.dtype)
    base = _load_base(model_path, settings, where, dtype)
    _check_shape(base, settings)
    if parent is None:
        model: Any = get_peft_model(base, _lora(settings))
    else:
        model = _continue(base, parent, settings, reference)
    model.train()
    policy = Policy(model, where, dtype, continues=parent is not None and reference, flex=settings.attention == "flex")
    for name, value in model.named_parameters():
        value.requires_grad_(".default." in name)
    return policy


def forward_logprobs(
    model: Any, row: Row, *, flex: bool = False, logits_at_once: int = LOGITS_AT_ONCE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs a row and scores its replies.

    Args:
        model: a causal language model, wrapped by PEFT or not.
        row: what to run.
        flex: whether attention is FlexAttention (CUDA).
        logits_at_once: above so many the vocabulary pass is cut and recomputed in the backward pass.

    Returns:
        Summed log-probability (nats, float32) and number of scored tokens of each reply, both of shape [R].
    """
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    head = base.get_output_embeddings()
    device = base.get_input_embeddings().weight.device
    with attending(base):
        hidden = getattr(base, base.base_model_prefix)(
            input_ids=torch.tensor([row.tokens], device=device),
            position_ids=torch.tensor([row.positions], device=device),
            layout=layout(row, device, flex=flex),
            use_cache=False,
        ).last_hidden_state[0]
    sources = torch.tensor([source for reply in row.replies for source in reply.sources], device=device)
    targets = torch.tensor([target for reply in row.replies for target in reply.targets], device=device)
    lengths = torch.tensor([len(reply.targets) for reply in row.replies], device=device)
    owner = torch.repeat_interleave(torch.arange(len(row.replies), device=device), lengths)
    scores = _target_logprobs(head, hidden[sources], targets, logits_at_once)
    sums = torch.zeros(len(row.replies), device=device).index_add(0, owner, scores)
    return sums, lengths.to(sums.dtype)


def _target_logprobs(head: Any, hidden: torch.Tensor, targets: torch.Tensor, most: int) -> torch.Tensor:
    """Log-probability of each target from its hidden state, in pieces where the logits would be large."""
    size = max(1, most // head.weight.shape[0])
    if len(targets) <= size:
        return _picked(head, hidden, targets)
    pieces = zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    return torch.cat([checkpoint(_picked, head, states, wanted, use_reentrant=False) for states, wanted in pieces])


def _picked(head: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = _logits(head, hidden).float()
    picked: torch.Tensor = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
    return picked


def _logits(head: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The vocabulary pass, in float32 where this CPU only emulates the head's type: no policy of ours, which loads
    in the type that is computed, but any model that is given to `forward_logprobs`."""
    computed = head.weight.dtype in (compute_dtype("cpu"), torch.float32) or not head.weight.is_floating_point()
    if hidden.device.type != "cpu" or computed:
        return cast(torch.Tensor, head(hidden))
    bias = None if head.bias is None else head.bias.float()
    return functional.linear(hidden.float(), head.weight.float(), bias)


def _load_base(model_path: Path, settings: TrainSettings, device: torch.device, dtype: torch.dtype) -> Any:
    if not (model_path / "config.json").is_file():
        raise TrainerError(f"No model at {model_path}: config.json is missing. Give a Hugging Face folder.")
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa"}
    if settings.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": str(device)}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(str(model_path), local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainerError(f"The model at {model_path} does not load ({error}). Check the folder.") from error
    return model if settings.quantization == "nf4" else model.to(device)


def _check_shape(base: Any, settings: TrainSettings) -> None:
    """Refuses models whose log-probabilities would come out wrong here."""
    config = base.config
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, name, None) not in (None, 1.0, 1):
            raise TrainerError(f"{config.model_type} rescales its logits ({name}), which training does not do yet.")
    if getattr(config, "use_sliding_window", True) and (window := getattr(config, "sliding_window", None)):
        if window < settings.max_row_tokens:
            raise TrainerError(
                f"{config.model_type} attends to {window} tokens but max_row_tokens is {settings.max_row_tokens}. "
                f"Set training.max_row_tokens to at most {window}."
            )
    found = {name.rsplit(".", 1)[-1] for name, _ in base.named_modules()}
    if missing := [name for name in PROJECTIONS if name not in found]:
        raise TrainerError(f"{config.model_type} has no {', '.join(missing)}: only Llama-shaped models can be trained.")


def _lora(settings: TrainSettings) -> LoraConfig:
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(PROJECTIONS),
        bias="none",
        task_type="CAUSAL_LM",
    )


def _continue(base: Any, parent: Path, settings: TrainSettings, reference: bool) -> Any:
    if not (parent / "adapter_config.json").is_file():
        raise TrainerError(f"No adapter at {parent}: adapter_config.json is missing. Give a PEFT folder.")
    config = LoraConfig.from_pretrained(str(parent))
    if (config.r, config.lora_alpha) != (settings.lora_rank, settings.lora_alpha):
        raise TrainerError(
            f"The parent {parent} has rank {config.r} and alpha {config.lora_alpha}, the settings say "
            f"{settings.lora_rank} and {settings.lora_alpha}. A continued adapter keeps its shape: use the parent's."
        )
    config.lora_dropout = settings.lora_dropout
    model = PeftModel.from_pretrained(base, str(parent), adapter_name="default", is_trainable=True, config=config)
    if reference:
        model.load_adapter(str(parent), adapter_name="reference", is_trainable=False)
        model.set_adapter("default")
    return model


@contextmanager
def _no_dropout(model: Any) -> Iterator[None]:
    """Sets every dropout to 0 without leaving train mode."""
    modules = [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p]
    attentions = [module for module in model.modules() if getattr(module, "attention_dropout", None)]
    rates = [module.p for module in modules]
    weights = [module.attention_dropout for module in attentions]
    try:
        for module in modules:
            module.p = 0.0
        for module in attentions:
            module.attention_dropout = 0.0
        yield
    finally:
        for module, rate in zip(modules, rates, strict=True):
            module.p = rate
        for module, weight in zip(attentions, weights, strict=True):
            module.attention_dropout = weight
