"""A scorer in a config: it judges the dialogues of a run, and it is trained by a config of kind scorer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from builders import cast, config, spec
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401
from test_scorer_fit import HELD, TRAIN, make_settings

from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec
from sim.episode import Episode
from trainers.scorer.fit import fit_scorer
from trainers.scorer.scorer import load_scorer
from trainers.scorer.settings import Example
from trainers.scorer.text import dialogue_text


def headed(examples: list[Example]) -> list[Example]:
    return [replace(example, text=f"Dimension: moon\n{example.text}") for example in examples]


@pytest.fixture(scope="module", params=[False, True])
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """A trained scorer, and whether its texts had a header."""
    folder, tagged = tmp_path_factory.mktemp("scorers") / "asks-v1", bool(request.param)
    settings = make_settings(save_encoder(tmp_path_factory.mktemp("encoder")), epochs=1)
    train, held = (headed(TRAIN), headed(HELD)) if tagged else (TRAIN, HELD)
    fit_scorer(train, held, settings, folder, corpus="made up")
    return folder, tagged


def play(folder: Path, episode: EpisodeSpec) -> Dialogue:
    settings = config(dialogue={"turns": 2}, scorer={"path": str(folder)})
    item = load_pack(episode.pack).item(episode.item_id)
    return asyncio.run(Episode(episode, item, cast(settings), settings, candidates=1).run())


def test_a_scorer_judges_every_dialogue_of_a_run(scorer: tuple[Path, bool]) -> None:
    folder, tagged = scorer
    dialogue = play(folder, replace(spec(), strategy_settings={"dimension": "moon"}))
    (verdict,) = dialogue.verdicts
    (expected,) = load_scorer(folder).score([dialogue_text(dialogue, dimension_tag=tagged)])
    assert (verdict.judge, verdict.name) == ("scorer:asks-v1", "quality")
    assert verdict.score == pytest.approx(expected.expected)


def test_a_dialogue_without_the_dimension_that_a_scorer_reads_is_invalid(scorer: tuple[Path, bool]) -> None:
    folder, tagged = scorer
    dialogue = play(folder, spec())
    (verdict,) = dialogue.verdicts
    assert dialogue.failure is None and (verdict.kind == "invalid") == tagged
    assert not tagged or "has none" in verdict.rationale
