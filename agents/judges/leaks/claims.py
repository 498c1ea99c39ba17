"""What an option claims: its words, the part before its reason, and where that says nothing by itself, the reason.

"The bathtub, because it has far more water in it" claims the bathtub; "Neither, because they land together" claims that
they land together, which may be said in other words (at the same time).

Invariant: pure; what is claimed depends on the option and the words of the question alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import regex

from agents.judges.leaks.moods import keys_of
from agents.judges.normal import STOP

EVERYDAY = frozenset(
    "yes no true false one up down left right it in out on off none all both neither same more less fewer never always "
    "maybe sometimes here there before after i he she we they them this that not nothing everything something higher "
    "lower faster slower bigger smaller now then only just yeah nope correct wrong oui non vrai faux ja nein wahr "
    "falsch "
    "sí verdadero falso да нет верно неверно правда 是 不是 对 不对 不 sim não vero falso نعم لا صحيح خطأ si haut bas "
    "gauche droite "
    "oben unten links rechts arriba abajo izquierda derecha вверх вниз влево вправо".split()
)
_REASONS = regex.compile(
    r"[,;:]?\s+(?:because|due to|thanks to|owing to|parce que?|parce qu'|puisque?|porque|ya que|puesto que|debido a"
    r"|weil|"
    r"perché|poiché|потому что|поскольку|так как|из-за|لأن|بسبب|omdat|want)(?![\p{L}])"
    r"|[,;]\s+(?:since|as|where|so|which|for|with|when|whereas|and so|and therefore|therefore|car|où|donc|comme|qui|"
    r"da|denn|wo|wobei|weshalb|sodass|also|pues|donde|así que|por lo que|dove|quindi|siccome|pois|onde|já que|"
    r"где|ведь|ибо|поэтому|так что|который|которая|которое|حيث|لذلك)(?![\p{L}])"
    r"|\s+(?:since)\s+(?=(?:it|the|its|they|there)\b)|لأن"
    r"|[,，；;:：]?\s*(?:因为|由于|所以|因此)",
    regex.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A part of an option that stands for it."""

    keys: tuple[str, ...]
    told: bool
    """Its words all stand in the question: saying them alone tells nothing, claiming them does."""
    part: bool = False
    """It is the claim of an answer that also gives a reason."""
    sentence: bool = False
    """It says something by itself (the Earth spins), and does not only name something (the bathtub)."""
    reason: bool = False
    """It is the reason of an answer that names no candidate: who only asks or supposes it gives nothing away."""

    @property
    def line(self) -> str:
        """The keys with a blank around each."""
        return f" {' '.join(self.keys)} "


def claims_of(text: str, asked: set[str], language: str) -> tuple[Claim, ...]:
    """What an option claims, in every form in which it stands for the option."""
    text = text.strip()
    found = [text]
    cut = _REASONS.search(text)
    if cut is not None and keys_of(text[: cut.start()], language):
        found.append(text[: cut.start()])
    out: list[Claim] = []
    for place, part in enumerate(found):
        keys = keys_of(part, language)
        for form in dict.fromkeys(form for first in (keys, *_other_forms(keys)) for form in (first, *_at_once(first))):
            if form and form not in [claim.keys for claim in out]:
                sentence = _says_something(form) or form != keys and keys[0] in _PRONOUNS
                out.append(Claim(form, told=_all_told(form, asked), part=place > 0, sentence=sentence))
    out += [claim for claim in _told_by_reason(text, asked, language) if claim.keys not in [one.keys for one in out]]
    named = keys_of(found[-1], language)
    if len(named) == 2 and regex.fullmatch(r".*\s[A-Z]\W*", found[-1].strip()):  # "Car B" is also called "B"
        out.append(Claim(named[1:], told=True, part=True))
    return tuple(out)


_PRO_FORM = regex.compile(
    r"^(?:neither|none|both|no difference|it makes no difference|equal|equally|"
    r"(?:both |they are |it is |all )?the same|"
    r"aucun|aucune|ni l'un ni l'autre|les deux|keine|keiner|keines|beide|ninguno|ninguna|ambos|ambas|nessuno|nessuna|"
    r"entrambi|entrambe|nenhum|nenhuma|ни один|ни одна|ни одно|оба|обе|никакой|都不|两个都|一样)(?![\p{L}])"
    r"(?: (?:of (?:them|the two|these|those)|one|ball|car|object|option|the same))?\s*(?P<end>[,;:.–—-]|$)?\s*",
    regex.IGNORECASE,
)
"""An answer that names no candidate."""


def _told_by_reason(text: str, asked: set[str], language: str) -> Iterator[Claim]:
    """What follows `Neither`, `Both the same`, where it says something: it can be true of no other option."""
    head = _PRO_FORM.match(text)
    if head is None:
        return
    reason = _REASONS.match(text, head.end("end")) or _REASONS.match(text, head.end())
    rest = text[reason.end() if reason else head.end() :] if reason or head["end"] else ""
    keys = keys_of(rest, language)
    if len(keys) < 3 and not (len(keys) == 2 and len(keys[-1]) > 5):
        return
    short = keys[1:] if keys[0] in _PRONOUNS else ()
    for first in (keys, short):
        for form in dict.fromkeys((first, *_at_once(first))):
            if form:
                yield Claim(form, told=_all_told(form, asked), part=True, sentence=True, reason=True)


_AT_ONCE = tuple(
    tuple(said.split())
    for said in (
        "together",
        "at same time",
        "at exactly same time",
        "at same moment",
        "at exactly same moment",
        "at same instant",
        "simultaneously",
    )
)
"""Ways to say that two things happen together, as keys."""


def _at_once(keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The claim with each other way to say `together` at its end."""
    for said in _AT_ONCE:
        if len(keys) > len(said) and keys[-len(said) :] == said:
            yield from (keys[: -len(said)] + other for other in _AT_ONCE if other != said)


_PRONOUNS = frozenset(
    "it they he she its their his her this that both each il elle ils elles es er sie он она оно они ella".split()
)
_VERBS = frozenset(
    "is are was were has have had will can could would does do did get gets got keep keeps stay stays become "
    "becomes go goes float sink rise fall move est sont ist sind es son é são".split()
)


def _other_forms(keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A claim as it is said with another subject (`it stays dark`: the bulb does), or noun (`the bottom one`)."""
    if len(keys) > 1 and keys[0] in _PRONOUNS and not (len(keys) == 2 and keys[1] in EVERYDAY):
        yield keys[1:]
    if len(keys) > 1 and keys[-1] in ("#1", "ones"):
        yield keys[:-1]


def also_claimed(claim: Claim, wrong: tuple[Claim, ...]) -> bool:
    """Whether a wrong option claims the same, with or without another reason."""
    return any(other.keys[: len(claim.keys)] == claim.keys for other in wrong)


def _says_something(keys: tuple[str, ...]) -> bool:
    """Whether the keys hold a verb, as far as one can tell without a grammar."""
    third_person = regex.compile(r"[a-z]{2,}[^siu']s")
    return any(key in _VERBS or third_person.fullmatch(key) for key in keys[1:])


def _all_told(keys: tuple[str, ...], asked: set[str]) -> bool:
    small = STOP["en"]
    return all(key in asked or key in small for key in keys)
