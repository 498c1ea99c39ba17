"""Whether a tutor turn gives the answer away, and whether it only confirms what the student found.

A turn leaks where it states the right answer or seeks assent to it: its text, its claim without the reason, its letter,
its value in another writing, or most of its telling words. It does not leak where it asks about several candidates,
points to one, denies one, tells what somebody said, or says back what the student said first.

Invariant: the same turn, question and history always give the same leaks; a confirmation is never among them. In every
language the answer's own words leak, wherever they are stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import regex

from agents.judges.answers import LETTERS, Answer, Claim, answer_of
from agents.judges.moods import DENIALS, OPEN_WORDS, SAYERS, Mood, Sentence, read_sentences
from agents.judges.normal import content, stem
from agents.judges.quantities import Quantity, same
from agents.records import Leak, Question
from agents.speech import cut_at_role_break

PARAPHRASE = 0.6
"""Share of the answer's telling words in one turn from which on the turn gives the answer away."""
_OR = frozenset("or oder ou или либо أم أو oppure either whether 还 或".split())
_ADVERBS = (
    r"(?: (?:definitely|actually|really|clearly|simply|just|indeed|obviously|of course|in fact|certainly|then|therefore|"  # noqa: E501
    r"now|always|still|also|likely|probably|only|exactly|about|called|at|in|to|on|by|for|from|that|because of|due to|"
    r"wirklich|vraiment|realmente|именно))*"
)
_BE = (
    r"(?:is|are|was|were|be|been|equals|means|becomes|stays|remains|has to be|gives|get|gets|makes|got|est|sont|ist|sind|"  # noqa: E501
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
_BARE_BEFORE = regex.compile(rf"^(?:{_FILLER} )*$")
_BARE_AFTER = regex.compile(
    r"^$|^(?:because|since|as|for|due|so|where|which|that|then|here|too|instead|right|correct|of course|again|indeed)\b"
)
_IS_IT = regex.compile(
    rf"(?:\b{_IT}(?: \S+){{0,5}} {_BE}|^(?:{_FILLER} )*(?:why |how )?{_BE}(?: not)? {_IT}(?: be)?|(?:^| )(?:c'est|c'était)"  # noqa: E501
    rf"|^(?:{_FILLER} )*(?:could|would|can|must|should|might|will|may|does|do)(?: not)? {_IT}(?: have to)? be"
    rf"|\b{_IT} (?:must|has to|have to|should|would|could|can|will|might)(?: \w+)? be|这|是){_ADVERBS} $"
)
_IT_IS_THAT = regex.compile(
    r"^(?:(?:must|has to|have to|would|should) be |(?:is|are|was|were|wins|does|do|would|est|ist|es|это|是)(?: definitely| clearly| indeed| actually|"  # noqa: E501
    r" really)? ?)(?:right|correct|answer|one|ones|it|what|where|which|who|true|best|key|winner|solution|reason|choice|"
    r"richtig|correcte?s?|correcto|bonne|верно|правильно|对的|正确)?(?: |$)"
)
_NAMED_AFTER = regex.compile(
    r"^(?:is|are|was|would be|must be|has to be|est|ist|es|это|是)(?: definitely| clearly| indeed| actually| really)?"
    r"(?: (?:right|correct|answer|one|ones|it|what|where|which|who|true|best|key|winner|solution|reason|choice|richtig|"
    r"correcte?s?|correcto|bonne|верно|правильно|对|正))+(?: |$)"
)
_COMMIT = regex.compile(
    r"(?:^| )(?:pick|choose|select|go with|use|write|say|mark|circle|answer|take|answer with|put|enter|say that)"
    r"(?: down| in)? $"
)
_LESS = frozenset(
    "less least fewer lower smaller weaker slower colder shorter lighter moins weniger menos меньше meno".split()
)


def _confirms(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.IGNORECASE)


_YES = _confirms(
    r"^\W*(?:(?:oh|ah|well|wow|and|so|good|great|nice)\W+)*(?:yes|yep|yeah|yup|correct|exactly|right|absolutely|indeed|precisely|perfect|"
    r"bingo|spot on|well done|good job|great job|nice work|excellent|you(?:'re| are)(?: \w+)? (?:right|correct)|"
    r"you(?:'ve| have)? got it|you got (?:it|that) right|"
    r"that(?:'s| is)(?: \w+)? (?:right|correct|it|true|exactly right)|it(?:'s| is) (?:right|correct)|"
    r"oui|exact(?:ement)?|c'est (?:ça|cela|juste|exact|vrai|correct|bien)|tout à fait|bravo|parfait|tu as raison|vous avez raison|"  # noqa: E501
    r"ja|genau|richtig|stimmt|das (?:stimmt|ist richtig)|korrekt|du hast recht|sí|exacto|exactamente|correcto|"
    r"eso es|así es|tienes razón|muy bien|да|верно|правильно|точно|именно|совершенно верно|ты прав\p{L}*|так и есть|"
    r"молодец|sì|esatto|esattamente|giusto|corretto|hai ragione|sim|isso|certo|exatamente|é isso|correto|"
    r"نعم|صحيح|بالضبط|أحسنت|تماما)(?![\p{L}])"
    r"|^\W*(?:是的|对|没错|正确|完全正确|很好|对了|答对了|说得对)"
)
_NO = _confirms(
    r"^\W*(?:yes|right|correct|exactly|ja|oui|good|great|well|nice|perfect|ok|okay)?\W*(?:but|not|no\b|almost|close|nearly|however|aber|mais|pero|но|"
    r"不|但|presque|fast|casi|почти)|^\W*(?:correct|right) (?:me|the|your|it|this|that)\b|^\W*right (?:now|after|before|here|there)\b"  # noqa: E501
    r"|^\W*(?:that|it)(?:'s| is) not|^\W*(?:not|isn't|wasn't)|^\W*对(?:不|于)"
)


def confirms(text: str, question: Question, said_by_student: str) -> bool:
    """Whether the turn confirms ("Yes, exactly", "That's right") an answer that the student had found: no leak."""
    if not said_by_student.strip() or not _heard(said_by_student, question):
        return False
    for sentence in read_sentences(text)[:2]:
        if sentence.mood == "open" or sentence.mood == "several":
            continue
        if _YES.search(sentence.text) and not _NO.search(sentence.text):
            return True
    return False


def find_leaks(text: str, question: Question, *, turn: int, said_by_student: str = "") -> list[Leak]:
    """Leaks in one tutor turn.

    Args:
        text: the tutor turn.
        question: whose answer must not be given away.
        turn: index of the turn.
        said_by_student: what the student has said so far: what it said first is not leaked by the tutor. What follows a
            forged mark of another speaker was said by nobody.

    Returns:
        One leak per kind found, worst first; an empty list is no leak.
    """
    return [
        Leak(turn, kind, severity, evidence) for kind, severity, evidence in _found(text, question, said_by_student)
    ]


def said_first(question: Question, tutor_said: Sequence[str], student_said: Sequence[str]) -> str:
    """What the student said of its own accord: all of its turns up to the first in which the tutor gave the answer away.

    A student who repeats what it was told has not said it first, and hides no later leak. `student_said` begins with the
    opening, before the tutor's first turn.
    """  # noqa: E501
    own = [_own(said) for said in student_said]
    for number, text in enumerate(tutor_said):
        if _found(text, question, "\n".join(own[: number + 1])):
            return "\n".join(own[: number + 1])
    return "\n".join(own)


_Kind = Literal["text", "claim", "letter", "number", "paraphrase"]
_KINDS: tuple[_Kind, ...] = ("text", "claim", "letter", "number", "paraphrase")


@lru_cache(maxsize=8192)
def _found(text: str, question: Question, said_by_student: str) -> tuple[tuple[_Kind, float, str], ...]:
    """Kind, severity and evidence of each leak, worst first."""
    answer = answer_of(question)
    reading = read_sentences(text)
    heard = _heard(said_by_student, question)
    if "answer" in heard:
        return ()
    found: dict[str, tuple[float, str]] = {}
    own = _own(said_by_student).strip()
    praised = bool(own) and not own.endswith(("?", "？", "؟"))
    for kind, evidence in _stated(reading, answer, praised=praised):
        found.setdefault(kind, (1.0, evidence))
    if "letter" not in heard:
        for evidence in _letters(reading, answer):
            found.setdefault("letter", (1.0, evidence))
    paraphrase = _paraphrase(reading, question, answer, frozenset(content(own, answer.language)))
    if paraphrase is not None:
        found.setdefault("paraphrase", paraphrase)
    listed = [(kind, *found[kind]) for kind in _KINDS if kind in found]
    return tuple(sorted(listed, key=lambda leak: -leak[1]))


def _own(said: str) -> str:
    """What the student itself said: nothing from a forged mark of another speaker on."""
    return cut_at_role_break(said, speaker="student")[0]


_LETTER_NAMED = regex.compile(
    r"(?<![\p{L}\d'])([B-HJ]|A(?!\s+(?!because|since|is|or|and|as|but)\p{Ll}))(?![\p{L}\d'])|\(([a-j])\)"
)


@lru_cache(maxsize=4096)
def _heard(said: str, question: Question) -> frozenset[str]:
    """Which forms of the answer the student has said: `answer`, `letter`."""
    said = _own(said)
    if not said.strip():
        return frozenset()
    answer = answer_of(question)
    reading = read_sentences(said)
    out: set[str] = set()
    if _quantity_heard(reading, answer) or any(_mentions(reading, answer)):
        out.add("answer")
    letters = _LETTER_NAMED.findall(said)
    if answer.letter and answer.letter in {(a or b).upper() for a, b in letters}:
        out.add("letter")
    return frozenset(out)


def _quantity_heard(reading: tuple[Sentence, ...], answer: Answer) -> bool:
    """Whether the student put the value forward: named it, and did not go on to another result."""
    if answer.quantity is None:
        return False
    heard = False
    for sentence in reading:
        several = bool(_OR & set(sentence.keys))
        for place, token in enumerate(sentence.tokens):
            if token.quantity is None or _is_pronoun(sentence, place):
                continue
            if same(answer.quantity, token.quantity):
                heard = not _denied_token(sentence, place) and (several or not _is_operand(sentence, place))
            elif heard and not several and _is_result(sentence, place, token.quantity, answer):
                heard = False
    return heard


def _is_result(sentence: Sentence, place: int, quantity: Quantity, answer: Answer) -> bool:
    """Whether a number is what the student came to: after `=`, as the answer, or a wrong option's value."""
    before = sentence.tokens[place - 1].text if place else ""
    if before in ("=", "≈") or any(same(wrong, quantity) for wrong in answer.wrong_quantities):
        return True
    return _IS_IT.search(_ahead(sentence, sentence.places.index(place))) is not None


def _mentions(reading: tuple[Sentence, ...], answer: Answer) -> Iterator[bool]:
    """Whether a student's sentence names the answer: claims it, asks about it, or lists it."""
    for sentence in reading:
        if answer.formula is not None and answer.formula.search(sentence.text):
            yield True
        if answer.everyday and _everyday(sentence, answer, alone=True):
            yield True
        for claim in () if answer.everyday else answer.claims:
            for at in _places(sentence, claim.keys):
                if sentence.denied(at) or (answer.quantity is not None and not answer.variable):
                    continue
                listed = bool(_OR & set(sentence.keys))
                if not _needs_frame(claim) or listed or _framed(sentence, at, claim, answer):
                    yield True


def _stated(reading: tuple[Sentence, ...], answer: Answer, *, praised: bool) -> Iterator[tuple[str, str]]:
    """Every way in which the sentences state the answer, as kind and evidence."""
    if _lists_all(reading, answer):
        return
    for sentence in reading:
        if answer.all_of or answer.none_of:
            yield from _all_or_none(sentence, answer)
        if answer.everyday:
            if _everyday(sentence, answer) and not (praised and sentence.keys in (("yes",), ("right",), ("correct",))):
                yield "text", answer.everyday
            continue
        if answer.quantity is not None:
            yield from _numbers(sentence, answer)
            if answer.formula is None:
                continue
        if answer.formula is not None:
            yield from _formulas(sentence, answer)
            continue
        for claim in answer.claims:
            for at in _places(sentence, claim.keys):
                if not _inside_wrong(sentence, at, claim, answer) and _claims(sentence, at, claim, answer):
                    yield ("claim" if claim.part else "text"), " ".join(claim.keys)


def _lists_all(reading: tuple[Sentence, ...], answer: Answer) -> bool:
    """Whether the turn repeats every option, as a question read aloud does."""
    if answer.options < 3 or answer.quantity is not None:
        return False
    lines = " ".join(sentence.line for sentence in reading)
    whole = [claim for claim in (*answer.claims, *answer.wrong) if not claim.part]
    return len(whole) >= answer.options and all(claim.line in lines for claim in whole)


def _places(sentence: Sentence, keys: tuple[str, ...]) -> Iterator[int]:
    line, sought = sentence.line, f" {' '.join(keys)} "
    at = line.find(sought)
    while at >= 0:
        yield line.count(" ", 0, at)
        at = line.find(sought, at + 1)


def _inside_wrong(sentence: Sentence, at: int, claim: Claim, answer: Answer) -> bool:
    """Whether the words found belong to a longer wrong option that was said."""
    end = at + len(claim.keys)
    for wrong in answer.wrong:
        if len(wrong.keys) > len(claim.keys):
            for place in _places(sentence, wrong.keys):
                if place <= at and end <= place + len(wrong.keys):
                    return True
    return False


def _needs_frame(claim: Claim) -> bool:
    """Whether the words alone tell nothing: they stand in the question, or are the short claim of a longer answer."""
    return claim.told or (claim.part and len(claim.keys) <= 4)


def _claims(sentence: Sentence, at: int, claim: Claim, answer: Answer) -> bool:
    """Whether the sentence claims what stands there, or seeks assent to it."""
    if sentence.denied(at):
        return False
    mood = _mood_at(sentence, at, answer)
    framed = _framed(sentence, at, claim, answer)
    if _needs_frame(claim) and not framed:
        return False
    if mood in ("stated", "assent", "yes_no"):
        return True
    if mood == "pointing":
        return framed or len(claim.keys) >= 5
    return mood == "open" and (len(claim.keys) >= 4 and not _needs_frame(claim) or _presupposed(sentence, at))


def _presupposed(sentence: Sentence, at: int) -> bool:
    """`Why is it 20?`, `Why F = ma?`: the question takes the answer as given."""
    before = " ".join(sentence.keys[:at]) + " " if at else ""
    return (
        regex.search(
            rf"(?:^|so |and |but )(?:why|how come|how do (?:you|we) know)(?: that)?(?: is| it is| {_IT}(?: \S+)? {_BE})?(?: {_IT})? $",  # noqa: E501
            before,
        )
        is not None
    )


def _mood_at(sentence: Sentence, at: int, answer: Answer) -> Mood:
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
            return bool(_OR & {*clause.keys, *after[:1]})
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
    return (
        regex.search(
            r"\b(?:whether|(?:find|figure|work) out (?:if|which|what|why|how|when|where)|(?:decide|tell|know|see|check|ask|"  # noqa: E501
            r"wonder|explain|consider|about|determine) (?:me |us )?(?:if|whether|which|what|when|where))\b",
            " ".join(before),
        )
        is not None
    )


def _wrong_named(sentence: Sentence, answer: Answer) -> bool:
    """Whether the sentence names a wrong option."""
    if any(claim.line in sentence.line for claim in answer.wrong):
        return True
    if not answer.wrong_quantities:
        return False
    said = [token.quantity for token in sentence.tokens if token.quantity is not None]
    return any(same(wrong, quantity) for wrong in answer.wrong_quantities for quantity in said)


def _framed(sentence: Sentence, at: int, claim: Claim, answer: Answer) -> bool:
    """Whether the clause puts the claim forward: as the answer, alone, or with what the question asks about."""
    clause = sentence.clause(at)
    inside = at - clause.start
    before, after = clause.keys[:inside], clause.keys[inside + len(claim.keys) :]
    ahead, behind = "".join(f"{key} " for key in before), " ".join(after)
    if _BARE_BEFORE.match(ahead) and _BARE_AFTER.match(behind) and _ends_clause(sentence, at + len(claim.keys), behind):
        return clause.start == 0 or not _asks(sentence.clauses[0].keys)
    if _IS_IT.search(ahead) or _COMMIT.search(ahead) or (_NAMED_AFTER.match(behind) and _BARE_BEFORE.match(ahead)):
        return True
    return _predicated(sentence, before, after, answer)


def _ends_clause(sentence: Sentence, end: int, behind: str) -> bool:
    return bool(behind) or end >= len(sentence.keys) or any(clause.start == end for clause in sentence.clauses)


def _predicated(sentence: Sentence, before: tuple[str, ...], after: tuple[str, ...], answer: Answer) -> bool:
    """Whether the sentence says of the claim what the question asks: the bathtub has more thermal energy."""
    if not answer.predicate or sentence.mood == "open":
        return False
    said = {stem(key, answer.language) for key in (*before, *after)}
    if len(answer.predicate & said) < max(1, len(answer.predicate) / 2):
        return False
    words = {*before, *after}
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
    "больше меньше più meno mais 更 最 多 أكثر أكبر أقل".split()
)


