"""Reads a config file once and checks everything that can be known before an engine starts.

Invariant: what is wrong is an `InputError` with the file, the key, the value, what was expected and the nearest valid
name; a `Config` that comes out names only things that exist.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agents.documents import located_in, parse_document, problems, read_document, validated
from agents.errors import InputError, nearest
from agents.library import persona, strategy
from agents.packs import load_pack
from agents.secrets import refuse_secrets
from sim.belief import settled
from sim.config import Config, ItemsConfig, PoolConfig, Role, RunConfig
from sim.context import check_context
from sim.engines import check_pool
from sim.grid import MOST, MOST_REPLIES, grid_size
from sim.load_experiment import check_experiment
from sim.load_judges import check_judges
from sim.load_language import check_language
from sim.load_training import check_served, check_training


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a YAML config.

    Args:
        path: the file.
        overrides: `key.sub=value` pairs that replace what the file says; values are YAML.

    Raises:
        InputError: anything is wrong with it.
    """
    if not path.is_file():
        near = [str(other) for other in Path(path.parent if path.parent.is_dir() else "configs").glob("*.yaml")]
        raise InputError(f"no config {str(path)!r}; {nearest(str(path), near)}")
    refuse_secrets(overrides, "--set")  # before any message quotes one
    raw = read_document(path, str(path))
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected keys such as `name:` and `items:`, found {type(raw).__name__}")
    for override in overrides:
        _override(raw, override)
    refuse_secrets(raw, str(path))
    try:
        config = validated(Config, raw)
    except ValidationError as error:
        raise InputError("\n".join(_explain(detail, path, overrides) for detail in problems(error))) from error
    try:
        config = settled(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    check_config(config, str(path))
    return config


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override!r}: expected KEY=VALUE, such as items.limit=4")
    place = raw
    *parents, last = key.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise InputError(f"--set {override!r}: {parent!r} is not a section")
    place[last] = parse_document(value, f"--set {override!r}")


def _explain(detail: ErrorDetails, path: Path, overrides: Sequence[str]) -> str:
    """One validation error as file and line, key, value, expectation and nearest valid name."""
    place = list(detail["loc"])
    key = ".".join(str(part) for part in place)
    given = [override for override in overrides if f"{key}.".startswith(override.partition("=")[0] + ".")]
    end = f"; --set {given[-1]!r}" if given else located_in(path, detail)
    where = f"{path}: {key}"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; {nearest(str(place[-1]), _keys_at(place[:-1]))}{end}"
    return f"{where}: {detail['msg']} (got {str(detail.get('input'))[:80]!r}){end}"


def _keys_at(place: list[int | str]) -> list[str]:
    """The valid keys of the section at a place of the config."""
    section: type[BaseModel] = Config
    for part in place:
        if not isinstance(part, str) or part not in section.model_fields:
            continue
        annotation = section.model_fields[part].annotation
        options = [annotation, *get_args(annotation)]
        found = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        section = found[0] if found else section
    return list(section.model_fields)


def check_config(config: Config, where: str) -> None:
    """Checks names across sections. Raises InputError on the first one that is wrong."""
    check_training(config, where)
    package = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}.get(config.tracking, "")
    if package and find_spec(package) is None:
        raise InputError(f"{where}: tracking: {config.tracking} needs {package}; install it, or leave it out")
    if config.kind in ("train", "scorer"):
        return
    _check_lists(config, where)
    _check_pools(config, where)
    try:
        for name in config.tutor.strategies:
            strategy(name).check({} if config.tutors else config.tutor.settings)
        for name in (*config.students.personas, *config.loop.heldout.personas):
            persona(name)
        check_judges(config, where)
        load_pack(config.items.pack)
        check_experiment(config, where)
        if config.kind == "loop":
            load_pack(config.loop.heldout.items.pack)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
    _check_size(config, where)
    if config.kind == "loop":
        _check_loop(config, where)
    check_language(config, where)
    check_context(config, where)
    check_served(config, where)


def _check_lists(config: Config, where: str) -> None:
    """Lists that make episodes: one that is empty makes none, a name that stands twice makes the same ones twice."""
    lists = {
        "tutor.strategies": config.tutor.strategies,
        "students.personas": config.students.personas,
        "loop.heldout.personas": config.loop.heldout.personas,
    }
    for key, names in lists.items():
        if not names:
            raise InputError(f"{where}: {key}: empty; name at least one")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise InputError(f"{where}: {key}: {twice[0]!r} stands twice; for more dialogues raise items.repeats")


