"""Which form of belief probe is valid on a model, and what a run does where none is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import cast, config, spec
from rich.console import Console

from agents.engines.base import Message
from agents.engines.scripted import ScriptedEngine
from agents.errors import InputError
from agents.packs import load_pack
from agents.probes import FORMS
from agents.records import Dialogue
from sim.belief import Heard, ProbeCheck, find_check, keep_check, model_key, settled
from sim.config import Config, DialogueConfig, PoolConfig
from sim.episode import Episode
from sim.experiment.metrics import METRICS
from sim.probe_check import LEAST, Rows, check_items, check_probes, judged, lessons, measure_forms

ITEM = load_pack("earth_science").item("es-astro-01")
REAL = {"class": {"roles": ["student"]}, "tutor": {"roles": ["tutor"], "shares": "class"}}
"""Pools of engines that are never started."""


def understands(messages: Sequence[Message], text: str) -> float:
    """A made-up student that hears what is said of an answer, and not its words."""
    heard = " ".join(message["content"] for message in messages if message["role"] == "user")
    if f"right answer is this: {text}" in heard:
        return -0.5
    return -3.0 if f"answer is wrong: {text}" in heard else -1.0


def rows(student: ScriptedEngine, *forms: str) -> Rows:
    items = check_items(config())
    assert len(items) >= LEAST
    return asyncio.run(measure_forms(student, items, seed=7, forms=forms))


def test_a_form_that_hears_what_is_said_is_valid() -> None:
    heard, chosen = judged(rows(ScriptedEngine(["Hm."], scorer=understands), "text_mean", "text_sum"))
    assert chosen and set(chosen) <= {"text_mean", "text_sum"} and not heard[0].fails
    mean, low, high = heard[0].gains["deny"]
    assert low <= mean <= high < 0.0 < heard[0].gains["assert"][1]
    assert heard[0].transfer_fails, "it understands no explanation"


def test_a_form_that_hears_words_is_not() -> None:
    heard, chosen = judged(rows(ScriptedEngine(["Hm."]), "text_mean"))
    assert chosen == ()
    assert any(fault.startswith("deny") for fault in heard[0].fails)
    assert any(fault.startswith("shuffled") for fault in heard[0].fails)


def test_nothing_passes_by_default() -> None:
    flat, _ = judged(rows(ScriptedEngine(["Hm."], scorer=lambda messages, text: -1.0), "text_mean"))
    assert "does not raise" in flat[0].fails[0]
    few = {"text_mean": {"assert": {str(i): 0.4 + i / 100 for i in range(LEAST - 1)}}}
    assert "19 items" in judged(few)[0][0].fails[0]
    without = {"text_mean": {"assert": {str(i): 0.4 + i / 100 for i in range(LEAST)}}}
    assert len(judged(without)[0][0].fails) == 4, "a control that was not measured is not passed"


@pytest.mark.parametrize("control", ["deny", "shuffled", "mislead", "small_talk"])
def test_each_control_alone_fails_a_form(control: str) -> None:
    def each(value: float) -> dict[str, float]:
        return {str(i): value + i / 1000 for i in range(LEAST)}

    good = {
        "assert": each(0.4),
        "deny": each(-0.2),
        "shuffled": each(0.0),
        "mislead": each(-0.3),
        "small_talk": each(0),
    }
    assert not judged({"letters": good})[0][0].fails
    bad = {**good, control: each(0.15)}
    assert [fault.split()[0] for fault in judged({"letters": bad})[0][0].fails] == [control]


def test_lessons_are_written_for_every_item_they_name() -> None:
    items = check_items(config())
    assert len(items) >= 24
    for item in items:
        told = {lesson.name: lesson.text for lesson in lessons(item, 0 if item.question.answer else 1)}
        assert {"paraphrase", "explain", "shuffled", "assert", "deny"} <= set(told)
        assert item.question.answer_text in told["assert"] and item.question.answer_text in told["deny"]
        assert sorted(told["shuffled"].split()) == sorted(item.question.answer_text.split())


def test_a_paraphrase_says_no_telling_word_of_the_answer() -> None:
    from agents.judges.normal import content

    for item in check_items(config()):
        told = {lesson.name: lesson.text for lesson in lessons(item, 0 if item.question.answer else 1)}
        shared = set(content(item.question.answer_text)) & set(content(told["paraphrase"]))
        assert not shared, f"{item.id}: {shared}"


def checked(*chosen: str, transfer: bool = True) -> ProbeCheck:
    forms = tuple(
        Heard(
            form, {"assert": (0.4, 0.3, 0.5)}, () if form in chosen else ("deny raises it",), () if transfer else ("x",)
        )
        for form in ("text_mean", "letters", "yes_no")
    )
    return ProbeCheck("smollm2-135m", "en", 24, forms, chosen, "c", "2026-11-30", "m")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def real(**probes: object) -> Config:
    return Config.model_validate({"name": "t", "model": "owner/model", "pools": REAL, "probes": probes})


def keep(check: ProbeCheck) -> None:
    keep_check(check, model_key(PoolConfig(), "owner/model"))


def test_a_model_that_nobody_checked_measures_no_belief() -> None:
    probes = settled(real()).probes
    assert (probes.form, probes.question, probes.transfer, probes.candidate) == ("none", False, False, "none")
    assert "owner/model" in probes.says and "tutorloop check" in probes.says


def test_a_run_takes_the_form_that_its_check_chose() -> None:
    keep(checked("letters", "yes_no"))
    assert (settled(real()).probes.form, settled(real()).probes.hears_echo) == ("letters", True)
    assert settled(real(form="yes_no")).probes.form == "yes_no"
    assert settled(real(form="text_mean")).probes.form == "none", "it failed its check"
    keep(checked("letters", transfer=False))
    assert settled(real()).probes.question and not settled(real()).probes.transfer
    keep(checked())
    assert settled(real()).probes.form == "none"


def test_a_form_that_failed_is_used_only_aloud() -> None:
    keep(checked("letters"))
    probes = settled(real(form="text_mean", unchecked=True)).probes
    assert probes.form == "text_mean" and probes.question and "UNCHECKED" in probes.says and "failed" in probes.says
    with pytest.raises(InputError, match="name the form"):
        settled(real(unchecked=True))
    with pytest.raises(InputError, match="text_mean"):
        settled(real(form="text_means"))


def test_candidates_are_not_probed_by_a_form_that_nobody_checked() -> None:
    """Also where no dialogue is probed."""
    off = {"question": False, "transfer": False}
    unchecked = real(**off).model_copy(update={"dialogue": DialogueConfig(candidates=4)})
    assert settled(unchecked).probes.form == "none" and settled(unchecked).probes.candidate == "none"
    assert settled(real(**off)).probes == real(**off).probes, "nothing is asked, so nothing is said of it"


def test_what_is_settled_stays_so() -> None:
    keep(checked("letters"))
    for given in (real(), real(form="none"), real(form="text_mean")):
        once = settled(given)
        assert settled(once) == once


def test_a_check_is_of_a_language_and_of_what_lies_in_a_folder(tmp_path: Path) -> None:
    keep(checked("letters"))
    key = model_key(PoolConfig(), "owner/model")
    assert find_check(key, "en") == checked("letters") and find_check(key, "fr") is None
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"one")
    first = model_key(PoolConfig(), str(folder))
    (folder / "model.safetensors").write_bytes(b"two")
    assert first != model_key(PoolConfig(), str(folder)) and first.startswith("mine-")
    here = PoolConfig(engine="openai", base_url="http://localhost:1/v1")
    there = PoolConfig(engine="openai", base_url="http://localhost:2/v1")
    assert model_key(here, "m") != model_key(there, "m")


def test_a_damaged_check_is_said() -> None:
    keep(checked("letters"))
    for file in Path(str(keep_check(checked(), "other"))).parent.glob("owner*"):
        file.write_text('{"version": 1}')
    with pytest.raises(InputError, match="delete the file"):
        settled(real())


def play(probes: dict[str, object], *, candidates: int = 1) -> Dialogue:
    settings = config(dialogue={"turns": 2}, probes=probes)
    return asyncio.run(Episode(spec(), ITEM, cast(settings), settings, candidates=candidates).run())


def test_gain_is_net_of_echo() -> None:
    dialogue = play({"form": "text_mean", "says": "made up"})
    assert [probe.kind for probe in dialogue.probes][-2:] == ["echo", "transfer_echo"]
    assert dialogue.raw_gain is not None and dialogue.echo is not None and dialogue.gain is not None
    assert dialogue.gain == pytest.approx(dialogue.raw_gain - dialogue.echo)
    assert dialogue.gain == pytest.approx(0.0), "a script's scores hear words alone, in whatever order"
    assert dialogue.components["gain"] == pytest.approx(0.0)
    quiet = play({"form": "text_mean", "echo": False})
    assert quiet.echo is None and quiet.gain == quiet.raw_gain != 0.0
    trained = play({"form": "text_mean"}, candidates=2)
    for turn in trained.tutor_turns:
        for one in turn.candidates:
            assert one.probe and one.echo and one.gain == pytest.approx(one.probe.right - one.echo.right)


def test_where_belief_is_not_measured_nothing_follows_from_it() -> None:
    off: dict[str, object] = {"form": "none", "question": False, "transfer": False, "candidate": "none"}
    dialogue = play(off, candidates=2)
    assert dialogue.failure is None and dialogue.probes == () and dialogue.reward is not None
    assert "gain" not in dialogue.components
    for name in ("gain", "raw_gain", "echo", "net_gain", "transfer_gain", "resolved", "turns_to_right"):
        assert METRICS[name].value(dialogue) is None


def test_the_check_prints_its_table_and_keeps_what_it_found() -> None:
    console = Console(record=True, width=200)
    check_probes(config(), console, forms=("text_mean", "masked_text_sum"))
    told = console.export_text()
    assert "masked_text_sum" in told and "deny raises it by" in told
    assert "no form is valid on smollm2-135m" in told


def test_no_form_is_valid_on_the_embedded_model() -> None:
    shipped = find_check("smollm2-135m", "en")
    assert shipped is not None and shipped.items >= LEAST and shipped.chosen == ()
    assert {one.form for one in shipped.forms} == set(FORMS) and all(one.fails for one in shipped.forms)
    probes = settled(real().model_copy(update={"model": "smollm2-135m"})).probes
    assert probes.form == "none" and "24 items" in probes.says
