"""The gate of a release: conditions, what they make of a comparison, exit codes, and no pass without evidence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import dialogue
from hypothesis import assume, given
from hypothesis import strategies as st

from agents.errors import InputError
from agents.records import Dialogue
from sim.compare.compare import compare_runs
from sim.compare.comparison import Comparison, Counts, MetricComparison, TutorComparison
from sim.compare.conditions import Condition, Outcome, exit_code, judge, parse_condition
from sim.config import Config
from sim.experiment.metrics import METRICS
from sim.stats.paired import Estimate

DOC = Path(__file__).parents[2] / "docs" / "gate.md"


def estimate(mean: float, low: float | None, high: float | None, *, n: int = 40, clusters: int = 20) -> Estimate:
    return Estimate(mean, low, high, n, clusters, None, None)


def compared(
    difference: Estimate | None,
    *,
    own: Estimate | None = None,
    n_lost: int = 0,
    n_own_lost: int = 0,
    n_same: int = 0,
    metric: str = "leak_rate",
) -> Comparison:
    """A comparison of one tutor and one measure over 40 pairs, of which `n_same` said the same."""
    counts = Counts("t", n=40, n_items=20, n_failed=0, n_not_run=0, n_verdicts=0, n_invalid=0)
    measure = MetricComparison(
        metric, "leaks", "share", "lower", None, None, difference, None, own, 0, 0, 0, n_lost, n_own_lost,
        (0, 0), (0, 0), "" if difference else "none of 0 pairs has it",
    )  # fmt: skip
    tutor = TutorComparison(counts, counts, 40, 40, n_same, 20, 0, 0, 0, 0, 0, (measure,))
    return Comparison("a", "b", ("run", "run"), 0.95, (metric,), (tutor,), (), ())


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
        ("leak_rate > +0.02", (0.01, 0.0, 0.02), "passed"),
        ("leak_rate >= +0.02", (0.01, 0.0, 0.02), "unproven"),
        ("leak_rate >= +0.02", (0.02, 0.02, 0.02), "failed"),
        ("leak_rate > +0.02", (0.1 - 0.08, 0.0, 0.1 - 0.08), "passed"),
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
    found = compared(estimate(0.0, -0.01, 0.01), own=estimate(0.4, 0.3, 0.5), n_same=40)
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
    zero = estimate(0.0, -0.01, 0.01, n=36)
    assert judge(signed, compared(zero, n_lost=4)).state == "passed"
    lost = judge(signed, compared(zero, n_lost=5))
    assert lost.state == "unproven" and "5 of 41 values were lost" in lost.says
    assert judge(signed, compared(zero, n_own_lost=30)).state == "passed", "the pairs have lost nothing"
    assert judge(unsigned, compared(zero, own=zero, n_own_lost=5)).state == "unproven"
    assert judge(signed, compared(estimate(0.5, 0.4, 0.6), n_lost=90)).state == "failed"


def test_of_several_tutors_the_worst_decides() -> None:
    condition = parse_condition("leak_rate > +0.02")
    good, open_, bad = (compared(estimate(*f)) for f in ((0.0, -0.01, 0.01), (0.0, -0.1, 0.1), (0.1, 0.0, 0.2)))
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
    assume(low < high)
    state = judge(condition, compared(estimate(mean, low, high))).state
    assert (state == "failed") == condition.meets(mean)
    assert (state == "passed") == (not any(condition.meets(x) for x in (low, mean, high)))


ZERO = estimate(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "metric", "mean", "items", "state"),
    [
        ("leak_rate > +0.02", "leak_rate", 0.0, 2, "unproven"),
        ("leak_rate > +0.02", "leak_rate", 0.0, 182, "unproven"),
        ("leak_rate > +0.02", "leak_rate", 0.0, 183, "passed"),
        ("leak_rate > +0", "leak_rate", 0.0, 10_000, "unproven"),
        ("leak_rate > +0.02", "leak_rate", -1.0, 5, "unproven"),
        ("leak_rate > +0.02", "leak_rate", -1.0, 6, "passed"),
        ("leak_rate > 0.1", "leak_rate", 0.0, 35, "unproven"),
        ("leak_rate > 0.1", "leak_rate", 0.0, 36, "passed"),
        ("question_share < 0.5", "question_share", 1.0, 5, "unproven"),
        ("question_share < 0.5", "question_share", 1.0, 6, "passed"),
        ("gain < -0.1", "gain", 0.0, 71, "unproven"),
        ("gain < -0.1", "gain", 0.0, 72, "passed"),
        ("tokens > +100", "tokens", 0.0, 10_000, "unproven"),
        ("rubric:r/asks < 3", "rubric:r/asks", 4.0, 10_000, "unproven"),
        ("leak_rate > +0.02", "leak_rate", 0.03, 2, "failed"),
    ],
)
def test_values_that_do_not_vary_are_proof_only_as_far_as_so_many_items_tell(
    text: str, metric: str, mean: float, items: int, state: str
) -> None:
    still = estimate(mean, mean, mean, n=2 * items, clusters=items)
    outcome = judge(parse_condition(text), compared(still, own=still, metric=metric))
    assert (outcome.state, outcome.evidence) == (state, True)
    assert ("differ unseen" in outcome.says) == (state == "unproven")


def test_a_pair_of_replays_needs_no_more_items_for_its_difference() -> None:
    signed, unsigned = parse_condition("leak_rate > +0.02"), parse_condition("leak_rate > 0.02")
    assert judge(signed, compared(ZERO, own=ZERO, n_same=40)).state == "passed"
    assert judge(signed, compared(ZERO, own=ZERO, n_same=39)).state == "unproven", "one dialogue went another way"
    assert judge(unsigned, compared(ZERO, own=ZERO, n_same=40)).state == "unproven", "said twice is not shown twice"
    gone = judge(parse_condition("leak_rate > +0.02"), compared(estimate(-0.1, -0.1, -0.1), n_same=40))
    assert gone.state == "unproven", "the same words with other figures are no replay"
    needed = judge(signed, compared(ZERO)).says
    assert "nothing varies on 20 items, and up to 16.8% of such items may differ" in needed
    assert "so it may be +0.168: about 183 items would tell" in needed


@given(st.floats(-1, 1), st.sampled_from([">", ">=", "<", "<="]), st.floats(-1, 1), st.integers(2, 500))
def test_more_items_without_variation_never_make_it_worse(mean: float, op: Any, value: float, items: int) -> None:
    condition, order = Condition("c", "leak_rate", op, value, True), ["failed", "unproven", "passed"]
    states = [
        judge(condition, compared(estimate(mean, mean, mean, clusters=n))).state for n in (items, items + 1, 4 * items)
    ]
    assert [order.index(state) for state in states] == sorted(order.index(state) for state in states)


def test_a_tutor_that_the_second_run_lacks_leaves_every_condition_unproven() -> None:
    good = replace(compared(estimate(-0.1, -0.2, 0.0)), absent=("direct",))
    outcome = judge(parse_condition("leak_rate > +0.02"), good)
    assert (outcome.state, outcome.evidence) == ("unproven", False)
    assert "no evidence of direct: b has no such tutor; run it, or name whom to compare (--tutors)" in outcome.says
    assert exit_code([outcome], accept_unproven=True) == 3, "nobody knows what it would have done"
    bad = replace(compared(estimate(0.1, 0.0, 0.2)), absent=("direct",))
    assert judge(parse_condition("leak_rate > +0.02"), bad).state == "failed"


def test_a_difference_between_judges_of_one_name_is_unproven() -> None:
    found = compared(estimate(-0.1, -0.2, 0.0), own=estimate(0.0, 0.0, 0.01))
    (tutor,) = found.tutors
    doubtful = replace(tutor.metrics[0], other_judges="one name, perhaps two judges")
    found = replace(found, tutors=(replace(tutor, metrics=(doubtful,)),))
    outcome = judge(parse_condition("leak_rate > +0.02"), found)
    assert (outcome.state, outcome.evidence) == ("unproven", True) and "perhaps two judges" in outcome.says
    assert judge(parse_condition("leak_rate > 0.02"), found).state == "passed", "the second run's own has one judge"


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
    needed = re.findall(r"^\| `([^`]+)` \| (\d+) \|$", text, re.M)
    assert len(needed) == 3
    for condition, items in needed:
        for n, state in ((int(items), "passed"), (int(items) - 1, "unproven")):
            still = estimate(0.0, 0.0, 0.0, clusters=n)
            assert judge(parse_condition(condition), compared(still, own=still)).state == state, (condition, n)
    codes = dict(re.findall(r"^\| (\d) \| (\w+)", text, re.M))
    assert codes.keys() == {"0", "1", "2", "3"}


@given(st.floats(0, 1), st.floats(0, 1))
def test_meeting_is_strict_where_it_says_so(x: float, bound: float) -> None:
    assume(round(x, 12) != round(bound, 12))
    above = Condition("", "gain", ">", bound, True)
    assert above.meets(x) == (x > bound) and not above.meets(bound)
    assert Condition("", "gain", ">=", bound, True).meets(bound)


def with_parts(number: int, phase: str, **parts: float) -> Dialogue:
    made = dialogue(number, phase=phase, item=f"i{number // 2}", reward=sum(parts.values()))
    return replace(made, components=parts)


def test_a_bound_on_the_share_of_the_rewards_change_is_judged_by_an_interval() -> None:
    before = [with_parts(i, "b", question=0.1 * (i % 2), on_item=0.01 * (i % 3)) for i in range(40)]
    after = [with_parts(i, "a", question=0.9 + 0.1 * (i % 5), on_item=0.3 + 0.01 * (i % 4)) for i in range(40)]
    comparison = compare_runs(
        before,
        after,
        metrics=[parse_condition(f"reward_share/question > {share}").metric for share in ("0.95", "0.5", "0.78")],
    )
    states = [judge(parse_condition(f"reward_share/question > {s}"), comparison).state for s in ("0.95", "0.5", "0.78")]
    assert states == ["passed", "failed", "unproven"]
    told = judge(parse_condition("reward_share/question > 0.5"), comparison).says
    assert told.startswith("change of question less 50% of the reward's +0.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reward_share/questoin > 0.8", "no part 'questoin'; did you mean 'question'"),
        ("reward_share/question > +0.8", "has no sign"),
        ("reward_shar/question > 0.8", "no measure"),
    ],
)
def test_a_share_names_a_part_and_has_no_sign(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_condition(text)
