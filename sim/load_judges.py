"""Checks who judges: rubrics and their votes, and the conditions of a loop's gate.

Invariant: a condition that no judge and no probe of the config could ever show to hold is refused, since every round
would be trained and then rolled back. InputError names the key and the value.
"""

from __future__ import annotations

from agents.errors import InputError, nearest
from agents.judges.rubrics import load_rubric, votes_needed
from sim.compare.conditions import parse_condition
from sim.config import Config
from sim.gate import WHERE
from sim.load_experiment import criteria

_NEEDS = {
    "gain": "probes.question",
    "net_gain": "probes.question",
    "resolved": "probes.question",
    "transfer_gain": "probes.transfer",
    "turns_to_right": "probes.turn",
}
"""The probes behind a measure."""


def check_judges(config: Config, where: str) -> None:
    """Checks the judges of a run or loop. Raises InputError on the first thing that is wrong."""
    if config.rubric is not None:
        votes_needed(load_rubric(config.rubric.name), config.rubric.votes)
    if config.kind != "loop":
        if config.loop.gate.fail_if:
            raise InputError(
                f"{where}: {WHERE} only a loop decides by it; compare two runs with `tutorloop compare --fail-if`"
            )
        return
    for text in config.loop.gate.fail_if:
        _check_measured(config, parse_condition(text, f"{where}: {WHERE}").metric, f"{where}: {WHERE} {text!r}")


def _check_measured(config: Config, metric: str, key: str) -> None:
    judged = criteria(config)
    if metric.startswith("rubric:") and metric not in judged:
        told = nearest(metric, judged) if judged else "the config has no `rubric`"
        raise InputError(f"{key}: no judge of this loop gives {metric!r}; {told}")
    if metric == "quality" and config.scorer is None:
        raise InputError(f"{key}: no scorer judges in this loop; name one in `scorer.path`")
    if metric == "noticed":
        raise InputError(f"{key}: nobody is in distress in a loop, which has no stressors; leave the condition out")
    if metric == "invalid_share" and not judged and config.scorer is None:
        raise InputError(f"{key}: nobody judges in this loop; name a `rubric` or a `scorer`, or leave it out")
    probe = _NEEDS.get(metric)
    if probe and not getattr(config.probes, probe.removeprefix("probes.")):
        raise InputError(f"{key}: not measured while {probe} is false; set it to true")
