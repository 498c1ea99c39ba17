"""Trees to token rows: one row per dialogue trains every pair of it.

A tree row holds the spine's tokens once and then a leaf for each reply that is not on the spine. A leaf attends to its
prefix on the spine and to itself, and its positions go on after its prefix, so each reply is computed exactly as in a
row of its own, at a fraction of the tokens.

Invariant: a reply's scored tokens are its text and the end-of-turn token, all from the chat template; a row is never
longer than allowed, and what was dropped for that is a `Rejection`. Tokens that predict nothing scored are not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from agents.engines.base import Message
from agents.engines.reasoning import told_apart
from agents.errors import TrainerError
from agents.speech import CHAT_TOKEN, cut_at_role_break
from trainers.rendering import Renderer
from trainers.trees import Reason, Rejection, Tree, TreePair

RowKind = Literal["tree", "pair", "sft"]
Weighting = Literal["turn", "token"]
"""Whether every turn (or pair) counts the same, or every scored token."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens: a spine (`prefix` 0) or a leaf, which sees `prefix` tokens of its spine and itself."""

    start: int
    length: int
    prefix: int
    root: int = 0
    """Where its spine starts; a spine starts at its own root."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A scored reply: `targets[i]` is predicted at row index `sources[i]`."""

    turn: int
    sources: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """The tokens of one forward pass: one tree, or several side by side (see `packing`)."""

    tree_ids: tuple[str, ...]
    kind: RowKind
    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    segments: tuple[Segment, ...]
    replies: tuple[Reply, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    """Indices into `replies`: (chosen, rejected)."""
    weights: tuple[float, ...] = ()
    """Weight of each unit."""
    gaps: tuple[float, ...] = ()
    """Reward of the chosen reply minus reward of the rejected one, by pair."""

    @property
    def units(self) -> int:
        """What the loss is a mean over: pairs, or turns where there are no pairs."""
        return len(self.pairs) if self.pairs else len(self.replies)

    def mass(self, weighting: Weighting) -> float:
        """Sum of the units' weights; by `token`, each times its number of scored tokens."""
        if weighting == "turn":
            return sum(self.weights)
        return sum(weight * size for weight, size in zip(self.weights, self.sizes, strict=True))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Scored tokens of each unit."""
        lengths = [len(reply.targets) for reply in self.replies]
        return tuple(lengths[a] + lengths[b] for a, b in self.pairs) if self.pairs else tuple(lengths)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of many trees, what was dropped, and what the reader should know."""

    rows: tuple[Row, ...]
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Slot:
    """A rendered reply before it has a place in a row."""

    turn: int
    prefix: int
    tokens: tuple[int, ...]
    said: bool
    """Whether the spine's own tokens after the prefix are these."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One unit of loss: replies to the messages before `place`; two for a pair, one for a turn."""

    turn: int
    place: int
    texts: tuple[str, ...]
    weight: float
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class _Unit:
    """A rendered unit."""

    slots: tuple[_Slot, ...]
    weight: float
    gap: float


def tree_rows(tree: Tree, renderer: Renderer, *, max_row_tokens: int) -> Rows:
    """Makes the row that trains every pair of a tree; several rows where the template needs it.

    Args:
        tree: the spine and its pairs.
        renderer: the model's chat template.
        max_row_tokens: longest row; later turns' pairs are dropped until it fits.
    """
    wanted, refused = [], []
    for pair in tree.pairs:
        if reason := _unusable(pair):
            refused.append(Rejection(tree.dialogue_id, pair.turn, reason))
            continue
        wanted.append(_Wanted(pair.turn, pair.prefix, (pair.chosen, pair.rejected), tree.weight, pair.margin))
    made = _rows(tree, sorted(wanted, key=lambda unit: unit.place), renderer, "tree", max_row_tokens)
    return replace(made, rejections=(*refused, *made.rejections))


def _unusable(pair: TreePair) -> Reason | None:
    """Why a pair of a hand-written file teaches nothing; `build_tree` makes none of these."""
    chosen, rejected = pair.chosen.strip(), pair.rejected.strip()
    if not chosen or not rejected:
        return "empty"
    if goes_on(chosen) or goes_on(rejected):
        return "role_break"
    return "equal_texts" if chosen == rejected else None


def goes_on(text: str) -> bool:
    """Whether a reply goes on in another's name: a learner must not be taught to (see `agents.speech`).

    A thought may speak of anybody ("Student: is wrong about ..."); a chat template's token is none in a thought either.
    """
    return cut_at_role_break(text if CHAT_TOKEN.search(text) else told_apart(text)[0])[1]


def sft_rows(tree: Tree, renderer: Renderer, *, max_row_tokens: int) -> Rows:
    """Makes the row in which every reply the learner said is a target; later turns are dropped until it fits."""
    wanted, refused = [], []
    before = tree.openers + sum(message["role"] == "system" for message in tree.messages)
    for place, message in enumerate(tree.messages):
        if message["role"] != "assistant":
            continue
        if goes_on(message["content"]):
            refused.append(Rejection(tree.dialogue_id, place - before, "role_break"))
        elif message["content"].strip():
            wanted.append(_Wanted(place - before, place, (message["content"],), tree.weight))
        else:
            refused.append(Rejection(tree.dialogue_id, place - before, "empty"))
    made = _rows(tree, wanted, renderer, "sft", max_row_tokens)
    return replace(made, rejections=(*refused, *made.rejections))


def pair_rows(tree: Tree, renderer: Renderer) -> list[tuple[Row, Row]]:
    """Makes a plain causal row for each reply of each pair: the form a tree row must agree with."""
    made = []
    for pair in tree.pairs:
        prompt = tree.messages[: pair.prefix]
        chosen, rejected = (_plain(tree, pair.turn, prompt, text, renderer) for text in (pair.chosen, pair.rejected))
        made.append((chosen, rejected))
    return made


def _rows(tree: Tree, wanted: list[_Wanted], renderer: Renderer, kind: RowKind, limit: int) -> Rows:
    """One row when the template keeps prefixes, else a row per turn."""
    if not wanted:
        return Rows(())
    spine = renderer.whole(tree.messages[: wanted[-1].place + 1])
    slots = [_slots(spine, tree.messages, unit, renderer) for unit in wanted]
    whole = [unit for unit in slots if unit is not None]
    if len(whole) == len(slots):
        return _fit(tree.dialogue_id, kind, spine, whole, limit)
    parts = []
    for place in sorted({unit.place for unit in wanted}):
        units = [unit for unit in wanted if unit.place == place]
        prompt, reply = _needed(tree, renderer.reply(tree.messages[:place], units[0].texts[0]))
        spine = [*prompt, *reply]
        own = [_slots(spine, tree.messages, unit, renderer) for unit in units]
        parts.append(_fit(tree.dialogue_id, kind, spine, [_needed(tree, unit) for unit in own], limit))
    note = "The chat template rewrites earlier turns, so each turn has a row of its own; this costs speed only."
    return Rows(
        tuple(row for part in parts for row in part.rows),
        tuple(rejection for part in parts for rejection in part.rejections),
        (note,),
    )


def _needed(tree: Tree, rendered: T | None) -> T:
    """What was rendered, or the error that says why it could not be."""
    if rendered is None:
        raise TrainerError(
            f"Dialogue {tree.dialogue_id}: the chat template writes a prompt differently once it is answered, so no "
            "reply can be scored after it. Use a template whose generation prompt is a prefix of the finished turn."
        )
    return rendered


def _slots(spine: list[int], messages: Sequence[Message], unit: _Wanted, renderer: Renderer) -> _Unit | None:
    """The unit's replies, or None when their prompt is not a prefix of the spine's tokens."""
    slots = []
    for text in unit.texts:
        rendered = renderer.reply(messages[: unit.place], text)
        if rendered is None or spine[: len(rendered[0])] != rendered[0]:
            return None
        prompt, reply = rendered
        said = spine[len(prompt) : len(prompt) + len(reply)] == reply
        slots.append(_Slot(unit.turn, len(prompt), tuple(reply), said))
    return _Unit(tuple(slots), unit.weight, unit.gap)


def _fit(tree_id: str, kind: RowKind, spine: list[int], units: list[_Unit], limit: int) -> Rows:
    """Lays out as many units as fit, dropping from the end, and none whose two replies the template made one."""
    equal = [unit for unit in units if len(unit.slots) == 2 and unit.slots[0] == unit.slots[1]]
    units = [unit for unit in units if unit not in equal]
    rejections = [Rejection(tree_id, unit.slots[0].turn, "equal_texts") for unit in reversed(equal)]
    for count in range(len(units), 0, -1):
        row = _lay_out(tree_id, kind, spine, units[:count])
        if len(row.tokens) <= limit:
            return Rows((row,), tuple(reversed(rejections)))
        rejections.append(Rejection(tree_id, units[count - 1].slots[0].turn, "too_long"))
    return Rows((), tuple(reversed(rejections)))


def _lay_out(tree_id: str, kind: RowKind, spine: list[int], units: Sequence[_Unit]) -> Row:
    """Places the spine, then the leaves; the same reply after the same prefix is placed once."""
    slots = list(dict.fromkeys(slot for unit in units for slot in unit.slots))
    # A reply's last token predicts nothing that is scored, so it is a target but never an input.
    needed = max(slot.prefix + (len(slot.tokens) - 1 if slot.said else 0) for slot in slots)
    tokens, positions = list(spine[:needed]), list(range(needed))
    segments = [Segment(0, needed, 0)]
    replies = []
    for slot in slots:
        inputs = len(slot.tokens) - 1
        start = slot.prefix if slot.said else len(tokens)
        if not slot.said and inputs:
            segments.append(Segment(start, inputs, slot.prefix))
            tokens += slot.tokens[:-1]
            positions += range(slot.prefix, slot.prefix + inputs)
        replies.append(Reply(slot.turn, (slot.prefix - 1, *range(start, start + inputs)), slot.tokens))
    index = {slot: number for number, slot in enumerate(slots)}
    paired = [unit for unit in units if len(unit.slots) == 2]
    return Row(
        (tree_id,),
        kind,
        tuple(tokens),
        tuple(positions),
        tuple(segments),
        tuple(replies),
        tuple((index[unit.slots[0]], index[unit.slots[1]]) for unit in paired),
        tuple(unit.weight for unit in paired or units),
        tuple(unit.gap for unit in paired),
    )


def _plain(tree: Tree, turn: int, messages: Sequence[Message], text: str, renderer: Renderer) -> Row:
    prompt, reply = _needed(tree, renderer.reply(messages, text))
    slot = _Slot(turn, len(prompt), tuple(reply), True)
    return _lay_out(tree.dialogue_id, "pair", [*prompt, *reply], [_Unit((slot,), 1.0, 0.0)])
