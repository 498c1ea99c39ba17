"""What a sentence is about: the item, the student's own thinking, or something else.

Invariant: a word counts once by its root, and for one thing alone; little words count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.judges.grammar import Grammar, number
from agents.judges.normal import stem
from agents.judges.style import ItemWords

OPTION = "b"
"""How the letter of an option is read, whichever it is, so that `A` is no article."""


def is_about(said: list[str], known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """Whether the words are the item's, or about what the student said or thinks, more than anything else's."""
    found = count(said, known, about)
    on, off = found.on, found.off
    sized = about.numbers and bool(known.quantity & set(said))
    if (
        sized and found.numbers and off <= 2 + 2 * on and found.talk < found.numbers
    ):  # "If I had 52 apples, how many ...?"
        return True
    speaks_to = known.you & set(said[2:] if said[0] in _ASKED_POLITELY else said)
    if sized and off + found.talk <= 1 + on and not (found.daily or speaks_to):
        return True
    if off <= 1 and not (found.talk or found.daily or speaks_to) and _PEOPLE & set(said):
        return True
    if found.talk and on < 3 * found.talk + off:
        return False
    thinks = about_thinking(said, known)
    if thinks == "told" and off <= 2 + 2 * on:
        return True
    if not off and (found.options or (thinks == "generic" and not found.daily)):
        return True
    if on == found.everyday and on and off:  # "Who won the election this year?"
        return False
    if not (off or found.daily or found.talk) and (sized or found.told):
        return True
    if not on:
        asked = known.ask & set(said)
        points = bool(asked & _WHY) or (len(said) > 3 and bool(_POINTS & set(said)))
        if off or found.daily or not asked:
            return False
        return on_item or (points and not any(known.open(word) for word in said))
    if _of_own_doings(said) if known.language == "en" else found.daily or (off and known.you & set(said)):
        return on > off + 2 * found.daily
    return off <= 2 * on


def _of_own_doings(said: list[str]) -> bool:
    """`Have you ...`, `What did you ...`: about what the student does, unless in words of thinking."""
    return "you" in (said[1:2] if said[0] in _OWN else said[2:3] if said[0] in _THINGS and said[1] in _OWN else ())


@dataclass(slots=True)
class Counts:
    """What the words of a sentence are about."""

    on: int = 0
    """The item."""
    everyday: int = 0
    """Of these, words that turn up in any talk."""
    off: int = 0
    """Anything else."""
    talk: int = 0
    """Small talk."""
    daily: int = 0
    """Words of daily life that the item does not have."""
    numbers: int = 0
    told: int = 0
    """Words of the student's steps and reasons."""
    options: int = 0
    """Letters of options."""


def count(said: list[str], known: Grammar, about: ItemWords) -> Counts:
    """Each root once."""
    found, topic = Counts(), set[str]()
    explains = bool(known.explaining & set(said))
    for before, word in zip(["", *said], said, strict=False):
        root = stem(word, known.language)
        if (before, word) in _LAST_NIGHT:
            found.talk += 1
            continue
        if word == OPTION:
            found.options += 1
        elif word in known.passed or root in topic or (explains and word in known.audience):
            continue
        elif known.daily.has(word, root) and root not in about.near:
            found.daily += 1
        elif number(word):
            found.on += word in about.near or about.numbers
            found.numbers += 1
        elif root in about.keywords:
            found.on += 1
        elif word not in known.plain and known.small_talk.has(word, root) and root not in about.near:
            found.talk += 1
        elif known.reasoning.has(word, root) and not known.generic.has(word, root) and root not in about.near:
            found.told += 1
        elif word in known.verbs or known.neutral.has(word, root):
            continue
        elif root in about.near:
            found.on += 1
            found.everyday += root in known.everyday
        elif known.reasoning.has(word, root) or root in about.heard or (about.numbers and len(word) == 1):
            continue
        elif word not in known.lexical:
            found.off += 1
        topic.add(root)
    return found


_LAST_NIGHT = frozenset(
    {("last", "night"), ("last", "week"), ("last", "weekend"), ("this", "morning"), ("like", "today")}
)
_WHY = frozenset(("why", "how"))
_ASKED_POLITELY = frozenset(("can", "could", "would", "will"))
_PEOPLE = frozenset(("he", "she", "they"))
"""Who they are was said: in the problem, or by the student."""
_OWN = frozenset(("did", "do", "have", "are", "were"))
WHO = frozenset("who whom wer wen wem qui quién quiénes chi quem кто кого кому кем".split())
_THINGS = frozenset(("what", "who", "whom", "where", "when"))
_POINTS = frozenset("he she they it we this that these those him her them".split())
"""Words that point to what was said."""


def about_thinking(said: list[str], known: Grammar) -> Literal["", "generic", "told"]:
    """Whether it asks the student about the student's own words, steps or reasons, and in words of these alone."""
    if WHO & set(said[:2]):
        return ""
    spoken_to = known.you if known.language == "en" else known.you | known.ask  # elsewhere the verb's form says who
    if not spoken_to & set(said):
        return ""
    roots = {word: stem(word, known.language) for word in said}
    found = [
        word for word, root in roots.items() if known.reasoning.has(word, root) and word not in known.daily.entries
    ]
    told = any(not known.generic.has(word, roots[word]) for word in found)
    return "told" if told else "generic" if found else ""
