"""`tutorloop compare` on run folders of every kind: what it shows, its exit codes, and no pass without evidence."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import config, dialogue
from rich.console import Console

from agents.errors import InputError
from agents.records import Dialogue, Failure, Verdict
from sim.compare.read import open_run
from sim.compare.show import compare_command
from sim.config import Config
from sim.grid import episodes, experiment_specs
from sim.judging.verdicts import Judgement, VerdictStore, said_digest
from sim.storage.files import locate
from sim.storage.store import RunStore

ITEMS = {"pack": "", "limit": 10}
"""Of a pack that the fixture makes: reading a whole shipped one takes too long for so many runs."""


@pytest.fixture(scope="module", autouse=True)
def small_pack(tmp_path_factory: pytest.TempPathFactory) -> None:
    raw = yaml.safe_load(Path(str(files("agents").joinpath("data/packs/earth_science.yaml"))).read_text("utf-8"))
    path = tmp_path_factory.mktemp("packs") / "small.yaml"
    path.write_text(yaml.safe_dump({**raw, "items": raw["items"][:10]}), encoding="utf-8")
    ITEMS["pack"] = str(path)


def taught(spec: Any, *, leak: float, gain: float, said: str = "Look at it.") -> Dialogue:
    made = dialogue(0, phase=spec.phase, item=spec.item_id, reward=0.0, gain=gain, leak=leak)
    return replace(made, spec=spec, turns=(made.turns[0], replace(made.turns[1], text=said)))


def stored(
    folder: Path,
    *,
    leak: float = 0.0,
    shift: float = 0.0,
    spread: float = 0.0,
    kept: int = 99,
    said: str = "Look at it.",
    **changes: Any,
) -> Path:
    """A run folder of a scripted config; gains are `shift` on average, give or take `spread`, drawn by student."""
    made = config(**{"name": folder.name, "items": ITEMS, **changes})
    store = RunStore(folder)
    store.open(made.model_dump(mode="json"), {"started": "now"})
    specs = experiment_specs(made)[:kept]
    draws = [random.Random(f"{folder.name}{spec.cell}").uniform(-spread, spread) for spec in specs]
    if specs:
        mean = sum(draws) / len(draws)
        store.append(
            [taught(s, leak=leak, gain=shift + x - mean, said=said) for s, x in zip(specs, draws, strict=True)]
        )
    return folder


def compare(first: Any, second: Any, *conditions: str, **how: Any) -> tuple[int, str]:
    out = Console(file=io.StringIO(), width=240, highlight=False)
    code = compare_command(str(first), str(second), conditions=conditions, console=out, **how)
    return code, out.file.getvalue()  # type: ignore[attr-defined]


def test_the_command_passes_fails_or_says_that_it_cannot_tell(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a"), stored(tmp_path / "b", spread=0.1)
    leaky = stored(tmp_path / "leaky", leak=1.0)
    assert compare(a, b)[0] == 0, "without a condition it compares only"
    code, said = compare(a, b, "leak_rate > +0.02", "gain < -0.2")
    assert code == 0 and said.count("PASSED") == 2
    code, said = compare(a, leaky, "leak_rate > +0.02", "gain < -0.2")
    assert code == 1 and "FAILED fail if leak_rate > +0.02: difference +1.000 [+0.564, +1.000], n=20 on 10" in said
    code, said = compare(a, b, "gain < -0.01")
    assert code == 3 and "UNPROVEN fail if gain < -0.01" in said and "more items would tell" in said
    assert compare(a, b, "gain < -0.01", accept_unproven=True)[0] == 0
    assert compare(a, leaky, "gain < -0.01", "leak_rate > 0.5", accept_unproven=True)[0] == 1
    code, said = compare(a, b, "quality < 3", "leak_rate > +0.02", accept_unproven=True)
    assert code == 3 and "no evidence: no finished dialogue of the second run has it" in said


def test_runs_without_a_leak_on_few_items_prove_little_unless_one_is_the_other_again(tmp_path: Path) -> None:
    a, again, other = stored(tmp_path / "a"), stored(tmp_path / "again"), stored(tmp_path / "other", said="Look again.")
    code, said = compare(a, again, "leak_rate > +0.02")
    assert code == 0 and "20 of 20 pairs said the same, word for word" in said
    code, said = compare(a, other, "leak_rate > +0.02")
    assert code == 3 and "0 of 20 pairs said the same, word for word" in said
    assert "nothing varies on 10 items, and up to 30.8% of such items may differ" in said
    assert compare(a, other, "leak_rate > +0.31")[0] == 0, "30.8% are within 0.31"
    assert compare(a, other, "leak_rate > +0.02", accept_unproven=True)[0] == 0


def test_a_tutor_that_is_gone_from_the_candidate_is_not_passed_over(tmp_path: Path) -> None:
    two: dict[str, Any] = {"tutor": {"strategies": ["socratic", "direct"]}}
    both, one = stored(tmp_path / "both", **two), stored(tmp_path / "one")
    code, said = compare(both, one, "leak_rate > +0.02", accept_unproven=True)
    assert code == 3 and "no evidence of direct" in said
    assert f"warning {one} has no direct of {both}" in said
    code, said = compare(both, one, "leak_rate > +0.02", tutors="socratic")
    assert code == 0 and "warning" not in said and f"not compared: direct ({both})" in said
    assert compare(one, both, "leak_rate > +0.02")[0] == 0, "a new tutor has nothing to be worse than"


def judged(folder: Path, panel: str, score: float, judge: str = "rubric:r") -> Path:
    """A run of the config above, judged again by a panel."""
    made, store = stored(folder), VerdictStore(folder / "verdicts" / panel, (judge,))
    dialogues = RunStore(made).dialogues()
    store.append([Judgement(d.id, said_digest(d), judge, (Verdict(judge, "asks", "pass", score),)) for d in dialogues])
    return made


def test_judges_of_one_name_from_two_panels_are_told_and_are_no_proof(tmp_path: Path) -> None:
    a, b, c = (judged(tmp_path / n, panel, 4.0) for n, panel in (("a", "p-1f"), ("b", "p-2e"), ("c", "p-1f")))
    asks = {"metrics": ["rubric:r/asks", "leak_rate"]}
    code, said = compare(a, b, "rubric:r/asks < -0.5", "leak_rate > +0.02", **asks)
    told = f"one name, perhaps two judges: rubric:r by p-1f in {a} and by p-2e in {b}. Judge both runs by one panel"
    assert code == 3 and f"warning rubric:r/asks: {told}" in said and "UNPROVEN fail if rubric:r/asks" in said
    assert f"judged again: {a} by verdicts/p-1f (rubric:r); {b} by verdicts/p-2e (rubric:r)" in said
    assert "leak_rate: one name" not in said and "PASSED fail if leak_rate" in said
    code, said = compare(a, c, "rubric:r/asks < -0.5", **asks)
    assert code == 0 and "warning" not in said and f"judged again: {a} by verdicts/p-1f" in said
    code, said = compare(a, stored(tmp_path / "d"), **asks)
    assert f"rubric:r by p-1f in {a} and by the run itself in {tmp_path / 'd'}" in said and "by no panel" in said


def test_the_rules_are_the_same_judge_in_every_panel(tmp_path: Path) -> None:
    a, b = (judged(tmp_path / n, f"p-{n}", 1.0, "rules:safety") for n in "ab")
    code, said = compare(a, b, "noticed < -0.1", metrics=["noticed"])
    assert code == 0 and "warning" not in said and "judged again" in said


def test_a_run_that_was_cut_short_proves_nothing(tmp_path: Path) -> None:
    a = stored(tmp_path / "a")
    assert compare(a, stored(tmp_path / "b", kept=18), "leak_rate > +0.02", "leak_rate > 0.5")[0] == 0
    code, said = compare(a, stored(tmp_path / "c", kept=14), "leak_rate > +0.02", "leak_rate > 0.5")
    assert code == 3 and said.count("6 of 20 values were lost") == 2
    assert "14 students met both, 6 only the first, 0 only the second" in said
    assert "not run: 0 of 20 with socratic, 6 of 20 with socratic" in said


def test_failed_dialogues_are_counted_and_too_many_of_them_are_no_pass(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a"), stored(tmp_path / "b", kept=0)
    specs = experiment_specs(open_run(str(a)).config or config())
    failed = [Dialogue(spec, failure=Failure("EngineRefused", "tutor", "no")) for spec in specs[:5]]
    RunStore(b).append([*failed, *(taught(spec, leak=0.0, gain=0.0) for spec in specs[5:])])
    code, said = compare(a, b, "leak_rate > +0.02", "leak_rate > 0.5")
    assert said.count("5 of 20 values were lost") == 2, "of the difference and of the run's own mean"
    assert code == 3 and "left out because they failed: 0 (first), 5 (second)" in said


def test_invalid_verdicts_show_in_the_table_and_the_account(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a", kept=0), stored(tmp_path / "b", kept=0)
    specs = experiment_specs(open_config(a))
    good, bad = Verdict("rubric:r", "asks", "pass", 1.0), Verdict("rubric:r", "asks", "invalid")
    for folder, invalid in ((a, 0), (b, 5)):
        verdicts = [(bad if i < invalid else good,) for i in range(len(specs))]
        made = [taught(spec, leak=0.0, gain=0.0) for spec in specs]
        RunStore(folder).append([replace(d, verdicts=v) for d, v in zip(made, verdicts, strict=True)])
    code, said = compare(a, b, "rubric:r/asks < -0.1", metrics=["rubric:r/asks", "gain"])
    above, below = row_of(said, "rubric:r/asks")
    assert above[-2:] == ["0/20", "(0.0%)"] and below[-2:] == ["5/20", "(25.0%)"], "first run above second"
    assert "invalid verdicts: 0/20 (0.0%) (first), 5/20 (25.0%) (second)" in said
    assert code == 3 and "5 of 20 values were lost" in said


def open_config(folder: Path) -> Config:
    return Config.model_validate(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))


def test_the_table_shows_no_p_without_n_and_effect(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a", spread=0.1), stored(tmp_path / "b", spread=0.1, shift=0.01)
    _, said = compare(a, b, metrics=["gain", "leak_rate"])
    above, below = row_of(said, "gain")
    assert above[:3] == ["gain", "0.000", "+0.010"] and below[0] == "0.010"
    assert re.fullmatch(r"\[-0[.\d]+, \+0[.\d]+\]", " ".join(below[1:3])) and above[3:6] == ["20", "/", "10"]
    assert below[3] == "0" and 0.0 < float(above[6]) <= float(below[4]) <= 1.0 and float(above[7]) > 0.0
    above, below = row_of(said, "leak_rate")
    assert above == ["leak_rate", "0.000", "+0.000", "20", "/", "10", "-", "-", "-"]
    assert below == ["0.000", "[-0.308,", "+0.308]", "0", "-"]


def row_of(said: str, metric: str) -> tuple[list[str], list[str]]:
    """The words of the two lines of a measure in the table."""
    lines = [line.split() for line in said.splitlines()]
    found = next(i for i, words in enumerate(lines) if words[:1] == [metric])
    return lines[found], lines[found + 1]


@pytest.mark.parametrize("width", [80, 60])
def test_nothing_is_cut_off_in_a_narrow_log(tmp_path: Path, width: int) -> None:
    out = Console(file=io.StringIO(), width=width, highlight=False)
    a, b = stored(tmp_path / "a", spread=0.1), stored(tmp_path / "b", spread=0.1)
    compare_command(str(a), str(b), conditions=["gain < -0.01", "tokens > +100"], console=out)
    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said and "UNPROVEN fail if gain < -0.01: difference" in said


def test_json_holds_the_same(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a"), stored(tmp_path / "b", spread=0.1, seed=0, dialogue={"turns": 3})
    path = tmp_path / "out" / "gate.json"
    code, said = compare(a, b, "gain < -0.01", json_path=path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["exit_code"] == code == 3 and found["accept_unproven"] is False
    assert found["outcomes"][0]["state"] == "unproven" and found["outcomes"][0]["condition"]["text"] == "gain < -0.01"
    gain = next(m for m in found["tutors"][0]["metrics"] if m["metric"] == "gain")
    assert gain["difference"]["n"] == 20 and gain["difference"]["clusters"] == 10 and gain["p_holm"] is not None
    assert found["changes"] == [{"key": "dialogue.turns", "first": 2, "second": 3}]
    assert "dialogue.turns: 2 -> 3" in said
    assert found["metrics"] == ["net_gain", "question_share", "leak_rate", "gain"]
    with pytest.raises(InputError, match="cannot be written"):
        compare(a, b, json_path=tmp_path / "a" / "config.yaml" / "x.json")


def test_tutors_are_named_as_a_equals_b(tmp_path: Path) -> None:
    two: dict[str, Any] = {"tutor": {"strategies": ["socratic", "direct"]}}
    a = stored(tmp_path / "a", **two)
    _, said = compare(a, a, tutors="socratic=direct")
    assert "socratic -> direct: 20 pairs on 10 items" in said
    _, said = compare(a, stored(tmp_path / "b", **two), tutors="direct")
    assert "direct: 20 pairs on 10 items" in said and "not compared: socratic" in said
    with pytest.raises(InputError, match="are the same dialogues"):
        compare(a, a)
    with pytest.raises(InputError, match="has no tutor ''"):
        compare(a, tmp_path / "b", tutors="=direct")
    with pytest.raises(InputError, match="--confidence 95"):
        compare(a, tmp_path / "b", confidence=95.0)


def looped(folder: Path, *policies: str, rounds: int = 1, **changes: Any) -> Path:
    """A loop's folder: held-out dialogues with each policy, rounds decided for all but the base."""
    held = {"items": {**ITEMS, "limit": 4}, "personas": ["disengaged", "begging"]}
    made = config(**{"name": folder.name, "kind": "loop", "loop": {"rounds": rounds, "heldout": held}, **changes})
    store = RunStore(folder)
    store.open(made.model_dump(mode="json"), {"started": "now"})
    for number, policy in enumerate(policies):
        settings = made.loop.heldout
        specs = episodes(made, phase=f"heldout/{policy}", items=settings.items, personas=settings.personas)
        signs = {item: (-1) ** place for place, item in enumerate(sorted({spec.item_id for spec in specs}))}
        store.append([taught(s, leak=0.0, gain=number * (0.1 + signs[s.item_id] / 200)) for s in specs])
        if number:
            store.finish_step(f"round-{number:04d}-decide", {"adapter": policy, "decision": "promoted"})
    return folder