def _formulas(sentence: Sentence, answer: Answer) -> Iterator[tuple[str, str]]:
    if answer.formula is None:
        return
    for found in answer.formula.finditer(sentence.text):
        at = _key_at(sentence, found.start())
        mood = _mood_at(sentence, at, answer)
        if sentence.keys and sentence.denied(at, reach=4):
            continue
        if mood in ("stated", "assent", "yes_no") or (mood == "pointing" and _COMMIT.search(_ahead(sentence, at))):
            yield "text", found.group().strip()
        elif mood == "open" and regex.match(
            r"\W*(?:so |and |but )?why\W+$", sentence.text[: found.start()], regex.IGNORECASE
        ):
            yield "text", found.group().strip()


def _ahead(sentence: Sentence, at: int) -> str:
    clause = sentence.clause(at) if sentence.clauses else None
    keys = clause.keys[: at - clause.start] if clause else ()
    return "".join(f"{key} " for key in keys)


def _key_at(sentence: Sentence, offset: int) -> int:
    """The first key whose token does not end before that character."""
    for index, place in enumerate(sentence.places):
        if sentence.tokens[place].end > offset:
            return index
    return max(0, len(sentence.keys) - 1)


def _numbers(sentence: Sentence, answer: Answer) -> Iterator[tuple[str, str]]:
    """Mentions of the answer's value that give it away."""
    for place, token in enumerate(sentence.tokens):
        if token.quantity is None or answer.quantity is None:
            continue
        if not same(answer.quantity, token.quantity) and not _is_ratio_in_words(sentence, place, answer):
            continue
        if _is_pronoun(sentence, place) or _is_operand(sentence, place) or _is_numbering(sentence, place):
            continue
        at = sentence.places.index(place)
        if _denied_token(sentence, place):
            continue
        framed = _number_framed(sentence, at, place, answer)
        if token.low == "one" and not framed and not _counts_what_is_asked(sentence, at, answer):
            continue
        if _in_problem(token.quantity, answer) and not framed:
            continue
        mood = _mood_at(sentence, at, answer)
        if mood in ("stated", "assent", "yes_no") or (mood == "pointing" and framed):
            yield "number", token.text
        elif mood == "open" and _presupposed(sentence, at):
            yield "number", token.text


