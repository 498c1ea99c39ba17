"""The closed loop: simulate, judge, train, deliver, prove, replay, decide; round by round.

Invariant: every step that finished is stored before the next begins and is not done again when the same command is
given after an interruption. The held-out set is frozen: the same students meet every policy. A policy that was not
proved to be live is never replayed, one that was not promoted is taken out of the engine again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from agents.records import Dialogue, EpisodeSpec
from agents.views import tutor_system, view
from sim import analysis, gate, signals
from sim.compare.comparison import Side
from sim.config import Config
from sim.config_reward import SweepPoint
from sim.credit import revalued
from sim.delivery import deliver
from sim.grid import episodes
from sim.judged import same_judges
from sim.pools import Pools
from sim.progress import Teller
from sim.rounds import BASE, heldout_phase, round_name, training_phase
from sim.simulate import Batch, simulate
from sim.storage.store import RunStore
from trainers.export import export_preferences
from trainers.job import train
from trainers.plan import TrainPlan, TrainResult, TrainSettings
from trainers.registry import Adapter, Registry
from trainers.trees import Rejection, Tree, build_tree, count_reasons, rejections_to_jsonl, trees_to_jsonl


@dataclass(frozen=True, slots=True)
class Policy:
    """A tutor policy: the base model, or an adapter."""

    name: str
    adapter: Path | None = None


class Loop:
    """One run of the loop. All engines are started by it once and closed by it."""

    def __init__(
        self,
        config: Config,
        *,
        store: RunStore,
        pools: Pools,
        base: str,
        teller: Teller,
        point: SweepPoint | None = None,
    ) -> None:
        """Makes a loop that has not begun.

        Args:
            config: what to run.
            store: the run folder.
            pools: engines, started or not.
            base: the base model: a folder, or a name (`agents.models.is_a_name`).
            teller: told of progress.
            point: of a sweep: its reward stands in for the config's, its name is in the names of steps and adapters,
                and its first round learns from the simulation that all points share.
        """
        self._config, self._store, self._pools, self._base, self._tell = config, store, pools, base, teller
        self._registry = Registry(store.mirror.recall("adapters"))
        self._tutor_pool = config.pool_of("tutor")
        self._label = f"-{point.name}" if point else ""
        self._reward = point.reward if point else config.reward

    async def run(self) -> None:
        """Runs every round that is not finished yet."""
        await self._pools.start(self._config.heard_roles(), self._config.reward_pools())
        await self._pools.start(["tutor"])
        policy = Policy(BASE)
        for number in range(1, self._config.loop.rounds + 1):
            policy = await self._round(number, policy)

    async def _round(self, number: int, old: Policy) -> Policy:
        name = round_name(number, self._label)
        decided = self._store.step(f"{name}-decide")
        if decided is not None:
            adapter = self._registry.get(decided["adapter"])
            return Policy(adapter.name, adapter.path) if decided["decision"] == "promoted" else old
        await self._ensure_live(old)
        await self._timed(name, "simulate", self._simulate(number, old))
        trained = await self._train(number, old)
        begun, new = time.monotonic(), Policy(trained.name, trained.path)
        delivered = await self._ensure_live(new)
        if delivered is not None:
            self._store.finish_step(f"{name}-deliver", delivered | {"wall_seconds": time.monotonic() - begun})
        await self._timed(name, "replay", self._replay(new))
        return await self._decide(number, old, new)

    async def _timed(self, name: str, step: str, work: Any) -> None:
        """Runs a step; its seconds are kept, and added to those of an interrupted try."""
        key, begun = f"{name}-{step}", time.monotonic()
        earlier = (self._store.step(key) or {}).get("seconds", 0.0)
        try:
            await work
        finally:
            self._store.finish_step(key, {"seconds": earlier + time.monotonic() - begun})

    def training_specs(self, number: int) -> list[EpisodeSpec]:
        """The training episodes of a round."""
        config, phase = self._config, training_phase(number, self._label)
        return episodes(config, phase=phase, items=config.items, personas=config.students.personas)

    def heldout_specs(self, policy: str) -> list[EpisodeSpec]:
        """The held-out episodes with a policy."""
        held = self._config.loop.heldout
        return episodes(self._config, phase=heldout_phase(policy), items=held.items, personas=held.personas)

    async def _simulate(self, number: int, old: Policy) -> None:
        """Training dialogues with candidates, and the replay of the old policy if it was never replayed."""
        batches = [
            Batch(self.training_specs(number), self._config.dialogue.candidates),
            Batch(self.heldout_specs(old.name), 1),
        ]
        await self._run(batches, f"round {number}: training dialogues, and held-out ones with {old.name}")

    async def _replay(self, new: Policy) -> None:
        await self._run([Batch(self.heldout_specs(new.name), 1)], f"held-out dialogues with {new.name}")

    async def _run(self, batches: Sequence[Batch], what: str) -> None:
        await simulate(batches, what=what, config=self._config, pools=self._pools, store=self._store, teller=self._tell)

    async def _train(self, number: int, old: Policy) -> Adapter:
        """Trees, training in Ray Train, and the new version in the registry."""
        name = round_name(number, self._label)
        done = self._store.step(f"{name}-train")
        if done is not None:
            return self._registry.get(done["adapter"])
        trees, rejections, opened = self._trees(number)
        work = self._store.scratch / "training" / name
        trees_to_jsonl(trees, work / "trees.jsonl")
        export_preferences(trees, work / "pairs.jsonl")
        rejections_to_jsonl(rejections, work / "rejections.jsonl")
        for file in ("trees.jsonl", "pairs.jsonl", "rejections.jsonl"):
            self._store.mirror.keep(f"training/{name}/{file}")
        pairs = sum(len(tree.pairs) for tree in trees)
        self._tell.say(f"round {number}: training on {pairs} pairs of {len(trees)} dialogues")
        if opened["candidates"][0]:
            self._tell.say(
                "begun with an opener: " + ", ".join(f"{k} of {n} {what}" for what, (k, n) in opened.items())
            )
        settings = TrainSettings(**self._config.training.model_dump())
        plan = TrainPlan(
            Path(self._base), work / "trees.jsonl", work, old.adapter, self._config.seed, settings, "tutor"
        )
        begun = time.monotonic()
        fitting = signals.unwaited(self._fit, plan, name)
        result, _ = await asyncio.gather(fitting, self._pools.own_engine(self._tutor_pool))
        seconds = time.monotonic() - begun
        self._store.mirror.keep(f"training/{name}/row_rejections.jsonl")
        rejected = Counter(count_reasons(rejections)) + Counter(result.metrics.get("rejections", {}))
        metrics = {**result.metrics, "rejections": dict(rejected), "wall_seconds": seconds, "steps": result.steps}
        metrics["openers"] = opened
        lineage = {
            "round": name,
            "parent": old.name,
            "dialogues": [tree.dialogue_id for tree in trees],
            "pairs": pairs,
            "config": self._config.training.model_dump(mode="json"),
            "reward": self._reward.model_dump(mode="json"),
            "inputs": {f"{one.kind} {one.name}": one.digest for one in self._config.inputs.entries},
            "metrics": {key: value for key, value in metrics.items() if key != "steps"},
        }
        self._store.check()
        # A run that was killed right after it published goes on with what it published.
        published = [a for a in self._registry.versions(self._family) if a.lineage.get("round") == name]
        adapter = (
            self._registry.get(published[-1].name)
            if published
            else self._registry.publish(self._family, result.adapter, lineage)
        )
        self._keep(adapter.name)
        self._store.finish_step(f"{name}-train", {"adapter": adapter.name, "seconds": seconds, "training": metrics})
        self._tell.say(f"round {number}: {adapter.name} trained in {seconds:.0f} s")
        return adapter

    def _keep(self, name: str) -> None:
        """Puts an adapter, and what says which one is current, where the run folder is."""
        self._store.mirror.keep(f"adapters/{name}")
        for one in (".claims", "current"):
            self._store.mirror.keep(f"adapters/{self._family}/{one}")

    @property
    def _family(self) -> str:
        return self._config.loop.adapter + self._label

    def _fit(self, plan: TrainPlan, run_name: str) -> TrainResult:
        training = self._config.training

        def on_step(step: dict[str, Any]) -> None:
            accuracy = "" if step["accuracy"] is None else f", accuracy {step['accuracy']:.2f}"
            self._tell.say(f"training step {step['step']}: loss {step['loss']:.3f}{accuracy}")

        return train(
            plan,
            workers=training.workers,
            run_name=run_name,
            storage_path=str(self._store.scratch / "training" / "ray"),
            cpus_per_worker=training.cpus_per_worker,
            gpus_per_worker=training.gpus_per_worker,
            on_step=on_step,
        )

    def _trees(self, number: int) -> tuple[list[Tree], list[Rejection], dict[str, list[int]]]:
        """Preference trees of a round's dialogues, what was not made into a pair, and what openers had a part in."""
        training, trees = self._config.training, []
        rejections: list[Rejection] = []
        begun: Counter[tuple[str, ...]] = Counter()
        found = self._store.dialogues([training_phase(number, self._label)])
        for note in self._store.passed_over():
            self._tell.say(escape(note))
        for stored in found:
            if stored.failure is not None:
                continue
            dialogue = revalued(stored, self._reward)
            tree, rejected = build_tree(
                dialogue,
                tutor_view(self._config, dialogue),
                role="tutor",
                margin=training.margin,
                max_pairs_per_turn=training.max_pairs_per_turn,
                reasoning=training.reasoning,
                max_alike=training.max_alike,
                begun=begun,
            )
            rejections.extend(rejected)
            if tree.pairs:
                trees.append(tree)
        chosen = {tree.dialogue_id: [pair.chosen for pair in tree.pairs] for tree in trees}
        finished = [dialogue for dialogue in found if dialogue.failure is None]
        return trees, rejections, analysis.opened_counts(finished, chosen)

    async def _ensure_live(self, policy: Policy) -> dict[str, Any] | None:
        """Puts a policy into the tutor's engine if another one is there; returns the proof of a delivery."""
        if policy.name == self._pools.live.get(self._tutor_pool, BASE):
            return None
        await self._pools.own_engine(self._tutor_pool)
        if policy.adapter is None:
            await self._pools.deliver(self._tutor_pool, BASE, weights=self._base, adapter="")
            return None
        delivered = await deliver(
            self._config,
            self._pools,
            base=self._base,
            adapter=policy.adapter,
            version=policy.name,
            scratch=self._store.scratch / "merged",
        )
        self._tell.say(
            f"{policy.name} is live: log-probs agree with the trainer to {delivered.agreement:.4f} nats a token and "
            f"show {delivered.share:.2f} of what training changed; reload took {delivered.seconds:.2f} s"
        )
        return delivered.to_dict()

    async def _decide(self, number: int, old: Policy, new: Policy) -> Policy:
        """Compares on the held-out set, decides, and leaves the policy that stays in the engine."""
        name = round_name(number, self._label)
        before, after = self._heldout(old.name), self._heldout(new.name)
        rules = self._config.loop.gate
        heldout = analysis.compare_heldout(before, after, confidence=rules.confidence)
        heldout |= {"before_phase": heldout_phase(old.name), "after_phase": heldout_phase(new.name)}
        outcomes = gate.judge_conditions(rules, self._side(old.name, before), self._side(new.name, after))
        decision = gate.decide(heldout["difference"], rules, outcomes, same_judges(self._config))
        against_base = heldout if old.name == BASE else self._against_base(after)
        self._registry.decide(new.name, {"decision": decision.decision, "reason": decision.reason})
        if decision.decision == "promoted":
            self._store.check()
            self._registry.promote(new.name)
        self._keep(new.name)
        self._store.finish_step(
            f"{name}-decide",
            {
                "decision": decision.decision,
                "reason": decision.reason,
                "adapter": new.name,
                "conditions": [
                    {"condition": one.condition.text, "state": one.state, "says": one.says} for one in outcomes
                ],
                "headline": decision.movements(),
                "heldout": heldout,
                "against_base": against_base,
            },
        )
        self._tell.say(f"round {number}: {new.name} {decision.decision.replace('_', ' ')}: {decision.reason}")
        if told := analysis.told_change(heldout):
            self._tell.say(f"round {number}: {told}")
        stays = new if decision.decision == "promoted" else old
        await self._ensure_live(stays)
        return stays

    def _heldout(self, policy: str) -> list[Dialogue]:
        """The held-out dialogues with a policy, worth what this loop's reward says."""
        return [revalued(dialogue, self._reward) for dialogue in self._store.dialogues([heldout_phase(policy)])]

    def _side(self, policy: str, dialogues: Sequence[Dialogue]) -> Side:
        """The held-out dialogues with a policy as one side of a comparison."""
        planned = frozenset((spec.tutor_name, spec.cell) for spec in self.heldout_specs(policy))
        return Side(policy, tuple(dialogues), heldout_phase(policy), planned=planned)

    def _against_base(self, after: Sequence[Dialogue]) -> dict[str, Any]:
        """The comparison with the base, which every later round is measured against as well."""
        rules = self._config.loop.gate
        before = self._heldout(BASE)
        return analysis.compare_heldout(before, after, confidence=rules.confidence)


def tutor_view(config: Config, dialogue: Dialogue) -> list[Any]:
    """A stored dialogue as its tutor saw it: what the tutor is trained on."""
    spec = dialogue.spec
    item = config.inputs.pack(spec.pack).item(spec.item_id)
    told = config.inputs.strategy(spec.strategy)
    system = tutor_system(item, told, spec.strategy_settings, knows_answer=config.tutor.knows_answer)
    return list(view(system, dialogue.turns, "tutor"))
