"""The inputs of a run as a part of what it is: gathered before it starts, and held against those it began with.

Invariant: an input is its content, whatever the config calls it; what changed touches the dialogues that were held with
it and no others.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.catalogue import KNOWN
from agents.documents import read_document
from agents.judges.rubrics import load_rubric
from agents.library import persona, strategy
from agents.packs import load_pack
from agents.stressors import stressor
from sim.config import Config
from sim.config_reward import RewardJudge
from sim.grid import episodes
from sim.inputs import Change, Input, Inputs, Kind, digested, pack_input, record_input, strategy_input
from sim.storage.files import locate
from sim.storage.kept import tape_files

_PLACES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("pack", ("items", "pack")),
    ("pack", ("loop", "heldout", "items", "pack")),
    ("rubric", ("rubric", "name")),
    ("scorer", ("scorer", "path")),
    ("rubric", ("reward", "judge", "rubric")),
    ("scorer", ("reward", "judge", "scorer")),
    ("tape", ("run", "replay")),
)
"""Where a config names an input by a name that may change while the content stays."""

Renamed = tuple[Kind, str]
"""Kind and name of an input."""
Touched = Callable[[Mapping[str, Any]], bool]
"""Says of a stored row whether its dialogue was held with something that changed."""


def gather(config: Config) -> Inputs:
    """Reads all that a config names, as it is now.

    Raises:
        InputError: one of them is not there, or bad.
    """
    if config.kind not in ("run", "loop"):
        return Inputs()
    personas = dict.fromkeys(config.students.personas)
    found = [*_packs(config), *_strategies(config)]
    if config.kind == "loop":
        personas |= dict.fromkeys(config.loop.heldout.personas)
    found += [record_input("persona", name, persona(name)) for name in personas]
    found += [record_input("stressor", one.name, stressor(one.name)) for one in config.stressors]
    judge = config.reward.judge or RewardJudge()
    rubrics = (config.rubric.name if config.rubric else "", judge.rubric)
    found += [record_input("rubric", name, load_rubric(name)) for name in dict.fromkeys(rubrics) if name]
    if config.experiment.calibration:
        found.append(_calibration(config.experiment.calibration))
    for name in dict.fromkeys((config.scorer.path if config.scorer else "", judge.scorer)):
        found += _weights("scorer", name, "scorer.json") if name else []
    if config.run.replay:
        found.append(_tape(config.run.replay))
        return Inputs(tuple(found))
    found += _models(config)
    for name in dict.fromkeys(arm.adapter for arm in config.tutor_arms() if arm.adapter):
        found += _weights("adapter", name, "lineage.json")
    for name in dict.fromkeys(pool.callable for pool in config.pools.values() if pool.engine == "python"):
        found += _code(name)
    return Inputs(tuple(found))


def _models(config: Config) -> Iterator[Input]:
    """The known models that engines of ours serve, by the sum of their file; of others only the name is known."""
    names = {config.model_of(name): None for name, pool in config.pools.items() if pool.engine == "vllm"}
    for name in names:
        if (one := KNOWN.get(name)) is not None:
            yield Input("model", name, digested({"file": one.sha256}), json.dumps(one.identity))


def _packs(config: Config) -> Iterator[Input]:
    asked = [config.items, *([config.loop.heldout.items] if config.kind == "loop" else [])]
    for name in dict.fromkeys(one.pack for one in asked):
        pack = load_pack(name)
        used = {item.id: item for one in asked if one.pack == name for item in pack.spread(one.limit)}
        yield pack_input(name, pack, list(used.values()))


def _strategies(config: Config) -> Iterator[Input]:
    given: dict[str, list[Mapping[str, str]]] = {}
    for arm in config.tutor_arms():
        if not (arm.control or arm.prompt):  # a control and a prompt of one's own are told no strategy
            given.setdefault(config.strategy_of(arm), []).append(arm.settings)
    for name, settings in given.items():
        yield strategy_input(strategy(name), settings)


def _calibration(path: str) -> Input:
    known = read_document(Path(path).expanduser(), f"experiment.calibration: {path!r}")
    judges = known if isinstance(known, dict) else {}  # what it holds is checked where it is used
    parts = {
        f"{judge} {criterion}": value
        for judge, criteria in judges.items()
        for criterion, value in (criteria.items() if isinstance(criteria, dict) else ())
    }
    return Input("calibration", path, digested(parts), json.dumps(known, default=str))


def _weights(kind: Kind, path: str, facts: str) -> list[Input]:
    """Trained weights by the checksums that stand beside them, or by the proof of what they say; else not at all."""
    folder = locate(path)
    try:
        known = json.loads((folder / facts).read_bytes())
        return [Input(kind, path, digested(dict(known["files"])))]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        files = {name: (folder / name).read_bytes().hex() for name in ("adapter_config.json", "proof.json")}
        return [Input(kind, path, digested(files))]
    except OSError:
        return []  # that it is an adapter is checked where it is served


def _code(dotted_name: str) -> list[Input]:
    """The module of a callable, but for its comments and layout. Of what it imports nothing is known."""
    module, colon, _ = dotted_name.partition(":")
    try:
        found = importlib.util.find_spec(module if colon else dotted_name.rpartition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return []  # the engine says what is wrong with the name
    file = Path(found.origin) if found is not None and found.origin else None
    if file is None or file.suffix != ".py" or not file.is_file():
        return []
    source = file.read_bytes()
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING)
    try:
        tokens = [
            (tokenize.tok_name[one.type], one.string if one.type != tokenize.INDENT else "")
            for one in tokenize.tokenize(io.BytesIO(source).readline)
            if one.type not in layout
        ]
    except (tokenize.TokenError, SyntaxError):
        tokens = [("source", source.decode("utf-8", "replace"))]
    return [Input("callable", dotted_name, digested({"its module": tokens}))]


def _tape(path: str) -> Input:
    """A recording by dialogue: what was recorded of each last, in the order of its lines."""
    dialogues: dict[str, Any] = {}
    for file in tape_files(Path(path).expanduser()):
        with file.open("rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                    name = entry.get("begin") or entry.get("end") or entry["dialogue"]
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # torn; whoever replays it says so
                if "begin" in entry:
                    dialogues[name] = hashlib.sha256()
                dialogues.setdefault(name, hashlib.sha256()).update(json.dumps(entry, sort_keys=True).encode())
    return Input("tape", path, tuple((name, one.hexdigest()[:16]) for name, one in sorted(dialogues.items())))


def renamed(stored: Mapping[str, Any], resolved: Mapping[str, Any], kept: Inputs, now: Inputs) -> dict[Renamed, str]:
    """Inputs that a resolved config gives another name than the stored one, with the same content: kind and name now,
    and the name in the run folder."""
    found: dict[Renamed, str] = {}
    for kind, path in _PLACES:
        old, new = _at(stored, path), _at(resolved, path)
        first, second = kept.find(kind, old), now.find(kind, new)
        if old != new and first and second and first.digest == second.digest:
            found[kind, new] = old
    return found


def under_names(resolved: Mapping[str, Any], names: Mapping[Renamed, str]) -> dict[str, Any]:
    """A resolved config with other names for its inputs."""
    found = deepcopy(dict(resolved))
    for kind, path in _PLACES:
        if (kind, name := _at(found, path)) in names:
            inner: Any = found
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = names[kind, name]
    return found


def known_as(now: Inputs, names: Mapping[Renamed, str]) -> Inputs:
    """Inputs under the names that a run folder has for them."""
    return Inputs(tuple(replace(one, name=names.get((one.kind, one.name), one.name)) for one in now.entries))


def settled_inputs(kept: Inputs, now: Inputs, names: Mapping[Renamed, str]) -> Inputs:
    """What a run goes on with: its own copy of what is as it was. A pack keeps its name there, for the ids of dialogues
    are made of it; anything else goes by the name that the config gives it now."""
    found = []
    for one in now.entries:
        own = kept.find(one.kind, names.get((one.kind, one.name), one.name))
        same = own if own is not None and own.digest == one.digest else one
        found.append(same if one.kind == "pack" and own is same else replace(same, name=one.name))
    return Inputs(tuple(found))


def _at(resolved: Mapping[str, Any], path: Sequence[str]) -> str:
    value: Any = resolved
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def with_stored_names(config: Config, stored: Mapping[str, Any]) -> Config:
    """A config with the names that its packs have in a run folder: ids of dialogues are made of them."""
    held = config.loop.heldout
    names = [_at(stored, path) for kind, path in _PLACES if kind == "pack"]
    items = config.items.model_copy(update={"pack": names[0] or config.items.pack})
    heldout = held.model_copy(update={"items": held.items.model_copy(update={"pack": names[1] or held.items.pack})})
    if (items, heldout) == (config.items, held):
        return config
    return config.model_copy(update={"items": items, "loop": config.loop.model_copy(update={"heldout": heldout})})


def touched_by(found: Sequence[Change], config: Config, old: Inputs, new: Inputs) -> Touched:
    """Of changed inputs: which dialogues were held with them, or are planned no more."""
    parts = {(one.kind, one.name): one.parts for one in found}
    arms = {arm.name: arm for arm in config.tutor_arms()}
    heard = {config.pools[name].callable for name in config.heard_pools()}
    every = any(kind in ("model", "rubric", "scorer") or (kind == "callable" and name in heard) for kind, name in parts)
    gone = _cells(config.with_inputs(old)) - _cells(config.with_inputs(new)) if config.experiment.fraction < 1 else ()

    def touched(row: Mapping[str, Any]) -> bool:
        arm = arms.get(row["tutor"] or row["strategy"])
        if every or row["item"] in parts.get(("pack", row["pack"]), ()):
            return True
        if gone and (row["student_key"], row["stressor"], row["intensity"]) in gone:
            return True
        if ("persona", row["persona"]) in parts or ("stressor", row["stressor"]) in parts:
            return True
        if any(kind == "tape" and row["id"] in changed for (kind, _), changed in parts.items()):
            return True
        if arm is None:
            return ("strategy", row["strategy"]) in parts
        pool = config.tutor_pool(arm)
        if ("adapter", arm.adapter) in parts or (pool and ("callable", config.pools[pool].callable) in parts):
            return True
        changed = parts.get(("strategy", row["strategy"]), frozenset())
        return not (arm.control or arm.prompt) and _told_otherwise(changed, row["strategy"], arm.settings)

    return touched


def _cells(config: Config) -> set[tuple[str, str, float]]:
    """Who is taught what: a fractional design draws others where an item is new."""
    asked = [(config.items, config.students.personas)]
    if config.kind == "loop":
        asked.append((config.loop.heldout.items, config.loop.heldout.personas))
    return {
        (one.student_key, one.stressor, one.intensity)
        for items, personas in asked
        for one in episodes(config, phase="", items=items, personas=personas)
    }


def _told_otherwise(changed: frozenset[str], name: str, settings: Mapping[str, str]) -> bool:
    """Whether a tutor of a strategy is told otherwise now: guidance that only others are given does not count."""
    if not changed:
        return False
    found = strategy(name)
    given = {f"settings.{key}.{found.setting(key, settings)}" for key in found.settings}
    return any(part in given or not part.startswith("settings.") for part in changed)
