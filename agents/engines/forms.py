"""Forms of a view: what a chat template needs before it renders one.

A view begins with a system prompt, and the student's goes on with the student's own opening. Some templates refuse a
system role (Gemma's), some want the user first and strict alternation after it (Mistral's, Gemma's), some drop what
they do not expect without a word. A form is the least that has to be done to a view for one template; engine, probe and
trainer render by the same.

Invariant: a view that a template takes as it stands is not touched. In every other form each message's text is there
once and in order, and the view after more turns extends the view after fewer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, TypeVar

from agents.engines.base import Message
from agents.errors import InputError

OPENER = "Hello."
"""What a user is made to say where a template wants one first."""
T = TypeVar("T")
Render = Callable[[Sequence[Message], bool], str]
"""Messages, and whether a generation prompt follows them, to the template's text."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is done to a view."""

    opened: bool = False
    """A user message stands before an assistant's that would be first."""
    folded: bool = False
    """The system prompt is the begin of the first user message, or that message."""
    merged: bool = False
    """Messages of one role in a row are one message."""

    def __str__(self) -> str:
        steps = {
            f"an opening user message ({OPENER!r}) where the assistant speaks first": self.opened,
            "the system prompt folded into the first user message": self.folded,
            "messages of one role in a row merged": self.merged,
        }
        return "; ".join(step for step, taken in steps.items() if taken) or "as they stand"


PLAIN = Form()
LADDER = (PLAIN, Form(opened=True, merged=True), Form(opened=True, folded=True, merged=True))
"""What is tried on a server whose template nobody sees."""


def shaped(messages: Sequence[Message], form: Form, *, reply: bool = False) -> Sequence[Message]:
    """The messages in a form.

    Args:
        messages: a view.
        form: what is to be done to it.
        reply: whether an assistant's reply comes next.
    """
    if form == PLAIN:
        return messages
    said = [(message["role"], message["content"]) for message in messages]
    begin = next((place for place, (role, _) in enumerate(said) if role != "system"), len(said))
    head, rest = said[:begin], said[begin:]
    if form.folded:
        told = "\n\n".join(text for _, text in head)
        rest = [("user" if role == "system" else role, text) for role, text in rest]
        if head and rest and rest[0][0] == "user":
            rest[0] = ("user", f"{told}\n\n{rest[0][1]}")
        elif head:
            rest.insert(0, ("user", told))
        head = []
    if form.opened and (rest[0][0] == "assistant" if rest else reply):
        rest.insert(0, ("user", OPENER))
    if form.merged:
        rest = _merged(rest)
    return [_message(role, text) for role, text in (*head, *rest)]


_Role = Literal["system", "user", "assistant"]


def _message(role: _Role, text: str) -> Message:
    return Message(role=role, content=text)


def _merged(said: Sequence[tuple[_Role, str]]) -> list[tuple[_Role, str]]:
    found: list[tuple[_Role, str]] = []
    for role, text in said:
        if found and found[-1][0] == role:
            found[-1] = (role, f"{found[-1][1]}\n\n{text}")
        else:
            found.append((role, text))
    return found


def form_of(tokenizer: Any) -> Form:
    """The least that a tokenizer's chat template needs to render the views of both roles.

    Args:
        tokenizer: of Hugging Face.

    Raises:
        InputError: there is no template, or it renders the views in no form; the message has the reasons.
    """
    name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            f"{name} has no chat template: use an instruction model, or put a chat_template.jinja into the model folder"
        )

    def render(messages: Sequence[Message], generation: bool) -> str:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=generation)
        return text

    try:
        return find_form(render)
    except InputError as error:
        raise InputError(f"the chat template of {name} cannot render a dialogue. {error}") from error


