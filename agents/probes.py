"""Belief probes: how probable each option is to the student, in several forms of asking.

A form is one way to ask. Which one is valid on a model, if any, is for `tutorloop check --probes` to say
(`sim.probe_check`): on small models most forms hear the words of an answer and not what is said about them.

    text_mean, text_sum, text_per_char
        The question alone; each option's text is scored as the student's next message, by its log-probability per
        token, in sum, or per character. Softmax over the options.
    text_prior
        `text_mean` less the same text's after a prompt without content (domain-conditional PMI, Holtzman et al., 2021).
    letters
        Question and lettered options, once for each rotation of the letters: the letter's probability among the
        letters, averaged over the rotations.
    yes_no
        Of each option whether this answer is right, and whether it is wrong: the log-odds of yes to the first less
        those to the second, halved. Softmax over the options.
    free_answers
        The question alone, answered `FREE_ANSWERS` times: the share of answers that are matched to the option; one
        that is matched to none counts for all alike.

Each has a `masked_` twin, a masked examination: the student replies once more to what it heard last, and is then asked
with everything hidden that others said, so that only what it made its own can be heard (as EduardoRL examines).

Invariant: probabilities sum to 1 and stand in the order of the options asked about.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import replace

from agents.engines.base import Engine, Message, Sampling, Score
from agents.engines.chat import Chat
from agents.errors import EngineError, NoReply
from agents.judges.normal import content
from agents.records import Probe, ProbeKind, Question, Turn
from agents.views import check_question, with_user

MASKED = "masked_"
BASIC_FORMS = ("text_mean", "text_sum", "text_per_char", "text_prior", "letters", "yes_no", "free_answers")
FORMS = (*BASIC_FORMS, *(MASKED + name for name in BASIC_FORMS))
"""All forms, the masked ones last."""
FREE_ANSWERS = 8
"""Answers that are sampled for the form `free_answers`."""
ANSWER_TOKENS = 32
"""Most tokens of one of them."""
OWN_WORDS = 40
"""Most tokens of a masked student's last reply."""
HIDDEN = "..."
"""What a masked student sees in place of what others said."""
MATCHED = 0.5
"""Share of an option's own telling words that an answer must say to be matched to it."""
_CONTENT_FREE: tuple[Message, ...] = (
    {"role": "system", "content": "You are a student."},
    {"role": "user", "content": "Quick check: N/A"},
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def softmax(scores: Sequence[float]) -> tuple[float, ...]:
    """Softmax of finite scores."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


async def probe_belief(
    engine: Engine,
    student_view: Sequence[Message],
    question: Question,
    *,
    kind: ProbeKind,
    turn: int,
    dialogue_id: str,
    options: tuple[int, ...] = (),
    form: str = "text_mean",
) -> Probe:
    """Measures the student's belief about `question` after what it has heard in `student_view`.

    Args:
        engine: the student's engine; must be able to `score` (for `free_answers` to generate alone).
        student_view: the dialogue in the student's view, system prompt first.
        kind: what the probe is for.
        turn: index of the last turn heard.
        dialogue_id: for routing.
        options: indices of the options to ask about, the correct one among them; empty: all. Fewer cost less.
        form: one of `FORMS`.

    Raises:
        EngineError: a score is no finite number, so nothing was measured.
    """
    if form.startswith(MASKED):
        student_view = await own_words(engine, student_view, dialogue_id)
    asked = options or tuple(range(len(question.options)))
    texts = [question.options[i].text for i in asked]
    found = (await beliefs(engine, student_view, question, texts, [form.removeprefix(MASKED)], dialogue_id))[0]
    return Probe(kind, turn, found, question.answer, options)


async def beliefs(
    engine: Engine,
    view: Sequence[Message],
    question: Question,
    texts: Sequence[str],
    forms: Sequence[str],
    dialogue_id: str,
) -> list[tuple[float, ...]]:
    """The belief in each of `texts` by each of several basic forms; what forms have in common is asked once.

    Raises:
        EngineError: see `probe_belief`.
    """
    plain = with_user(view, check_question(question))
    found: dict[str, tuple[float, ...]] = {}
    if any(form.startswith("text_") for form in forms):
        scores = await _scores(engine, plain, texts, dialogue_id)
        prior = await _scores(engine, _CONTENT_FREE, texts, dialogue_id) if "text_prior" in forms else scores
        found = {
            "text_mean": softmax([score.mean for score in scores]),
            "text_sum": softmax([sum(score.logprobs) for score in scores]),
            "text_per_char": softmax([sum(s.logprobs) / len(text) for s, text in zip(scores, texts, strict=True)]),
            "text_prior": softmax([score.mean - free.mean for score, free in zip(scores, prior, strict=True)]),
        }
    if "letters" in forms:
        found["letters"] = await _by_letters(engine, view, question, texts, dialogue_id)
    if "yes_no" in forms:
        found["yes_no"] = await _by_yes_no(engine, view, question, texts, dialogue_id)
    if "free_answers" in forms:
        sampling = Sampling(max_tokens=ANSWER_TOKENS, temperature=0.7, n=FREE_ANSWERS, stop=("\n",))
        answers = await engine.generate(plain, sampling, dialogue_id=dialogue_id)
        found["free_answers"] = matched([one.text for one in answers], texts, question.language)
    return [found[form] for form in forms]


async def own_words(engine: Engine, view: Sequence[Message], dialogue_id: str) -> Chat:
    """The view with the student's reply to what it heard last, and all that others said hidden."""
    said = [(message["role"], message["content"]) for message in view]
    if said[-1][0] == "user":
        try:
            reply = (
                await engine.generate(view, Sampling(max_tokens=OWN_WORDS, temperature=0.0), dialogue_id=dialogue_id)
            )[0]
            said.append(("assistant", reply.text))
        except NoReply:  # it has nothing to say to that
            said.pop()
    return Chat(tuple((role, HIDDEN if role == "user" else text) for role, text in said))


def shuffled(text: str) -> str:
    """The words of a text in an order that depends on the text alone, and is another one where there is another."""
    words = text.split()
    chance = random.Random(hashlib.sha256(text.encode()).digest())
    for _ in range(8):
        mixed = chance.sample(words, len(words))
        if mixed != words:
            return " ".join(mixed)
    return " ".join(reversed(words))


def mixed_up(turns: Sequence[Turn], *, masked: bool) -> list[Turn]:
    """The turns with the words of what the tutor said in random order: what a probe hears after them is no meaning.

    A masked examination hears the student's own words alone, so those are shuffled as well, but for its opening.
    """
    return [
        replace(turn, text=shuffled(turn.text)) if turn.role == "tutor" or (masked and turn.index > 0) else turn
        for turn in turns
    ]


def matched(answers: Sequence[str], texts: Sequence[str], language: str) -> tuple[float, ...]:
    """The share of free answers that are matched to each option; one that fits none counts for all of them alike.

    An answer fits the option of which it says the largest share of its own telling words (stems that no other option
    has), if that is `MATCHED` at least.
    """
    stems = [frozenset(content(text, language)) for text in texts]
    own = [one - frozenset().union(*stems[:i], *stems[i + 1 :]) or one for i, one in enumerate(stems)]
    votes = [1.0 / len(texts)] * len(texts)  # one more answer that fits none, so that no belief is 0
    for answer in answers:
        said = frozenset(content(answer, language))
        shares = [len(said & one) / len(one) if one else 0.0 for one in own]
        best = max(shares)
        fits = [share == best for share in shares] if best >= MATCHED else [True] * len(texts)
        votes = [vote + fit / sum(fits) for vote, fit in zip(votes, fits, strict=True)]
    return tuple(vote / (len(answers) + 1) for vote in votes)


async def _scores(engine: Engine, messages: Sequence[Message], texts: Sequence[str], dialogue_id: str) -> list[Score]:
    scores = await engine.score(messages, texts, dialogue_id=dialogue_id)
    if strange := [score.mean for score in scores if not math.isfinite(score.mean)]:
        raise EngineError(f"the engine scored an option with {strange[0]}, which is no log-probability; see its log")
    return scores


async def _by_letters(
    engine: Engine, view: Sequence[Message], question: Question, texts: Sequence[str], dialogue_id: str
) -> tuple[float, ...]:
    """Every option stands once at every letter, so that a liking for a letter cancels out."""
    n = len(texts)
    letters = _LETTERS[:n]

    async def rotated(by: int) -> list[float]:
        order = [texts[(place + by) % n] for place in range(n)]
        listed = "\n".join(f"{letter}) {text}" for letter, text in zip(letters, order, strict=True))
        asked = with_user(view, f"{check_question(question)}\n{listed}\nAnswer with one letter.")
        by_letter = softmax([sum(s.logprobs) for s in await _scores(engine, asked, letters, dialogue_id)])
        return [by_letter[(option - by) % n] for option in range(n)]

    found = await asyncio.gather(*(rotated(by) for by in range(n)))
    return tuple(sum(column) / n for column in zip(*found, strict=True))


async def _by_yes_no(
    engine: Engine, view: Sequence[Message], question: Question, texts: Sequence[str], dialogue_id: str
) -> tuple[float, ...]:
    """A liking for yes cancels out, because the negated statement is asked about as well."""

    async def odds(text: str, word: str) -> float:
        said = f"{check_question(question)}\nSomebody answers: {text}\nIs this answer {word}? Say Yes or No."
        yes, no = await _scores(engine, with_user(view, said), ("Yes", "No"), dialogue_id)
        return sum(yes.logprobs) - sum(no.logprobs)

    async def contrast(text: str) -> float:
        right, wrong = await asyncio.gather(odds(text, "right"), odds(text, "wrong"))
        return (right - wrong) / 2

    return softmax(await asyncio.gather(*map(contrast, texts)))
