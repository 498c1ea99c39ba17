"""Preference trees: a dialogue's spine and the replies that were better or worse at its turns.

Invariant: every candidate that could have made a pair either did or is a counted `Rejection`. A pair's chosen reward
is strictly above its rejected reward by at least the margin, its texts differ, neither is empty, and the chosen one
breaks no gate of the reward. The learner is
whoever speaks as `assistant` in the messages; nothing here knows which role that is.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from agents.engines.base import Message
from agents.errors import TrainerError
from agents.files import written
from agents.judges.rules import words
from agents.records import Candidate, Dialogue, Role, Turn

Reason = Literal[
    "one_candidate",
    "gap_below_margin",
    "equal_texts",
    "empty",
    "no_reward",
    "too_long",
    "template",
    "role_break",
    "all_break_a_gate",
    "alike",
]
OPENING_WORDS = 2
"""Words by which replies count as begun alike."""


Rated = tuple[int, Candidate, float]
"""A usable candidate of a turn: its index, itself, and its reward."""


@dataclass(frozen=True, slots=True)
class TreePair:
    """Two replies to the same messages, one worth more than the other."""

    turn: int
    """Index of the turn among all turns of the dialogue."""
    chosen: str
    rejected: str
    margin: float
    """Reward of the chosen reply minus reward of the rejected one."""
    prefix: int
    """Number of spine messages before the turn."""
    on_spine: bool
    """Whether the chosen reply is the one that was said."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The learner's whole view of one dialogue (the spine) and the pairs that hang off its turns."""

    dialogue_id: str
    messages: tuple[Message, ...]
    pairs: tuple[TreePair, ...]
    weight: float = 1.0
    """What each of its pairs or turns counts in the mean."""
    rival: tuple[Message, ...] = ()
    """A worse dialogue on the same opening, to be preferred less as a whole."""
    rival_gap: float = 0.0
    """How much worse, in points of the rating."""
    openers: int = 0
    """Messages after the system prompt that nobody said, put there because a template wants the user first."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that could have been a pair or a training target and was not."""

    dialogue_id: str
    turn: int
    reason: Reason


def count_reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    """Returns how often each reason occurs, by name of the reason."""
    return dict(sorted(Counter(rejection.reason for rejection in rejections).items()))


def rejections_to_jsonl(rejections: Iterable[Rejection], path: Path) -> None:
    """Writes one rejection a line, in one atomic step: what the counts count."""
    with written(path) as file:
        for rejection in rejections:
            file.write((json.dumps(asdict(rejection), ensure_ascii=False) + "\n").encode())


def build_tree(
    dialogue: Dialogue,
    messages: Sequence[Message],
    *,
    role: Role,
    margin: float,
    max_pairs_per_turn: int,
    reasoning: bool = False,
    max_alike: int = 0,
    begun: Counter[tuple[str, ...]] | None = None,
) -> tuple[Tree, list[Rejection]]:
    """Makes the preference pairs of one dialogue.

    At each turn of the role the best-rewarded candidate is set against the worst, then the next worst. With `max_alike`
    it is the best of those that begin otherwise than replies that were already chosen so often.

    Args:
        dialogue: what was said, with rewarded candidates.
        messages: the learner's spine; its n-th `assistant` message is the role's n-th turn.
        role: who learns.
        margin: smallest reward difference that makes a pair, in reward units; a gap of 0 never makes one.
        max_pairs_per_turn: most pairs of one turn.
        reasoning: whether a reply is learned with the private reasoning before it. The spine never holds any, as no
            view did.
        max_alike: most turns whose chosen replies begin with the same `OPENING_WORDS` words; 0: any number.
        begun: how often each beginning was chosen so far, in the dialogues before; counted on.

    Returns:
        The tree (its `pairs` may be empty) and why each missing pair is missing.

    Raises:
        TrainerError: the messages are not this dialogue's spine.
    """
    turns = [turn for turn in dialogue.turns if turn.role == role]
    places = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if len(turns) != len(places):
        raise TrainerError(
            f"Dialogue {dialogue.id}: {len(turns)} {role} turns but {len(places)} assistant messages. "
            f"Render the messages from the {role}'s view, whole and without few-shot replies."
        )
    pairs: list[TreePair] = []
    rejections: list[Rejection] = []
    for turn, place in zip(turns, places, strict=True):
        said = messages[place]["content"]
        if said != turn.text:
            raise TrainerError(
                f"Dialogue {dialogue.id}, turn {turn.index}: the spine says {said[:60]!r} where the {role} said "
                f"{turn.text[:60]!r}. Render the messages from the same dialogue."
            )
        rated, refused = _rated(dialogue.id, turn)
        best = _best(rated, turn, begun, max_alike) if begun is not None and max_alike else _best(rated, turn)
        if rated and best is None:
            why: Reason = "all_break_a_gate" if all(one.broken for _, one, _ in rated) else "alike"
            rejections += [*refused, Rejection(dialogue.id, turn.index, why)]
            continue
        made, more = _turn_pairs(dialogue.id, turn, place, margin, max_pairs_per_turn, reasoning, rated, best)
        refused += more
        if made and begun is not None:
            begun[opening(made[0].chosen)] += 1
        pairs += made
        rejections += refused
    return Tree(dialogue.id, tuple(messages), tuple(pairs)), rejections


