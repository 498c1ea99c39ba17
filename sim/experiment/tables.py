"""The tables of an experiment: tutors, comparisons with the baseline, mixed models, persona by tutor.

Invariant: a comparison without evidence stands in its table with n 0 and a note; it is not left out and not a zero. A
tutor that was given up, or whose cells are too few (`sim.stats.ranks.rankable`), has no rank, and takes no cells away
from the others' ranks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.experiment.measured import Measured, as_figure, differences, figure, grouped, precision, unmeasured
from sim.experiment.metrics import Metric
from sim.stats.equivalence import no_worse
from sim.stats.family import holm
from sim.stats.mixed import MixedResult, TutorEffect, mixed_model
from sim.stats.paired import too_few
from sim.stats.ranks import rank_table, rankable

MIXED_ITEMS = 300
"""Most items that a mixed model is fitted on here: its time grows with their cube, and every measure has one."""


def tutors(
    config: Config,
    sample: Sequence[Measured],
    dialogues: Sequence[Dialogue],
    planned: Sequence[EpisodeSpec],
    family: Sequence[str],
    known: Mapping[str, Metric],
    given_up: Mapping[str, str],
) -> list[dict[str, Any]]:
    """One row per tutor."""
    by_tutor = grouped(sample, lambda spec: spec.tutor_name)
    failed = _failed(dialogues)
    ranks: dict[str, dict[str, Any]] = {}
    unranked: dict[str, dict[str, str]] = {}
    for name in family:
        if known[name].better:
            ranks[name], unranked[name] = _ranks(config, sample, failed, known[name], given_up)
    rows = []
    for arm in config.tutor_arms():
        found = by_tutor.get(arm.name, [])
        held = [d for d in dialogues if d.spec.tutor_name == arm.name]
        verdicts = [verdict for d in held for verdict in d.verdicts]
        figures = {name: value for name in known if (value := figure(found, known[name], config)) is not None}
        rows.append(
            {
                "tutor": arm.name,
                "kind": kind_of(config, arm),
                "about": about(arm, config),
                "policy": ", ".join(policies(held)),
                "n": len(found),
                "n_items": len({one.spec.item_id for one in found}),
                "n_failed": len(held) - len(found),
                "n_missing": max(0, sum(spec.tutor_name == arm.name for spec in planned) - len(held)),
                "n_verdicts": len(verdicts),
                "n_invalid": sum(verdict.kind == "invalid" for verdict in verdicts),
                "figures": figures,
                "not_measured": unmeasured(found, known),
                "rank": {name: ranks[name][arm.name] for name in ranks if arm.name in ranks[name]},
                "unranked": {name: why[arm.name] for name, why in unranked.items() if arm.name in why},
                "per_dialogue": {name: _mean(figures, name) for name in ("tokens", "cost", "engine_seconds")},
                "per_resolved": _per_resolved(found),
                "stopped": given_up.get(arm.name, ""),
            }
        )
    return rows


def _failed(dialogues: Sequence[Dialogue]) -> dict[str, set[str]]:
    """By tutor, the cells that it failed in."""
    found: dict[str, set[str]] = {}
    for one in dialogues:
        if one.failure is not None:
            found.setdefault(one.spec.tutor_name, set()).add(one.spec.cell)
    return found


def policies(dialogues: Sequence[Dialogue]) -> dict[str, int]:
    """Who answered for a tutor: by policy, in how many dialogues it spoke; the most frequent first."""
    spoke = [{*(turn.policy_version for turn in d.tutor_turns), d.tutor_policy} - {""} for d in dialogues]
    return dict(Counter(sorted(policy for found in spoke for policy in found)).most_common())


def kind_of(config: Config, arm: TutorArm) -> str:
    """What kind of tutor it is."""
    if arm.control:
        return "control"
    if arm.adapter:
        return "adapter"
    engine = config.pools[config.tutor_pool(arm)].engine
    kinds = {"openai": "endpoint", "python": "callable"}
    return kinds.get(engine, "prompt" if arm.prompt else "strategy")


def about(arm: TutorArm, config: Config) -> str:
    """A tutor in a few words."""
    if arm.control:
        return f"control {arm.control}"
    settings = "".join(f", {key} {value}" for key, value in arm.settings.items())
    told = "own prompt" if arm.prompt else f"strategy {config.strategy_of(arm)}{settings}"
    return f"{told} on {config.model_of(config.tutor_pool(arm))}" + (f" with {arm.adapter}" if arm.adapter else "")


def _mean(figures: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    return figures[name]["mean"] if name in figures else None


def _per_resolved(found: Sequence[Measured]) -> dict[str, Any]:
    asked = [(one, resolved) for one in found if (resolved := one.figures["resolved"]) is not None]
    result: dict[str, Any] = {"n_resolved": int(sum(resolved for _, resolved in asked)) if asked else None}
    for name in ("tokens", "cost", "engine_seconds"):
        spent = [(value, resolved) for one, resolved in asked if (value := one.figures[name]) is not None]
        total = sum(resolved for _, resolved in spent)
        result[name] = sum(value for value, _ in spent) / total if total else None
    return result


def _ranks(
    config: Config,
    sample: Sequence[Measured],
    failed: Mapping[str, Collection[str]],
    metric: Metric,
    given_up: Collection[str],
) -> tuple[dict[str, dict[str, int | None]], dict[str, str]]:
    """Ranks by tutor, and why a tutor that has values has no rank."""
    values: dict[str, dict[str, float]] = {}
    items: dict[str, str] = {}
    for one in sample:
        value = one.figures[metric.name]
        if value is not None and one.spec.tutor_name not in given_up:
            values.setdefault(one.spec.tutor_name, {})[one.spec.cell] = value
            items[one.spec.cell] = one.spec.item_id
    if len(values) < 2:
        return {}, {}
    left, why = rankable(values, items, failed)
    better: Any = metric.better
    ranks = rank_table(left, items, better=better, **precision(config), resamples=config.experiment.resamples)
    return {tutor: asdict(rank) for tutor, rank in ranks.items()}, why


def comparisons(
    config: Config,
    sample: Sequence[Measured],
    dialogues: Sequence[Dialogue],
    family: Sequence[str],
    known: Mapping[str, Metric],
) -> list[dict[str, Any]]:
    """Every tutor against the baseline in every measure of the family, corrected together by Holm."""
    arms = [arm.name for arm in config.tutor_arms()]
    base = config.experiment.baseline or arms[0]
    failed = _failed(dialogues)
    rows = [
        _comparison(config, sample, failed, tutor, base, known[name])
        for name in family
        for tutor in arms
        if tutor != base
    ]
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def _comparison(
    config: Config,
    sample: Sequence[Measured],
    failed: Mapping[str, Collection[str]],
    tutor: str,
    base: str,
    metric: Metric,
) -> dict[str, Any]:
    values, items = differences(sample, tutor, base, metric.name)
    few = too_few(len(values), len(values) + len({*failed.get(tutor, ()), *failed.get(base, ())}))
    bound = config.experiment.no_worse_by.get(metric.name) if metric.better else None
    row: dict[str, Any] = {"metric": metric.name, "tutor": tutor, "baseline": base}
    if few or not values:
        nothing = {"mean": None, "low": None, "high": None, "n": 0, "items": 0, "p": None, "effect": None}
        unshown = None if bound is None else {"bound": bound, "p": None, "shown": False}
        return row | nothing | {"note": few or "no cell has this measure under both tutors", "no_worse": unshown}
    found = metric.difference(values, items, **precision(config))
    row |= as_figure(found) | {"items": found.clusters, "p": found.p, "effect": found.effect, "note": found.note}
    row["no_worse"] = None
    if bound is not None and metric.better:
        shown = no_worse(values, items, bound=bound, better=metric.better, rate=metric.is_rate, **precision(config))
        row["no_worse"] = {"bound": bound, "p": shown.p, "shown": shown.shown}
    return row


def mixed(
    config: Config, sample: Sequence[Measured], family: Sequence[str], dialogues: Sequence[Dialogue] = ()
) -> list[dict[str, Any]]:
    """A mixed model for each measure of the family: tutors as fixed, items and personas as random effects. A tutor most
    of whose dialogues failed is no part of it."""
    base = config.experiment.baseline or config.tutor_arms()[0].name
    held = Counter(one.spec.tutor_name for one in sample)
    failed = {tutor: len(cells) for tutor, cells in _failed(dialogues).items()}
    out = {tutor for tutor, n in held.items() if too_few(n, n + failed.get(tutor, 0))}
    sample = [one for one in sample if one.spec.tutor_name not in out]
    rows: list[dict[str, Any]] = []
    for name in family:
        known = [(value, one.spec) for one in sample if (value := one.figures[name]) is not None]
        names = {spec.tutor_name for _, spec in known}
        if base in names and len(names) > 1:
            fitted = _fitted(known, base, config.experiment.confidence)
            rows.extend(_mixed_row(name, effect, fitted) for effect in fitted.effects)
    return rows


def _fitted(known: Sequence[tuple[float, EpisodeSpec]], base: str, confidence: float) -> MixedResult:
    """The model of these values; without estimates and with a note where there are too many items for it."""
    counts = Counter(spec.tutor_name for _, spec in known)
    n_items = len({spec.item_id for _, spec in known})
    if n_items > MIXED_ITEMS:
        nothing = tuple(
            TutorEffect(tutor, None, None, None, None, counts[tutor]) for tutor in sorted({*counts} - {base})
        )
        note = f"not fitted: {n_items} items are too many for this model (at most {MIXED_ITEMS})"
        return MixedResult(base, nothing, None, None, None, len(known), note)
    return mixed_model(
        [value for value, _ in known],
        [spec.tutor_name for _, spec in known],
        [spec.item_id for _, spec in known],
        [spec.persona for _, spec in known],
        baseline=base,
        confidence=confidence,
    )


def _mixed_row(name: str, effect: TutorEffect, fitted: MixedResult) -> dict[str, Any]:
    return {
        "metric": name,
        "tutor": effect.tutor,
        "baseline": fitted.baseline,
        "estimate": effect.estimate,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "n": effect.n,
        "sd_item": fitted.sd_item,
        "sd_persona": fitted.sd_persona,
        "note": fitted.note,
    }


def cells(
    config: Config, sample: Sequence[Measured], family: Sequence[str], known: Mapping[str, Metric]
) -> list[dict[str, Any]]:
    """Figures by persona and tutor."""
    rows = []
    for (tutor, persona), found in grouped(sample, lambda spec: (spec.tutor_name, spec.persona)).items():
        figures = {name: value for name in family if (value := figure(found, known[name], config)) is not None}
        rows.append({"tutor": tutor, "persona": persona, "n": len(found), "figures": figures})
    return rows
