"""Packs in Russian, Chinese and French: controls and a strategy get the right marks; what is not measured is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from builders import cast, config

from agents.controls import DUMPS_IN, SMALL_TALK, TALK_IN, ControlTutor
from agents.engines.scripted import ScriptedEngine
from agents.errors import InputError
from agents.judges.grammar import languages
from agents.judges.rules import find_leaks, judge_turn, measured
from agents.packs import load_pack, shipped_packs
from agents.records import Dialogue
from sim.config import Config
from sim.config_experiment import TutorArm
from sim.episode import Episode
from sim.experiment.experiment import analyse
from sim.grid import experiment_specs
from sim.load import load_config

PACKS = {one: str(Path(__file__).parents[1] / "packs" / f"{one}.yaml") for one in ("russian", "chinese", "french")}
ASKING = {
    "russian": ("Как ты пришёл к этому ответу?", "Почему ты так думаешь?", "Какой шаг ты бы проверил первым?"),
    "chinese": ("你是怎么得到这个答案的？", "你为什么这样想？", "你会先检查哪一步？"),
    "french": ("Comment as-tu trouvé cela ?", "Pourquoi penses-tu cela ?", "Quelle étape vérifierais-tu d'abord ?"),
}
STUDENT = {"russian": "Не знаю, может быть.", "chinese": "我不知道，也许吧。", "french": "Je ne sais pas, peut-être."}
ARMS = [TutorArm(name="asks"), *(TutorArm(name=one, control=one) for one in ("answer_dump", "irrelevant", "silent"))]


def held(name: str) -> tuple[Config, list[Dialogue]]:
    """Every dialogue of an experiment on the pack, on scripted engines."""
    settings = config(
        kind="run",
        items={"pack": PACKS[name]},
        tutors=[arm.model_dump() for arm in ARMS],
        students={"personas": ["engaged"]},
        dialogue={"turns": 3},
    )
    pack = load_pack(PACKS[name])
    tutor, student = ScriptedEngine(ASKING[name]), ScriptedEngine((STUDENT[name],))

    async def hold() -> list[Dialogue]:
        roles = cast(settings, tutor=tutor, student=student)
        return [
            await Episode(spec, pack.item(spec.item_id), roles, settings, candidates=1).run()
            for spec in experiment_specs(settings)
        ]

    return settings, asyncio.run(hold())


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_in_another_language_gets_the_right_marks(name: str) -> None:
    settings, dialogues = held(name)
    assert len(dialogues) == 5 * len(ARMS) and not any(d.failure for d in dialogues)
    found = analyse(settings, dialogues, planned=experiment_specs(settings))
    figures = {row["tutor"]: row["figures"] for row in found["tutors"]}

    def mean(tutor: str, measure: str) -> float:
        return float(figures[tutor][measure]["mean"])

    assert (mean("answer_dump", "leak_rate"), mean("answer_dump", "question_share")) == (1.0, 0.0)
    assert (mean("asks", "leak_rate"), mean("asks", "question_share")) == (0.0, 1.0)
    assert (mean("irrelevant", "leak_rate"), mean("irrelevant", "question_share")) == (0.0, 0.0)
    assert (mean("irrelevant", "on_item"), mean("silent", "question_share")) == (0.0, 0.0)
    assert mean("answer_dump", "net_gain") == 0.0 and mean("answer_dump", "on_item") > 0.4
    for row in found["tutors"]:
        assert "grade" not in row["figures"] and row["not_measured"]["grade"] == 5
    assert any("grade" in sentence and "not measured" in sentence.lower() for sentence in found["methods"])


@pytest.mark.parametrize("name", PACKS)
def test_every_line_of_a_control_gets_its_mark_on_every_item(name: str) -> None:
    for one in load_pack(PACKS[name]).items:
        talk = TALK_IN[one.language.split("-")[0]]
        for number in range(len(talk)):
            text = ControlTutor("irrelevant", one).says(number)
            rules, leaks = judge_turn(text, one, turn=1)
            assert (rules.question, rules.on_item, leaks) == (False, 0.0, []), (one.id, text)
            dumped = judge_turn(ControlTutor("answer_dump", one).says(number), one, turn=1)[0]
            assert (dumped.leak, dumped.question) == (1.0, False), one.id
        assert not find_leaks(one.opening, one.question, turn=0)


def test_a_dump_leaks_in_every_listed_language() -> None:
    assert set(DUMPS_IN) == set(languages())
    for one in load_pack(PACKS["french"]).items:
        for lines in DUMPS_IN.values():
            for line in lines:
                assert find_leaks(line.format(answer=one.question.answer_text), one.question, turn=1), line


def written(folder: Path, language: str) -> Path:
    """The French pack, said to be in another language."""
    raw = yaml.safe_load(Path(PACKS["french"]).read_text(encoding="utf-8"))
    place = folder / "pack.yaml"
    place.write_text(yaml.safe_dump(raw | {"language": language}, allow_unicode=True), encoding="utf-8")
    return place


def checked(folder: Path, pack: Path, **changes: object) -> Config:
    """Reads a config with the pack from a file."""
    pools = {"class": {"roles": ["student", "tutor"], "engine": "scripted", "script": ["What do you see?"]}}
    place = folder / "c.yaml"
    place.write_text(
        yaml.safe_dump({"name": "t", "kind": "run", "items": {"pack": str(pack)}, "pools": pools, **changes})
    )
    return load_config(place)


def test_a_measure_that_the_language_lacks_is_refused_where_it_is_named(tmp_path: Path) -> None:
    korean = written(tmp_path, "ko")
    assert measured("ko") == {"leak", "repetition", "words"} and load_pack(str(korean)).items[0].language == "ko"
    with pytest.raises(InputError, match=r"experiment.metrics: 'question_share': not measured in 'ko'.*name other"):
        checked(tmp_path, korean)
    with pytest.raises(InputError, match="'grade': not measured in 'ko'"):
        checked(tmp_path, korean, experiment={"metrics": ["grade"]})
    with pytest.raises(InputError, match=r"reward.question: not measured in 'ko'.*set reward.question to 0"):
        checked(tmp_path, korean, experiment={"metrics": ["reward"]})
    assert checked(tmp_path, korean, experiment={"metrics": ["leak_rate", "repetition"]}).items.pack == str(korean)
    weights = {"question": 0, "on_item": 0}
    assert checked(tmp_path, korean, experiment={"metrics": ["reward"]}, reward=weights)
    with pytest.raises(InputError, match="'grade': not measured in 'fr'"):
        checked(tmp_path, Path(PACKS["french"]), experiment={"metrics": ["leak_rate", "grade"]})
    assert checked(tmp_path, Path(PACKS["french"]))


def test_a_pack_in_which_a_dump_is_no_leak_is_refused_for_leaks(tmp_path: Path) -> None:
    raw = yaml.safe_load(Path(PACKS["french"]).read_text(encoding="utf-8"))
    raw["items"][0]["options"][0]["text"] = "…"
    place = tmp_path / "pack.yaml"
    place.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    with pytest.raises(InputError, match=r"item 'fr-01': saying the answer is not found to be a leak"):
        checked(tmp_path, place)


def test_a_language_is_named_by_its_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"language.*code \(BCP 47\)"):
        load_pack(str(written(tmp_path, "french")))
    assert load_pack(str(written(tmp_path, "pt-BR"))).language == "pt-BR"
    assert {load_pack(name).language for name in shipped_packs()} == {"en"}


def test_small_talk_is_english_where_no_other_is_listed(tmp_path: Path) -> None:
    one = load_pack(str(written(tmp_path, "ko"))).items[0]
    assert ControlTutor("irrelevant", one).says(0) in SMALL_TALK
    assert ControlTutor("answer_dump", one).says(0) == one.question.answer_text
