"""The scorer on human labels: cross-validation on MRBench's tutor replies, beside what the majority label would give
and beside TF-IDF with logistic regression on the words of the reply.

Why: a scorer is worth its place only where it beats both on dialogues it has not seen. Folds keep a problem, and with
it a dialogue, on one side; intervals draw whole problems. The default kind `words` takes seconds. `--kind encoder`
reads the end of the history and the reply; its defaults are for two slow cores, where MiniLM with its lower half frozen
does five folds of 760 replies in about a quarter of an hour; a bigger machine can afford `--max-tokens 256
--frozen-layers 0 --epochs 10`.

Usage: `python benchmarks/scorer.py [DATA] [--label NAME]... [--kind KIND] [--json FILE] [--out DIR] [--save DIR]`.
Finished folds and epochs of an encoder are stored under `--out`, and the same call goes on from there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from agents.errors import InputError, TutorloopError, nearest
from agents.files import sha256
from agents.hardware import cores, describe
from agents.records import Dialogue
from trainers.data import folds, read_corpus
from trainers.scorer.fit import fit_scorer
from trainers.scorer.labels import THREE_STEPS, Levels
from trainers.scorer.metrics import LOWER_IS_BETTER
from trainers.scorer.scorer import write_json
from trainers.scorer.settings import Epoch, Example, ScorerSettings
from trainers.scorer.text import dialogue_text
from trainers.scorer.validate import VALIDATION_SHARE, cross_validate, hold_out

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("mrbench") / "mrbench_dev.json"
TWO_LEVELS = {"revealing_of_the_answer": Levels((0.0, 1.0))}
"""Labels without a middle; all others are No, To some extent, Yes (of the tone: Offensive, Neutral, Encouraging)."""
LABELS = {"Providing_Guidance": "guidance", "Actionability": "actionability"}
"""Labels that are tried unless others are named, with what they are called in the figures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Validates, prints the table, and trains a final scorer where one is asked for; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        _run(arguments)
    except TutorloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; finished folds and epochs are stored. The same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    where = f"the file, or the folder with {FILE}; by default $TUTORLOOP_TEST_DATA, else ../shared/data"
    parser.add_argument("data", nargs="?", type=Path, help=where)
    parser.add_argument("--label", action="append", help=f"which label, may be repeated; default {', '.join(LABELS)}")
    parser.add_argument("--kind", choices=("words", "encoder"), default="words", help="of scorer; default %(default)s")
    parser.add_argument("--limit", type=int, default=0, help="only about so many replies, spread over the file")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="at most so many; default %(default)s")
    parser.add_argument("--max-tokens", type=int, default=128, help="of a text, its end; default %(default)s")
    parser.add_argument("--frozen-layers", type=int, default=3, help="lowest ones, kept; default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of the encoder; default %(default)s")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--encoder", default="minilm", help="minilm, a folder or a hub name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(cores()), help="default: the cores of this process")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="receives settings, machine, date and all figures")
    kept = "keeps the folds; default, of an encoder, runs/scorer-LABEL-DATA in the repository (DATA: of its checksum)"
    parser.add_argument("--out", type=Path, help=kept)
    parser.add_argument("--save", type=Path, help="train a final scorer of one label on all replies into this folder")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    started, date = time.monotonic(), datetime.now(UTC)
    torch.set_num_threads(max(1, arguments.threads))
    labels = arguments.label or list(LABELS)
    if len(labels) > 1 and (arguments.save or arguments.out):
        raise InputError(f"--save and --out are for one label, and {len(labels)} are tried; name one with --label")
    print(f"{describe()}, {arguments.threads} threads", flush=True)
    reports, epochs = {}, 0
    for label in labels:
        reports[label], heard = _validate(label, arguments)
        epochs += heard
    result = {
        "date": date.isoformat(timespec="seconds"),
        "machine": describe(),
        "threads": arguments.threads,
        "device": arguments.device,
        "torch": str(torch.__version__),
        "seconds": round(time.monotonic() - started, 1),
        "epochs_in_this_call": epochs,
        "scorer": {LABELS.get(label, label.casefold()): summary(report) for label, report in reports.items()},
        "reports": reports,
    }
    print(f"{result['date']}; {result['seconds']} s with {epochs} epochs trained in this call", flush=True)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.json, result)


