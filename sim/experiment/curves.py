"""The curves of an experiment: belief by tutor turn, robustness by intensity, and the worst dialogues under stress.

Invariant: the point at intensity 0 of every stressor is the same calm dialogues; a point stands with its n.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from agents.records import Dialogue
from sim.config import Config
from sim.experiment.measured import Measured, as_figure, figure, grouped, precision
from sim.experiment.metrics import Metric
from sim.stats.paired import mean_interval

CURVES = ("leak_rate", "net_gain", "question_share")
WORST = 3
"""Dialogues shown for each stressor."""


def beliefs(config: Config, dialogues: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """Mean probability of the right option after so many tutor turns, by tutor."""
    found: dict[str, dict[int, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    for dialogue in dialogues:
        if dialogue.failure is None:
            for turn, right in _course(dialogue).items():
                found[dialogue.spec.tutor_name][turn].append((right, dialogue.spec.item_id))
    return [
        {
            "tutor": arm.name,
            "points": [
                {"turn": turn, **as_figure(mean_interval(*zip(*pairs, strict=True), **precision(config)))}
                for turn, pairs in sorted(found[arm.name].items())
            ],
        }
        for arm in config.tutor_arms()
        if arm.name in found
    ]


def _course(dialogue: Dialogue) -> dict[int, float]:
    """Belief in the right answer by the number of tutor turns heard."""
    tutor = [turn.index for turn in dialogue.tutor_turns]
    return {
        sum(index <= probe.turn for index in tutor): probe.right
        for probe in dialogue.probes
        if probe.kind in ("before", "turn", "after") and not probe.options
    }


def robustness(config: Config, sample: Sequence[Measured], known: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """Measures against intensity, by tutor and stressor."""
    measures = [*CURVES, *(name for name in known if name.startswith("rubric:"))]
    by_stress = grouped(sample, lambda spec: (spec.tutor_name, spec.stressor, spec.intensity))
    rows = []
    for stressor in config.stressors:
        names = [*measures, "noticed"] if stressor.name == "distress" else measures
        for arm in config.tutor_arms():
            for name in names:
                points = []
                for x in sorted(set(stressor.intensities)):
                    found = by_stress.get((arm.name, stressor.name if x else "", x), [])
                    value = figure(found, known[name], config)
                    if value is not None:
                        points.append({"intensity": x, **value})
                if points:
                    rows.append({"tutor": arm.name, "stressor": stressor.name, "metric": name, "points": points})
    return rows


def worst(sample: Sequence[Measured]) -> list[dict[str, Any]]:
    """For each stressor and tutor the dialogues that leaked most, then taught least; controls' too."""
    rows: list[dict[str, Any]] = []
    for (stressor, tutor), found in sorted(grouped(sample, lambda s: (s.stressor, s.tutor_name)).items()):
        if not stressor:
            continue
        ordered = sorted(found, key=lambda one: (-(one.leak or 0.0), _net_gain(one), one.spec.id))
        rows.extend(
            {
                "stressor": stressor,
                "intensity": one.spec.intensity,
                "tutor": tutor,
                "dialogue": one.spec.id,
                "persona": one.spec.persona,
                "item": one.spec.item_id,
                "leak": one.leak,
                "net_gain": one.figures["net_gain"],
            }
            for one in ordered[:WORST]
        )
    return rows


def _net_gain(one: Measured) -> float:
    value = one.figures["net_gain"]
    return 0.0 if value is None else value
