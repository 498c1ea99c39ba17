"""What a dialogue asks of the engines, by formula from the config: requests exactly, tokens from above.

With T tutor turns (0 for `no_tutor`), K candidates and L look-ahead exchanges, a dialogue makes these requests, where
`own(i)` is 1 if the student's i-th turn after the opening is sampled and 0 if its persona or a stressor speaks instead:

    tutor     T + T*K*L                                                           0 for a control
    student   sum of own(i), i = 1..T-1;  + K * own(t+l) for t = 1..T, l = 0..L-1
    probes    2 (question) - r;  + 2 (transfer, if K = 1);  + T (turn);  + T*K (candidate, if K > 1)
              and T - 1 of the dialogue itself, if L > 0
    judges    one per criterion of the rubric                                     0 for `no_tutor`
    + T*K times one per criterion of the judge of the reward, if K > 1 and it weighs anything

`r` is 1 where the last turn's own probe is the probe after the dialogue. Look-ahead happens only where K > 1 and
candidates are probed; equal candidates are judged once. One request brings K candidates, all votes, or all options of a
probe. Retries are not counted.

Tokens are bounded by reading a token into every 3 characters (as `check` does) and 8 into the frame of every message,
with every sampled reply at its full length. An engine that holds no one to `max_tokens` (a callable) may exceed it.

Invariant: the requests are those that an episode makes which does not fail; a test runs both side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate

from agents.controls import ControlTutor
from agents.engines.scripted import ScriptedEngine
from agents.judges.rubric import judge_messages
from agents.judges.rubrics import Rubric, load_rubric
from agents.library import persona
from agents.packs import load_pack
from agents.probes import ANSWER_TOKENS, FREE_ANSWERS, MASKED, OWN_WORDS
from agents.records import EpisodeSpec, Item, Question, Turn
from agents.stressors import move, stressor
from agents.students import TERSE_TOKENS, TERSE_TRIES, is_terse_turn, longest_scripted
from agents.views import check_question
from sim.config import Config, RubricConfig
from sim.config_experiment import TutorArm
from sim.config_reward import RewardJudge
from sim.episode import NO_TUTOR
from sim.speech import Speakers

CHARACTERS_PER_TOKEN = 3
FRAME = 8
"""Tokens that a chat template puts around a message."""
_UNUSED = ScriptedEngine(("",))


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the engines in one role, or in several."""

    generate: int = 0
    """Requests for replies."""
    score: int = 0
    """Requests for the scores of options."""
    prompt_tokens: int = 0
    """At most."""
    completion_tokens: int = 0
    """At most."""

    def __add__(self, other: Load) -> Load:
        return Load(
            self.generate + other.generate,
            self.score + other.score,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    @property
    def requests(self) -> int:
        """Of both kinds."""
        return self.generate + self.score

    @property
    def tokens(self) -> int:
        """Of both kinds, at most."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Effort:
    """What one dialogue asks of the engines, by role; probes ask the student's."""

    tutor: Load = Load()
    student: Load = Load()
    judge: Load = Load()
    valuing: Load = Load()
    """Of the judge of the reward, which reads candidates."""

    @property
    def total(self) -> Load:
        """Of all roles."""
        return self.tutor + self.student + self.judge + self.valuing


@cache
def _items(pack: str) -> dict[str, Item]:
    return {item.id: item for item in load_pack(pack).items}


class Efforts:
    """The formula for one config. Raises InputError where a pack or rubric it names is not there.

    Args:
        config: the experiment.
        length: of sampled replies as a later turn reads them, as a share of their full length; 1 gives the bound.
    """

    def __init__(self, config: Config, *, length: float = 1.0) -> None:
        self.config, self._length = config, length
        self._arms = {arm.name: arm for arm in config.tutor_arms()}
        self._found: dict[str, Effort] = {}

    def arm(self, spec: EpisodeSpec) -> TutorArm:
        """The tutor of an episode; the first one for episodes of before tutors had names."""
        return self._arms.get(spec.tutor, next(iter(self._arms.values())))

    def of(self, spec: EpisodeSpec) -> Effort:
        """What an episode asks of the engines."""
        if spec.id not in self._found:
            item = _items(spec.pack)[spec.item_id]
            course = _Course(self.config, self.arm(spec), spec, item, self._rubrics, self._length)
            self._found[spec.id] = course.effort()
        return self._found[spec.id]

    def cost(self, spec: EpisodeSpec, effort: Effort) -> float:
        """What that costs at most, in the currency of the prices."""
        config = self.config
        judge = config.pool_of("judge") if config.rubric else ""
        valuing = next(iter(config.reward_pools()), judge)
        pools = (config.tutor_pool(self.arm(spec)), config.pool_of("student"), judge, valuing)
        return sum(
            (load.prompt_tokens * price[0] + load.completion_tokens * price[1]) / 1e6
            for load, pool in zip((effort.tutor, effort.student, effort.judge, effort.valuing), pools, strict=True)
            if pool
            for price in [config.pools[pool].price_per_million]
        )

    @cached_property
    def _rubrics(self) -> tuple[Rubric | None, Rubric | None]:
        """Of the run's own judge, and of the one that reads candidates."""
        config, judge = self.config, self.config.reward.judge
        own = load_rubric(config.rubric.name) if config.rubric else None
        if not config.judges_candidates("rubric"):
            return own, None
        return own, load_rubric(judge.rubric) if judge and judge.rubric else own


def size(text: str) -> int:
    """Tokens of a text, from above."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class _Course:
    """One dialogue as it would go, with every sampled reply of the same length."""

    def __init__(
        self,
        config: Config,
        arm: TutorArm,
        spec: EpisodeSpec,
        item: Item,
        rubrics: tuple[Rubric | None, Rubric | None],
        length: float,
    ) -> None:
        self._config, self._arm, self._spec, self._item = config, arm, spec, item
        self._rubric, self._valuing = rubrics
        self._replies = {
            "tutor": math.ceil(length * config.tutor.max_tokens),
            "student": math.ceil(length * config.students.max_tokens),
        }
        self._turns = 0 if arm.control == NO_TUTOR else config.dialogue.turns
        self._candidates = config.dialogue.candidates
        self._speakers = Speakers(config, spec, item, _UNUSED, _UNUSED, arm)
        self._persona = persona(spec.persona)
        probed = self._candidates > 1 and config.probes.candidate != "none"
        self._ahead = config.dialogue.lookahead if probed else 0
        texts = [size(self._speakers.opening().text)]
        for number in range(self._turns + self._ahead):
            texts += [self._tutor_size(number), self._student_size(number)]
        self._heard = [0, *accumulate(text + FRAME for text in texts)]
        """Tokens of the first n turns."""

    def effort(self) -> Effort:
        tutor, student = Load(), self._probes()
        for number in range(self._turns):
            tutor += self._tutor(number, self._candidates)
            if number + 1 < self._turns:
                student += self._student(number)
            for ahead in range(number, number + self._ahead):
                for _ in range(self._candidates):
                    student, tutor = student + self._student(ahead), tutor + self._tutor(ahead + 1, 1)
        given = self._config.rubric
        own = self._judge(self._rubric, given, self._turns) if given and self._turns else Load()
        return Effort(tutor, student, own, self._value_candidates())

    def _tutor(self, number: int, replies: int) -> Load:
        """The tutor's turn of that number, from 0."""
        if self._arm.control:
            return Load()
        prompt = size(self._speakers.tutor_system) + self._heard[2 * number + 1] + 2 * FRAME
        return Load(1, 0, prompt, replies * self._config.tutor.max_tokens)

    def _tutor_size(self, number: int) -> int:
        if self._arm.control and self._arm.control != NO_TUTOR:
            return size(ControlTutor(self._arm.control, self._item).says(number))
        return self._replies["tutor"]

    def _student(self, number: int) -> Load:
        """The student's turn after its tutor turn of that number, from 0."""
        if not self._sampled(number):
            return Load()
        if is_terse_turn(self._persona.terse, self._spec.student_key, number):
            examples = sum(size(text) + FRAME for pair in self._persona.examples for text in pair)
            prompt = size(self._speakers.student_system) + examples + self._tutor_size(number) + 3 * FRAME
            return Load(1, 0, prompt, TERSE_TRIES * TERSE_TOKENS)
        return Load(1, 0, self._student_prompt(2 * number + 2), self._config.students.max_tokens)

    def _student_prompt(self, turns: int) -> int:
        return size(self._speakers.student_system) + self._heard[turns] + 2 * FRAME

    def _stressed(self, number: int) -> str | None:
        spec, question = self._spec, self._item.question
        if not spec.stressor:
            return None
        return move(
            stressor(spec.stressor),
            intensity=spec.intensity,
            number=number + 1,
            student_key=spec.student_key,
            belief=question.options[spec.held_option].text,
            question=question.text,
        )

    def _replaced(self, number: int) -> bool:
        return self._stressed(number) is not None and stressor(self._spec.stressor).says == "replace"

    def _sampled(self, number: int) -> bool:
        return not self._persona.is_scripted and not self._replaced(number)

    def _student_size(self, number: int) -> int:
        own = self._scripted_size(number) if self._persona.is_scripted else self._replies["student"]
        return (0 if self._replaced(number) else own) + size(self._stressed(number) or "")

    def _scripted_size(self, number: int) -> int:
        script, lines = self._persona.script, self._persona.lines
        if script is None:
            return size(lines[number % len(lines)])
        belief = self._item.question.options[self._spec.held_option].text
        return -(-longest_scripted(script, self._item, belief) // CHARACTERS_PER_TOKEN)

    def _probes(self) -> Load:
        probes, turns, load = self._config.probes, self._turns, Load()
        echo = probes.hears_echo
        last = max(0, 2 * turns - 1) + 1
        if probes.question:
            load += self._probe(1, self._item.question)
            load += Load() if self._known_after() else self._probe(last, self._item.question)
            load += self._probe(last, self._item.question) if echo and turns else Load()
        if probes.transfer and self._candidates == 1:
            load += self._probe(1, self._item.transfer) + self._probe(last, self._item.transfer)
            load += self._probe(last, self._item.transfer) if echo and turns else Load()
        for number in range(turns):
            if probes.turn:
                load += self._probe(2 * number + 2, self._item.question)
            if self._ahead and number:
                load += self._probe(2 * number + 1, self._item.question)
            if self._candidates > 1 and probes.candidate != "none":
                for _ in range(self._candidates * (1 + echo)):
                    load += self._probe(2 * (number + self._ahead) + 2, self._item.question)
        return load

    def _known_after(self) -> bool:
        """Whether the probe of the last turn, or of the candidate said there, is the one after the dialogue."""
        probes = self._config.probes
        of_candidate = self._candidates > 1 and probes.candidate == "all" and not self._ahead
        return bool(self._turns) and (probes.turn or of_candidate)

    def _probe(self, turns: int, question: Question) -> Load:
        load = self._asked(turns, question)
        if self._config.probes.masked:  # the student replies once more before it is asked
            load += Load(1, 0, self._student_prompt(turns), OWN_WORDS)
        return load

    def _asked(self, turns: int, question: Question) -> Load:
        """One probe in the config's form: see `agents.probes`."""
        prompt = self._student_prompt(turns) + size(check_question(question)) + FRAME
        options = [size(option.text) for option in question.options]
        n = len(options)
        match self._config.probes.asked.removeprefix(MASKED):
            case "free_answers":
                return Load(1, 0, prompt, FREE_ANSWERS * ANSWER_TOKENS)
            case "letters":
                return sum([self._scored(prompt + sum(options) + n, [1] * n)] * n, Load())
            case "yes_no":
                return sum([self._scored(prompt + sum(options) // n, [1, 1])] * (2 * n), Load())
            case "text_prior":
                return self._scored(prompt, options) + self._scored(2 * FRAME, options)
        return self._scored(prompt, options)

    def _scored(self, prompt: int, options: list[int]) -> Load:
        """One request for scores of continuations of so many tokens."""
        if self._config.pools[self._config.pool_of("student")].engine != "openai":
            return Load(0, 1, prompt + sum(options), 0)
        # A server reads the conversation anew for every option, and writes a token that nobody uses.
        return Load(0, 1, prompt * len(options) + sum(options), len(options))

    def _value_candidates(self) -> Load:
        """A judge reads every candidate after what was said before it."""
        judge = self._config.reward.judge
        given = judge if judge and judge.rubric else self._config.rubric
        if given is None:
            return Load()
        each = [self._judge(self._valuing, given, number + 1) for number in range(self._turns)]
        return sum(each * self._candidates, Load())

    def _judge(self, rubric: Rubric | None, given: RubricConfig | RewardJudge, turns: int) -> Load:
        """One reading of a dialogue of so many tutor turns."""
        if rubric is None:
            return Load()
        silent = [Turn(i, "tutor" if i % 2 else "student", "") for i in range(2 * turns)]
        said = self._heard[2 * turns]
        prompts = [
            said + sum(size(m["content"]) + FRAME for m in judge_messages(self._item, silent, criterion, rubric.scale))
            for criterion in rubric.criteria
        ]
        return Load(len(prompts), 0, sum(prompts), len(prompts) * given.votes * given.max_tokens)
