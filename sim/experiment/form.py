"""How a tutor's turns are made, whatever they say: openers, one turn like the one before, dialogues like one another.

A template is seen in a set of dialogues and not in one, so `distinct_openings` and `distinct_ngrams` are taken of all
dialogues of a tutor at once. Each dialogue gets its part, and the parts average to the figure of the set: with m
dialogues that begin alike, each of them counts 1/m, which is one opening between them.

Invariant: every figure lies in [0, 1]; a dialogue without a word of the tutor's has none. What is taken of a set falls
with the size of the set, so it is compared only between sets of the same size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import cache

from agents.judges.rules import words
from agents.library import shipped_openers
from agents.records import Dialogue

OPENING_WORDS = 4
"""Words that make an opening; of a script without blanks, characters."""
GRAM = 3


def opener_share(dialogue: Dialogue) -> float | None:
    """Share of the tutor's turns that begin with a shipped opener, in whatever case and punctuation."""
    begun = [begins_with_an_opener(turn.text) for turn in dialogue.tutor_turns]
    return sum(begun) / len(begun) if begun else None


def begins_with_an_opener(text: str) -> bool:
    """Whether the first words are those of an opener of any strategy of the library."""
    said = tuple(words(text))
    return any(said[: len(opener)] == opener for opener in _openers())


@cache
def _openers() -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words(opener)) for opener in shipped_openers()) - {()}


def successive_similarity(dialogue: Dialogue) -> float | None:
    """Mean over the tutor's turns from the second on: words in this turn and the one before / words in either."""
    said = [set(found) for turn in dialogue.tutor_turns if (found := words(turn.text))]
    shared = [len(one & other) / len(one | other) for one, other in zip(said, said[1:], strict=False)]
    return sum(shared) / len(shared) if shared else None


def distinct_openings(dialogues: Sequence[Dialogue]) -> list[float | None]:
    """For each dialogue 1 / the number of those whose first tutor turn begins with the same four words."""
    return _parts([[found] if (found := _opening(dialogue)) else [] for dialogue in dialogues])


def distinct_ngrams(dialogues: Sequence[Dialogue]) -> list[float | None]:
    """For each dialogue the mean over the tutor's different word triples of 1 / the number of dialogues that say it."""
    return _parts([_triples(dialogue) for dialogue in dialogues])


def _parts(signs: Sequence[Iterable[Hashable]]) -> list[float | None]:
    """Of each dialogue's signs the mean of 1 / the number of dialogues with that sign."""
    own = [set(found) for found in signs]
    held = Counter(sign for found in own for sign in found)
    # fsum: a set has another order in another process, and a sum of floats another last digit.
    return [math.fsum(1.0 / held[sign] for sign in found) / len(found) if found else None for found in own]


def _opening(dialogue: Dialogue) -> tuple[str, ...]:
    return tuple(words(dialogue.tutor_turns[0].text)[:OPENING_WORDS]) if dialogue.tutor_turns else ()


def _triples(dialogue: Dialogue) -> set[tuple[str, ...]]:
    said = [words(turn.text) for turn in dialogue.tutor_turns]
    return {tuple(found[i : i + GRAM]) for found in said for i in range(len(found) - GRAM + 1)}
