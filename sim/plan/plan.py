"""A plan: what an experiment will take and what it can show, said before it runs.

Invariant: nothing here starts an engine. Requests are exact; tokens, cost and minutes are ranges from a pilot or bounds
without one; what nobody knows is said to be unknown and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agents.errors import InputError
from agents.packs import load_pack
from agents.records import EpisodeSpec
from sim.budget import Budget, check_budget, unpriced
from sim.config import Config
from sim.experiment.tables import kind_of
from sim.grid import experiment_specs
from sim.plan.power import POWER, MetricPlan, alpha_of, comparisons_of, plan_metrics
from sim.plan.rates import Pilot, Range, read_pilot
from sim.plan.volume import Estimator, Volume
from sim.storage.store import FREE, RunStore, stored_config


@dataclass(frozen=True, slots=True)
class TutorPlan:
    """One tutor's part."""

    tutor: str
    kind: str
    left: int
    """Dialogues that are not stored yet."""
    total: Volume
    source: str
    """Where tokens and cost come from: the pilot's dialogues of this tutor, of its kind, of all, or the bound."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cap of the budget does to the dialogues that are left."""

    cap: str
    limit: float
    fit: Range
    """Dialogues that are begun before the cap is reached, at most those that are left."""
    says: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment will take and can show."""

    name: str
    items: int
    pack_items: int
    cells: int
    """Students, each on an item under a stress, that every tutor meets."""
    tutors: tuple[TutorPlan, ...]
    total: Volume
    left: Volume
    """Of the dialogues that are not stored yet."""
    minutes: Range
    """Of those, in one start, once the engines run."""
    start_minutes: float
    """That the engines took to start in the pilot."""
    pilot: str
    """What the ranges come from, as a sentence."""
    confidence: float
    comparisons: int
    alpha: float
    """Bonferroni's bound on Holm's smallest level."""
    power: float
    metrics: tuple[MetricPlan, ...]
    cuts: tuple[Cut, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


def plan(
    config: Config,
    *,
    pilot: RunStore | None = None,
    effect: Mapping[str, float] | None = None,
    store: RunStore | None = None,
) -> Plan:
    """Plans an experiment.

    Args:
        config: of kind `run`.
        pilot: a finished or partial run to take rates and variances from.
        effect: by measure, the difference that matters; else 0.05 of a probability and 0.1 of a share.
        store: the run folder the experiment will go to; what it holds of it is not run again.

    Raises:
        InputError: the config is no experiment, caps a cost that nobody knows, or the pilot cannot be used.
    """
    if config.kind != "run":
        raise InputError(f"{config.name}: kind: {config.kind!r}; only an experiment (kind: run) can be planned")
    check_budget(config)
    known = read_pilot(pilot) if pilot is not None else None
    specs = experiment_specs(config)
    changed = _changed(config, store)
    stored = store.ids() if store is not None and not changed else set()
    left = [spec for spec in specs if spec.id not in stored]
    estimator = Estimator(config, known)
    volume, minutes = estimator.volume(left), estimator.minutes(left)
    tutors = _tutors(config, estimator, specs, left)
    metrics = plan_metrics(config, specs, known, effect or {})
    pack = load_pack(config.items.pack)
    return Plan(
        name=config.name,
        items=len({spec.item_id for spec in specs}),
        pack_items=len(pack.items),
        cells=len({spec.cell for spec in specs}),
        tutors=tutors,
        total=sum((one.total for one in tutors[1:]), tutors[0].total),
        left=volume,
        minutes=minutes,
        start_minutes=estimator.start_minutes,
        pilot=_about(known),
        confidence=config.experiment.confidence,
        comparisons=comparisons_of(config),
        alpha=alpha_of(config),
        power=POWER,
        metrics=metrics,
        cuts=_cuts(config, volume, minutes, store if stored else None),
        warnings=(*_warnings(config, store, changed), *_too_few(config, metrics, len(pack.items), specs)),
        notes=(*estimator.notes(), *_pilot_notes(known)),
    )


def _tutors(
    config: Config, estimator: Estimator, specs: Sequence[EpisodeSpec], left: Sequence[EpisodeSpec]
) -> tuple[TutorPlan, ...]:
    return tuple(
        TutorPlan(
            tutor=arm.name,
            kind=kind_of(config, arm),
            left=sum(spec.tutor == arm.name for spec in left),
            total=estimator.volume([spec for spec in specs if spec.tutor == arm.name]),
            source=estimator.source(arm),
        )
        for arm in config.tutor_arms()
    )


def _about(pilot: Pilot | None) -> str:
    if pilot is None:
        return (
            "no pilot: tokens are bounded by a token in every 3 characters and full-length replies, minutes and "
            "variances are unknown; `--probe N` holds N dialogues first (best 4 for each tutor, 8 items or more)"
        )
    failed = sum(dialogue.failure is not None for dialogue in pilot.dialogues)
    where = f" on {pilot.machine['cpu']}, {pilot.machine.get('cores', '?')} cores" if pilot.machine.get("cpu") else ""
    where += f", {pilot.machine['gpu']}" if pilot.machine.get("gpu") else ""
    pace = pilot.pace
    told = f", {pace.dialogues_per_minute:.1f} dialogues a minute with {pace.at_once:.1f} under way" if pace else ""
    return f"pilot {pilot.name}: {len(pilot.dialogues)} dialogues ({failed} failed){told}{where}"


def _pilot_notes(pilot: Pilot | None) -> list[str]:
    if pilot is None:
        return []
    found = []
    if pilot.all.n_failed:
        found.append(f"{pilot.all.n_failed} of the pilot's {len(pilot.dialogues)} dialogues failed and are left out")
    if pilot.pace is None:
        found.append("the pilot was replayed, so it says nothing of minutes")
    return found


def _changed(config: Config, store: RunStore | None) -> list[str]:
    """In which sections the run folder's config differs, so that a run would refuse to go on with it."""
    if store is None or not (store.folder / "config.yaml").is_file():
        return []
    before, now = stored_config(store.folder).model_dump(mode="json"), config.model_dump(mode="json")
    return [key for key in sorted(now.keys() - FREE) if before[key] != now[key]]


