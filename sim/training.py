"""`tutorloop train`: training on stored dialogues or stored trees, outside the loop.

Invariant: the data is read, checked and written down before a model is loaded; the same command goes on after an
interruption.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.markup import escape

from agents.catalogue import KNOWN
from agents.errors import InputError
from agents.files import write_text
from agents.models import for_every_machine
from sim.cluster import cluster, runs_folder
from sim.config import Config
from sim.dataset import levels_of, prepare, rated_texts, rated_unit
from sim.progress import Teller
from sim.storage.files import locate
from sim.storage.lease import hold
from trainers.job import train
from trainers.plan import TrainPlan, TrainResult, TrainSettings
from trainers.trees import trees_to_jsonl


def train_on_data(config: Config, out: Path | None, parent: Path | None, teller: Teller) -> TrainResult:
    """Trains a tutor on the config's data; everything lands in the run folder, or in `out`.

    Raises:
        InputError: the data or the parent cannot be used.
    """
    folder = _out(config, out)
    prepared = prepare(config)
    with _held(folder, teller):
        _account(folder, prepared.facts, teller)
        trees_to_jsonl(prepared.train, folder / "trees.jsonl")
        validation = None
        if prepared.validation:
            validation = folder / "validation.jsonl"
            trees_to_jsonl(prepared.validation, validation)
        return _train(config, folder / "trees.jsonl", folder, parent, teller, validation)


def train_on_trees(config: Config, trees: Path, out: Path, parent: Path | None, teller: Teller) -> TrainResult:
    """Trains an adapter on a trees file and writes `result.json` beside it.

    Raises:
        InputError: the trees file or the parent is not there, or another process trains into the folder.
    """
    if not trees.is_file():
        raise InputError(f"no trees file {trees}; a loop writes them to RUN/training/round-0001/trees.jsonl")
    with _held(out, teller):
        return _train(config, trees, out, parent, teller, None)


@contextmanager
def _held(folder: Path, teller: Teller) -> Iterator[None]:
    """Makes this process the only one that writes a folder of training."""
    with hold(locate(folder), lambda text: teller.say(escape(text))):
        yield


def _train(
    config: Config, trees: Path, out: Path, parent: Path | None, teller: Teller, validation: Path | None
) -> TrainResult:
    if parent is not None and not (parent / "adapter_config.json").is_file():
        raise InputError(f"no adapter in {parent}: adapter_config.json is missing")
    training = config.training
    name = config.model_of(config.pool_of("tutor"))
    model = Path(for_every_machine(name))
    plan = TrainPlan(
        model,
        trees.absolute(),
        out.absolute(),
        parent.absolute() if parent else None,
        config.seed,
        TrainSettings(**training.model_dump()),
        "tutor",
        validation,
    )
    if name in KNOWN:
        write_text(out / "model.json", json.dumps({"name": name} | KNOWN[name].identity, indent=1))
    with cluster(config) if training.workers else nullcontext():
        result = train(
            plan,
            workers=training.workers,
            run_name=out.name,
            storage_path=str(out.absolute().parent / "ray"),
            cpus_per_worker=training.cpus_per_worker,
            gpus_per_worker=training.gpus_per_worker,
            on_step=lambda step: teller.say(_step(step)),
        )
    write_text(out / "result.json", json.dumps(result.to_dict(), indent=1))
    return result


def train_scorer(config: Config, out: Path | None, teller: Teller) -> tuple[dict[str, Any], Path]:
    """Trains a scorer on the config's data and measures it once on the test side; returns the figures and its folder.

    Raises:
        InputError: the data, the rating or the encoder cannot be used.
    """
    from trainers.scorer.fit import fit_scorer, predictions
    from trainers.scorer.metrics import evaluate, unproven
    from trainers.scorer.scorer import load_scorer
    from trainers.scorer.settings import ScorerSettings

    section = config.scorer
    if section is None:
        raise InputError("scorer: missing; a config of kind scorer needs the section")
    folder, device = _out(config, out), scorer_device(section.device)
    levels = levels_of(section)
    chosen = section.model_dump(exclude={"path", "rating", "levels", "dimension_tag", "device", "unit"})
    settings = ScorerSettings(**chosen, levels=levels, unit=rated_unit(config, section), seed=config.seed)
    texts = rated_texts(config, section)
    train, validation = texts.train, texts.validation
    if settings.kind == "words":  # no epoch is chosen, so nothing is kept back for it
        train, validation = [*train, *validation], []
    with _held(folder, teller):
        _account(folder, texts.facts, teller)
        result = fit_scorer(
            train,
            validation,
            settings,
            folder / "scorer",
            on_epoch=lambda epoch: teller.say(
                f"epoch {epoch.number}: validation loss {epoch.validation_loss:.3f}, exact {epoch.validation_exact:.2f}"
                f"{', best so far' if epoch.best else ''} ({epoch.seconds:.0f} s)"
            ),
            corpus=Path(texts.facts["path"]).name,
            device=device,
        )
        scores = load_scorer(result.folder, device=device).score([example.text for example in texts.test])
        judged = predictions(texts.test, scores, [*texts.train, *texts.validation], settings)
        report = evaluate(judged, levels).to_dict()
        report["warning"] = unproven(report["metrics"])
        write_text(folder / "report.json", json.dumps(report, indent=1))
        return report, result.folder


def scorer_device(wanted: str) -> str:
    """The torch device for `scorer.device`. Raises InputError for a GPU that is not there."""
    import torch

    found = torch.cuda.device_count()
    if wanted == "auto":
        return "cuda" if found else "cpu"
    if wanted != "cpu" and int(wanted.partition(":")[2] or 0) >= found:
        raise InputError(f"scorer.device: {wanted!r}, but torch finds {found} GPUs here; set it to auto or cpu")
    return wanted


def _out(config: Config, out: Path | None) -> Path:
    """Training writes checkpoints and weights, for which libraries want local files."""
    if out is not None:
        return out.absolute()
    runs = runs_folder(config)
    if runs.remote:
        raise InputError(
            f"run.folder: {runs} is not local; a config of kind {config.kind} needs --out with a local folder"
        )
    return (runs / config.name).local


def _account(folder: Path, facts: dict[str, Any], teller: Teller) -> None:
    write_text(folder / "data.json", json.dumps(facts, indent=1, ensure_ascii=False))
    bad = facts["bad_rows"]
    teller.say(
        f"{facts['path']}: {facts['dialogues']} dialogues; train {facts['train']}, validation {facts['validation']}"
    )
    if bad:
        first = bad[0]
        teller.say(
            f"{len(bad)} rows could not be read (first: line {first['line']}: {first['reason']}); all in data.json"
        )


def _step(step: dict[str, Any]) -> str:
    validated = f", validation loss {step['validation_loss']:.3f}" if "validation_loss" in step else ""
    return f"step {step['step']}: loss {step['loss']:.3f}{validated}"
