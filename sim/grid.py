"""From a config to the episodes of a phase, with deterministic ids.

Invariant: the same config gives the same episodes in the same order on every machine (no salted hash, no clock), an id
is a digest of everything that decides the episode, and `student_key` is equal for the same student, item and repeat in
every arm and phase: that is what makes comparisons paired.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from agents.records import EpisodeSpec, Item
from sim.config import Config, ItemsConfig
from sim.config_experiment import TutorArm

MOST = 1_000_000
"""Episodes that a phase holds at most: all are held in memory, about 1 KB each, and made in half a minute."""
MOST_REPLIES = 100_000
"""Replies that a dialogue holds at most: it is one record, in memory until it has ended."""
Cell = tuple[str, tuple[str, float]]
"""Persona, and stressor with intensity, of one item."""


def digest(*parts: object) -> str:
    """A 16-digit hexadecimal digest of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def held_option(item: Item, *, seed: int, persona: str, repeat: int) -> int:
    """The wrong option a student holds: chosen by digest, another one at each repeat."""
    wrong = [i for i, option in enumerate(item.question.options) if not option.correct]
    first = int(digest("held", seed, item.id, persona), 16)
    return wrong[(first + repeat) % len(wrong)]


def episodes(config: Config, *, phase: str, items: ItemsConfig, personas: Iterable[str]) -> list[EpisodeSpec]:
    """All episodes of a phase: every cell (repeat, item, persona, stress) with every tutor.

    Tutors stand innermost, so a run that is cut short has compared them on the cells it got to.
    """
    pack = config.inputs.pack(items.pack)
    found: list[EpisodeSpec] = []
    drawn = _drawn(config)
    met: dict[tuple[str, str, str], str] = {}
    for repeat, item in itertools.product(range(items.repeats), pack.spread(items.limit)):
        cells = list(itertools.product(personas, stresses(config)))
        for persona, stress in drawn(cells, item.id, repeat):
            held = held_option(item, seed=config.seed, persona=persona, repeat=repeat)
            student = digest(config.seed, items.pack, item.id, persona, held, repeat)
            who = (item.id, persona, stress[0])
            if who not in met:
                met[who] = config.inputs.met(pack, item, persona=persona, stressor=stress[0])
            base = EpisodeSpec(
                *("", "", phase, "", {}, persona, items.pack, item.id, held, repeat, student, "", *stress, met[who])
            )
            found.extend(_spec(config, base, arm) for arm in config.tutor_arms())
    return found


def grid_size(config: Config, *, items: ItemsConfig, personas: Sequence[str]) -> int:
    """How many episodes a phase has before a fractional design draws of them; nothing is made for it."""
    taught = len(config.inputs.pack(items.pack).spread(items.limit)) * items.repeats
    return taught * len(personas) * len(stresses(config)) * len(config.tutor_arms())


def planned(config: Config, *, items: ItemsConfig, personas: Sequence[str]) -> int:
    """How many episodes a phase has."""
    if config.experiment.fraction == 1.0:
        return grid_size(config, items=items, personas=personas)
    return len(episodes(config, phase="", items=items, personas=personas))


def experiment_specs(config: Config) -> list[EpisodeSpec]:
    """All episodes of a config of kind `run`."""
    return episodes(config, phase="run", items=config.items, personas=config.students.personas)


def stresses(config: Config) -> list[tuple[str, float]]:
    """Stressors with their intensities; intensity 0 is the same for all of them and stands once, as no stressor."""
    found = [(one.name, x) for one in config.stressors for x in sorted(set(one.intensities)) if x > 0.0]
    calm = not config.stressors or any(0.0 in one.intensities for one in config.stressors)
    return [("", 0.0), *found] if calm else found


def _drawn(config: Config) -> Callable[[list[Cell], str, int], list[Cell]]:
    """Draws the cells that a fractional design keeps, the same for every tutor.

    Systematic sampling over the whole grid, each item's cells in an order of their own: the share is kept to within one
    cell, and spread evenly over items.
    """
    share = config.experiment.fraction
    seen = 1.0 - share  # so that the first cell is kept

    def draw(cells: list[Cell], item: str, repeat: int) -> list[Cell]:
        nonlocal seen
        if share == 1.0:
            return cells
        kept = []
        for cell in sorted(cells, key=lambda cell: digest("drawn", config.seed, item, repeat, cell)):
            before, seen = seen, seen + share
            kept += [cell] * (int(seen) - int(before))
        return [cell for cell in cells if cell in kept]

    return draw


def _spec(config: Config, base: EpisodeSpec, arm: TutorArm) -> EpisodeSpec:
    strategy = config.strategy_of(arm)
    named = {"tutor": arm.model_dump(), "stressor": base.stressor, "intensity": base.intensity}
    more = [named] if config.tutors or base.stressor else []
    stress = f" x {base.stressor} {base.intensity:g}" if base.stressor else ""
    return replace(
        base,
        id=digest(base.phase, strategy, arm.settings, base.student_key, *more),
        arm=f"{arm.name} x {base.persona}{stress}",
        strategy=strategy,
        strategy_settings=dict(arm.settings),
        tutor=arm.name,
    )
