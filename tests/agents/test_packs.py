"""Packs that ship are sound; a bad one is rejected by file, item and field."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.errors import InputError
from agents.packs import load_pack, shipped_packs


def test_earth_science_covers_the_four_areas() -> None:
    pack = load_pack("earth_science")
    assert Counter(item.area for item in pack.items) == {
        "Astronomy and Cosmology": 15,
        "Solid Earth": 15,
        "Investigation and Experimentation": 15,
        "Earth's Energy": 15,
    }
    assert len(load_pack("physics").items) == 30


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
