"""YAML from somebody else becomes data or an `InputError`, quickly and without running anything."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from agents.documents import MAX_DEPTH, dump_document, located, parse_document, read_document, validated
from agents.errors import InputError
from agents.judges.rubrics import load_rubric, parse_rubric, shipped_rubrics
from agents.packs import load_pack
from agents.text import hidden_characters, visible

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
OBJECTS = [
    "!!python/object/apply:os.system ['touch {file}']",
    "!!python/object/new:subprocess.Popen [['touch', '{file}']]",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    "!!python/object:agents.records.Usage {{}}",
    "!mine x",
]

_plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    # A text such as 0E0 is a number to YAML 1.2 and not to PyYAML, which writes it without quotes.
    | st.text(st.characters(min_codepoint=32, max_codepoint=126)).filter(lambda text: not re.search(r"\d[eE]", text)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(categories=["L"])), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(_plain)
def test_plain_data_comes_back(data: Any) -> None:
    assert parse_document(yaml.safe_dump(data), "x") == data


@settings(deadline=None)
@given(st.text())
def test_any_text_is_data_or_bad_input(text: str) -> None:
    try:
        parse_document(text, "x")
    except InputError as error:
        assert str(error).startswith("x: ")


@pytest.mark.parametrize("attack", OBJECTS)
def test_no_tag_makes_an_object(attack: str, tmp_path: Path) -> None:
    file = tmp_path / "made"
    with pytest.raises(InputError, match="would make an object"):
        parse_document(attack.format(file=file), "x")
    pack = tmp_path / "mine.yaml"
    pack.write_text(f"name: {attack.format(file=file)}\n")
    for load in (load_pack, load_rubric):
        with pytest.raises(InputError, match="mine.yaml"):
            load(str(pack))
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "unfolds into more than"),
        ("&a [*a]", "stands for nothing yet, or for itself"),
        ("[*none]", "stands for nothing"),
        ("[" * 100_000, "nested more than"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested more than"),
        ("- " * 100_000, "nested more than"),
        ("9" * 5000, "cannot make"),
        ("? [a]\n: b", "a key is a map or a list"),
        ("a: 1\n---\nb: 2", "not a readable YAML"),
        ("a: \x1b[31m", "not a readable YAML"),
        ("a: [1", "not a readable YAML"),
    ],
    ids=[
        "bomb",
        "itself",
        "no-anchor",
        "deep",
        "a-little-deep",
        "deep-block",
        "number",
        "key",
        "two",
        "esc",
        "half",
    ],
)
def test_what_could_hurt_is_refused_at_once(text: str, says: str) -> None:
    started = time.process_time()  # its own, however busy the machine is
    with pytest.raises(InputError, match=says) as raised:
        parse_document(text, "mine.yaml")
    assert "mine.yaml" in str(raised.value) and len(str(raised.value)) < 500
    assert time.process_time() - started < 5.0


def test_honest_aliases_work() -> None:
    assert parse_document("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", "x") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


def test_odd_files(tmp_path: Path) -> None:
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="bytes; at most"):
        read_document(huge, "pack huge.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_document(tmp_path / "latin.yaml", "x")
    with pytest.raises(InputError, match="cannot be read"):
        read_document(tmp_path / "none.yaml", "x")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match="no such file"):
        load_pack(str(tmp_path / "pipe.yaml"))


def hostile_pack(tmp_path: Path, old: str, new: str) -> str:
    """A sound pack with one text replaced."""
    item = (
        '{id: x-1, area: A, concept: c, keywords: [k], opening: "OPEN", question: "q?", options: [{text: a, '
        "correct: true}, {text: b, misconception: thinks b}], "
        "transfer: {question: t?, options: [{text: c, correct: true}, {text: d}]}}"
    )
    text = f"name: p\nsubject: s\ngrade: '6'\nlicence: l\nauthor: a\nitems: [{item}]\n"
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


@pytest.mark.parametrize("item_id", ["../../up", "/etc/passwd", "a/b", "..", "a\\x00b", "", "x" * 65, "a\\nb"])
def test_an_item_id_is_no_path(tmp_path: Path, item_id: str) -> None:
    with pytest.raises(InputError, match="field id"):
        load_pack(hostile_pack(tmp_path, "id: x-1", f'id: "{item_id}"'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\\e[2J\\e]0;owned\\a", r"U\+001B"),
        ("\\u202eneddih", r"U\+202E"),
        ("\\U000E0041", r"U\+E0041"),
        ("\\u0000", r"U\+0000"),
        ("x" * 2001, "at most 2000"),
        ("x" * 10_000_000, "at most 2000"),
    ],
    ids=["escape", "direction", "tag", "nul", "long", "huge"],
)
def test_a_packs_texts_are_plain_and_short(tmp_path: Path, text: str, says: str) -> None:
    for old in ("OPEN", "thinks b"):
        new = text if old == "OPEN" else f'"{text}"'
        with pytest.raises(InputError, match=f"item 'x-1'.*{says}") as raised:
            load_pack(hostile_pack(tmp_path, old, new))
        assert len(str(raised.value)) < 600 and "\x1b" not in str(raised.value)


def test_markup_in_a_pack_is_text(tmp_path: Path) -> None:
    script = "<script>alert(1)</script> \u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f680"
    assert load_pack(hostile_pack(tmp_path, "OPEN", script)).items[0].opening == script


@pytest.mark.parametrize("name", ["../packs/physics", "/etc/passwd", "physics/../physics", "..", ""])
def test_a_shipped_pack_is_known_by_its_name_alone(name: str) -> None:
    with pytest.raises(InputError, match="no pack"):
        load_pack(name)


def test_a_pack_whose_items_are_no_list_is_refused_by_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for items in ("3", "{}", "[[]]", "[null]", "{0: {id: x}}"):
        path.write_text(f"name: p\nsubject: s\ngrade: '6'\nlicence: l\nauthor: a\nitems: {items}\n")
        with pytest.raises(InputError, match="mine.yaml"):
            load_pack(str(path))


def test_a_rubric_that_unfolds_is_refused() -> None:
    good = next(iter(shipped_rubrics().values()))
    with pytest.raises(InputError, match="unfolds"):
        parse_rubric(f"{good}\n{BOMB}", "mine.yaml")


@settings(deadline=None)
@given(st.text())
def test_a_visible_text_hides_nothing_and_honest_text_stays(text: str) -> None:
    found = visible(text)
    assert not hidden_characters(found) and visible(found) == found
    if not hidden_characters(text):
        assert found == text.replace("\r\n", "\n") == text
    assert "\x1b" not in found and "\u202e" not in found


def test_what_scripts_and_emoji_need_is_kept() -> None:
    family = "\U0001f469\u200d\U0001f680 \u0645\u06cc\u200c\u0634\u0648\u062f \u2764\ufe0f"
    assert visible(family) == family
    assert visible("a\r\nb\x1b[1mc\ud800") == "a\nb\ufffd[1mc\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "on",
        "010",
        "-0777",
        "1_000",
        "1:30",
        "190:20:30",
        "0x1F",
        "0o17",
        "0b11",
        "2026-11-30",
        "=",
        "tRue",
    ],
)
def test_what_versions_of_yaml_read_differently_is_a_text(text: str) -> None:
    assert parse_document(f"a: {text}\n{text}: b", "x") == {"a": text, text: "b"}


def test_the_core_schema_of_yaml_is_read() -> None:
    text = "[~, null, '', true, FALSE, 0, -12, +5, 1e-4, 1.5e+3, .5, 1., '5', !!str 5, !!int '5', !!float 5]"
    wanted = [None, None, "", True, False, 0, -12, 5, 1e-4, 1500.0, 0.5, 1.0, "5", "5", 5, 5.0]
    found = parse_document(text, "x")
    assert found == wanted and [type(one) for one in found] == [type(one) for one in wanted]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1)),
        ("a:\n  b: {c: 1,\n      'c': 2}", (3, 2)),
        ("- x\n- 1: a\n  1.0: b", (3, 2)),
        ("- x\n- 1: a\n  '1': b", (3, 2)),
        ("'-0': a\n+0: b\n-0: c", (3, 2)),
        ('true: a\n"true": b', (2, 1)),
        ("x: {0.5: a, '0.5': b}", (1, 1)),
        ("'null': a\n~: b", (2, 1)),
        ("TRUE: a\ntrue: b", (2, 1)),
        ("1e3: a\n1000: b", (2, 1)),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a", (4, 3)),
        ("? a\n: 1\n? a\n: 2", (3, 1)),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(text: str, lines: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"x: line {lines[0]}: the key .* stands twice, first on line {lines[1]}"):
        parse_document(text, "x")


def test_a_key_over_a_merged_one_is_no_second_one() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}"
    assert parse_document(text, "x")["c"] == {"x": 1, "y": 1, "z": 3}
    text = "a: &a {1: 1, '2': 1}\nb: &b {'2': 2, 2.5: 2, 3: 2}\nc: {'3': 3, <<: [*a, *b]}"
    assert parse_document(text, "x")["c"] == {"1": 1, "2": 1, "2.5": 2, "3": 3}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["1e3", "yes", "010", "1:30", ".5e3", "x"]), st.text(max_size=6) | st.floats()))
def test_what_was_dumped_is_read_as_it_was(data: dict[str, Any]) -> None:
    assert repr(parse_document(dump_document(data), "x")) == repr(data)


class _Strict(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)
    number: float = 0.0
    count: int = 0
    flag: bool = False
    text: str = ""
    several: tuple[float, ...] = ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("number: yes", "; line 1; `yes` is read differently by versions of YAML: write a decimal number"),
        ("count: true", "; line 1"),
        ("flag: x\n\ncount: 1:30", "; line 3; `1:30` is read differently by versions of YAML: write a decimal number"),
        ("count: 010", "`010` is read differently"),
        ("count: 1_000", "`1_000` is read differently"),
        ("count: 2.0", "; line 1"),
        ("count: '2'", "; line 1"),
        ("flag: on", "`on` is read differently by versions of YAML: write true or false"),
        ("flag: 1", "; line 1"),
        ("number: true", "; line 1"),
        ("number: .inf", "; line 1"),
        ("number: 1e999", "; line 1"),
        ("several:\n- 1\n- .nan", "; line 3"),
        ("text: 5", "`5` without quotes is no text: quote it"),
        ("text: true", "`true` without quotes is no text: quote it"),
    ],
)
def test_a_value_of_another_type_is_refused_where_it_stands(text: str, says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validated(_Strict, parse_document(text, "x"))
    assert says in "".join(located(text, detail) for detail in raised.value.errors())


def test_honest_values_are_taken() -> None:
    made = validated(_Strict, parse_document("number: 1\ntext: no\nseveral: [1, 2.5]\nflag: true", "x"))
    assert made == _Strict(number=1.0, text="no", several=(1.0, 2.5), flag=True)
