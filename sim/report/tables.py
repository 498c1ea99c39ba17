"""An experiment's tables as rows of plain values, for files that other programs read.

Invariant: what is not a finite number is None; every mean has its interval and n beside it, every measure that a judge
gives has the number of verdicts and of invalid ones; the columns of a table do not depend on its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.records import Dialogue, to_dict
from sim.experiment.metrics import metrics_of, values_by_tutor
from sim.report.data import finite
from sim.report.experiment_tables import Facts, verdicts_of
from sim.report.measures import columns, cost_known, entries, family, figures_of
from sim.report.verdicts import Verdicts

Kind = Literal["text", "number", "count", "flag"]
Row = dict[str, Any]
_FIGURE: dict[str, Kind] = {"mean": "number", "low": "number", "high": "number", "n": "count"}
_INVALID: dict[str, Kind] = {"n_verdicts": "count", "n_invalid": "count"}
_RANK = {"rank": "rank", "rank_low": "low", "rank_high": "high", "rank_n": "n", "rank_items": "items"}
"""Columns of a rank, and their names in the summary."""
_PLACE: dict[str, Kind] = dict.fromkeys(("dialogue", "tutor", "persona", "item", "stressor"), "text")
_PLACE |= {"intensity": "number"}
"""Where a dialogue belongs, in the tables that are not of all dialogues."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with their kinds, and rows; a row may lack a column (None)."""

    columns: dict[str, Kind]
    rows: list[Row]


def tables_of(experiment: Facts, dialogues: Sequence[Dialogue]) -> dict[str, Table]:
    """Every table by its name."""
    verdicts = Verdicts(dialogues)
    return {
        "leaderboard": _leaderboard(experiment),
        "comparisons": _comparisons(experiment, verdicts),
        "mixed": _mixed(experiment, verdicts),
        "cells": _cells(experiment, verdicts),
        "beliefs": _curves(experiment, "beliefs", {"tutor": "text", "turn": "count"}),
        "robustness": _robustness(experiment, verdicts),
        "cost": _cost(experiment),
        "corrected": _corrected(experiment, verdicts),
        "worst": _worst(experiment, dialogues),
        "leaks": _leaks(dialogues),
        "failures": _failures(dialogues),
        "verdicts": _given(dialogues),
        "dialogues": dialogue_table(dialogues, _priced(experiment)),
    }


def _take(facts: Mapping[str, Any], wanted: Mapping[str, Kind]) -> Row:
    """Some values of a mapping, each of its kind or None."""
    return {name: _value(facts.get(name), kind) for name, kind in wanted.items()}


def _value(value: object, kind: Kind) -> object:
    if kind == "text":
        return None if value is None else str(value)
    if kind == "flag":
        return value if isinstance(value, bool) else None
    number = finite(value)
    return None if number is None else int(number) if kind == "count" else number


def _leaderboard(experiment: Facts) -> Table:
    kinds: dict[str, Kind] = {"tutor": "text", "kind": "text", "about": "text", "policy": "text"}
    kinds |= dict.fromkeys(("n", "n_items", "n_failed", "n_missing", "n_verdicts", "n_invalid"), "count")
    kinds |= {"invalid_share": "number", "stopped": "text"}
    tutors = entries(experiment, "tutors")
    taken = {name for tutor in tutors for name in figures_of(tutor)}
    names = list(dict.fromkeys([*columns(experiment), *sorted(taken)]))
    ranked = set(family(experiment))
    for name in names:
        kinds |= {f"{name}.{part}": kind for part, kind in _FIGURE.items()}
        kinds[f"{name}.not_measured"] = "count"
        kinds |= {f"{name}.{part}": "count" for part in _RANK if name in ranked}
        kinds |= {f"{name}.not_ranked": "text"} if name in ranked else {}
    rows = []
    for tutor in tutors:
        row, count = _take(tutor, kinds), verdicts_of(tutor)
        row["invalid_share"] = count.invalid / count.verdicts if count.verdicts else None
        for name in names:
            figure, rank = figures_of(tutor).get(name) or {}, (tutor.get("rank") or {}).get(name) or {}
            row |= {f"{name}.{part}": _value(figure.get(part), kind) for part, kind in _FIGURE.items()}
            row[f"{name}.not_measured"] = _value((tutor.get("not_measured") or {}).get(name, 0), "count")
            row |= {f"{name}.{part}": _value(rank.get(key), "count") for part, key in _RANK.items()}
            row[f"{name}.not_ranked"] = _value((tutor.get("unranked") or {}).get(name), "text")
        rows.append(row)
    return Table(kinds, rows)


def _behind(verdicts: Verdicts, metric: object, tutors: Iterable[object], **where: Any) -> Row:
    counts = [verdicts.behind(str(metric), tutor=str(name), **where) for name in dict.fromkeys(tutors)]
    known = [count for count in counts if count is not None]
    if not known:
        return dict.fromkeys(_INVALID)
    return {"n_verdicts": sum(c.verdicts for c in known), "n_invalid": sum(c.invalid for c in known)}


