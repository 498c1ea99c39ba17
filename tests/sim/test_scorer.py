"""A scorer in a config: it judges the dialogues of a run, and it is trained by a config of kind scorer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import cast, config, spec
from rich.console import Console
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401
from test_scorer_fit import HELD, TRAIN, make_settings

from agents.errors import InputError
from agents.packs import load_pack
from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.config_training import ScorerConfig
from sim.dataset import rated_unit
from sim.episode import Episode
from sim.load_training import check_training
from sim.progress import Teller
from sim.tables import show_scorer
from sim.training import scorer_device, train_scorer
from trainers.scorer.fit import fit_scorer
from trainers.scorer.scorer import load_scorer
from trainers.scorer.settings import Example
from trainers.scorer.text import dialogue_text

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "convolearn_style.jsonl"


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


def test_a_config_of_kind_scorer_trains_and_measures_one(tmp_path: Path) -> None:
    settings = Config.model_validate(
        {
            "name": "s",
            "kind": "scorer",
            "data": {"path": str(EXAMPLES), "format": "convolearn", "validation": 0.2},
            "scorer": {
                "kind": "encoder",
                "encoder": save_encoder(tmp_path / "encoder"),
                "epochs": 2,
                "head_learning_rate": 0.02,
                "precision": "bfloat16",
                "max_tokens": 48,
                "dimension_tag": True,
                "device": "cpu",
            },
        }
    )
    lines = Console(file=(tmp_path / "said").open("w"), width=200)
    report, folder = train_scorer(settings, tmp_path / "out", Teller(lines))
    trained = load_scorer(folder)
    assert (trained.settings.precision, trained.settings.head_learning_rate) == ("bfloat16", 0.02)
    assert trained.dimension_tag and trained.settings.max_tokens == 48
    facts = json.loads((tmp_path / "out" / "data.json").read_text())
    assert facts["train"] + facts["validation"] + facts["test"] == facts["dialogues"] == 48
    assert trained.about["trained_on"]["n"] == facts["train"] and trained.about["trained_on"]["corpus"] == EXAMPLES.name
    mae = report["metrics"]["mae"]["scorer"]
    assert mae["n"] == facts["test"] and 0.0 <= mae["value"] <= 4.0
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_words_learn_from_all_that_is_no_test_and_say_what_tf_idf_says(tmp_path: Path) -> None:
    settings = Config.model_validate(
        {
            "name": "s",
            "kind": "scorer",
            "data": {"path": str(EXAMPLES), "format": "convolearn", "validation": 0.2},
            "scorer": {},
        }
    )
    lines = Console(record=True, width=200, file=(tmp_path / "said").open("w"))
    report, folder = train_scorer(settings, tmp_path / "out", Teller(lines))
    facts = json.loads((tmp_path / "out" / "data.json").read_text())
    trained = load_scorer(folder)
    assert trained.settings.kind == "words" and trained.settings.unit == "dialogue"
    assert trained.about["trained_on"]["n"] == facts["train"] + facts["validation"]
    kappa = report["metrics"]["kappa"]
    assert kappa["baseline"]["n"] == facts["test"] and kappa["over_baseline"]["clusters"] == report["groups"]
    show_scorer(report, folder, lines)
    said = lines.export_text()
    assert "over TF-IDF" in said and ("warning:" in said) == bool(report["warning"])


def test_what_was_rated_follows_from_the_format_and_a_key_of_an_encoder_is_not_passed_over(tmp_path: Path) -> None:
    def of(data_format: str, **scorer: object) -> Config:
        data = {"path": str(EXAMPLES), "format": data_format, "validation": 0.2}
        return Config.model_validate({"name": "s", "kind": "scorer", "data": data, "scorer": scorer})

    for made, unit in (
        (of("mrbench"), "reply"),
        (of("convolearn"), "dialogue"),
        (of("mrbench", unit="dialogue"), "dialogue"),
    ):
        assert made.scorer is not None and rated_unit(made, made.scorer) == unit
    check_training(of("convolearn", kind="encoder", epochs=2), "c.yaml")
    check_training(of("convolearn", epochs=10), "c.yaml")
    with pytest.raises(InputError, match="c.yaml: scorer.epochs: 2 is for an encoder, but scorer.kind is 'words'"):
        check_training(of("convolearn", epochs=2, max_tokens=64), "c.yaml")


def test_a_scorer_goes_where_it_is_told_and_never_elsewhere_in_silence() -> None:
    found = torch.cuda.device_count()
    assert scorer_device("auto") == ("cuda" if found else "cpu") and scorer_device("cpu") == "cpu"
    with pytest.raises(InputError, match=f"scorer.device: 'cuda:{found}', but torch finds {found} GPUs"):
        scorer_device(f"cuda:{found}")
    with pytest.raises(ValueError, match="device"):
        ScorerConfig(device="gpu")