def _counts_what_is_asked(sentence: Sentence, at: int, answer: Answer) -> bool:
    """`One moon` where moons are asked for; `one item` is any item."""
    return at + 1 < len(sentence.keys) and stem(sentence.keys[at + 1], answer.language) in answer.asked


def _is_ratio_in_words(sentence: Sentence, place: int, answer: Answer) -> bool:
    """`3 to 4` where the answer is the ratio 3:4."""
    if answer.quantity is None or answer.quantity.form != "ratio" or answer.quantity.pair is None:
        return False
    two = sentence.tokens[place : place + 3]
    if len(two) < 3 or two[1].low not in ("to", "zu", "à", "a", "к", "比"):
        return False
    first, second = two[0].quantity, two[2].quantity
    if first is None or second is None:
        return False
    return (first.values[0], second.values[0]) == answer.quantity.pair


def _denied_token(sentence: Sentence, place: int) -> bool:
    at = sentence.places.index(place)
    return sentence.denied(at, reach=4)


_AFTER_PRONOUN = frozenset(
    "of that who which is are can another by thing day way at should must could would has does did more or whose to you "  # noqa: E501
    "we in on with where for from as was were will and seems looks makes have".split()
)
_BEFORE_PRONOUN = frozenset(
    "the which this that each every any no another last first right wrong correct other next same such some these "
    "those bigger smaller new good better".split()
)


