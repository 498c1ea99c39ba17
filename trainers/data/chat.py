"""Dialogues as chat messages to train on: the tutor is the `assistant`, the student the `user`.

Many chat templates want the user first. A dialogue that the tutor begins therefore gets `OPENER` as a user message in
front: nothing the tutor said is lost, and its first turn is learned as the reply to a greeting. `Corpus.notes` counts
these dialogues as `begins_with_tutor`.
"""

from __future__ import annotations

from collections.abc import Iterable

from agents.engines.base import Message
from agents.engines.forms import OPENER
from agents.errors import InputError
from agents.records import Dialogue
from trainers.data.dimensions import guidance, meaning
from trainers.trees import Rejection, Tree, build_tree

_TASK = (
    "You are a tutor in a conversation with one student. Help the student to understand the matter by their own "
    "thinking: take up what they just said, and do not hand them the answer. Be brief and kind."
)


def to_tree(dialogue: Dialogue, system: str | None) -> Tree:
    """Makes the tutor's view of a dialogue, without pairs.

    Args:
        dialogue: what was said; its tutor turns become the assistant messages, text for text.
        system: the system prompt; None for no system message.
    """
    messages: list[Message] = [] if system is None else [Message(role="system", content=system)]
    opened = bool(dialogue.turns) and dialogue.turns[0].role == "tutor"
    if opened:
        messages.append(Message(role="user", content=OPENER))
    for turn in dialogue.turns:
        messages.append(Message(role="assistant" if turn.role == "tutor" else "user", content=turn.text))
    return Tree(dialogue.id, tuple(messages), (), openers=int(opened))


def tutor_system_for(dialogue: Dialogue, condition_on_dimension: bool) -> str:
    """The system prompt for training on a human dialogue.

    It holds the task, the problem where the corpus tells it, and with `condition_on_dimension` what the dimension and
    sub-dimension that the dialogue practises ask of a tutor. A sub-dimension that is not known is left out.

    Raises:
        InputError: conditioning is asked for and the dialogue has no dimension, or one that is not of the six.
    """
    settings = dialogue.spec.strategy_settings
    parts = [_TASK]
    if condition_on_dimension:
        dimension, sub = settings.get("dimension", ""), settings.get("subdimension", "")
        if not dimension:
            raise InputError(
                f"Dialogue {dialogue.id} of {dialogue.spec.pack} has no dimension to condition on. "
                "Leave conditioning out for this corpus."
            )
        parts.append(f"In this conversation, practise {_words(dimension)}. {guidance(dimension)}")
        if meaning(sub):
            parts.append(f"Above all, {_words(sub)}: {meaning(sub)}")
    if settings.get("problem"):
        parts.append(f"The problem: {settings['problem']}")
    return "\n".join(parts)


def preference_trees(
    dialogues: Iterable[Dialogue],
    *,
    condition_on_dimension: bool = False,
    margin: float = 0.0,
    max_pairs_per_turn: int = 1,
) -> tuple[list[Tree], list[Rejection]]:
    """Makes a tree with pairs of each dialogue whose tutor turns have rewarded candidates (Bridge has them).

    Args:
        dialogues: any dialogues.
        condition_on_dimension: as in `tutor_system_for`.
        margin: smallest reward difference that makes a pair.
        max_pairs_per_turn: most pairs of one turn.

    Returns:
        The trees that have pairs, and why pairs are missing: one rejection for each turn without two candidates too.
    """
    trees: list[Tree] = []
    rejections: list[Rejection] = []
    for dialogue in dialogues:
        spine = to_tree(dialogue, tutor_system_for(dialogue, condition_on_dimension)).messages
        tree, refused = build_tree(dialogue, spine, role="tutor", margin=margin, max_pairs_per_turn=max_pairs_per_turn)
        trees += [tree] if tree.pairs else []
        rejections += refused
    return trees, rejections


def _words(name: str) -> str:
    return name.replace("_", " ").lower()
