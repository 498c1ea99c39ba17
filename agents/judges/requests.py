"""Requests that ask as a question does: "Tell me how you got that", "Check your second step".

One counts where it asks for something that the student has to think about: an indirect question on the item, the
student's own words and steps, or something of the item in two of its words. "Try again", "Read the question" and
"Remember ..." do not: the first two ask for nothing in particular, the last one tells.

Invariant: a language without listed requests has none, so that its questions alone are measured.
"""

from __future__ import annotations

import regex

from agents.judges.clauses import hangs_together
from agents.judges.grammar import Grammar
from agents.judges.normal import normalised, words
from agents.judges.style import ItemWords
from agents.judges.topic import about_thinking, count

NAMED = 2
"""How many of the item's words and numbers a request names that asks no indirect question."""
INDIRECT = 8
"""Within how many words after the request its question begins."""


_BREAK = regex.compile(r"[,;—–]|\s-+\s|\.\.\.|، ")
"""After which a request may begin; after a colon something is quoted: "The right answer is: Consider what ..."."""


def asked_for(sentence: str, known: Grammar) -> str:
    """What a sentence requests of the student: `how you got that` of `Please tell me how you got that`."""
    if known.requests is None:
        return ""
    if known.language == "zh":
        found = known.requests.search("".join(words(sentence, "zh")))
        return found["rest"] if found else ""
    parts = [" ".join(words(part, known.language)) for part in _BREAK.split(normalised(sentence))]
    found = known.requests.search(" | ".join(part for part in parts if part))
    if found is None or known.empty.fullmatch(found.string.replace("|", " ")):
        return ""
    return str(found["rest"]).replace("|", " ")


def is_request(sentence: str, known: Grammar, about: ItemWords) -> bool:
    """Whether a sentence asks the student to think about the item or about what the student did."""
    said = asked_for(sentence, known).split()
    if len(said) < 2 or not hangs_together(" ".join(said), said, known, about, asks=False):
        return False
    counts = count(said, known, about)
    thinks, yours = about_thinking(said, known), bool(known.you & set(said))
    if counts.talk or (counts.daily and not (thinks == "told" and yours)):
        return False
    if counts.told or (thinks == "told" and yours):
        return counts.off <= 1 + counts.on
    if not counts.off and yours and thinks:
        return True
    if not known.ask & set(said[:INDIRECT]):
        return counts.on >= NAMED and counts.off <= counts.on and bool(known.little & set(said))
    if counts.on:
        return counts.off <= 2 * counts.on
    return not counts.off and bool(thinks)


def is_inquiry(sentence: str, known: Grammar) -> bool:
    """Whether it asks for nothing but the student's solution as a whole, as any tutor may in any conversation."""
    return known.inquiry is not None and known.inquiry.search(" ".join(words(sentence, known.language))) is not None
