"""ConvoLearn's presets load, and train as the paper says (section 7, appendix I)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.load import load_config
from trainers.model import PROJECTIONS, load_policy
from trainers.plan import TrainSettings

ROOT = Path(__file__).resolve().parents[2]
PRESETS = {
    "small": "smollm2-135m",
    "qwen": "Qwen/Qwen2.5-7B-Instruct",
    "mistral": "mistralai/Mistral-7B-Instruct-v0.3",
    "llama": "meta-llama/Llama-3.1-8B-Instruct",
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_paper_s(name: str, model_path: Path) -> None:
    data = f"data.path={ROOT / 'examples' / 'convolearn_style.jsonl'}"
    config = load_config(ROOT / "configs" / "training" / f"convolearn-{name}.yaml", (data,))
    assert config.model_of(config.pool_of("tutor")) == PRESETS[name]
    assert config.data is not None and (config.data.validation, config.data.format) == (0.15, "convolearn")
    training = config.training
    assert (training.objective, training.learning_rate, training.weight_decay) == ("sft", 1e-4, 0.01)
    assert (training.warmup, training.patience, training.min_delta, training.epochs) == (0.1, 3, 0.01, 5)

    settings = TrainSettings(**training.model_dump())
    policy = load_policy(model_path, settings=settings, parent=None, reference=False)
    lora = policy.model.peft_config["default"]
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.bias) == (16, 32, 0.1, "none")
    assert set(lora.target_modules) == set(PROJECTIONS) and len(PROJECTIONS) == 7
    quantised = policy.model.config.quantization_config
    assert quantised.load_in_4bit and quantised.bnb_4bit_quant_type == "nf4" and quantised.bnb_4bit_use_double_quant


@pytest.mark.parametrize("name", ["qwen", "mistral", "llama"])
def test_a_pass_of_a_large_preset_fits_on_forty_gigabytes(name: str) -> None:
    config = load_config(
        ROOT / "configs" / "training" / f"convolearn-{name}.yaml",
        (f"data.path={ROOT / 'examples' / 'convolearn_style.jsonl'}",),
    )
    kept, base_and_rest = 14.5e6, 8e9  # bytes a token (benchmarks/activations.py); NF4 base, vocabulary pass, CUDA
    for tokens in (config.training.max_row_tokens, config.training.pass_tokens):  # a long row is a pass of its own
        assert tokens * kept + base_and_rest < 40e9
    assert config.training.gpus_per_worker == 1.0
