"""Belief probes: how probable each option is as the student's own answer.

Each option's text is scored as the student's whole next message after the question, by its mean log-probability per
token; a softmax over the options gives the belief. Letters are not used: on the embedded default a letter probe is
noise whatever the tutor did. Cost: one scoring request per option, most of whose prompt the prefix cache holds.

Invariant: probabilities sum to 1 and stand in the order of the options asked about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agents.engines.base import Engine, Message
from agents.errors import EngineError
from agents.records import Probe, ProbeKind, Question
from agents.views import check_question, with_user


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
) -> Probe:
    """Measures the student's belief about `question` after what it has heard in `student_view`.

    Args:
        engine: the student's engine; must be able to `score`.
        student_view: the dialogue in the student's view, system prompt first.
        kind: what the probe is for.
        turn: index of the last turn heard.
        dialogue_id: for routing.
        options: indices of the options to ask about, the correct one among them; empty: all. Fewer cost less.

    Raises:
        EngineError: a score is no finite number, so nothing was measured.
    """
    messages = with_user(student_view, check_question(question))
    asked = options or tuple(range(len(question.options)))
    scores = await engine.score(messages, [question.options[i].text for i in asked], dialogue_id=dialogue_id)
    if strange := [score.mean for score in scores if not math.isfinite(score.mean)]:
        raise EngineError(f"the engine scored an option with {strange[0]}, which is no log-probability; see its log")
    return Probe(kind, turn, softmax([score.mean for score in scores]), question.answer, options)
