"""From a config's `data` section to what is trained on: trees for a tutor, rated texts for a scorer.

Invariant: every dialogue of the file is trained on, validated on, or counted with the reason why not; openings (or
problems, or sessions) are never on two sides of a split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agents.errors import InputError, nearest
from agents.records import Dialogue
from sim.config import Config
from sim.config_training import DataConfig, ScorerConfig
from trainers.data import (
    Corpus,
    contrasts_counted,
    preference_trees,
    rating,
    read_corpus,
    select_quality,
    split_corpus,
    to_tree,
    tutor_system_for,
)
from trainers.scorer.labels import Levels
from trainers.scorer.settings import Example
from trainers.scorer.text import Unit, dialogue_text
from trainers.trees import Tree, count_reasons

Sides = tuple[Sequence[Dialogue], Sequence[Dialogue]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is trained and validated on, and the account of the data."""

    train: list[Tree]
    validation: list[Tree]
    facts: dict[str, Any]


def data_of(config: Config) -> DataConfig:
    """The data section. Raises InputError when there is none."""
    if config.data is None:
        raise InputError("data: missing; say which file to train on, or give preference trees on the command line")
    return config.data


def prepare(config: Config) -> Prepared:
    """Reads, selects, splits and renders the data of a `train` config.

    Raises:
        InputError: the file cannot be read, or nothing in it can be used as asked.
    """
    data = data_of(config)
    corpus = read_corpus(Path(data.path), data.format)
    kept, left_out = _select(corpus, data)
    sides: Sides = split_corpus(kept, test=data.validation, seed=config.seed) if data.validation else (kept, ())
    made = [_trees(side, data) for side in sides]
    facts = _facts(corpus, data) | {
        "left_out": dict(left_out),
        "train": {"dialogues": len(sides[0]), **made[0][1]},
        "validation": {"dialogues": len(sides[1]), **made[1][1]},
    }
    if not made[0][0]:
        raise InputError(f"{data.path}: nothing to train on with data.use {data.use!r}: {facts['train']}")
    if data.validation and not made[1][0]:
        raise InputError(f"{data.path}: nothing to validate on with data.use {data.use!r}: {facts['validation']}")
    return Prepared(made[0][0], made[1][0], facts)


def weight_of(score: float | None, weights: dict[float, float]) -> float:
    """The weight of a rating: that of the highest key at or below it, else 1; unrated dialogues weigh 1."""
    reached = [key for key in weights if score is not None and key <= score]
    return weights[max(reached)] if reached else 1.0


def _select(corpus: Corpus, data: DataConfig) -> tuple[list[Dialogue], Counter[str]]:
    if not data.min_effectiveness and not data.min_completeness:
        return list(corpus.dialogues), Counter()
    kept, left_out = select_quality(corpus.dialogues, data.min_effectiveness, data.min_completeness)
    if not kept:
        raise InputError(
            f"{data.path}: none of {len(corpus.dialogues)} dialogues has effectiveness of {data.min_effectiveness} and "
            f"completeness of {data.min_completeness} or more ({dict(left_out)}); lower data.min_effectiveness"
        )
    return kept, left_out


def _trees(dialogues: Sequence[Dialogue], data: DataConfig) -> tuple[list[Tree], dict[str, Any]]:
    """The trees of one side, and their account."""
    if data.use == "sft":
        trees = [_tree(dialogue, data) for dialogue in dialogues]
        weights = Counter(tree.weight for tree in trees)
        return trees, {"weights": {f"{weight:g}": count for weight, count in sorted(weights.items())}}
    found, unused = contrasts_counted(dialogues, min_gap=data.min_gap, max_per_group=data.max_per_opening)
    trees = [
        replace(_tree(one.chosen, data), rival=_tree(one.rejected, data).messages, rival_gap=one.gap) for one in found
    ]
    alternatives, refused = preference_trees(dialogues, condition_on_dimension=data.condition_on_dimension)
    account = {
        "contrasts": len(found),
        "not_contrasted": dict(unused),
        "pairs": sum(len(tree.pairs) for tree in alternatives),
        "not_paired": count_reasons(refused) if alternatives else {},
    }
    return trees + alternatives, account


def _tree(dialogue: Dialogue, data: DataConfig) -> Tree:
    tree = to_tree(dialogue, tutor_system_for(dialogue, data.condition_on_dimension))
    return replace(tree, weight=weight_of(rating(dialogue, "effectiveness"), data.rating_weights))


def _facts(corpus: Corpus, data: DataConfig) -> dict[str, Any]:
    return {
        "path": data.path,
        "format": data.format,
        "dialogues": len(corpus.dialogues),
        "notes": corpus.notes,
        "bad_rows": [asdict(row) for row in corpus.bad],
    }


@dataclass(frozen=True, slots=True)
class RatedTexts:
    """Examples for a scorer: to learn from, to choose the epoch by, and to be measured on once."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    facts: dict[str, Any]


def rated_texts(config: Config, scorer: ScorerConfig) -> RatedTexts:
    """Reads and splits the data of a `scorer` config; `data.validation` is the share of each of the two held-out sides.

    Raises:
        InputError: the file cannot be read, or no dialogue has that rating.
    """
    data = data_of(config)
    corpus = read_corpus(Path(data.path), data.format)
    rated = [dialogue for dialogue in corpus.dialogues if _rated(dialogue, scorer.rating) is not None]
    if not rated:
        names = {verdict.name for dialogue in corpus.dialogues for verdict in dialogue.verdicts}
        raise InputError(
            f"scorer.rating: no dialogue of {data.path} has {scorer.rating!r}; {nearest(scorer.rating, names)}"
        )
    rest, test = split_corpus(rated, test=data.validation, seed=config.seed)
    train, validation = split_corpus(rest, test=data.validation / (1.0 - data.validation), seed=config.seed)
    sides = {"train": train, "validation": validation, "test": test}
    examples = {name: [_example(dialogue, scorer) for dialogue in side] for name, side in sides.items()}
    facts = _facts(corpus, data) | {
        "unrated": len(corpus.dialogues) - len(rated),
        **{name: len(side) for name, side in sides.items()},
    }
    return RatedTexts(examples["train"], examples["validation"], examples["test"], facts)


def rated_unit(config: Config, scorer: ScorerConfig) -> Unit:
    """What was rated: as the config says, else what the format's people rated."""
    return scorer.unit or ("reply" if data_of(config).format == "mrbench" else "dialogue")


def levels_of(scorer: ScorerConfig) -> Levels:
    """The rating's levels. Raises InputError when they are not in order."""
    return Levels(scorer.levels)


def _rated(dialogue: Dialogue, name: str) -> float | None:
    found = (verdict for verdict in reversed(dialogue.verdicts) if verdict.name == name and verdict.kind != "invalid")
    return next((verdict.score for verdict in found), None)


def _example(dialogue: Dialogue, scorer: ScorerConfig) -> Example:
    score = _rated(dialogue, scorer.rating)
    assert score is not None
    text = dialogue_text(dialogue, scorer.dimension_tag)
    return Example(text, score, dialogue.spec.item_id, dialogue.spec.dimension)
