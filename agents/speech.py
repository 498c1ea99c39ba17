"""What a speaker said: a reply up to the point where it goes on as a transcript, in another's name.

A model that was shown a dialogue may write its next lines too ("Okay.\\nTutor: It is the spin.\\nStudent: Thanks.").
Only what stands before the first such mark was said. A mark is

- a role's name (`agents.role_names`) and a colon, in bold, brackets or a heading or plain, in any case, at the begin of
  a line; the name alone on its line, or in square brackets; a token of a chat template;
- the same inside a line after the end of a sentence, with a capital where the script has capitals;
- the same with a dash where the name is set off ("**Tutor** - Yes", "TUTOR - Yes"), and with a verb of the present
  ("Tutor says: yes"); a plain "Tutor - Yes" that is no sentence in a later line, or "Teacher said: yes",
  needs a mark of another side after it;
- right after a word of assent ("Okay, Tutor: yes", "Ok (Tutor: yes)");
- inside a sentence, or without its capital after one, only if a mark of another side follows: "Okay Tutor: yes
  Student: thanks" is a transcript, "ask your Tutor: what next?" is nobody's line.

The speaker's own name at the very begin is a label, and is taken off. Anywhere later it is a mark like the others: what
follows is a further turn. "Student A:" and "Student 2:" are people in a problem; "Human: 46 chromosomes" is content, as
are "**Teacher** - a person who teaches" and "The tutor says: ...".

Invariant: what is returned is a part of the text as it was; to cut it again changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from agents.records import Role
from agents.role_names import COMMON, SIDES, folded

_OWN = {"tutor": ("tutor", "model"), "student": ("student", "model", "person")}
"""Whose names a speaker calls itself by: each is the model of its own chat; a person is only the student."""
CHAT_TOKEN = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>|</s>|<(?:start|end)_of_turn>|<eos>|\[/?INST\]|<</?SYS>>"
)
"""Tokens of chat templates: ChatML, Llama, Mistral, Gemma, Phi, DeepSeek and those made like them."""
_HEADER = re.compile(r"\s*(?:(?!<\|?(?:user|system|human))" + CHAT_TOKEN.pattern + r")\s*(?:(?:assistant|model)\b\s*)?")
_COLON = ":：﹕︰∶"
_HIDDEN = "\u200b-\u200f\u2060\ufeff\u00ad"
_OPEN = rf"\s{_HIDDEN}*_~`#>|<\[(（【「『\"“„«"
"""What may stand between the begin of a line, or a sentence, and a name."""
_ENDS = ".!?…。！？；;؟।॥\"'”’»」』)）]*_—–"
"""What a sentence before a mark ends with; symbols and emoji too."""
_QUICK = re.compile(rf"[{_COLON}\n<\[#*–—―-]")
_LIST = re.compile(r"^\s*(?:[-+*•·–—]\s*|\d{1,2}[.)]\s*)?")
_ENTRY = re.compile(rf"^\W*([^\W\d_][^\n{_COLON}.!?。！？]{{0,30}}?)\W*[{_COLON}]\s*\S")
_DASHED_ENTRY = re.compile(r"^\W*([^\W\d_][^\n.!?。！？]{0,30}?)\W*\s[-–—―]+\s")
_DEFINES = re.compile(
    r"\W*(?:(?:an?|the|any|some|every|each|some(?:one|body)|any(?:one|body)|persons?|people|one who|who|"
    r"eine?r?|jemand|wer|une?|quelqu'un|celui|celle|una?|um|uma|alguien|alguém|quien|quem|qualcuno|chi|een|iemand|ktoś|"
    r"человек|тот|кто)\b|mrs?\b|ms\b|miss\b|dr\b|prof\b|herr\b|frau\b|mme\b|sra?\b|sig\b|指|是指)",
    re.I,
)
"""How a definition of a role begins, or the name of somebody who has it."""
_AMOUNT = re.compile(
    r"\W*(?:about |around |ca?\. ?|approx\. ?)?[-+~≈]?\d[\d.,/]*\s*[%°]?(?:\s*[^\W\d_]+){0,3}\s*"
    r"(?:[.!?;|()。]|$|\n|,\s*[^\W\d_][\w ]{0,20}:)"
)
"""A number with its unit, as in a table: no sentence."""
_ASSENT = frozenset(
    "ok okay okey oké oke k yes yeah yep yup no nope sure right alright fine good great well hm hmm mhm oh ah aha so "
    "got it i see understood ja nein gut klar stimmt genau oui non d'accord d’accord bon bien sí si vale claro bueno "
    "entiendo sì va bene certo capisco sim não bem entendi nee goed prima tak nie dobrze rozumiem tamam evet да нет "
    "ладно хорошо ок понятно понял "
    "поняла 好 好的 嗯 是的 对 明白了 知道了 はい うん わかりました 네 예 نعم حسنا हाँ".split()
)
"""Words of which an assent is made that another's line is put after."""
_SAYS = (
    "says|asks|replies|answers|responds|explains|continues|adds|sagt|fragt|antwortet|erklärt|dit|demande|répond|explique|"
    "dice|pregunta|responde|explica|chiede|risponde|spiega|diz|pergunta|zegt|vraagt|antwoordt|mówi|pyta|odpowiada|"
    "говорит|спрашивает|отвечает|объясняет|продолжает"
)
_SAID = (
    "said|asked|replied|answered|responded|explained|added|sagte|fragte|antwortete|a dit|dijo|preguntó|respondió|disse|"
    "perguntou|respondeu|chiese|rispose|zei|vroeg|powiedział|powiedziała|сказал|сказала|спросил|спросила|ответил|ответила"
)
_SAYS_UNSPACED = "说道|说|說|问道|问|問|回答|答道|答"
_NO_MARK = frozenset("class the a an your my our their his her each every as one for to".split())
"""Words before a name inside a sentence that make it no mark."""


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    end: int
    side: str
    sure: bool
    """Whether it is a mark without another one."""
    amount: bool = False
    """Whether what follows is a number, which makes a common name no other mark's proof."""


