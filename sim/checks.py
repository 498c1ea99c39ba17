"""`tutorloop check`: what a config would do.

Invariant: nothing is started.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agents.packs import pack_warnings
from sim.compare.conditions import parse_condition
from sim.config import Config, PoolConfig
from sim.config_reward import RewardJudge
from sim.experiment.metrics import HEADLINE
from sim.gate import WHERE, items_to_show, leak_bound, shown_at_best
from sim.grid import planned
from sim.judged import same_judges


def describe_plan(config: Config, notes: Sequence[str] = ()) -> str:
    """What a config would do, in a few lines, without starting anything; `notes` stand after the pools."""
    lines = [f"{config.name}: {config.kind} with model {config.model}, seed {config.seed}"]
    if config.kind in ("train", "scorer"):
        return "\n".join([*lines, *_training(config), "ok: nothing was started"])
    for name, pool in config.pools.items():
        shared = f", shares {pool.shares}'s engine until an adapter is delivered" if pool.shares else ""
        lines.append(f"  pool {name}: {', '.join(pool.roles)} on {_number(pool)} x {pool.engine}{shared}")
    lines += notes
    n = planned(config, items=config.items, personas=config.students.personas)
    turns, k = config.dialogue.turns, config.dialogue.candidates
    lines.append(f"  {n} dialogues of {turns} tutor turns, {k} candidate(s) each: {n * turns * k} replies")
    lines += _judging(config, k)
    if config.kind == "loop":
        held = config.loop.heldout
        n = planned(config, items=held.items, personas=held.personas)
        lines.append(
            f"  {config.loop.rounds} round(s); {n} held-out dialogues with every policy; objective "
            f"{config.training.objective}, {config.training.quantization}, rank {config.training.lora_rank}"
        )
        gate = config.loop.gate
        items = len(config.inputs.pack(held.items.pack).spread(held.items.limit))
        lines.append(
            f"  the gate lets the leak rate's interval reach {leak_bound(gate, items):+.2f}; {items} items without any "
            f"leak show at best {shown_at_best(items, gate.confidence):+.2f}"
        )
        lines.append(
            f"  a policy is refused that is clearly worse in one of {', '.join(HEADLINE)}"
            + (f"; given up: {', '.join(gate.gives_up)}" if gate.gives_up else "")
        )
    lines += [f"  warning: {told}" for told in warnings(config)]
    lines.append("ok: nothing was started")
    return "\n".join(lines)


def _judging(config: Config, candidates: int) -> list[str]:
    """Who judges for the reward, and who decides."""
    given, lines = config.reward.judge or RewardJudge(), []
    if config.judges_candidates("rubric"):
        rubric = given.rubric or (config.rubric.name if config.rubric else "")
        pool = given.pool if given.rubric else config.pool_of("judge")
        lines.append(
            f"  each of {candidates} candidates of a turn is judged by rubric {rubric} on pool {pool}, for the reward"
        )
    if config.judges_candidates("scorer"):
        path = given.scorer or (config.scorer.path if config.scorer else "")
        lines.append(f"  each of {candidates} candidates of a turn is rated by scorer {path}, for the reward")
    if config.rubric is not None:
        which = "dialogues that are not trained on" if config.kind == "loop" else "dialogues"
        which = "all dialogues" if config.loop.judge_training else which
        lines.append(f"  {which} are judged by rubric {config.rubric.name} on pool {config.pool_of('judge')}")
    return lines + [f"  note: {one}" for one in same_judges(config)]


def warnings(config: Config) -> list[str]:
    """What is no error and should be known before a run: what is said of the belief probe, and of each pack used."""
    told = [told for name in config.packs for told in pack_warnings(config.inputs.pack(name))]
    belief = [config.probes.says] if config.probes.says else []
    return belief + told + (_unshowable(config) if config.kind == "loop" else [])


def _unshowable(config: Config) -> list[str]:
    """Bounds on the leak rate that the held-out items cannot show even where nothing leaks."""
    held, gate = config.loop.heldout.items, config.loop.gate
    items = len(config.inputs.pack(held.pack).spread(held.limit))
    best = shown_at_best(items, gate.confidence)
    parsed = (parse_condition(text, WHERE) for text in gate.fail_if)
    given = gate.max_leak_increase
    bounds = {} if given is None else {"loop.gate.max_leak_increase": given}
    bounds |= {f"{WHERE} {c.text!r}": c.value for c in parsed if c.metric == "leak_rate" and c.op in (">", ">=")}
    return [
        f"{key}: {items} held-out items cannot show a bound of {bound:g}: without any leak the interval still reaches "
        f"{best:.3f}, so a policy passes only where leaks become fewer; "
        + (f"{items_to_show(bound, gate.confidence)} items would do, or " if 0.0 < bound < 1.0 else "")
        + f"a bound of {math.ceil(100.0 * best) / 100.0:g} or more"
        for key, bound in bounds.items()
        if bound < best
    ]


def _number(pool: PoolConfig) -> str:
    return f"{pool.replicas} to {pool.max_replicas}" if pool.max_replicas > pool.replicas else str(pool.replicas)


def _training(config: Config) -> list[str]:
    """What a config of kind train or scorer has to work with; reads and splits the data."""
    from sim.dataset import prepare, rated_texts

    facts = rated_texts(config, config.scorer).facts if config.scorer else prepare(config).facts
    shown = [f"  {name}: {facts[name]}" for name in ("dialogues", "train", "validation", "test") if name in facts]
    return [f"  data: {facts['path']} ({facts['format']})", *shown, f"  bad rows: {len(facts['bad_rows'])}"]
