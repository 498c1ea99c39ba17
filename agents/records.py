"""What a tutoring dialogue leaves behind: frozen, typed facts.

Invariant: a record never changes after it was made, carries everything that analysis and training need, and survives
`to_dict` -> JSON -> `dialogue_from_dict` unchanged. Probabilities are in [0, 1]; log-probabilities are natural logs;
turn indices count all turns of a dialogue from 0 (the student's opening).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

Role = Literal["tutor", "student"]
ProbeKind = Literal[
    "before", "after", "echo", "transfer_before", "transfer", "transfer_echo", "turn", "candidate", "candidate_echo"
]
"""`echo` kinds are measured after the same words of the tutor in random order."""
VerdictKind = Literal["pass", "fail", "invalid"]


@dataclass(frozen=True, slots=True)
class Option:
    """One answer option; a wrong one carries the misconception behind it."""

    text: str
    correct: bool = False
    misconception: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its options; exactly one is correct."""

    text: str
    options: tuple[Option, ...]
    language: str = "en"
    """Code of the language that it is written in (BCP 47)."""

    @property
    def answer(self) -> int:
        """Index of the correct option."""
        return next(i for i, option in enumerate(self.options) if option.correct)

    @property
    def answer_text(self) -> str:
        """Text of the correct option."""
        return self.options[self.answer].text