def test_phases_of_a_loop_are_found_and_named(tmp_path: Path) -> None:
    folder = looped(tmp_path / "l", "base", "tutor/v0001", "tutor/v0002", rounds=3)
    assert open_run(str(folder)).phase == "heldout/tutor/v0002", "the policy of the last decided round"
    assert open_run(f"{folder}@base").phase == open_run(str(folder), phase="heldout/base").phase == "heldout/base"
    assert open_run(f"{folder}@tutor/v0001", phase="base").phase == "heldout/tutor/v0001"
    code, said = compare(f"{folder}@base", f"{folder}@tutor/v0001", "gain < +0.05", metrics=["gain"])
    assert code == 0 and "difference +0.100" in said and "(phase heldout/tutor/v0001)" in said
    assert "socratic: 8 pairs on 4 items" in said and "The configs differ" not in said
    with pytest.raises(InputError, match=r"no dialogues of phase 'tutor/v0009'; did you mean"):
        open_run(f"{folder}@tutor/v0009")
    with pytest.raises(InputError, match="are the same dialogues"):
        compare(folder, f"{folder}@tutor/v0002")


def test_a_loop_without_a_decided_round_and_a_sweep_ask_for_a_phase(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without a decided round; name a phase as RUN@PHASE, one of: heldout/base"):
        open_run(str(looped(tmp_path / "l", "base")))
    sweep = [{"name": "a", "reward": {}}, {"name": "b", "reward": {}}]
    with pytest.raises(InputError, match="a sweep of several rewards; name a phase"):
        open_run(str(looped(tmp_path / "s", "base", sweep=sweep)))


def test_a_folder_whose_name_holds_an_at_sign_is_a_folder(tmp_path: Path) -> None:
    folder = stored(tmp_path / "a@b", name="ab")
    assert open_run(str(folder)).folder == locate(folder)
    assert open_run(f"{folder}@run").folder == locate(folder)


def test_a_run_of_an_older_version_is_read_with_defaults(tmp_path: Path) -> None:
    folder = stored(tmp_path / "a")
    path = folder / "config.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key in ("experiment", "tutors", "stressors", "budget", "tracking"):
        raw.pop(key, None)
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    found = open_run(str(folder))
    assert found.config is not None and found.config.experiment.confidence == 0.95 and len(found.dialogues) == 20
    assert compare(folder, stored(tmp_path / "b"), "leak_rate > +0.02")[0] == 0


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        open_run(str(tmp_path / "none"))
    with pytest.raises(InputError, match="holds no dialogues .*run it first"):
        open_run(str(stored(tmp_path / "empty", kept=0)))
    broken = {
        "students: {moods: [a]}": "students.moods: unknown key .*another version of tutorloop",
        "items: {limit: -1}": "items.limit: Input should be greater.*another version",
        "[1, 2]": "expected the keys of a config, found list",
        "a: [": "not a readable YAML file",
    }
    for i, (text, message) in enumerate(broken.items()):
        folder = stored(tmp_path / f"r{i}")
        whole = "" if text[0] in "[a" else "name: x\n"
        (folder / "config.yaml").write_text(whole + text, encoding="utf-8")
        with pytest.raises(InputError, match=f"(?s){message}"):
            open_run(str(folder))
    corrupt = stored(tmp_path / "corrupt")
    part = RunStore(corrupt).parts()[0]
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        open_run(str(corrupt))
    strange = stored(tmp_path / "strange", kept=0)
    RunStore(strange).append([taught(experiment_specs(open_config(strange))[0], leak=0.0, gain=0.0)])
    other = stored(tmp_path / "other", items={"pack": "physics", "limit": 3})
    with pytest.raises(InputError, match="no student and item in common: other packs"):
        compare(strange, other)


def test_a_pack_that_is_gone_leaves_the_plan_unknown(tmp_path: Path) -> None:
    folder = stored(tmp_path / "a")
    raw = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    raw["items"]["pack"] = str(tmp_path / "gone.yaml")
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert open_run(str(folder)).planned == frozenset() and len(open_run(str(folder)).dialogues) == 20
