"""The gate of a release: conditions, exit codes, run folders of every kind, and no pass without evidence."""

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
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console

from agents.errors import InputError
from agents.records import Dialogue, Failure, Verdict
from sim.compare_read import open_run
from sim.compare_show import compare_command
from sim.comparison import Comparison, Counts, MetricComparison, TutorComparison
from sim.conditions import Condition, Outcome, exit_code, judge, parse_condition
from sim.config import Config
from sim.grid import episodes, experiment_specs
from sim.metrics import METRICS
from sim.stats.paired import Estimate
from sim.store import RunStore

ITEMS = {"pack": "", "limit": 10}
"""Of a pack that the fixture makes: reading a whole shipped one takes too long for so many runs."""
DOC = Path(__file__).parents[2] / "docs" / "gate.md"


@pytest.fixture(scope="module", autouse=True)
def small_pack(tmp_path_factory: pytest.TempPathFactory) -> None:
    raw = yaml.safe_load(Path(str(files("agents").joinpath("data/packs/earth_science.yaml"))).read_text("utf-8"))
    path = tmp_path_factory.mktemp("packs") / "small.yaml"
    path.write_text(yaml.safe_dump({**raw, "items": raw["items"][:10]}), encoding="utf-8")
    ITEMS["pack"] = str(path)


def estimate(mean: float, low: float | None, high: float | None, *, n: int = 40, clusters: int = 20) -> Estimate:
    return Estimate(mean, low, high, n, clusters, None, None)


def compared(
    difference: Estimate | None, *, own: Estimate | None = None, n_lost: int = 0, n_own_lost: int = 0
) -> Comparison:
    """A comparison of one tutor and one measure."""
    counts = Counts("t", n=40, n_items=20, n_failed=0, n_not_run=0, n_verdicts=0, n_invalid=0)
    measure = MetricComparison(
        "leak_rate", "leaks", "share", "lower", None, None, difference, None, own, 0, 0, 0, n_lost, n_own_lost,
        (0, 0), (0, 0), "" if difference else "none of 0 pairs has it",
    )  # fmt: skip
    tutor = TutorComparison(counts, counts, 40, 40, 20, 0, 0, 0, 0, 0, (measure,))
    return Comparison("a", "b", ("run", "run"), 0.95, ("leak_rate",), (tutor,), (), ())


# ---- the grammar


@pytest.mark.parametrize(
    ("text", "metric", "op", "value", "of_difference"),
    [
        ("leak_rate > +0.02", "leak_rate", ">", 0.02, True),
        ("net_gain<-0.01", "net_gain", "<", -0.01, True),
        ("leak_rate >= 0.1", "leak_rate", ">=", 0.1, False),
        ("  tokens <= 1.5e3 ", "tokens", "<=", 1500.0, False),
        ("gain < +0", "gain", "<", 0.0, True),
        ("gain < -0", "gain", "<", 0.0, True),
        ("gain < 0", "gain", "<", 0.0, False),
        ("rubric:pedagogical_rl/asks < .5", "rubric:pedagogical_rl/asks", "<", 0.5, False),
    ],
)
def test_a_condition_is_read(text: str, metric: str, op: str, value: float, of_difference: bool) -> None:
    found = parse_condition(text)
    assert (found.metric, found.op, found.value, found.of_difference) == (metric, op, value, of_difference)


@pytest.mark.parametrize(
    "text",
    ["", "leak_rate", "leak_rate +0.02", "leak_rate > 2%", "> 0.02", "leak_rate => 1", "leak_rate == 1",
     "leak_rate > nan", "leak_rate > inf", "leak_rate > 1e999", "leak_rate > +0.02 and gain < 0", "0.1 < gain < 0.2",
     "gain > + 0.1"],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"expected METRIC OP VALUE .*'leak_rate > \+0.02'"):
        parse_condition(text)


def test_an_unknown_measure_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'leak_rates > 0': no measure 'leak_rates'; did you mean 'leak_rate'"):
        parse_condition("leak_rates > 0")


@given(
    st.sampled_from(sorted(METRICS)), st.sampled_from([">", ">=", "<", "<="]), st.floats(-1e6, 1e6), st.booleans(),
    st.sampled_from(["", " ", "  "]),
)  # fmt: skip
def test_every_condition_that_is_written_is_read_back(
    metric: str, op: str, value: float, signed: bool, gap: str
) -> None:
    number = f"{value:+}" if signed else f"{abs(value)}"
    found = parse_condition(f"{metric}{gap}{op}{gap}{number}")
    assert found == Condition(f"{metric}{gap}{op}{gap}{number}", metric, op, float(number), signed)  # type: ignore[arg-type]


# ---- judging


