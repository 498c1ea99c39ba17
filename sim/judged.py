"""Verdicts as a part of a reward: what judges say of candidates before one of them is said, and of whole dialogues.

Invariant: an unreadable verdict is never a 0 and never an advantage: its part of the reward is left out for all
candidates of the turn, and a dialogue whose verdict is invalid has no reward. Verdicts that train carry another judge's
name (`TRAINS`) than those that decide, so no table and no condition takes the one for the other.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agents.errors import TutorloopError
from agents.judges.base import UNJUDGED, Judge
from agents.records import Candidate, Dialogue, EpisodeSpec, Item, Turn, Verdict
from sim.config import Config
from sim.config_reward import JUDGED, RewardConfig, RewardJudge

_RELEASE = re.compile(
    r"(?<=.)(?::[a-z][a-z-]*|[-@](?:20\d\d-?[01]\d-?[0-3]\d|[01]\d-?[0-3]\d|2\d[01]\d|00\d|v\d(?::\d)?|latest|preview|exp|"
    r"fp8|awq|gptq|gguf|bf16|int[48]|[48]bit))$"
)
"""The end of a model's name that tells a release, a packing, or who serves it (`:free`, `:groq`); sizes are no such."""
TRAINS = "trains:"
"""How the names of judges begin whose verdicts value candidates."""


async def verdicts_of(judge: Judge, item: Item, turns: Sequence[Turn], spec: EpisodeSpec) -> tuple[Verdict, ...]:
    """A judge's verdicts; one that breaks spoils no dialogue, and says so by a verdict that is invalid."""
    try:
        return await judge.judge(item, turns, dialogue_id=spec.id, dimension=spec.dimension)
    except TutorloopError as error:
        return (Verdict(judge.name, UNJUDGED, "invalid", rationale=f"{type(error).__name__}: {error}"[:2000]),)


async def judge_candidates(
    judges: Sequence[Judge], item: Item, spec: EpisodeSpec, turns: Sequence[Turn], candidates: Sequence[Candidate]
) -> list[Candidate]:
    """The candidates with what each judge says of the dialogue as it would be with them; equal texts are read once."""
    if not judges:
        return list(candidates)
    texts = list(dict.fromkeys(candidate.text for candidate in candidates))
    heard = {text: [*turns, Turn(len(turns), "tutor", text)] for text in texts}
    asked = [(text, judge) for text in texts for judge in judges]
    # All of them end before one raises: what goes on alone would bill a dialogue that has ended.
    found = await asyncio.gather(
        *(verdicts_of(judge, item, heard[text], spec) for text, judge in asked), return_exceptions=True
    )
    said: dict[str, list[Verdict]] = {text: [] for text in texts}
    for (text, _), verdicts in zip(asked, found, strict=True):
        if isinstance(verdicts, BaseException):
            raise verdicts
        said[text] += [replace(verdict, judge=TRAINS + verdict.judge) for verdict in verdicts]
    return [replace(candidate, verdicts=tuple(said[candidate.text])) for candidate in candidates]


