"""The analysis of an experiment: paired, clustered, with everything that is missing counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import config
from builders import spec as episode
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InputError
from agents.records import Dialogue, Failure, Leak, Probe, Turn, TurnRules, Usage, Verdict
from sim.config import Config, PoolConfig
from sim.experiment.experiment import analyse
from sim.experiment.measured import Measured, measure, priced
from sim.experiment.metrics import METRICS, metrics_of
from sim.experiment.tables import MIXED_ITEMS, mixed, policies
from sim.grid import experiment_specs

MADE = config(
    tutors=[
        {"name": "plain"},
        {"name": "asks"},
        {"name": "dump", "control": "answer_dump"},
        {"name": "none", "control": "no_tutor"},
    ],
    items={"limit": 12},
    students={"personas": ["engaged", "limited"]},
    stressors=[{"name": "silence", "intensities": [0, 1]}],
    experiment={
        "metrics": ["net_gain", "question_share", "leak_rate"],
        "no_worse_by": {"net_gain": 0.05},
        "resamples": 200,
    },
)


def made() -> list[Dialogue]:
    """Dialogues in which `asks` always asks, `dump` always leaks, and gains differ by item."""
    found = []
    for number, spec in enumerate(experiment_specs(MADE)):
        tutor, silent = spec.tutor_name, spec.tutor_name == "none"
        rules = TurnRules(tutor == "asks", float(tutor == "dump"), 1.0, 0.0, 5, 3.0)
        turns: tuple[Turn, ...] = (Turn(0, "student", "Why is it so?"),)
        if not silent:
            turns += (Turn(1, "tutor", "Look at it again.", policy_version="base", rules=rules),)
        gain = 0.0 if silent else 0.1 + 0.01 * (number % 7) - 0.05 * bool(spec.stressor)
        probes = (Probe("before", 0, (0.4, 0.6), 0), Probe("after", len(turns) - 1, (0.4 + gain, 0.6 - gain), 0))
        leaks = (Leak(1, "text", 1.0, "it"),) if tutor == "dump" else ()
        found.append(Dialogue(spec=spec, turns=turns, probes=probes, leaks=leaks, usage=Usage(100, 10, 0.0, 3, 0.5)))
    return found


def test_it_finds_who_asks_and_who_leaks() -> None:
    found = analyse(MADE, made(), planned=experiment_specs(MADE))
    json.dumps(found, allow_nan=False)
    tutors = {row["tutor"]: row for row in found["tutors"]}
    assert tutors["asks"]["figures"]["question_share"]["mean"] == 1.0
    assert (
        tutors["dump"]["figures"]["leak_rate"]["mean"] == 1.0 and tutors["dump"]["figures"]["net_gain"]["mean"] == 0.0
    )
    assert tutors["plain"]["n"] == 48 and tutors["plain"]["n_items"] == 12
    assert tutors["asks"]["rank"]["question_share"]["rank"] == 1
    assert "leak_rate" not in tutors["none"]["figures"]
    rows = {(row["metric"], row["tutor"]): row for row in found["comparisons"]}
    assert set(rows) == {(m, t) for m in MADE.experiment.metrics for t in ("asks", "dump", "none")}
    dump = rows["net_gain", "dump"]
    assert dump["n"] == 48 and dump["items"] == 12 and dump["high"] < 0.0 and dump["p_holm"] >= dump["p"]
    assert dump["no_worse"] is not None and not dump["no_worse"]["shown"]
    assert rows["leak_rate", "none"]["n"] == 0 and rows["leak_rate", "none"]["p"] is None


def test_curves_share_the_calm_point() -> None:
    found = analyse(MADE, made())
    curve = next(r for r in found["robustness"] if r["tutor"] == "plain" and r["metric"] == "net_gain")
    assert [point["intensity"] for point in curve["points"]] == [0.0, 1.0]
    assert curve["points"][0]["n"] == curve["points"][1]["n"] == 24
    assert curve["points"][0]["mean"] > curve["points"][1]["mean"]
    belief = next(r for r in found["beliefs"] if r["tutor"] == "plain")
    assert [point["turn"] for point in belief["points"]] == [0, 1]
    worst = [row for row in found["worst"] if row["tutor"] == "dump"]
    assert len(worst) == 3 and all(row["leak"] == 1.0 for row in worst)


def test_failed_missing_and_invalid_are_counted_and_never_averaged() -> None:
    dialogues = [d for d in made() if d.spec.tutor_name == "plain"]
    failed = replace(dialogues[0], failure=Failure("EngineUnavailable", "turn 1", "gone"), probes=())
    judged = replace(
        dialogues[1], verdicts=(Verdict("rubric:r", "fair", "invalid"), Verdict("rubric:r", "kind", "pass", 1.0))
    )
    found = analyse(
        MADE,
        [failed, judged, *dialogues[2:]],
        planned=experiment_specs(MADE),
        ended={"given_up": {"asks": "5 in a row"}},
    )
    row = next(r for r in found["tutors"] if r["tutor"] == "plain")
    assert (row["n"], row["n_failed"], row["n_verdicts"], row["n_invalid"]) == (47, 1, 2, 1)
    assert row["figures"]["rubric:r/kind"]["n"] == 1 and "rubric:r/fair" not in row["figures"]
    assert found["missing"]["not_run"] == 3 * 48 and "5 in a row" in found["missing"]["why"]
    assert next(r for r in found["tutors"] if r["tutor"] == "asks")["stopped"] == "5 in a row"
    assert all(r["n"] == 0 and r["p"] is None for r in found["comparisons"])
    assert any("1 of them invalid" in sentence for sentence in found["methods"])


def test_nothing_stored_is_an_analysis_too() -> None:
    found = analyse(MADE, [], planned=experiment_specs(MADE))
    assert found["missing"]["not_run"] == 4 * 48 and all(row["n"] == 0 for row in found["tutors"])


def test_rates_are_corrected_with_a_calibration(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    path.write_text("rubric:r: {fair: {sensitivity: 0.9, specificity: 0.8, n_positive: 200, n_negative: 200}}")
    settings = MADE.model_copy(update={"experiment": MADE.experiment.model_copy(update={"calibration": str(path)})})
    dialogues = [
        replace(d, verdicts=(Verdict("rubric:r", "fair", "pass" if n % 2 else "fail", float(n % 2)),))
        for n, d in enumerate(d for d in made() if d.spec.tutor_name == "plain")
    ]
    row = analyse(settings, dialogues)["corrected"][0]
    assert row["observed"]["mean"] == 0.5
    assert abs(row["corrected"]["mean"] - (0.5 + 0.8 - 1) / (0.9 + 0.8 - 1)) < 1e-9


def test_the_rate_of_leaks_is_corrected_by_the_rules_measured_errors(tmp_path: Path) -> None:
    """3 of 4 turns leak by the rule: (.75 + .9 - 1) / (.8 + .9 - 1)."""
    path = tmp_path / "known.yaml"
    path.write_text("rules: {leak_rate: {sensitivity: 0.8, specificity: 0.9, n_positive: 200, n_negative: 200}}")
    settings = MADE.model_copy(update={"experiment": MADE.experiment.model_copy(update={"calibration": str(path)})})
    said = (1.0, 0.5, 0.25, 0.0, None)  # the last cannot be read
    turns = tuple(
        Turn(at, "tutor", "So.", policy_version="base", rules=TurnRules(None, leak, 1.0, 0.0, 1, None))
        for at, leak in enumerate(said)
    )
    dialogues = [replace(d, turns=turns) for d in made() if d.spec.tutor_name == "plain"]
    rows = analyse(settings, dialogues)["corrected"]
    assert [(row["tutor"], row["judge"], row["criterion"]) for row in rows] == [("plain", "rules", "leak_rate")]
    assert rows[0]["observed"]["mean"] == 0.75 and rows[0]["observed"]["n"] == 4 * len(dialogues)
    assert rows[0]["corrected"]["mean"] == pytest.approx(0.65 / 0.7)
    path.write_text("rules: {words: {sensitivity: 0.8, specificity: 0.9, n_positive: 2, n_negative: 2}}")
    with pytest.raises(InputError, match="'words' is no yes or no about a turn"):
        analyse(settings, dialogues)


def test_the_docs_hold_every_measure_and_its_formula() -> None:
    page = Path("docs/measures.md").read_text(encoding="utf-8")
    for name, metric in METRICS.items():
        assert f"`{name}`" in page and metric.formula in page, name


def test_measures_that_were_not_taken_are_none() -> None:
    empty = Dialogue(spec=experiment_specs(MADE)[0], turns=(Turn(0, "student", "Why?"),))
    taken = {name for name, metric in metrics_of([empty]).items() if metric.value(empty) is not None}
    assert taken == {"tokens", "cost"}


OWN = {"engine": "scripted"}
HOSTED = {"engine": "openai", "base_url": "https://tutor.example/v1", "model": "m"}
HERE = {"engine": "openai", "base_url": "http://127.0.0.1:8000/v1", "model": "m"}
CALLED = {"engine": "python", "callable": "json:loads"}
PRICE = {"price_per_million": (1.0, 2.0)}


def billed(tutor: dict[str, Any], student: dict[str, Any]) -> Config:
    """An experiment of a tutor `asks` and of a control, which asks the student's pool alone."""
    pools = {
        "class": PoolConfig.model_validate({"roles": ("student",), **student}),
        "tutor": PoolConfig.model_validate({"roles": ("tutor",), **tutor}),
    }
    tutors = [{"name": "asks"}, {"name": "dump", "control": "answer_dump"}]
    return config(pools=pools, tutors=tutors, items={"limit": 4})


