"""What the report's dialogue browser gets to see: every dialogue in a compact form, as JSON inside the page.

Invariant: no token ids, no log-probabilities; at most `DIALOGUE_BYTES` per dialogue on average as long as cutting the
texts of rejected candidates, then long turns, can reach it; whatever was cut is said in `shortened`. The JSON holds no
`<`, `>` or `&`, so nothing in a dialogue can end the script element that carries it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.errors import InputError
from agents.packs import Pack, load_pack
from agents.records import Dialogue, Item, Probe, Question, Turn, Verdict
from agents.students import stops_short

DIALOGUE_BYTES = 5200
"""Largest average size of a dialogue in the page: 1,000 of them leave a page of 6 MB room for its figures."""

_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of the texts is embedded: characters of a rejected candidate, a turn, a judge's words and a private
    thought; None is all."""

    candidate: int | None
    turn: int | None
    rationale: int
    thought: int
    says: str


_LADDER = (
    Detail(None, None, 400, 2000, ""),
    Detail(240, None, 160, 240, "Candidates that were not said are cut to 240 characters, judges' reasons to 160."),
    Detail(80, None, 80, 80, "Candidates that were not said and judges' reasons are cut to 80 characters here."),
    Detail(0, None, 0, 0, "Texts of candidates that were not said and judges' reasons are left out here."),
    Detail(0, 600, 0, 0, "Turns are cut to 600 characters; candidates that were not said and reasons are left out."),
    Detail(0, 200, 0, 0, "Turns are cut to 200 characters; candidates that were not said and reasons are left out."),
)
"""Private reasoning is cut beside candidates, to at most 2,000 characters; the run's parts have all of it."""


def script_json(value: object) -> str:
    """JSON that is safe as the text of a `<script type="application/json">` element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, written in _ESCAPES:  # str.translate takes ten times as long
        text = text.replace(character, written)
    return text


def finite(value: object) -> float | None:
    """A finite number, or None for anything else: NaN must neither reach the JSON nor look like a result."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def browser_data(
    dialogues: Sequence[Dialogue],
    before_phase: str | None,
    after_phase: str | None,
    *,
    baseline: str = "",
    find_pack: Callable[[str], Pack] = load_pack,
) -> dict[str, Any]:
    """Everything the dialogue browser needs.

    Args:
        dialogues: those that the page carries.
        before_phase: phase shown on the left at first; None: the first column.
        after_phase: phase shown on the right at first; None: the second column where there is one.
        baseline: of an experiment: the tutor shown on the left at first, beside the next one.
        find_pack: finds a pack by the name that dialogues have for it.

    Returns:
        A JSON-able dict with `items`, `columns` (one per phase and tutor), `left` and `right` (column indices, -1
        for none), `measure` (what a case is ordered by), `dialogues`, `shortened` (what was cut, in words) and `notes`
        (what could not be shown, and why).
    """
    columns = list(dict.fromkeys((d.spec.phase, d.spec.tutor_name) for d in dialogues))
    items, notes = _items(dialogues, find_pack)
    places = {column: index for index, column in enumerate(columns)}
    entries, shortened = _fit(dialogues, places)
    left = next(
        (i for i, (phase, tutor) in enumerate(columns) if (baseline and baseline == tutor) or phase == before_phase), 0
    )
    right = next((i for i, (phase, _) in enumerate(columns) if phase == after_phase and i != left), -1)
    if before_phase is None and after_phase is None and len(columns) > 1:
        right = 0 if left else 1
    return {
        "items": items,
        "columns": _labels(columns, before_phase, after_phase, named=any(d.spec.tutor for d in dialogues)),
        "left": left,
        "right": right,
        "measure": "gain" if baseline else "reward",
        "dialogues": entries,
        "shortened": shortened,
        "notes": notes,
    }


def _labels(
    columns: Sequence[tuple[str, str]], before_phase: str | None, after_phase: str | None, *, named: bool
) -> list[str]:
    """A column's name: the phase, and the tutor where there are several; named tutors of one phase stand alone."""
    phases, tutors = {phase for phase, _ in columns}, {tutor for _, tutor in columns}
    if named and len(phases) == 1:
        return [tutor for _, tutor in columns]
    roles = {before_phase: "Before: ", after_phase: "After: "}
    return [f"{roles.get(phase, '')}{phase}" + (f", {tutor}" if len(tutors) > 1 else "") for phase, tutor in columns]


def _fit(dialogues: Sequence[Dialogue], places: Mapping[tuple[str, str], int]) -> tuple[list[dict[str, Any]], str]:
    entries: list[dict[str, Any]] = []
    says = ""
    for detail in _LADDER:
        entries = [_entry(d, places[d.spec.phase, d.spec.tutor_name], detail) for d in dialogues]
        says = detail.says
        size = sum(len(script_json(entry).encode("utf-8", "replace")) for entry in entries)
        if size <= DIALOGUE_BYTES * len(entries):
            break
    return entries, says


