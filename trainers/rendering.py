"""Chat messages to tokens by the model's own template, and where a reply's tokens are.

Invariant: every token comes from the tokenizer's chat template (no BOS or separator is added here), messages are in the
form that engines put them in (`agents.engines.forms`), and a reply's tokens are exactly those an engine would have
sampled: the reply's text and the template's end-of-turn token, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.engines.base import Message
from agents.engines.forms import Form, find_form, keeps_thoughts, shaped
from agents.errors import InputError, TrainerError

_QUESTION, _ANSWER = Message(role="user", content="zq question"), Message(role="assistant", content="zq answer")
"""What a template is tried with; words that no template has of its own."""


class Renderer:
    """Renders messages with one tokenizer and knows its end-of-turn token."""

    def __init__(self, tokenizer: Any) -> None:
        """Args: tokenizer: a Hugging Face tokenizer with a chat template.

        Raises:
            TrainerError: there is no template, it renders dialogues in no form, it does not mark the end of an
                assistant turn by a special token, or it has no generation prompt though a reply needs a header.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise TrainerError(
                f"The tokenizer {getattr(tokenizer, 'name_or_path', '')!r} has no chat template. Use an instruction "
                "model, or put a chat_template.jinja into the model folder."
            )
        self._tokenizer = tokenizer
        self.form = self._find_form()
        self.end_of_turn = self._find_end_of_turn()
        self._check_generation_prompt()

    @property
    def keeps_thoughts(self) -> bool:
        """Whether a reply that begins with a thought is trained with it; some templates take it out."""
        return keeps_thoughts(lambda messages, generation: self._text(messages, generation=generation), self.form)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the messages with the generation prompt: what an engine reads before it replies."""
        return self._render(messages, generation=True)

    def whole(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of finished messages, without a generation prompt."""
        return self._render(messages, generation=False)

    def reply(self, messages: Sequence[Message], text: str) -> tuple[list[int], list[int]] | None:
        """Tokens of the prompt and of a reply to it, the reply closed by the end-of-turn token.

        Some templates write a prompt differently once it is answered (Mistral-7B-Instruct-v0.3 shows the system prompt
        only while the user has the last word). The prompt is then still what an engine reads, and the reply's tokens
        are those it has after the last message alone.

        Returns:
            (prompt tokens, reply tokens), or None when the template writes even that one differently.
        """
        messages = shaped(messages, self.form, reply=True)
        prompt = self.prompt(messages)
        tail = self._tail(prompt, messages, text)
        if tail is None and messages and messages[-1]["role"] == "user":
            alone = messages[-1:]
            lone = self.prompt(alone)
            # What stands right before the reply has to be the same, as it decides how the reply becomes tokens.
            tail = self._tail(lone, alone, text) if lone[-1] == prompt[-1] else None
        if tail is None or self.end_of_turn not in tail:
            return None
        # The first: some templates close a finished dialogue once more, by the same token.
        return prompt, tail[: tail.index(self.end_of_turn) + 1]

    def _tail(self, prompt: list[int], messages: Sequence[Message], text: str) -> list[int] | None:
        """What an answered prompt holds after the prompt, or None when it does not begin with it."""
        closed = self.whole([*messages, Message(role="assistant", content=text)])
        return closed[len(prompt) :] if closed[: len(prompt)] == prompt else None

    def _render(self, messages: Sequence[Message], *, generation: bool) -> list[int]:
        try:
            given = list(shaped(messages, self.form, reply=generation))
            ids = self._tokenizer.apply_chat_template(
                given, tokenize=True, add_generation_prompt=generation, return_dict=False
            )
        except Exception as error:  # jinja raises many kinds, and the template decides what it refuses
            roles = [message["role"] for message in messages]
            raise TrainerError(f"The chat template refuses messages with roles {roles}: {error}") from error
        return [int(token) for token in ids]

    def _text(self, messages: Sequence[Message], *, generation: bool) -> str:
        text: str = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=generation
        )
        return text

    def _find_form(self) -> Form:
        try:
            return find_form(lambda messages, generation: self._text(messages, generation=generation))
        except InputError as error:
            raise TrainerError(f"The chat template cannot render a dialogue. {error}") from error

    def _find_end_of_turn(self) -> int:
        text, answer = self._text([_QUESTION, _ANSWER], generation=False), _ANSWER["content"]
        suffix = text[text.rindex(answer) + len(answer) :] if answer in text else ""
        ids = [int(token) for token in self._tokenizer.encode(suffix, add_special_tokens=False)]
        special = {int(token) for token in self._tokenizer.all_special_ids}
        special |= {int(token) for token in getattr(self._tokenizer, "added_tokens_decoder", {})}
        found = next((token for token in ids if token in special), None)
        if found is None:
            raise TrainerError(
                f"The chat template closes an assistant turn with {suffix!r}, which holds no special token, so a "
                "model trained on it would never learn to stop. Use a template with an end-of-turn token."
            )
        return found

    def _check_generation_prompt(self) -> None:
        """Refuses a header that no generation prompt writes. Some models have none (Mistral's); others begin a reply
        with a thought of their own, which comes after the generation prompt (Qwen3's), and is theirs to learn.
        """
        prompt = self._text([_QUESTION], generation=True)
        text, answer = self._text([_QUESTION, _ANSWER], generation=False), _ANSWER["content"]
        if prompt != self._text([_QUESTION], generation=False) or not text.startswith(prompt) or answer not in text:
            return
        if header := text[len(prompt) : text.rindex(answer)].strip():
            raise TrainerError(
                f"The chat template has no generation prompt, yet opens a reply with {header!r}, which would be "
                "trained as a part of the reply and is not there when an engine asks for one. Add "
                "`{% if add_generation_prompt %}` with that header to the end of the template."
            )