def cut_at_role_break(
    text: str, *, speaker: Role | None = None, names: Mapping[str, Role] | None = None
) -> tuple[str, bool]:
    """What was said, and whether the speaker went on in another's name, or in its own as in a transcript.

    Args:
        text: the reply.
        speaker: whose it is; None where that is not known: then any role's name at the very begin is its own.
        names: what else the two sides are called, such as a persona's name.

    Returns:
        The text up to the first mark, without the speaker's own label; empty where a mark stands before any word.
    """
    if not _QUICK.search(text):
        return text, False
    own: tuple[str, ...] = _OWN[speaker] if speaker else ()
    while True:
        marks = list(_marks(text, names or {}))
        label = marks[0] if marks else None
        if header := _HEADER.match(text):
            text = text[header.end() :].strip()
        elif label and label.sure and not label.start and (label.side in own or not own):
            text, own = _closed(text[: label.end], text[label.end :]), own or (label.side,)
        else:
            break
    found = _first(marks, text)
    if found is None:
        return text, False
    broke = bool(CHAT_TOKEN.sub("", text[found:]).strip())
    said, again = cut_at_role_break(_before(text[:found]), speaker=speaker, names=names)
    return said, broke or again


def _marks(text: str, names: Mapping[str, Role]) -> Iterator[_Mark]:
    """Every place that may be a mark, in order."""
    sides = SIDES | {folded(name): side for name, side in names.items()} if names else SIDES
    for match in _pattern(tuple(sorted(names))).finditer(text):
        name = folded(re.sub(r"\s+", " ", match["name"]))
        side = sides.get(name, "student")
        line = text.rfind("\n", 0, match.start()) + 1
        prefix = text[line : match.start()]
        bare = re.sub(rf"[{_OPEN}]+$", "", prefix)
        opened = prefix[len(bare) :]
        # Signs alone before a name lead over to it; in the first line they may be all that was said.
        at_line = not re.search(r"\w" if line else rf"[^{_OPEN}]", _LIST.sub("", bare))
        closing = re.match(r"\S*(?=\s)", opened)  # the end of a quotation or bold that was said
        start = line if at_line else line + len(bare) + (len(closing[0]) if closing else 0)
        common = name in COMMON
        sure: bool | None
        if match["dash"]:
            sure = _dashed(text, match, line, opened, at_line or bare[-1:] in _ENDS)
            if sure is not None and not common:
                yield _Mark(start, match.end(), side, sure)
        elif match["verb"]:
            sure = _verbed(match, at_line or bare[-1:] in _ENDS)
            if sure is not None:
                yield _Mark(start, match.end(), side, sure and not common)
        elif not match["colon"]:
            alone = at_line and _alone(text, match, opened)
            if alone and not common:
                yield _Mark(start, match.end(), side, True)
        elif at_line:
            spoken_of = match[0][:4].lower() == "the " and match["name"][0].islower()
            amount = common and _AMOUNT.match(text, match.end()) is not None
            if not spoken_of and not (common and _listed(text, line, match.end(), _ENTRY)):
                yield _Mark(start, match.end(), side, not amount, amount)
        else:
            capital, ended = not match["name"][0].islower(), bare[-1] in _ENDS or _symbol(bare[-1])
            before = bare if match.start() == match.start("name") else match[0].partition(" ")[0]
            word = re.search(r"(\w+)\W*$", before)
            if capital and not common and _assents(bare, opened):
                yield _Mark(start, match.end(), side, True)
            elif ended and (capital or opened):
                yield _Mark(start, match.end(), side, capital and not common)
            elif capital and opened and not (word and word[1].lower() in _NO_MARK):
                yield _Mark(start, match.end(), side, False)


