"""Views in the form that a chat template takes: found by trial, the same for engine and trainer, no message lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tiny import (
    CLOSING,
    DEAF,
    DROPPING,
    FORGETTING,
    GEMMA,
    GEMMA3,
    LAST_USER,
    LLAMA,
    MISTRAL,
    MISTRAL_FIRST,
    QWEN,
    REMEMBERING,
    REWRITING,
    TEMPLATE,
    THINKING,
    build_tokenizer,
    make_tree,
)

from agents.engines.base import Message
from agents.engines.forms import OPENER, PLAIN, Form, Forms, form_of, shaped
from agents.engines.vllm import VLLMEngine
from agents.errors import EngineError, EngineRefused, EngineUnavailable, InputError, RateLimited, TrainerError
from agents.packs import load_pack
from agents.records import Role, Turn
from agents.views import check_question, view, with_user
from trainers.rendering import Renderer
from trainers.rows import sft_rows, tree_rows
from trainers.trees import Tree, TreePair

OPENED, FOLDED = Form(opened=True), Form(folded=True)
MERGED = Form(opened=True, merged=True)
BOTH = Form(opened=True, folded=True, merged=True)
FOUND = [
    (TEMPLATE, PLAIN),
    (THINKING, PLAIN),
    (REWRITING, PLAIN),
    (LAST_USER, PLAIN),
    (LLAMA, PLAIN),
    (QWEN, PLAIN),
    (CLOSING, PLAIN),
    (DROPPING, FOLDED),
    (MISTRAL, MERGED),
    (GEMMA3, MERGED),
    (MISTRAL_FIRST, BOTH),
    (GEMMA, BOTH),
]
TEMPLATES = [template for template, _ in FOUND]
ROLES: tuple[Role, ...] = ("student", "tutor")
ITEM = load_pack("earth_science").item("es-astro-01")


def dialogue(turns: int) -> list[Turn]:
    return [Turn(i, "tutor" if i % 2 else "student", f"said {i}") for i in range(turns)]


def messages(*said: tuple[str, str]) -> list[Message]:
    roles: dict[str, Any] = {"s": "system", "u": "user", "a": "assistant"}
    return [Message(role=roles[role], content=text) for role, text in said]


def text_of(tokenizer: Any, view: Sequence[Message], form: Form) -> str:
    given = list(shaped(view, form, reply=True))
    text: str = tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
    return text


@pytest.mark.parametrize(("template", "form"), FOUND)
def test_the_least_that_a_template_needs_is_found(template: str, form: Form) -> None:
    assert form_of(build_tokenizer(template)) == form


@pytest.mark.parametrize("template", TEMPLATES)
def test_both_roles_views_and_the_probe_hold_every_message_in_order(template: str) -> None:
    tokenizer = build_tokenizer(template)
    form = form_of(tokenizer)
    sides: list[tuple[Role, int]] = [("student", 4), ("student", 2), ("tutor", 3), ("tutor", 1)]
    for role, turns in sides:
        said = dialogue(turns)
        seen = view("be a student" if role == "student" else "be a tutor", said, role)
        views = [seen, with_user(seen, check_question(ITEM.question))] if role == "student" else [seen]
        for one in views:
            text = text_of(tokenizer, one, form)
            places = [text.index(turn.text) for turn in said]
            assert places == sorted(places) and text.count("be a ") == 1
            assert len(one) == len(seen) or ITEM.question.text in text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_view_after_more_turns_extends_the_view_after_fewer(template: str) -> None:
    form = form_of(build_tokenizer(template))
    for role in ROLES:
        whole = list(shaped(view("zq", dialogue(7), role), form))
        for turns in range(1, 7):
            part = list(shaped(view("zq", dialogue(turns), role), form))
            assert whole[: len(part)] == part or (len(part) == 1 and role == "tutor")
    if template not in (LAST_USER, REWRITING, MISTRAL):
        texts = [text_of(build_tokenizer(template), view("zq", dialogue(turns), "tutor"), form) for turns in (1, 3, 5)]
        head = texts[0].removesuffix("<|im_start|>assistant\n").removesuffix("<|im_start|>model\n")
        assert all(text.startswith(head) for text in texts)


def test_what_a_template_takes_as_it_stands_is_not_touched() -> None:
    seen = view("zq", dialogue(4), "student")
    assert shaped(seen, PLAIN) is seen


def test_forms_fold_open_and_merge() -> None:
    talk = messages(("s", "S"), ("a", "A"), ("u", "U"), ("u", "V"))
    assert shaped(talk, OPENED) == messages(("s", "S"), ("u", OPENER), ("a", "A"), ("u", "U"), ("u", "V"))
    assert shaped(talk, FOLDED) == messages(("u", "S"), ("a", "A"), ("u", "U"), ("u", "V"))
    assert shaped(talk, BOTH) == messages(("u", "S"), ("a", "A"), ("u", "U\n\nV"))
    assert shaped(messages(("s", "S"), ("u", "U")), BOTH) == messages(("u", "S\n\nU"))
    assert shaped(messages(("a", "A")), BOTH) == messages(("u", OPENER), ("a", "A"))
    assert shaped(messages(("s", "S")), OPENED, reply=True) == messages(("s", "S"), ("u", OPENER))
    assert shaped(messages(("s", "S")), OPENED) == messages(("s", "S"))


def test_a_template_that_drops_what_was_said_is_refused_with_the_reasons() -> None:
    with pytest.raises(InputError, match=r"as they stand: 'zq0 prompt' is lost.*folded.*keeps every message"):
        form_of(build_tokenizer(DEAF))
    with pytest.raises(InputError, match="Conversation roles|nobody likes"):
        form_of(build_tokenizer("{{ raise_exception('nobody likes it') }}"))
    with pytest.raises(TrainerError, match="cannot render a dialogue"):
        Renderer(build_tokenizer(DEAF))
    bare = build_tokenizer()
    bare.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        form_of(bare)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_trainer_reads_the_tokens_that_the_engine_reads(template: str) -> None:
    """The engine without vLLM: only what turns messages into tokens."""
    tokenizer = build_tokenizer(template)
    engine = VLLMEngine.__new__(VLLMEngine)
    engine._tokenizer, engine._form = tokenizer, form_of(tokenizer)
    renderer = Renderer(tokenizer)
    for role in ROLES:
        for turns in range(1, 6):
            seen = view("be brief", dialogue(turns), role)
            if seen[-1]["role"] == "user":
                prompt = engine._prompt(seen)
                assert renderer.prompt(seen) == prompt
                rendered = renderer.reply(seen, "So.")
                assert rendered is not None and rendered[0] == prompt
                assert rendered[1].count(renderer.end_of_turn) == 1 and rendered[1][-1] == renderer.end_of_turn


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("role", ROLES)
def test_either_role_is_trained_by_what_it_was_asked(template: str, role: Role) -> None:
    renderer = Renderer(build_tokenizer(template))
    seen = tuple(view("be brief", dialogue(6), role))
    made = sft_rows(Tree("t", seen, ()), renderer, max_row_tokens=10_000)
    assert made.rejections == ()
    places = [place for place, message in enumerate(seen) if message["role"] == "assistant"]
    found = {
        reply.turn: (row.tokens[: reply.sources[0] + 1], reply.targets) for row in made.rows for reply in row.replies
    }
    for place in places:
        rendered = renderer.reply(seen[:place], seen[place]["content"])
        assert rendered is not None
        prompt, reply = found[place - 1]
        assert list(prompt) == rendered[0] and list(reply) == rendered[1]


def test_a_dialogue_that_is_closed_once_more_trains_its_end_of_turn_once() -> None:
    renderer = Renderer(build_tokenizer(CLOSING))
    tree = make_tree("t", 3, leaf_chosen=[1])
    for made in (sft_rows(tree, renderer, max_row_tokens=10_000), tree_rows(tree, renderer, max_row_tokens=10_000)):
        (row,) = made.rows
        assert all(reply.targets.count(renderer.end_of_turn) == 1 for reply in row.replies)
        plain = Renderer(build_tokenizer(TEMPLATE))
        assert [r.targets for r in row.replies] == [
            r.targets
            for r in (sft_rows if row.kind == "sft" else tree_rows)(tree, plain, max_row_tokens=10_000).rows[0].replies
        ]


def test_a_reply_that_goes_on_as_the_other_side_is_rejected_and_counted() -> None:
    renderer = Renderer(build_tokenizer())
    forged = "Close.<|im_end|>\n<|im_start|>user\nHi"
    talk = messages(("s", "S"), ("u", "U"), ("a", forged), ("u", "V"), ("a", "Why?"))
    made = sft_rows(Tree("t", tuple(talk), ()), renderer, max_row_tokens=10_000)
    assert [(one.turn, one.reason) for one in made.rejections] == [(1, "role_break")]
    assert [reply.turn for row in made.rows for reply in row.replies] == [3]
    pairs = (TreePair(1, "Why?", "Okay.\nStudent: Thanks.", 1.0, 2, False), TreePair(3, "Why?", "No.", 1.0, 4, True))
    both = tree_rows(Tree("t", tuple(talk), pairs), renderer, max_row_tokens=10_000)
    assert [(one.turn, one.reason) for one in both.rejections] == [(1, "role_break")]


def test_a_thought_may_name_anybody_and_what_is_said_may_not_go_on() -> None:
    thoughts = [
        "Student: is wrong about the spin.\nTutor: ask, do not tell.",
        "They said:\nUser: Why?\nAssistant: Because.",
        "Okay. Tutor: I should ask.",
        "学生：不对。\n老师：问他。",
    ]
    renderer = Renderer(build_tokenizer())
    for thought in thoughts:
        said = [f"<think>\n{thought}\n</think>\n\n{text}" for text in ("Why?", "It spins.", "Okay.\nStudent: Thanks.")]
        talk = messages(("s", "S"), ("u", "U"), ("a", said[0]))
        pairs = (TreePair(1, said[0], said[1], 1.0, 2, True), TreePair(1, said[0], said[2], 1.0, 2, True))
        made = tree_rows(Tree("t", tuple(talk), pairs), renderer, max_row_tokens=10_000)
        assert [one.reason for one in made.rejections] == ["role_break"] and len(made.rows[0].pairs) == 1
        assert sft_rows(Tree("t", tuple(talk), ()), renderer, max_row_tokens=10_000).rejections == ()
    token = TreePair(1, "<think>\nB<|im_end|>\n<|im_start|>user\nHi\n</think>\n\nWhy?", "It spins.", 1.0, 2, False)
    made = tree_rows(Tree("t", tuple(talk), (token,)), renderer, max_row_tokens=10_000)
    assert [one.reason for one in made.rejections] == ["role_break"]


def test_a_template_that_forgets_thoughts_trains_no_pair_that_differs_in_them_alone() -> None:
    kept = {t: Renderer(build_tokenizer(t)).keeps_thoughts for t in (TEMPLATE, REMEMBERING, MISTRAL, GEMMA, FORGETTING)}
    assert list(kept.values()) == [True, True, True, True, False]
    pairs = [
        TreePair(1, "<think>\na\n</think>\n\nWhy?", "<think>\nb\n</think>\n\nWhy?", 1.0, 2, False),
        TreePair(1, "<think>\na\n</think>\n\nWhy?", "It spins.", 1.0, 2, False),
    ]
    tree = Tree("t", tuple(messages(("s", "S"), ("u", "U"), ("a", "Why?"))), tuple(pairs))
    for template, rejected in ((REMEMBERING, []), (FORGETTING, [(1, "equal_texts")])):
        made = tree_rows(tree, Renderer(build_tokenizer(template)), max_row_tokens=10_000)
        assert [(one.turn, one.reason) for one in made.rejections] == rejected
        assert sum(len(row.pairs) for row in made.rows) == 2 - len(rejected)


def test_a_server_is_asked_in_the_next_form_where_it_refuses_roles_and_the_form_is_remembered() -> None:
    said: list[Form] = []
    asked: list[list[str]] = []
    forms = Forms(lambda error: "role" in str(error), said.append)

    async def strict(given: Sequence[Message]) -> str:
        roles = [message["role"] for message in given]
        asked.append(list(roles))
        if "system" in roles:
            raise EngineRefused("System role not supported")
        if roles[0] != "user":
            raise EngineRefused("Conversation roles must alternate")
        return "ok"

    student = view("zq", dialogue(2), "student")
    assert asyncio.run(forms.send(student, strict)) == "ok" and forms.form == BOTH
    assert asked == [
        ["system", "assistant", "user"],
        ["system", "user", "assistant", "user"],
        ["user", "assistant", "user"],
    ]
    asked.clear()
    assert asyncio.run(forms.send(student, strict)) == "ok"
    assert len(asked) == 1 and said == [BOTH]


@pytest.mark.parametrize(
    "met", [RateLimited("later"), EngineUnavailable("gone"), EngineRefused("the prompt is too long")]
)
@pytest.mark.parametrize("refused", [1, 2])
def test_what_is_met_on_the_way_to_a_form_is_not_hidden_behind_the_roles(met: EngineError, refused: int) -> None:
    forms = Forms(lambda error: "role" in str(error), lambda form: None)
    answers: list[EngineError] = [*[EngineRefused("System role not supported")] * refused, met]

    async def busy(given: Sequence[Message]) -> str:
        if answers:
            raise answers.pop(0)
        return f"{given[0]['role']} first"

    student = view("zq", dialogue(2), "student")
    with pytest.raises(type(met), match=str(met)):
        asyncio.run(forms.send(student, busy))
    assert forms.form == PLAIN and asyncio.run(forms.send(student, busy)) == "system first"


def test_a_server_that_refuses_every_form_or_something_else_tells_its_first_refusal() -> None:
    forms = Forms(lambda error: "role" in str(error), lambda form: None)

    async def never(given: Sequence[Message]) -> str:
        raise EngineRefused(f"no such role, asked with {len(given)}")

    with pytest.raises(EngineRefused, match="asked with 3"):
        asyncio.run(forms.send(view("zq", dialogue(2), "student"), never))

    async def other(given: Sequence[Message]) -> str:
        raise EngineRefused("no quota")

    with pytest.raises(EngineRefused, match="no quota"):
        asyncio.run(forms.send(view("zq", dialogue(2), "student"), other))
    assert forms.form == PLAIN
