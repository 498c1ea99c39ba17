"""MathDial, Bridge and MRBench on rows written here, with the quirks that the real files have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from test_data_read import lines, said

from trainers.data import read_corpus


def test_mathdial_labels_acts_and_answers(tmp_path: Path) -> None:
    conversation = [
        "Teacher: (generic)Hi Zora.",
        "Teacher: (focus)(a) or (b)?",
        "Zora: It is (a): 7",
        "or 8",
        "Teacher: (telling)",
        "Student : Done",
    ]
    record = {
        "qid": 12,
        "question": "What is 3 + 4?",
        "conversation": "|EOM|".join(conversation),
        "self-correctness": "Yes, but I had to reveal the answer",
        "self-typical-confusion": 4.0,
        "self-typical-interactions": None,
    }
    wrong = {**record, "self-typical-confusion": 6}
    other = {**record, "self-correctness": "Maybe"}
    path = lines(tmp_path / "m.jsonl", record, wrong, other, {**record, "conversation": "no label"})
    corpus = read_corpus(path, "mathdial")
    (dialogue,) = corpus.dialogues
    assert said(dialogue) == [("tutor", "Hi Zora.\n(a) or (b)?"), ("student", "It is (a): 7\nor 8\nDone")]
    assert [(v.name, v.kind, v.score, v.turn, v.votes) for v in dialogue.verdicts] == [
        ("self_correctness", "fail", 0.5, None, ("Yes, but I had to reveal the answer",)),
        ("typical_confusion", "pass", 4.0, None, ()),
        ("act", "pass", None, 0, ("generic", "focus")),
    ]
    assert corpus.notes == {
        "begins_with_tutor": 1, "empty_turns": 1, "named_labels": 1, "turns_merged": 3, "unlabelled": 1,
    }  # fmt: skip
    assert dialogue.spec.item_id == "12" and dialogue.spec.strategy_settings == {"problem": "What is 3 + 4?"}
    assert [bad.line for bad in corpus.bad] == [2, 3, 4] and "6" in corpus.bad[0].reason


def message(user: str, text: str) -> dict[str, Any]:
    return {"user": user, "text": text}


def test_bridge_keeps_both_replies(tmp_path: Path) -> None:
    record: dict[str, Any] = {
        "c_id": "77_5",
        "lesson_topic": "Sums",
        "c_h": [message("tutor", "8 + 5?"), message("tutor", ""), message("student", "12")],
        "c_r": [message("tutor", "No."), message("tutor", "13."), message("student", "ok"), message("tutor", "Next.")],
        "c_r_": [message("tutor", "Close."), message("tutor", "Count on from 8?")],
        "e": "careless",
        "z_what": "provide_hint",
        "z_why": "the session ends\n",
    }
    picture = {**record, "c_h": [message("tutor", "8 + 5?"), message("student", "")]}
    empty = {**record, "c_r_": [message("tutor", " ")]}
    stranger = {**record, "c_h": [message("parent", "hi")]}
    path = tmp_path / "b.json"
    path.write_text(json.dumps([record, picture, empty, stranger, record, 5]))
    corpus = read_corpus(path, "bridge")
    assert [bad.line for bad in corpus.bad] == [2, 3, 4, 6]
    first, again = corpus.dialogues
    assert said(first) == [("tutor", "8 + 5?"), ("student", "12"), ("tutor", "Close.\nCount on from 8?")]
    assert [(c.text, c.reward) for c in first.turns[2].candidates] == [(first.turns[2].text, 1.0), ("No.\n13.", 0.0)]
    assert [(v.name, v.kind, v.turn, v.votes) for v in first.verdicts] == [
        ("error", "pass", 1, ("careless",)),
        ("strategy", "pass", 2, ("provide_hint",)),
        ("intention", "invalid", 2, ("the session ends",)),
    ]
    assert first.spec.item_id == "77" and first.spec.persona == "human"
    assert (first.spec.repeat, again.spec.repeat) == (0, 1) and first.id != again.id


def test_mrbench_has_a_dialogue_a_reply(tmp_path: Path) -> None:
    good = {"response": '"Try again."', "annotation": {"Mistake_Location": "To some extent", "Tutor_Tone": "Neutral"}}
    told = {"response": "It is 42.", "annotation": {"Revealing_of_the_Answer": "Yes (and the answer is correct)"}}
    record: dict[str, Any] = {
        "conversation_id": "1",
        "conversation_history": "Tutor: 6 x 7?\u00a0\n\u00a0Student : 36\nor so",
        "Data": "MathDial",
        "Topic": "Not Available",
        "Ground_Truth_Solution": "6 x 7 = 42.\n 42",
        "anno_llm_responses": {"GPT4": good, "Expert": told},
    }
    mislabelled = {**record, "conversation_history": "Student: 36\nTutor: I added"}
    bad = {
        "A": {"response": "", "annotation": {"Coherence": "Yes"}},
        "B": {"response": "x", "annotation": {"Coherence": "Sometimes"}},
        "C": {"response": "x", "annotation": {"Wit": "Yes"}},
        "D": {"response": "x"},
        "E": told,
    }
    path = tmp_path / "m.json"
    path.write_text(json.dumps([record, mislabelled, {**record, "anno_llm_responses": bad}]))
    corpus = read_corpus(path, "mrbench")
    assert [dialogue.tutor_policy for dialogue in corpus.dialogues] == ["GPT4", "Expert", "GPT4", "Expert", "E"]
    assert [(b.line, b.reason[:3]) for b in corpus.bad] == [(3, "A: "), (3, "B: "), (3, "C: "), (3, "D: ")]
    assert "Sometimes" in corpus.bad[1].reason
    first, second, third = corpus.dialogues[:3]
    assert said(first) == [("tutor", "6 x 7?"), ("student", "36\nor so"), ("tutor", '"Try again."')]
    assert [(v.name, v.kind, v.score, v.turn, v.votes) for v in first.verdicts] == [
        ("mistake_location", "fail", 0.5, 2, ("To some extent",)),
        ("tutor_tone", "fail", 0.5, 2, ("Neutral",)),
    ]
    assert [(v.kind, v.score) for v in second.verdicts] == [("fail", 0.0)]
    assert said(third) == [("student", "36\nI added"), ("tutor", '"Try again."')]
    assert len({dialogue.spec.item_id for dialogue in corpus.dialogues}) == 1
    assert first.spec.student_key == second.spec.student_key != third.spec.student_key
    assert corpus.notes["relabelled"] == 2
