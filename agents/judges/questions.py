"""What a real question is: a sentence that asks, in words that hang together, about the item or the student's thoughts.

Not one are: a formula ("Does that make sense?"), a statement with a tag ("..., right?"), a row of keywords, a question
of another conversation, one that was asked before. Words of the problem may be said again, its whole question may not.

Invariant: the same turn, item and history give the same answer. In a language whose words are not listed here
(agents/data/questions/) the answer is None: not measured, never no.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import regex

from agents.judges.clauses import CLAUSE_END, KEYWORDS, hangs_together, is_interrogative, is_inverted, without_lead
from agents.judges.grammar import Grammar, grammar, number
from agents.judges.normal import content, normalised, sentences, stem, words
from agents.judges.style import ItemWords, item_words, repetition
from agents.records import Item

REPEATED = 0.6
"""Share of a question's word triples said before in the dialogue from which on it is no new question."""
_AFTER_LAST_WORD = regex.compile(r"[^\p{L}\p{N}]*$")
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
        new = words(sentence, language) != problem and (repetition(sentence, before, language) or 0.0) < REPEATED
        if new and _is_real(sentence, known, about, on_item):
            return True
        on_item = on_item or bool(about.stems & set(content(sentence, language)))
    return False


def _is_real(sentence: str, known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """Whether a sentence is a question, says something, and is about the item or the student's thinking.

    After a sentence on the item, one without any topic of its own is about the item as well ("... Why?").
    """
    ending = _AFTER_LAST_WORD.search(sentence)
    marked = ending is not None and bool(set(ending.group()) & set(known.marks))
    # People leave out the last mark they would write.
    if not marked and not (known.language == "en" and ending is not None and not ending.group().strip()):
        return False
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
    if not marked and not is_inverted(said, known):
        return False
    if len(said) < 3:
        return on_item and said[0] in known.ask and not any(known.open(word) for word in said)
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
    language, on, off, talk, everyday = known.language, 0, 0, 0, 0
    topic: set[str] = set()
    for before, word in zip(["", *said], said, strict=False):
        root = stem(word, language)
        if (before, word) in _LAST_NIGHT:
            talk += 1
        elif word in known.little or word in known.ask or word in known.you or root in topic:
            continue
        elif number(word):
            on += word in about.near or about.numbers
        elif root in about.keywords:
            on += 1
        elif known.small_talk.has(word, root) and root not in about.near:
            talk += 1
        elif word in known.verbs or known.neutral.has(word, root):
            continue
        elif root in about.near:
            on += 1
            everyday += root in known.everyday
        elif known.reasoning.has(word, root):
            continue
        elif word not in known.lexical:
            off += 1
        topic.add(root)
    if talk and on < 3 * talk + off:
        return False
    thinks = _about_thinking(said, known)
    if thinks == "told" and off <= 2 + 2 * on:
        return True
    if thinks == "generic" and not off:
        return True
    if on == everyday and on and off:  # "Who won the election this year?"
        return False
    if not on:
        asked = known.ask & set(said)
        points = bool(asked & _WHY) or (len(said) > 3 and bool(_POINTS & set(said)))
        return not off and bool(asked) and (on_item or (points and not any(known.open(word) for word in said)))
    if language == "en" and said[1:2] == ["you"] and said[0] in ("did", "do", "have", "are", "were"):
        return on > off
    return off <= 2 * on


_LAST_NIGHT = frozenset(
    {("last", "night"), ("last", "week"), ("last", "weekend"), ("this", "morning"), ("like", "today")}
)
_WHY = frozenset(("why", "how"))
_POINTS = frozenset("he she they it we this that these those him her them".split())
"""Words that point to what was said."""


def _about_thinking(said: list[str], known: Grammar) -> Literal["", "generic", "told"]:
    """Whether it asks the student about the student's own words, steps or reasons, and in words of these alone."""
    spoken_to = known.you if known.language == "en" else known.you | known.ask  # elsewhere the verb's form says who
    if not spoken_to & set(said):
        return ""
    roots = {word: stem(word, known.language) for word in said}
    found = [word for word, root in roots.items() if known.reasoning.has(word, root)]
    told = any(word not in known.generic and roots[word] not in known.generic for word in found)
    return "told" if told else "generic" if found else ""


def _unspaced(text: str, known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """The same for a language without blanks: what the lists cover, and what they leave open."""
    said = "".join(words(text, known.language))
    for lead in sorted(known.lead, key=len, reverse=True):
        said = said.removeprefix(lead)
    if len(said) < 4 or known.empty.fullmatch(said):
        return False
    little = sorted(
        {*known.ask, *known.verbs, *known.little, *known.you, *known.neutral.entries}, key=len, reverse=True
    )
    talk = [word for word in known.small_talk.entries if word in said and not any(word in text for text in about.texts)]
    open_runs = [run for run in regex.split("|".join(map(regex.escape, little)), said) if run]
    thinking = any(word in said for word in known.you) and any(word in said for word in known.reasoning.entries)
    on = sum(
        run[i : i + 2] in about.near or run in about.near for run in open_runs for i in range(max(1, len(run) - 1))
    )
    off = sum(max(1, len(run) - 1) for run in open_runs) - on
    if talk or max(map(len, open_runs), default=0) >= 8 or not any(word in said for word in known.ask):
        return False
    strange = [a + b for a in about.texts[: about.n_keywords] for b in about.texts[: about.n_keywords] if a + b in said]
    if sum(not any(pair in text for text in about.texts) for pair in strange) >= KEYWORDS - 1:
        return False
    if thinking:
        return off <= 4 + 2 * on
    return off <= 2 * on if on else not off and on_item
