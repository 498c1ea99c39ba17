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
    marked: regex.Pattern[str]
    """A mark of a question after the last word."""
    ask: frozenset[str]
    verbs: frozenset[str]
    helping: frozenset[str]
    """Those of them that say nothing by themselves: is, does, can."""
    articles: frozenset[str]
    """Where the language has no cases: what stands before the name of a thing."""
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
    """Words of thinking, and `generic` ones."""
    generic: Listed
    """Those of them that people use of anything else as well: "Did you find your keys?"."""
    everyday: frozenset[str]
    """Words of an item that turn up in any talk, such as those of time."""
    daily: Listed
    """Words of daily life, which are foreign to an item that does not have them: eaten, today."""
    explaining: frozenset[str]
    audience: frozenset[str]
    """To whom one may explain: a friend is foreign otherwise."""
    neutral: Listed
    small_talk: Listed
    plain: frozenset[str]
    """Words that are neutral or of thinking themselves, and no small talk by their root."""
    passed: frozenset[str]
    """Little words, asking words and `you`: about nothing by themselves."""
    leads_in: frozenset[str]
    """Words after which a keyword is the name of a thing, whatever else it may be."""
    lead: frozenset[str]
    listed: regex.Pattern[str]
    """In a language without blanks, the words above but for those of daily life and small talk, the longest first."""
    quantity: frozenset[str]
    """Words that ask for or name a number."""
    denials: frozenset[str]
    """How one begins who says that it is not so."""
    greetings: frozenset[str]
    requests: regex.Pattern[str] | None
    """Where a request begins, with what is asked for as `rest`."""
    inquiry: regex.Pattern[str] | None
    """One for the student's solution as a whole."""
    empty: regex.Pattern[str]
    tags: regex.Pattern[str]

    def open(self, word: str) -> bool:
        """Whether it is a word with content that is no listed verb: what a row of keywords is made of."""
        return not (word in self.little or word in self.ask or word in self.you or self.verb(word) or number(word))

    def acts(self, word: str) -> bool:
        """Whether it may be a verb that says something."""
        return self.verb(word) and word not in self.helping and word not in self.little

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
    little = frozenset(several("little")) | (stop - {*several("verbs")})
    helping = frozenset(several("helping") or several("verbs"))
    leads_in = helping.union(several("bare"), several("never_last"), () if code == "en" else little)
    return Grammar(
        language=code,
        marked=regex.compile(rf"[{_MARKS}{listed.get('marks', '')}][^\p{{L}}\p{{N}}]*$"),
        ask=frozenset(several("ask")),
        verbs=frozenset(several("verbs")),
        helping=helping,
        articles=frozenset(several("articles")),
        lexical=frozenset(form for verb in several("lexical") for form in _forms(verb)) | {*several("irregular")},
        bases=frozenset(several("lexical")),
        verb_like=regex.compile(listed["verb_like"].strip()) if listed.get("verb_like") else None,
        little=little,
        passed=little.union(several("ask"), several("you")),
        leads_in=leads_in,
        never_last=frozenset(several("never_last")),
        bare=frozenset(several("bare")),
        clause=frozenset(several("clause")),
        you=frozenset(several("you")),
        reasoning=Listed.of((*several("reasoning"), *several("generic")), code),
        generic=Listed.of(several("generic"), code),
        everyday=frozenset(stem(word, code) for word in several("everyday")),
        daily=Listed.of(several("daily"), code),
        explaining=frozenset(several("explaining")),
        audience=frozenset(several("audience")),
        neutral=Listed.of(several("neutral"), code),
        small_talk=Listed.of(several("small_talk"), code),
        plain=frozenset((*several("neutral"), *several("reasoning"), *several("generic")))
        if code != "en"
        else frozenset(),
        lead=frozenset(several("lead")),
        listed=_any_of(word for name in _LISTED for word in several(name)),
        quantity=frozenset(several("quantity")),
        denials=frozenset(several("denials")),
        greetings=frozenset(several("greetings")),
        requests=_requests(listed, several("lead"), code),
        inquiry=pattern("inquiry") if "inquiry" in listed else None,
        empty=pattern("empty"),
        tags=pattern("tags"),
    )


def _requests(listed: dict[str, str], lead: Iterable[str], code: str) -> regex.Pattern[str] | None:
    """Where a request begins: at the start of a clause, after words that lead in or are polite."""
    if "requests" not in listed:
        return None
    verbs = "|".join(line for line in listed["requests"].splitlines() if line.strip())
    blank = "" if code == "zh" else " "
    before = "|".join([*map(regex.escape, lead), listed.get("polite", "").strip() or r"(?!)"])
    start = listed.get("request_from", rf"(?:^|\| )(?:(?:{before}){blank})*").strip("\n")
    return regex.compile(f"{start}(?:{verbs}){blank}(?P<rest>.+)")


_LISTED = ("ask", "verbs", "little", "you", "neutral", "reasoning", "generic")


def _any_of(listed: Iterable[str]) -> regex.Pattern[str]:
    return regex.compile("|".join(map(regex.escape, sorted(set(listed), key=len, reverse=True))))


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
