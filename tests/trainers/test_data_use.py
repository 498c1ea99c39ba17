"""What is done with a corpus: selection, contrasts, chat messages, files that come back and that `datasets` reads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import InputError, TrainerError
from agents.records import Candidate, Dialogue, EpisodeSpec, Role, Turn, Verdict
from trainers.data import (
    OPENER,
    contrasts,
    contrasts_counted,
    preference_trees,
    rating,
    read_corpus,
    select_quality,
    to_tree,
    tutor_system_for,
    write_convolearn,
    write_preferences_jsonl,
    write_sft_jsonl,
)
from trainers.data.utterances import clean

TALK: list[tuple[Role, str]] = [("student", "Why?"), ("tutor", "What do you see?"), ("student", "A cloud.")]


def make(
    name: str = "d",
    *,
    group: str = "g",
    scores: tuple[float | None, float | None] = (4.0, 3.0),
    talk: list[tuple[Role, str]] = TALK,
    **strategy_settings: str,
) -> Dialogue:
    spec = EpisodeSpec(
        id=name, arm="a", phase="corpus", strategy="human", strategy_settings=strategy_settings, persona="human",
        pack="p", item_id=group, held_option=-1, repeat=0, student_key=group,
    )  # fmt: skip
    pairs = zip(("effectiveness", "completeness"), scores, strict=True)
    verdicts = tuple(Verdict("p", key, "pass", score) for key, score in pairs if score is not None)
    turns = tuple(Turn(index, role, text) for index, (role, text) in enumerate(talk))
    return Dialogue(spec, turns=turns, verdicts=verdicts)


def test_quality_keeps_the_good_and_says_why_not() -> None:
    scores = [(3.0, 2.0), (2.5, 3.0), (5.0, 1.5), (1.0, 1.0), (None, 3.0), (4.0, None)]
    kept, reasons = select_quality([make(str(n), scores=pair) for n, pair in enumerate(scores)], 3, 2)
    assert [dialogue.id for dialogue in kept] == ["0"]
    assert reasons == {"low_effectiveness": 2, "low_completeness": 1, "no_effectiveness": 1, "no_completeness": 1}


def test_contrasts_take_the_widest_gaps_first() -> None:
    rated = [make(f"{score}", scores=(score, 3), talk=[("student", "q"), ("tutor", str(score))])
             for score in (1.0, 2.0, 3.0, 4.0, 5.0)]  # fmt: skip
    rest = [make("alone", group="h"), make("unrated", scores=(None, 3.0))]
    made, reasons = contrasts_counted([*rest, *rated], min_gap=1, max_per_group=9)
    assert [(c.group, c.chosen.id, c.rejected.id, c.gap) for c in made] == [
        ("g", "5.0", "1.0", 4),
        ("g", "4.0", "2.0", 2),
    ]
    assert reasons == {"alone": 1, "no_rating": 1, "left_over": 1}
    assert contrasts_counted(rated, min_gap=3, max_per_group=9)[1] == {"gap_below_min": 3}
    assert contrasts_counted(rated, min_gap=1, max_per_group=1)[1] == {"over_max_per_group": 3}
    assert contrasts_counted([make("a"), make("b", scores=(5, 3))], min_gap=1, max_per_group=1)[1] == {"equal_texts": 2}
    with pytest.raises(TrainerError, match="at least 1"):
        contrasts(rated, min_gap=1, max_per_group=0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("gh"), st.sampled_from([None, 1.0, 2.5, 4.0, 5.0])), max_size=20),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.integers(1, 4),
)
def test_every_dialogue_is_contrasted_or_counted(rows: list[Any], gap: float, most: int) -> None:
    dialogues = [make(f"{n:02}", group=group, scores=(score, 3.0), talk=[("student", "q"), ("tutor", f"{n % 7}")])
                 for n, (group, score) in enumerate(rows)]  # fmt: skip
    made, reasons = contrasts_counted(dialogues, min_gap=gap, max_per_group=most)
    used = [one.id for contrast in made for one in (contrast.chosen, contrast.rejected)]
    assert len(used) == len(set(used)) and len(used) + reasons.total() == len(dialogues)
    assert all(count > 0 for count in reasons.values())
    for contrast in made:
        high, low = rating(contrast.chosen, "effectiveness"), rating(contrast.rejected, "effectiveness")
        assert high is not None and low is not None and contrast.gap == high - low >= max(gap, 0.5)
        assert contrast.group == contrast.chosen.spec.item_id == contrast.rejected.spec.item_id
        assert contrast.chosen.turns != contrast.rejected.turns
    assert all(count <= most for count in Counter(contrast.group for contrast in made).values())
    assert contrasts(reversed(dialogues), min_gap=gap, max_per_group=most) == made


def test_a_tree_is_the_tutors_view() -> None:
    tree = to_tree(make("x"), "Be kind.")
    assert tree.dialogue_id == "x" and tree.pairs == ()
    assert [(m["role"], m["content"]) for m in tree.messages] == [
        ("system", "Be kind."),
        ("user", "Why?"),
        ("assistant", "What do you see?"),
        ("user", "A cloud."),
    ]
    assert [m["role"] for m in to_tree(make(), None).messages] == ["user", "assistant", "user"]
    first = to_tree(make(talk=[("tutor", "Hi"), ("student", "hey")]), None)
    assert [m["content"] for m in first.messages] == [OPENER, "Hi", "hey"]
    assert [m["role"] for m in first.messages] == ["user", "assistant", "user"]


def test_the_system_prompt_names_the_dimension_only_when_asked() -> None:
    dialogue = make(dimension="Metacognition", subdimension="Error Analysis", problem="2 + 2?")
    plain, conditioned = tutor_system_for(dialogue, False), tutor_system_for(dialogue, True)
    assert "metacognition" not in plain and "metacognition" in conditioned
    assert "error analysis" in conditioned and "A mistake is located" in conditioned and "2 + 2?" in plain
    other = tutor_system_for(make(dimension="Power Dynamics", subdimension="Juggling"), True)
    assert "power dynamics" in other and "juggling" not in other.lower()
    with pytest.raises(InputError, match="no dimension to condition on"):
        tutor_system_for(make("lone"), True)
    with pytest.raises(InputError, match="did you mean 'metacognition'"):
        tutor_system_for(make(dimension="Metacognitive"), True)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: text == clean(text)
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(texts.filter(lambda text: ":" not in text), min_size=2, max_size=5), min_size=1, max_size=4),
    st.sampled_from([1.0, 2.5, 5.0]),
    st.booleans(),
)
def test_convolearn_comes_back_equal(tmp_path_factory: Any, talks: list[list[str]], score: float, tutor: bool) -> None:
    path = tmp_path_factory.mktemp("c") / "convolearn.parquet"
    sides: list[Role] = ["tutor", "student"] if tutor else ["student", "tutor"]
    dialogues = [
        make(str(n), scores=(score, 2.0), dimension="Metacognition", subdimension="Reflection", topic="Solid Earth",
             talk=[(sides[k % 2], text) for k, text in enumerate(talk)])
        for n, talk in enumerate(talks)
    ]  # fmt: skip
    assert write_convolearn(dialogues, path) == len(dialogues)
    corpus = read_corpus(path, "convolearn")
    assert corpus.bad == () and [d.turns for d in corpus.dialogues] == [d.turns for d in dialogues]
    for one, other in zip(corpus.dialogues, dialogues, strict=True):
        assert one.spec.strategy_settings == other.spec.strategy_settings
        for name in ("effectiveness", "completeness"):
            assert rating(one, name) == rating(other, name)
    again = path.with_name("again.parquet")
    write_convolearn(corpus.dialogues, again)
    assert read_corpus(again, "convolearn") == corpus


def test_convolearn_has_the_columns_of_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.parquet"
    write_convolearn([make(dimension="Metacognition")], path)
    schema = pq.read_schema(path)
    assert [(field.name, str(field.type)) for field in schema] == [
        ("kb_subdim", "string"),
        ("kb_dim", "string"),
        ("effectiveness_consensus", "double"),
        ("completeness_consensus", "double"),
        ("cleaned_conversation", "string"),
        ("earthscience_topic", "string"),
        ("num_exchanges", "int64"),
    ]
    (row,) = pq.read_table(path).to_pylist()
    assert row["cleaned_conversation"] == "Student: Why?\nTeacher: What do you see?\nStudent: A cloud."
    assert row["num_exchanges"] == 1 and [file.name for file in path.parent.iterdir()] == ["c.parquet"]


@pytest.mark.parametrize(
    ("dialogue", "why"),
    [
        (make(), "kb_dim"),
        (make(dimension="Metacognition", scores=(None, 2.0)), "effectiveness_consensus is None"),
        (make(dimension="Metacognition", scores=(4.2, 2.0)), "4.2, not in steps"),
        (make(dimension="Metacognition", talk=[("student", "a")]), "both sides"),
        (make(dimension="Metacognition", talk=[("student", "a"), ("tutor", "b\nTeacher : c")]), "turn 1.*label"),
        (make(dimension="Metacognition", talk=[("student", "a "), ("tutor", "b")]), "turn 0.*blanks"),
        (
            make(dimension="Metacognition", talk=[("tutor", "b"), ("student", "a"), ("student", "c")]),
            "turn 2.*same side",
        ),
    ],
)
def test_what_would_not_come_back_is_refused(tmp_path: Path, dialogue: Dialogue, why: str) -> None:
    with pytest.raises(InputError, match=why):
        write_convolearn([dialogue], tmp_path / "c.parquet")
    assert list(tmp_path.iterdir()) == []


def preferring() -> Dialogue:
    """A dialogue whose tutor turn has two candidates that were judged."""
    turn = Turn(
        1, "tutor", "Look up.", candidates=(Candidate("Look up.", (), reward=1.0), Candidate("No.", (), reward=0.0))
    )
    dialogue = make("p")
    return Dialogue(dialogue.spec, turns=(dialogue.turns[0], turn))


def test_preferences_come_from_candidates(tmp_path: Path) -> None:
    trees, rejections = preference_trees([preferring(), make("none")])
    assert [tree.dialogue_id for tree in trees] == ["p"]
    assert [(r.dialogue_id, r.reason) for r in rejections] == [("none", "one_candidate")]
    assert write_preferences_jsonl([preferring(), make("none")], tmp_path / "p.jsonl") == 1
    (record,) = [json.loads(line) for line in (tmp_path / "p.jsonl").open()]
    assert [message["role"] for message in record["prompt"]] == ["system", "user"]
    assert record["chosen"] == [{"role": "assistant", "content": "Look up."}]
    assert record["rejected"] == [{"role": "assistant", "content": "No."}]


def test_sft_lines_are_plain_lines_again(tmp_path: Path) -> None:
    talk: list[tuple[Role, str]] = [
        ("student", "q"),
        ("tutor", "a\nb"),
        ("student", "c"),
        ("tutor", "d"),
        ("student", "e"),
    ]
    assert write_sft_jsonl(
        [make(talk=talk, dimension="Metacognition")], tmp_path / "s.jsonl", condition_on_dimension=True
    )
    corpus = read_corpus(tmp_path / "s.jsonl", "jsonl")
    assert [(turn.role, turn.text) for turn in corpus.dialogues[0].turns] == talk[:4], "up to the tutor's last turn"
    assert corpus.notes == {"system_messages": 1}


def test_datasets_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    def load(kind: str, name: str) -> Any:
        cache = str(tmp_path / "cache")
        return load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=cache)

    dialogues = [make(f"{n}", dimension="Metacognition") for n in range(3)]
    write_convolearn(dialogues, tmp_path / "c.parquet")
    write_sft_jsonl(dialogues, tmp_path / "s.jsonl")
    write_preferences_jsonl([preferring()], tmp_path / "p.jsonl")
    rated = load("parquet", "c.parquet")
    assert rated["effectiveness_consensus"][:] == [4.0] * 3 and rated.features["num_exchanges"].dtype == "int64"
    chat = load("json", "s.jsonl")
    assert len(chat) == 3 and [m["role"] for m in chat[0]["messages"]] == ["system", "user", "assistant"]
    pairs = load("json", "p.jsonl")
    assert (
        sorted(pairs.column_names) == ["chosen", "prompt", "rejected"] and pairs[0]["rejected"][0]["content"] == "No."
    )
