"""Cross-validation by group: every example is scored once, by a scorer that saw none of its group.

Invariant: a group is in one fold only. A fold's scorer is trained on other folds' groups; some of those, not the fold
itself, choose the epoch of an encoder. Majority and baseline learn from all of them. A fold that is finished is stored
and never done again, so a call that was cut off goes on.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agents.errors import TrainerError
from trainers.scorer.fit import fit_scorer, predictions
from trainers.scorer.metrics import Predictions, evaluate, unproven
from trainers.scorer.scorer import load_scorer, write_json
from trainers.scorer.settings import Epoch, Example, ScorerSettings, check_examples
from trainers.scorer.state import fingerprint

VALIDATION_SHARE = 0.15
"""Share of a fold's training examples that choose the epoch, as in the paper's 70/15/15 split."""


def cross_validate(
    examples: Sequence[Example],
    settings: ScorerSettings,
    folds: int | Sequence[int],
    out: Path,
    *,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    corpus: str = "",
    resamples: int = 1000,
    device: str = "cpu",
) -> dict[str, Any]:
    """Trains and judges one scorer per fold; returns the report that it also writes to `out/report.json`.

    Args:
        examples: to learn from and to be judged on; an empty group is a group of its own.
        settings: of every fold's scorer.
        folds: how many, from 2 to the number of groups; or the fold of each example, counted from 0.
        out: receives `fold-00.json` and so on with the out-of-fold predictions, and the report.
        on_epoch: told the fold (from 0) and the epoch.
        corpus: name of what the examples are from.
        resamples: draws of the bootstrap.
        device: where to compute.

    Returns:
        `n`, `groups`, `folds` (what each was trained on and how it went), `label_distribution`, `metrics` over the
        pooled out-of-fold predictions, `warning` (empty where the scorer beats its baseline), and `by_dimension` with
        the metrics of each dimension.

    Raises:
        TrainerError: too few groups, given folds that divide a group or leave a number out, examples that cannot be
            learned from, or `out` holds folds of another study.
    """
    check_examples(examples, settings.levels, "cross-validation", varied=True)
    named = [replace(example, group=example.group or f"row {row}") for row, example in enumerate(examples)]
    groups = [example.group for example in named]
    of_fold = assign_folds(groups, folds, settings.seed) if isinstance(folds, int) else _given_folds(groups, folds)
    mark = hashlib.sha256(f"{fingerprint(settings, named, ())}/{of_fold}".encode()).hexdigest()
    parts = []
    for fold in range(max(of_fold) + 1):

        def tell(epoch: Epoch, fold: int = fold) -> None:
            if on_epoch:
                on_epoch(fold, epoch)

        path = out / f"fold-{fold:02d}.json"
        part = _stored(path, mark)
        if part is None:
            part = _run_fold(fold, of_fold, named, settings, path.with_suffix(""), tell, corpus, device)
            write_json(path, part | {"fingerprint": mark})
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        parts.append(part)
    report = _report(named, settings, parts, corpus, resamples)
    write_json(out / "report.json", report)
    return report


def assign_folds(groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """Returns each row's fold: the largest groups first, each to the smallest fold, groups of one size in random order.

    Raises:
        TrainerError: fewer than 2 folds, or fewer groups than folds or than 3.
    """
    sizes = Counter(groups)
    if folds < 2 or len(sizes) < max(3, folds):
        raise TrainerError(
            f"{folds} folds of {len(sizes)} groups: give at least 2 folds, and at least 3 groups and as many as folds."
        )
    loads, of_group = [0] * folds, {}
    for group in sorted(_shuffled(sizes, seed), key=lambda group: -sizes[group]):
        fold = loads.index(min(loads))
        of_group[group] = fold
        loads[fold] += sizes[group]
    return [of_group[group] for group in groups]


def _given_folds(groups: Sequence[str], of_row: Sequence[int]) -> list[int]:
    if len(of_row) != len(groups):
        raise TrainerError(f"{len(of_row)} folds for {len(groups)} examples: give the fold of each example.")
    numbers = sorted(set(of_row))
    if len(numbers) < 2 or numbers != list(range(len(numbers))):
        raise TrainerError(f"The folds are numbered {numbers}: number at least 2 from 0 without a gap.")
    of_group: dict[str, int] = {}
    for group, fold in zip(groups, of_row, strict=True):
        if of_group.setdefault(group, fold) != fold:
            raise TrainerError(
                f"Group {group[:60]!r} is in folds {of_group[group]} and {fold}, so a scorer would be judged on what "
                "it learned from. Keep each group in one fold."
            )
    return list(of_row)


def hold_out(groups: Sequence[str], share: float, seed: int) -> list[bool]:
    """Returns which rows are held out: whole groups in random order until they have the share; never all groups."""
    sizes = Counter(groups)
    held: set[str] = set()
    for group in _shuffled(sizes, seed)[:-1]:
        if sum(sizes[name] for name in held) >= share * len(groups):
            break
        held.add(group)
    return [group in held for group in groups]


def _shuffled(groups: Counter[str], seed: int) -> list[str]:
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    return names


def _stored(path: Path, mark: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainerError(f"The fold {path} cannot be read ({error}). Delete it to do it again.") from error
    if part.get("fingerprint") != mark:
        raise TrainerError(f"{path} belongs to other examples, settings or folds. Validate into another folder.")
    return part


def _run_fold(
    fold: int,
    of_fold: Sequence[int],
    examples: Sequence[Example],
    settings: ScorerSettings,
    folder: Path,
    on_epoch: Callable[[Epoch], None],
    corpus: str,
    device: str,
) -> dict[str, Any]:
    tested = [row for row, number in enumerate(of_fold) if number == fold]
    rest = [example for example, number in zip(examples, of_fold, strict=True) if number != fold]
    held = hold_out([example.group for example in rest], VALIDATION_SHARE, settings.seed + fold)
    train = [example for example, out in zip(rest, held, strict=True) if not out]
    validation = [example for example, out in zip(rest, held, strict=True) if out]
    if settings.kind == "words":
        train, validation = rest, []
    fitted = fit_scorer(train, validation, settings, folder, on_epoch=on_epoch, corpus=corpus, device=device)
    scores = load_scorer(folder, device=device).score([examples[row].text for row in tested])
    judged = predictions([examples[row] for row in tested], scores, rest, settings)
    return {
        "fold": fold,
        "n_train": len(train),
        "n_validation": len(validation),
        "n_test": len(tested),
        "epochs": len(fitted.epochs),
        "best_epoch": fitted.best_epoch,
        "stop": fitted.stop,
        "tokens_dropped": sum(score.dropped_tokens for score in scores),
        "rows": tested,
        "predictions": asdict(judged),
    }


def _report(
    examples: Sequence[Example],
    settings: ScorerSettings,
    parts: Sequence[dict[str, Any]],
    corpus: str,
    resamples: int,
) -> dict[str, Any]:
    pooled = Predictions.join([Predictions(**part["predictions"]) for part in parts])
    rows = [row for part in parts for row in part["rows"]]
    dimensions = sorted({example.dimension for example in examples if example.dimension})

    def judge(wanted: Predictions) -> dict[str, Any]:
        return evaluate(wanted, settings.levels, resamples=resamples).to_dict()

    def of(dimension: str) -> Predictions:
        return pooled.rows([at for at, row in enumerate(rows) if examples[row].dimension == dimension])

    metrics = judge(pooled)["metrics"]
    return {
        "corpus": corpus,
        "n": len(examples),
        "groups": len({example.group for example in examples}),
        "label_distribution": settings.levels.counts(example.rating for example in examples),
        "settings": settings.to_dict(),
        "resamples": resamples,
        "folds": [
            {key: part[key] for key in part if key not in ("rows", "predictions", "fingerprint")} for part in parts
        ],
        "metrics": metrics,
        "warning": unproven(metrics),
        "by_dimension": {dimension: judge(of(dimension)) for dimension in dimensions},
    }
