"""Readers on the real files, where they are: nothing is lost, and what they say is what the file says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from agents.records import dialogue_from_json, dialogue_to_json
from tests.needs import corpus_file
from trainers.data import Corpus, preference_trees, read_corpus, split_corpus, to_tree
from trainers.data.utterances import clean


def check(corpus: Corpus) -> None:
    """What holds of any corpus."""
    assert len({dialogue.id for dialogue in corpus.dialogues}) == len(corpus.dialogues) > 0
    for dialogue in corpus.dialogues:
        roles = [turn.role for turn in dialogue.turns]
        assert [turn.index for turn in dialogue.turns] == list(range(len(roles)))
        assert {*roles} == {"tutor", "student"} and all(a != b for a, b in zip(roles, roles[1:], strict=False))
        assert all(turn.text and turn.text == clean(turn.text) for turn in dialogue.turns)
        assert dialogue.spec.item_id and dialogue_from_json(dialogue_to_json(dialogue)) == dialogue
        assert [message["role"] for message in to_tree(dialogue, "s").messages[:2]] == ["system", "user"]
    train, test = split_corpus(corpus.dialogues, test=0.15, seed=0)
    assert len(train) + len(test) == len(corpus.dialogues)
    assert not {d.spec.item_id for d in train} & {d.spec.item_id for d in test}


def test_mrbench_replies() -> None:
    path = corpus_file("mrbench/mrbench_dev.json")
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    replies = [(name, reply) for row in rows for name, reply in row["anno_llm_responses"].items()]
    corpus = read_corpus(path, "mrbench")
    check(corpus)
    assert corpus.bad == () and len(corpus.dialogues) == len(replies)
    for dialogue, (name, reply) in zip(corpus.dialogues, replies, strict=True):
        assert dialogue.tutor_policy == name and dialogue.turns[-1].text == clean(reply["response"])
        assert {verdict.votes[0] for verdict in dialogue.verdicts} == {*reply["annotation"].values()}
        assert len(dialogue.verdicts) == len(reply["annotation"])
        assert {verdict.turn for verdict in dialogue.verdicts} == {dialogue.turns[-1].index}
    problems = {row["Ground_Truth_Solution"] for row in rows if row["Data"] == "MathDial"}
    ours = {dialogue.spec.item_id for dialogue in corpus.dialogues if dialogue.spec.persona == "simulated"}
    assert len(ours) <= len(problems)


def test_mathdial_dialogues() -> None:
    path = corpus_file("mathdial/mathdial_dev.jsonl")
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.open(encoding="utf-8")]
    corpus = read_corpus(path, "mathdial")
    check(corpus)
    assert corpus.bad == () and len(corpus.dialogues) == len(rows)
    for dialogue, row in zip(corpus.dialogues, rows, strict=True):
        assert dialogue.spec.item_id == str(row["qid"])
        bare = " ".join(re.sub(r"^\w+: (\([a-z]+\))?", "", part) for part in row["conversation"].split("|EOM|"))
        assert " ".join(turn.text for turn in dialogue.turns).split() == bare.split()
        assert not any(
            turn.text.startswith(("(focus)", "(probing)", "(generic)", "(telling)")) for turn in dialogue.turns
        )
        answers = [verdict.votes for verdict in dialogue.verdicts if verdict.name == "self_correctness"]
        assert answers == ([(row["self-correctness"],)] if row["self-correctness"] else [])
    acts = sum(len(verdict.votes) for d in corpus.dialogues for verdict in d.verdicts if verdict.name == "act")
    assert acts <= sum(row["conversation"].count("Teacher: (") for row in rows) <= acts + corpus.notes["empty_turns"]


@pytest.mark.parametrize("name", ["train", "validation"])
def test_bridge_snippets(name: str) -> None:
    path = corpus_file(f"bridge/{name}.json")
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    corpus = read_corpus(path, "bridge")
    check(corpus)
    assert len(corpus.dialogues) + len(corpus.bad) == len(rows) and len(corpus.bad) < 0.02 * len(rows)
    bad = {entry.line for entry in corpus.bad}
    good = [row for line, row in enumerate(rows, start=1) if line not in bad]
    for dialogue, row in zip(corpus.dialogues, good, strict=True):
        assert row["c_id"].startswith(dialogue.spec.item_id + "_") and dialogue.turns[-1].role == "tutor"
        assert clean(row["c_r_"][0]["text"]) in dialogue.turns[-1].text
        assert [verdict.votes[0] for verdict in dialogue.verdicts] == [row[k].strip() for k in ("e", "z_what", "z_why")]
    trees, _ = preference_trees(corpus.dialogues)
    assert len(trees) > 0.95 * len(rows) and all(pair.on_spine for tree in trees for pair in tree.pairs)