def _first(marks: list[_Mark], text: str) -> int | None:
    """Where the first mark begins: a sure one, an unsure one that a mark of another side follows, or a token."""
    places = [
        mark.start
        for index, mark in enumerate(marks)
        if mark.sure or any(later.side != mark.side and not later.amount for later in marks[index + 1 :])
    ]
    tokens = (token for token in CHAT_TOKEN.finditer(text))
    token = next((t.start() for t in tokens if t[0] != "</s>" or "<s>" not in text[: t.start()]), None)
    return min([*places, *([] if token is None else [token])], default=None)


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds names with a colon after them, or alone in a line or in brackets."""
    known = {form for name in (*SIDES, *names) for form in _forms(name)}
    options = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(known, key=len, reverse=True))
    before = r"(?<![^\W_])(?:(?:the|ai|maths?|science|physics|virtual|simulated)\s+)?"
    aside = r"(?:\s*[(（\[][^()（）\[\]\n]{1,40}[)）\]])?"
    more = r"(?:['’]s)?(?:\s+(?:response|reply|turn|message))?"
    verb = rf"(?P<verb>\s+(?:{_SAYS}|{_SAID})(?!\w)|\s*(?:{_SAYS_UNSPACED}))?"
    close = rf"[*_~`\])）】」』>|\s{_HIDDEN}]*?"
    # A colon with another name right after it is a ratio ("Student:Teacher", "Student: teacher ratio").
    ratio = rf"(?:{options})(?!\w|\s*[{_COLON}])|\s*(?:{options})\w{{0,3}}[\s-]+(?:ratio|relation|Verhältnis|Quote)"
    colon = rf"(?P<colon>{close}[{_COLON}](?!{ratio})[*_~`{_HIDDEN}]*\s*)"
    dash = rf"(?P<dash>[*_~`\])）】」』>]*(?:\s+[-–—―]+[*_~`]*\s+|[–—―]+[*_~`]*\s+)(?!(?:{options})(?!\w)))"
    alone = rf"[*_~`\]】>|# \t{_HIDDEN}]*(?:\n|(?<=[\]】>])(?=\s*\w))"
    end = rf"(?:(?![^\W_])|(?=(?:{_SAYS_UNSPACED})\s*[{_COLON}]))"
    return re.compile(
        rf"{before}(?P<name>{options}){end}(?:{aside}{more}{verb}{colon}|{aside}{dash}|{alone})", re.IGNORECASE
    )


def _forms(name: str) -> set[str]:
    return {unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}


def _alone(text: str, match: re.Match[str], opened: str) -> bool:
    """Whether a name without a colon has its line for itself, or stands in brackets, and somebody's words follow."""
    rest = text[match.end() :].lstrip()
    bracket = match[0].rstrip()[-1:] in "]】>" and opened.rstrip()[-1:] in "[【<"
    return bool(rest) and (bracket or match[0].endswith("\n"))


