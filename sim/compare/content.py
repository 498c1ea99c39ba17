"""Whether two dialogues met the same thing: pairs by content, and what of it differs between two runs.

Invariant: a pair that is compared had the same item and the same student, by what was in them and not by their names.
Where an item, persona or stressor was changed between the runs, the pair is set apart and counted, whatever was said.
Records of versions that kept no digest are told apart by what they hold: the right option of their probes, and how the
student opened; that such a pair is the same is then not known, and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from agents.records import Dialogue, EpisodeSpec
from sim.compare.comparison import Arm, Side
from sim.compare.text import some
from sim.config import Config
from sim.grid import digest
from sim.inputs import Input, Inputs, changes

Pair = tuple[Dialogue, Dialogue]


class Matched(NamedTuple):
    """The dialogues of two tutors that belong together."""

    pairs: list[Pair]
    apart: list[Pair]
    """The same student and item by name, of which one was changed between the runs."""
    n_unknown: int
    """Of the pairs, those of which nobody knows whether they met the same: a version kept no digest."""


def matched(a: Arm, b: Arm) -> Matched:
    """Pairs the dialogues of two tutors, and sets those apart that did not meet the same."""
    common = [(a.cells[cell], b.cells[cell]) for cell in sorted(a.cells.keys() & b.cells.keys())]
    pairs = [(x, y) for x, y in common if not changed(x, y)]
    apart = [(x, y) for x, y in common if changed(x, y)]
    # A corrected key changes which misconceptions there are, so its students may hold others and have other cells.
    mine = {_place(one): one for cell, one in sorted(a.cells.items()) if cell not in b.cells}
    theirs = {_place(one): one for cell, one in sorted(b.cells.items()) if cell not in a.cells}
    met_otherwise = [(mine[place], theirs[place]) for place in sorted(mine.keys() & theirs.keys())]
    apart += [(x, y) for x, y in met_otherwise if changed(x, y)]
    return Matched(pairs, apart, sum(not (x.spec.content and y.spec.content) for x, y in pairs))


def _place(dialogue: Dialogue) -> tuple[str, str, str, int, str, float]:
    spec = dialogue.spec
    return spec.pack, spec.item_id, spec.persona, spec.repeat, spec.stressor, spec.intensity


def changed(first: Dialogue, second: Dialogue) -> bool:
    """Whether the item, the persona or the stressor was another one, for all that is known."""
    if first.spec.content and second.spec.content:
        return first.spec.content != second.spec.content
    mine, theirs = _keys(first), _keys(second)
    if any(mine[kind] != theirs[kind] for kind in mine.keys() & theirs.keys()):
        return True
    opened = [one.turns[0].text for one in (first, second) if one.turns and not one.spec.stressor]
    return len(opened) == 2 and opened[0] != opened[1]


def _keys(dialogue: Dialogue) -> dict[str, tuple[int, int]]:
    """By probe of the whole question: the right option, and of how many."""
    return {
        probe.kind: (probe.answer, len(probe.probabilities))
        for probe in dialogue.probes
        if not probe.options and probe.kind in ("before", "after", "transfer_before", "transfer")
    }


def told_apart(apart: Iterable[Pair], first: Side, second: Side) -> tuple[str, ...]:
    """What was changed, by how many pairs it takes away: such as `1 item changed between the runs: tides (4 pairs)`."""
    sides = [side.config.inputs if side.config else Inputs() for side in (first, second)]
    found = Counter(_what(x.spec, y.spec, *sides) for x, y in apart)
    said = []
    for kind in ("item", "persona", "stressor"):
        names = {name for one, name in found if one == kind}
        n = sum(count for (one, _), count in found.items() if one == kind)
        if names:
            what = f"1 {kind}" if len(names) == 1 else f"{len(names)} {kind}s"
            pairs = "1 pair is" if n == 1 else f"{n} pairs are"
            said.append(f"{what} changed between the runs: {some(names)}; {pairs} set apart and in no figure")
    return tuple(said)


def _what(mine: EpisodeSpec, theirs: EpisodeSpec, first: Inputs, second: Inputs) -> tuple[str, str]:
    """What of a pair was changed; the item where that is not known."""
    named = {"persona": (mine.persona, theirs.persona), "stressor": (mine.stressor, theirs.stressor)}
    if _part(first.find("pack", mine.pack), mine.item_id) == _part(second.find("pack", theirs.pack), theirs.item_id):
        for kind, (name, other) in named.items():
            one, two = first.find(kind, name), second.find(kind, other)
            if one and two and one.digest != two.digest:
                return kind, name
    return "item", mine.item_id


def _part(found: Input | None, name: str) -> str | None:
    return dict(found.parts).get(name) if found else None


def input_changes(first: Side, second: Side) -> tuple[str, ...]:
    """How the inputs of two runs differ, in words, beside how their configs do."""
    if not first.config or not second.config:
        return ()
    mine, theirs = first.config.inputs, second.config.inputs
    return tuple(one.says for one in changes(mine, theirs))


def rubric_changed(metric: str, first: Side, second: Side) -> bool:
    """Whether a criterion, or its scale, is another one in the rubrics that two runs were judged by."""
    found = [
        side.config.inputs.find("rubric", side.config.rubric.name) if side.config and side.config.rubric else None
        for side in (first, second)
    ]
    if found[0] is None or found[1] is None:
        return False
    mine, theirs = dict(found[0].parts), dict(found[1].parts)
    parts: tuple[str, ...] = ("scale", f"criterion {metric.rpartition('/')[2]!r}")
    if "readable" in mine and "readable" in theirs:  # runs of before rubrics had it lack it
        parts = (*parts, "readable")
    return any(mine.get(part) != theirs.get(part) for part in parts)


def scorer_changed(first: Side, second: Side) -> bool:
    """Whether two runs were rated by scorers of other weights."""
    found = [
        side.config.inputs.find("scorer", side.config.scorer.path) if side.config and side.config.scorer else None
        for side in (first, second)
    ]
    return found[0] is not None and found[1] is not None and found[0].digest != found[1].digest


def under_one_name(first: Side, second: Side) -> Side:
    """The second run as if its pack had the first one's name, where some of its items are the same by content.

    Students' keys are made of the pack's name, so a pack that was moved would share no student with itself.
    """
    names = [{one.spec.pack for one in side.dialogues} for side in (first, second)]
    if len(names[0]) != 1 or len(names[1]) != 1 or names[0] == names[1] or second.config is None:
        return second
    met = [{one.spec.content for one in side.dialogues} - {""} for side in (first, second)]
    if not met[0] & met[1]:
        return second
    old, new = names[1].pop(), names[0].pop()
    keys = _keys_under(second.config, second.dialogues, old, new)

    def spec_of(spec: EpisodeSpec) -> EpisodeSpec:
        return replace(spec, pack=new, student_key=keys.get(spec.student_key, spec.student_key))

    def cell_of(cell: str) -> str:
        key, mark, stress = cell.partition("/")
        return keys.get(key, key) + mark + stress

    return replace(
        second,
        dialogues=tuple(replace(one, spec=spec_of(one.spec)) for one in second.dialogues),
        planned=frozenset((tutor, cell_of(cell)) for tutor, cell in second.planned),
    )


def _keys_under(config: Config, dialogues: Sequence[Dialogue], old: str, new: str) -> dict[str, str]:
    """Students' keys with a pack's one name, and what they are with its other name."""
    heard = {(one.spec.persona, one.spec.repeat) for one in dialogues}
    items = {one.spec.item_id for one in dialogues}
    found = config.inputs.find("pack", old)
    options = {item: 10 for item in items}
    if found:
        pack = config.inputs.pack(old)
        options = {item.id: len(item.question.options) for item in pack.items}
    return {
        digest(config.seed, old, item, persona, held, repeat): digest(config.seed, new, item, persona, held, repeat)
        for item, count in options.items()
        for persona, repeat in heard
        for held in range(count)
    }