def find_form(render: Render) -> Form:
    """The least invasive form in which a template renders trial views of both roles, with no message lost.

    Raises:
        InputError: it renders them in none.
    """
    reasons: dict[str, str] = {}
    for folded, opened in product((False, True), repeat=2):
        form = Form(opened, folded)
        why = _refusal(render, form, _VIEWS)
        if not why:
            break
        reasons[str(form)] = why
    else:
        told = "; ".join(f"{form}: {why}" for form, why in reasons.items())
        raise InputError(f"Tried with messages {told}. Use a template that keeps every message, in order")
    if folded and not opened and _refusal(render, form, [_TURNS[1:4]]):
        form = replace(form, opened=True)  # of views without a system prompt
    doubled = [(*_TURNS[:1], *_TURNS[2:3], *_TURNS[4:5])]
    merging = replace(form, merged=True)
    return merging if _refusal(render, form, doubled) and not _refusal(render, merging, doubled) else form


def keeps_thoughts(render: Render, form: Form) -> bool:
    """Whether a template writes the thought before a reply, where the reply is the last message.

    Args:
        render: the template.
        form: that it takes views in.

    Raises:
        Exception: whatever the template raises.
    """
    thought = "zq6 thought"
    reply = _message("assistant", f"<think>\n{thought}\n</think>\n\n{_TURNS[3]['content']}")
    return thought in render(shaped([_TURNS[0], _TURNS[2], reply], form), False)


_TURNS = (
    _message("system", "zq0 prompt"),
    _message("assistant", "zq1 opening"),
    _message("user", "zq2 question"),
    _message("assistant", "zq3 answer"),
    _message("user", "zq4 further"),
    _message("assistant", "zq5 last"),
)
_VIEWS = [_TURNS[:5], (_TURNS[0], *_TURNS[2:])]
"""The student's, which begins with its own opening, and the tutor's; words that no template has of its own."""


def _refusal(render: Render, form: Form, views: Sequence[Sequence[Message]]) -> str:
    """Why a template does not render views in a form; empty: it does, whole, at each of their lengths."""
    for view in views:
        for messages, reply in _lengths(view):
            try:
                text = render(shaped(messages, form, reply=reply), reply)
            except Exception as error:  # jinja raises many kinds, and the template decides what it refuses
                return f"refused ({str(error)[:200] or type(error).__name__})"
            if lost := _lost(text, messages, reply):
                return f"{lost!r} is lost, doubled or out of order"
    return ""


def _lengths(view: Sequence[Message]) -> Iterator[tuple[Sequence[Message], bool]]:
    """What an engine reads of a view at each of its turns, and what it is once that was answered."""
    for end in range(1, len(view) + 1):
        if view[end - 1]["role"] == "user":
            yield view[:end], True
            if end < len(view):
                yield view[: end + 1], False


def _lost(text: str, messages: Sequence[Message], reply: bool) -> str:
    """The first message that is not in the text once and after those before it; a system prompt may come late.

    Mistral's shows it before the last user message, and not at all once that was answered.
    """
    place = 0
    for message in messages:
        content = message["content"]
        found = text.find(content)
        if message["role"] == "system":
            if reply and text.count(content) != 1:
                return content
        elif text.count(content) != 1 or found < place:
            return content
        else:
            place = found
    return ""


class Forms:
    """The form for a server whose template nobody sees: the next one is tried where a refusal speaks of roles."""

    def __init__(self, speaks_of_roles: Callable[[Exception], bool], say: Callable[[Form], None]) -> None:
        """Args: speaks_of_roles: whether an error is a refusal for the roles' sake; say: told of a form that helped."""
        self._speaks_of_roles, self._say = speaks_of_roles, say
        self.form = PLAIN

    async def send(self, messages: Sequence[Message], ask: Callable[[Sequence[Message]], Awaitable[T]]) -> T:
        """What `ask` answers to the messages in a form that the server takes.

        Raises:
            EngineRefused: it refuses their roles in each; its first refusal.
            Exception: what `ask` raised for another reason, such as a rate limit that was met on the way: what the
                server thinks of the form is not known then, and the same request may be answered later.
        """
        first: Exception | None = None
        tried: list[list[Message]] = []
        for form in dict.fromkeys((self.form, *LADDER)):
            given = list(shaped(messages, form, reply=True))
            if given in tried:
                continue
            tried.append(given)
            try:
                answer = await ask(given)
            except Exception as error:
                if not self._speaks_of_roles(error):
                    raise
                first = first or error
                continue
            if form != self.form:
                self.form = form
                self._say(form)
            return answer
        assert first is not None
        raise first