def _comparisons(experiment: Facts, verdicts: Verdicts) -> Table:
    own: dict[str, Kind] = {"metric": "text", "tutor": "text", "baseline": "text", **_FIGURE, "items": "count"}
    own |= {"effect": "number", "p": "number", "p_holm": "number", "note": "text"}
    bound: dict[str, Kind] = {"no_worse_bound": "number", "no_worse_p": "number", "no_worse_shown": "flag"}
    rows = []
    for entry in entries(experiment, "comparisons"):
        facts = entry.get("no_worse") or {}
        row = _take(entry, own) | {name: _value(facts.get(name[9:]), kind) for name, kind in bound.items()}
        if row["effect"] is None or not row["n"]:
            # as in the report: no p-value without its effect and n
            row |= {"p": None, "p_holm": None, "no_worse_p": None}
        rows.append(row | _behind(verdicts, row["metric"], (row["tutor"], row["baseline"])))
    return Table(own | bound | _INVALID, rows)


def _mixed(experiment: Facts, verdicts: Verdicts) -> Table:
    kinds: dict[str, Kind] = {"metric": "text", "tutor": "text", "baseline": "text"}
    kinds |= dict.fromkeys(("estimate", "low", "high", "p"), "number")
    kinds |= {"n": "count", "sd_item": "number", "sd_persona": "number", "note": "text"}
    rows = []
    for entry in entries(experiment, "mixed"):
        row = _take(entry, kinds)
        if row["estimate"] is None or not row["n"]:
            row["p"] = None
        rows.append(row | _behind(verdicts, row["metric"], (row["tutor"], row["baseline"])))
    return Table(kinds | _INVALID, rows)


def _cells(experiment: Facts, verdicts: Verdicts) -> Table:
    kinds: dict[str, Kind] = {"tutor": "text", "persona": "text", "metric": "text", **_FIGURE}
    rows = []
    for entry in entries(experiment, "cells"):
        for name, figure in (entry.get("figures") or {}).items():
            row = _take({**(figure or {}), **_take(entry, {"tutor": "text", "persona": "text"}), "metric": name}, kinds)
            rows.append(row | _behind(verdicts, name, (row["tutor"],), persona=row["persona"]))
    return Table(kinds | _INVALID, rows)


def _curves(experiment: Facts, name: str, kinds: dict[str, Kind]) -> Table:
    """A row per point of the curves under a name of the summary."""
    every = kinds | _FIGURE
    points = [
        _take({**entry, **point}, every) for entry in entries(experiment, name) for point in entries(entry, "points")
    ]
    return Table(every, points)


def _robustness(experiment: Facts, verdicts: Verdicts) -> Table:
    kinds: dict[str, Kind] = {"tutor": "text", "stressor": "text", "metric": "text", "intensity": "number"}
    table = _curves(experiment, "robustness", kinds)
    rows = [
        row | _behind(verdicts, row["metric"], (row["tutor"],), stress=(row["stressor"] or "", row["intensity"] or 0.0))
        for row in table.rows
    ]
    return Table(table.columns | _INVALID, rows)


def _cost(experiment: Facts) -> Table:
    kinds: dict[str, Kind] = {"tutor": "text", "n": "count", "n_resolved": "count"}
    parts = ("tokens", "cost", "engine_seconds")
    kinds |= {f"{part}_per_{what}": "number" for what in ("dialogue", "resolved") for part in parts}
    rows = []
    for tutor in entries(experiment, "tutors"):
        row = _take({**(tutor.get("per_resolved") or {}), **_take(tutor, {"tutor": "text", "n": "count"})}, kinds)
        for what in ("dialogue", "resolved"):
            facts = tutor.get(f"per_{what}") or {}
            row |= {f"{part}_per_{what}": _value(facts.get(part), "number") for part in parts}
            if not cost_known(tutor):
                row[f"cost_per_{what}"] = None
        rows.append(row)
    return Table(kinds, rows)


def _priced(experiment: Facts) -> set[str]:
    """The tutors whose cost is known."""
    return {str(tutor.get("tutor")) for tutor in entries(experiment, "tutors") if cost_known(tutor)}


def _corrected(experiment: Facts, verdicts: Verdicts) -> Table:
    kinds: dict[str, Kind] = dict.fromkeys(("tutor", "judge", "criterion"), "text")
    sides = ("observed", "corrected")
    figures: dict[str, Kind] = {f"{side}.{part}": kind for side in sides for part, kind in _FIGURE.items()}
    rest: dict[str, Kind] = {"sensitivity": "number", "specificity": "number", "note": "text"}
    rows = []
    for entry in entries(experiment, "corrected"):
        row = _take(entry, kinds | rest)
        for side in sides:
            found = entry.get(side) or {}
            row |= {f"{side}.{part}": _value(found.get(part), kind) for part, kind in _FIGURE.items()}
        count = verdicts.count(tutor=row["tutor"], judge=row["judge"] or "", name=row["criterion"] or "")
        rows.append(row | {"n_verdicts": count.verdicts, "n_invalid": count.invalid})
    return Table(kinds | figures | rest | _INVALID, rows)


