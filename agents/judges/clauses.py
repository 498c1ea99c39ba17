"""Whether words hang together as a sentence does: cheap, so that it catches rows of words and not every slip.

Invariant: keywords in a row, a clause without a verb and a sentence that stops short are none, in whatever order.
"""

from __future__ import annotations

from itertools import pairwise

import regex

from agents.judges.grammar import Grammar
from agents.judges.normal import stem, words
from agents.judges.style import ItemWords

ROW = 5
"""Open words in a row, without a verb or a little word between them, that no sentence has."""
KEYWORDS = 3
"""Keywords in a row, in an order that the item does not have, that no sentence has; of one more in any order."""
CLAUSE_END = regex.compile(r"[,;:—–]|\s-+\s|\.\.\.|、|，|،")


def hangs_together(text: str, said: list[str], known: Grammar, about: ItemWords, *, asks: bool = True) -> bool:
    """Whether the words can be a sentence, by default a question: it catches rows of words and not every slip."""
    if said[-1] in known.never_last or any(_clashes(*pair, known) for pair in zip(said, said[1:], strict=False)):
        return False
    is_clause = _is_english_clause if known.language == "en" else _is_clause
    if "=" not in text and not all(
        is_clause(clause, known) for part in _parts(text, known) for clause in _clauses(part, known)
    ):
        return False
    if _longest_row(said, known) >= ROW or keywords_in_a_row(said, known, about):
        return False
    if _things_in_a_row(said, known) or _only_keywords(said, known, about):
        return False
    if not asks:
        return True
    if known.language != "en":
        return any(word in known.ask or known.verb(word) for word in said)
    return _is_english_question(text, said, known, about)


def _clashes(first: str, second: str, known: Grammar) -> bool:
    """Whether no sentence has these words beside each other."""
    if first in known.bare:
        return (
            second in known.never_last or second in known.clause or second in _NEVER_AFTER_BARE[known.language == "en"]
        )
    if known.language != "en":
        return False
    return (second == "of" and first in _NEVER_BEFORE_OF) or (second in known.clause and first in _DO)


_NEVER_AFTER_BARE: dict[bool, frozenset[str]] = {
    True: frozenset(
        "of to at by for from with is are was were does do did could would should has have had he she it they "
        "we i that which what when why how who where if because than so then there".split()
    ),
    False: frozenset(),
}
_DO = frozenset("do does did can could will would should may might must".split())
_NEVER_BEFORE_OF = frozenset(
    "when if while although since unless and or but to why how where does do did can will the a an".split()
)


def _clauses(part: list[str], known: Grammar) -> list[list[str]]:
    """What follows `when`, `if` and the like, which must have a verb."""
    found: list[list[str]] = []
    for place, word in enumerate(part):
        follows = part[place + 1 :]
        if place == 0 and word in known.ask and (known.language == "en" or not follows):
            continue
        if word in known.clause and follows and not (word == "because" and follows[0] == "of"):
            end = next((i for i, other in enumerate(follows) if other in known.clause), len(follows))
            found.append(follows[:end])
    return found


def _is_clause(clause: list[str], known: Grammar) -> bool:
    """Whether two words or more follow, and no preposition or conjunction is the first."""
    return len(clause) > 1 and clause[0] not in known.never_last - known.bare


def _is_english_clause(clause: list[str], known: Grammar) -> bool:
    """Whether it has a verb with a subject before it that the verb agrees with."""
    if not clause or clause[0] in _NO_SUBJECT:
        return False
    for place, (before, word) in enumerate(zip(clause, clause[1:], strict=False), start=1):
        subject = [other for other in clause[:place] if not other.endswith("ly")]
        if not known.verb(word) or before in _NO_VERB_AFTER or not subject:
            continue
        if word in known.verbs or word.endswith(("s", "ed")) or word not in known.bases:
            return not word.endswith("ing")
        if word in _SAME_IN_THE_PAST:
            return True
        if subject[-1].endswith("s") or subject[-1] in _SEVERAL or "and" in subject:
            return True
    first = clause[0]  # of a participle the subject is the main clause's
    if first not in known.lexical:
        return False
    return first.endswith(("ed", "en")) or (first.endswith("ing") and len(clause) > 2) or first in _PARTICIPLES


