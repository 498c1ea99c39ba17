"""Templates are seen: openers, a turn like the one before, dialogues that begin alike; of one dialogue and of a set."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import config, dialogue
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.library import shipped_openers, strategies, strategy
from agents.records import Candidate, Dialogue, Failure, Turn
from sim.analysis import compare_heldout, describe, opened_counts, reward_change, told_change
from sim.experiment.form import begins_with_an_opener, distinct_ngrams, distinct_openings, successive_similarity
from sim.experiment.measured import measure
from sim.experiment.metrics import HEADLINE, METRICS, values_by_tutor
from sim.inputs import Inputs, strategy_input
from sim.summary import saw_key


def says(*texts: str, number: int = 0, phase: str = "run", item: str = "i0") -> Dialogue:
    turns = [Turn(0, "student", "What happens to the light, what happens to the light?")]
    for text in texts:
        turns += [Turn(len(turns), "tutor", text), Turn(len(turns) + 1, "student", "Why do you think so?")]
    return replace(dialogue(number, phase=phase, item=item, reward=0.0), turns=tuple(turns))


def test_a_shipped_opener_is_seen_in_any_case_and_punctuation_and_only_at_the_begin() -> None:
    openers = shipped_openers()
    assert {opener for strategy in strategies().values() for opener in strategy.openers} < {*openers}
    for opener in openers:
        assert begins_with_an_opener(f"{opener} the sun?")
        assert begins_with_an_opener(f'**"{opener.upper()}, the sun?"**')
        assert not begins_with_an_opener(f"So, {opener} the sun?")
    assert METRICS["opener_share"].value(says("Why do you think that?", "It is hot.")) == 0.5
    assert METRICS["opener_share"].value(says()) is None and METRICS["opener_share"].value(says("", "...")) == 0.0


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("Look at the sun.", "look at the SUN"), 1.0),
        (("a b c", "d e f"), 0.0),
        (("a b", "b c", "b c"), (1 / 3 + 1.0) / 2),
        (("a a a b", "b"), 0.5),
        (("a b",), None),
        ((), None),
        (("a", "...", "a"), 1.0),
    ],
)
def test_a_turn_is_compared_with_the_tutor_turn_before(texts: tuple[str, ...], expected: float | None) -> None:
    assert successive_similarity(says(*texts)) == (None if expected is None else pytest.approx(expected))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["What happens to the sun?", "What happens to the moon?", "It is hot.", "Why?", ""])))
def test_the_parts_of_a_set_average_to_its_different_openings(firsts: list[str]) -> None:
    found = [says(text, "And now?") for text in firsts]
    parts = distinct_openings(found)
    spoken = [text for text in firsts if text]
    assert [part is None for part in parts] == [not text for text in firsts]
    known = [part for part in parts if part is not None]
    openings = {tuple(text.lower().rstrip("?.").split()[:4]) for text in spoken}
    assert sum(known) == pytest.approx(len(openings)) and all(0.0 < part <= 1.0 for part in known)


def test_triples_are_counted_by_the_dialogues_that_say_them() -> None:
    found = [says("a b c d", "a b c"), says("a b c"), says("x y")]
    assert distinct_ngrams(found) == [(0.5 + 1.0) / 2, 0.5, None]
    assert METRICS["distinct_ngrams"].value(found[0]) is None, "no single dialogue has it"


def test_a_set_is_what_one_tutor_finished_in_one_phase() -> None:
    same = [says("It is hot today, look.", number=i) for i in range(2)]
    other = says("It is hot today, look.", phase="heldout/base")
    failed = replace(says("It is hot today, look."), failure=Failure("X", "turn 1", "x"))
    metric = METRICS["distinct_openings"]
    assert values_by_tutor(metric, [*same, other, failed]) == [0.5, 0.5, 1.0, None]
    assert [one.figures["distinct_openings"] for one in measure([*same, other, failed], METRICS)] == [0.5, 0.5, 1.0]


def test_a_loop_compares_both_sides_as_sets_of_the_same_size() -> None:
    before = [says(f"{w} {w}x {w}y {w}z", number=i, phase="b", item=f"i{i}") for i, w in enumerate("abcdef")]
    after = [says("What is it now?", number=i, phase="a", item=f"i{i}") for i in range(6)]
    found = compare_heldout(before, [*after, says("Oh.", number=99, phase="a")], confidence=0.95)
    assert found["before"]["distinct_openings"] == 1.0 and found["after"]["distinct_openings"] == pytest.approx(1 / 6)
    assert found["difference"]["distinct_openings"]["mean"] == pytest.approx(1 / 6 - 1)
    assert describe(before, confidence=0.95)["opener_share"]["mean"] == 0.0


def valued(number: int, phase: str, **parts: float) -> Dialogue:
    made = dialogue(number, phase=phase, item=f"i{number // 2}", reward=sum(parts.values()))
    return replace(made, components=parts)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-2, 2)] * 4), min_size=4, max_size=12))
def test_parts_add_up_to_the_change_of_the_reward(rows: list[tuple[float, float, float, float]]) -> None:
    pairs = [
        (valued(i, "b", question=a, gain=b), valued(i, "a", question=c, leak=d)) for i, (a, b, c, d) in enumerate(rows)
    ]
    found = reward_change(pairs, confidence=0.95)
    total = sum(new.reward - old.reward for old, new in pairs if new.reward is not None and old.reward is not None)
    assert set(found) == {"question", "gain", "leak"}
    assert sum(part["mean"] for part in found.values()) * len(rows) == pytest.approx(total, abs=1e-6)
    shares = [part["share"] for part in found.values()]
    assert None in shares or sum(shares) == pytest.approx(1.0)
    sizes = [abs(part["mean"]) for part in found.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_of_a_change_that_is_not_clear_no_share_is_told() -> None:
    clear = [
        (valued(i, "b", question=0.0, on_item=0.01 * i), valued(i, "a", question=1.0, on_item=0.01 * i + 0.25))
        for i in range(12)
    ]
    found = compare_heldout(*map(list, zip(*clear, strict=True)), confidence=0.95)
    assert found["reward_change"]["question"]["share"] == pytest.approx(0.8)
    assert told_change(found) == "of the reward's change +1.250: question +1.000 (80%), on_item +0.250 (20%)"
    mixed = [(valued(i, "b", question=0.0), valued(i, "a", question=1.0 if i % 4 > 1 else -1.0)) for i in range(12)]
    found = compare_heldout(*map(list, zip(*mixed, strict=True)), confidence=0.95)
    assert found["reward_change"]["question"]["share"] is None and "which is not clear of 0" in told_change(found)
    assert told_change({}) == ""


def test_what_openers_had_a_part_in_is_counted() -> None:
    replies = (Candidate("What happens to it?", (), opener="What happens to"), Candidate("It is hot.", ()))
    turns = (
        Turn(0, "student", "Why?"),
        *(Turn(i + 1, "tutor", replies[i].text, candidates=replies, chosen=i) for i in (0, 1)),
    )
    held = replace(dialogue(0, phase="simulate/0001", item="i0", reward=0.0), turns=turns)
    found = opened_counts([held], {held.id: ["What happens to it?", "It is hot.", "What happens to it?"]})
    assert found == {"candidates": [2, 4], "said": [1, 2], "pairs": [2, 3]}


def test_it_is_said_whether_training_saw_the_key() -> None:
    given = config(kind="loop", tutor={"knows_answer": False})
    assert saw_key(given) == []
    assert saw_key(config(kind="loop")) == ["its prompt holds the answer (tutor.knows_answer)"]
    older = strategy_input(replace(strategy("socratic"), openers=("Think about this: {hint}. What",)), [])
    assert saw_key(given.with_inputs(Inputs((older,)))) == ["openers of its candidates held parts of the answer"]


def test_every_headline_measure_says_which_way_is_better() -> None:
    assert all(METRICS[name].better and METRICS[name].among is None for name in HEADLINE)