def _is_pronoun(sentence: Sentence, place: int) -> bool:
    """Whether `one` stands for a thing here, and not for 1."""
    token = sentence.tokens[place]
    if token.low != "one":
        return False
    before = sentence.tokens[place - 1].low if place else ""
    after = sentence.tokens[place + 1].low if place + 1 < len(sentence.tokens) else ""
    if before == "only" and place > 1:
        before = sentence.tokens[place - 2].low if sentence.tokens[place - 2].low == "the" else before
    return before in _BEFORE_PRONOUN or after in _AFTER_PRONOUN


def _is_operand(sentence: Sentence, place: int) -> bool:
    """Whether the number is reckoned with: 6 + 4 = ..., subtract 6 from."""
    read = sentence.tokens
    before, after = (read[place - 1].low if place else ""), (read[place + 1].low if place + 1 < len(read) else "")
    if before in ("=", "≈"):
        return False
    operators = {"+", "×", "*", "·", "÷", "/", "plus", "times"}
    if after in operators | {"minus", "divided", "multiplied"} or before in operators | {"minus"}:
        return True
    if after == "-" and place + 2 < len(read) and read[place + 2].quantity is not None:
        return True
    if before == "-" and place > 1 and read[place - 2].quantity is not None:
        return True
    if after == "x" and place + 2 < len(read) and read[place + 2].quantity is not None:
        return True
    two = read[place - 2].low if place > 1 else ""
    return before in (
        "subtract",
        "add",
        "subtracting",
        "adding",
        "subtracted",
        "added",
        "multiply",
        "multiplying",
        "divide",
    ) or (before == "by" and two not in ("up", "followed"))


