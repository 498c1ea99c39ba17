"""Two runs compared: what is paired, what is left out and counted, and the reason when nothing coincides."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from builders import config, dialogue
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import InputError
from agents.records import Dialogue, EpisodeSpec, Failure, Verdict
from sim.compare.compare import compare_runs, config_changes
from sim.compare.comparison import Comparison, MetricComparison, Side
from sim.config import Config
from sim.grid import experiment_specs
from sim.storage.files import locate

ITEMS = {"pack": "earth_science", "limit": 6}
FAILED = Failure("EngineUnavailable", "tutor", "no answer")
Figure = Callable[[EpisodeSpec], float]


def specs_of(made: Config) -> tuple[EpisodeSpec, ...]:
    """All episodes of a config, worked out once."""
    return _specs_of(made.model_copy(update={"name": "any"}).model_dump_json())


@cache
def _specs_of(text: str) -> tuple[EpisodeSpec, ...]:
    return tuple(experiment_specs(Config.model_validate_json(text)))


def students() -> tuple[EpisodeSpec, ...]:
    """The twelve students of a run without changes."""
    return specs_of(config(items=ITEMS))


def taught(
    spec: EpisodeSpec, *, gain: float = 0.0, leak: float = 0.0, reward: float = 0.0, verdicts: Sequence[Verdict] = ()
) -> Dialogue:
    made = dialogue(0, phase=spec.phase, item=spec.item_id, reward=reward, gain=gain, leak=leak)
    return replace(made, spec=spec, verdicts=tuple(verdicts))


def run_of(name: str, *, gain: Figure = lambda spec: 0.0, changes: Mapping[str, Any] | None = None) -> Side:
    """A whole run of a config: every dialogue that it asks for, with the given gains."""
    made = config(**{"name": name, "items": ITEMS, **(changes or {})})
    dialogues = tuple(taught(spec, gain=gain(spec)) for spec in specs_of(made))
    return Side(name, dialogues, "run", made)


def planned(side: Side) -> Side:
    """The same run with what its config asks for known, as `open_run` makes it."""
    assert side.config is not None
    return replace(side, planned=frozenset((s.tutor_name, s.cell) for s in specs_of(side.config)))


def noise(scale: float, shift: float = 0.0) -> Figure:
    """A figure that is drawn by item and student, the same in every call."""
    return lambda spec: shift + random.Random(spec.cell).uniform(-scale, scale)


def one(found: Comparison, metric: str = "gain") -> MetricComparison:
    (tutor,) = found.tutors
    return next(measure for measure in tutor.metrics if measure.metric == metric)


def test_the_difference_is_second_minus_first_over_the_same_students() -> None:
    first = run_of("a", gain=lambda spec: 0.1)
    second = run_of("b", gain=noise(0.1, 0.25))
    found = compare_runs(first, second, metrics=["gain"])
    (tutor,) = found.tutors
    assert (tutor.n_shared, tutor.n_pairs, tutor.n_items, tutor.n_only_first, tutor.n_only_second) == (12, 12, 6, 0, 0)
    gain = one(found)
    mean = sum(noise(0.1, 0.25)(d.spec) for d in second.dialogues) / 12
    assert gain.difference is not None and gain.first is not None and gain.second is not None
    assert gain.difference.mean == pytest.approx(mean - 0.1) and mean > 0.1
    assert gain.first.mean == pytest.approx(0.1) and gain.second.mean == pytest.approx(mean)
    assert gain.difference.low is not None and gain.difference.low < mean - 0.1
    assert (gain.difference.n, gain.difference.clusters) == (12, 6)
    assert gain.difference.p is not None and gain.difference.effect is not None and gain.difference.effect > 0


def test_pairs_are_found_in_any_order() -> None:
    values = {d.spec.cell: i / 100 for i, d in enumerate(run_of("a").dialogues)}
    first = run_of("a", gain=lambda spec: values[spec.cell])
    second = run_of("b", gain=lambda spec: values[spec.cell] + 0.05)
    difference = one(compare_runs(tuple(reversed(first.dialogues)), second, metrics=["gain"])).difference
    assert difference is not None and difference.low == difference.high == pytest.approx(0.05)
    assert difference.p is None and difference.effect is None, "all differences are equal: nothing to test"


@pytest.mark.long
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["gain", "leak_rate", "net_gain"]))
def test_swapping_the_runs_turns_every_difference_around(seed: int, metric: str) -> None:
    rng = random.Random(seed)
    specs = students()
    runs = [[taught(s, gain=rng.uniform(-0.4, 0.4), leak=rng.choice([0, 0, 1])) for s in specs] for _ in range(2)]
    runs[0], runs[1] = runs[0][: rng.randint(8, 12)], runs[1][rng.randint(0, 2) :]
    there = compare_runs(runs[0], runs[1], metrics=[metric])
    back = compare_runs(runs[1], runs[0], metrics=[metric])
    a, b = one(there, metric).difference, one(back, metric).difference
    assert a is not None and b is not None and a.mean is not None and b.mean is not None
    assert (a.n, a.clusters) == (b.n, b.clusters)
    assert a.mean == pytest.approx(-b.mean, abs=1e-12)
    for mine, theirs in ((a.low, b.high), (a.high, b.low), (a.effect, b.effect)):
        assert (mine is None) == (theirs is None)
        assert mine is None or mine == pytest.approx(-theirs, abs=1e-9)  # type: ignore[operator]
    assert (a.p is None) == (b.p is None) and (a.p is None or a.p == pytest.approx(b.p, abs=1e-9))
    tutor, other = there.tutors[0], back.tutors[0]
    assert (tutor.n_only_first, tutor.n_only_second) == (other.n_only_second, other.n_only_first)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("okf-"), st.sampled_from("okf-")), min_size=12, max_size=12))
def test_every_cell_is_accounted_for(states: list[tuple[str, str]]) -> None:
    """o: measured, k: finished without the measure, f: failed, -: not there."""
    specs = students()

    def side(i: int) -> list[Dialogue]:
        found = []
        for spec, state in zip(specs, states, strict=True):
            if state[i] == "f":
                found.append(Dialogue(spec, failure=FAILED))
            elif state[i] != "-":
                made = taught(spec, gain=0.2)
                found.append(made if state[i] == "o" else replace(made, probes=()))
        return found

    shared = [(a, b) for a, b in states if "-" not in (a, b)]
    if not shared:
        with pytest.raises(InputError):
            compare_runs(side(0), side(1), metrics=["gain"])
        return
    found = compare_runs(side(0), side(1), metrics=["gain"])
    (tutor,), gain = found.tutors, one(found)
    assert tutor.n_shared == len(shared)
    assert tutor.n_shared + tutor.n_only_first == tutor.first.n == sum(a != "-" for a, _ in states)
    assert tutor.n_shared + tutor.n_only_second == tutor.second.n == sum(b != "-" for _, b in states)
    assert (tutor.n_failed_first, tutor.n_failed_second) == tuple(sum(p[i] == "f" for p in shared) for i in (0, 1))
    assert tutor.n_pairs == sum("f" not in pair for pair in shared)
    assert gain.n_missing == sum("f" not in pair and "k" in pair for pair in shared)
    n, whole = 0 if gain.difference is None else gain.difference.n, states.count(("o", "o"))
    assert whole + gain.n_missing == tutor.n_pairs
    assert gain.n_lost == sum("f" in pair or set(pair) == {"o", "k"} for pair in shared)
    if 0 < whole < gain.n_lost:
        assert {gain.difference, gain.first, gain.second, gain.p_holm} == {None}
        assert gain.note.startswith(f"not measured: {whole} of {whole + gain.n_lost} pairs")
        return
    assert n == whole
    if not n:
        assert {gain.difference, gain.first, gain.second, gain.p_holm} == {None} and "none of" in gain.note


def test_what_is_planned_and_not_run_is_counted_as_lost() -> None:
    first, second = planned(run_of("a")), planned(run_of("b"))
    found = compare_runs(first, replace(second, dialogues=second.dialogues[:9]), metrics=["gain"])
    (tutor,) = found.tutors
    assert (tutor.n_pairs, tutor.n_only_first, tutor.n_not_run) == (9, 3, 3)
    assert (tutor.first.n_not_run, tutor.second.n_not_run) == (0, 3)
    assert one(found).n_lost == 3 and one(found).n_own_lost == 3
    fewer = planned(run_of("b", changes={"items": {"pack": "earth_science", "limit": 3}}))
    (tutor,) = compare_runs(first, fewer, metrics=["gain"]).tutors
    assert tutor.n_not_run == 0 and tutor.n_only_first == 6, "a smaller design is not an unfinished one"


def test_invalid_verdicts_are_counted_and_never_scored() -> None:
    def judged(spec: EpisodeSpec, i: int, score: float) -> Dialogue:
        invalid = i % 4 == 0
        verdict = Verdict("rubric:r", "asks", "invalid" if invalid else "pass", None if invalid else score)
        return taught(spec, verdicts=[verdict, Verdict("rubric:r", "warm", "pass", 1.0)])

    specs = students()
    first = [taught(spec, verdicts=[Verdict("rubric:r", "asks", "pass", 2.0)]) for spec in specs]
    second = [judged(spec, i, 3.0) for i, spec in enumerate(specs)]
    found = compare_runs(first, second, metrics=["rubric:r/asks", "gain"])
    asks = one(found, "rubric:r/asks")
    assert asks.difference is not None and (asks.difference.mean, asks.difference.n) == (1.0, 9)
    assert asks.second is not None and asks.second.mean == 3.0, "an invalid verdict is not a zero"
    assert (asks.verdicts_first, asks.verdicts_second) == ((0, 12), (3, 12))
    assert (asks.n_missing_first, asks.n_missing_second, asks.n_missing) == (0, 3, 3)
    assert (asks.n_lost, asks.n_own_lost) == (3, 3)
    assert (found.tutors[0].second.n_invalid, found.tutors[0].second.n_verdicts) == (3, 24)
    gain = one(found)
    assert gain.verdicts_second == (0, 0) and gain.n_lost == 0, "a measure that no judge made has lost nothing"


def test_a_pair_that_both_judges_spoilt_is_lost_and_one_without_the_measure_is_not() -> None:
    specs = students()
    bad, good = (Verdict("rubric:r", "asks", kind, score) for kind, score in (("invalid", None), ("pass", 1.0)))  # type: ignore[arg-type]
    both = [taught(spec, verdicts=[bad if i < 5 else good]) for i, spec in enumerate(specs)]
    asks = one(compare_runs(both, list(both), metrics=["rubric:r/asks"]), "rubric:r/asks")
    assert (asks.n_missing, asks.n_lost) == (5, 5)
    noticed = one(compare_runs(both, list(both), metrics=["noticed"]), "noticed")
    assert (noticed.n_missing, noticed.n_lost, noticed.difference) == (12, 0, None)


def test_tutors_are_paired_by_name_or_as_asked_or_alone() -> None:
    two = {"tutor": {"strategies": ["socratic", "direct"]}}
    first, second = run_of("a", changes=two), run_of("b", changes=two, gain=noise(0.2))
    names = [(t.first.tutor, t.second.tutor) for t in compare_runs(first, second).tutors]
    assert names == [("direct", "direct"), ("socratic", "socratic")]
    asked = compare_runs(first, second, tutors=("socratic", "direct"))
    assert [(t.first.tutor, t.second.tutor) for t in asked.tutors] == [("socratic", "direct")]
    assert asked.left_out == ("direct (a)", "socratic (b)")
    alone = run_of("c", changes={"tutors": [{"name": "v2", "strategy": "socratic"}]}, gain=noise(0.2))
    (single,) = compare_runs(run_of("a"), alone).tutors
    assert (single.first.tutor, single.second.tutor, single.n_pairs) == ("socratic", "v2", 12)
    with pytest.raises(InputError, match=r"no tutor 'socratik'; did you mean 'socratic'\?"):
        compare_runs(first, second, tutors=("socratik", "socratic"))
    with pytest.raises(InputError, match=r"same name in both runs \(a: .*; c: v2\).*--tutors A=B"):
        compare_runs(first, alone)


def test_a_tutor_that_was_never_run_is_a_pair_without_evidence() -> None:
    two = {"tutor": {"strategies": ["socratic", "direct"]}}
    first, second = planned(run_of("a", changes=two)), planned(run_of("b", changes=two, gain=noise(0.2)))
    kept = tuple(d for d in second.dialogues if d.spec.tutor_name == "socratic")
    gone, there = compare_runs(first, replace(second, dialogues=kept), metrics=["gain"]).tutors
    assert gone.first.tutor == "direct" and (gone.n_shared, gone.metrics[0].difference) == (0, None)
    assert gone.second.n_not_run == 12 and gone.metrics[0].n_lost == 12 and there.n_pairs == 12


def test_holm_is_over_every_measure_of_every_tutor() -> None:
    two = {"tutor": {"strategies": ["socratic", "direct"]}}
    first, second = run_of("a", changes=two), run_of("b", changes=two, gain=noise(0.3, 0.1))
    found = compare_runs(first, second, metrics=["gain", "net_gain", "leak_rate"])
    tests = [m for tutor in found.tutors for m in tutor.metrics if m.difference and m.difference.p is not None]
    untested = [m for tutor in found.tutors for m in tutor.metrics if m.difference and m.difference.p is None]
    assert len(tests) == 4 and len(untested) == 2, "leaks do not vary at all"
    assert all(m.p_holm is None for m in untested)
    raw, corrected = zip(*((m.difference.p, m.p_holm) for m in tests if m.difference), strict=True)
    assert all(c >= p for p, c in zip(raw, corrected, strict=True))
    assert min(corrected) == pytest.approx(min(1.0, 4 * min(raw)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"items": {"pack": "physics", "limit": 6}}, r"other packs \(earth_science against physics\)"),
        ({"students": {"personas": ["begging"]}}, r"other personas \(engaged, limited against begging\)"),
        ({"seed": 7}, r"other seed \(0 against 7\)"),
        (
            {"stressors": [{"name": "off_topic", "intensities": [1.0]}]},
            r"other stress \(none@0 against off_topic@1\)",
        ),
    ],
)
def test_runs_that_share_nothing_are_refused_with_the_reason(changes: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=f"a and b have no student and item in common: .*{reason}"):
        compare_runs(run_of("a"), run_of("b", changes=changes))


def test_the_same_cells_drawn_apart_and_empty_runs_are_told() -> None:
    whole = run_of("a").dialogues
    crossed = [[d for i, d in enumerate(whole) if (i // 2 + i) % 2 == flip] for flip in (0, 1)]
    with pytest.raises(InputError, match="never together"):
        compare_runs(*crossed)
    with pytest.raises(InputError, match="second run: holds no dialogues"):
        compare_runs(whole, [])


def test_stress_is_part_of_what_is_paired() -> None:
    stress = {"stressors": [{"name": "off_topic", "intensities": [0.0, 0.5, 1.0]}]}
    first, second = run_of("a", changes=stress), run_of("b", changes=stress, gain=lambda spec: spec.intensity / 4)
    found = compare_runs(first, second, metrics=["gain"])
    gain = one(found)
    assert found.tutors[0].n_pairs == 36 and gain.difference is not None
    assert gain.difference.mean == pytest.approx(0.125)
    (calm,) = compare_runs(first, run_of("c"), metrics=["gain"]).tutors
    assert (calm.n_pairs, calm.n_only_first, calm.n_only_second) == (12, 24, 0), "intensity 0 is no stress"


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    two = {"tutor": {"strategies": ["socratic", "direct"]}}
    side = replace(run_of("a", changes=two), folder=locate(tmp_path))
    with pytest.raises(InputError, match="are the same dialogues"):
        compare_runs(side, side)
    assert compare_runs(side, side, tutors=("socratic", "direct")).tutors[0].n_pairs == 12


def test_a_student_met_twice_is_refused() -> None:
    whole = list(run_of("a").dialogues)
    with pytest.raises(InputError, match="met student .* twice .*one phase at a time"):
        compare_runs([*whole, replace(whole[0], spec=replace(whole[0].spec, id="x"))], whole)


def test_measures_that_are_not_the_same_measure_are_not_subtracted() -> None:
    heavier = run_of("b", changes={"reward": {"gain": 2.0}})
    reward = one(compare_runs(run_of("a"), heavier, metrics=["reward"]), "reward")
    assert reward.difference is None and "weigh the reward differently" in reward.note
    assert reward.second is not None and reward.second.n == 12
    sides = [
        [replace(d, verdicts=(Verdict(f"scorer:{name}", "quality", "pass", 3.0),)) for d in run_of("a").dialogues]
        for name in ("old", "new")
    ]
    quality = one(compare_runs(*sides, metrics=["quality"]), "quality")
    assert quality.difference is None and "scorer:old against scorer:new" in quality.note


def test_an_unknown_measure_is_named_and_an_unjudged_criterion_is_missing() -> None:
    with pytest.raises(InputError, match=r"no measure 'leakrate'; did you mean 'leak_rate'\?"):
        compare_runs(run_of("a"), run_of("b"), metrics=["leakrate"])
    asks = one(compare_runs(run_of("a"), run_of("b"), metrics=["rubric:r/asks"]), "rubric:r/asks")
    assert asks.difference is None and asks.own is None and "none of 12 pairs has it" in asks.note


def test_a_figure_that_is_not_finite_is_missing() -> None:
    first, second = run_of("a"), run_of("b")
    broken = (replace(second.dialogues[0], reward=float("nan")), *second.dialogues[1:])
    reward = one(compare_runs(first, replace(second, dialogues=broken), metrics=["reward"]), "reward")
    assert reward.difference is not None and (reward.difference.n, reward.n_missing_second) == (11, 1)


def test_the_family_is_that_of_the_second_runs_experiment() -> None:
    second = run_of("b", changes={"experiment": {"metrics": ["gain", "words"]}})
    assert compare_runs(run_of("a"), second).metrics == ("gain", "words")
    assert compare_runs(run_of("a").dialogues, run_of("b").dialogues).metrics == (
        "net_gain",
        "question_share",
        "leak_rate",
    )


def test_changes_of_the_config_are_dotted_and_named() -> None:
    arms = [{"name": "a", "prompt": "Ask."}, {"name": "b", "prompt": "Tell."}]
    first = config(name="x", tutors=arms, items=ITEMS)
    changed = [arms[0], {**arms[1], "prompt": "Explain."}]
    raw = first.model_dump(mode="json") | {"name": "y", "tutors": changed, "seed": 3}
    raw["pools"]["extra"] = {"roles": ["judge"], "engine": "scripted"}
    second = Config.model_validate(raw)
    found = {change.key: (change.first, change.second) for change in config_changes(first, second)}
    assert found.keys() == {"seed", "tutors.b.prompt", "pools.extra"}, "the name decides nothing"
    assert found["tutors.b.prompt"] == ("Tell.", "Explain.") and found["seed"] == (0, 3)
    assert found["pools.extra"][0] is None and found["pools.extra"][1]["engine"] == "scripted"
    assert config_changes(first, first) == ()