@dataclass(frozen=True, slots=True)
class Item:
    """A question, its options with misconceptions, and a transfer question on the same concept."""

    id: str
    area: str
    concept: str
    keywords: tuple[str, ...]
    opening: str
    question: Question
    transfer: Question

    @property
    def language(self) -> str:
        """Code of the language that it is written in."""
        return self.question.language


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written, and what they cost in the price table's currency."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    requests: int = 0
    seconds: float = 0.0
    """From a request to its answer, summed over requests: waiting included, overlapping ones each counted."""
    cached_prompt_tokens: int = 0
    """Of the prompt tokens, those that an endpoint says it had read before."""
    no_replies: int = 0
    """Answers without a reply in them: empty, filtered, refused, or only reasoning."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.requests + other.requests,
            self.seconds + other.seconds,
            self.cached_prompt_tokens + other.cached_prompt_tokens,
            self.no_replies + other.no_replies,
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """What the student believes: one probability per option that was asked about."""

    kind: ProbeKind
    turn: int
    """Index of the last turn the student had heard."""
    probabilities: tuple[float, ...]
    answer: int
    """Index of the correct option in the question."""
    options: tuple[int, ...] = ()
    """Which options the probabilities belong to; empty: all of them, in order."""

    @property
    def right(self) -> float:
        """Probability of the correct option among those asked about."""
        return self.probabilities[self.options.index(self.answer) if self.options else self.answer]

    def among(self, options: tuple[int, ...]) -> float:
        """Probability of the correct option among some of the options: the softmax over those alone."""
        asked = self.options or tuple(range(len(self.probabilities)))
        found = dict(zip(asked, self.probabilities, strict=True))
        return found[self.answer] / sum(found[option] for option in options or asked)


@dataclass(frozen=True, slots=True)
class Leak:
    """A tutor turn that gives the answer away."""

    turn: int
    kind: Literal["text", "claim", "letter", "number", "paraphrase"]
    severity: float
    """0 (nothing) to 1 (the whole answer)."""
    evidence: str


@dataclass(frozen=True, slots=True)
class TurnRules:
    """What the rule judge measured on one tutor turn; deterministic.

    None is "not measured": the rule cannot read the pack's language, or the turn has nothing to measure. It is never
    counted as 0, nor as a pass.
    """

    question: bool | None
    """A real question: new, and about the item or about what the student said or thinks."""
    leak: float | None
    """Severity of the worst leak in the turn, 0 to 1."""
    on_item: float | None
    """Share of the turn's sentences that stay on the item's concept, 0 to 1; None for a turn without a word."""
    repetition: float | None
    """Share of the turn's word 3-grams said before in the dialogue or in the turn, 0 to 1; None without a word."""
    words: int
    grade: float | None
    """Flesch-Kincaid reading grade, of English only; None for a turn without a word."""
    confirmation: bool | None = None
    """Whether the turn confirms a right guess of the student's; no leak. None too in records older than the rule."""

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Names of what was not measured although the turn has words: rules that cannot read its language."""
        names = ("question", "leak", "on_item", "repetition") if self.words else ()
        return tuple(name for name in names if getattr(self, name) is None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of K sampled tutor replies at a turn, with what it was worth."""

    text: str
    token_ids: tuple[int, ...]
    rules: TurnRules | None = None
    probe: Probe | None = None
    reward: float | None = None
    components: dict[str, float] = field(default_factory=dict)
    gain: float | None = None
    """Belief in the right answer after it less that after its words in random order (before it, where that echo was
    not measured); after a look-ahead, net of the worst leak in that."""
    advantage: float | None = None
    """Its reward minus the mean reward of the other candidates of the turn."""
    rolled: tuple[str, ...] = ()
    """What was said after it in a look-ahead: student, tutor, student, ..."""
    reasoning: str = ""
    """What the model thought before it spoke: private, never shown to the other side, a probe or a judge."""
    role_break: bool = False
    """Whether the model went on in the other side's name; the text ends before that."""
    verdicts: tuple[Verdict, ...] = ()
    """What the judges of the reward said of the dialogue as it would be with this reply."""
    broken: tuple[str, ...] = ()
    """The gates of the reward that it breaks, such as `leak`."""
    opener: str = ""
    """What training began it with, which the model did not choose; empty in records of older versions too."""
    echo: Probe | None = None
    """The belief where its words stand in random order; None where it was not measured."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. A tutor turn that was sampled keeps its candidates; `chosen` is the one that was said."""

    index: int
    role: Role
    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: str = ""
    policy_version: str = ""
    """Which weights spoke: `base` or an adapter name such as `tutor/v0001`."""
    rules: TurnRules | None = None
    candidates: tuple[Candidate, ...] = ()
    chosen: int = 0
    stressor: str = ""
    """Of a student's turn: the stressor that made it say this, all or in part."""
    reasoning: str = ""
    """What the model thought before it spoke: private, never shown to the other side, a probe or a judge."""
    role_break: bool = False
    """Whether the model went on in the other side's name; the text ends before that."""
    unfinished: bool | None = None
    """Whether it stops within a sentence, since its model ran into the token limit before it had finished one. None
    where it was not sampled, and in older records."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge says of one dialogue or turn; `invalid` never counts as a pass or a zero."""

    judge: str
    name: str
    kind: VerdictKind
    score: float | None = None
    turn: int | None = None
    votes: tuple[str, ...] = ()
    rationale: str = ""
    raw: str = ""
    """The judge's own words where they could not be read as a verdict."""
    unit_score: float | None = None
    """The score on 0 to 1, whatever the judge's scale: what a reward adds up. None where a judge has no such scale."""
    fallbacks: tuple[str, ...] = ()
    """What the judge's engine was asked for and did not take, so that it was done without (`Completion.fallbacks`)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a dialogue did not finish: the type of the error, where, and its message."""

    error: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """What is to happen in one dialogue, decided before it starts. `id` is a hash of the rest."""

    id: str
    arm: str
    phase: str
    strategy: str
    strategy_settings: dict[str, str]
    persona: str
    pack: str
    item_id: str
    held_option: int
    """Index of the wrong option the student believes at the start."""
    repeat: int
    student_key: str
    """Equal for the same student and item in two arms or phases: what results are paired by."""
    tutor: str = ""
    """Name of the tutor under test; empty in runs made before experiments had named tutors."""
    stressor: str = ""
    intensity: float = 0.0
    """Of the stressor, 0 to 1; 0 is the student without it."""
    content: str = ""
    """A digest of what the tutor meets, as it was read: item, persona and stressor. Empty in records of older
    versions, of which nobody knows it; it is no part of `id`, so that those go on."""

    @property
    def tutor_name(self) -> str:
        """Who taught: the named tutor, else the strategy."""
        return self.tutor or self.strategy

    @property
    def dimension(self) -> str:
        """What the strategy practises, where it has a parameter of that name; empty: none."""
        return self.strategy_settings.get("dimension", "").strip()

    @property
    def cell(self) -> str:
        """What two tutors are compared on: the same student, item and repeat under the same stress."""
        return f"{self.student_key}/{self.stressor}@{self.intensity:g}" if self.stressor else self.student_key


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The record of one tutoring conversation."""

    spec: EpisodeSpec
    turns: tuple[Turn, ...] = ()
    probes: tuple[Probe, ...] = ()
    leaks: tuple[Leak, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    reward: float | None = None
    components: dict[str, float] = field(default_factory=dict)
    usage: Usage = Usage()
    seconds: float = 0.0
    tutor_policy: str = ""
    failure: Failure | None = None
    fallbacks: tuple[str, ...] = ()
    """What of the sampling an endpoint refused to be told, so that it was asked without: `tutor: temperature`, ..."""

    @property
    def id(self) -> str:
        """The deterministic id of the episode."""
        return self.spec.id

    @property
    def tutor_turns(self) -> tuple[Turn, ...]:
        """The tutor's turns in order."""
        return tuple(turn for turn in self.turns if turn.role == "tutor")

    def probe(self, kind: ProbeKind) -> Probe | None:
        """The last probe of that kind, or None when it was not taken."""
        return next((probe for probe in reversed(self.probes) if probe.kind == kind), None)

    @property
    def worst_leak(self) -> float | None:
        """Severity of the worst leak, 0 without one; None where leaks could not be measured."""
        if any(turn.rules is not None and turn.rules.leak is None for turn in self.turns):
            return None
        return max((leak.severity for leak in self.leaks), default=0.0)

    @property
    def raw_gain(self) -> float | None:
        """Post minus pre probability of the right answer, or None without both probes."""
        return self._rise("before", "after")

    @property
    def echo(self) -> float | None:
        """The same where the words of what the tutor said stand in random order; None where it was not measured."""
        return self._rise("before", "echo")

    @property
    def gain(self) -> float | None:
        """The raw gain less the echo, where that was measured: what the tutor's words did by being said in an order."""
        return self._rise("echo" if self.probe("echo") else "before", "after")

    @property
    def transfer_gain(self) -> float | None:
        """The gain on the transfer question, less its echo where that was measured."""
        if self.probe("transfer_before") is None:
            return None
        return self._rise("transfer_echo" if self.probe("transfer_echo") else "transfer_before", "transfer")

    def _rise(self, first: ProbeKind, second: ProbeKind) -> float | None:
        """How much the probability of the right answer rose between two probes."""
        before, after = self.probe(first), self.probe(second)
        return after.right - before.right if before and after else None


_DIALOGUE = TypeAdapter(Dialogue)


def to_dict(record: Any) -> dict[str, Any]:
    """Returns a JSON-able dict of a record."""
    return dataclasses.asdict(record)


def dialogue_to_json(dialogue: Dialogue) -> str:
    """Returns the dialogue as one line of JSON."""
    return _DIALOGUE.dump_json(dialogue).decode()


def dialogue_from_json(text: str | bytes) -> Dialogue:
    """Reads what `dialogue_to_json` wrote. Raises `pydantic.ValidationError` on anything else."""
    return _DIALOGUE.validate_json(text)
