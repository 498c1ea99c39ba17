"""The methods section of an experiment's report, written from its config and what was found.

Invariant: every sentence follows from the config or the data; what was not measured is said as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.packs import load_pack
from sim.config import Config
from sim.measured import Measured


def methods(config: Config, result: Mapping[str, Any], sample: Sequence[Measured]) -> list[str]:
    """The sentences, in order."""
    found = [*_design(config, result), *_students(config), *_measures(config, result), *_statistics(config, result)]
    return [*found, *_limits(config, result, sample)]


def _design(config: Config, result: Mapping[str, Any]) -> list[str]:
    pack = load_pack(config.items.pack)
    n_items = len(pack.spread(config.items.limit))
    names = ", ".join(arm.name for arm in config.tutor_arms())
    missing = result["missing"]
    part = config.experiment.fraction
    drawn = "" if part == 1.0 else f" Of each item's cells a share of {part:g} was drawn, the same for every tutor."
    stress = "; ".join(
        f"{one.name} at {', '.join(f'{x:g}' for x in sorted(set(one.intensities)))}" for one in config.stressors
    )
    return [
        f"Tutors: {names}. Each met the same simulated students on the same {n_items} items of the pack "
        f"{config.items.pack} ({config.items.repeats} time(s) each), with personas "
        f"{', '.join(config.students.personas)}.{drawn}",
        *([f"Stressors: {stress}. One speaks in that share of a student's turns."] if stress else []),
        f"A dialogue has {config.dialogue.turns} tutor turns. Of {missing['planned']} planned dialogues "
        f"{missing['done']} finished, {missing['failed']} failed and {missing['not_run']} were not run.",
    ]


def _students(config: Config) -> list[str]:
    model = config.model_of(config.pool_of("student"))
    return [
        f"Students are simulated by {model} at temperature {config.students.temperature:g}. Each holds the "
        f"misconception of one wrong option. Sampling has no seed, so another run gives other words; items, students, "
        f"misconceptions and order follow from seed {config.seed}."
    ]


def _measures(config: Config, result: Mapping[str, Any]) -> list[str]:
    found = [
        "Belief is the probability of each option's text as the student's own answer (softmax of mean "
        "log-probabilities per token). Leaks, questions, staying on the item and repetition are found by rules."
    ]
    if config.probes.turn:
        found.append("Belief was measured after every tutor turn.")
    judged = sum(row["n_verdicts"] for row in result["tutors"])
    invalid = sum(row["n_invalid"] for row in result["tutors"])
    if judged:
        found.append(f"Judges gave {judged} verdicts, {invalid} of them invalid: neither passes nor fails.")
    return found


def _statistics(config: Config, result: Mapping[str, Any]) -> list[str]:
    level = f"{config.experiment.confidence:.0%}"
    found = [
        f"Intervals are {level}, with dialogues clustered by item (docs/statistics.md). Tutors are compared with "
        f"{result['baseline']} on the same student, item, repeat and stress; p-values are corrected by Holm over all "
        f"comparisons in {', '.join(result['family'])}. Items are a random sample of such items; personas and "
        f"stressors are taken as they are, so nothing is claimed of others."
    ]
    if config.stressors:
        found.append("Tables of tutors and comparisons are over all levels of stress together.")
    if config.experiment.no_worse_by:
        bounds = ", ".join(f"{name} by {value:g}" for name, value in config.experiment.no_worse_by.items())
        found.append(f"No worse than the baseline is shown when the interval excludes a loss of {bounds}.")
    return found


def _limits(config: Config, result: Mapping[str, Any], sample: Sequence[Measured]) -> list[str]:
    found = ["Simulated students are a model of students: nothing here was checked with real ones."]
    found += [
        f"Tutor {row['tutor']} was asked for as {asked} and answered as {row['policy']}."
        for row in result["tutors"]
        if row["kind"] == "endpoint" and (asked := _asked(config, row["tutor"])) and not row["policy"].startswith(asked)
    ]
    if config.rubric is None:
        found.append("No language model judged these dialogues.")
    if not config.probes.transfer:
        found.append("Transfer to another question was not measured.")
    if not any(one.figures["quality"] is not None for one in sample):
        found.append("No trained scorer rated these dialogues.")
    if any(arm.control for arm in config.tutor_arms()):
        found.append("Controls speak without a model: their tokens and seconds are the student's and the probes'.")
    return found


def _asked(config: Config, tutor: str) -> str:
    """The model that is asked for at a tutor's endpoint."""
    return next((config.model_of(config.tutor_pool(arm)) for arm in config.tutor_arms() if arm.name == tutor), "")
