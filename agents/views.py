"""What each agent sees of a dialogue, as chat messages.

Invariant: in a role's view that role is the `assistant`, the other side is the `user`, roles alternate, and the view
after more turns extends the view after fewer (so the engine's prefix cache and tree rows both work). The tutor never
sees the student's prompt, the student never sees the tutor's, the strategy or the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from agents.engines.base import Message
from agents.engines.chat import Chat
from agents.library import Persona, Strategy
from agents.records import Item, Question, Role, Turn


def tutor_system(item: Item, strategy: Strategy, settings: dict[str, str], *, knows_answer: bool) -> str:
    """The tutor's system prompt."""
    key = f" Right answer (secret): {item.question.answer_text}" if knows_answer else ""
    return _one_copy(f"{strategy.render(settings)}\nQuestion: {item.question.text}{key}")


def student_system(item: Item, persona: Persona, held_option: int) -> str:
    """The student's system prompt, holding the belief behind one wrong option."""
    return _one_copy(persona.prompt.format(belief=item.question.options[held_option].text))


@lru_cache(maxsize=4096)
def _one_copy(text: str) -> str:
    """The same string for equal texts: thousands of dialogues have the same few prompts, here and on the wire."""
    return text


def view(system: str, turns: Iterable[Turn], role: Role) -> Chat:
    """The dialogue as `role` sees it: system prompt, then its own turns as assistant and the others as user."""
    spoken = (("assistant" if turn.role == role else "user", turn.text) for turn in turns)
    return Chat((("system", system), *spoken))


def with_user(messages: Sequence[Message], text: str) -> Chat:
    """The view with one more thing said to the agent, merged into a user message that already stands last."""
    said = [(message["role"], message["content"]) for message in messages]
    if said[-1][0] == "user":
        said[-1] = ("user", said[-1][1] + "\n\n" + text)
        return Chat(said)
    return Chat((*said, ("user", text)))


def terse_view(system: str, examples: Iterable[tuple[str, str]], heard: str) -> Chat:
    """What a terse student sees of a dialogue: how short such turns are, and the tutor's last message."""
    said = (line for heard_, said in examples for line in (("user", heard_), ("assistant", said)))
    return Chat((("system", system), *said, ("user", heard)))


def check_question(question: Question) -> str:
    """How a probe asks the student: the question alone, so that the options' texts can be scored as its answer."""
    return f"Quick check: {question.text}"
