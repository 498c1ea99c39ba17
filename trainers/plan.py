"""What is to be trained and what came of it, as plain data that goes through JSON and Ray unchanged."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from agents.errors import TrainerError
from trainers.trees import Tree, read_trees


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train; the fields and defaults of the config's `training` section, which documents them."""

    objective: Literal["dpo", "ipo", "simpo", "orpo", "sft"] = "dpo"
    beta: float = 0.1
    simpo_gamma: float = 0.5
    sft_weight: float = 0.5
    weighting: Literal["turn", "token"] = "turn"
    reasoning: bool = False
    """Whether pairs were made with the private reasoning before a reply; training reads trees of both kinds alike."""
    reward_gap: Literal["ignore", "weight", "offset"] = "ignore"
    margin: float = 0.5
    max_pairs_per_turn: int = 1
    max_alike: int = 0
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    epochs: int = 1
    rows_per_step: int = 4
    max_row_tokens: int = 1536
    pass_tokens: int = 2048
    attention: Literal["sdpa", "flex"] = "sdpa"
    patience: int = 0
    min_delta: float = 0.01
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    quantization: Literal["nf4", "none"] = "nf4"
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    workers: int = 1
    threads: int = 0
    gpus_per_worker: float = 0.0
    cpus_per_worker: float = 1.0
    checkpoint_steps: int = 8
    max_grad_norm: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """One training run. Paths are absolute, and on a cluster on storage that every node sees."""

    model_path: Path
    """The unquantised base model in Hugging Face form: a folder, or a name (`agents.models.is_a_name`; the only path
    that is not absolute), which becomes a folder on each node that trains: see `trainers.job.placed`."""
    trees_path: Path
    """JSONL of preference trees."""
    output: Path
    """Folder that receives `adapter/`, `steps.jsonl` and `checkpoint/`."""
    parent: Path | None
    """The adapter to continue; None trains a new one on the base."""
    seed: int
    settings: TrainSettings
    learner: str
    """Who learns; a label in logs and results, never a switch."""
    validation_path: Path | None = None
    """JSONL of trees that are not trained on; with them the adapter of the lowest validation loss is kept."""

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-able dict."""
        data = asdict(self)
        for name in ("model_path", "trees_path", "output"):
            data[name] = str(data[name])
        for name in ("parent", "validation_path"):
            data[name] = None if data[name] is None else str(data[name])
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainPlan:
        """Reads what `to_dict` wrote."""
        return cls(
            model_path=Path(data["model_path"]),
            trees_path=Path(data["trees_path"]),
            output=Path(data["output"]),
            parent=None if data["parent"] is None else Path(data["parent"]),
            seed=int(data["seed"]),
            settings=TrainSettings(**data["settings"]),
            learner=str(data["learner"]),
            validation_path=None if data["validation_path"] is None else Path(data["validation_path"]),
        )


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training run."""

    adapter: Path
    """PEFT folder of the trained adapter, with `proof.json` beside the weights."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """One entry per optimiser step: step, loss, margin, accuracy, tokens, seconds, learning_rate, grad_norm."""
    metrics: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-able dict."""
        return {"adapter": str(self.adapter), "steps": self.steps, "metrics": self.metrics}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainResult:
        """Reads what `to_dict` wrote."""
        return cls(Path(data["adapter"]), list(data["steps"]), dict(data["metrics"]))


def check_inputs(plan: TrainPlan) -> list[Tree]:
    """Returns the plan's trees after checking what can be checked without loading a model or torch.

    Raises:
        TrainerError: the model, the parent or the trees are missing, or there is nothing to train on.
    """
    if plan.model_path.is_absolute() and not (plan.model_path / "config.json").is_file():
        raise TrainerError(f"No model at {plan.model_path}: config.json is missing. Give a Hugging Face folder.")
    if plan.parent is not None and not (plan.parent / "adapter_config.json").is_file():
        raise TrainerError(f"No adapter at {plan.parent}: adapter_config.json is missing. Give a PEFT folder.")
    trees = read_trees(plan.trees_path)
    if plan.settings.attention == "flex" and plan.settings.gpus_per_worker <= 0:
        raise TrainerError("training.attention is 'flex', which trains on CUDA only. Set it to 'sdpa' on a CPU.")
    if plan.settings.patience and plan.validation_path is None:
        raise TrainerError(
            f"training.patience is {plan.settings.patience} but there is nothing to validate on. Set it to 0, or give "
            "validation data (data.validation)."
        )
    if plan.settings.objective != "sft" and not any(tree.pairs or tree.rival for tree in trees):
        raise TrainerError(
            f"{plan.trees_path} holds {len(trees)} trees and no pair. Lower training.margin, or sample more candidates."
        )
    return trees
