"""What a real question is: a sentence that asks, in words that hang together, about the item or the student's thoughts.

Not one are: a formula ("Does that make sense?"), a statement with a tag ("..., right?"), a row of keywords, a question
of another conversation, one that was asked before. Words of the problem may be said again, its whole question may not.

Invariant: the same turn, item and history give the same answer. In a language whose words are not listed here
(agents/data/questions/) the answer is None: not measured, never no.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import regex

from agents.judges.clauses import CLAUSE_END, KEYWORDS, hangs_together, is_interrogative, is_inverted, without_lead
from agents.judges.grammar import Grammar, grammar, number
from agents.judges.normal import content, normalised, sentences, stem, words
from agents.judges.style import ItemWords, item_words, repetition
from agents.records import Item

OPTION = "b"
"""How the letter of an option is read, whichever it is, so that `A` is no article."""
REPEATED = 0.6
"""Share of a question's word triples said before in the dialogue from which on it is no new question."""
_SUM = regex.compile(r"^[^=]*\p{N}[^=]*=\s*$")
"""What is to be worked out, such as `18 - 6 =`."""


def asks(text: str, item: Item, earlier: Sequence[str] = ()) -> bool | None:
    """Whether the turn holds a real question.

    Args:
        text: the tutor turn.
        item: what the dialogue is about; it names the language.
        earlier: what was said before in the dialogue.

    Returns:
        None where questions cannot be told in the item's language.
    """
    language = item.question.language
    known = grammar(language)
    if known is None:
        return None
    problem, said = words(item.question.text, language), words(text, language)
    before = [one for one in earlier if words(one, language) != problem]
    if said == problem or any(words(one, language) == said for one in before):
        return False
    about, on_item = item_words(item), False
    for sentence in sentences(text, language):
        if not _ends_as_question(sentence, known):
            on_item = on_item or bool(about.stems & set(content(sentence, language)))
            continue
        sentence = _with_options(sentence)
        new = words(sentence, language) != problem and (repetition(sentence, before, language) or 0.0) < REPEATED
        if new and _is_real(sentence, known, about, on_item):
            return True
        on_item = on_item or bool(about.stems & set(content(sentence, language)))
    return False


_LETTER = regex.compile(
    r"(?<![\p{Latin}\p{Cyrillic}\p{Arabic}\p{N}'’.-])"
    r"(?:[B-HБВГجد]|\b[bcd]|(?<=[\p{L}\p{N}]\W+)[AАأب]|A(?= or | and |\W*$)|\ba(?=\W*$))"
    r"(?![\p{Latin}\p{Cyrillic}\p{Arabic}\p{N}'’-]|\.\p{L})"
)
_SHOUTED = regex.compile(r"\p{Lu}[\p{Lu}\W]{12,}")


def _with_options(sentence: str) -> str:
    """The sentence with the letters of options in one form: `Why did you choose A?` does not end with an article."""
    return sentence if _SHOUTED.match(sentence) else _LETTER.sub("B", sentence)


def _ends_as_question(sentence: str, known: Grammar) -> bool:
    """Whether it ends with a mark; people who write English leave out the last one."""
    return known.marked.search(sentence) is not None or (known.language == "en" and sentence[-1:].isalnum())


