"""From a config to the episodes of a phase, with deterministic ids.

Invariant: the same config gives the same episodes in the same order on every machine (no salted hash, no clock), an id
is a digest of everything that decides the episode, and `student_key` is equal for the same student, item and repeat in
every arm and phase: that is what makes comparisons paired.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable

from agents.packs import load_pack
from agents.records import EpisodeSpec, Item
from sim.config import Config, ItemsConfig


def digest(*parts: object) -> str:
    """A 16-digit hexadecimal digest of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def held_option(item: Item, *, seed: int, persona: str, repeat: int) -> int:
    """The wrong option a student holds: chosen by digest, another one at each repeat."""
    wrong = [i for i, option in enumerate(item.question.options) if not option.correct]
    first = int(digest("held", seed, item.id, persona), 16)
    return wrong[(first + repeat) % len(wrong)]


def episodes(config: Config, *, phase: str, items: ItemsConfig, personas: Iterable[str]) -> list[EpisodeSpec]:
    """All episodes of a phase: strategies x items x personas x repeats."""
    pack = load_pack(items.pack)
    cells = itertools.product(config.tutor.strategies, range(items.repeats), pack.spread(items.limit), personas)
    return [
        _spec(config, phase=phase, strategy=strategy, repeat=repeat, item=item, pack=items.pack, persona=persona)
        for strategy, repeat, item, persona in cells
    ]


def _spec(
    config: Config, *, phase: str, strategy: str, repeat: int, item: Item, pack: str, persona: str
) -> EpisodeSpec:
    held = held_option(item, seed=config.seed, persona=persona, repeat=repeat)
    student = digest(config.seed, pack, item.id, persona, held, repeat)
    settings = dict(config.tutor.settings)
    return EpisodeSpec(
        id=digest(phase, strategy, settings, student),
        arm=f"{strategy} x {persona}",
        phase=phase,
        strategy=strategy,
        strategy_settings=settings,
        persona=persona,
        pack=pack,
        item_id=item.id,
        held_option=held,
        repeat=repeat,
        student_key=student,
    )
