"""Checks that what a config compares, rewards or decides by can be measured in the language of its packs.

Invariant: a measure that a config names is measured in every dialogue that could have it, or the config is refused
before anything starts. A dumped answer is a leak in every item, or leaks are not measured by that pack.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from agents.controls import ControlTutor
from agents.errors import InputError
from agents.judges.grammar import languages
from agents.judges.rules import find_leaks, measured
from agents.packs import Pack, load_pack, shipped_packs
from sim.compare.conditions import parse_condition
from sim.config import Config
from sim.config_reward import RewardConfig
from sim.gate import WHERE
from sim.reward import needs

RULE_OF = {
    "question_share": "question",
    "leak_rate": "leak",
    "leak_severity": "leak",
    "net_gain": "leak",
    "confirmation_share": "confirmation",
    "on_item": "on_item",
    "repetition": "repetition",
    "words": "words",
    "grade": "grade",
    "student_tutor_phrases": "grade",
}
"""The rule behind a measure; of phrases the one that is measured in the same language, English."""
WEIGHED = ("question", "on_item", "repetition", "leak")
"""The rules that a reward weighs."""


def check_language(config: Config, where: str) -> None:
    """Checks every measure that the config names. Raises InputError on the first that its packs' language lacks."""
    packs = [config.items.pack, *([config.loop.heldout.items.pack] if config.kind == "loop" else [])]
    for name in dict.fromkeys(packs):
        pack = load_pack(name)
        for key, rule, remedy in _named(config):
            if rule not in measured(pack.language):
                raise InputError(
                    f"{where}: {key}: not measured in {pack.language!r}, the language of pack {name} (questions are in "
                    f"{', '.join(languages())}; docs/measures.md has the rest); {remedy}"
                )
            if rule == "leak" and name not in shipped_packs() and (item := _undumped(pack)):
                raise InputError(
                    f"{where}: {key}: pack {name}: item {item!r}: saying the answer is not found to be a leak, so "
                    f"leaks are not measured; word the answer as a student would say it, or {remedy}"
                )


def _named(config: Config) -> Iterator[tuple[str, str, str]]:
    """Key, rule and remedy of everything that the config names: compared, weighed or decided by."""
    if config.kind == "loop":
        for text in config.loop.gate.fail_if:
            metric = parse_condition(text, WHERE).metric
            if metric in RULE_OF:
                yield f"{WHERE} {text!r}", RULE_OF[metric], "leave the condition out"
        yield "loop.gate", "leak", "a loop cannot decide without leaks: use a pack in another language"
        for key, weights in (
            ("reward", config.reward),
            *((f"sweep: {p.name}: reward", p.reward) for p in config.sweep),
        ):
            yield from _weighed(key, weights)
        return
    for metric in (*config.experiment.metrics, *config.experiment.no_worse_by):
        if metric in RULE_OF:
            yield f"experiment.metrics: {metric!r}", RULE_OF[metric], "name other measures"
    if config.dialogue.candidates > 1 or "reward" in config.experiment.metrics:
        yield from _weighed("reward", config.reward)


def _weighed(key: str, weights: RewardConfig) -> Iterator[tuple[str, str, str]]:
    for rule in WEIGHED:
        if needs(weights, rule):
            yield (
                f"{key}.{rule}",
                rule,
                f"set {key}.{rule} to 0"
                + (" and reward.gain as well" if rule == "leak" else "")
                + (f", and {key}.gates.{rule} to null" if getattr(weights.gates, rule, None) is not None else ""),
            )


@lru_cache(maxsize=8)
def _undumped(pack: Pack) -> str:
    """The first item whose answer, said plainly, is no leak; empty: there is none."""
    for item in pack.items:
        if not find_leaks(ControlTutor("answer_dump", item).says(0), item.question, turn=1):
            return item.id
    return ""