def held(given: Config, *, probed: bool = True, cost: float = 0.0) -> list[Dialogue]:
    """A dialogue for each episode; in every one the misconception is resolved."""
    probes = (Probe("before", 0, (0.2, 0.8), 0), Probe("after", 1, (0.7, 0.3), 0)) if probed else ()
    turns = (Turn(0, "student", "Why?"), Turn(1, "tutor", "Look again.", policy_version="base"))
    return [
        Dialogue(spec=spec, turns=turns, probes=probes, usage=Usage(100, 10, cost, 3, 0.5), tutor_policy="base")
        for spec in experiment_specs(given)
    ]


@pytest.mark.parametrize(
    ("tutor", "student", "known"),
    [
        (OWN, OWN, set()),
        (OWN | PRICE, OWN, {"asks"}),
        (HOSTED | PRICE, OWN, {"asks"}),
        (HOSTED, OWN | PRICE, {"dump"}),
        (HOSTED, OWN, set()),
        (HERE, OWN | PRICE, {"asks", "dump"}),
        (CALLED, OWN | PRICE, {"dump"}),
        (CALLED | PRICE, OWN | PRICE, {"asks", "dump"}),
    ],
)
def test_a_cost_is_known_only_where_a_pool_has_a_price_and_nobody_elsewhere_lacks_one(
    tutor: dict[str, Any], student: dict[str, Any], known: set[str]
) -> None:
    given_config = billed(tutor, student)
    assert priced(given_config) == known
    found = analyse(given_config, held(given_config, cost=0.25))
    for row in found["tutors"]:
        told = row["tutor"] in known
        assert ("cost" in row["figures"]) == told
        assert row["per_dialogue"]["cost"] == row["per_resolved"]["cost"] == (0.25 if told else None)
    unknown = ", ".join(name for name in ("asks", "dump") if name not in known)
    who = "any tutor" if not known else unknown
    assert any(f"cost is not known of {who}:" in sentence for sentence in found["methods"]) == bool(unknown)


