"""Which dialogues the page carries when a run has more than a page can hold.

Invariant: only whole dialogues are left out, and what is taken is said in words; the wanted ones come first, then the
same students under the other tutors, then whole cells spread evenly over personas, stress and items, so that what is
embedded can still be compared side by side. Figures never depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.records import Dialogue
from sim.report.figures import plain

EMBEDDED = 2000
"""Most dialogues in one page."""


def select(dialogues: Sequence[Dialogue], wanted: Iterable[str], limit: int = EMBEDDED) -> tuple[list[Dialogue], str]:
    """Chooses the dialogues of the page.

    Args:
        dialogues: all of the run.
        wanted: ids that the page links to, most important first.
        limit: how many fit.

    Returns:
        The chosen ones in their order, and a sentence that says what was left out (empty: nothing).
    """
    if len(dialogues) <= limit:
        return list(dialogues), ""
    cells: dict[str, list[Dialogue]] = {}
    for dialogue in dialogues:
        cells.setdefault(dialogue.spec.cell, []).append(dialogue)
    found = {dialogue.id: dialogue for dialogue in dialogues}
    asked = [found[name] for name in dict.fromkeys(wanted) if name in found][:limit]
    chosen = {dialogue.id for dialogue in asked}
    linked = len(chosen)
    for cell in dict.fromkeys(dialogue.spec.cell for dialogue in asked):
        _take(chosen, cells[cell], limit)
    beside = len(chosen) - linked
    for cell in _spread(cells):
        if len(chosen) >= limit:
            break
        _take(chosen, cells[cell], limit)
    says = (
        f"This page carries {plain(len(chosen), 0)} of {plain(len(dialogues), 0)} dialogues, whole: the "
        f"{plain(linked, 0)} that it links to (the worst ones, the worst leaks, one failure of each kind), "
        f"{plain(beside, 0)} of the same students under other tutors or phases, and an even sample over students, "
        f"items and stress. Every figure above is over all dialogues. The run folder holds the rest."
    )
    return [dialogue for dialogue in dialogues if dialogue.id in chosen], says


def _take(chosen: set[str], cell: Sequence[Dialogue], limit: int) -> None:
    """Adds a whole cell, or nothing when it does not fit."""
    fresh = {dialogue.id for dialogue in cell} - chosen
    if len(chosen) + len(fresh) <= limit:
        chosen |= fresh


def _spread(cells: dict[str, list[Dialogue]]) -> list[str]:
    """All cells in an order whose every beginning is spread evenly over the sorted cells."""

    def place(cell: str) -> tuple[str, float, str, str, int, str]:
        spec = cells[cell][0].spec
        return spec.stressor, spec.intensity, spec.persona, spec.item_id, spec.repeat, cell

    ordered = sorted(cells, key=place)
    # multiples of the golden section fall evenly on an interval, however many are taken
    return [cell for _, cell in sorted((index * 0.6180339887498949 % 1.0, cell) for index, cell in enumerate(ordered))]
