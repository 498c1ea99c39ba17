"""The listed words of a language, by which questions are told (agents/data/questions/ has them, a file a language).

Invariant: a language that has no file has no grammar, so that what needs one is not measured in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import regex
import yaml

from agents.judges.normal import STOP, stem

_MARKS = "?？؟⸮⁇⁈⁉‽"
_NUMBER = regex.compile(r"^[-+]?[\p{N}][\p{N}.,:/%]*\p{L}{0,2}$")


@dataclass(frozen=True, slots=True)
class Listed:
    """Words by their beginnings: an entry is itself, words of its root, and, if it is long, words that begin so."""

    entries: frozenset[str]
    roots: frozenset[str]
    beginnings: tuple[str, ...]

    @classmethod
    def of(cls, entries: Iterable[str], language: str) -> Listed:
        """The list; stems of short entries are not compared, and in English four letters begin too many words."""
        found = tuple(entries)
        return cls(
            frozenset(found),
            frozenset(stem(entry, language) for entry in found if len(entry) >= 4),
            tuple(entry for entry in found if len(entry) >= (5 if language == "en" else 4)),
        )

    def has(self, word: str, root: str) -> bool:
        """Whether the word, of this stem, is one of the list."""
        return word in self.entries or root in self.entries or root in self.roots or word.startswith(self.beginnings)


@dataclass(frozen=True, slots=True)
class Grammar:
    """The listed words of a language; see agents/data/questions/."""

    language: str
    marks: str
    ask: frozenset[str]
    verbs: frozenset[str]
    lexical: frozenset[str]
    """Forms of common verbs."""
    bases: frozenset[str]
    """Their plain forms."""
    verb_like: regex.Pattern[str] | None
    little: frozenset[str]
    never_last: frozenset[str]
    bare: frozenset[str]
    """Words that a noun follows, never a verb, a preposition or the end."""
    clause: frozenset[str]
    you: frozenset[str]
    reasoning: Listed
    generic: frozenset[str]
    """Those of them that people use of anything else as well: "Did you find your keys?"."""
    everyday: frozenset[str]
    """Words of an item that turn up in any talk, such as those of time."""
    neutral: Listed
    small_talk: Listed
    lead: frozenset[str]
    empty: regex.Pattern[str]
    tags: regex.Pattern[str]

    def open(self, word: str) -> bool:
        """Whether it is a word with content that is no listed verb: what a row of keywords is made of."""
        return not (word in self.little or word in self.ask or word in self.you or self.verb(word) or number(word))

    def verb(self, word: str) -> bool:
        """Whether it may be a verb."""
        return word in self.verbs or word in self.lexical or bool(self.verb_like and self.verb_like.search(word))


def number(word: str) -> bool:
    """Whether it is a number, perhaps with a unit."""
    return bool(_NUMBER.match(word))


def languages() -> list[str]:
    """Languages in which questions are measured, as two-letter codes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files("agents").joinpath("data/questions").iterdir())


@lru_cache(maxsize=64)
def grammar(language: str) -> Grammar | None:
    """The listed words of a language, or None where nobody listed them."""
    code = language.split("-")[0].lower()
    if code not in languages():
        return None
    listed = yaml.safe_load(files("agents").joinpath(f"data/questions/{code}.yaml").read_text("utf-8"))

    def several(name: str) -> tuple[str, ...]:
        return tuple(str(listed.get(name, "")).split())

    def pattern(name: str) -> regex.Pattern[str]:
        return regex.compile("|".join(f"(?:{line})" for line in listed[name].splitlines() if line.strip()))

    stop = STOP.get(code, frozenset())
    return Grammar(
        language=code,
        marks=_MARKS + str(listed.get("marks", "")),
        ask=frozenset(several("ask")),
        verbs=frozenset(several("verbs")),
        lexical=frozenset(form for verb in several("lexical") for form in _forms(verb)) | {*several("irregular")},
        bases=frozenset(several("lexical")),
        verb_like=regex.compile(listed["verb_like"].strip()) if listed.get("verb_like") else None,
        little=frozenset(several("little")) | (stop - {*several("verbs")}),
        never_last=frozenset(several("never_last")),
        bare=frozenset(several("bare")),
        clause=frozenset(several("clause")),
        you=frozenset(several("you")),
        reasoning=Listed.of(several("reasoning"), code),
        generic=frozenset(several("generic")),
        everyday=frozenset(stem(word, code) for word in several("everyday")),
        neutral=Listed.of(several("neutral"), code),
        small_talk=Listed.of(several("small_talk"), code),
        lead=frozenset(several("lead")),
        empty=pattern("empty"),
        tags=pattern("tags"),
    )


def _forms(verb: str) -> list[str]:
    """The regular forms of an English verb."""
    last = verb[-1]
    if last == "e":
        return [verb, f"{verb}s", f"{verb}d", f"{verb[:-1]}ing"]
    if last == "y" and verb[-2] not in "aeiou":
        return [verb, f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing"]
    ending = "es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s"
    doubled = verb + last if last in "bdgklmnprt" and verb[-2:-1] in "aeiou" and verb[-3:-2] not in "aeiou" else verb
    return [verb, f"{verb}{ending}", f"{doubled}ed", f"{doubled}ing", f"{verb}ed", f"{verb}ing"]
