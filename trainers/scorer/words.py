"""Levels from the words and the form of what the tutor says: the baseline of every scorer, and a kind of scorer itself.

    words       how often each word and punctuation mark stands in the tutor's text, by TF-IDF: count times
                ln((1 + n) / (1 + texts with it)) + 1, each text's vector scaled to length 1
    form        how long it is, whether it asks, how much of it the student and the dialogue said before, and numbers:
                `FORM` names them; each standardised on the training texts and divided by the root of their number
    levels      multinomial logistic regression on these columns, C = 1 (`trainers.scorer.logistic`)

`BASELINE` is words alone and says the likeliest level: what anybody would try first, so a scorer that does not beat it
has no reason to exist. Its settings are fixed here. The scorer of kind `words` has the form besides, and says the
median level, as every scorer does. No setting of either was tuned: they are scikit-learn's defaults, with punctuation
marks as words.

Invariant: a model is a function of its training texts, and a text's levels of the text alone. Nothing of the history is
a word here: only how much of it the reply takes up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from scipy.sparse import csr_array, hstack

from trainers.scorer.bootstrap import Floats
from trainers.scorer.logistic import chances, fit_logistic, level_indices
from trainers.scorer.text import Unit, split_header

PENALTY = 1.0
"""1 / C of the logistic regression, for words and form alike."""
FORM = (
    "words",
    "sentences",
    "word_length",
    "asks",
    "questions",
    "ends_with_question",
    "exclamations",
    "equals_signs",
    "numbers",
    "has_number",
    "new_numbers",
    "numbers_of_student",
    "numbers_of_history",
    "share_said_by_student",
    "share_said_before",
    "student_words",
    "history_words",
)
"""What is counted of a reply's form; counts that grow without bound stand as ln(1 + count)."""
_TOKEN = regex.compile(r"\w+|[^\w\s]")
_NUMBER = regex.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE = regex.compile(r"[.!?。！？؟]+(?=\s|$)")
_QUESTION = regex.compile(r"[?？؟]")
_LINE = regex.compile(r"^(Tutor|Student): ", regex.MULTILINE)


@dataclass(frozen=True, slots=True)
class Said:
    """A text of `trainers.scorer.text`, taken apart."""

    tutor: str
    """What was rated."""
    student: str
    """What the student said last before it; of a whole dialogue, all that the student said."""
    history: str
    """All that was said before it; of a whole dialogue, all that the student said."""


def take_apart(text: str, unit: Unit) -> Said:
    """Returns who says what in a text. One without a line of the tutor counts as the tutor's words, all of it."""
    _, body = split_header(text)
    parts = _LINE.split(body)
    turns = list(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
    tutor = [at for at, (who, _) in enumerate(turns) if who == "Tutor"]
    if not tutor:
        return Said(body, "", "")
    if unit == "dialogue":
        both = {who: "\n".join(what for name, what in turns if name == who) for who in ("Tutor", "Student")}
        return Said(both["Tutor"], both["Student"], both["Student"])
    before = turns[: tutor[-1]]
    student = next((what for who, what in reversed(before) if who == "Student"), "")
    return Said(turns[tutor[-1]][1], student, "\n".join(what for _, what in before))


def form(said: Said) -> list[float]:
    """Returns the figures that `FORM` names."""
    tokens = _tokens(said.tutor)
    words = [token for token in tokens if token.isalpha()]
    by_student, before = (set(_tokens(text)) for text in (said.student, said.history))
    numbers, of_student, of_history = (set(_NUMBER.findall(text)) for text in (said.tutor, said.student, said.history))
    questions = len(_QUESTION.findall(said.tutor))
    return [
        math.log1p(len(tokens)),
        math.log1p(len(_SENTENCE.findall(said.tutor))),
        sum(map(len, words)) / len(words) if words else 0.0,
        float(questions > 0),
        math.log1p(questions),
        float(bool(_QUESTION.search(said.tutor.rstrip("\"'”’»)*_ \n")[-1:]))),
        math.log1p(said.tutor.count("!")),
        math.log1p(said.tutor.count("=")),
        math.log1p(len(numbers)),
        float(bool(numbers)),
        math.log1p(len(numbers - of_history)),
        math.log1p(len(numbers & of_student)),
        math.log1p(len(numbers & of_history)),
        sum(word in by_student for word in words) / len(words) if words else 0.0,
        sum(word in before for word in words) / len(words) if words else 0.0,
        math.log1p(len(said.student.split())),
        math.log1p(len(said.history.split())),
    ]


@dataclass(frozen=True, slots=True)
class WordModel:
    """A fitted model."""

    unit: Unit
    terms: tuple[str, ...]
    """Words and marks of the training texts, in order of the alphabet."""
    inverse: Floats
    """Of each term, ln((1 + n) / (1 + texts with it)) + 1."""
    centre: Floats
    spread: Floats
    """Mean and standard deviation of each figure of the form; both empty in a model of words alone."""
    weight: Floats
    """`(terms + figures, levels)`."""
    intercept: Floats

    def chances(self, texts: Sequence[str]) -> Floats:
        """Returns each text's probability of each level, `(texts, levels)`."""
        said = [take_apart(text, self.unit) for text in texts]
        return chances(_columns(said, self.terms, self.inverse, self.centre, self.spread), self.weight, self.intercept)


def fit_words(
    texts: Sequence[str], levels: Sequence[int | None], number: int, *, unit: Unit, with_form: bool
) -> WordModel:
    """Fits a model.

    Args:
        texts: as `trainers.scorer.text` makes them.
        levels: index of each text's level, as `Levels.find` gives it.
        number: how many levels there are.
        unit: what was rated.
        with_form: False makes the baseline.
    """
    said = [take_apart(text, unit) for text in texts]
    known = Counter(token for one in said for token in set(_tokens(one.tutor)))
    terms = tuple(sorted(known))
    inverse = np.asarray([math.log((1 + len(said)) / (1 + known[term])) + 1 for term in terms], dtype=np.float64)
    figures = np.asarray([form(one) for one in said]) if with_form else np.zeros((len(said), 0))
    centre, spread = figures.mean(axis=0), figures.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    columns = _columns(said, terms, inverse, centre, spread)
    weight, intercept = fit_logistic(columns, level_indices(levels), number, PENALTY)
    return WordModel(unit, terms, inverse, centre, spread, weight, intercept)


def _tokens(text: str) -> list[str]:
    found: list[str] = _TOKEN.findall(text.lower())
    return found


def _columns(said: Sequence[Said], terms: Sequence[str], inverse: Floats, centre: Floats, spread: Floats) -> csr_array:
    """The features of texts, `(texts, terms + figures)`; a word that is no term counts for nothing."""
    place = {term: at for at, term in enumerate(terms)}
    values: list[float] = []
    columns: list[int] = []
    starts = [0]
    for one in said:
        counts = Counter(place[token] for token in _tokens(one.tutor) if token in place)
        weighted = np.asarray([count * inverse[at] for at, count in counts.items()])
        values.extend(weighted / np.linalg.norm(weighted) if len(weighted) else [])
        columns.extend(counts)
        starts.append(len(columns))
    words = csr_array((np.asarray(values, dtype=np.float64), columns, starts), shape=(len(said), len(terms)))
    if not len(centre):
        return words
    figures = (np.asarray([form(one) for one in said]).reshape(len(said), len(centre)) - centre) / spread
    return csr_array(hstack([words, csr_array(figures / math.sqrt(len(centre)))]))