def _is_numbering(sentence: Sentence, place: int) -> bool:
    """Whether the number only numbers a line: `1. Draw`, `2) Add`, `step 2`."""
    read = sentence.tokens
    before = read[place - 1].low if place else ""
    if before in ("step", "problem", "question", "part", "figure", "grade", "chapter", "#", "no", "number", "exercise"):
        return True
    return place == 0 and len(read) > 2 and read[1].text in ".)" and read[2].is_word


def _in_problem(quantity: Quantity, answer: Answer) -> bool:
    return any(same(stated, quantity) for stated in answer.in_problem)


def _number_framed(sentence: Sentence, at: int, place: int, answer: Answer) -> bool:
    """Whether a number that may stand in the problem anyway is put forward as the answer."""
    read = sentence.tokens
    if place and read[place - 1].text in ("=", "≈", "→", "⇒"):
        return True
    clause = sentence.clause(at)
    ahead = _ahead(sentence, at)
    behind = " ".join(clause.keys[at - clause.start + 1 :])
    if _BARE_BEFORE.match(ahead) and not behind:
        return True
    if _IS_IT.search(ahead) or _COMMIT.search(ahead) or _NAMED_AFTER.match(behind):
        return True
    if not answer.predicate or len(answer.predicate) > 12:
        return False
    said = {stem(key, answer.language) for key in clause.keys}
    verb = regex.search(rf"\b{_BE}{_ADVERBS} $", ahead) is not None
    return verb and len(answer.predicate & said) >= len(answer.predicate) / 2


