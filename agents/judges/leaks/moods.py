"""How a sentence is meant: stated, asked, seeking assent, pointing, denied, or said of somebody else.

A sentence becomes keys: folded words without articles and with contractions written out, and quantities in one form, so
that `It doesn't change` and `it does not change` are the same keys. Clauses are cut at commas and at words such as
`but`, since what is denied in one clause may be claimed in the next.

Invariant: pure; the words of a language that is not listed make no sentence a question or a denial by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import regex

from agents.judges.leaks.quantities import Token
from agents.judges.leaks.reading import tokens
from agents.judges.normal import normalised, sentences

Mood = Literal["stated", "assent", "yes_no", "several", "open", "pointing"]
"""`assent`: a question that expects a yes; `open`: what, why, how; `pointing`: think about, compare, suppose."""

ARTICLES = frozenset(["a", "an", "the"])
_NEGATED = {
    "can't": "can",
    "won't": "will",
    "shan't": "shall",
    "ain't": "is",
    "cannot": "can",
    "cant": "can",
    "wont": "will",
}
_BARE_NEGATED = regex.compile(r"^(is|are|was|were|do|does|did|has|have|had|could|would|should)nt$")
_IS_AFTER = frozenset(
    "it that there here what who where he she how this when why which everything something answer solution "
    "result statement claim".split()
)
_ENDINGS = {"'re": "are", "'m": "am", "'ll": "will", "'ve": "have", "'d": "would"}
DENIALS = frozenset(
    "not no never neither nor without isn't unlike pas jamais ni non nicht kein keine keinen keiner nie nunca не нет "
    "ни "
    "没 不 非 并非 mai não nunca ليس ليست لا لم لن niet geen".split()
)
_NOT_DENIED = frozenset("only just merely doubt wonder simply solo sólo seulement nur только 只 仅".split())
_OPEN_WORDS = (
    "what what's why how which where when who whose whom "
    "que quoi qu'est-ce qu'est pourquoi comment quel quelle quels quelles où quand qui combien "
    "was warum wie welche welcher welches wo wann wer wieso weshalb womit "
    "qué cómo cuál cuáles dónde cuándo quién cuánto cuántos che cosa perché come quale dove quando chi quanto "
    "o-que como qual onde quem что почему как какой какая какое какие где когда кто сколько зачем чем "
    "ما ماذا لماذا كيف أين متى أي كم waarom hoe welk welke wat waar"
)
OPEN_WORDS = frozenset(_OPEN_WORDS.split())
_HAN_OPEN = regex.compile(r"什么|为什么|怎么|怎样|哪|谁|几|多少|如何|为何")
_OR = frozenset("or oder ou или либо أم أو oppure".split())
_HAN_OR = regex.compile(r"还是|或者|或")
_START = frozenset(
    "so and but then now ok okay well good great yes no right exactly nice hmm hm alright perfect also just therefore "
    "thus hence et mais alors donc und aber also dann y pero entonces и но а так тогда ну e ma allora mas então".split()
)
_AUXILIARIES = frozenset(
    "is are was were do does did can could would will should has have had must may might shall am "
    "est-ce ist sind war kann könnte würde hat haben ли es-que 是不是 هل".split()
)
_TAG = regex.compile(
    r"(?:[,;:.!-]\s*|\s)(?:right|correct|yes|no|ok(?:ay)?|agreed|true|yeah|huh|eh|hm+|you see|see|"
    r"(?:is|are|was|were|do|does|did|ca|wo|would|could|should|has|have)n't (?:it|that|they|you|we|he|she|there)|"
    r"(?:do|does|did|is|are|was|will|would|can) (?:it|that|they|he|she|there)(?: not)?|"
    r"(?:do )?(?:you|we)(?: all)? agree|don't you (?:think|agree)(?: so)?|wouldn't you (?:say|agree)(?: so)?|"
    r"nicht wahr|oder(?: nicht)?|richtig|stimmt's|stimmt(?: das)?|n'est-ce pas|non|d'accord|vrai|pas vrai|"
    r"verdad|cierto|correcto|no es (?:así|cierto)|vero|giusto|non è vero|certo|né|não é|"
    r"не так ли|правда|верно|не правда ли|так ведь|да|правильно|أليس كذلك|صحيح|toch|niet waar)\s*[?؟]+[\"')]*$",
    regex.IGNORECASE,
)
_HAN_TAG = regex.compile(r"(?:对吗|对吧|对不对|是吗|是吧|是不是|不是吗|好吗|没错吧)\s*[?？]")
_SURE_TAG = regex.compile(r"[,;:.!-]\s*(?:[\p{L}']+\s*){1,3}[?؟]+[\"')]*$")
_POINTING = frozenset(
    "think look consider compare imagine try tell explain notice remember suppose assume describe draw picture watch "
    "focus check recall let let's see if what recheck revisit review take start begin find follow keep ask read go "
    "pensez pense regarde regardez imagine imaginez compare comparez suppose vergleiche denk überlege stell schau "
    "piensa mira imagina compara подумай подумайте посмотри представь сравни 想 看 比较 假设 pensa guarda immagina "
    "confronta فكر انظر قارن".split()
)
_NOT_POINTING = frozenset("go take start".split())
SAYERS = regex.compile(
    r"\b(?:you|some(?: people| students| others)?|others?|people|students?|classmates?|friends?|someone|somebody|they|"
    r"many|who|anyone|everyone|nobody|no one|he|she|your (?:friend|classmate|answer|idea|guess))\s(?:\w+ly\s|just\s"
    r"|also\s|"
    r"first\s|had\s|have\s|might\s|may\s|could\s|would\s|will\s|once\s|often\s|did\s|not\s)*"
    r"(?:say|says|said|saying|think|thinks|thought|believe|believes|believed|claim|claims|claimed|argue|argues|argued|"
    r"guess|guesses|guessed|answered|answer|chose|choose|chosen|picked|pick|suggest|suggests|suggested|wrote|write|got|"
    r"mentioned|called|told|tell|calculated|computed|stated|rule|ruled|reject|rejected|exclude|excluded|dismissed|cross(?:ed)?)\b"
    r"|\baccording to\b|\byour (?:answer|idea|guess|claim|choice)\b|\b(?:wrong with|rule out|ruled out|idea that"
    r"|claim that|"
    r"why not|what about|how about|what if|what makes you|how did you|why did you|why do you|do you mean)\b"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence that stands for itself: keys, and where they begin among the sentence's keys."""

    keys: tuple[str, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as the leak rules read it."""

    text: str
    mood: Mood
    tokens: tuple[Token, ...]
    keys: tuple[str, ...]
    places: tuple[int, ...]
    """For each key, the index of its token."""
    clauses: tuple[Clause, ...]
    of_others: bool
    """It says what somebody said or thinks, or asks what is wrong with it."""

    @property
    def line(self) -> str:
        """The keys with blanks around each."""
        return f" {' '.join(self.keys)} "

    def clause(self, at: int) -> Clause:
        """The clause that holds the key at that place."""
        return next(clause for clause in reversed(self.clauses) if clause.start <= at)

    def denied(self, at: int, reach: int = 6) -> bool:
        """Whether the key at that place stands after a `not` of its clause."""
        clause = self.clause(at)
        inside = at - clause.start
        for back in range(inside - 1, max(-1, inside - 1 - reach), -1):
            key = clause.keys[back]
            if key not in DENIALS:
                continue
            following = clause.keys[back + 1] if back + 1 < len(clause.keys) else ""
            if following in _NOT_DENIED or (key == "no" and back == 0 and clause.start == 0):
                continue
            # `Isn't it 20?` expects a yes: its `not` stands with the verb in front.
            return not (self.mood == "assent" and self.text.rstrip("\"') ").endswith(("?", "؟")) and back <= 3)
        return False


def key_of(token: Token) -> tuple[str, ...]:
    """The keys of a token: none for a sign or an article, two for `doesn't`, one form for equal quantities."""
    if token.quantity is not None:
        quantity = token.quantity
        if quantity.pair is not None:
            return (f"#{quantity.pair[0]}:{quantity.pair[1]}",)
        value = quantity.values[0] * (quantity.unit.scale if quantity.unit else 1)
        mark = quantity.unit.base if quantity.unit else "%" if quantity.form == "percent" else ""
        return (f"#{value}{mark}".replace(" ", "_"),)
    if not token.is_word:
        return ()
    low = token.low
    if low in ARTICLES and token.text != "A":
        return ()
    if "'" not in low and low not in _NEGATED and not _BARE_NEGATED.match(low):
        return (low,)
    if low in _NEGATED:
        return (_NEGATED[low], "not")
    bare = _BARE_NEGATED.match(low)
    if bare or low.endswith("n't"):
        return (bare[1] if bare else low[:-3], "not")
    for ending, word in _ENDINGS.items():
        if low.endswith(ending) and len(low) > len(ending):
            return (low[: -len(ending)], word)
    if low == "let's":
        return ("let", "us")
    if low.endswith("'s") and low[:-2] in _IS_AFTER:
        return (low[:-2], "is")
    return (low,)


def _keys(read: tuple[Token, ...]) -> tuple[list[str], list[int]]:
    keys: list[str] = []
    places: list[int] = []
    for at, token in enumerate(read):
        if token.text == "A" and at + 1 < len(read) and read[at + 1].is_word and read[at + 1].text.islower():
            continue  # an article, though it begins a sentence
        for key in key_of(token):
            keys.append(key)
            places.append(at)
    return keys, places


_CUTS = frozenset(
    "but while whereas although though however so then because since mais tandis aber während sondern pero mientras "
    "sino "
    "но а хотя 但 但是 而 而是 因为 所以 ma però mas لكن بل".split()
)


def _parts(token: Token, plain: str) -> bool:
    """Whether a sign parts clauses: a comma does, a hyphen within a word does not."""
    if token.text in "-–—":
        return plain[token.start - 1 : token.start].isspace() and plain[token.end : token.end + 1].isspace()
    return token.text in ",;:.!?،，；：。" or token.text == "..."


def _clauses(plain: str, read: tuple[Token, ...], keys: list[str], places: list[int]) -> tuple[Clause, ...]:
    starts = {0}
    for index, key in enumerate(keys):
        between = read[places[index - 1] + 1 : places[index]] if index else ()
        if index and (key in _CUTS or any(_parts(token, plain) for token in between)):
            starts.add(index)
    ordered = sorted(starts)
    ends = [*ordered[1:], len(keys)]
    return tuple(Clause(tuple(keys[a:b]), a) for a, b in zip(ordered, ends, strict=True))


def _mood(text: str, keys: list[str]) -> Mood:
    opened = [key for key in keys]
    while opened and opened[0] in _START and len(opened) > 1:
        opened = opened[1:]
    if not regex.search(r"[?？؟]", text[-6:]):
        first = opened[0] if opened else ""
        points = first in _POINTING or (
            first in ("please", "maybe", "perhaps") and opened[1:2] and opened[1] in _POINTING
        )
        return "pointing" if points and first not in _NOT_POINTING else "stated"
    if regex.search(r"\p{Han}", text):
        if _HAN_TAG.search(text):
            return "assent"
        if _HAN_OR.search(text):
            return "several"
        return "open" if _HAN_OPEN.search(text) else "yes_no"
    asks_first = bool(opened) and (opened[0] in _AUXILIARIES or opened[0] in OPEN_WORDS)
    end = text[-60:]
    if _TAG.search(end) and not (asks_first and not _SURE_TAG.search(end)):
        return "assent"
    if _OR & set(keys) and not regex.search(r"\bor (?:not|no)\b|\bor (?:is|am) (?:it|that|I) ", text):
        return "several"
    if (opened and opened[0] in OPEN_WORDS) or _asks_later(text):
        return "open"
    if opened and opened[0] in _AUXILIARIES:
        return "assent" if "not" in opened[1:4] or _is_factive(opened) else "yes_no"
    if any(key in OPEN_WORDS for key in opened[:4]):
        return "open"
    return "yes_no" if "ли" in keys or opened[:1] in (["est-ce"], ["هل"]) else "assent"


def _asks_later(text: str) -> bool:
    """Whether a later clause asks: `If car B speeds up, what changes?`"""
    later = regex.split(r"[,;:—–]\s+|\s-\s|\.\.\.\s*", text.casefold())[1:]
    for part in later:
        first = regex.findall(r"[\p{L}']+", part)[:2]
        if first and (
            first[0] in OPEN_WORDS - {"that", "which", "que", "che", "qui", "was", "wo", "where", "как", "что"}
        ):
            return True
        if (
            len(first) > 1
            and first[0] in _START | {"can", "could", "do", "in", "at", "by", "for"}
            and first[1] in OPEN_WORDS
        ):
            return True
    return False


def _is_factive(opened: list[str]) -> bool:
    """`Do you see that it is 20?`, `Do you agree it is 20?`: the answer is taken as given."""
    return (
        regex.match(
            r"(?:do|can|could|did) (?:you|we) (?:now |not )?(?:see|agree|notice|understand|realize|realise) "
            r"(?:that |it |why |how |now )",
            " ".join(opened),
        )
        is not None
    )


@lru_cache(maxsize=8192)
def read_sentences(text: str, language: str = "en") -> tuple[Sentence, ...]:
    """The sentences of a text, each with its keys, clauses and mood."""
    out: list[Sentence] = []
    for said in sentences(normalised(text)):
        read = tokens(said, language)
        keys, places = _keys(read)
        others = SAYERS.search(" ".join(keys)) is not None
        out.append(
            Sentence(
                said, _mood(said, keys), read, tuple(keys), tuple(places), _clauses(said, read, keys, places), others
            )
        )
    return tuple(out)


def keys_of(text: str, language: str = "en") -> tuple[str, ...]:
    """The keys of a whole text."""
    return tuple(_keys(tokens(text, language))[0])