def opening(text: str) -> tuple[str, ...]:
    """What a reply begins with: its first `OPENING_WORDS` words, in whatever case and punctuation."""
    return tuple(words(text)[:OPENING_WORDS])


def _best(
    rated: Sequence[Rated], turn: Turn, begun: Mapping[tuple[str, ...], int] = MappingProxyType({}), most: int = 0
) -> Rated | None:
    """The best-rewarded candidate that breaks no gate and begins as fewer than `most` chosen ones, or None."""
    free = [
        entry for entry in rated if not entry[1].broken and (not most or begun.get(opening(entry[1].text), 0) < most)
    ]
    return max(free, key=lambda entry: (entry[2], entry[0] == turn.chosen, -entry[0]), default=None)


def _turn_pairs(
    dialogue_id: str,
    turn: Turn,
    place: int,
    margin: float,
    most: int,
    reasoning: bool,
    rated: Sequence[Rated],
    better: Rated | None,
) -> tuple[list[TreePair], list[Rejection]]:
    """Pairs of one turn, worst rejected reply first."""
    rejections: list[Rejection] = []
    if len(turn.candidates) < 2:
        return [], [Rejection(dialogue_id, turn.index, "one_candidate")]
    if len(rated) < 2 or better is None:
        return [], rejections
    rewards = {index: reward for index, _, reward in rated}
    best, chosen, top = better
    pairs: list[TreePair] = []
    used = {chosen.text.strip()}
    for index, candidate, _ in sorted(rated, key=lambda entry: (entry[2], entry[0])):
        if index == best:
            continue
        gap = top - rewards[index]
        if gap <= 0 or gap < margin:
            rejections.append(Rejection(dialogue_id, turn.index, "gap_below_margin"))
            break  # every further candidate is closer still
        if candidate.text.strip() in used:
            rejections.append(Rejection(dialogue_id, turn.index, "equal_texts"))
            continue
        used.add(candidate.text.strip())
        texts = [thought_and_text(one) if reasoning else one.text for one in (chosen, candidate)]
        pairs.append(TreePair(turn.index, texts[0], texts[1], gap, place, texts[0] == turn.text))
        if len(pairs) == most:
            break
    return pairs, rejections


def thought_and_text(candidate: Candidate) -> str:
    """A reply with the private reasoning before it, as models that think write it."""
    thought = candidate.reasoning.strip()
    return f"<think>\n{thought}\n</think>\n\n{candidate.text}" if thought else candidate.text


def _rated(dialogue_id: str, turn: Turn) -> tuple[list[Rated], list[Rejection]]:
    """The turn's usable candidates with index and reward, and a rejection for each of the others."""
    rated: list[Rated] = []
    rejections: list[Rejection] = []
    if len(turn.candidates) < 2:
        return rated, rejections
    for index, candidate in enumerate(turn.candidates):
        if candidate.reward is None or not math.isfinite(candidate.reward):
            rejections.append(Rejection(dialogue_id, turn.index, "no_reward"))
        elif not candidate.text.strip():
            rejections.append(Rejection(dialogue_id, turn.index, "empty"))
        else:
            rated.append((index, candidate, candidate.reward))
    return rated, rejections


def trees_to_jsonl(trees: Iterable[Tree], path: Path) -> int:
    """Writes one tree a line, in one atomic step, and returns how many were written."""
    count = 0
    with written(path) as file:
        for tree in trees:
            file.write((json.dumps(asdict(tree), ensure_ascii=False) + "\n").encode())
            count += 1
    return count


def read_trees(path: Path) -> list[Tree]:
    """Reads what `trees_to_jsonl` wrote.

    Raises:
        TrainerError: the file is missing or a line is not a tree.
    """
    if not path.is_file():
        raise TrainerError(f"No trees at {path}. Write them with trees_to_jsonl before training.")
    trees: list[Tree] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                trees.append(_tree(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise TrainerError(f"{path}, line {number} is not a tree ({error!r}). Write the file again.") from error
    return trees


def _tree(data: dict[str, Any]) -> Tree:
    pairs = tuple(_pair(pair) for pair in data["pairs"])
    weight, gap = _number(data.get("weight", 1.0), "weight"), _number(data.get("rival_gap", 0.0), "rival_gap")
    if weight <= 0.0:
        raise ValueError(f"weight is {weight:g}, which is not above 0; leave out what is not to be trained on")
    name = _text(data["dialogue_id"], "dialogue_id")
    messages, rival = _messages(data["messages"]), _messages(data.get("rival", ()))
    return Tree(name, messages, pairs, weight, rival, gap, int(data.get("openers", 0)))


def _pair(data: dict[str, Any]) -> TreePair:
    texts = {name: _text(data[name], name) for name in ("chosen", "rejected")}
    return TreePair(**{**data, **texts, "margin": _number(data["margin"], "margin")})


def _messages(entries: Iterable[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(role=entry["role"], content=_text(entry["content"], "content")) for entry in entries)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, not a text")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{name} is {value!r}, not a finite number")
    return float(value)