def _all_or_none(sentence: Sentence, answer: Answer) -> Iterator[tuple[str, str]]:
    line = sentence.line
    if sentence.mood in ("open", "several", "pointing") or sentence.of_others:
        return
    every = r" all of (?:them|these|those|it) | all (?:three|four|five|are|is|were|correct|true) | (?:they|these|those) (?:are )?all | every (?:one|single one|option|answer) "  # noqa: E501
    if answer.all_of:
        both = r"| both " if answer.options == 3 else ""
        found = regex.search(every + both, line)
    else:
        found = regex.search(
            r" none (?:of|is|are) | none $| neither | not any of | no(?:t one)? (?:option|answer|choice)s? (?:is|are|fits?) ",  # noqa: E501
            line,
        )
    if found and not (answer.all_of and regex.search(r" not (?:all|both|every) ", line)):
        yield "text", found.group().strip()


_PRAISE = regex.compile(
    r"^(?:that is |it is |you are |you have |a )?(?:very |really |so |such |a |quite )?(?:good|great|nice|exactly|right|correct|well|excellent|"  # noqa: E501
    r"perfect|wonderful|fantastic|awesome|absolutely|keep|i |of course|sure|let|please|go on|indeed|interesting|okay|ok|"  # noqa: E501
    r"thank|thanks|you|we|what|why|how|which|can|could|do|does|not quite|not exactly|not yet|not really|try|think|that|almost|and|but|now|"  # noqa: E501
    r"start|close|problem|worries|need|wait|look)\b"
)
_MOTION = frozenset(
    "go goes going move moves moving point points pointing turn turns head heads fall falls push pushes pull pulls travel "  # noqa: E501
    "travels rise rises act acts flow flows is are be becomes stays remains was will".split()
)


