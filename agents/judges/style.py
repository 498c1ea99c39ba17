"""How a turn reads, whatever it says: on the item or off it, new or said before, easy or hard.

Invariant: a figure that a text or its language does not have is None, never 0; every other figure but the grade lies in
[0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from agents.judges.grammar import grammar
from agents.judges.normal import SNOWBALL, content, sentences, stem, words
from agents.records import Item

UNSPACED = frozenset(("zh", "yue", "ja", "th", "lo", "km", "my"))
"""Languages written without blanks: their words here are characters, their content pairs of characters."""


@dataclass(frozen=True, slots=True)
class ItemWords:
    """What shows that a sentence is about an item."""

    stems: frozenset[str]
    """Of keywords, concept, question and options."""
    near: frozenset[str]
    """These and the stems of the opening and of the transfer question: what a question on the item may be about."""
    keywords: frozenset[str]
    """Stems of the keywords."""
    neighbours: frozenset[tuple[str, str]]
    """Stems of words that stand beside each other somewhere in the item."""
    numbers: bool
    """Whether the item has numbers or asks for one."""
    unspaced: bool
    texts: tuple[str, ...]
    """Its keywords, then its other texts."""
    n_keywords: int
    heard: frozenset[str] = frozenset()
    """Stems of what the student said: no question in these is of another conversation."""


def item_words(item: Item, heard: tuple[str, ...] = ()) -> ItemWords:
    """The words of an item, in its language, and those that the student said."""
    found = _item_words(item)
    if not heard:
        return found
    language = item.question.language
    return replace(found, heard=frozenset(root for text in heard for root in content(text, language)))


@lru_cache(maxsize=1024)
def _item_words(item: Item) -> ItemWords:
    language = item.question.language
    options = (option.text for question in (item.question, item.transfer) for option in question.options)
    texts = (item.concept, item.question.text, item.transfer.text, item.opening, *options)
    own = (*item.keywords, item.concept, item.question.text, *(option.text for option in item.question.options))
    keywords = frozenset(
        root
        for keyword in item.keywords
        for root in content(keyword, language) or [stem(word, language) for word in words(keyword, language)]
    )
    read = [[stem(word, language) for word in words(text, language)] for text in (*item.keywords, *texts)]
    return ItemWords(
        stems=keywords.union(*(_topic(text, language) for text in own)),
        near=keywords.union(*(_topic(text, language) for text in (*own, *texts))),
        keywords=keywords,
        neighbours=frozenset(pair for stems in read for pair in zip(stems, stems[1:], strict=False)),
        numbers=any(character.isdecimal() for text in own for character in text)
        or _counts(item.question.text, language),
        unspaced=base(language) in UNSPACED,
        texts=(*item.keywords, *texts),
        n_keywords=len(item.keywords),
    )


def _counts(text: str, language: str) -> bool:
    known = grammar(language)
    return known is not None and bool(known.quantity & set(words(text, language)))


def _topic(text: str, language: str) -> set[str]:
    """Stems of a text's words that name a thing: without those that any sentence may have."""
    known = grammar(language)
    if known is None:
        return set(content(text, language))
    common = known.ask | known.little | known.you | known.verbs
    if base(language) in UNSPACED:
        plain = "|".join(map(re.escape, sorted(common, key=len, reverse=True)))
        return set(content(re.sub(plain, " ", text), language))
    return set(content(" ".join(word for word in words(text, language) if word not in common), language))


def base(language: str) -> str:
    """`pt` of `pt-BR`."""
    return language.split("-")[0].lower()


def measures_content(language: str) -> bool:
    """Whether words of one root are known as such in a language: by a stemmer, or as pairs of characters."""
    return base(language) in SNOWBALL or base(language) in UNSPACED


def on_item(text: str, item: Item) -> float | None:
    """Share of the turn's sentences that hold a word of the item; None without a sentence, or without a stemmer."""
    language = item.question.language
    found = [content(sentence, language) for sentence in sentences(text, language)]
    if not found or not measures_content(language):
        return None
    stems = item_words(item).stems
    return sum(bool(stems & set(sentence)) for sentence in found) / len(found)


def repetition(text: str, earlier: Sequence[str], language: str = "en") -> float | None:
    """Share of the turn's 3-grams that were said before, earlier in the dialogue or earlier in the turn.

    The grams are of words, in a language without blanks of characters. A text of fewer is one gram; a text without any
    has none, and is not measured.
    """
    grams = _grams(text, language)
    if not grams:
        return None
    seen = {gram for other in earlier for gram in _grams(other, language)}
    repeated = 0
    for gram in grams:
        repeated += gram in seen
        seen.add(gram)
    return repeated / len(grams)


def _grams(text: str, language: str, n: int = 3) -> list[tuple[str, ...]]:
    found = words(text, language)
    if len(found) < n:
        return [tuple(found)] if found else []
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


def reading_grade(text: str, language: str = "en") -> float | None:
    """Flesch-Kincaid grade level of an English text, None of any other or without a word.

    Syllables are counted as groups of vowels.
    """
    found = [word for word in words(text, language) if word[0].isalpha()]
    if not found or base(language) != "en":
        return None
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word))) for word in found)
    n_sentences = max(1, len(sentences(text, language)))
    return max(0.0, round(0.39 * len(found) / n_sentences + 11.8 * syllables / len(found) - 15.59, 2))