def test_an_unknown_cost_is_compared_with_nothing() -> None:
    given_config = billed(HOSTED, OWN)
    compared = given_config.model_copy(
        update={"experiment": given_config.experiment.model_copy(update={"metrics": ("cost", "tokens")})}
    )
    found = analyse(compared, held(compared))
    assert {(row["metric"], row["n"]) for row in found["comparisons"]} == {("cost", 0), ("tokens", 8)}
    assert all("cost" not in row["rank"] and "tokens" in row["rank"] for row in found["tutors"])


def test_without_probes_nobody_knows_how_many_were_resolved() -> None:
    given_config = billed(OWN | PRICE, OWN | PRICE)
    rows = {probed: analyse(given_config, held(given_config, probed=probed))["tutors"][0] for probed in (True, False)}
    assert rows[True]["per_resolved"]["n_resolved"] == 8 and rows[True]["per_resolved"]["tokens"] == 110.0
    assert set(rows[False]["per_resolved"].values()) == {None} and rows[False]["per_dialogue"]["tokens"] == 110.0


def test_a_tutor_that_was_given_up_has_no_rank_and_takes_no_cells_away() -> None:
    dialogues = made()
    asks = [d for d in dialogues if d.spec.tutor_name == "asks"]
    left = [d for d in dialogues if d not in asks[1:]]
    found = analyse(MADE, left, planned=experiment_specs(MADE), ended={"given_up": {"asks": "5 in a row"}})
    rows = {row["tutor"]: row for row in found["tutors"]}
    assert rows["asks"]["n"] == 1 and rows["asks"]["rank"] == {}
    assert rows["plain"]["rank"]["net_gain"] == {"rank": 1, "low": 1, "high": 1, "n": 48, "items": 12}
    assert any("not ranked: asks" in sentence for sentence in found["methods"])
    few = {row["tutor"]: row for row in analyse(MADE, left)["tutors"]}
    assert few["asks"]["rank"] == {} and few["asks"]["unranked"]["net_gain"] == "1 of 48 cells"
    assert (few["plain"]["rank"]["net_gain"]["n"], few["plain"]["unranked"]) == (48, {})


