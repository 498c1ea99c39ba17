"""A tiny real model, a byte tokenizer with a ChatML template, and dialogues to train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agents.engines.base import Message
from trainers.plan import TrainPlan, TrainSettings
from trainers.trees import Tree, TreePair, trees_to_jsonl

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
REWRITING = (
    "{% set place = namespace(last=-1) %}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% set place.last = loop.index0 %}{% endif %}{% endfor %}{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if loop.index0 == place.last %}{{ messages[0]['content'] + '\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Puts the system prompt before the last user message, so earlier turns change."""
LAST_USER = (
    "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}"
    "{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}"
    "{% for message in loop_messages %}{% if message['role'] == 'user' %}"
    "{% if loop.last and system_message is defined %}"
    "{{ '<|im_start|> ' + system_message + '\n\n' + message['content'] + '<|im_start|>' }}"
    "{% else %}{{ '<|im_start|> ' + message['content'] + '<|im_start|>' }}{% endif %}"
    "{% else %}{{ ' ' + message['content'] | trim + '<|im_end|>' }}{% endif %}{% endfor %}"
)
"""Mistral-7B-Instruct-v0.3's, as far as dialogues without tools go, with our marks for `[INST]`, `[/INST]` and `</s>`:
the system prompt is there only while the last message is the user's. Once answered it is gone."""

THINKING = (
    "{% set place = namespace(last=-1) %}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% set place.last = loop.index0 %}{% endif %}{% endfor %}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' and loop.index0 > place.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Gives the last reply an empty thought and earlier ones none, as Qwen3's does; the prompts stay."""

_ALTERNATE = (
    "{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
_SYSTEM_APART = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
)
_ASKED = "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
MISTRAL = (
    _SYSTEM_APART + _ALTERNATE + "{% if message['role'] == 'user' %}{{ '<|im_start|> ' }}"
    "{% if loop.last and system %}{{ system + '\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_start|>' }}{% else %}{{ ' ' + message['content'] | trim + '<|im_end|>' }}{% endif %}"
    "{% endfor %}"
)
"""Mistral's since v0.3: the user first, strict alternation, the system prompt before the last user message."""
MISTRAL_FIRST = (
    "{% set turns = messages %}"
    + _ALTERNATE
    + "{% if message['role'] == 'user' %}{{ '<|im_start|> ' + message['content'] + '<|im_start|>' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + '<|im_end|>' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
"""Mistral's first: no system prompt at all."""
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% set turns = messages %}"
    + _ALTERNATE
    + "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}{% endfor %}" + _ASKED
)
"""Gemma's to its second generation."""
GEMMA3 = (
    _SYSTEM_APART + _ALTERNATE + "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<|im_start|>' + role + '\n' }}"
    "{% if loop.first and system %}{{ system + '\n\n' }}{% endif %}{{ message['content'] | trim + '<|im_end|>\n' }}"
    "{% endfor %}" + _ASKED
)
"""Gemma's third: the system prompt stands in the first user message, by the template itself."""
LLAMA = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{{ '<|im_start|>system\n\nCutting Knowledge Date: December 2023\n\n' + system + '<|im_end|>' }}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n\n' + message['content'] | trim + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}" + TEMPLATE
)
DROPPING = TEMPLATE.replace("{{ '<|im_start|>'", "{% if message['role'] != 'system' %}{{ '<|im_start|>'", 1).replace(
    "{% endfor %}", "{% endif %}{% endfor %}", 1
)
"""Says nothing and drops the system prompt."""
DEAF = TEMPLATE.replace(" + message['content']", "", 1)
"""Drops what was said."""
CLOSING = TEMPLATE.replace("{% if add", "{% if not add_generation_prompt %}{{ '<|im_end|>' }}{% endif %}{% if add", 1)
"""Closes a finished dialogue with the end of sequence, which is also its end of turn."""
FORGETTING = TEMPLATE.replace("message['content']", "message['content'].split('</think>')[-1].lstrip()", 1)
"""Takes the thoughts out of all replies, as DeepSeek-R1's does."""
REMEMBERING = (
    "{% set place = namespace(last=-1) %}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% set place.last = loop.index0 %}{% endif %}{% endfor %}"
    + TEMPLATE.replace(
        "message['content']",
        "(message['content'].split('</think>')[-1] if loop.index0 < place.last else message['content'])",
        1,
    )
)
"""Takes them out of earlier replies and keeps the last one's, as Qwen3's does."""


def build_tokenizer(template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes and the two ChatML marks."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=template
    )


def build_model(seed: int = 0) -> LlamaForCausalLM:
    """A random 2-layer Llama in float32, with weights large enough for gradients to be worth comparing."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.1,
        pad_token_id=257,
        eos_token_id=257,
        bos_token_id=256,
    )
    return LlamaForCausalLM(config)


def build_spine(turns: int, *, words: str = "abc") -> tuple[Message, ...]:
    """A dialogue of `turns` learner replies with a system prompt."""
    messages = [Message(role="system", content=f"teach {words}")]
    for turn in range(turns):
        messages.append(Message(role="user", content=f"ask {words} {turn}"))
        messages.append(Message(role="assistant", content=f"said {turn} {words}"))
    return tuple(messages)


def make_tree(name: str, turns: int, *, leaf_chosen: Sequence[int] = (), words: str = "abc") -> Tree:
    """A tree with one pair per turn; at the turns in `leaf_chosen` the chosen reply was not the one said."""
    messages = build_spine(turns, words=words)
    pairs = []
    for turn in range(turns):
        place = 2 + 2 * turn
        leaf = turn in leaf_chosen
        chosen = f"good {turn}" if leaf else messages[place]["content"]
        rejected = f"no {turn}{words[:turn]}"
        pairs.append(TreePair(1 + 2 * turn, chosen, rejected, 1.0, place, not leaf))
    return Tree(name, messages, tuple(pairs))


def make_plan(model_path: Path, folder: Path, trees: Sequence[Tree], **settings: Any) -> TrainPlan:
    """A plan on the tiny model: float32, no dropout, small rank."""
    path = folder / "trees.jsonl"
    if not path.exists():
        trees_to_jsonl(trees, path)
    values: dict[str, Any] = {
        "quantization": "none",
        "dtype": "float32",
        "lora_rank": 4,
        "lora_alpha": 8,
        "rows_per_step": 2,
        "learning_rate": 1e-2,
        "workers": 0,
        "threads": 1,
    } | settings
    return TrainPlan(model_path, path, folder / "out", None, 7, TrainSettings(**values), "tutor")
