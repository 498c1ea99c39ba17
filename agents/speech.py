"""What a speaker said: a reply up to the point where it goes on as a transcript, in another's name.

A model that was shown a dialogue may write its next lines too ("Okay.\\nTutor: It is the spin.\\nStudent: Thanks.").
Only what stands before the first such mark was said. A mark is

- a role's name (`agents.role_names`) and a colon, in bold, brackets or a heading or plain, in any case, at the begin of
  a line; the name alone on its line, or in square brackets; a token of a chat template;
- the same inside a line after the end of a sentence, with a capital where the script has capitals;
- inside a sentence, or without its capital after one, only if a mark of another side follows: "Okay Tutor: yes
  Student: thanks" is a transcript, "ask your Tutor: what next?" is nobody's line.

The speaker's own name at the very begin is a label, and is taken off. Anywhere later it is a mark like the others: what
follows is a further turn. "Student A:" and "Student 2:" are people in a problem; "Human: 46 chromosomes" in a list of
such lines is content.

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
_QUICK = re.compile(rf"[{_COLON}\n<\[#*]")
_LIST = re.compile(r"^\s*(?:[-+*•·–—]\s*|\d{1,2}[.)]\s*)?")
_ENTRY = re.compile(rf"^\W*([^\W\d_][^\n{_COLON}.!?。！？]{{0,30}}?)\W*[{_COLON}]\s*\S")
_NO_MARK = frozenset("class the a an your my our their his her each every as one for to".split())
"""Words before a name inside a sentence that make it no mark."""


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    end: int
    side: str
    sure: bool
    """Whether it is a mark without another one."""


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
        if not match["colon"]:
            alone = at_line and _alone(text, match, opened)
            if alone and not common:
                yield _Mark(start, match.end(), side, True)
        elif at_line:
            spoken_of = match[0][:4].lower() == "the " and match["name"][0].islower()
            if not spoken_of and not (common and _listed(text, line, match.end())):
                yield _Mark(start, match.end(), side, True)
        else:
            capital, ended = not match["name"][0].islower(), bare[-1] in _ENDS or _symbol(bare[-1])
            before = bare if match.start() == match.start("name") else match[0].partition(" ")[0]
            word = re.search(r"(\w+)\W*$", before)
            if ended and (capital or opened):
                yield _Mark(start, match.end(), side, capital and not common)
            elif capital and opened and not (word and word[1].lower() in _NO_MARK):
                yield _Mark(start, match.end(), side, False)


def _first(marks: list[_Mark], text: str) -> int | None:
    """Where the first mark begins: a sure one, an unsure one that a mark of another side follows, or a token."""
    places = [
        mark.start
        for index, mark in enumerate(marks)
        if mark.sure or any(later.side != mark.side for later in marks[index + 1 :])
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
    close = rf"[*_~`\])）】」』>|\s{_HIDDEN}]*?"
    # A colon with another name right after it is a ratio ("Student:Teacher").
    colon = rf"(?P<colon>{close}[{_COLON}](?!(?:{options})(?!\w|\s*[{_COLON}]))[*_~`{_HIDDEN}]*\s*)"
    alone = rf"[*_~`\]】>|# \t{_HIDDEN}]*(?:\n|(?<=[\]】>])(?=\s*\w))"
    return re.compile(rf"{before}(?P<name>{options})(?![^\W_])(?:{aside}{more}{colon}|{alone})", re.IGNORECASE)


def _forms(name: str) -> set[str]:
    return {unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}


def _alone(text: str, match: re.Match[str], opened: str) -> bool:
    """Whether a name without a colon has its line for itself, or stands in brackets, and somebody's words follow."""
    rest = text[match.end() :].lstrip()
    bracket = match[0].rstrip()[-1:] in "]】>" and opened.rstrip()[-1:] in "[【<"
    return bool(rest) and (bracket or match[0].endswith("\n"))


def _listed(text: str, line: int, end: int) -> bool:
    """Whether the line before or after is an entry of a list that names something else ("Dog: 78 chromosomes")."""
    before = text[:line].rstrip("\n").rpartition("\n")[2]
    after = text[end:].partition("\n")[2].lstrip("\n").partition("\n")[0]
    found = [entry for entry in (_ENTRY.match(before), _ENTRY.match(after)) if entry]
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
    return re.sub(rf"(?:(?:^|(?<=\n))[\s{_HIDDEN}*_=~#>\-–—]+|[\s{_HIDDEN}]+)$", "", said).strip()
