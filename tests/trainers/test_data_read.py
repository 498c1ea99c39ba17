"""Readers on files written here: every row becomes a dialogue or a bad row, and odd rows become what is documented."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InputError
from agents.records import Dialogue, dialogue_from_json, dialogue_to_json
from trainers.data import BadRow, rating, read_corpus
from trainers.data.dimensions import dimension_key, meaning, subdimension_key
from trainers.data.utterances import Utterance, clean, tidy

ROW: dict[str, Any] = {
    "kb_subdim": "Error Analysis",
    "kb_dim": "Metacognition",
    "effectiveness_consensus": 4.5,
    "completeness_consensus": 3.0,
    "cleaned_conversation": "Student: Why is the sky blue?\nTeacher: What do you think?\nWhy?\nStudent: The sea?",
    "earthscience_topic": "Earth's Energy",
    "num_exchanges": 1,
}


def lines(path: Path, *records: Any) -> Path:
    """A JSON Lines file; a text stands in it as it is."""
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def said(dialogue: Dialogue) -> list[tuple[str, str]]:
    assert [turn.index for turn in dialogue.turns] == list(range(len(dialogue.turns)))
    return [(turn.role, turn.text) for turn in dialogue.turns]


def convolearn(path: Path, **changes: Any) -> Any:
    return read_corpus(lines(path / "c.jsonl", {**ROW, **changes}), "convolearn")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_convolearn_from_any_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    rows = [ROW, {**ROW, "effectiveness_consensus": 5.5}, {**ROW, "effectiveness_consensus": 2}]
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == "jsonl":
        lines(path, *rows)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(ROW))
            writer.writeheader()
            writer.writerows(rows)
    corpus = read_corpus(path, "convolearn")
    assert corpus.name == "convolearn" and corpus.notes == {}
    assert [bad.line for bad in corpus.bad] == [2] and "5.5" in corpus.bad[0].reason
    first, second = corpus.dialogues
    assert said(first) == [
        ("student", "Why is the sky blue?"),
        ("tutor", "What do you think?\nWhy?"),
        ("student", "The sea?"),
    ]
    assert [(v.judge, v.name, v.kind, v.score) for v in first.verdicts] == [
        ("convolearn", "effectiveness", "pass", 4.5),
        ("convolearn", "completeness", "pass", 3.0),
    ]
    assert [verdict.kind for verdict in second.verdicts] == ["fail", "pass"]
    assert first.spec.strategy == "knowledge_building" and first.spec.arm == "Metacognition"
    assert first.spec.strategy_settings == {
        "dimension": "Metacognition",
        "subdimension": "Error Analysis",
        "topic": "Earth's Energy",
    }
    assert first.spec.item_id == second.spec.item_id == "why is the sky blue"
    assert first.id != second.id, "the same words twice are two dialogues"
    assert dialogue_from_json(dialogue_to_json(first)) == first


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("effectiveness_consensus", 5.5),
        ("effectiveness_consensus", 0.5),
        ("effectiveness_consensus", 3.3),
        ("effectiveness_consensus", float("nan")),
        ("effectiveness_consensus", None),
        ("effectiveness_consensus", "high"),
        ("effectiveness_consensus", True),
        ("completeness_consensus", 3.5),
        ("completeness_consensus", 0),
        ("completeness_consensus", None),
        ("kb_dim", None),
        ("cleaned_conversation", ""),
        ("cleaned_conversation", 7),
        ("cleaned_conversation", "no labels at all"),
        ("cleaned_conversation", "Student: alone"),
        ("cleaned_conversation", "Student:\nTeacher: "),
    ],
)
def test_a_bad_row_is_listed_with_line_and_reason(tmp_path: Path, column: str, value: Any) -> None:
    path = lines(tmp_path / "c.jsonl", ROW, {**ROW, column: value}, ROW)
    corpus = read_corpus(path, "convolearn")
    assert len(corpus.dialogues) == 2
    (bad,) = corpus.bad
    assert bad.line == 2
    if "consensus" in column:
        assert column in bad.reason and repr(value) in bad.reason


def test_lines_that_are_no_records_are_listed(tmp_path: Path) -> None:
    missing = {name: value for name, value in ROW.items() if name != "kb_dim"}
    path = lines(tmp_path / "c.jsonl", "", "{broken", "[1]", ROW, missing)
    corpus = read_corpus(path, "convolearn")
    assert len(corpus.dialogues) == 1
    assert [bad.line for bad in corpus.bad] == [2, 3, 5]
    assert "not JSON" in corpus.bad[0].reason and "not an object" in corpus.bad[1].reason
    assert "kb_dim" in corpus.bad[2].reason


def test_long_dialogues_and_more_than_twenty_turns(tmp_path: Path) -> None:
    text = "\n".join(f"Student: s{n}\nTeacher: t{n} {'word ' * 5000}" for n in range(13))
    path = tmp_path / "c.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()
        writer.writerow({**ROW, "cleaned_conversation": text, "num_exchanges": 13})
    (dialogue,) = read_corpus(path, "convolearn").dialogues
    assert len(dialogue.turns) == 26 and dialogue.turns[24].text == "s12"


@pytest.mark.parametrize(
    ("text", "expected", "notes"),
    [
        ("Teacher: a\nStudent: b", [("tutor", "a"), ("student", "b")], {"begins_with_tutor": 1}),
        ("hm\nTeacher: a", [("student", "hm"), ("tutor", "a")], {"leading_text": 1}),
        ("hm\nStudent: b\nTeacher: a", [("student", "hm\nb"), ("tutor", "a")], {"leading_text": 1, "turns_merged": 1}),
        ("Student : b\r\n\u00a0Teacher :\u00a0a\u00a0", [("student", "b"), ("tutor", "a")], {}),
        ("Student: b\nTeacher: a\nTeacher: c", [("student", "b"), ("tutor", "a\nc")], {"turns_merged": 1}),
        (
            "Student: b\nTeacher:\nStudent: c\nTeacher: a",
            [("student", "b\nc"), ("tutor", "a")],
            {"turns_merged": 1, "empty_turns": 1},
        ),
        ("Student: the Teacher: left\nTeacher: a", [("student", "the Teacher: left"), ("tutor", "a")], {}),
    ],
)
def test_odd_transcripts(tmp_path: Path, text: str, expected: Any, notes: dict[str, int]) -> None:
    corpus = convolearn(tmp_path, cleaned_conversation=text, num_exchanges=1)
    assert said(corpus.dialogues[0]) == expected and corpus.notes == notes


def test_what_is_not_known_is_counted(tmp_path: Path) -> None:
    corpus = convolearn(tmp_path, kb_dim="Juggling", kb_subdim="Three Balls", num_exchanges=9)
    assert corpus.notes == {"unknown_dimension": 1, "unknown_subdimension": 1, "exchanges_differ": 1}
    assert corpus.dialogues[0].spec.arm == "Juggling"


def test_dimensions_are_found_in_any_spelling() -> None:
    assert dimension_key("Cognitive Engagement") == dimension_key(" cognitive_engagement") == "cognitive_engagement"
    assert dimension_key("cognition") is None
    assert subdimension_key("Problem-Based Learning/Reasoning") == "problem_based_reasoning"
    assert subdimension_key("Evidence-based Reasoning") == "evidence_based_reasoning"
    assert meaning("Thinking Aloud") and meaning("juggling") == ""


def test_plain_lines(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    roles = [
        {"role": "student", "content": "Q!"},
        {"role": "teacher", "content": "a"},
        {"role": "tutor", "content": "b"},
    ]
    path = lines(
        tmp_path / "mine.jsonl",
        {"messages": chat, "rating": 2.5, "dimension": "Metacognition", "id": "x"},
        {"messages": roles, "rating": None},
        {"messages": roles, "group": "g"},
        {"messages": chat, "rating": 7},
        {"messages": [{"role": "dog", "content": "woof"}]},
        {"messages": [{"role": "user"}]},
        {"messages": "none"},
    )
    corpus = read_corpus(path, "jsonl")
    first, second, third = corpus.dialogues
    assert corpus.name == "mine" and first.spec.pack == "mine"
    assert said(first) == [("student", "q"), ("tutor", "a")] and said(second)[1] == ("tutor", "a\nb")
    assert rating(first, "effectiveness") == 2.5 and first.verdicts[0].kind == "fail" and second.verdicts == ()
    assert first.spec.item_id == second.spec.item_id == "q" and third.spec.item_id == "g"
    assert first.spec.arm == "Metacognition" and second.spec.arm == "mine"
    assert corpus.notes == {"system_messages": 1, "turns_merged": 2}
    assert [bad.line for bad in corpus.bad] == [4, 5, 6, 7] and "dog" in corpus.bad[1].reason


def test_what_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "corpus.jsonl", ROW)
    with pytest.raises(InputError, match="did you mean 'convolearn'"):
        read_corpus(path, "convolern")
    with pytest.raises(InputError, match="no file.*corpus.jsonl"):
        read_corpus(tmp_path / "corpse.jsonl", "convolearn")
    with pytest.raises(InputError, match="no file"):
        read_corpus(tmp_path / "nowhere" / "x.jsonl", "convolearn")
    with pytest.raises(InputError, match="ends in '.txt'"):
        read_corpus(lines(tmp_path / "c.txt", ROW), "convolearn")
    lacking = lines(tmp_path / "less.jsonl", {name: value for name, value in ROW.items() if name != "kb_dim"})
    with pytest.raises(InputError, match="less.jsonl has no column 'kb_dim'.*cleaned_conversation"):
        read_corpus(lacking, "convolearn")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_corpus(tmp_path / "c.parquet", "convolearn")
    (tmp_path / "b.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="not an array"):
        read_corpus(tmp_path / "b.json", "bridge")
    (tmp_path / "b.json").write_text("[{")
    with pytest.raises(InputError, match="cannot be read as json"):
        read_corpus(tmp_path / "b.json", "bridge")
    (tmp_path / "latin.jsonl").write_bytes('{"messages": "é"}'.encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read as jsonl"):
        read_corpus(tmp_path / "latin.jsonl", "jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no rows"):
        read_corpus(tmp_path / "empty.jsonl", "jsonl")


def test_ids_do_not_depend_on_what_else_is_in_the_file(tmp_path: Path) -> None:
    other = {**ROW, "cleaned_conversation": "Student: a\nTeacher: b"}
    one = read_corpus(lines(tmp_path / "1.jsonl", ROW, other), "convolearn")
    two = read_corpus(lines(tmp_path / "2.jsonl", other, "nonsense", ROW), "convolearn")
    assert {d.id for d in one.dialogues} == {d.id for d in two.dialogues}
    assert two.bad == (BadRow(2, two.bad[0].reason),)


@given(st.lists(st.builds(Utterance, st.sampled_from(["tutor", "student"]), st.text(max_size=8))))
def test_tidy_turns_alternate_and_lose_no_word(utterances: list[Utterance]) -> None:
    made = tidy(utterances)
    roles = [turn.role for turn in made.turns]
    assert all(one != other for one, other in zip(roles, roles[1:], strict=False))
    assert [turn.index for turn in made.turns] == list(range(len(roles)))
    kept = [clean(utterance.text) for utterance in utterances if clean(utterance.text)]
    assert "\n".join(turn.text for turn in made.turns) == "\n".join(kept)
    assert len(made.turns) + made.merged + made.empty == len(utterances)
