"""Splits and folds: no group on two sides, nothing lost, sizes near targets, dimensions spread, the same every time."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import TrainerError
from agents.records import Dialogue, EpisodeSpec
from trainers.data import folds, split_corpus


def dialogue(number: int, group: str, arm: str) -> Dialogue:
    spec = EpisodeSpec(
        id=f"d{number}", arm=arm, phase="corpus", strategy="human", strategy_settings={}, persona="human", pack="p",
        item_id=group, held_option=-1, repeat=0, student_key=group,
    )  # fmt: skip
    return Dialogue(spec)


@st.composite
def corpora(draw: st.DrawFn, groups: int = 2) -> list[Dialogue]:
    """Groups of 1 to 12 dialogues over up to 4 arms; an arm may be rare and a group may mix arms."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=groups, max_size=30))
    arms = st.sampled_from(["A", "A", "A", "B", "B", "C", "D"])
    names = [f"g{index}" for index, size in enumerate(sizes) for _ in range(size)]
    return [dialogue(number, name, draw(arms)) for number, name in enumerate(names)]


def largest(dialogues: list[Dialogue]) -> int:
    return max(Counter(d.spec.item_id for d in dialogues).values())


def groups_of(part: tuple[Dialogue, ...]) -> set[str]:
    return {d.spec.item_id for d in part}


@settings(deadline=None)
@given(corpus=corpora(), test=st.floats(0.01, 0.99), seed=st.integers(0, 5), shuffle=st.randoms(use_true_random=False))
def test_a_split(corpus: list[Dialogue], test: float, seed: int, shuffle: random.Random) -> None:
    train, held = split_corpus(corpus, test=test, seed=seed)
    assert train and held and not groups_of(train) & groups_of(held)
    assert sorted(d.id for d in (*train, *held)) == sorted(d.id for d in corpus)
    assert [d for d in corpus if d in held] == list(held), "the order given stays"
    assert abs(len(held) - test * len(corpus)) <= largest(corpus)
    excess = len(held) - test * len(corpus)
    fuller = Counter(d.spec.item_id for d in (held if excess > 0 else train))
    assert len(fuller) == 1 or min(fuller.values()) >= 2 * abs(excess) - 1e-6, "moving one group would fit better"
    mixed = shuffle.sample(corpus, len(corpus))
    assert groups_of(split_corpus(mixed, test=test, seed=seed)[1]) == groups_of(held)


@settings(deadline=None)
@given(corpus=corpora(groups=6), n=st.integers(2, 6), seed=st.integers(0, 5))
def test_folds(corpus: list[Dialogue], n: int, seed: int) -> None:
    made = folds(corpus, n, seed)
    assert len(made) == n
    assert sorted(d.id for _, test in made for d in test) == sorted(d.id for d in corpus)
    for train, test in made:
        assert train and test and not groups_of(train) & groups_of(test)
        assert len(train) + len(test) == len(corpus)
    sizes = [len(test) for _, test in made]
    assert max(sizes) - min(sizes) <= largest(corpus)


def test_dimensions_are_spread_as_the_shares_say() -> None:
    """ConvoLearn's shape: six dimensions of unequal size on questions that are asked a few or many times."""
    rng = random.Random(3)
    shares = {"MC": 589, "CE": 501, "FA": 289, "PD": 288, "ACC": 278, "CR": 189}
    arms = [arm for arm, count in shares.items() for _ in range(count)]
    questions = [f"q{number}" for number in range(60)]
    weights = [1.0 + 3 * rng.random() for _ in questions]
    corpus = [dialogue(n, rng.choices(questions, weights)[0], arm) for n, arm in enumerate(arms)]
    _, held = split_corpus(corpus, test=0.15, seed=0)
    assert abs(len(held) / len(corpus) - 0.15) < 0.01
    counts = Counter(d.spec.arm for d in held)
    for arm, count in shares.items():
        assert counts[arm] / count == pytest.approx(0.15, abs=0.02)
    chance = []
    for seed in range(20):  # whole questions drawn blindly until the side is full, for comparison
        order = random.Random(seed).sample(questions, len(questions))
        drawn: list[Dialogue] = []
        for question in order:
            if len(drawn) < 0.15 * len(corpus):
                drawn += [d for d in corpus if d.spec.item_id == question]
        chance.append(unevenness(drawn, corpus))
    assert unevenness(list(held), corpus) < min(chance) / 2


def unevenness(part: list[Dialogue], whole: list[Dialogue]) -> float:
    """Sum over dimensions of the difference between the part's share of them and the whole's."""
    inside, outside = Counter(d.spec.arm for d in part), Counter(d.spec.arm for d in whole)
    return sum(abs(inside[arm] / len(part) - count / len(whole)) for arm, count in outside.items())


def test_single_dialogues_are_split_exactly() -> None:
    corpus = [dialogue(n, f"g{n}", "AB"[n % 2]) for n in range(40)]
    _, held = split_corpus(corpus, test=0.15, seed=1)
    assert Counter(d.spec.arm for d in held) == {"A": 3, "B": 3}
    assert [len(test) for _, test in folds(corpus, 4, 1)] == [10, 10, 10, 10]
    assert len({tuple(d.id for d in split_corpus(corpus, test=0.15, seed=seed)[1]) for seed in range(5)}) > 1


def test_a_side_that_would_be_empty_is_refused() -> None:
    one = [dialogue(n, "same", "A") for n in range(9)]
    with pytest.raises(TrainerError, match="9 dialogues form 1 groups.*too few for 2"):
        split_corpus(one, test=0.5, seed=0)
    with pytest.raises(TrainerError, match="0 dialogues"):
        split_corpus([], test=0.5, seed=0)
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(TrainerError, match="between 0 and 1"):
            split_corpus(one, test=share, seed=0)
    with pytest.raises(TrainerError, match="at least 2"):
        folds(one, 1, 0)
    with pytest.raises(TrainerError, match="too few for 3"):
        folds([*one, dialogue(9, "other", "A")], 3, 0)