def _is_real(sentence: str, known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """Whether a sentence is a question, says something, and is about the item or the student's thinking.

    After a sentence on the item, one without any topic of its own is about the item as well ("... Why?").
    """
    plain = normalised(sentence)
    plain = regex.sub(r"[^\p{L}\p{N}=]+$", "", plain)
    rest = _without_tag(plain, known)
    if rest is None:
        return False
    if about.unspaced:
        return _unspaced(rest, known, about, on_item)
    if _SUM.search(rest):
        return about.numbers
    said = without_lead(words(rest, known.language), known)
    if known.empty.fullmatch(" ".join(said)) or not said:
        return False
    if not known.marked.search(sentence) and not is_inverted(said, known):
        return False
    if len(said) < 3 and known.language != "en" and said[0] in known.ask and _about_thinking(said, known):
        return not _count(said, known, about).off
    if len(said) < 3:
        own = [word for word in said if word != OPTION]
        return (
            (on_item or OPTION in said[1:])
            and own[:1] == said[:1]
            and said[0] in known.ask
            and not any(known.open(word) for word in own)
        )
    return hangs_together(rest, said, known, about) and _is_about(said, known, about, on_item)


def _without_tag(plain: str, known: Grammar) -> str | None:
    """The sentence before a tag such as ", right?"; None where only the tag makes a statement a question."""
    language = known.language
    if language == "zh":
        found = regex.search(f"[，,]?\\s*(?:{known.tags.pattern})$", plain)
        rest = plain[: found.start()] if found else plain
        return rest if not found or any(word in rest for word in known.ask) else None
    breaks = list(CLAUSE_END.finditer(plain))
    if breaks and known.tags.fullmatch(" ".join(words(plain[breaks[-1].end() :], language))):
        rest = plain[: breaks[-1].start()]
        return rest if is_interrogative(rest, known, first=True) else None
    said = words(plain, language)
    tagged = any(known.tags.fullmatch(" ".join(said[-n:])) for n in (1, 2) if len(said) - n >= 2)
    return None if tagged and not is_interrogative(plain, known) else plain


def _is_about(said: list[str], known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """Whether the words are the item's, or about what the student said or thinks, more than anything else's."""
    found = _count(said, known, about)
    on, off = found.on, found.off
    if found.talk and on < 3 * found.talk + off:
        return False
    thinks = _about_thinking(said, known)
    if thinks == "told" and off <= 2 + 2 * on:
        return True
    if not off and (found.options or (thinks == "generic" and not found.daily)):
        return True
    if on == found.everyday and on and off:  # "Who won the election this year?"
        return False
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
class _Counts:
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
    options: int = 0
    """Letters of options."""


def _count(said: list[str], known: Grammar, about: ItemWords) -> _Counts:
    """Each root once."""
    found, topic = _Counts(), set[str]()
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
        elif root in about.keywords:
            found.on += 1
        elif word not in known.plain and known.small_talk.has(word, root) and root not in about.near:
            found.talk += 1
        elif word in known.verbs or known.neutral.has(word, root):
            continue
        elif root in about.near:
            found.on += 1
            found.everyday += root in known.everyday
        elif known.reasoning.has(word, root):
            continue
        elif word not in known.lexical:
            found.off += 1
        topic.add(root)
    return found


_LAST_NIGHT = frozenset(
    {("last", "night"), ("last", "week"), ("last", "weekend"), ("this", "morning"), ("like", "today")}
)
_WHY = frozenset(("why", "how"))
_OWN = frozenset(("did", "do", "have", "are", "were"))
_WHO = frozenset("who whom wer wen wem qui quién quiénes chi quem кто кого кому кем".split())
_THINGS = frozenset(("what", "who", "whom", "where", "when"))
_POINTS = frozenset("he she they it we this that these those him her them".split())
"""Words that point to what was said."""


def _about_thinking(said: list[str], known: Grammar) -> Literal["", "generic", "told"]:
    """Whether it asks the student about the student's own words, steps or reasons, and in words of these alone."""
    if _WHO & set(said[:2]):
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


def _unspaced(text: str, known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """The same for a language without blanks: what the lists cover, and what they leave open."""
    read = words(text, known.language)
    said = "".join(word for word in read if word != OPTION)
    for lead in sorted(known.lead, key=len, reverse=True):
        said = said.removeprefix(lead)
    if len(said) < 4 or known.empty.fullmatch(said) or not any(word in said for word in known.ask):
        return False
    runs = [run for run in known.listed.split(said) if run]
    daily = {word for word in (*known.small_talk.entries, *known.daily.entries) if word in said}
    if any(word in said for word in known.explaining):
        daily -= known.audience
    if any(not any(word in text for text in about.texts) for word in daily) or max(map(len, runs), default=0) >= 8:
        return False
    if _only_keywords(said, known, about):
        return False
    on = sum(run[i : i + 2] in about.near or run in about.near for run in runs for i in range(max(1, len(run) - 1)))
    off = sum(max(1, len(run) - 1) for run in runs) - on
    if any(word in said for word in known.you) and not _WHO & set(said):
        thinks = [word for word in known.reasoning.entries if word in said]
        if any(word not in known.generic.entries for word in thinks) and off <= 4 + 2 * on:
            return True
        if thinks and off <= on:
            return True
    return off <= 2 * on if on else not off and (on_item or OPTION in read)


def _only_keywords(said: str, known: Grammar, about: ItemWords) -> bool:
    """Whether keywords stand side by side as nowhere in the item, or are all that is said."""
    keywords = about.texts[: about.n_keywords]
    strange = [a + b for a in keywords for b in keywords if a + b in said]
    if sum(not any(pair in text for text in about.texts) for pair in strange) >= KEYWORDS - 1:
        return True
    found = [word for word in keywords if word in said]
    for word in sorted(found, key=len, reverse=True):
        said = said.replace(word, " ")
    return len(found) > KEYWORDS and not regex.sub(
        "|".join(map(regex.escape, known.helping | known.ask)), "", said
    ).strip(" 的和与或")