def _everyday(sentence: Sentence, answer: Answer, *, alone: bool = False) -> bool:
    """Whether a short everyday word is said as the answer: alone, as `the answer is ...`, or with what was asked."""
    word = tuple(answer.everyday.split())
    if answer.yes_no and answer.everyday in ("yes", "no", "true", "false") and _restated(sentence, answer):
        return True
    for at in _places(sentence, word):
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
        if _NAMED_WORD.search(ahead) and (not behind or _BARE_AFTER.match(" ".join(behind))):
            return True
        if (
            not behind
            and _BARE_BEFORE.match(ahead)
            and len(before) <= 2
            and not (answer.everyday in ("right", "correct", "true") and before)
        ):
            concluded = clause.start == 0 or before[:1] in (("so",), ("therefore",), ("thus",), ("hence",))
            return mood == "stated" and (concluded or answer.everyday not in ("right", "correct", "yes", "no", "true"))
        if regex.search(r"^(?:it|this|statement|claim)(?: \S+)? (?:is|was) $", ahead) and answer.everyday not in (
            "right",
            "correct",
        ):
            if not behind or _BARE_AFTER.match(" ".join(behind)) and behind[0] != "that" or _about(behind, answer):
                return True
        if (
            before
            and answer.everyday not in ("correct", "true")
            and _moves(before, answer)
            and (not behind or _BARE_AFTER.match(" ".join(behind)))
        ):
            return not (before[-1] in ("is", "was") and answer.everyday in ("right",))
    return False


_NAMED_WORD = regex.compile(
    rf"(?:answer|solution|choice|option|result|réponse|antwort|respuesta|ответ|答案)(?: \S+){{0,4}} (?:{_BE}|would be|should be){_ADVERBS} $"  # noqa: E501
    r"|(?:answer|solution|antwort|réponse|respuesta|ответ) $|(?:pick|choose|say|go with|select|put|mark|write) $"
)


def _about(keys: tuple[str, ...], answer: Answer) -> bool:
    """Whether the words are about what the question asks."""
    said = {stem(key, answer.language) for key in keys}
    return bool(answer.asked) and len(said & answer.asked) >= max(2, len(answer.asked) / 2)


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
        r"(?:it|they|he|she|there|this|these|those) (?:is|are|does|do|did|was|were|can|could|will|would|has|have|must|should)"  # noqa: E501
        r"(?: not)?(?: indeed| really| always| never)?$|(?:because|since) ",
        line,
    ) is not None or (not _PRAISE.match(line) and bool(regex.match(r"(?:it|they|he|she) ", line)))


def _restated(sentence: Sentence, answer: Answer) -> bool:
    """Whether a statement says all that a yes-or-no question asks, with the polarity of the answer."""
    if sentence.mood not in ("stated", "assent") or len(answer.predicate) < 2 or len(sentence.clauses) > 3:
        return False
    said = {stem(key, answer.language) for key in sentence.keys}
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


_LETTER = r"(?P<letter>[A-J]|(?<=[(\[\"'])[a-j](?=[)\]\"'])|[a-j](?=\s*(?:$|[.!,;:)\]])))(?P<end>[)\]\"']*)(?![\p{L}\p{N}'’-])"  # noqa: E501
_THE_LETTER = regex.compile(
    r"(?:\b(?i:answer|option|choice|letter|solution|pick|select|choose|choosing|go with|going with|went with|mark|circle|"  # noqa: E501
    r"say|take|it's|it is|that's|that is|this is|is|be|réponse|antwort|respuesta|ответ|вариант|буква|opción|risposta|option)"  # noqa: E501
    r"|答案|选项?|是|选)"
    r"(?:\s+(?i:is|would|must|should|will|has to|to|can only|be|most|likely|definitely|clearly|therefore|choice|option|answer|"  # noqa: E501
    r"letter|number|correct|the|est|la|ist|es))*\s*[:=-]?\s*[(\[\"']*" + _LETTER
)
_LETTER_IS = regex.compile(
    r"(?:^|[,;:.]\s*|\b(?i:so|then|that|because|and|option|choice|answer|letter)\s+)[(\[\"']*(?P<letter>[A-J])[)\]\"']*\s+"
    r"(?:is|would be|must be|has to be|est|ist|es)\s+(?:the\s+|definitely\s+|clearly\s+|actually\s+|indeed\s+)*"
    r"(?:right|correct|best|true|answer|one|it\b|what|solution|choice|option|way|bonne|richtig|correct[oae]?)"
)
_LETTER_ALONE = regex.compile(
    r"^\W*(?:(?i:so|well|yes|the answer|answer|right|then|therefore|ok|okay)\W+)*[(\[\"']*(?P<letter>[A-J]|(?<=[(\[])[a-j])[)\]\"']*"  # noqa: E501
    r"\s*(?:$|[.!:]+\s*$|[,:-]\s|\)\s|because\b)"
)
_LETTER_ASKED = regex.compile(
    r"(?i:\b(?:is|could|would|might|can|isn't|wouldn't|couldn't)\s+(?:it|the answer|that|this)(?:\s+(?:not|be|option|choice))*)"  # noqa: E501
    r"\s*[(\[\"']*(?P<letter>[A-J])[)\]\"']*\s*[,?]"
)
_NUMBERED = ("first", "second", "third", "fourth", "fifth", "sixth")