def _check_pools(config: Config, where: str) -> None:
    needed: list[Role] = [*config.heard_roles()]
    if config.kind == "loop" or any(not (arm.control or arm.pool) for arm in config.tutor_arms()):
        needed.append("tutor")
    served: dict[Role, str] = {}
    for name, pool in config.pools.items():
        for role in pool.roles:
            if role in served:
                raise InputError(
                    f"{where}: pools: {served[role]} and {name} both have the role {role!r}; only one can speak for it "
                    f"(a pool that `tutors` name needs no role)"
                )
            served[role] = name
    for role in needed:
        if role not in served:
            raise InputError(f"{where}: pools: no pool has the role {role!r}; add it to the `roles` of a pool")
    for name, pool in config.pools.items():
        try:
            check_pool(name, pool, replayed=bool(config.run.replay))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if pool.engine == "python" and "student" in pool.roles:
            raise InputError(
                f"{where}: pools.{name}.engine: a callable cannot score text, which belief probes need; "
                f"give the student's role to a `vllm` engine"
            )
        if pool.engine == "python" and "judge" in pool.roles and config.rubric:
            raise InputError(
                f"{where}: pools.{name}.engine: a callable cannot be held to a rubric's answers; use `vllm`"
            )
        _check_scaling(f"{where}: pools.{name}", pool, config.run)
        if not pool.shares:
            continue
        if pool.shares not in config.pools or pool.shares == name:
            others = [other for other in config.pools if other != name]
            raise InputError(f"{where}: pools.{name}.shares: no pool {pool.shares!r}; {nearest(pool.shares, others)}")
        if config.model_of(name) != config.model_of(pool.shares) or config.pools[pool.shares].shares:
            raise InputError(
                f"{where}: pools.{name}.shares: {pool.shares!r} serves {config.model_of(pool.shares)!r}, this pool "
                f"{config.model_of(name)!r}; only a pool with an engine of its own and the same model can be shared"
            )


def _check_scaling(where: str, pool: PoolConfig, run: RunConfig) -> None:
    if not pool.max_replicas:
        return
    if pool.max_replicas < pool.replicas:
        raise InputError(
            f"{where}.max_replicas: {pool.max_replicas} is less than replicas ({pool.replicas}); give at least as "
            "many, or 0 for a pool that does not grow"
        )
    if pool.engine not in ("vllm", "scripted"):
        raise InputError(
            f"{where}.max_replicas: a {pool.engine} engine tells no queue to grow by; set `replicas`, or "
            "`max_concurrency` of an endpoint"
        )
    if pool.engine == "scripted" and not pool.slots:
        raise InputError(f"{where}.max_replicas: a scripted engine without `slots` never has a queue; set `slots`")
    slots, most = pool.slots or pool.max_num_seqs, run.in_flight * run.classrooms
    if pool.max_replicas > pool.replicas and most <= 1.5 * slots * pool.replicas:
        enough = math.floor(1.5 * slots * pool.replicas / run.classrooms) + 1
        raise InputError(
            f"{where}.max_replicas: the pool would never grow, because {run.classrooms} classroom(s) with "
            f"{run.in_flight} dialogues in flight leave hardly a request waiting for the {slots} slots of "
            f"{pool.replicas} engine(s); set run.in_flight to at least {enough}, or lower max_num_seqs"
        )


def _check_size(config: Config, where: str) -> None:
    asked = {"items": (config.items, config.students.personas)}
    if config.kind == "loop":
        asked["loop.heldout.items"] = (config.loop.heldout.items, config.loop.heldout.personas)
    for key, (items, personas) in asked.items():
        n = grid_size(config, items=items, personas=personas)
        if n > MOST:
            raise InputError(
                f"{where}: {key}.repeats: {items.repeats}; with items, personas, stressors and tutors that makes {n} "
                f"dialogues, and a run holds at most {MOST} in a phase; lower it, or make several runs"
            )
    talk = config.dialogue
    if talk.turns * talk.candidates * (1 + talk.lookahead) > MOST_REPLIES:
        raise InputError(
            f"{where}: dialogue: {talk.turns} turns of {talk.candidates} candidates and {talk.lookahead} exchanges of "
            f"look-ahead; a dialogue holds at most {MOST_REPLIES} replies in all: lower one of them"
        )


def _check_loop(config: Config, where: str) -> None:
    if config.dialogue.candidates < 2:
        raise InputError(
            f"{where}: dialogue.candidates: {config.dialogue.candidates}; a loop needs at least 2 to make pairs"
        )
    if config.probes.candidate != "none" and not config.probes.question:
        raise InputError(
            f"{where}: probes.question: false; candidates' gains are measured against the probe before the dialogue; "
            f"leave it on, or set probes.candidate to none"
        )
    if len(config.tutor.strategies) != 1:
        raise InputError(f"{where}: tutor.strategies: a loop trains one strategy, got {len(config.tutor.strategies)}")
    engine = config.pools[config.pool_of("tutor")].engine
    if engine not in ("vllm", "scripted"):
        raise InputError(
            f"{where}: pools.{config.pool_of('tutor')}.engine: {engine!r} cannot take a trained policy; a loop needs "
            f"`vllm` for the tutor (or `scripted`, to rehearse)"
        )
    if config.pools[config.pool_of("tutor")].roles != ("tutor",):
        raise InputError(
            f"{where}: pools.{config.pool_of('tutor')}.roles: the trained tutor needs a pool of its own, because its "
            f"weights differ from the other roles' after the first round; use `shares` to save an engine until then"
        )
    trained, held = _ids(config.items), _ids(config.loop.heldout.items)
    if trained & held and set(config.students.personas) & set(config.loop.heldout.personas):
        raise InputError(
            f"{where}: loop.heldout: {len(trained & held)} items are trained on and held out with the same personas "
            f"(first: {min(trained & held)}); hold out another pack or other personas"
        )


def _ids(items: ItemsConfig) -> set[str]:
    return {item.id for item in load_pack(items.pack).spread(items.limit)}