_PARTICIPLES = frozenset("sold bought made left paid spent kept cut put split built held sent lost found".split())
_SAME_IN_THE_PAST = frozenset("set put cut read hit let shut spread cost split bet quit".split())
_NO_SUBJECT = frozenset(
    "and or but so as of from to in into on at by for with without along between inside together up out over not is "
    "are was were does do did than when how where them him me us itself himself themselves very".split()
)
_NO_VERB_AFTER = frozenset("a an the to and or of on in at by for with from into my your its their our no".split())
_SEVERAL = frozenset(
    "i we you they who which that these those both all some many most people nuclei men women children feet teeth mice "
    "fish data bacteria media phenomena criteria".split()
)


def _longest_row(said: list[str], known: Grammar) -> int:
    longest = row = 0
    for word in said:
        row = row + 1 if known.open(word) else 0
        longest = max(longest, row)
    return longest


def keywords_in_a_row(said: list[str], known: Grammar, about: ItemWords) -> bool:
    """Whether keywords follow each other as they do nowhere in the item, or asking words alone stand beside them."""
    stems = [stem(word, known.language) for word in said]
    row = strange = 0
    for before, here in zip(["", *stems], stems, strict=False):
        if here not in about.keywords:
            row = strange = 0
            continue
        row += 1
        strange += row > 1 and (before, here) not in about.neighbours
        if row > KEYWORDS or strange >= KEYWORDS - 1:
            return True
    if sum(root in about.keywords for root in stems) <= KEYWORDS:
        return False
    nothing_else = known.ask | known.helping | known.clause | known.quantity
    return all(root in about.keywords or word in nothing_else for word, root in zip(said, stems, strict=True))


def _things_in_a_row(said: list[str], known: Grammar) -> bool:
    """`the sun the Earth the night`: things named one after the other, more than a question with `is` in front has."""
    names = [word in known.articles for word in said]
    if sum(names) < 3:
        return False
    joints = 0
    for place in range(2, len(said)):
        adjective = place > 2 and names[place - 3] and known.open(said[place - 2]) and known.open(said[place - 1])
        joints += names[place] and not names[place - 1] and (names[place - 2] or adjective)
    return joints > 1


def _only_keywords(said: list[str], known: Grammar, about: ItemWords) -> bool:
    """`Is the sun in the night of the axis by the moon?`: four keywords or more, and nothing is said of them."""
    if len(said) <= KEYWORDS + 1:
        return False
    keywords = 0
    for before, word in zip(["", *said], said, strict=False):
        keyword = stem(word, known.language) in about.keywords
        if keyword and (before in known.leads_in or before in _NO_VERB_AFTER or not known.acts(word)):
            keywords += 1
        elif word not in known.helping and (known.acts(word) or known.open(word)):
            return False
    return keywords > KEYWORDS


def _lacks_verb(said: list[str], known: Grammar, about: ItemWords) -> bool:
    """`Does the sun the Earth?`: nothing that can be the verb of `does`."""
    place = next((place for place, word in enumerate(said[:3]) if word in ("do", "does", "did")), None)
    if place is None or (place and said[place - 1] not in known.ask):
        return False
    keywords = [word for word in said if stem(word) in about.keywords]
    after = pairwise(said[place:])
    return bool(keywords) and not any(
        before not in _NO_VERB_AFTER and (known.verb(word) or (known.open(word) and word not in keywords))
        for before, word in after
    )