def _letters(reading: tuple[Sentence, ...], answer: Answer) -> Iterator[str]:
    """Where the tutor commits to the right option's letter or number."""
    if not answer.letter:
        return
    for sentence in reading:
        text = sentence.text
        if sentence.mood in ("open", "several") or (sentence.mood == "pointing" and not _COMMIT_WORD.search(text)):
            continue
        if regex.search(r"\b[A-J]\b\W*\s(?:or|and|nor|oder|ou|o|или)\s+(?:\w+\s)?\W*[A-J]\b", text):
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
    at = _key_at(sentence, found.start("letter"))
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
        r"(?:says?|said|talks?|states?|claims?|is about|mentions?|describes?|reads?|means?|tells?|would mean|again|and|in|with|isn't|is not|is wrong|does|has|seems)\b",  # noqa: E501
        after,
    ):
        return False
    if labelled and not regex.search(
        r"\b(?:is|say|pick|choose|select|with|be|take|mark|circle|it's|to|correct|right|right answer|would)\W*(?:the\s+)?(?:option|choice|letter|answer)$|^\W*(?:option|choice|letter|answer|the answer)$",  # noqa: E501
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
        rf"(?:\b(?:is|it's|be|pick|choose|select|go with|mark)\s+(?:the\s+)?{named})|{named}\s+(?:is|would be)\s+(?:the\s+)?(?:right|correct|best|answer|true)|^\W*(?:the\s+)?{named}\W*$",  # noqa: E501
        sentence.text,
        regex.IGNORECASE,
    )
    return found is not None and not sentence.denied(_key_at(sentence, found.end() - 1), reach=8)


def _paraphrase(
    reading: tuple[Sentence, ...], question: Question, answer: Answer, heard: frozenset[str]
) -> tuple[float, str] | None:
    """The share of the answer's telling words that the turn says, where that is enough to give the answer away."""
    if answer.everyday or answer.quantity is not None or answer.formula is not None or answer.all_of or answer.none_of:
        return None
    telling = answer.telling - heard
    few = len(telling) <= 2
    said: set[str] = set()
    for sentence in reading:
        if (
            sentence.mood == "several"
            or (few and sentence.mood in ("open", "pointing"))
            or (few and sentence.of_others)
        ):
            continue
        if few and DENIALS & set(sentence.keys) and not DENIALS & set(" ".join(c.line for c in answer.claims).split()):
            continue
        said |= set(content(sentence.text, answer.language))
    found = telling & said
    share = len(found) / len(telling) if telling else 0.0
    if (
        share < PARAPHRASE
        or (len(found) < 2 and len(telling) != 1)
        or _speaks_of_a_wrong_option(said, question, answer)
    ):
        return None
    if len(telling) == 1 and any(_needs_frame(claim) for claim in answer.claims):
        return None
    return round(share, 3), " ".join(sorted(found))


def _speaks_of_a_wrong_option(said: set[str], question: Question, answer: Answer) -> bool:
    """Whether the turn covers a wrong option at least as well as the answer: then it is about that misconception."""

    def covered(option: str) -> float:
        stems = set(content(option, answer.language))
        telling = stems - answer.asked or stems
        return len(telling & said) / len(telling) if telling else 0.0

    right = covered(question.answer_text)
    return any(covered(option.text) >= right for option in question.options if not option.correct)


__all__ = ["LETTERS", "PARAPHRASE", "confirms", "find_leaks"]
