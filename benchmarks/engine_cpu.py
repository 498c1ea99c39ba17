"""What the engine gains on a CPU by what `agents.engines.vllm_worker` adds to it, side by side with vLLM as it comes.

Two engines with the embedded model in one process, one tuned as tutorloop ships it and one not. They take turns (tuned
first in every other round) at conversations: 32 at once, three turns each, replies of at most 32 tokens; as they are,
and with a belief probe of four options after each turn. The figures are the medians over rounds of tuned over plain
written tokens per second. Beside them: the seconds of the first score after a start, how far the log-probs of real
text lie from those of the same weights in float32, and the prompt tokens that were computed.

`--sides block-32,block-16` compares blocks of the prefix cache instead, both tuned.

    python benchmarks/engine_cpu.py --json FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents.engines.base import Message, Sampling
from agents.engines.vllm import VLLMEngine
from agents.engines.vllm_settings import VLLMSettings
from agents.hardware import describe
from agents.models import ensure_embedded

CONVERSATIONS, TURNS, REPLY_TOKENS, OPTIONS = 32, 3, 32, 4
KINDS = ("unprobed", "probed")
TEXT_TOKENS, TEXTS = 160, 4
SIDES = {
    "plain": VLLMSettings("", kv_cache_gib=1.0, tuned=False),
    "tuned": VLLMSettings("", kv_cache_gib=1.0),
    "block-32": VLLMSettings("", kv_cache_gib=1.0, block=32),
    "block-16": VLLMSettings("", kv_cache_gib=1.0, block=16),
}
README = Path(__file__).parents[1] / "README.md"


async def start(side: str) -> tuple[VLLMEngine, dict[str, float]]:
    """An engine, the seconds of its start and of its first score."""
    settings = replace(SIDES[side], model=str(ensure_embedded()))
    begun = time.monotonic()
    engine = await VLLMEngine.start(settings)
    started = time.monotonic()
    await engine.token_logprobs([list(range(1000, 1048))])
    return engine, {"start_seconds": started - begun, "first_score_seconds": time.monotonic() - started}


async def leg(engine: VLLMEngine, seed: int, probed: bool, conversations: int = CONVERSATIONS) -> float:
    """Tokens a second, written ones only, from an empty prefix cache."""
    chance, words = random.Random(seed), README.read_text(encoding="utf-8").split()
    await engine.deliver("base", weights=str(ensure_embedded()))
    written, begun = 0, time.monotonic()

    async def hold() -> None:
        nonlocal written
        messages: list[Message] = [{"role": "system", "content": " ".join(chance.choices(words, k=120))}]
        said = [" ".join(chance.choices(words, k=25)) for _ in range(TURNS)]
        options = [" ".join(chance.choices(words, k=8)) for _ in range(OPTIONS)]
        for text in said:
            messages.append({"role": "user", "content": text})
            (reply,) = await engine.generate(messages, Sampling(max_tokens=REPLY_TOKENS, temperature=0.8))
            written += len(reply.token_ids)
            messages.append({"role": "assistant", "content": reply.text})
            if probed:
                await engine.score([*messages, {"role": "user", "content": "What do you think?"}], options)

    await asyncio.gather(*(hold() for _ in range(conversations)))
    return written / (time.monotonic() - begun)


def truth() -> tuple[list[list[int]], list[list[float]]]:
    """Pieces of real text, and the log-prob of each token but the first in float32."""
    folder = str(ensure_embedded())
    tokens = AutoTokenizer.from_pretrained(folder).encode(README.read_text(encoding="utf-8"))
    pieces = [tokens[at * TEXT_TOKENS : (at + 1) * TEXT_TOKENS] for at in range(TEXTS)]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    with torch.inference_mode():
        for piece in pieces:
            logprobs = model(torch.tensor([piece])).logits[0].log_softmax(-1)
            found.append([float(logprobs[at, token]) for at, token in enumerate(piece[1:])])
    return pieces, found


async def error(engine: VLLMEngine, pieces: list[list[int]], exact: list[list[float]]) -> float:
    """Mean absolute difference from float32, nats a token."""
    told = await engine.token_logprobs(pieces)
    return statistics.fmean(
        abs(one - other)
        for row, other_row in zip(told, exact, strict=True)
        for one, other in zip(row, other_row, strict=True)
    )


async def measure(rounds: int, sides: tuple[str, str]) -> dict[str, Any]:
    """Starts both sides, and lets them take turns."""
    pieces, exact = truth()
    engines, found = {}, {}
    for name in sides:
        engines[name], found[name] = await start(name)
        found[name]["logprob_error"] = await error(engines[name], pieces, exact)
        await leg(engines[name], 0, probed=True, conversations=8)
    rates: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in sides} for kind in KINDS}
    for at in range(rounds):
        for name in sides[:: -1 if at % 2 else 1]:
            for kind in KINDS:
                before = computed(engines[name])
                rates[kind][name].append(await leg(engines[name], at + 1, probed=kind == "probed"))
                found[name][f"prompt_tokens_computed_{kind}"] = computed(engines[name]) - before
                print(f"round {at + 1} of {rounds}: {name}, {kind}: {rates[kind][name][-1]:.0f} tokens/s", flush=True)
    for engine in engines.values():
        await engine.close()
    ratios = {
        kind: [b / a for a, b in zip(*(each[name] for name in sides), strict=True)] for kind, each in rates.items()
    }
    return {
        "second_over_first": {kind: statistics.median(each) for kind, each in ratios.items()},
        "ratios": {kind: [round(ratio, 3) for ratio in each] for kind, each in ratios.items()},
        "tokens_per_second": rates,
        **found,
    }


def computed(engine: VLLMEngine) -> float:
    """Prompt tokens that were not read from the cache, so far."""
    load = engine.load()
    return load.prompt_tokens - (load.cached_tokens or 0)


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--sides", default="plain,tuned", help="two of " + ", ".join(SIDES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sides = arguments.sides.split(",")
    if len(sides) != 2 or not set(sides) <= set(SIDES):
        parser.error(f"--sides takes two of {', '.join(SIDES)}, and got {arguments.sides!r}")
    found = asyncio.run(measure(arguments.rounds, (sides[0], sides[1])))
    found |= {"machine": describe(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
