"""Candidates to pairs: what makes a pair, and why each other thing does not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import REMEMBERING, TEMPLATE, build_tokenizer

from agents.engines.base import Message
from agents.errors import TrainerError
from agents.records import Candidate, Dialogue, EpisodeSpec, Turn
from trainers.rendering import Renderer
from trainers.rows import tree_rows
from trainers.trees import Tree, TreePair, build_tree, count_reasons, opening, read_trees, trees_to_jsonl

SPEC = EpisodeSpec("d1", "a", "train", "socratic", {}, "engaged", "pack", "item", 0, 0, "key")
Rated = list[tuple[str, float | None]]


def dialogue(turns: list[Rated], chosen: int = 0) -> tuple[Dialogue, list[Message]]:
    """A dialogue whose tutor turns have these candidates, and the tutor's view of it."""
    made: list[Turn] = []
    messages = [Message(role="system", content="teach")]
    for rated in turns:
        made.append(Turn(len(made), "student", "hm"))
        messages.append(Message(role="user", content="hm"))
        candidates = tuple(Candidate(text, (), reward=reward) for text, reward in rated)
        made.append(Turn(len(made), "tutor", rated[chosen][0], candidates=candidates, chosen=chosen))
        messages.append(Message(role="assistant", content=rated[chosen][0]))
    return Dialogue(SPEC, tuple(made)), messages


def reasons(turn: Rated, *, margin: float = 0.5, most: int = 1) -> tuple[Tree, dict[str, int]]:
    record, messages = dialogue([turn])
    tree, rejections = build_tree(record, messages, role="tutor", margin=margin, max_pairs_per_turn=most)
    return tree, count_reasons(rejections)


def test_best_is_set_against_worst_and_keeps_its_place() -> None:
    record, messages = dialogue([[("a", 1.0), ("b", 0.0), ("c", 3.0)], [("d", 2.0), ("e", 1.0), ("f", -1.0)]])
    tree, rejections = build_tree(record, messages, role="tutor", margin=0.5, max_pairs_per_turn=1)
    assert [(pair.chosen, pair.rejected, pair.margin) for pair in tree.pairs] == [("c", "b", 3.0), ("d", "f", 3.0)]
    assert [(pair.turn, pair.prefix, pair.on_spine) for pair in tree.pairs] == [(1, 2, False), (3, 4, True)]
    assert messages[tree.pairs[1].prefix]["content"] == "d"
    assert rejections == []


def test_more_pairs_take_the_next_worst() -> None:
    tree, counts = reasons([("a", 3.0), ("b", 0.0), ("c", 1.0), ("d", 2.9)], most=3)
    assert [pair.rejected for pair in tree.pairs] == ["b", "c"]
    assert counts == {"gap_below_margin": 1}


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ([("a", 1.0)], {"one_candidate": 1}),
        ([("a", 1.0), ("b", 0.9)], {"gap_below_margin": 1}),
        ([("a", 1.0), (" a ", 0.0)], {"equal_texts": 1}),
        ([("a", 1.0), ("  ", 0.0)], {"empty": 1}),
        ([("a", 1.0), ("b", None)], {"no_reward": 1}),
        ([("a", 1.0), ("b", float("nan"))], {"no_reward": 1}),
        ([("a", None), ("", 0.0)], {"no_reward": 1, "empty": 1}),
    ],
)
def test_every_missing_pair_has_a_reason(turn: Rated, expected: dict[str, int]) -> None:
    tree, counts = reasons(turn)
    assert tree.pairs == ()
    assert counts == expected


def test_equal_rewards_never_make_a_pair() -> None:
    tree, counts = reasons([("a", 1.0), ("b", 1.0)], margin=0.0)
    assert tree.pairs == () and counts == {"gap_below_margin": 1}


def test_a_turn_without_candidates_is_counted() -> None:
    record = Dialogue(SPEC, (Turn(0, "student", "hm"), Turn(1, "tutor", "a")))
    messages = [Message(role="user", content="hm"), Message(role="assistant", content="a")]
    tree, rejections = build_tree(record, messages, role="tutor", margin=0.5, max_pairs_per_turn=1)
    assert tree.pairs == () and count_reasons(rejections) == {"one_candidate": 1}


