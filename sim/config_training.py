"""The parts of a config that say what is trained, on what and how.

Invariant: as for `Config`; the training section is `trainers.plan.TrainSettings`, field by field, which a test checks.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.section import Fraction, Positive, Section

Weight = Annotated[float, Field(gt=0.0)]


class TrainingConfig(Section):
    """QLoRA fine-tuning: supervised, or by preferences."""

    objective: Literal["dpo", "ipo", "simpo", "orpo", "sft"] = "dpo"
    """`simpo` and `orpo` need no reference. docs/training.md gives the formulas."""
    beta: Annotated[float, Field(gt=0.0)] = 0.1
    """How strongly the policy is held to the reference (`dpo`, `ipo`), or the weight of the preference (`simpo`,
    `orpo`). Usual: 0.1; `simpo` 2.0."""
    simpo_gamma: Annotated[float, Field(ge=0.0)] = 0.5
    """The margin that `simpo` asks for."""
    sft_weight: Annotated[float, Field(ge=0.0)] = 0.5
    """Weight of the chosen reply's mean negative log-likelihood beside the preference; `orpo` has its own."""
    weighting: Literal["turn", "token"] = "turn"
    """Whether every turn (or pair) counts the same, or every scored token."""
    reasoning: bool = False
    """Of a loop's pairs: learn the private reasoning (`<think>`) before a reply too; by default only what was said."""
    reward_gap: Literal["ignore", "weight", "offset"] = "ignore"
    """What the reward difference of a pair does: nothing, weigh the pair, or (`dpo`) be asked for as a margin."""
    margin: Annotated[float, Field(ge=0.0)] = 0.5
    """Smallest reward difference that makes a pair."""
    max_pairs_per_turn: Positive = 1
    max_alike: Annotated[int, Field(ge=0)] = 0
    """Of a loop's pairs: most turns of a round whose chosen replies begin with the same two words, so that a tutor does
    not learn a template; the best reply that begins otherwise is chosen then. 0: any number."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    warmup: Fraction = 0.1
    epochs: Positive = 1
    rows_per_step: Positive = 4
    """Dialogues whose gradients make one optimiser step."""
    max_row_tokens: Positive = 1536
    """Longest row; what does not fit is dropped from the end of a dialogue, and counted."""
    pass_tokens: Annotated[int, Field(ge=0)] = 2048
    """Rows of a step run together in passes of at most so many tokens; 0 runs each alone. Changes speed only."""
    attention: Literal["sdpa", "flex"] = "sdpa"
    """`flex`: FlexAttention, on CUDA only."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a lower validation loss before training stops; 0 never stops. Needs validation data."""
    min_delta: Annotated[float, Field(ge=0.0)] = 0.01
    """What counts as lower."""
    lora_rank: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Fraction = 0.0
    quantization: Literal["nf4", "none"] = "nf4"
    """`nf4`: QLoRA with double quantisation. `none` is faster on a CPU."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """What the base computes in; adapters are float32 always. `auto`: bfloat16 where the hardware multiplies in it."""
    workers: Annotated[int, Field(ge=0)] = 1
    """Ray Train workers; 0 trains in the calling process."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Torch threads per CPU worker; 0: the machine's cores over the workers."""
    gpus_per_worker: Annotated[float, Field(ge=0.0)] = 0.0
    cpus_per_worker: Annotated[float, Field(gt=0.0)] = 1.0
    checkpoint_steps: Positive = 8
    """Optimiser steps between checkpoints."""
    max_grad_norm: Annotated[float, Field(gt=0.0)] = 1.0


class DataConfig(Section):
    """Stored dialogues to train on, with `tutorloop train`."""

    path: str
    """A file; relative to the working directory."""
    format: Literal["convolearn", "mathdial", "bridge", "mrbench", "jsonl"] = "jsonl"
    use: Literal["sft", "contrast"] = "sft"
    """`sft`: every tutor turn is a target. `contrast`: better rated dialogues against worse ones on the same
    opening. A corpus whose turns carry rated alternatives (`bridge`) also gives preference pairs to `contrast`."""
    min_effectiveness: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0
    """Dialogues rated lower are left out, and counted; so are unrated ones when this is above 0."""
    min_completeness: Annotated[float, Field(ge=0.0, le=3.0)] = 0.0
    rating_weights: dict[float, Weight] = {5.0: 2.0}
    """Weight of a dialogue's turns in the loss by rating: that of the highest key at or below it, else 1. ConvoLearn
    weighs the rating 5 heavier without saying how much; 2 is ours."""
    condition_on_dimension: bool = False
    """Whether the system prompt names the dimension the dialogue was written for."""
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Share of the dialogues kept for validation: grouped by opening, stratified by dimension."""
    min_gap: Annotated[float, Field(gt=0.0)] = 1.0
    """Smallest difference in rating that makes a contrast."""
    max_per_opening: Positive = 8
    """Most contrasts of one opening."""


ENCODER_KEYS = (
    "encoder",
    "epochs",
    "patience",
    "learning_rate",
    "head_learning_rate",
    "precision",
    "device",
    "batch_size",
    "max_tokens",
    "window_stride",
    "frozen_layers",
)
"""Keys of `scorer` that only decide something where `kind` is `encoder`."""


class ScorerConfig(Section):
    """The ordinal scorer: a trained one as a judge (`path`), or how to train one (`kind: scorer`)."""

    path: str = ""
    """Folder of a trained scorer; set, it judges every dialogue of a run and its score is reported as `quality`."""
    rating: str = "effectiveness"
    """Which rating of the data it learns: ConvoLearn's `effectiveness`, or an MRBench dimension."""
    levels: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
    """The values a rating may take."""
    kind: Literal["words", "encoder"] = "words"
    """`words`: words and form of what the tutor says, in a second; `encoder`: a trained one, by the keys below."""
    unit: Literal["dialogue", "reply"] | None = None
    """What was rated: all that the tutor says, or its last turn. null: `reply` for MRBench, else `dialogue`."""
    encoder: str = "minilm"
    """The embedded `minilm`, a folder, or a hub name such as `roberta-base` (ConvoLearn's)."""
    epochs: Positive = 10
    patience: Positive = 3
    learning_rate: Annotated[float, Field(gt=0.0)] = 2e-5
    """Peak rate of the encoder."""
    head_learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    """Peak rate of the head, which starts from nothing."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the encoder's computation; weights and loss are float32 always. `bfloat16` is for GPUs."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Where it is trained: `cpu`, `cuda`, `cuda:1`; `auto`: the first GPU of this machine, else the CPU."""
    batch_size: Positive = 8
    max_tokens: Positive = 256
    window_stride: Annotated[int, Field(ge=0)] = 0
    """0 keeps the end of a text that is too long; else tokens between the starts of its windows."""
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    """Lowest encoder layers that stay as they are, for small machines."""
    dimension_tag: bool = False
    """Whether the text begins with the dimension."""