@pytest.mark.parametrize(
    ("text", "figures", "state"),
    [
        ("leak_rate > +0.02", (0.03, 0.01, 0.05), "failed"),
        ("leak_rate > +0.02", (0.01, -0.01, 0.03), "unproven"),
        ("leak_rate > +0.02", (0.0, -0.01, 0.01), "passed"),
        ("leak_rate > +0.02", (0.02, 0.02, 0.02), "passed"),
        ("leak_rate >= +0.02", (0.02, 0.02, 0.02), "failed"),
        ("leak_rate > +0.02", (0.1 - 0.08, 0.1 - 0.08, 0.1 - 0.08), "passed"),
        ("leak_rate < -0.01", (-0.02, -0.03, -0.01), "failed"),
        ("leak_rate < -0.01", (0.0, -0.02, 0.02), "unproven"),
        ("leak_rate < -0.01", (0.02, 0.01, 0.03), "passed"),
        ("leak_rate > +0.02", (-0.5, -0.9, -0.1), "passed"),
        ("leak_rate > +0.02", (0.0, None, None), "unproven"),
        ("leak_rate > +0.02", (0.5, None, None), "failed"),
    ],
)
def test_a_difference_is_judged_by_its_estimate_and_the_end_of_its_interval(
    text: str, figures: tuple[float, float | None, float | None], state: str
) -> None:
    outcome = judge(parse_condition(text), compared(estimate(*figures)))
    assert (outcome.state, outcome.evidence) == (state, True)
    assert "n=40 on 20 items" in outcome.says


def test_an_unsigned_value_bounds_the_second_runs_own_mean() -> None:
    found = compared(estimate(0.0, -0.01, 0.01), own=estimate(0.4, 0.3, 0.5))
    assert judge(parse_condition("leak_rate > 0.02"), found).state == "failed"
    assert judge(parse_condition("leak_rate > 0.45"), found).state == "unproven"
    assert judge(parse_condition("leak_rate > 0.6"), found).state == "passed"
    assert judge(parse_condition("leak_rate > +0.02"), found).state == "passed"


def test_missing_evidence_is_never_a_pass() -> None:
    signed, unsigned = parse_condition("leak_rate > +0.02"), parse_condition("leak_rate > 0.9")
    nothing = judge(signed, compared(None, own=estimate(0.0, 0.0, 0.0)))
    assert (nothing.state, nothing.evidence) == ("unproven", False) and "none of 0 pairs has it" in nothing.says
    assert judge(unsigned, compared(estimate(0.0, 0.0, 0.0), own=None)).evidence is False
    assert judge(parse_condition("gain < +0"), compared(estimate(0.0, 0.0, 0.0))).evidence is False
    one_item = judge(signed, compared(estimate(0.0, 0.0, 0.0, clusters=1)))
    assert (one_item.state, one_item.evidence) == ("unproven", True) and "without an interval" in one_item.says
    no_tutors = judge(signed, replace(compared(None), tutors=()))
    assert (no_tutors.state, no_tutors.evidence) == ("unproven", False)


def test_a_condition_that_lost_more_than_a_tenth_of_its_values_is_unproven() -> None:
    signed, unsigned = parse_condition("leak_rate > +0.02"), parse_condition("leak_rate > 0.9")
    zero = estimate(0.0, 0.0, 0.0, n=36)
    assert judge(signed, compared(zero, n_lost=4)).state == "passed"
    lost = judge(signed, compared(zero, n_lost=5))
    assert lost.state == "unproven" and "5 of 41 values were lost" in lost.says
    assert judge(signed, compared(zero, n_own_lost=30)).state == "passed", "the pairs have lost nothing"
    assert judge(unsigned, compared(zero, own=zero, n_own_lost=5)).state == "unproven"
    assert judge(signed, compared(estimate(0.5, 0.4, 0.6), n_lost=90)).state == "failed"


def test_of_several_tutors_the_worst_decides() -> None:
    condition = parse_condition("leak_rate > +0.02")
    good, open_, bad = (compared(estimate(*f)) for f in ((0.0, 0.0, 0.0), (0.0, -0.1, 0.1), (0.1, 0.0, 0.2)))
    empty = compared(None)

    def together(*parts: Comparison) -> Outcome:
        return judge(condition, replace(good, tutors=tuple(part.tutors[0] for part in parts)))

    assert together(good, good).state == "passed"
    assert together(good, open_).state == "unproven" and together(good, open_).evidence
    assert together(good, open_, bad).state == "failed"
    assert together(good, empty).state == "unproven" and not together(good, empty).evidence


ORDERED = st.tuples(*[st.floats(-1, 1)] * 3).map(sorted)


@given(ORDERED, st.sampled_from([">", ">=", "<", "<="]), st.floats(-1, 1))
def test_a_state_is_what_its_evidence_says(ends: list[float], op: Any, value: float) -> None:
    low, mean, high = ends
    condition = Condition("c", "leak_rate", op, value, True)
    state = judge(condition, compared(estimate(mean, low, high))).state
    assert (state == "failed") == condition.meets(mean)
    assert (state == "passed") == (not any(condition.meets(x) for x in (low, mean, high)))


