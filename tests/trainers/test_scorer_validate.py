"""Cross-validation: groups stay together, every row is judged once, and finished folds are kept."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401
from test_scorer_fit import Killed, make_examples, make_settings

from agents.errors import TrainerError
from trainers.scorer.settings import Epoch
from trainers.scorer.validate import assign_folds, cross_validate, hold_out

EXAMPLES = make_examples(180)
GROUPS = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60)


@given(groups=GROUPS, folds=st.integers(2, 5), seed=st.integers(0, 5))
def test_folds_keep_groups_whole_and_even(groups: list[str], folds: int, seed: int) -> None:
    sizes = Counter(groups)
    if len(sizes) < max(3, folds):
        with pytest.raises(TrainerError, match="groups: give at least"):
            assign_folds(groups, folds, seed)
        return
    found = assign_folds(groups, folds, seed)
    assert found == assign_folds(groups, folds, seed) and set(found) == set(range(folds))
    assert all(len({fold for fold, name in zip(found, groups, strict=True) if name == group}) == 1 for group in sizes)
    loads = Counter(found).values()
    assert max(loads) - min(loads) <= max(sizes.values())


@given(groups=GROUPS, share=st.floats(0.05, 0.9), seed=st.integers(0, 5))
def test_held_out_groups_are_whole_and_never_all(groups: list[str], share: float, seed: int) -> None:
    held = hold_out(groups, share, seed)
    inside = {group for group, out in zip(groups, held, strict=True) if out}
    outside = {group for group, out in zip(groups, held, strict=True) if not out}
    assert outside and not inside & outside
    assert bool(inside) == (len(set(groups)) > 1)
    assert sum(held) >= share * len(groups) or len(outside) == 1


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.long
def test_every_row_is_judged_by_a_scorer_that_did_not_see_its_group(encoder: str, tmp_path: Path) -> None:
    settings = make_settings(encoder, epochs=3, batch_size=4)
    heard: list[tuple[int, int]] = []

    def kill(fold: int, epoch: Epoch) -> None:
        heard.append((fold, epoch.number))
        if (fold, epoch.number) == (1, 2):
            raise Killed

    with pytest.raises(Killed):
        cross_validate(EXAMPLES, settings, 3, tmp_path / "a", on_epoch=kill, resamples=100)
    assert heard == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)] and (tmp_path / "a" / "fold-00.json").is_file()
    heard.clear()
    report = cross_validate(
        EXAMPLES, settings, 3, tmp_path / "a", on_epoch=lambda f, e: heard.append((f, e.number)), resamples=100
    )
    assert heard == [(1, 3), (2, 1), (2, 2), (2, 3)]
    whole = cross_validate(EXAMPLES, settings, 3, tmp_path / "b", resamples=100)
    assert whole == report == json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        *(f"fold-{fold:02d}.json" for fold in range(3)),
        "report.json",
    ]
    folds = [json.loads((tmp_path / "a" / f"fold-{fold:02d}.json").read_text(encoding="utf-8")) for fold in range(3)]
    assert sorted(row for fold in folds for row in fold["rows"]) == list(range(180))
    for fold in folds:
        assert fold["n_train"] + fold["n_validation"] + fold["n_test"] == 180
        assert fold["predictions"]["truth"] == [EXAMPLES[row].rating for row in fold["rows"]]
    exact = report["metrics"]["exact"]
    assert exact["scorer"]["n"] == 180 and exact["scorer"]["clusters"] == 30 == report["groups"]
    assert exact["scorer"]["value"] > 0.85 and exact["difference"]["low"] > 0.2
    assert set(report["by_dimension"]) == {"A", "B"} and report["by_dimension"]["A"]["n"] == 90


def test_folds_of_another_study_are_not_mixed_in(encoder: str, tmp_path: Path) -> None:
    settings = make_settings(encoder, epochs=1)
    alone = [replace(example, group="", dimension="") for example in EXAMPLES[:30]]
    report = cross_validate(alone, settings, 2, tmp_path, resamples=20)
    assert report["groups"] == 30 and report["by_dimension"] == {}
    with pytest.raises(TrainerError, match="fold-00.json belongs to other examples, settings or folds"):
        cross_validate(alone, settings, 3, tmp_path)
    with pytest.raises(TrainerError, match="belongs to other"):
        cross_validate(alone[1:], settings, 2, tmp_path)


def test_given_folds_are_the_folds(encoder: str, tmp_path: Path) -> None:
    settings = make_settings(encoder, epochs=1)
    rows, groups = EXAMPLES[:36], [example.group for example in EXAMPLES[:36]]
    # Sizes that the function's own folds, which are even, would not have.
    given_folds = [min(sorted(set(groups)).index(group), 2) for group in groups]
    report = cross_validate(rows, settings, given_folds, tmp_path / "given", resamples=20)
    assert [fold["n_test"] for fold in report["folds"]] == [6, 6, 24]
    stored = json.loads((tmp_path / "given" / "fold-02.json").read_text(encoding="utf-8"))
    assert stored["rows"] == [row for row, fold in enumerate(given_folds) if fold == 2]
    cross_validate(rows, settings, 3, tmp_path / "own", resamples=20)
    # The folder of its own folds is also that of the same folds when they are given.
    again = assign_folds(groups, 3, settings.seed)
    cross_validate(
        rows,
        settings,
        again,
        tmp_path / "own",
        on_epoch=lambda f, e: pytest.fail("a fold was done again"),
        resamples=20,
    )
    with pytest.raises(TrainerError, match="belongs to other"):
        cross_validate(rows, settings, given_folds, tmp_path / "own")


@pytest.mark.parametrize(
    ("of_row", "why"),
    [
        ([0, 1], "2 folds for 12 examples"),
        ([0] * 12, r"numbered \[0\]"),
        ([0] * 6 + [2] * 6, r"numbered \[0, 2\]"),
        ([0] * 5 + [1] * 7, "Group 'g0' is in folds 0 and 1"),
    ],
)
def test_given_folds_that_would_flatter_are_refused(of_row: list[int], why: str, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=why):
        cross_validate(EXAMPLES[:12], make_settings("unused"), of_row, tmp_path)
