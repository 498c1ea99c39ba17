"""A plan on the terminal: names and figures whole on 80 columns, and what the columns leave out said below."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from builders import config
from rich.console import Console

from sim.config import PoolConfig
from sim.plan.plan import Plan, plan
from sim.plan.rates import Range
from sim.plan.view import show_plan

NAMES = ("direct", "metacognition", "answer_dump")
METRICS = ("net_gain", "question_share", "leak_rate")


def made(**pool: object) -> Plan:
    """A plan of three tutors, of which the last two are behind a pool with these settings."""
    pools = dict(config().pools) | {"other": PoolConfig.model_validate({"engine": "scripted", **pool})}
    tutors = [{"name": NAMES[0]}, *({"name": name, "pool": "other"} for name in NAMES[1:])]
    return plan(config(pools=pools, tutors=tutors, items={"limit": 4}))


def shown(what: Plan, width: int = 80) -> str:
    """What a terminal of so many columns shows."""
    out = StringIO()
    show_plan(what, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


def large(what: Plan, cost: Range) -> Plan:
    """The same with figures as wide as they get, half the tutors like others of the pilot's."""
    wide = Range(1.234e6, 1.0e6, 1.5e6)
    volume = replace(what.total, dialogues=12345, generate=123456, score=123456)
    volume = replace(volume, prompt_tokens=wide, completion_tokens=wide, cost=cost)
    sources = ("pilot", "its prompt tutors", "its prompt tutors")
    tutors = [
        replace(one, total=volume, left=12345, source=source) for one, source in zip(what.tutors, sources, strict=True)
    ]
    metrics = [
        replace(one, tutor="metacognition", sd=0.0123, n=12345, items=1234, detectable=0.0786, items_needed=12345)
        for one in what.metrics
    ]
    return replace(what, tutors=tuple(tutors), total=volume, left=volume, metrics=tuple(metrics))


@pytest.mark.parametrize("cost", [Range(0.0, 0.0, 0.0), Range(123.45, 99.0, 150.0)])
def test_80_columns_show_names_and_figures_whole(cost: Range) -> None:
    for what in (made(), large(made(), cost)):
        text = shown(what)
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80 and "…" not in text
        for name in (*NAMES, *METRICS):
            assert any(line.strip(" │").split()[:1] == [name] for line in lines), name
    row = next(line for line in lines if line.startswith("metacognition"))
    assert row.split()[:5] == ["metacognition", "12345", "12345", "123,456", "123,456"]
    assert ("123.45 ±21%" in row) == bool(cost.mean) and "1.23M ±20% 1.23M ±20%" in row


def test_where_figures_come_from_stands_below() -> None:
    assert "figures from: bound\n" in shown(made())
    text = " ".join(shown(large(made(), Range(0.0, 0.0, 0.0))).split())
    assert "figures from: pilot (direct); its prompt tutors (metacognition, answer_dump)" in text


def test_a_cost_that_is_0_or_unknown_has_a_line_and_no_column() -> None:
    free, bought = made(), made(price_per_million=(1.0, 2.0))
    elsewhere = made(engine="openai", base_url="https://tutor.example/v1", model="m")
    told = {name: " ".join(shown(one).split()) for name, one in (("free", free), ("elsewhere", elsewhere))}
    assert "cost: 0, no pool in use has a price" in told["free"]
    assert "cost: unknown of metacognition, answer_dump; 0 of the others" in told["elsewhere"]
    assert all(" cost " not in one for one in told.values())
    text = shown(bought)
    header = next(line for line in text.splitlines() if "dialogues" in line and "replies" in line)
    assert "cost" in header and "cost:" not in text
    first, *others = bought.tutors
    partly = shown(replace(bought, tutors=(replace(first, total=replace(first.total, cost=Range())), *others)))
    assert next(line for line in partly.splitlines() if "direct" in line).strip(" │").split()[-1] == "-"
    unknown = replace(free, tutors=tuple(replace(t, total=replace(t.total, cost=Range())) for t in free.tutors))
    assert "cost: unknown\n" in shown(unknown)


def test_a_bound_is_a_sign_and_not_words() -> None:
    text = shown(made())
    assert "at most" not in text and "≤" in next(line for line in text.splitlines() if line.startswith("to run"))


def test_a_wide_terminal_keeps_the_lines_between_columns() -> None:
    what = large(made(), Range(123.45, 99.0, 150.0))
    assert "│" in shown(what, width=160) and "│" not in shown(what)
