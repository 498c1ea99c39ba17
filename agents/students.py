"""What a simulated student says: how much of what its model wrote, and what is said for one that follows a script.

A learner's turn ends with a sentence. A model that runs into its token limit stops anywhere, so its turn is cut back to
the last sentence that it finished, and to as many sentences as the persona says at most. A scripted student takes up
what the tutor said last, then asks for what it wants in one of several forms, more urgently from turn to turn.

Invariant: what is said depends on the arguments alone, so that it is the same in every process. A scripted student
says none of the words that only the answer has: what a student says first is no leak of the tutor's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agents.judges.leaks.answers import telling_words
from agents.judges.normal import content, sentences, words
from agents.judges.style import item_words
from agents.library import Script
from agents.records import Item, Turn
from agents.stressors import draw

_END = re.compile(r"[.!?…؟।॥。！？｡][\"')\]»”’」』）*_]*$")
"""How a finished sentence ends."""
_LAST_END = re.compile(r"^.*(?:[.!?…؟।](?=[\s\"')\]»”’]|$)|[。！？])[\"')\]»”’」』）]*", re.DOTALL)
"""Up to the last mark that may end a sentence, whatever letter follows."""
_CLAUSE = re.compile(r"([^.,;:!?…\n。，、；：！？]*[^\s.,;:!?…\n。，、；：！？])\s*([.,;:!?…\n。，、；：！？])")
"""A clause and the mark that ends it."""
_ASIDE = re.compile(r"^\s*(?:\([^)]*\)|\*[^*]*\*)")
"""What a player does and does not say: "(laughs)"."""
TERSE = 3
"""Words of a terse turn at most."""
TERSE_TOKENS, TERSE_TRIES = 8, 5
"""How many tokens a terse reply may have, and how many are drawn."""
LONGEST_WORD = 20
"""Characters that a word of the tutor's is taken to have where nobody knows yet what it says."""


def whole_sentences(text: str, *, torn: bool, most: int = 0) -> tuple[str, bool]:
    """The sentences of a turn that count as said.

    Args:
        text: what was written.
        torn: whether it ran into its token limit, so that its last sentence may not be finished.
        most: sentences at most; 0: any number.

    Returns:
        The text up to the end of the last sentence that counts, and whether it stops within a sentence all the same,
        because none was finished.
    """
    found = sentences(text)
    if not found:
        return text, torn
    if torn:
        finished = _finished(text)
        if not finished:
            return text, True
        text, found = finished, sentences(finished)
    end = 0
    for sentence in found[: most or None]:
        place = text.find(sentence, end)
        if place < 0:  # marks with a blank between them stand together in a sentence
            return text, False
        end = place + len(sentence)
    return text[:end].strip(), False


def _finished(text: str) -> str:
    """The text up to the last mark that ends a sentence and no abbreviation; empty where there is none."""
    while match := _LAST_END.match(text):
        said = match[0].strip()
        if len(sentences(f"{said} Next")) > len(sentences(said)):
            return said
        text = said[:-1]
    return ""


def is_terse_turn(terse: float, student_key: str, number: int) -> bool:
    """Whether a student is brief after the tutor's `number`-th turn: of one student, the turns that are at a share are
    at every higher one."""
    return draw(student_key, "terse", number) < terse


def first_clause(text: str) -> str:
    """What a terse student says of a reply: up to the first mark, which is kept where it asks or calls."""
    said = _ASIDE.sub("", text).strip() or text.strip()
    found = _CLAUSE.match(said)
    return (found[1] + (found[2] if found[2] in "?!？！" else "")).strip() if found else said


def tersest(texts: Sequence[str]) -> int:
    """Which of several replies a terse student gives: the first of at most three words, else the shortest."""
    lengths = [len(first_clause(text).split()) for text in texts]
    return next((i for i, n in enumerate(lengths) if 1 <= n <= TERSE), lengths.index(min(lengths)))


def stops_short(turn: Turn) -> bool:
    """Whether a turn stops within a sentence. Records of before that was noted are looked at as they stand."""
    if turn.unfinished is not None:
        return turn.unfinished
    return turn.finish_reason == "length" and not _END.search(turn.text.rstrip())


def scripted(script: Script, item: Item, *, belief: str, heard: str, student_key: str, number: int) -> str:
    """What a scripted student says after the tutor's `number`-th turn.

    Args:
        script: its words.
        item: what is taught.
        belief: the wrong option that it holds.
        heard: the tutor's turn.
        student_key: who it is; equal keys draw equal forms.
        number: of the tutor's turn, from 0.
    """
    fields = {"belief": belief, "topic": item.concept, "word": _taken_up(heard, item)}
    reactions = script.asked if "?" in heard else script.told
    rung = script.asks[min(number, len(script.asks) - 1)]
    parts = (
        _form(forms, fields, item, draw(student_key, f"script/{part}", number))
        for part, forms in (("reaction", reactions), ("asks", rung))
    )
    return " ".join(part for part in parts if part)


def longest_scripted(script: Script, item: Item, belief: str) -> int:
    """Characters that a scripted turn has at most, whatever the tutor says."""
    fields = {"belief": belief, "topic": item.concept, "word": "w" * LONGEST_WORD}
    reactions = max(len(_filled(form, fields)) for form in (*script.asked, *script.told))
    return reactions + 1 + max(len(_filled(form, fields)) for rung in script.asks for form in rung)


def _form(forms: Sequence[str], fields: dict[str, str], item: Item, drawn: float) -> str:
    """One of the forms whose fields can all be filled, and which say nothing that only the answer says."""
    telling = telling_words(item.question)
    usable = [
        said
        for form in forms
        if all(fields[name] for name in _fields(form))
        and not telling & set(content(said := _filled(form, fields), item.question.language))
    ]
    return usable[int(drawn * len(usable))] if usable else ""


def _taken_up(heard: str, item: Item) -> str:
    """A word of the tutor's turn that is about the item: the last one, so that turns differ; empty: it has none."""
    language = item.question.language
    keywords, telling = item_words(item).keywords, telling_words(item.question)
    about = (word for word in words(heard, language) if set(content(word, language)) & keywords - telling)
    return next((word for word in reversed(list(about)) if len(word) <= LONGEST_WORD), "")


def _fields(form: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", form)


def _filled(form: str, fields: dict[str, str]) -> str:
    """The form with its fields filled in one pass: a belief may hold braces of its own."""
    return re.sub(r"\{(\w+)\}", lambda found: fields[found.group(1)], form)
