"""What each agent sees of a dialogue, as chat messages.

Invariant: in a role's view that role is the `assistant`, the other side is the `user`, roles alternate, and the view
after more turns extends the view after fewer (so the engine's prefix cache and tree rows both work). The tutor never
sees the student's prompt, the student never sees the tutor's, the strategy or the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.engines.base import Message
from agents.library import Persona, Strategy
from agents.records import Item, Question, Role, Turn


def tutor_system(item: Item, strategy: Strategy, settings: dict[str, str], *, knows_answer: bool) -> str:
    """The tutor's system prompt."""
    key = f" Right answer (secret): {item.question.answer_text}" if knows_answer else ""
    return f"{strategy.render(settings)}\nQuestion: {item.question.text}{key}"


def student_system(item: Item, persona: Persona, held_option: int) -> str:
    """The student's system prompt, holding the belief behind one wrong option."""
    return persona.prompt.format(belief=item.question.options[held_option].text)


def view(system: str, turns: Iterable[Turn], role: Role) -> list[Message]:
    """The dialogue as `role` sees it: system prompt, then its own turns as assistant and the others as user."""
    messages: list[Message] = [{"role": "system", "content": system}]
    for turn in turns:
        messages.append({"role": "assistant" if turn.role == role else "user", "content": turn.text})
    return messages


def with_user(messages: Sequence[Message], text: str) -> list[Message]:
    """The view with one more thing said to the agent, merged into a user message that already stands last."""
    if messages[-1]["role"] == "user":
        merged: Message = {"role": "user", "content": messages[-1]["content"] + "\n\n" + text}
        return [*messages[:-1], merged]
    return [*messages, {"role": "user", "content": text}]


def check_question(question: Question) -> str:
    """How a probe asks the student: the question alone, so that the options' texts can be scored as its answer."""
    return f"Quick check: {question.text}"
