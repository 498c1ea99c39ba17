"""Checks who judges: rubrics and their votes, the judges of a reward, and the conditions of a loop's gate.

Invariant: who values candidates is not who decides, unless the config says so (`reward.same_judge`). A condition that
no judge and no probe of the config could ever show to hold is refused, since every round would be trained and then
rolled back. InputError names the key and the value.
"""

from __future__ import annotations

from pathlib import Path

from agents.errors import InputError, nearest
from agents.judges.rubrics import load_rubric, votes_needed
from sim.compare.conditions import parse_condition
from sim.config import Config
from sim.config_reward import JUDGED, RewardConfig, RewardJudge
from sim.experiment.metrics import HEADLINE
from sim.gate import WHERE
from sim.judged import same_judges
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
    _check_reward(config, where)
    if config.kind != "loop":
        if config.loop.gate.fail_if or config.loop.gate.gives_up:
            key = WHERE if config.loop.gate.fail_if else "loop.gate.gives_up:"
            raise InputError(
                f"{where}: {key} only a loop decides by it; compare two runs with `tutorloop compare --fail-if`"
            )
        return
    for name in config.loop.gate.gives_up:
        if name not in HEADLINE:
            raise InputError(
                f"{where}: loop.gate.gives_up: {name!r} is no headline measure, so no policy is refused for it; "
                f"{nearest(name, HEADLINE)}"
            )
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


def _check_reward(config: Config, where: str) -> None:
    """Checks who judges for the reward, and that it is not who decides."""
    for point in config.sweep:
        if point.reward.judge or point.reward.same_judge:
            raise InputError(
                f"{where}: sweep: {point.name}: the points share their first dialogues, so `judge` and `same_judge` "
                f"are said once, in `reward`"
            )
    for key, reward in (("reward", config.reward), *((f"sweep: {p.name}: reward", p.reward) for p in config.sweep)):
        ranks = [name for name in ("combine", "gates") if getattr(reward, name) != getattr(RewardConfig(), name)]
        if ranks and config.dialogue.candidates < 2 and config.kind != "loop":  # a loop is told that it needs more
            raise InputError(
                f"{where}: {key}.{ranks[0]}: ranks candidates, and dialogue.candidates is 1; leave it out, or sample "
                f"more of them"
            )
    given = config.reward.judge
    if given is not None:
        if config.dialogue.candidates < 2:
            raise InputError(
                f"{where}: reward.judge: judges candidates, and dialogue.candidates is 1; leave it out: the run's own "
                f"`rubric` and `scorer` give their parts of a dialogue's reward"
            )
        _check_judge(config, given, f"{where}: reward.judge")
    for part in JUDGED:
        weighed = any(getattr(reward, part) for reward in (config.reward, *(point.reward for point in config.sweep)))
        if weighed and not (getattr(config, part) or (given and getattr(given, part))):
            raise InputError(
                f"{where}: reward.{part}: it weighs something and nobody judges; name a `{part}`, here or in "
                f"reward.judge"
            )
    same = same_judges(config)
    if same and not config.reward.same_judge:
        raise InputError(
            f"{where}: reward: {same[0]}: a tutor learns what its judge likes, and that judge cannot see it. Name "
            f"another judge in reward.judge (another model or scorer, not only another rubric), or say "
            f"reward.same_judge: true, which the report repeats"
        )


def _check_judge(config: Config, given: RewardJudge, key: str) -> None:
    for part in JUDGED:
        if getattr(given, part) and not config.judges_candidates(part):
            raise InputError(f"{key}.{part}: not used while reward.{part} is 0; give it a weight, or leave it out")
    if not given.rubric and not given.scorer:
        raise InputError(f"{key}: names nobody; give a `rubric` with a `pool`, or a `scorer`")
    if given.scorer and not (Path(given.scorer).expanduser() / "scorer.json").is_file():
        raise InputError(f"{key}.scorer: no scorer in {given.scorer!r} (scorer.json is missing); give a trained one")
    if not given.rubric:
        if given.pool:
            raise InputError(f"{key}.pool: only a rubric asks a pool; leave it out, or name a `rubric`")
        return
    votes_needed(load_rubric(given.rubric), given.votes)
    if given.pool not in config.pools:
        raise InputError(f"{key}.pool: no pool {given.pool!r}; {nearest(given.pool, config.pools)}")
    if config.pools[given.pool].engine == "python":
        raise InputError(f"{key}.pool: a callable cannot be held to a rubric's answers; name another engine's pool")
    if config.kind == "loop" and given.pool == config.pool_of("tutor"):
        raise InputError(f"{key}.pool: {given.pool!r} speaks for the tutor that is trained; it cannot judge itself")