def _is_english_question(text: str, said: list[str], known: Grammar, about: ItemWords) -> bool:
    """Whether an English sentence has a verb, and asks or speaks to the student."""
    if _lacks_verb(said, known, about):
        return False
    verbs = [word for word in said if known.verb(word) or (word in known.ask and word.endswith("'s"))]
    own = [word for word in verbs if stem(word) not in about.keywords]
    counted = said[:2] in (
        ["how", "many"],
        ["how", "much"],
        ["what", "about"],
        ["how", "about"],
        ["what", "if"],
        ["why", "not"],
    )
    joins = ("and", "or", "but")
    if not (
        own or counted or (verbs and any(w in known.little and w not in known.ask and w not in joins for w in said))
    ):
        return False
    return is_interrogative(text, known) or bool(known.you & set(said)) or "or" in said or said[-1] in _BLANK


_BLANK = frozenset("is are was were be equals".split())
"""What the last word is before a gap that the student has to fill: `So the total is?`."""


def _parts(text: str, known: Grammar) -> list[list[str]]:
    """Its words, by what commas, colons and dashes part."""
    parts = (words(part, known.language) for part in CLAUSE_END.split(text))
    return [part for part in parts if part]


def is_interrogative(text: str, known: Grammar, *, first: bool = False) -> bool:
    """Whether it has the form of a question: an asking word (`first`: at the start), or a part with its verb first."""
    found = [without_lead(part, known) for part in _parts(text, known)]
    if first and known.language == "en":
        asking = [part for place, part in enumerate(found) if part and (place == 0 or part[0] not in _RELATIVE)]
        return any(is_inverted(part, known) or part[0] in known.verbs for part in asking)
    return any(known.ask & set(part[:1] if first else part) or (part and part[0] in known.verbs) for part in found)


def is_inverted(said: list[str], known: Grammar) -> bool:
    """Whether an English sentence asks by its order of words alone."""
    first, second = (*said, "", "")[:2]
    counts = first == "how" and (
        (second == "many" and _says_of_a_number(said, known))
        or (second in ("much", "long", "far", "often") and bool(known.verbs & set(said)))
    )
    of_a_thing = (
        first in ("which", "what", "whose")
        and second not in _SUBJECTS
        and second not in known.articles
        and bool(_DO & set(said[2:5]))
    )
    if counts or of_a_thing or (first in known.ask and second in known.verbs):
        return True
    return first in _ASKING_FIRST and second in _SUBJECTS


def _says_of_a_number(said: list[str], known: Grammar) -> bool:
    """`how many are left`, `how many pages after that`, and not `how many pages`."""
    return any(known.verb(word) or word in known.little for word in said[2:])


def asked_last(text: str, known: Grammar) -> list[str]:
    """The words from which on an English sentence asks: `how many are left` of `If he sells 11, how many are left`."""
    for part in _parts(text, known):
        for start, word in enumerate(part):
            before = part[start - 1] if start else ""
            counts = part[start : start + 2] in (["how", "many"], ["how", "much"]) and (
                start + 2 == len(part) or _says_of_a_number(part[start:], known)
            )
            if counts and (before not in _LEADS_TO_CLAUSE or start >= len(part) - 3):
                return part[start:]
            if start and before not in _JOINTS and not (word in _ASKS_AFTER_IF and "if" in part[: min(start, 3)]):
                continue
            said = without_lead(part[start:], known)
            if is_inverted(said, known):
                return said
    return []


_ASKS_AFTER_IF = frozenset(("how", "what", "which", "would", "could"))
_LEADS_TO_CLAUSE = frozenset(
    "is are was were be find finding found out know knows see of on about for by with to into at from determine "
    "calculate tell me us you understand exactly showing shows show work figure and than that".split()
)
"""Words after which `how many` begins a clause that is no question by itself."""
_JOINTS = frozenset(("so", "then", "and", "but", "now", "or", "therefore"))
_RELATIVE = frozenset(("which", "who", "where", "when", "whose", "whom"))
_ASKING_FIRST = frozenset("do does did can could will would is are was were have has had".split())
_SUBJECTS = frozenset("you he she it they we i the this that these those there your his her".split())


def without_lead(said: list[str], known: Grammar) -> list[str]:
    """The words after `so`, `okay` and the like."""
    start = next((i for i, word in enumerate(said) if word not in known.lead), len(said))
    return said[start:]
