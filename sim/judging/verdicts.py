"""Verdicts that a panel of judges gave after a run, beside the run's dialogues and never in them.

    runs/NAME/verdicts/PANEL-DIGEST/part-*.parquet     one row per verdict; a row without a name where a judge gave none

Invariant: a part that has its final name is whole. What was judged is known by dialogue, judge and a digest of what was
said, so a verdict is never shown with a conversation that it was not given on. An invalid verdict stays invalid and has
no score. The run's own verdicts stay in its parts; `overlay` decides what readers see.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agents.errors import StoreError
from agents.records import Dialogue, Verdict
from sim.grid import digest
from sim.storage.files import Location, Where, locate

FOLDER = "verdicts"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dialogue", "said", "judge", "name", "kind")),
        ("score", pa.float64()),
        ("turn", pa.int32()),
        ("votes", pa.list_(pa.string())),
        ("rationale", pa.string()),
        ("raw", pa.string()),
        ("unit_score", pa.float64()),
        ("fallbacks", pa.list_(pa.string())),
    ]
)
"""`said` is the digest of the turns; the rest as in a `Verdict`. Parts of older versions lack the last three."""
_ABOUT = b"tutorloop"

Given = Mapping[str, tuple[Verdict, ...]]
"""Verdicts by judge; a judge with none has judged and found nothing to say."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one judge said of one dialogue, perhaps nothing."""

    dialogue: str
    said: str
    judge: str
    verdicts: tuple[Verdict, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """What was judged, and by whom."""
        return self.dialogue, self.said, self.judge


def said_digest(dialogue: Dialogue) -> str:
    """A digest of who said what, and about what: a verdict on an item is none on the item that it was corrected to."""
    said = [(turn.role, turn.text) for turn in dialogue.turns]
    return digest(*said, dialogue.spec.content) if dialogue.spec.content else digest(*said)


class VerdictStore:
    """The verdicts of one panel on one run.

    Args:
        folder: `RUN/verdicts/PANEL-DIGEST`; made with the first part.
        judges: names of the panel's judges in its order; empty for a reader.
        guard: raises where this process may not write any more (`RunStore.check`).
    """

    def __init__(self, folder: Where, judges: Sequence[str] = (), *, guard: Callable[[], None] = lambda: None) -> None:
        self.folder = locate(folder)
        self._judges, self._guard = tuple(judges), guard

    def append(self, judgements: Sequence[Judgement]) -> Location:
        """Stores judgements as one new part. Raises StoreError when it cannot be written."""
        self._guard()
        about = json.dumps({"made": self._made(), "judges": self._judges}).encode()
        rows = [row for judgement in judgements for row in _rows(judgement)]
        table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({_ABOUT: about}))
        part = self.folder / f"part-{len(self.parts()):06d}-{uuid.uuid4().hex[:8]}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, write_page_checksum=True)
        try:
            part.write_bytes(sink.getvalue())
        except OSError as error:
            raise StoreError(f"cannot write {part}: {error}; free space and judge again") from error
        return part

    def parts(self) -> list[Location]:
        """All whole parts in the order they were written."""
        return self.folder.glob("part-*.parquet")

    def judgements(self) -> list[Judgement]:
        """All judgements, each once, by dialogue and then in the panel's order. Raises StoreError on a corrupt part."""
        found: dict[tuple[str, str, str], Judgement] = {}
        for part in self.parts():
            for judgement in _judgements(_read(part)):
                found[judgement.key] = judgement
        order = {judge: place for place, judge in enumerate(self.about()["judges"])}
        return sorted(found.values(), key=lambda one: (one.dialogue, order.get(one.judge, len(order)), one.key))

    def about(self) -> dict[str, Any]:
        """`made`: the panel's number among those of the run, from 1; `judges`: their names in order."""
        parts = self.parts()
        if not parts:
            return {"made": 0, "judges": list(self._judges)}
        stored: dict[str, Any] = json.loads((_read(parts[0]).schema.metadata or {}).get(_ABOUT, b"{}"))
        return {"made": 0, "judges": list(self._judges)} | stored

    def _made(self) -> int:
        made: int = self.about()["made"]
        others = [store.about()["made"] for store in panels(self.folder.parent.parent)]
        return made or max(others, default=0) + 1


def panels(run: Where) -> list[VerdictStore]:
    """The panels that judged a run, in the order in which they first did."""
    stores = [VerdictStore(folder) for folder in (locate(run) / FOLDER).iterdir() if folder.is_dir()]
    return sorted((store for store in stores if store.parts()), key=lambda store: store.about()["made"])


def overlay(dialogues: Sequence[Dialogue], run: Where) -> list[Dialogue]:
    """Dialogues as they are to be read: with the verdicts that panels gave anew.

    Args:
        dialogues: as stored, or overlaid before.
        run: the run folder.

    Returns:
        The dialogues in their order. For each, what a judge of a panel said replaces what that judge had said before,
        also where it now says nothing; other judges' verdicts stay. Later panels replace earlier ones.

    Raises:
        StoreError: a part of a panel is corrupt.
    """
    found = list(dialogues)
    for store in panels(run):
        given: dict[tuple[str, str], dict[str, tuple[Verdict, ...]]] = {}
        for one in store.judgements():
            given.setdefault((one.dialogue, one.said), {})[one.judge] = one.verdicts
        judged = {dialogue for dialogue, _ in given}
        found = [judged_again(d, given.get((d.id, said_digest(d)), {})) if d.id in judged else d for d in found]
    return found


def judged_again(dialogue: Dialogue, given: Given) -> Dialogue:
    """A dialogue with a panel's verdicts in place of those of judges of the same names."""
    if not given:
        return dialogue
    kept = [verdict for verdict in dialogue.verdicts if verdict.judge not in given]
    return replace(dialogue, verdicts=(*kept, *(verdict for verdicts in given.values() for verdict in verdicts)))


def _rows(judgement: Judgement) -> list[dict[str, Any]]:
    about = {"dialogue": judgement.dialogue, "said": judgement.said, "judge": judgement.judge}
    return [
        about
        | {
            "name": verdict.name,
            "kind": verdict.kind,
            "score": verdict.score,
            "turn": verdict.turn,
            "votes": list(verdict.votes),
            "rationale": verdict.rationale,
            "raw": verdict.raw,
            "unit_score": verdict.unit_score,
            "fallbacks": list(verdict.fallbacks),
        }
        for verdict in judgement.verdicts
    ] or [about]


def _judgements(table: Any) -> Iterator[Judgement]:
    found: dict[tuple[str, str, str], list[Verdict]] = {}
    for row in table.to_pylist():
        verdicts = found.setdefault((row["dialogue"], row["said"], row["judge"]), [])
        if row["name"] is not None:
            verdicts.append(
                Verdict(
                    row["judge"],
                    row["name"],
                    row["kind"],
                    score=row["score"],
                    turn=row["turn"],
                    votes=tuple(row["votes"]),
                    rationale=row["rationale"],
                    raw=row.get("raw") or "",
                    unit_score=row.get("unit_score"),
                    fallbacks=tuple(row.get("fallbacks") or ()),
                )
            )
    for key, verdicts in found.items():
        yield Judgement(*key, tuple(verdicts))


def _read(part: Location) -> Any:
    try:
        with pq.ParquetFile(pa.BufferReader(part.read_bytes()), page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{part} is corrupt ({type(error).__name__}); move it away and judge again: its dialogues are judged anew"
        ) from error
