"""A bad config is found before anything starts, with the place, the value and the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import InputError
from agents.judges.rubrics import shipped_rubrics
from sim.checks import warnings
from sim.load import load_config

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"


def test_the_quickstart_config_is_whole() -> None:
    config = load_config(QUICKSTART)
    assert config.pool_of("tutor") == "tutor"
    assert config.pools["tutor"].shares == "class"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("dialog.turns=2", ("dialog", "unknown key", "did you mean 'dialogue'")),
        ("dialogue.turnz=2", ("dialogue.turnz", "did you mean 'turns'")),
        ("pools.class.replica=2", ("replica", "did you mean 'replicas'")),
        ("dialogue.turns=many", ("dialogue.turns", "many")),
        ("tutor.strategies=[sokratic]", ("sokratic", "did you mean 'socratic'")),
        ("students.personas=[engagd]", ("engagd", "did you mean 'engaged'")),
        ("items.pack=earth", ("earth", "earth_science")),
        ("pools.tutor.shares=clas", ("pools.tutor.shares", "did you mean 'class'")),
        ("pools.tutor.roles=[]", ("no pool has the role 'tutor'",)),
        ("pools.tutor.roles=[student]", ("class and tutor both have the role 'student'",)),
        ("students.personas=[engaged, engaged]", ("'engaged' stands twice",)),
        ("pools.tutor.model=other", ("pools.tutor.shares", "same model")),
        ("dialogue.candidates=1", ("dialogue.candidates", "at least 2")),
        ("dialogue.turns=400", ("max_model_len", "lower the turns")),
        ("loop.heldout.items.pack=earth_science", None),
        ("tutor.settings={dimension: x}", ("no setting 'dimension'",)),
        ("training.beta=-1", ("training.beta",)),
        ("name=../up", ("name",)),
        ("loop.adapter=../up", ("loop.adapter", "../up")),
        ("loop.adapter=a/b", ("loop.adapter", "a/b")),
        ("pools={../x: {roles: [student]}}", ("pools.../x", "pattern")),
        ("items.repeats=100000000", ("items.repeats: 100000000", "at most 1000000 in a phase", "lower it")),
        ("dialogue.candidates=100000000", ("dialogue: 2 turns of 100000000 candidates", "at most 100000 replies")),
        ("loop.heldout.items.repeats=100000000", ("loop.heldout.items.repeats: 100000000", "lower it")),
        ("loop.gate.fail_if=[leak_rate is bad]", ("loop.gate.fail_if:", "'leak_rate is bad'", "METRIC OP VALUE")),
        ("loop.gate.fail_if=['leek_rate > 0.1']", ("loop.gate.fail_if:", "did you mean 'leak_rate'")),
        ("loop.gate.fail_if=['quality < +0']", ("no scorer judges", "scorer.path")),
        ("loop.gate.fail_if=['rubric:pedagogical_rl/leak < +0']", ("no judge of this loop", "no `rubric`")),
        ("loop.gate.gives_up=[opener_shares]", ("no headline measure", "did you mean 'opener_share'")),
        ("loop.gate.gives_up=[words]", ("'words' is no headline measure",)),
        ("loop.gate.fail_if=['noticed < 0.5']", ("nobody is in distress",)),
        ("loop.gate.fail_if=['invalid_share > 0.1']", ("nobody judges",)),
        ("loop.gate.fail_if=['turns_to_right > 3']", ("probes.turn is false",)),
        ("pools.class.gpus=1.5", ("pools.class.gpus", "1.5", "give 1")),
        ("pools.class.gpus=0.5", ("pools.class.gpu_memory_utilization", "0.9", "at most 0.5")),
    ],
)
def test_what_is_wrong_is_named(override: str, parts: tuple[str, ...] | None) -> None:
    if parts is None:  # other personas, so the same items may be held out
        load_config(QUICKSTART, (override,))
        return
    with pytest.raises(InputError) as caught:
        load_config(QUICKSTART, (override,))
    assert caught.value.exit_code == 2
    for part in ("quickstart.yaml", *parts):
        assert part in str(caught.value)


def test_a_loop_whose_candidates_are_probed_probes_before_the_dialogue() -> None:
    scripted = [f"pools.{name}={{roles: {roles}, engine: scripted}}" for name, roles in POOLS.items()]
    load_config(QUICKSTART, (*scripted,))
    with pytest.raises(InputError, match="set probes.candidate to none"):
        load_config(QUICKSTART, (*scripted, "probes.question=false"))


POOLS = {"class": "[student, judge]", "tutor": "[tutor]"}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("loop.gate.max_leak_increase=0.1", "max_leak_increase: 30 held-out items cannot show a bound of 0.1"),
        ("loop.gate.max_leak_increase=0.21", ""),
        ("loop.gate.fail_if=['leak_rate > +0.05']", "'leak_rate > +0.05': 30 held-out items cannot show"),
        ("loop.gate.fail_if=['leak_rate > 0.3', 'words > 0.01']", ""),
        ("seed=7", ""),
    ],
)
def test_check_tells_a_bound_on_leaks_that_the_held_out_items_cannot_show(override: str, told: str) -> None:
    found = [one for one in warnings(load_config(QUICKSTART, (override,))) if "held-out items" in one]
    assert len(found) == bool(told) and all(told in one and "reaches 0.116" in one for one in found)


def test_a_criterion_of_the_loops_own_rubric_may_decide() -> None:
    judged = "rubric={name: pedagogical_rl}"
    condition = "loop.gate.fail_if=['rubric:pedagogical_rl/{} < -0.05', 'words > 60']"
    assert len(load_config(QUICKSTART, (judged, condition.format("leak"))).loop.gate.fail_if) == 2
    with pytest.raises(InputError, match="did you mean 'rubric:pedagogical_rl/leak'"):
        load_config(QUICKSTART, (judged, condition.format("leek")))
    with pytest.raises(InputError, match="only a loop decides by it"):
        load_config(
            QUICKSTART, ("kind=run", "loop.gate.fail_if=['words > 60']", "dialogue.candidates=1", "reward.gates={}")
        )


def test_a_rubric_that_needs_other_votes_than_it_gets_is_refused(tmp_path: Path) -> None:
    rubric = tmp_path / "three.yaml"
    rubric.write_text(shipped_rubrics()["pedagogical_rl"] + "readable: 3\n")
    with pytest.raises(InputError, match="readable: 3 of 2 votes"):
        load_config(QUICKSTART, (f"rubric={{name: {rubric}}}",))
    assert load_config(QUICKSTART, (f"rubric={{name: {rubric}, votes: 3}}",)).rubric


def test_items_and_personas_that_are_trained_on_cannot_be_held_out() -> None:
    with pytest.raises(InputError, match="hold out another pack or other personas"):
        load_config(QUICKSTART, ("loop.heldout.items.pack=earth_science", "loop.heldout.personas=[engaged]"))


def test_an_endpoint_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="export the key"):
        load_config(QUICKSTART, ("pools.class.engine=openai", "pools.class.base_url=https://example.org/v1"))


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("name: x\n")
    with pytest.raises(InputError, match=r"did you mean .*quickstart.yaml"):
        load_config(tmp_path / "quikstart.yaml")


def test_text_that_is_not_a_config(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(InputError, match="expected keys"):
        load_config(path)
    path.write_text("a: [")
    with pytest.raises(InputError, match="not a readable YAML"):
        load_config(path)


SCRIPTED = """\
name: t
kind: run
pools:
  class: {engine: scripted, roles: [student, tutor], script: [hello]}
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("items: {limit: 2}\nseed: 1\nitems: {limit: 3}", "line 7: the key 'items' stands twice, first on line 5"),
        ("tutor:\n  temperature: yes", "tutor.temperature: .*; line 6; .*`yes` is read differently"),
        ("items: {limit: true}", "items.limit: .*; line 5"),
        ("dialogue:\n  candidates: 1\n  turns: 1:30", "dialogue.turns: .*; line 7; .*`1:30` is read differently"),
        ("seed: 010", "seed: .*; line 5; .*`010` is read differently by versions of YAML: write a decimal number"),
        ("probes: {question: on}", "probes.question: .*; line 5; .*write true or false"),
        ("reward: {leak: -.inf}", "reward.leak: Input should be a finite number.*; line 5"),
        ("budget: {cost: .nan}", "budget.cost: Input should be a finite number.*; line 5"),
        ("sweep: [{name: a, reward: {gain: 1e999}}]", "sweep.0.reward.gain: .*; line 5"),
        ("training: {learning_rate: .inf}", "training.learning_rate: .*; line 5"),
        ("experiment: {no_worse_by: {net_gain: .inf}}", "experiment.no_worse_by.net_gain: .*; line 5"),
        ("stressors: [{name: x, intensities: [.nan]}]", "stressors.0.intensities.0: .*; line 5"),
        ("model: 5", "model: .*; line 5; .*quote it"),
    ],
)
def test_what_versions_of_yaml_and_numbers_make_doubtful_is_refused_with_its_line(
    text: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text(SCRIPTED + text)
    with pytest.raises(InputError, match=f"t.yaml: {says}"):
        load_config(tmp_path / "t.yaml")


@pytest.mark.parametrize("override", ["tutor.temperature=yes", "items.limit=true", "seed=010", "reward={leak: .inf}"])
def test_an_override_is_read_as_strictly_and_named(override: str) -> None:
    with pytest.raises(InputError, match="quickstart.yaml: [a-z.]+: .*; --set '"):
        load_config(QUICKSTART, (override,))


def test_a_word_that_is_a_truth_value_elsewhere_may_be_a_text(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(SCRIPTED.replace("name: t", "name: no") + "training: {learning_rate: 1e-4}")
    found = load_config(tmp_path / "t.yaml")
    assert found.name == "no" and found.training.learning_rate == 1e-4
