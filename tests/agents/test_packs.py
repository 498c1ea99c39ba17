"""Packs that ship are sound; a bad one is rejected by file, item and field."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.errors import InputError
from agents.judges.normal import content
from agents.packs import load_pack, pack_warnings, shipped_packs


def test_packs_cover_their_areas() -> None:
    pack = load_pack("earth_science")
    assert Counter(item.area for item in pack.items) == {
        "Astronomy and Cosmology": 15,
        "Solid Earth": 15,
        "Investigation and Experimentation": 15,
        "Earth's Energy": 15,
    }
    assert len(load_pack("physics").items) == 30
    humanities = load_pack("humanities").items
    assert Counter(item.area for item in humanities) == {
        "Sources and Evidence": 5,
        "Causes and Change": 5,
        "Reading Stories": 5,
        "Reading for Information": 5,
    }
    assert all(len(item.question.options) == len(item.transfer.options) == 4 for item in humanities)


@pytest.mark.parametrize("name", shipped_packs())
def test_the_right_option_is_not_given_away_by_place_or_length(name: str) -> None:
    pack = load_pack(name)
    places = Counter(item.question.answer for item in pack.items)
    assert max(places.values()) <= 0.4 * len(pack.items)
    longest = sum(
        max(range(4), key=lambda i: len(item.question.options[i].text)) == item.question.answer for item in pack.items
    )
    assert longest <= 0.45 * len(pack.items)
    assert pack.licence == "Apache-2.0" and pack.author


@pytest.mark.parametrize("name", shipped_packs())
def test_the_right_option_is_not_given_away_by_words_of_the_question(name: str) -> None:
    """Who takes the option that shares most with the question, or least, is not much better than chance (0.25)."""
    for questions in zip(*((item.question, item.transfer) for item in load_pack(name).items), strict=True):
        right = {"most": 0.0, "least": 0.0}
        for one in questions:
            asked = set(content(one.text))
            shared = [len(asked & (said := set(content(option.text)))) / max(1, len(said)) for option in one.options]
            for end, value in (("most", max(shared)), ("least", min(shared))):
                right[end] += (shared[one.answer] == value) / shared.count(value)
        assert max(right.values()) <= 0.45 * len(questions), right


def test_a_small_selection_covers_every_area() -> None:
    assert len({item.area for item in load_pack("earth_science").spread(4)}) == 4


def _item() -> dict[str, Any]:
    options: list[dict[str, Any]] = [{"text": "a", "correct": True}, {"text": "b", "misconception": "thinks b"}]
    transfer = {"question": "t?", "options": [{"text": "c", "correct": True}, {"text": "d"}]}
    return {
        "id": "x-1",
        "area": "A",
        "concept": "c",
        "keywords": ["k"],
        "opening": "o",
        "question": "q?",
        "options": options,
        "transfer": transfer,
    }


def _load(tmp_path: Path, *items: dict[str, Any]) -> None:
    pack = {"name": "p", "subject": "s", "grade": "6", "licence": "l", "author": "a", "items": list(items)}
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(pack))
    load_pack(str(path))


def test_a_bad_pack_names_file_item_and_field(tmp_path: Path) -> None:
    _load(tmp_path, _item())
    two_right, no_belief, no_answer, same = _item(), _item(), _item(), _item()
    two_right["options"][1] |= {"correct": True}
    no_belief["options"][1].pop("misconception")
    no_answer["transfer"]["options"][0].pop("correct")
    same["options"][1]["text"] = "A"
    missing = _item()
    missing.pop("opening")
    unknown = _item() | {"optoins": []}
    for item, parts in [
        (two_right, ("options", "2 options are marked correct")),
        (no_belief, ("options", "no misconception")),
        (no_answer, ("transfer.options", "0 options")),
        (same, ("options", "same text")),
        (missing, ("opening", "required")),
        (unknown, ("optoins",)),
    ]:
        with pytest.raises(InputError) as caught:
            _load(tmp_path, item)
        for part in ("bad.yaml", "x-1", *parts):
            assert part in str(caught.value)
    with pytest.raises(InputError, match="x-1.*more than once"):
        _load(tmp_path, _item(), _item())
    with pytest.raises(InputError, match="no such file"):
        load_pack(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match="did you mean 'physics'"):
        load_pack("phisics")


def _with(**changes: Any) -> dict[str, Any]:
    return _item() | changes


def _options(right: str, *wrong: str) -> list[dict[str, Any]]:
    beliefs = [{"text": text, "misconception": f"thinks {number}"} for number, text in enumerate(wrong)]
    return [{"text": right, "correct": True}, *beliefs]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (_with(options=_options("a", "  ")), "options.1.text.*is blank"),
        (_with(options=_options("a", "\u00a0\u3000")), "options.1.text.*is blank"),
        (_with(options=_options("\u2800", "b")), "options.0.text.*is blank"),
        (_with(question=" \t"), "question.*is blank"),
        (_with(keywords=[" "]), "keywords.0.*is blank"),
        (_with(options=_options("a b", "a  b ")), "'a b' and 'a  b ', but for case, blanks and Unicode forms"),
        (_with(options=_options("caf\u00e9", "cafe\u0301")), "two options have the same text"),
        (_with(options=_options("H\u2082O", "H2O")), "two options have the same text"),
        (_with(options=_options("\uff11\uff12", "12")), "two options have the same text"),
        (_with(options=_options("it\u2019s hot", "it's hot")), "two options have the same text"),
        (_with(options=_options("\u22125", "-5")), "two options have the same text"),
        (_with(transfer={"question": "t?", "options": _options("x", "y", "Y ")}), "transfer.options.*same text"),
        (_with(transfer={"question": "Q? ", "options": _options("a", "z")}), "transfer: asks what the item asks"),
        (
            _with(options=_options("The tilt of the axis", "The distance"), opening="Why is it warm then?"),
            None,
        ),
        (
            _with(options=_options("The tilt of the axis", "The distance"), opening="It is the tilt of the axis."),
            "field opening: .*gives the answer away",
        ),
        (
            _with(options=[*_options("a", "b", "c")[:2], {"text": "c", "misconception": " Thinks  0"}]),
            "share a misconception",
        ),
        (_with(options=[*_options("a"), {"text": "b", "misconception": " "}]), "'b' has no misconception"),
    ],
)
def test_what_would_spoil_a_measure_is_refused(tmp_path: Path, item: dict[str, Any], says: str | None) -> None:
    if says is None:
        _load(tmp_path, item)
        return
    with pytest.raises(InputError, match=f"item 'x-1'.*{says}"):
        _load(tmp_path, item)


def test_what_only_looks_alike_is_taken(tmp_path: Path) -> None:
    _load(tmp_path, _with(options=_options("10\u00b2", "102", "10-2", "10\u207b\u00b2", "5", "-5")))
    _load(tmp_path, _with(options=_options("Yes", "No")))
    _load(tmp_path, _with(transfer={"question": "q?", "options": _options("z", "y")}))


def test_one_item_under_two_ids_is_refused(tmp_path: Path) -> None:
    again = _with(id="x-2", options=list(reversed(_options("A", "b "))), question="Q?", opening="other")
    with pytest.raises(InputError, match="items 'x-1' and 'x-2' ask the same question with the same options"):
        _load(tmp_path, _item(), again)
    _load(tmp_path, _item(), _with(id="x-2", options=_options("a", "z")))


def test_options_of_uneven_length_are_told_and_shipped_ones_are_even(tmp_path: Path) -> None:
    assert [pack_warnings(load_pack(name)) for name in shipped_packs()] == [[]] * 3
    uneven = _with(options=_options("It is the tilt of the Earth's axis.", "The distance."))
    even = _with(id="x-2", options=_options("The tilt of the axis.", "The distance to it."), question="Why?")
    _load(tmp_path, uneven, even)
    (told,) = pack_warnings(load_pack(str(tmp_path / "bad.yaml")))
    assert "in 1 of 2 items the longest option is more than half longer than the shortest (x-1)" in told
