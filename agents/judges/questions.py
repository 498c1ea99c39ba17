"""What a real question is: a sentence that asks, in words that hang together, about the item or the student's thoughts.

A request to think asks as well (agents/judges/requests.py). Not one are: a formula ("Does that make sense?"), a
statement with a tag ("..., right?"), a row of keywords, a question of another conversation, one that was asked before,
a greeting that asks for the solution as a whole, and any question of a turn that works the step out itself. Words of
the problem may be said again, its whole question may not.

Invariant: the same turn, item and history give the same answer. In a language whose words are not listed here
(agents/data/questions/) the answer is None: not measured, never no.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from agents.judges.clauses import (
    CLAUSE_END,
    KEYWORDS,
    asked_last,
    hangs_together,
    is_interrogative,
    is_inverted,
    keywords_in_a_row,
    without_lead,
)
from agents.judges.grammar import Grammar, grammar
from agents.judges.normal import content, normalised, sentences, words
from agents.judges.requests import asked_for, is_inquiry, is_request
from agents.judges.style import ItemWords, item_words, repetition
from agents.judges.topic import OPTION, WHO, about_thinking, count, is_about
from agents.records import Item

REPEATED = 0.9
"""Share of a question's word triples said before in the dialogue from which on it is no new question."""
_SUM = regex.compile(r"^[^=]*\p{N}[^=]*=\s*$")
"""What is to be worked out, such as `18 - 6 =`."""


def asks(text: str, item: Item, earlier: Sequence[str] = (), heard: Sequence[str] = ()) -> bool | None:
    """Whether the turn holds a real question.

    Args:
        text: the tutor turn.
        item: what the dialogue is about; it names the language.
        earlier: what was said before in the dialogue.
        heard: of this, what the student said: its words are not foreign.

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
    if _tells(text, known, heard):
        return False
    about, on_item, greets = item_words(item, tuple(heard)), False, bool(said) and said[0] in known.greetings
    for sentence in _sentences(text, known):
        sentence = _with_options(sentence)
        if (
            (_ends_as_question(sentence, known) and _is_real(sentence, known, about, on_item))
            or _is_request(sentence, known, about, on_item)
        ) and not (greets and is_inquiry(sentence, known)):
            new = words(sentence, language) != problem and (repetition(sentence, before, language) or 0.0) < REPEATED
            if new:
                return True
        on_item = on_item or bool(about.stems & set(content(sentence, language)))
    return False


_WORKED = regex.compile(r"\p{N}[^\p{L}\p{N}=?.]*=[^\p{L}\p{N}=?.]*(\p{N}[\p{N}.,]*)(?![^?.!\n]*\?)")
_FIGURE = regex.compile(r"\p{N}[\p{N}.,:/]*")


def _tells(text: str, known: Grammar, heard: Sequence[str]) -> bool:
    """Whether the turn does the student's work: works a step out, or says no and what it is instead.

    Figures that the student said are no news, and one that is asked about ("Is 2 x 14 = 28?") is not told.
    """
    if not _FIGURE.search(text):
        return False
    said = {number.rstrip(".,:/") for one in heard for number in _FIGURE.findall(one)}
    if any(result.rstrip(".,") not in said for result in _WORKED.findall(text)):
        return True
    first = words(text, known.language)[:1]
    if not known.denials & set(first):
        return False
    stated = (one for one in _sentences(text, known) if not _ends_as_question(one, known))
    return any(number.rstrip(".,:/") not in said for one in stated for number in _FIGURE.findall(one))


_LOWER = regex.compile(r"(?<=\p{L}{4}\.)\s+(?=\p{Ll})")


def _sentences(text: str, known: Grammar) -> list[str]:
    """Its sentences; people who chat in English begin one with a small letter, or miss the key for `?`."""
    found = sentences(text, known.language)
    if known.language != "en":
        return found
    return [f"{part[:-1]}?" if part[-1] in "/>" else part for one in found for part in _LOWER.split(one)]


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
    if known.marked.search(sentence) is not None:
        return True
    return known.language == "en" and (sentence[-1:].isalnum() or sentence[-1:] == "=")


_TRAILING = regex.compile(r"[^\p{L}\p{N}=]+$")


def _is_real(sentence: str, known: Grammar, about: ItemWords, on_item: bool) -> bool:
    """Whether a sentence is a question, says something, and is about the item or the student's thinking.

    After a sentence on the item, one without any topic of its own is about the item as well ("... Why?").
    """
    plain = _TRAILING.sub("", normalised(sentence))
    rest = _without_tag(plain, known)
    if rest is None:
        return False
    if about.unspaced:
        return _unspaced(rest, known, about, on_item)
    if _SUM.search(rest):
        return about.numbers
    said = without_lead(words(rest, known.language), known)
    marked = known.marked.search(sentence) is not None
    if (marked or is_inverted(said, known)) and _asks_something(rest, said, known, about, on_item):
        return True
    if known.language != "en" or keywords_in_a_row(said, known, about):
        return False
    tail = asked_last(rest, known)
    return bool(tail) and tail != said and _asks_something(" ".join(tail), tail, known, about, on_item)


def _asks_something(rest: str, said: list[str], known: Grammar, about: ItemWords, on_item: bool) -> bool:
    if not said or known.empty.fullmatch(" ".join(said)):
        return False
    if len(said) < 3 and known.language != "en" and said[0] in known.ask and about_thinking(said, known):
        return not count(said, known, about).off
    if len(said) < 3:
        own = [word for word in said if word != OPTION]
        return (
            (on_item or OPTION in said[1:])
            and own[:1] == said[:1]
            and said[0] in known.ask
            and not any(known.open(word) for word in own)
        )
    return hangs_together(rest, said, known, about) and is_about(said, known, about, on_item)


def _is_request(sentence: str, known: Grammar, about: ItemWords, on_item: bool) -> bool:
    if known.marked.search(sentence) and _without_tag(_TRAILING.sub("", normalised(sentence)), known) is None:
        return False
    if not about.unspaced:
        return is_request(sentence, known, about)
    rest = asked_for(sentence, known)
    return bool(rest) and _unspaced(rest, known, about, on_item)


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
    if any(word in said for word in known.you) and not WHO & set(said):
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