def _dashed(text: str, match: re.Match[str], line: int, opened: str, begins: bool) -> bool | None:
    """Whether a name with a dash is a mark: True, False (not without another one) or None (it is none)."""
    name, rest = match["name"], text[match.end() :].lstrip(" \t\"'“‘«„¿¡*_")
    if not begins or not rest[:1].isalpha() or _DEFINES.match(rest) or _listed(text, line, match.end(), _DASHED_ENTRY):
        return None
    framed = bool(re.search(r"[*_\]】]", opened + match["dash"]))
    if framed or (name.isupper() and len(name) > 2):
        return True
    if name[0].islower() or rest[0].islower():
        return None
    said = rest.partition("\n")[0].rstrip()
    return line > 0 and len(said.split()) > 2 and said[-1] in ".!?…。！？"  # a whole sentence on a line of its own


def _verbed(match: re.Match[str], begins: bool) -> bool | None:
    """Whether a name with a verb of speaking is a mark; as `_dashed`."""
    if not begins or match["name"][0].islower():
        return None
    told = match[0][:4].lower() != "the " and re.fullmatch(_SAYS, match["verb"].strip(), re.IGNORECASE) is not None
    return told


def _assents(bare: str, opened: str) -> bool:
    """Whether what stands before a name in its sentence is an assent, with a comma or a bracket after it."""
    said = re.split(rf"[\n{_COLON}.!?。！？]", bare.rstrip(",，、"))[-1]
    comma = bare[-1:] in (",", "，", "、")
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", said.lower())
    bracket = bool(re.search(r"[(（\[【]", opened))
    return (comma or bracket) and 0 < len(words) <= 3 and all(word in _ASSENT for word in words)


def _listed(text: str, line: int, end: int, entry_of: re.Pattern[str]) -> bool:
    """Whether the line before or after is an entry of a list that names something else ("Dog: 78 chromosomes")."""
    before = text[:line].rstrip("\n").rpartition("\n")[2]
    after = text[end:].partition("\n")[2].lstrip("\n").partition("\n")[0]
    found = [entry for entry in (entry_of.match(before), entry_of.match(after)) if entry]
    return any(not any(folded(word) in SIDES for word in re.split(r"\W+", entry[1])) for entry in found)


def _symbol(letter: str) -> bool:
    return unicodedata.category(letter) in ("So", "Sk", "Cn", "Mn", "Cf")


def _closed(label: str, said: str) -> str:
    """What follows an own label, without the end of a bold, a quotation or a tag that the label stands in."""
    said = re.sub(r"\s*</\w+>\s*$", "", said) if re.match(r"\s*<\w", label) else said
    for mark in ("**", "__", '"'):
        if label.count(mark) % 2 and said.rstrip().endswith(mark) and said.count(mark) % 2:
            return said.rstrip().removesuffix(mark).strip()
    return said.strip()


def _before(said: str) -> str:
    """What stands before a mark, without rules and decoration that lead over to it."""
    return re.sub(rf"(?:(?:^|(?<=\n))[\s{_HIDDEN}*_=~#>\-–—]+|[,，、]?[\s{_HIDDEN}]*)$", "", said).strip()
