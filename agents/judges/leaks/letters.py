"""Whether a tutor commits to the letter or number of the right option, or only speaks of the option.

Invariant: pure; without a commitment a letter is an article, a name or a candidate among others.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from agents.judges.leaks.answers import Answer
from agents.judges.leaks.moods import Sentence
from agents.judges.leaks.statements import key_at

LETTER_NAMED = regex.compile(
    r"(?<![\p{L}\d'])([B-HJ]|A(?!\s+(?!because|since|is|or|and|as|but)\p{Ll}))(?![\p{L}\d'])|\(([a-j])\)"
)


_LETTER = (
    r"(?P<letter>[A-J]|(?<=[(\[\"'])[a-j](?=[)\]\"'])|[a-j](?=\s*(?:$"
    r"|[.!,;:)\]])))(?P<end>[)\]\"']*)(?![\p{L}\p{N}'’-])"
)


_THE_LETTER = regex.compile(
    r"(?:\b(?i:answer|option|choice|letter|solution|pick|select|choose|choosing|go with|going with|went with|mark"
    r"|circle|"
    r"say|take|one's|it's|it is|that's|that is|this is|is|be|réponse|antwort|respuesta|ответ|вариант|буква|opción"
    r"|risposta|option)"
    r"|答案|选项?|是|选)(?:'s|'d|'ll)?"
    r"(?:\s+(?i:is|would|must|should|will|has to|to|can only|be|most|likely|definitely|clearly|therefore|choice"
    r"|option|answer|"
    r"letter|number|correct|the|est|la|ist|es))*+\s*[:=-]?\s*[(\[\"']*" + _LETTER
)


_LETTER_IS = regex.compile(
    r"(?:^|[,;:.]\s*|\b(?i:so|then|that|because|and|option|choice|answer|letter)\s+)[(\[\"']*(?P<letter>[A-J])[)\]\"']*\s+"
    r"(?:is|would be|must be|has to be|est|ist|es)\s+(?:the\s+|definitely\s+|clearly\s+|actually\s+|indeed\s+)*"
    r"(?:right|correct|best|true|answer|one|it\b|what|solution|choice|option|way|bonne|richtig|correct[oae]?)"
)


_LETTER_ALONE = regex.compile(
    r"^\W*(?:(?i:so|well|yes|the answer|answer|right|then|therefore|ok|okay|clearly|definitely|obviously|surely|final"
    r" answer|my answer)\W+)*[(\[\"']*(?P<letter>[A-J]|(?<=[(\[])[a-j]|[a-j](?=\)))[)\]\"']*"
    r"\s*(?:$|[.!:]+\s*$|[,:-]\s|\)\s|because\b)"
)


_LETTER_ASKED = regex.compile(
    r"(?i:\b(?:is|could|would|might|can|isn't|wouldn't|couldn't)\s+(?:it|the answer|that|this)(?:\s+(?:not|be|option"
    r"|choice))*)"
    r"\s*[(\[\"']*(?P<letter>[A-J])[)\]\"']*\s*[,?]"
)


_NUMBERED = ("first", "second", "third", "fourth", "fifth", "sixth")


def letters_said(reading: tuple[Sentence, ...], answer: Answer) -> Iterator[str]:
    """Where the tutor commits to the right option's letter or number."""
    if not answer.letter:
        return
    for sentence in reading:
        text = sentence.text
        if sentence.mood in ("open", "several") or (sentence.mood == "pointing" and not _COMMIT_WORD.search(text)):
            continue
        if regex.search(r"\b[A-J]\b\W*\s(?:or|and|nor|oder|ou|o|или)\s+(?:\w+\s)?\W*[A-J]\b", text):
            continue
        if sentence.mood == "yes_no" and len(set(LETTER_NAMED.findall(text))) > 1:
            continue
        for pattern in (_THE_LETTER, _LETTER_IS, _LETTER_ALONE, _LETTER_ASKED):
            for found in pattern.finditer(text):
                if found["letter"].upper() == answer.letter and _commits(sentence, found):
                    yield answer.letter
        if _ordinal(sentence, answer):
            yield answer.letter


_COMMIT_WORD = regex.compile(r"\b(?:pick|choose|select|answer|correct|right|go with|mark|circle)\b", regex.IGNORECASE)


def _commits(sentence: Sentence, found: regex.Match[str]) -> bool:
    """Whether the words around the letter commit to it and do not tell what it says, or that it is not right."""
    text = sentence.text
    at = key_at(sentence, found.start("letter"))
    if sentence.keys and (sentence.denied(at) or (sentence.of_others and sentence.mood != "assent")):
        return False
    before, after = text[: found.start("letter")].rstrip(" ([\"'*"), text[found.end("letter") :].lstrip(" )]\"'*")
    if found["letter"] == "I" and not regex.search(
        r"(?:answer|option|letter|choice)\W*(?:is)?\W*$", before, regex.IGNORECASE
    ):
        return False
    if regex.match(r"(?:and|or|,)\s+[A-J]\b", after):
        return False
    if (
        found["letter"] == "A"
        and regex.match(r"\p{Ll}{2,}", after)
        and not regex.match(r"(?:because|since|is|as|here|too|for|would|was|would|must)\b", after)
    ):
        return False
    labelled = regex.search(r"\b(?:option|choice|letter|answer)$", before, regex.IGNORECASE)
    if labelled and regex.match(
        r"(?:says?|said|talks?|states?|claims?|is about|mentions?|describes?|reads?|means?|tells?|would mean|again"
        r"|and|in|with|isn't|is not|is wrong|does|has|seems)\b",
        after,
    ):
        return False
    if labelled and not regex.search(
        r"\b(?:is|say|pick|choose|select|with|be|take|mark|circle|it's|to|correct|right|right answer"
        r"|would)\W*(?:the\s+)?(?:option|choice|letter|answer)$|^\W*(?:option|choice|letter|answer|the answer)$",
        before,
        regex.IGNORECASE,
    ):
        return regex.match(
            r"(?:is|would be|must be|here|because|since|$|[.!])", after
        ) is not None and not regex.search(
            r"\b(?:at|about|of|in|does|read|reread|compare|with)\s+(?:\w+\s+)?(?:option|choice|letter|answer)$",
            before,
            regex.IGNORECASE,
        )
    return True


def _ordinal(sentence: Sentence, answer: Answer) -> bool:
    """`Option 2 is right`, `It's the second one`."""
    if (
        answer.position >= len(_NUMBERED)
        or answer.options < 2
        or sentence.of_others
        or sentence.mood not in ("stated", "assent")
    ):
        return False
    name, number = _NUMBERED[answer.position], answer.position + 1
    named = rf"(?:(?:option|choice|answer)\s+(?:number\s+|no\.?\s*)?{number}\b|{name}\s+(?:option|choice|answer|one)\b)"
    found = regex.search(
        rf"(?:\b(?:is|it's|be|pick|choose|select|go with|mark)\s+(?:the\s+)?{named})|{named}\s+(?:is|would "
        rf"be)\s+(?:the\s+)?(?:right|correct|best|answer|true)|^\W*(?:the\s+)?{named}\W*$",
        sentence.text,
        regex.IGNORECASE,
    )
    return found is not None and not sentence.denied(key_at(sentence, found.end() - 1), reach=8)