def _worst(experiment: Facts, dialogues: Sequence[Dialogue]) -> Table:
    kinds: dict[str, Kind] = _PLACE | {"leak": "number", "net_gain": "number"}
    counts = {dialogue.id: _verdicts(dialogue) for dialogue in dialogues}
    none = dict.fromkeys(_INVALID)
    rows = [_take(one, kinds) | counts.get(str(one.get("dialogue")), none) for one in entries(experiment, "worst")]
    return Table(kinds | _INVALID, rows)


def _leaks(dialogues: Sequence[Dialogue]) -> Table:
    """One row per leak; its turn counts all turns from 0."""
    own: dict[str, Kind] = {"turn": "count", "kind": "text", "severity": "number", "evidence": "text"}
    rows = [_place(one) | _take(to_dict(leak), own) for one in dialogues for leak in one.leaks]
    return Table(_PLACE | own, rows)


def _failures(dialogues: Sequence[Dialogue]) -> Table:
    """One row per dialogue that failed."""
    kinds: dict[str, Kind] = _PLACE | dict.fromkeys(("error", "where", "message"), "text")
    rows = [_place(dialogue) | to_dict(dialogue.failure) for dialogue in dialogues if dialogue.failure]
    return Table(kinds, rows)


def _given(dialogues: Sequence[Dialogue]) -> Table:
    """One row per verdict, with the judge's own words where they could not be read."""
    own: dict[str, Kind] = {"judge": "text", "name": "text", "kind": "text", "score": "number", "turn": "count"}
    own |= dict.fromkeys(("votes", "rationale", "raw", "fallbacks"), "text")
    rows = [
        _place(one)
        | _take(to_dict(verdict) | {"votes": ", ".join(verdict.votes), "fallbacks": ", ".join(verdict.fallbacks)}, own)
        for one in dialogues
        for verdict in one.verdicts
    ]
    return Table(_PLACE | own, rows)


def _place(dialogue: Dialogue) -> Row:
    spec = dialogue.spec
    place = (spec.id, spec.tutor_name, spec.persona, spec.item_id, spec.stressor, finite(spec.intensity))
    return dict(zip(_PLACE, place, strict=True))


def _verdicts(dialogue: Dialogue) -> Row:
    return {"n_verdicts": len(dialogue.verdicts), "n_invalid": sum(v.kind == "invalid" for v in dialogue.verdicts)}


def dialogue_table(dialogues: Sequence[Dialogue], priced: Collection[str]) -> Table:
    """One row per dialogue: where it belongs, every measure, verdicts and failure.

    Args:
        dialogues: every dialogue, failed ones too.
        priced: tutors whose cost is known; of the others it is None.
    """
    metrics = metrics_of(dialogues)
    texts = ("id", "phase", "arm", "tutor", "strategy", "persona", "pack", "item", "cell", "student_key", "stressor")
    kinds: dict[str, Kind] = dict.fromkeys(texts, "text")
    kinds |= {"intensity": "number", "held_option": "count", "repeat": "count", "policy": "text"}
    kinds |= {"turns": "count", "tutor_turns": "count", "leaks": "count", "seconds": "number", **_INVALID}
    kinds |= {"failure": "text", "failed_at": "text"}
    kinds |= dict.fromkeys(metrics, "number")
    taken = {name: values_by_tutor(metric, dialogues) for name, metric in metrics.items()}
    rows = [
        _dialogue(dialogue) | {name: finite(values[place]) for name, values in taken.items()}
        for place, dialogue in enumerate(dialogues)
    ]
    return Table(kinds, [row if row["tutor"] in priced else row | {"cost": None} for row in rows])


def _dialogue(dialogue: Dialogue) -> Row:
    spec, failure = dialogue.spec, dialogue.failure
    return {
        "id": spec.id,
        "phase": spec.phase,
        "arm": spec.arm,
        "tutor": spec.tutor_name,
        "strategy": spec.strategy,
        "persona": spec.persona,
        "pack": spec.pack,
        "item": spec.item_id,
        "cell": spec.cell,
        "student_key": spec.student_key,
        "stressor": spec.stressor,
        "intensity": finite(spec.intensity),
        "held_option": spec.held_option,
        "repeat": spec.repeat,
        "policy": dialogue.tutor_policy,
        "turns": len(dialogue.turns),
        "tutor_turns": len(dialogue.tutor_turns),
        "leaks": len(dialogue.leaks),
        "seconds": finite(dialogue.seconds),
        **_verdicts(dialogue),
        "failure": failure.error if failure else None,
        "failed_at": failure.where if failure else None,
    }
