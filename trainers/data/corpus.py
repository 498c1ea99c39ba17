"""A corpus: the dialogues of a file as records, with every row that did not become one.

Invariant: each record of the source is in `dialogues` or in `bad`, in the order of the file. Ids are digests of what
the row says, so the same file gives the same ids everywhere; a row that says exactly what an earlier one says differs
from it in `repeat` alone. `spec.item_id` is the key by which data must be kept together against leakage.

Fields of a record that a corpus cannot know: `held_option` is -1, tokens and costs are zero, `phase` is `corpus`.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agents.records import Dialogue, EpisodeSpec, Verdict
from trainers.data.files import BadRow, RowError
from trainers.data.utterances import Said

# Signs such as + and - stay: they tell one sum from another.
_PUNCTUATION = re.compile(r"""[\s.,;:!?'"“”‘’…]+""")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Dialogues of one source, the rows that are none, and what was changed on the way."""

    name: str
    dialogues: tuple[Dialogue, ...]
    bad: tuple[BadRow, ...]
    notes: dict[str, int] = field(default_factory=dict)
    """How often something was changed or is worth knowing, by name, over `dialogues`. Everywhere: `turns_merged`
    (messages joined to the one before, from the same side), `empty_turns` (dropped), `begins_with_tutor` (dialogues).
    The readers say which others they count."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reader found in a row."""

    said: Said
    group: str
    """Becomes `item_id`."""
    verdicts: tuple[Verdict, ...] = ()
    dimension: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    student: str = ""
    """Equal for dialogues whose student is the same; empty: the group decides."""
    persona: str = "human"
    tutor: str = "human"
    identity: str = ""
    """What else tells the row from others that say the same."""


class Collector:
    """Gathers the dialogues and bad rows of one source while it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: Counter[str] = Counter()
        self._dialogues: list[Dialogue] = []
        self._bad: list[BadRow] = []
        self._seen: Counter[str] = Counter()

    @contextmanager
    def row(self, line: int, part: str = "") -> Iterator[None]:
        """Lists the row as bad when what is done inside raises `RowError`; `part` names which part of it."""
        try:
            yield
        except RowError as error:
            self._bad.append(BadRow(line, f"{part}: {error}" if part else str(error)))

    def reject(self, bad: BadRow) -> None:
        """Lists a row that could not be read."""
        self._bad.append(bad)

    def add(self, draft: Draft) -> None:
        """Makes the dialogue. Raises RowError when not both sides speak in it."""
        turns = draft.said.turns
        sides = {turn.role for turn in turns}
        if sides != {"tutor", "student"}:
            said = f"only the {sides.pop()} speaks" if sides else "nothing is said"
            raise RowError(f"{said}; a dialogue needs both sides")
        texts = [(turn.role, turn.text) for turn in turns]
        identity = digest(self.name, draft.identity, draft.group, draft.dimension, draft.settings, draft.tutor, texts)
        repeat = self._seen[identity]
        self._seen[identity] += 1
        settings = {"dimension": draft.dimension} if draft.dimension else {}
        spec = EpisodeSpec(
            id=digest(identity, repeat),
            arm=draft.dimension or self.name,
            phase="corpus",
            strategy="knowledge_building" if draft.dimension else "human",
            strategy_settings={**settings, **{name: value for name, value in draft.settings.items() if value}},
            persona=draft.persona,
            pack=self.name,
            item_id=draft.group,
            held_option=-1,
            repeat=repeat,
            student_key=digest(self.name, draft.student or draft.group),
        )
        self._dialogues.append(Dialogue(spec, turns=turns, verdicts=draft.verdicts, tutor_policy=draft.tutor))
        self.notes["turns_merged"] += draft.said.merged
        self.notes["empty_turns"] += draft.said.empty
        self.notes["begins_with_tutor"] += turns[0].role == "tutor"

    def corpus(self) -> Corpus:
        """What was gathered."""
        notes = {name: count for name, count in sorted(self.notes.items()) if count}
        return Corpus(self.name, tuple(self._dialogues), tuple(self._bad), notes)


def digest(*parts: object) -> str:
    """A 16-digit hexadecimal digest of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def normalised(text: str) -> str:
    """A text as a key: compatibility forms and case folded, blanks and plain punctuation one blank each."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _PUNCTUATION.sub(" ", folded).strip() or folded.strip()
