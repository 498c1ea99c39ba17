"""Checks the parts of a config that make an experiment.

Invariant: what is compared exists and can be told apart before anything runs; InputError names the key and the value.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from agents.errors import InputError, nearest
from agents.judges.rubrics import load_rubric
from agents.library import strategy
from agents.stressors import stressor
from sim.budget import check_budget
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.experiment.judge_error import load_calibration
from sim.experiment.metrics import METRICS
from sim.storage.files import is_uri


def check_experiment(config: Config, where: str) -> None:
    """Checks tutors, stressors, comparisons and budget. Raises InputError on the first that is wrong."""
    if config.kind != "run":
        for key in ("tutors", "stressors"):
            if getattr(config, key):
                raise InputError(f"{where}: {key}: only a config of kind 'run' has {key}, this one is {config.kind!r}")
        return
    _check_names(config, where)
    _check_plain(config, where)
    for arm in config.tutor_arms():
        _check_arm(config, arm, where)
    for one in config.stressors:
        stressor(one.name)
        if not one.intensities:
            raise InputError(f"{where}: stressors: {one.name}: no intensities; give some between 0 and 1")
    _check_compared(config, where)
    _check_adapters(config, where)
    if config.run.record and config.run.replay:
        raise InputError(f"{where}: run.record and run.replay: a run is recorded or replayed, not both; remove one")
    if config.run.replay and not Path(config.run.replay).expanduser().is_dir():
        raise InputError(f"{where}: run.replay: no folder {config.run.replay!r}; record a run first with run.record")
    check_budget(config)


def _check_names(config: Config, where: str) -> None:
    for key, names in (("tutors", [a.name for a in config.tutors]), ("stressors", [s.name for s in config.stressors])):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise InputError(f"{where}: {key}: two are named {twice[0]!r}; give each its own name")


def _check_plain(config: Config, where: str) -> None:
    """Settings of `tutor` that named tutors would not heed, and candidates, which leave transfer out."""
    for key in ("adapter", "settings") if config.tutors else ():
        if getattr(config.tutor, key):
            raise InputError(
                f"{where}: tutor.{key}: not heeded where `tutors` are named; give it to the tutor it is for"
            )
    if config.dialogue.candidates > 1 and config.probes.transfer:
        raise InputError(
            f"{where}: dialogue.candidates: {config.dialogue.candidates}; transfer is not measured in dialogues with "
            f"candidates: set probes.transfer to false, or candidates to 1"
        )


def _check_arm(config: Config, arm: TutorArm, where: str) -> None:
    key = f"{where}: tutors: {arm.name}"
    if arm.control:
        given = [name for name in ("strategy", "settings", "prompt", "pool", "adapter") if getattr(arm, name)]
        if given:
            raise InputError(f"{key}: control {arm.control!r} has no {given[0]}; a control speaks without a model")
        return
    strategy(config.strategy_of(arm)).check(arm.settings)
    if arm.prompt and arm.strategy:
        raise InputError(f"{key}: strategy and prompt: the prompt stands in for the strategy's; give one of them")
    if arm.pool and arm.pool not in config.pools:
        raise InputError(f"{key}: pool: no pool {arm.pool!r}; {nearest(arm.pool, config.pools)}")
    if not arm.pool and not any("tutor" in pool.roles for pool in config.pools.values()):
        raise InputError(f"{key}: no pool has the role 'tutor'; name a pool of `pools` for this tutor")


def _check_compared(config: Config, where: str) -> None:
    names, given = [arm.name for arm in config.tutor_arms()], config.experiment
    if given.baseline and given.baseline not in names:
        raise InputError(f"{where}: experiment.baseline: no tutor {given.baseline!r}; {nearest(given.baseline, names)}")
    known = criteria(config)
    for key, chosen in (("metrics", given.metrics), ("no_worse_by", tuple(given.no_worse_by))):
        for name in chosen:
            if name not in METRICS and (name not in known if known else not name.startswith("rubric:")):
                near = nearest(name, [*METRICS, *known])
                raise InputError(f"{where}: experiment.{key}: no measure {name!r}; {near}")
    if not given.metrics:
        raise InputError(f"{where}: experiment.metrics: empty; name what is compared")
    if twice := [name for name, count in Counter(given.metrics).items() if count > 1]:
        raise InputError(f"{where}: experiment.metrics: {twice[0]!r} stands twice")
    for name in given.no_worse_by:
        if name not in given.metrics:
            raise InputError(f"{where}: experiment.no_worse_by: {name!r} is not compared; add it to experiment.metrics")
        if name in METRICS and not METRICS[name].better:
            raise InputError(f"{where}: experiment.no_worse_by: neither direction of {name!r} is worse; leave it out")
    for judge, rates in load_calibration(given.calibration).items() if given.calibration else ():
        for criterion, one in rates.items():
            if one.sensitivity + one.specificity <= 1.0:
                raise InputError(
                    f"{where}: experiment.calibration: {judge}, {criterion}: sensitivity {one.sensitivity:g} + "
                    f"specificity {one.specificity:g} is not above 1: such a judge tells nothing"
                )


def criteria(config: Config) -> list[str]:
    """The measures that the config's rubric gives; empty without one: a panel may judge later."""
    if config.rubric is None:
        return []
    rubric = load_rubric(config.rubric.name)
    return [f"rubric:{rubric.name}/{criterion.name}" for criterion in rubric.criteria]


def _check_adapters(config: Config, where: str) -> None:
    served: dict[str, TutorArm] = {}
    for arm in config.tutor_arms():
        pool = config.tutor_pool(arm)
        if not pool:
            continue
        other = served.setdefault(pool, arm)
        if other.adapter != arm.adapter:
            raise InputError(
                f"{where}: tutors: {other.name} and {arm.name} share pool {pool!r} and serve other weights; give "
                f"{(arm if arm.adapter else other).name} a pool of its own"
            )
    for pool, arm in served.items():
        if arm.adapter and not config.run.replay:
            key = f"tutors: {arm.name}: adapter" if config.tutors else "tutor.adapter"
            check_adapter(config, arm.adapter, pool, f"{where}: {key}")


def check_adapter(config: Config, adapter: str, pool: str, key: str) -> None:
    """Checks that a trained adapter is there and has a pool to itself."""
    for name in () if is_uri(adapter) else ("adapter_config.json", "proof.json"):  # a URI is fetched, then checked
        if not (Path(adapter).expanduser() / name).is_file():
            raise InputError(f"{key}: {adapter!r} has no {name}; give the folder of a trained adapter")
    if set(config.pools[pool].roles) - {"tutor"}:
        roles = ", ".join(config.pools[pool].roles)
        raise InputError(f"{key}: pool {pool!r} speaks for {roles}; an adapter needs a pool of its own")