def _warnings(config: Config, store: RunStore | None, changed: Sequence[str]) -> list[str]:
    found = [f"no price for pool {name}: set price_per_million" for name in unpriced(config)]
    if config.run.replay:
        found.append(f"run.replay is set: answers come from {config.run.replay}; what is planned here is a real run")
    if store is not None and changed:
        found.append(
            f"{store.folder} holds a run of another config (different: {', '.join(changed)}), and `run` will refuse to "
            f"go on with it: give another name, or --fresh"
        )
    return found


def _too_few(config: Config, metrics: Sequence[MetricPlan], pack_items: int, specs: Sequence[EpisodeSpec]) -> list[str]:
    items, found = len({spec.item_id for spec in specs}), []
    for one in metrics:
        if one.items_needed is None or one.items_needed <= items:
            continue
        need = f"{one.metric}: an effect of {one.effect:g} needs {one.items_needed} items per tutor"
        if one.items_needed > pack_items:
            found.append(
                f"{need} and pack {config.items.pack} has {pack_items}: add items, or settle for a larger effect"
            )
        else:
            found.append(f"{need} and the design has {items}: raise items.limit")
    return found


def _cuts(config: Config, left: Volume, minutes: Range, store: RunStore | None) -> tuple[Cut, ...]:
    """Every cap that may be reached, with how many of the dialogues left are begun before."""
    caps, spent = config.budget, Budget(config.budget)
    if store is not None:
        for dialogue in store.dialogues():
            spent.add(dialogue)
    n = float(left.dialogues)
    checks = (
        ("dialogues", caps.dialogues, spent.dialogues, Range(n, n, n)),
        ("tokens", caps.tokens, spent.tokens, left.tokens),
        ("cost", caps.cost, spent.cost, left.cost),
        ("minutes", caps.minutes, 0.0, minutes),
    )
    found = [
        _cut(name, float(cap), max(0.0, cap - used), need, left.dialogues) for name, cap, used, need in checks if cap
    ]
    return tuple(cut for cut in found if cut is not None)


def _cut(name: str, cap: float, room: float, need: Range, n: int) -> Cut | None:
    """What a cap does; None where all that is left surely fits."""
    if not n or (need.high is not None and need.high <= room):
        return None
    fit = Range(
        *(None if x is None else min(n, int(n * room / x)) if x else n for x in (need.mean, need.high, need.low))
    )
    key = f"budget.{name} {cap:g}"
    if fit.mean is None and fit.low is None and fit.high is None:
        return Cut(name, cap, fit, f"{key}: how many of the {n} dialogues left it lets run is unknown")
    if fit.mean is None:
        ends = [f"{word} {end:g}" for word, end in (("at least", fit.low), ("at most", fit.high)) if end is not None]
        return Cut(name, cap, fit, f"{key}: {' and '.join(ends)} of the {n} dialogues left are run")
    spread = f" ({fit.low:g} to {fit.high:g})" if None not in (fit.low, fit.high) and fit.low != fit.high else ""
    return Cut(name, cap, fit, f"{key}: about {fit.mean:g} of the {n} dialogues left are run{spread}")
