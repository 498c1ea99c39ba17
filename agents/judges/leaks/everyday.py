"""Whether a short everyday word (Yes, No, One, Up, True) is said as the answer, and not as praise or within a phrase.

Invariant: pure.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from agents.judges.leaks.answers import Answer
from agents.judges.leaks.moods import DENIALS, Sentence
from agents.judges.leaks.statements import ADVERBS, BARE_AFTER, BARE_BEFORE, BE, places_of
from agents.judges.normal import content, stem


def all_or_none(sentence: Sentence, answer: Answer) -> Iterator[tuple[str, str]]:
    line = sentence.line
    if sentence.mood in ("open", "several", "pointing") or sentence.of_others:
        return
    every = (
        r" all of (?:them|these|those|it) | all (?:three|four|five|are|is|were|correct|true) | (?:they|these|those) "
        r"(?:are )?all | every (?:one|single one|option|answer) "
    )
    if answer.all_of:
        both = r"| both " if answer.options == 3 else ""
        found = regex.search(every + both, line)
    else:
        found = regex.search(
            r" none (?:of|is|are) | none $| neither | not any of | no(?:t one)? (?:option|answer|choice)s? (?:is|are"
            r"|fits?) ",
            line,
        )
    if found and not (answer.all_of and regex.search(r" not (?:all|both|every) ", line)):
        yield "text", found.group().strip()


_PRAISE = regex.compile(
    r"^(?:that is |it is |you are |you have |a )?(?:very |really |so |such |a |quite )?(?:good|great|nice|exactly"
    r"|right|correct|well|excellent|"
    r"perfect|wonderful|fantastic|awesome|absolutely|keep|i |of course|sure|let|please|go on|indeed|interesting|okay"
    r"|ok|"
    r"thank|thanks|you|we|what|why|how|which|can|could|do|does|not quite|not exactly|not yet|not really|try|think"
    r"|that|almost|and|but|now|"
    r"start|close|problem|worries|need|wait|look)\b"
)


_MOTION = frozenset(
    "go goes going move moves moving point points pointing turn turns head heads fall falls push pushes pull pulls "
    "travel travels rise rises act acts flow flows get gets becomes grows looks sounds feels seems weighs is are be "
    "become stays remains was will".split()
)


def said_as_answer(sentence: Sentence, answer: Answer, *, alone: bool = False) -> bool:
    """Whether a short everyday word is said as the answer: alone, as `the answer is ...`, or with what was asked."""
    word = tuple(answer.everyday.split())
    if answer.yes_no and answer.everyday in ("yes", "no", "true", "false") and _restated(sentence, answer):
        return True
    if answer.everyday in _OPPOSITES and _opposite_denied(sentence, answer, alone=alone):
        return True
    for at in places_of(sentence, word):
        clause = sentence.clause(at)
        inside = at - clause.start
        before, behind = clause.keys[:inside], clause.keys[inside + len(word) :]
        ahead = "".join(f"{key} " for key in before)
        mood = sentence.mood if sentence.clauses and sentence.mood != "pointing" else "pointing"
        if mood in ("open", "several", "pointing") or (mood == "yes_no" and not alone):
            continue
        if at == 0 and answer.everyday in (
            "yes",
            "no",
            "oui",
            "non",
            "ja",
            "nein",
            "sí",
            "да",
            "нет",
            "sim",
            "não",
            "sì",
        ):
            if _answers_by_yes(sentence, len(word), answer):
                return True
            continue
        if sentence.denied(at):
            continue
        if _NAMED_WORD.search(ahead) and (not behind or BARE_AFTER.match(" ".join(behind))):
            return True
        if (
            not behind
            and BARE_BEFORE.match(ahead)
            and len(before) <= 2
            and not (answer.everyday in ("right", "correct", "true") and before)
        ):
            concluded = clause.start == 0 or before[:1] in (("so",), ("therefore",), ("thus",), ("hence",))
            return mood == "stated" and (concluded or answer.everyday not in ("right", "correct", "yes", "no", "true"))
        if _OF_IT.search(ahead) and answer.everyday not in (
            "right",
            "correct",
        ):
            if not behind or BARE_AFTER.match(" ".join(behind)) and behind[0] != "that" or _about(behind, answer):
                return True
        if (
            before
            and answer.everyday not in ("correct", "true")
            and _moves(before, answer)
            and (not behind or BARE_AFTER.match(" ".join(behind)))
        ):
            return not (before[-1] in ("is", "was", "are", "be") and answer.everyday == "right")
        if (
            answer.everyday in ("never", "always", "sometimes")
            and before
            and mood == "stated"
            and _says_asked(sentence, answer)
        ):
            return True
    return False


_STATEMENT = r"(?:statement|claim|sentence|assertion|proposition|hypothesis|idea|one)"
_OF_IT = regex.compile(
    rf"^(?:(?:so|well|then|actually|therefore|thus|hence|indeed) )*"
    rf"(?:it|this|(?:(?:this|that|our|given)(?: \S+)? )?{_STATEMENT})(?: \S+)? "
    r"(?:is|was|must be|has to be|would be)(?: (?:definitely|actually|indeed|clearly|really|always|simply|also))* $"
)
_OPPOSITES = {"true": "false", "false": "true"}


def _opposite_denied(sentence: Sentence, answer: Answer, *, alone: bool) -> bool:
    """`The statement is not false` where the answer is true."""
    if sentence.mood not in (("stated", "assent", "yes_no") if alone else ("stated", "assent")) or sentence.of_others:
        return False
    for at in places_of(sentence, (_OPPOSITES[answer.everyday],)):
        clause = sentence.clause(at)
        before = tuple(key for key in clause.keys[: at - clause.start] if key != "not")
        behind = clause.keys[at - clause.start + 1 :]
        said = _OF_IT.search("".join(f"{key} " for key in before)) is not None and sentence.denied(at)
        if said and (not behind or _about(behind, answer)):
            return True
    return False


_NAMED_WORD = regex.compile(
    rf"(?:answer|solution|choice|option|result|réponse|antwort|respuesta|ответ|答案)(?: \S+){{0,4}} (?:{BE}|would be"
    rf"|should be){ADVERBS} $"
    r"|(?:answer|solution|antwort|réponse|respuesta|ответ) $|(?:pick|choose|say|go with|select|put|mark|write) $"
)


def _says_asked(sentence: Sentence, answer: Answer) -> bool:
    """Whether the sentence says what the question asks about: `It never stops` where it is asked when it stops."""
    said = {stem(key, answer.language) for key in sentence.keys}
    return len(said & answer.predicate) >= max(1, len(answer.predicate) / 2)


def _about(keys: tuple[str, ...], answer: Answer) -> bool:
    """Whether the words are about what the question asks."""
    said = {stem(key, answer.language) for key in keys}
    asked = answer.asked - {"true", "fals"}
    return bool(asked) and len(said & asked) >= max(2, len(asked) / 2)


def _answers_by_yes(sentence: Sentence, length: int, answer: Answer) -> bool:
    """`Yes, it floats.` answers; `Yes, good start!` praises; `No, it is not.` answers."""
    rest = sentence.keys[length:]
    if not rest:
        return sentence.mood == "stated"
    line = " ".join(rest)
    if sentence.mood not in ("stated", "assent"):
        return False
    said = {stem(key, answer.language) for key in rest}
    if said & answer.asked and not _PRAISE.match(line):
        return True
    return regex.match(
        r"(?:it|they|he|she|there|this|these|those) (?:is|are|does|do|did|was|were|can|could|will|would|has|have|must"
        r"|should)"
        r"(?: not)?(?: indeed| really| always| never)?$|(?:because|since) ",
        line,
    ) is not None or (not _PRAISE.match(line) and bool(regex.match(r"(?:it|they|he|she) ", line)))


def _restated(sentence: Sentence, answer: Answer) -> bool:
    """Whether a statement says all that a yes-or-no question asks, with the polarity of the answer."""
    if sentence.mood not in ("stated", "assent") or len(answer.predicate) < 2 or len(sentence.clauses) > 3:
        return False
    said = {stem(key, answer.language) for key in sentence.keys} | set(content(sentence.text, answer.language))
    asked = answer.predicate - {"true", "fals", "yes"}
    if (
        len(asked) < 2
        or not asked <= said
        or sentence.of_others
        or set(sentence.keys) & {"if", "whether", "or", "that"}
    ):
        return False
    denied = bool(DENIALS & set(sentence.keys))
    return denied == (answer.everyday in ("no", "false"))


def _moves(before: tuple[str, ...], answer: Answer) -> bool:
    if before[-1] in ("the", "straight", "directly", "to", "always") and len(before) > 1:
        before = before[:-1]
    verb = before[-1]
    return verb in _MOTION or stem(verb, answer.language) in answer.asked - {"sum", "end", "look", "set"}