def _validate(label: str, arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Cross-validates on one label, prints its table; returns the report and how many epochs were trained."""
    path, name = data_file(arguments.data), label.casefold()
    dialogues = _spread(labelled(path, name), arguments.limit)
    examples = [Example(dialogue_text(each), rating, each.spec.item_id) for each, rating in dialogues]
    settings = _settings(arguments, name)
    corpus = f"MRBench ({path.name}): {label}"
    print(f"\n{corpus}; {_counted(examples, settings.levels)}", flush=True)
    progress = _Progress(arguments.folds, settings.epochs)
    placed = fold_of([dialogue for dialogue, _ in dialogues], arguments.folds, arguments.seed)
    with TemporaryDirectory() as passing:  # words take seconds, so there is nothing to go on with
        kept = Path(passing) if arguments.kind == "words" else ROOT / "runs" / f"scorer-{name}-{sha256(path)[:8]}"
        report = cross_validate(
            examples,
            settings,
            placed,
            arguments.out or kept,
            on_epoch=progress.tell,
            corpus=corpus,
            device=arguments.device,
        )
    print(table(report))
    if arguments.save:
        _save(examples, settings, arguments.save, corpus, arguments.device)
    return report, progress.heard


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """Returns quadratic kappa of scorer and baseline with the interval of their difference; None is not defined."""
    found = report["metrics"]["kappa"]
    over = found["over_baseline"]
    return {
        "kappa": found["scorer"]["value"],
        "baseline_kappa": found["baseline"]["value"],
        "difference": over["value"],
        "difference_ci95": None if over["low"] is None else [over["low"], over["high"]],
        "n": over["n"],
        "problems": over["clusters"],
    }


def data_file(given: Path | None) -> Path:
    """Returns the file to read: the one given, or the one in the folder given or in the default folder."""
    folder = given or Path(os.environ.get("TUTORLOOP_TEST_DATA") or ROOT.parent / "shared" / "data")
    return folder / FILE if folder.is_dir() else folder


def labelled(path: Path, label: str) -> list[tuple[Dialogue, float]]:
    """Returns each reply that has the label, with its score, in the order of the file.

    Raises:
        InputError: the file cannot be read, or no reply has the label.
    """
    found = read_corpus(path, "mrbench")
    for bad in found.bad:
        print(f"left out: row {bad.line}: {bad.reason}", file=sys.stderr)
    rated = [
        (dialogue, verdict.score)
        for dialogue in found.dialogues
        for verdict in dialogue.verdicts
        if verdict.name == label and verdict.score is not None
    ]
    if not rated:
        names = {verdict.name for dialogue in found.dialogues for verdict in dialogue.verdicts}
        raise InputError(f"No reply in {path} has a label {label!r}; {nearest(label, names)}")
    return rated


def fold_of(dialogues: Sequence[Dialogue], number: int, seed: int) -> list[int]:
    """Returns the fold of each dialogue, from 0; the dialogues of a problem share one."""
    parts = enumerate(folds(dialogues, number, seed))
    tested = {dialogue.id: fold for fold, (_, test) in parts for dialogue in test}
    return [tested[dialogue.id] for dialogue in dialogues]


def table(report: dict[str, Any]) -> str:
    """Returns the figures as lines: the scorer's, the majority's and the baseline's, with 95% intervals."""
    lines = [f"{'metric':<18}{'scorer':>23}{'majority':>23}{'TF-IDF':>23}{'over TF-IDF':>25}{'n':>6}{'groups':>8}"]
    for name, entry in report["metrics"].items():
        sign = "-" if name in LOWER_IS_BETTER else "+"
        n, groups = entry["scorer"]["n"], entry["scorer"]["clusters"]
        shown = [_figure(entry[part]) for part in ("scorer", "majority", "baseline", "over_baseline")]
        figures = f"{shown[0]:>23}{shown[1]:>23}{shown[2]:>23}{shown[3]:>25}"
        lines.append(f"{name + ' (' + sign + ')':<18}{figures}{n:>6}{groups:>8}")
    lines.append("(+) more is better, (-) less is better; intervals draw whole groups; '-' is not defined")
    if report["warning"]:
        lines.append(f"warning: {report['warning']}")
    return "\n".join(lines)


class _Progress:
    """Prints every epoch with the time that is left at most; epochs stored by an earlier call are passed over."""

    def __init__(self, folds: int, epochs: int) -> None:
        self.heard, self._seconds, self._folds, self._epochs = 0, 0.0, folds, epochs

    def tell(self, fold: int, epoch: Epoch) -> None:
        """Takes note of an epoch of a fold (from 0)."""
        self.heard += 1
        self._seconds += epoch.seconds
        left = (self._folds - fold) * self._epochs - epoch.number
        minutes = left * self._seconds / self.heard / 60
        print(
            f"fold {fold + 1}/{self._folds} epoch {epoch.number}/{self._epochs}: loss {epoch.train_loss:.3f}, "
            f"validation {epoch.validation_loss:.3f}{' (best)' if epoch.best else ''}, "
            f"exact {epoch.validation_exact:.3f}, {epoch.seconds:.0f} s; at most {minutes:.1f} min left",
            flush=True,
        )


def _settings(arguments: argparse.Namespace, label: str) -> ScorerSettings:
    return ScorerSettings(
        kind=arguments.kind,
        unit="reply",
        encoder=arguments.encoder,
        levels=TWO_LEVELS.get(label, THREE_STEPS),
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        max_tokens=arguments.max_tokens,
        frozen_layers=arguments.frozen_layers,
        seed=arguments.seed,
    )


def _spread(dialogues: list[tuple[Dialogue, float]], limit: int) -> list[tuple[Dialogue, float]]:
    """About `limit` of them, evenly spread, so that few are of one problem."""
    return dialogues[:: max(1, len(dialogues) // limit)][:limit] if limit > 0 else dialogues


def _counted(examples: Sequence[Example], levels: Levels) -> str:
    groups = Counter(example.group for example in examples)
    counts = levels.counts(example.rating for example in examples)
    shown = ", ".join(f"{level}: {count}" for level, count in counts.items())
    return f"{len(examples)} replies in {len(groups)} groups, the largest of {max(groups.values())}; labels {shown}"


def _figure(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.3f}, {estimate['high']:.3f}]"
    return f"{estimate['value']:.3f}{interval}"


def _save(examples: Sequence[Example], settings: ScorerSettings, out: Path, corpus: str, device: str) -> None:
    """Trains on all examples; those of some groups choose the epoch of an encoder, as in every fold."""
    if settings.kind == "words":
        result = fit_scorer(examples, [], settings, out, corpus=corpus)
        print(f"saved {result.folder}: trained on all {len(examples)}; judge it by the table above")
        return
    held = hold_out([example.group for example in examples], VALIDATION_SHARE, settings.seed)
    train = [example for example, out_of_it in zip(examples, held, strict=True) if not out_of_it]
    validation = [example for example, out_of_it in zip(examples, held, strict=True) if out_of_it]
    progress = _Progress(1, settings.epochs)
    result = fit_scorer(
        train, validation, settings, out, corpus=corpus, device=device, on_epoch=lambda epoch: progress.tell(0, epoch)
    )
    print(
        f"saved {result.folder}: trained on {len(train)}, epoch {result.best_epoch} of {len(result.epochs)} chosen on "
        f"{len(validation)}; judge it by the table above, not by these"
    )


if __name__ == "__main__":
    sys.exit(main())