def judged_parts(weights: RewardConfig, verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """By weighted part of the reward (`rubric`, `scorer`) the mean of its judge's scores on 0 to 1.

    None where one of them is invalid. A part that nobody judged is absent. Of several judges of one kind the first one
    counts: a panel that judges later changes no reward.
    """
    found: dict[str, float | None] = {}
    for part in JUDGED:
        given = [v for v in verdicts if v.turn is None and v.judge.removeprefix(TRAINS).startswith(f"{part}:")]
        if not getattr(weights, part) or not given:
            continue
        scores = [None if v.kind == "invalid" else v.unit_score for v in given if v.judge == given[0].judge]
        known = [score for score in scores if score is not None]
        found[part] = sum(known) / len(known) if len(known) == len(scores) else None
    return found


def comparable_parts(weights: RewardConfig, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
    """For each candidate of a turn the parts that every one of them has; the others could compare nothing."""
    parts = [judged_parts(weights, candidate.verdicts) for candidate in candidates]
    common = [name for name in JUDGED if all(own.get(name) is not None for own in parts)]
    return [{name: value for name, value in own.items() if value is not None and name in common} for own in parts]


def all_verdicts(dialogue: Dialogue) -> list[Verdict]:
    """Every verdict given on a dialogue and its candidates, each once."""
    of_candidates = [v for turn in dialogue.turns for candidate in turn.candidates for v in candidate.verdicts]
    copied = bool(of_candidates)  # a training dialogue's verdicts are those of its last reply
    return [v for v in dialogue.verdicts if not (copied and v.judge.startswith(TRAINS))] + of_candidates


def count_candidates(dialogues: Sequence[Dialogue]) -> Mapping[str, int]:
    """Counts of verdicts on candidates, of judged turns, and of those where a part of the reward was left out."""
    turns = [turn for d in dialogues for turn in d.turns if any(candidate.verdicts for candidate in turn.candidates)]
    given = [[v for candidate in turn.candidates for v in candidate.verdicts] for turn in turns]
    return {
        "n_candidate_verdicts": sum(map(len, given)),
        "n_invalid_candidate_verdicts": sum(v.kind == "invalid" for found in given for v in found),
        "n_judged_turns": len(turns),
        "n_turns_left_out": sum(any(v.kind == "invalid" for v in found) for found in given),
    }


def same_judges(config: Config) -> list[str]:
    """Which judges of candidates also give the verdicts that decide or are reported, in sentences; empty: none.

    One model under two pools, or one scorer in two folders, is one judge; another rubric, address, engine, owner or
    release ("openai/gpt-4o:free", "gpt-4o-2024-08-06") does not make it another.
    """
    given, found = config.reward.judge or RewardJudge(), []
    if config.judges_candidates("rubric") and config.rubric is not None:
        decides = config.pool_of("judge")
        trains = given.pool if given.rubric else decides
        if _is_one_judge(config, trains, decides):
            pools = f"pool {trains!r}" if trains == decides else f"pools {trains!r} and {decides!r}, one model,"
            found.append(f"{pools} judged candidates for the reward and gave the verdicts that decide")
    if config.judges_candidates("scorer") and config.scorer is not None:
        decides = config.scorer.path
        trains = given.scorer or decides
        if _scorer_of(trains) == _scorer_of(decides):
            found.append(f"the scorer {trains!r} rated candidates for the reward and gave the rating that is reported")
    return found


def _is_one_judge(config: Config, name: str, other: str) -> bool:
    """Whether two pools answer by the same model, wherever each is served, or by the same code or script."""
    folders = [Path(config.model_of(one)) for one in (name, other) if config.pools[one].engine == "vllm"]
    if len(folders) == 2 and all(folder.is_dir() for folder in folders):
        return folders[0].resolve() == folders[1].resolve()  # folders of ours may share a last name
    return _judge_of(config, name) == _judge_of(config, other)


def _judge_of(config: Config, name: str) -> tuple[object, ...]:
    """What makes the answers of a pool its own: its model's family, or the code or script behind it."""
    pool = config.pools[name]
    if pool.engine == "python":
        return pool.engine, pool.callable
    own = config.model_of(name)
    return ("model", _family_of(own)) if pool.engine != "scripted" else (pool.engine, own, pool.script)


def _family_of(model: str) -> str:
    """A model's name without whose it is, who serves it, and which release or packing of it: what judges alike."""
    name = model.strip().rstrip("/").casefold().replace("_", "-").rpartition("/")[2]
    name = re.sub(
        r"^(?:(?:us|eu|apac|global)\.)?(?:anthropic|meta|mistral|amazon|cohere|deepseek|openai|qwen)\.", "", name
    )
    before = ""
    while name != before:
        before, name = name, _RELEASE.sub("", name)
    return name


def _scorer_of(path: str) -> object:
    """The checksums of a scorer's files, or its path where they cannot be read."""
    folder = Path(path).expanduser()
    try:
        return json.dumps(json.loads((folder / "scorer.json").read_text(encoding="utf-8"))["files"], sort_keys=True)
    except (OSError, ValueError, LookupError, TypeError):
        return str(folder.resolve())
