"""Whether a sentence states a claim, or only asks about it, points to it, denies it or tells who said it.

Invariant: pure; a place is the index of a key in `Sentence.keys`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import regex

from agents.judges.leaks.answers import Answer
from agents.judges.leaks.claims import Claim
from agents.judges.leaks.moods import OPEN_WORDS, SAYERS, Mood, Sentence
from agents.judges.leaks.quantities import same
from agents.judges.normal import content, stem

OR = frozenset("or oder ou или либо أم أو oppure either whether 还 或".split())


ADVERBS = (
    r"(?: (?:definitely|actually|really|clearly|simply|just|indeed|obviously|of course|in fact|certainly|then"
    r"|therefore|"
    r"now|always|still|also|likely|probably|only|exactly|about|called|at|in|to|on|by|for|from|that|because of|due to|"
    r"wirklich|vraiment|realmente|именно))*"
)


BE = (
    r"(?:is|are|was|were|be|been|equals|means|becomes|stays|remains|has to be|gives|get|gets|makes|got|est|sont|ist"
    r"|sind|"
    r"es|son|é|è|sono|são|это|будет|является|是|为|هو|هي|c'est)"
)


_IT = (
    r"(?:it|that|this|answer|solution|one|result|correct|right|choice|option|key|reason|cause|they|these|those|there|he|"
    r"she|winner|x|y|c'est|ce|réponse|antwort|lösung|das|es|respuesta|ответ|это|答案|它|risposta|resposta|الجواب|الإجابة)"
)


_FILLER = (
    r"(?:so|well|yes|yeah|right|okay|ok|then|therefore|thus|hence|actually|exactly|correct|simply|just|definitely|clearly|"
    r"in|fact|of|course|and|remember|no|oui|ja|sí|да|also|donc|well|done|good|great|now|finally|again|because|since|"
    r"perfect|here|answer|answers?|solution|hint|result|by|to|for|at|on)"
)


BARE_BEFORE = regex.compile(rf"^(?:{_FILLER} )*$")


BARE_AFTER = regex.compile(
    r"^$|^(?:because|since|as|for|due|so|where|which|that|then|here|too|instead|right|correct|of course|again|indeed)\b"
)


IS_IT = regex.compile(
    rf"(?:\b{_IT}(?: \S+){{0,5}} {BE}|\b(?:total|sum|difference|product|quotient)(?: \S+){{0,4}} {BE}|^(?:{_FILLER} "
    rf")*(?:why |how )?{BE}(?: not)? {_IT}(?: be)?|(?:^| )(?:c'est|c'était|это|вот)"
    rf"|^(?:{_FILLER} )*(?:could|would|can|must|should|might|will|may|does|do)(?: not)? {_IT}(?: have to)? be"
    rf"|\b{_IT} (?:must|has to|have to|should|would|could|can|will|might)(?: \w+)? be|这|是|等 于){ADVERBS} $"
)


NAMED_AFTER = regex.compile(
    r"^(?:is|are|was|would be|must be|has to be|est|ist|es|это|是)(?: definitely| clearly| indeed| actually| really)?"
    r"(?: (?:right|correct|answer|one|ones|it|what|where|which|who|true|best|key|winner|solution|reason|choice|richtig|"
    r"correcte?s?|correcto|bonne|верно|правильно|对|正))+(?: |$)"
)


COMMIT = regex.compile(
    r"(?:^| )(?:pick|choose|select|go with|use|write|say|mark|circle|answer|take|answer with|put|enter|say that)"
    r"(?: down| in)? $"
)


_HAN = regex.compile(r"\p{Han}")


_LESS = frozenset(
    "less least fewer lower smaller weaker slower colder shorter lighter moins weniger menos меньше meno".split()
)


def claim_places(sentence: Sentence, claim: Claim) -> Iterator[int]:
    """Where the sentence says the claim; what is a sentence may have a small word more (both pieces will float)."""
    exact = list(places_of(sentence, claim.keys))
    if exact or not claim.sentence or len(claim.keys) < 2:
        yield from exact
        return
    for found in _with_gaps(claim.keys).finditer(sentence.line):
        yield sentence.line.count(" ", 0, found.start())


@lru_cache(maxsize=4096)
def _with_gaps(keys: tuple[str, ...]) -> regex.Pattern[str]:
    small = "(?:(?:will|would|do|does|did|just|also|really|actually|simply|then|always|now|all|both|usually) )?"
    return regex.compile(" " + f" {small}".join(regex.escape(key) for key in keys) + " ")


def places_of(sentence: Sentence, keys: tuple[str, ...]) -> Iterator[int]:
    """Where the sentence has these keys side by side."""
    line, sought = sentence.line, f" {' '.join(keys)} "
    at = line.find(sought)
    while at >= 0:
        yield line.count(" ", 0, at)
        at = line.find(sought, at + 1)


def inside_wrong(sentence: Sentence, at: int, claim: Claim, answer: Answer) -> bool:
    """Whether the words found belong to a longer wrong option that was said."""
    end = at + len(claim.keys)
    for wrong in answer.wrong:
        if len(wrong.keys) > len(claim.keys):
            for place in places_of(sentence, wrong.keys):
                if place <= at and end <= place + len(wrong.keys):
                    return True
    return False


def needs_frame(claim: Claim) -> bool:
    """Whether the words alone tell nothing: they stand in the question, or are the short claim of a longer answer."""
    return claim.told or (claim.part and len(claim.keys) <= 4 and not claim.sentence)


def claims_it(sentence: Sentence, at: int, claim: Claim, answer: Answer) -> bool:
    """Whether the sentence claims what stands there, or seeks assent to it."""
    if sentence.denied(at):
        return False
    mood = mood_at(sentence, at, answer)
    framed = is_framed(sentence, at, claim, answer)
    if needs_frame(claim) and not framed:
        return False
    if mood in ("stated", "assent", "yes_no"):
        return True
    if claim.reason:
        return False
    if mood == "pointing":
        return len(claim.keys) >= 5 or is_framed(sentence, at, claim, answer, by_predicate=False)
    return mood == "open" and (len(claim.keys) >= 4 and not needs_frame(claim) or presupposed(sentence, at))


def presupposed(sentence: Sentence, at: int) -> bool:
    """`Why is it 20?`, `Why F = ma?`: the question takes the answer as given."""
    before = _near(sentence.keys[:at])
    return _TAKEN_AS_GIVEN.search(before) is not None


_TAKEN_AS_GIVEN = regex.compile(
    rf"(?:^|so |and |but )(?:why|how come|how do (?:you|we) know)(?: that)?"
    rf"(?: is| it is| {_IT}(?: \S+)? {BE})?(?: {_IT})? $"
)


def mood_at(sentence: Sentence, at: int, answer: Answer) -> Mood:
    """The mood of the clause that holds the key: what stands before the asking clause is stated."""
    clause = sentence.clause(at)
    own = _clause_start(clause.keys)
    before = clause.keys[: at - clause.start]
    if sentence.of_others and sentence.mood != "assent" and _said_by_others(before, clause.keys):
        return "several"
    if own in ("if", "suppose", "whether", "imagine", "assume", "si", "wenn", "если", "如", "se", "إذا"):
        return "pointing"
    mood = sentence.mood
    if mood in ("open", "yes_no", "several"):
        asking = [part.start for part in sentence.clauses if _asks(part.keys)]
        if asking and clause.start < asking[0]:
            mood = "stated"
    elif mood == "pointing" and clause.start > 0 and own not in OPEN_WORDS and not _asks(clause.keys):
        mood = "stated"
    if mood == "yes_no" and _wrong_named(sentence, answer):
        return "several"
    if mood == "stated" and _beside_or(sentence, at) and _wrong_named(sentence, answer):
        return "several"
    if mood == "stated" and _sought(before):
        return "pointing"
    return mood


def _beside_or(sentence: Sentence, at: int) -> bool:
    """Whether the clause that holds the key, or the next, is one of several joined by `or`."""
    for number, clause in enumerate(sentence.clauses):
        if clause.start <= at < clause.start + len(clause.keys):
            after = sentence.clauses[number + 1].keys if number + 1 < len(sentence.clauses) else ()
            return bool(OR & {*clause.keys, *after[:1]})
    return False


def _clause_start(keys: tuple[str, ...]) -> str:
    return next((key for key in keys if key not in ("and", "but", "so", "then", "now", "just", "please", "or")), "")


def _asks(keys: tuple[str, ...]) -> bool:
    first = _clause_start(keys)
    auxiliary = "is are was were do does did can could would will should has have must may might".split()
    second_open = len(keys) > 1 and keys[0] in ("in", "at", "by", "for", "to", "from") and keys[1] in OPEN_WORDS
    return first in OPEN_WORDS - {"that", "who"} or first in auxiliary or second_open


def _said_by_others(before: tuple[str, ...], clause: tuple[str, ...]) -> bool:
    return SAYERS.search(" ".join(before)) is not None or SAYERS.search(" ".join(clause)) is not None


def _sought(before: tuple[str, ...]) -> bool:
    """Whether the words before lead to a question within a statement: find out whether, think about which."""
    return _SEEKS.search(" ".join(before)) is not None


_SEEKS = regex.compile(
    r"\b(?:whether|(?:find|figure|work) out (?:if|which|what|why|how|when|where)|"
    r"(?:decide|tell|know|see|check|ask|wonder|explain|consider|about|determine) (?:me |us )?"
    r"(?:if|whether|which|what|when|where))\b"
)


def _wrong_named(sentence: Sentence, answer: Answer) -> bool:
    """Whether the sentence names a wrong option."""
    if answer.formula is not None:
        return any(formula.search(sentence.text) for formula in answer.wrong_formulas)
    if any(claim.line in sentence.line for claim in answer.wrong):
        return True
    if not answer.wrong_quantities:
        return False
    said = [token.quantity for token in sentence.tokens if token.quantity is not None]
    return any(same(wrong, quantity) for wrong in answer.wrong_quantities for quantity in said)


def is_framed(sentence: Sentence, at: int, claim: Claim, answer: Answer, *, by_predicate: bool = True) -> bool:
    """Whether the clause puts the claim forward: as the answer, alone, or with what the question asks about."""
    clause = sentence.clause(at)
    inside = at - clause.start
    before, after = clause.keys[:inside], clause.keys[inside + len(claim.keys) :]
    ahead, behind = _near(before), " ".join(after[:16])
    if BARE_BEFORE.match(ahead) and BARE_AFTER.match(behind) and _ends_clause(sentence, at + len(claim.keys), behind):
        return clause.start == 0 or not _asks(sentence.clauses[0].keys)
    if not claim.told and _SAYS_OF_IT.match(ahead) and BARE_AFTER.match(behind):
        return True
    if IS_IT.search(ahead) or COMMIT.search(ahead) or (NAMED_AFTER.match(behind) and BARE_BEFORE.match(ahead)):
        return True
    return by_predicate and _predicated(sentence, claim, before, after, answer)


_SAYS_OF_IT = regex.compile(rf"^(?:{_FILLER} )*(?:it|they|you|we|he|she)(?: will| would)? \w+(?: us| me)? $")
"""`It points` away from the sun, `you see` nothing."""


def _ends_clause(sentence: Sentence, end: int, behind: str) -> bool:
    return bool(behind) or end >= len(sentence.keys) or any(clause.start == end for clause in sentence.clauses)


def _predicated(
    sentence: Sentence, claim: Claim, before: tuple[str, ...], after: tuple[str, ...], answer: Answer
) -> bool:
    """Whether the sentence says of the claim what the question asks: the bathtub has more thermal energy."""
    if not answer.predicate or sentence.mood == "open":
        return False
    said = {stem(key, answer.language) for key in (*before, *after)}
    said |= set(content("".join((*before, "，", *after)), answer.language)) if _HAN.search("".join(after)) else set()
    needed = len(answer.predicate) / (2 if claim.told else 3)
    if len(answer.predicate & said) < max(1, needed) and not (answer.compares and answer.compared & said):
        return False
    words = {*before, *after} | said
    if answer.compares and not (
        words & _COMPARED or any(key.endswith(("er", "est")) and len(key) > 4 for key in words)
    ):
        return False
    turned = bool({"than", "que", "als", "чем", "di"} & set(before))
    if turned:
        return bool(_LESS & set(before)) and not _LESS & set(answer.asked)
    line = f" {' '.join(before)} "
    return not any(claim.line in line for claim in answer.wrong if not claim.keys == ("b",))


_COMPARED = frozenset(
    "more most less least fewer best worst better worse first last plus moins mehr meiste meisten weniger am más menos "
    "больше меньше più meno mais 更 最 多 更多 最多 更高 最大 أكثر أكبر أقل".split()
)


def formulas_said(sentence: Sentence, answer: Answer) -> Iterator[tuple[str, str]]:
    if answer.formula is None:
        return
    for found in answer.formula.finditer(sentence.text):
        at = key_at(sentence, found.start())
        mood = mood_at(sentence, at, answer)
        if sentence.keys and sentence.denied(at, reach=4):
            continue
        if mood in ("stated", "assent", "yes_no") or (mood == "pointing" and COMMIT.search(words_ahead(sentence, at))):
            yield "text", found.group().strip()
        elif mood == "open" and regex.match(
            r"\W*(?:so |and |but )?why\W+$", sentence.text[: found.start()], regex.IGNORECASE
        ):
            yield "text", found.group().strip()


def words_ahead(sentence: Sentence, at: int) -> str:
    clause = sentence.clause(at) if sentence.clauses else None
    keys = clause.keys[: at - clause.start] if clause else ()
    return _near(keys)


def _near(keys: tuple[str, ...]) -> str:
    """The last words before something, each with a blank; what was cut off counts as one word more."""
    cut = keys if len(keys) <= 16 else ("...", *keys[-16:])
    return "".join(f"{key} " for key in cut)


def key_at(sentence: Sentence, offset: int) -> int:
    """The first key whose token does not end before that character."""
    for index, place in enumerate(sentence.places):
        if sentence.tokens[place].end > offset:
            return index
    return max(0, len(sentence.keys) - 1)