@given(ORDERED, st.sampled_from([">", "<"]), st.floats(-1, 1), st.floats(0, 1))
def test_a_looser_bound_never_makes_it_worse(ends: list[float], op: Any, value: float, slack: float) -> None:
    found = compared(estimate(ends[1], ends[0], ends[2]))
    looser = value + slack if op == ">" else value - slack
    order = ["failed", "unproven", "passed"]
    tight, loose = (judge(Condition("c", "leak_rate", op, v, True), found).state for v in (value, looser))
    assert order.index(loose) >= order.index(tight)


@given(ORDERED, st.floats(-1, 1))
def test_a_condition_and_its_mirror_agree_on_swapped_runs(ends: list[float], value: float) -> None:
    there = judge(Condition("c", "leak_rate", ">", value, True), compared(estimate(ends[1], ends[0], ends[2])))
    back = judge(Condition("c", "leak_rate", "<", -value, True), compared(estimate(-ends[1], -ends[2], -ends[0])))
    assert there.state == back.state


@given(st.lists(st.tuples(st.sampled_from(["passed", "failed", "unproven"]), st.booleans())), st.booleans())
def test_exit_codes(states: list[tuple[Any, bool]], accept: bool) -> None:
    condition = parse_condition("leak_rate > +0.02")
    code = exit_code([Outcome(condition, s, "", e or s != "unproven") for s, e in states], accept_unproven=accept)
    if ("failed", True) in states or ("failed", False) in states:
        assert code == 1
    elif ("unproven", False) in states:
        assert code == 3
    elif ("unproven", True) in states:
        assert code == (0 if accept else 3)
    else:
        assert code == 0


# ---- run folders and the command


def taught(spec: Any, *, leak: float, gain: float) -> Dialogue:
    return replace(dialogue(0, phase=spec.phase, item=spec.item_id, reward=0.0, gain=gain, leak=leak), spec=spec)


def stored(
    folder: Path, *, leak: float = 0.0, shift: float = 0.0, spread: float = 0.0, kept: int = 99, **changes: Any
) -> Path:
    """A run folder of a scripted config; gains are `shift` on average, give or take `spread`, drawn by student."""
    made = config(**{"name": folder.name, "items": ITEMS, **changes})
    store = RunStore(folder)
    store.open(made.model_dump(mode="json"), {"started": "now"})
    specs = experiment_specs(made)[:kept]
    draws = [random.Random(f"{folder.name}{spec.cell}").uniform(-spread, spread) for spec in specs]
    if specs:
        mean = sum(draws) / len(draws)
        store.append([taught(s, leak=leak, gain=shift + x - mean) for s, x in zip(specs, draws, strict=True)])
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
    assert code == 1 and "FAILED fail if leak_rate > +0.02: difference +1.000 [+1.000, +1.000], n=20 on 10" in said
    code, said = compare(a, b, "gain < -0.01")
    assert code == 3 and "UNPROVEN fail if gain < -0.01" in said and "more items would tell" in said
    assert compare(a, b, "gain < -0.01", accept_unproven=True)[0] == 0
    assert compare(a, leaky, "gain < -0.01", "leak_rate > 0.5", accept_unproven=True)[0] == 1
    code, said = compare(a, b, "quality < 3", "leak_rate > +0.02", accept_unproven=True)
    assert code == 3 and "no evidence: no finished dialogue of the second run has it" in said


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
    assert below == ["0.000", "[+0.000,", "+0.000]", "0", "-"]


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
        store.append([taught(spec, leak=0.0, gain=number / 10) for spec in specs])
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
    assert open_run(str(folder)).folder == folder
    assert open_run(f"{folder}@run").folder == folder


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
        "a: [": "cannot be read",
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


# ---- the page


def test_what_the_page_shows_is_right() -> None:
    text = DOC.read_text(encoding="utf-8")
    conditions = re.findall(r"--fail-if '([^']+)'", text)
    assert not re.findall(r'--fail-if "', text), "the pattern above would miss it"
    assert len(conditions) >= 3 and {parse_condition(one).of_difference for one in conditions} == {True, False}
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert blocks
    for block in blocks:
        Config.model_validate(yaml.safe_load(block))
    codes = dict(re.findall(r"^\| (\d) \| (\w+)", text, re.M))
    assert codes.keys() == {"0", "1", "2", "3"}


@given(st.floats(0, 1), st.floats(0, 1))
def test_meeting_is_strict_where_it_says_so(x: float, bound: float) -> None:
    assume(round(x, 12) != round(bound, 12))
    above = Condition("", "gain", ">", bound, True)
    assert above.meets(x) == (x > bound) and not above.meets(bound)
    assert Condition("", "gain", ">=", bound, True).meets(bound)
