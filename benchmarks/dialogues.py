"""Made-up tutoring dialogues of a wanted shape: as our trees, with a pair at every tutor turn, and in TRL's formats.

Invariant: the same arguments make the same trees; a turn is as long as asked, to within a word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

from agents.engines.base import Message
from trainers.trees import Tree, TreePair

Form = Literal["one_row", "turns", "pairs"]
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The embedded model's template for dialogues with a system prompt, with generation marks."""
SYSTEM = "You are a patient tutor. Ask one question at a time and let the student find the answer."
TUTOR = (
    "What do you already know about this part of the problem?",
    "Try to say in your own words why that step is allowed.",
    "Look at the two fractions again and tell me what their denominators share.",
    "Good, and what would change if the number on the left were twice as large?",
    "Before you calculate, estimate whether the result is more or less than one.",
    "Draw the two quantities as bars and compare their lengths.",
    "Which of your two answers fits the example from the beginning, and how do you know?",
    "That is close; check the sign of the second term.",
)
STUDENT = (
    "I think I have to add the numbers at the top.",
    "Maybe it gets smaller, but I am not sure why.",
    "Is it the same as in the last exercise?",
    "I would multiply both sides by three.",
    "Then the answer should be five eighths.",
    "I do not see what the picture has to do with it.",
)


def make_trees(
    tokenizer: Any, *, dialogues: int, turns: int, tutor_tokens: int, student_tokens: int, seed: int = 0
) -> list[Tree]:
    """Makes dialogues in which the chosen reply was said and the rejected one was not.

    Args:
        tokenizer: what counts the tokens.
        dialogues: how many.
        turns: tutor turns of each.
        tutor_tokens: about the length of a tutor's reply, chosen or rejected.
        student_tokens: about the length of what the student says.
        seed: of the texts.
    """
    draw = random.Random(seed)
    made = []
    for number in range(dialogues):
        messages, pairs = [Message(role="system", content=SYSTEM)], []
        for turn in range(turns):
            messages.append(Message(role="user", content=_text(draw, tokenizer, STUDENT, student_tokens)))
            chosen, rejected = (_text(draw, tokenizer, TUTOR, tutor_tokens) for _ in range(2))
            pairs.append(TreePair(1 + 2 * turn, chosen, rejected, 1.0, len(messages), True))
            messages.append(Message(role="assistant", content=chosen))
        made.append(Tree(f"dialogue-{number}", tuple(messages), tuple(pairs)))
    return made


def samples_of(trees: Sequence[Tree], form: Form) -> list[dict[str, Any]]:
    """The dialogues in TRL's formats: whole, a prompt and completion for each turn, or a preference for each pair."""
    if form == "one_row":
        return [{"messages": list(tree.messages)} for tree in trees]
    samples = []
    for tree in trees:
        for pair in tree.pairs:
            chosen, rejected = ([{"role": "assistant", "content": text}] for text in (pair.chosen, pair.rejected))
            rest = {"completion": chosen} if form == "turns" else {"chosen": chosen, "rejected": rejected}
            samples.append({"prompt": list(tree.messages[: pair.prefix]), **rest})
    return samples


def _text(draw: random.Random, tokenizer: Any, sentences: tuple[str, ...], tokens: int) -> str:
    """Sentences in random order, cut at the word where they are long enough."""
    words: list[str] = []
    while True:
        for word in draw.choice(sentences).split():
            words.append(word)
            if len(tokenizer.encode(" ".join(words), add_special_tokens=False)) >= tokens:
                return " ".join(words)
