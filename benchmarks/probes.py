"""Belief probes against negative controls: what each form hears of a lesson, by model.

Why: a belief that rises as much when an answer is denied as when it is asserted is an echo of words. Every form of
`agents/probes.py` is measured on at least 20 items against denial, shuffled words, small talk, an asserted
misconception, a paraphrase and a real explanation (`sim/probe_check.py`), as `tutorloop check --probes` does; here for
several models in one file. Intervals are over items.

Usage: `python benchmarks/probes.py --json FILE [--model NAME ...] [--form NAME ...]`. A missing model is named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from agents.errors import InputError
from agents.hardware import describe
from agents.models import resolve_model
from agents.probes import FORMS
from sim.belief import ProbeCheck
from sim.config import Config, PoolConfig
from sim.engines import make_engine
from sim.probe_check import check_items, judged, measure_forms, said, table

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
"""The models that this project can get by itself; the second only after `tutorloop model add`."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measures every form of belief probe on some models.")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--model", action="append", help=f"a model's name; default {', '.join(MODELS)}")
    parser.add_argument("--form", action="append", choices=FORMS, help="this form alone; may be given again")
    asked = parser.parse_args(argv)
    found: dict[str, object] = {}
    for model in asked.model or MODELS:
        try:
            folder = resolve_model(model)
        except InputError as error:
            found[model] = {"not_measured": str(error)}
            print(f"{model}: not measured: {error}", file=sys.stderr)
            continue
        check = measured(model, folder, asked.form or FORMS)
        Console(width=200).print(table(check))
        print("\n".join(said(check)))
        forms = {one.form: {**asdict(one)["gains"], "fails": one.fails} for one in check.forms}
        found[model] = {**forms, "items": check.items, "chosen": check.chosen}
    result = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe(), "probe": found}
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def measured(model: str, folder: str, forms: Sequence[str]) -> ProbeCheck:
    """Some forms on one model."""
    config = Config(name="probes", seed=7, model=model)
    items = check_items(config)

    async def measure() -> ProbeCheck:
        engine = await make_engine(PoolConfig(), folder)
        try:
            rows = await measure_forms(engine, items, seed=config.seed, forms=forms)
        finally:
            await engine.close()
        heard, chosen = judged(rows)
        return ProbeCheck(model, "en", len(items), heard, chosen, "python benchmarks/probes.py", "", "")

    return asyncio.run(measure())


if __name__ == "__main__":
    sys.exit(main())