def test_the_student_can_be_the_learner() -> None:
    candidates = (Candidate("x", (), reward=1.0), Candidate("y", (), reward=0.0))
    record = Dialogue(SPEC, (Turn(0, "student", "x", candidates=candidates), Turn(1, "tutor", "a")))
    messages = [
        Message(role="system", content="learn"),
        Message(role="assistant", content="x"),
        Message(role="user", content="a"),
    ]
    tree, _ = build_tree(record, messages, role="student", margin=0.5, max_pairs_per_turn=1)
    assert [(pair.turn, pair.prefix) for pair in tree.pairs] == [(0, 1)]


def test_messages_of_another_dialogue_are_refused() -> None:
    record, messages = dialogue([[("a", 1.0), ("b", 0.0)]])
    with pytest.raises(TrainerError, match="1 tutor turns but 0"):
        build_tree(record, messages[:-1], role="tutor", margin=0.5, max_pairs_per_turn=1)
    messages[-1] = Message(role="assistant", content="other")
    with pytest.raises(TrainerError, match="'other'"):
        build_tree(record, messages, role="tutor", margin=0.5, max_pairs_per_turn=1)


TURN = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "c", " c", "d"]), st.none() | st.floats(-3, 3)), min_size=1, max_size=6
)


@given(turns=st.lists(TURN, min_size=1, max_size=3), margin=st.floats(0, 2), most=st.integers(1, 4))
def test_pairs_hold_their_promises(turns: list[Rated], margin: float, most: int) -> None:
    record, messages = dialogue(turns)
    tree, rejections = build_tree(record, messages, role="tutor", margin=margin, max_pairs_per_turn=most)
    for pair in tree.pairs:
        rewards = {text: set() for text, _ in turns[pair.turn // 2]}  # type: dict[str, set[float | None]]
        for text, reward in turns[pair.turn // 2]:
            rewards[text].add(reward)
        assert any(
            high is not None and low is not None and high > low and high - low == pair.margin
            for high in rewards[pair.chosen]
            for low in rewards[pair.rejected]
        )
        assert pair.margin >= margin
        assert pair.chosen.strip() and pair.rejected.strip() and pair.chosen.strip() != pair.rejected.strip()
        assert pair.on_spine == (pair.chosen == messages[pair.prefix]["content"])
    for index in range(len(turns)):
        own = [pair for pair in tree.pairs if pair.turn == 2 * index + 1]
        assert len(own) <= most
        assert own or any(rejection.turn == 2 * index + 1 for rejection in rejections)


def test_trees_survive_the_file(tmp_path: Path) -> None:
    record, messages = dialogue([[("a ü\n", 1.0), ("b", 0.0)]])
    tree, _ = build_tree(record, messages, role="tutor", margin=0.5, max_pairs_per_turn=1)
    path = tmp_path / "trees.jsonl"
    assert trees_to_jsonl([tree, tree], path) == 2
    assert read_trees(path) == [tree, tree]
    assert [entry.name for entry in tmp_path.iterdir()] == ["trees.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    record, messages = dialogue([[("a", 1.0), ("b", 0.0)]])
    tree, _ = build_tree(record, messages, role="tutor", margin=0.5, max_pairs_per_turn=1)
    path = tmp_path / "trees.jsonl"
    trees_to_jsonl([tree], path)
    with pytest.raises(RuntimeError, match="no more"):
        trees_to_jsonl(broken(tree), path)
    assert read_trees(path) == [tree]


def broken(tree: Tree):  # type: ignore[no-untyped-def]
    """Yields one tree and then fails."""
    yield tree
    raise RuntimeError("no more")


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trees.jsonl"
    with pytest.raises(TrainerError, match="No trees at"):
        read_trees(path)
    path.write_text('{"dialogue_id": "x"}\n')
    with pytest.raises(TrainerError, match="line 1"):
        read_trees(path)


LINE: dict[str, Any] = {
    "dialogue_id": "d",
    "messages": [{"role": "user", "content": "hm"}, {"role": "assistant", "content": "a"}],
    "pairs": [{"turn": 1, "chosen": "a", "rejected": "b", "margin": 1.0, "prefix": 1, "on_spine": True}],
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"weight": 0}, "weight is 0, which is not above 0"),
        ({"weight": -1.0}, "weight is -1"),
        ({"weight": float("nan")}, "weight is nan, not a finite number"),
        ({"weight": "2"}, "weight is '2'"),
        ({"rival_gap": float("inf")}, "rival_gap is inf"),
        ({"dialogue_id": 3}, "dialogue_id is 3, not a text"),
        ({"messages": [{"role": "user", "content": None}]}, "content is None, not a text"),
        ({"rival": [{"role": "user", "content": ["a"]}]}, "content is .*, not a text"),
        ({"pairs": [LINE["pairs"][0] | {"chosen": None}]}, "chosen is None, not a text"),
        ({"pairs": [LINE["pairs"][0] | {"rejected": 7}]}, "rejected is 7, not a text"),
        ({"pairs": [LINE["pairs"][0] | {"margin": None}]}, "margin is None, not a finite number"),
    ],
)
def test_what_cannot_be_trained_on_is_named_by_line(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = tmp_path / "trees.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps(LINE | change) + "\n")
    with pytest.raises(TrainerError, match=f"line 2 is not a tree.*{why}"):
        read_trees(path)
    path.write_text(json.dumps(LINE) + "\n")
    assert read_trees(path)[0].weight == 1.0


def test_private_reasoning_is_learned_only_where_it_is_asked_for() -> None:
    candidates = (
        Candidate("Why?", (), reward=1.0, reasoning=" It spins. "),
        Candidate("It spins.", (), reward=0.0, reasoning="Tell it."),
    )
    turns = (Turn(0, "student", "Hm."), Turn(1, "tutor", "Why?", candidates=candidates, reasoning=" It spins. "))
    spec = EpisodeSpec("d", "a", "train", "s", {}, "p", "pack", "i", 0, 0, "k")
    said = [Message(role="user", content="Hm."), Message(role="assistant", content="Why?")]

    def pair(reasoning: bool) -> TreePair:
        made, _ = build_tree(
            Dialogue(spec, turns), said, role="tutor", margin=0.1, max_pairs_per_turn=1, reasoning=reasoning
        )
        assert made.messages == tuple(said)
        return made.pairs[0]

    assert (pair(False).chosen, pair(False).rejected, pair(False).on_spine) == ("Why?", "It spins.", True)
    assert pair(True).chosen == "<think>\nIt spins.\n</think>\n\nWhy?" and not pair(True).on_spine
    for template in (TEMPLATE, REMEMBERING):
        tokenizer = build_tokenizer(template)
        row = tree_rows(Tree("d", tuple(said), (pair(True),)), Renderer(tokenizer), max_row_tokens=10_000).rows[0]
        thought = tokenizer.encode(pair(True).chosen, add_special_tokens=False)
        assert list(row.replies[row.pairs[0][0]].targets[:-1]) == thought


THREE: Rated = [("What happens to it?", 3.0), ("why do you think so?", 2.0), ("It is so.", 0.0)]


def test_a_beginning_is_chosen_so_often_and_then_the_best_other_reply() -> None:
    begun: Counter[tuple[str, ...]] = Counter()
    chosen, counts = [], Counter[str]()
    for _ in range(5):
        record, messages = dialogue([THREE])
        tree, rejections = build_tree(
            record, messages, role="tutor", margin=0.5, max_pairs_per_turn=2, max_alike=2, begun=begun
        )
        chosen += [(pair.chosen, pair.rejected) for pair in tree.pairs]
        counts.update(count_reasons(rejections))
    what, why, so = (text for text, _ in THREE)
    assert chosen == [(what, so), (what, why)] * 2 + [(why, so)] * 2
    assert begun == {("what", "happens"): 2, ("why", "do"): 2}
    assert counts == {"gap_below_margin": 3}, "the last one had nothing below it that begins otherwise"


@given(
    turns=st.lists(
        st.lists(st.tuples(st.sampled_from("ab ac ba bc ca".split()), st.floats(-2, 2)), min_size=2, max_size=5),
        min_size=1,
        max_size=12,
    ),
    most=st.integers(1, 4),
)
def test_no_beginning_is_chosen_more_often_than_allowed(turns: list[Rated], most: int) -> None:
    begun: Counter[tuple[str, ...]] = Counter()
    chosen: Counter[tuple[str, ...]] = Counter()
    for turn in turns:
        record, messages = dialogue([turn])
        tree, _ = build_tree(
            record, messages, role="tutor", margin=0.1, max_pairs_per_turn=3, max_alike=most, begun=begun
        )
        rewards = dict(reversed(turn))
        for pair in tree.pairs:
            assert pair.chosen != pair.rejected and pair.margin >= 0.1
        if tree.pairs:
            assert len({pair.chosen for pair in tree.pairs}) == 1 and tree.pairs[0].chosen in rewards
            chosen[opening(tree.pairs[0].chosen)] += 1
    assert chosen == begun and all(count <= most for count in chosen.values())