def _entry(dialogue: Dialogue, column: int, detail: Detail) -> dict[str, Any]:
    spec, failure = dialogue.spec, dialogue.failure
    return {
        "id": spec.id,
        "column": column,
        "student": spec.student_key,
        "persona": spec.persona,
        "item": f"{spec.pack}/{spec.item_id}",
        "held": spec.held_option,
        "repeat": spec.repeat,
        "strategy": spec.strategy,
        "tutor": spec.tutor_name,
        **({"stress": [spec.stressor, _round(spec.intensity, 3)]} if spec.stressor else {}),
        "policy": dialogue.tutor_policy,
        "reward": _round(dialogue.reward),
        "parts": {name: _round(value) for name, value in dialogue.components.items()},
        "gain": _round(dialogue.gain),
        "transfer": _round(dialogue.transfer_gain),
        "seconds": _round(dialogue.seconds, 1),
        "tokens": [dialogue.usage.prompt_tokens, dialogue.usage.completion_tokens],
        "failure": [failure.error, failure.where, _cut(failure.message, 400)] if failure else None,
        "leaks": [[k.turn, k.kind, _round(k.severity), _cut(k.evidence, 200)] for k in dialogue.leaks],
        "verdicts": [_verdict(verdict, detail) for verdict in dialogue.verdicts],
        "turns": [_turn(turn, detail) for turn in dialogue.turns],
        "probes": [_probe(probe) for probe in dialogue.probes if probe.kind != "candidate"],
    }


def _verdict(verdict: Verdict, detail: Detail) -> list[Any]:
    entry = [verdict.judge, verdict.name, verdict.kind, _round(verdict.score), verdict.turn]
    if not detail.rationale or not (verdict.rationale or verdict.raw):
        return entry
    told = [*entry, _cut(verdict.rationale, detail.rationale)]
    return [*told, _cut(verdict.raw, detail.rationale)] if verdict.raw else told


def _turn(turn: Turn, detail: Detail) -> dict[str, Any]:
    entry: dict[str, Any] = {"index": turn.index, "role": turn.role, "text": _cut(turn.text, detail.turn)}
    if turn.policy_version:
        entry["policy"] = turn.policy_version
    if turn.rules:
        entry["question"] = turn.rules.question
        entry["leak"] = _round(turn.rules.leak)
        if turn.rules.confirmation:
            entry["confirms"] = True
        if turn.rules.unmeasured:
            entry["unmeasured"] = list(turn.rules.unmeasured)
    if turn.stressor:
        entry["stressor"] = turn.stressor
    if turn.role_break:
        entry["broke"] = True
    elif stops_short(turn):
        entry["cut"] = True
    if turn.reasoning and detail.thought:
        entry["thought"] = _cut(turn.reasoning, detail.thought)
    if len(turn.candidates) > 1:
        entry["chosen"] = turn.chosen
        entry["candidates"] = [
            [
                # the chosen candidate's text is the turn's: embedded once
                None if place == turn.chosen or detail.candidate == 0 else _cut(candidate.text, detail.candidate),
                _round(candidate.reward),
                bool(candidate.rules and candidate.rules.question),
                _round(candidate.rules.leak if candidate.rules else None),
            ]
            for place, candidate in enumerate(turn.candidates)
        ]
    return entry


def _probe(probe: Probe) -> list[Any]:
    entry = [probe.kind, probe.turn, [_round(p) for p in probe.probabilities], probe.answer]
    return [*entry, list(probe.options)] if probe.options else entry


def _items(dialogues: Iterable[Dialogue], find_pack: Callable[[str], Pack]) -> tuple[dict[str, Any], list[str]]:
    items: dict[str, Any] = {}
    notes: list[str] = []
    packs: dict[str, Pack | None] = {}
    for pack_name, item_id in dict.fromkeys((d.spec.pack, d.spec.item_id) for d in dialogues):
        try:
            if pack_name not in packs:
                packs[pack_name] = None
                packs[pack_name] = find_pack(pack_name)
            pack = packs[pack_name]
            if pack is not None:
                items[f"{pack_name}/{item_id}"] = _item(pack.item(item_id))
        except InputError:
            # Not the error itself: it quotes the file, which a stored dialogue may have named on purpose.
            notes.append(
                f"Question and option texts are not shown: no readable pack {pack_name!r} with {item_id!r} here."
            )
    return items, notes


def _item(item: Item) -> dict[str, Any]:
    return {"concept": item.concept, "question": _question(item.question), "transfer": _question(item.transfer)}


def _question(question: Question) -> dict[str, Any]:
    options = [[option.text, option.misconception] for option in question.options]
    return {"text": question.text, "options": options, "answer": question.answer}


def _cut(text: str, limit: int | None) -> str:
    return text if limit is None or len(text) <= limit else text[: max(0, limit - 1)] + "…"


def _round(value: float | None, digits: int = 4) -> float | None:
    number = finite(value)
    return None if number is None else round(number, digits)
