"""What a comparison of two runs is made of: the two sides, the pairs, the measures, and what was left out.

Invariant: an estimate is None where there was nothing to estimate it from; it is never 0 instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.errors import InputError
from agents.records import Dialogue
from sim.config import Config
from sim.stats.paired import Estimate
from sim.storage.files import Location


@dataclass(frozen=True, slots=True)
class JudgedAgain:
    """A panel that judged a run's dialogues again."""

    folder: str
    """Its folder of verdicts: the panel's name and the digest of what decides its verdicts."""
    judges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs: its dialogues of one phase."""

    name: str
    dialogues: tuple[Dialogue, ...]
    phase: str = ""
    config: Config | None = None
    folder: Location | None = None
    planned: frozenset[tuple[str, str]] = frozenset()
    """Tutor and cell of every dialogue that the config asks for; empty where that is not known."""
    panels: tuple[JudgedAgain, ...] = ()
    """In the order in which they judged: of one judge the last one's verdicts stand."""
    notes: tuple[str, ...] = ()
    """What of the folder was passed over, because it stands twice or cannot be read."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one run holds of one tutor, paired or not."""

    tutor: str
    n: int
    """Stored dialogues, the failed ones included."""
    n_items: int
    n_failed: int
    n_not_run: int
    """Dialogues that the config asks for and the folder does not hold."""
    n_verdicts: int
    n_invalid: int


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One measure of two tutors. An estimate is None where there was nothing to estimate it from."""

    metric: str
    label: str
    unit: str
    better: str
    first: Estimate | None
    """Mean over the pairs, as `second` is."""
    second: Estimate | None
    difference: Estimate | None
    """Second minus first, pair by pair."""
    p_holm: float | None
    """Corrected over all comparisons of the `Comparison`."""
    own: Estimate | None
    """Mean over all finished dialogues of the second run's tutor, paired or not."""
    n_missing_first: int
    """Pairs in which the first run's dialogue finished without the measure."""
    n_missing_second: int
    n_missing: int
    """Pairs in which it is missing on one side or both."""
    n_lost: int
    """Cells that should have given a pair of values and did not: failed, not run, judged invalid, or measured on one
    side only. A measure that neither side has, such as `noticed` where nobody was in distress, is not lost."""
    n_own_lost: int
    """Dialogues of the second run that should have given a value and did not: failed, not run or judged invalid."""
    verdicts_first: tuple[int, int]
    """Invalid verdicts and all verdicts that the measure is made of."""
    verdicts_second: tuple[int, int]
    note: str
    other_judges: str = ""
    """Why judges of one name may be two, so that a difference is no evidence; empty where nothing says so."""


@dataclass(frozen=True, slots=True)
class TutorComparison:
    """A tutor of the first run beside one of the second, on the cells that both met."""

    first: Counts
    second: Counts
    n_shared: int
    """Cells stored in both runs, unchanged: the pairs, and those in which a dialogue failed."""
    n_pairs: int
    """Shared cells that both finished."""
    n_same: int
    """Of these, the pairs in which both runs said the same, word for word, as a replay does."""
    n_items: int
    """Items of the pairs."""
    n_only_first: int
    n_only_second: int
    n_failed_first: int
    """Of the shared cells, as `n_failed_second` is; one that failed on both sides counts in both."""
    n_failed_second: int
    n_not_run: int
    """Cells that both configs ask for and at least one run does not hold."""
    metrics: tuple[MetricComparison, ...]
    n_apart: int = 0
    """Cells that both runs hold, with an item, persona or stressor that was changed between them: in no pair."""
    n_unknown: int = 0
    """Shared cells of which nobody knows whether they met the same: a version of before digests made them."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A key in which two resolved configs differ; None where a side does not have it."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared."""

    first: str
    second: str
    phases: tuple[str, str]
    confidence: float
    metrics: tuple[str, ...]
    tutors: tuple[TutorComparison, ...]
    left_out: tuple[str, ...]
    """Tutors that were not compared, each with its run."""
    changes: tuple[ConfigChange, ...]
    """What else could be the cause of a difference."""
    absent: tuple[str, ...] = ()
    """Tutors of the first run that the second does not have, where it was not asked for two tutors by name."""
    panels: tuple[tuple[JudgedAgain, ...], tuple[JudgedAgain, ...]] = ((), ())
    """The panels that judged each run again."""
    apart: tuple[str, ...] = ()
    """Items, personas and stressors that were changed between the runs, with the pairs that are set apart for it."""
    inputs: tuple[str, ...] = ()
    """How what the configs name (packs, strategies, rubrics, ...) differs by content."""
    notes: tuple[str, ...] = ()
    """What of the two folders was passed over."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One tutor of one run: its dialogues by cell, and the cells it was to have."""

    tutor: str
    cells: dict[str, Dialogue]
    planned: frozenset[str]

    @classmethod
    def of(cls, side: Side, tutor: str) -> Arm:
        """The dialogues of a tutor. Raises InputError where a cell stands twice."""
        cells: dict[str, Dialogue] = {}
        for dialogue in side.dialogues:
            if dialogue.spec.tutor_name != tutor:
                continue
            if dialogue.spec.cell in cells:
                raise InputError(
                    f"{side.name}: tutor {tutor!r} met student {dialogue.spec.cell} twice (dialogues "
                    f"{cells[dialogue.spec.cell].id} and {dialogue.id}); compare one phase at a time"
                )
            cells[dialogue.spec.cell] = dialogue
        return cls(tutor, cells, frozenset(cell for name, cell in side.planned if name == tutor))

    @property
    def asked(self) -> set[str]:
        """Cells that are stored or still to be run."""
        return self.cells.keys() | self.planned

    def counts(self) -> Counts:
        """What it holds, paired or not."""
        stored = self.cells.values()
        verdicts = [verdict for dialogue in stored for verdict in dialogue.verdicts]
        return Counts(
            tutor=self.tutor,
            n=len(stored),
            n_items=len({dialogue.spec.item_id for dialogue in stored}),
            n_failed=sum(dialogue.failure is not None for dialogue in stored),
            n_not_run=len(self.asked) - len(stored),
            n_verdicts=len(verdicts),
            n_invalid=sum(verdict.kind == "invalid" for verdict in verdicts),
        )