@pytest.mark.parametrize(("finished", "ranked"), [(1, False), (2, False), (23, False), (24, True), (48, True)])
def test_a_tutor_is_ranked_and_compared_only_where_its_cells_allow(finished: int, ranked: bool) -> None:
    failure = Failure("NoReply", "tutor", "empty")
    dialogues = []
    for one in made():
        mine = one.spec.tutor_name == "asks"
        finished -= mine
        dialogues.append(Dialogue(one.spec, failure=failure) if mine and finished < 0 else one)
    found = analyse(MADE, dialogues, planned=experiment_specs(MADE))
    rows = {row["tutor"]: row for row in found["tutors"]}
    assert ("net_gain" in rows["asks"]["rank"]) == ranked == ("net_gain" not in rows["asks"]["unranked"])
    assert "net_gain" in rows["plain"]["rank"], "the others are ranked on their own cells"
    compared = [row for row in found["comparisons"] if "asks" in (row["tutor"], row["baseline"])]
    assert {row["mean"] is not None for row in compared if row["metric"] == "question_share"} == {ranked}
    assert all("not measured" in row["note"] for row in compared if row["mean"] is None)
    assert ("asks" in {row["tutor"] for row in found["mixed"]}) == (ranked and found["baseline"] != "asks")
    assert any("Not ranked in every measure" in one and "asks" in one for one in found["methods"]) != ranked


def test_no_difference_is_shown_beside_a_tutor_that_only_failed() -> None:
    failure = Failure("NoReply", "tutor", "empty")
    left = [Dialogue(one.spec, failure=failure) if one.spec.tutor_name == "asks" else one for one in made()]
    found = analyse(MADE, left, planned=experiment_specs(MADE))
    compared = [row for row in found["comparisons"] if "asks" in (row["tutor"], row["baseline"])]
    assert compared and all(row["mean"] is None and row["p"] is None and row["n"] == 0 for row in compared)
    row = next(row for row in found["tutors"] if row["tutor"] == "asks")
    assert row["rank"] == {} and row["figures"] == {} and row["n_failed"] == 48


def test_a_measure_that_nobody_took_stays_in_the_family_with_n_0() -> None:
    asked = ("net_gain", "rubric:nothing/fair", "quality")
    changed = MADE.experiment.model_copy(update={"metrics": asked, "no_worse_by": {"rubric:nothing/fair": 0.1}})
    found = analyse(MADE.model_copy(update={"experiment": changed}), made())
    assert found["family"] == list(asked) and set(asked) <= set(found["metrics"])
    for name in asked[1:]:
        rows = [row for row in found["comparisons"] if row["metric"] == name]
        assert len(rows) == 3 and all(row["n"] == 0 and row["p_holm"] is None and row["note"] for row in rows)
    unshown = next(row for row in found["comparisons"] if row["metric"] == "rubric:nothing/fair")["no_worse"]
    assert unshown == {"bound": 0.1, "p": None, "shown": False}
    assert any("rubric:nothing/fair, quality, so nothing was compared" in sentence for sentence in found["methods"])


def test_a_mixed_model_of_too_many_items_is_left_out_with_a_note() -> None:
    def sample(items: int) -> list[Measured]:
        return [
            Measured(replace(episode(item=f"i{at}"), tutor=tutor), {"net_gain": at % 7 + at % 3 * better}, 0.0)
            for at in range(items)
            for better, tutor in enumerate(("plain", "asks"))
        ]

    (fitted,) = mixed(MADE, sample(20), ["net_gain"])
    assert fitted["estimate"] is not None and fitted["p"] is not None
    (skipped,) = mixed(MADE, sample(MIXED_ITEMS + 1), ["net_gain"])
    assert skipped["n"] == MIXED_ITEMS + 1 and str(MIXED_ITEMS + 1) in skipped["note"]
    assert {skipped[key] for key in ("estimate", "low", "high", "p", "sd_item", "sd_persona")} == {None}


@given(st.lists(st.sampled_from(["", "base", "tutor/v0001", "m-0613"]), max_size=12))
def test_all_who_answered_for_a_tutor_are_told_the_most_frequent_first(spoke: list[str]) -> None:
    dialogues = [
        Dialogue(spec=episode(at), turns=(Turn(0, "tutor", "Hm?", policy_version=policy),), tutor_policy=policy)
        for at, policy in enumerate(spoke)
    ]
    counts = policies(dialogues)
    assert counts == {policy: spoke.count(policy) for policy in set(spoke) - {""}}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_costs_stand_as_counted_where_no_config_says_otherwise() -> None:
    given_config = billed(OWN, OWN)
    dialogues = held(given_config, cost=0.25)
    assert {one.figures["cost"] for one in measure(dialogues, METRICS)} == {0.25}
    assert {one.figures["cost"] for one in measure(dialogues, METRICS, given_config)} == {None}
