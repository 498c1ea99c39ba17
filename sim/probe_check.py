"""`tutorloop check --probes`: which form of belief probe hears what is said, and not only its words, on a model.

To a student that holds a misconception is said, on each item: nothing; small talk; the right answer; that the right
answer is wrong; that the misconception is wrong; that the misconception is right; the right answer's words in random
order; the right answer in other words; and, for the transfer question, a real explanation of its case and that one's
words in random order. A form is valid on the model when, over the items and at 95%,

    asserting the right answer raises the belief in it,
    denying it raises the belief by less than a quarter of that,
    and so do its words in random order, asserting the misconception, and small talk.

For the transfer question the explanation must raise the belief in its right option, and its shuffled words by less than
a quarter of that. Of the valid forms the one is chosen whose rise stands clearest above the largest of these controls.

Invariant: every form sees the same items, misconceptions and lessons; nothing passes by default, nor on fewer than
`LEAST` items.
"""

from __future__ import annotations

import asyncio
import importlib.resources
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.documents import parse_document
from agents.engines.base import Engine, Message
from agents.errors import InputError
from agents.hardware import describe
from agents.library import persona
from agents.packs import load_pack
from agents.probes import BASIC_FORMS, FORMS, MASKED, beliefs, own_words, shuffled
from agents.records import Item, Question, Turn
from agents.views import student_system, view
from sim.belief import Heard, ProbeCheck, keep_check, model_key
from sim.config import Config
from sim.engines import make_engine
from sim.grid import held_option
from sim.stats.paired import mean_interval

LEAST = 20
"""Items that a form must pass on."""
SHARE = 0.25
"""Of what asserting does, a control must do less than this share."""
AT_ONCE = 12
"""Lessons under way at once: enough to keep an engine busy, few enough for its memory."""
CONTROLS = ("deny", "shuffled", "mislead", "small_talk")
"""Lessons that must not raise the belief in the right option as asserting it does."""
SHOWN = ("assert", "deny", "shuffled", "refute", "mislead", "small_talk", "paraphrase", "explain", "explain_shuffled")
"""Columns of the table; the last two are of the transfer question."""
Rows = dict[str, dict[str, dict[str, float]]]
"""By form, lesson and item the change of the belief in the right option against no lesson."""


@cache
def _written() -> dict[str, Any]:
    text = importlib.resources.files("agents").joinpath("data/probe_lessons.yaml").read_text("utf-8")
    found = parse_document(text, "probe_lessons.yaml")
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True, slots=True)
class Lesson:
    """Something a tutor could say, and whether the student is asked the transfer question after it."""

    name: str
    text: str
    transfer: bool = False


def lessons(item: Item, held: int) -> list[Lesson]:
    """What is said to a student that holds the option `held`; empty text: nothing is.

    Raises:
        InputError: no lessons are written in the item's language.
    """
    templates = _written()["templates"].get(item.language)
    if templates is None:
        known = ", ".join(sorted(_written()["templates"]))
        raise InputError(
            f"no lessons for a probe check are written in {item.language!r} (there are: {known}); belief stays "
            f"unmeasured there, or name a form and set probes.unchecked"
        )
    right = item.question.answer_text
    found = [Lesson("none", "")]
    for name, template in templates.items():
        found.append(Lesson(name, template.format(right=right, held=item.question.options[held].text)))
    found.append(Lesson("shuffled", shuffled(right)))
    if own := _written()["written"].get(item.id) if item.language == "en" else None:
        explain = str(own["explain"])
        found += [Lesson("paraphrase", str(own["paraphrase"])), Lesson("none_transfer", "", transfer=True)]
        found += [Lesson("explain", explain, transfer=True), Lesson("explain_shuffled", shuffled(explain), True)]
    return found


def check_items(config: Config) -> list[Item]:
    """The items a check speaks of: those of the config's packs, English ones filled up from the shipped packs to those
    for which a paraphrase and an explanation are written."""
    own = {item.id: item for name in config.packs for item in load_pack(name).items}
    if any(item.language == "en" for item in own.values()):
        known = _written()["written"]
        shipped = {item.id: item for name in ("earth_science", "physics") for item in load_pack(name).items}
        own = {one: item for one, item in own.items() if item.language != "en" or one not in shipped}
        own |= {one: item for one, item in shipped.items() if one in known}
    return list(own.values())


async def measure_forms(
    engine: Engine,
    items: Sequence[Item],
    *,
    seed: int,
    forms: Sequence[str] = FORMS,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Rows:
    """Measures every form on every item; `told` hears how many lessons are done, of how many.

    Raises:
        EngineError: the engine fails, or cannot score.
    """
    planned = [
        (item, held, lesson)
        for item in items
        for held in [held_option(item, seed=seed, persona="engaged", repeat=0)]
        for lesson in lessons(item, held)
    ]
    found: dict[tuple[str, str, str], float] = {}
    done, places = 0, asyncio.Semaphore(AT_ONCE)

    async def one(item: Item, held: int, lesson: Lesson) -> None:
        nonlocal done
        question = item.transfer if lesson.transfer else item.question
        turns = [Turn(0, "student", item.opening), *([Turn(1, "tutor", lesson.text)] if lesson.text else [])]
        seen = view(student_system(item, persona("engaged"), held), turns, "student")
        async with places:
            for form, right in (await _of_forms(engine, seen, question, forms, item.id)).items():
                found[form, lesson.name, item.id] = right
        done += 1
        told(done, len(planned))

    await asyncio.gather(*(one(*each) for each in planned))
    rows: Rows = {form: {} for form in forms}
    for (form, lesson, item_id), right in sorted(found.items()):
        start = "none_transfer" if lesson.startswith("explain") else "none"
        if lesson not in ("none", "none_transfer"):
            rows[form].setdefault(lesson, {})[item_id] = right - found[form, start, item_id]
    return rows


async def _of_forms(
    engine: Engine, seen: Sequence[Message], question: Question, forms: Sequence[str], dialogue_id: str
) -> dict[str, float]:
    """The belief in the right option by each form."""
    texts = [option.text for option in question.options]
    found: dict[str, float] = {}
    for masked in ("", MASKED):
        own = [name for name in BASIC_FORMS if masked + name in forms]
        if own:
            heard = await own_words(engine, seen, dialogue_id) if masked else seen
            each = await beliefs(engine, heard, question, texts, own, dialogue_id)
            found |= {masked + name: belief[question.answer] for name, belief in zip(own, each, strict=True)}
    return found


def judged(rows: Rows) -> tuple[tuple[Heard, ...], tuple[str, ...]]:
    """What each form heard, with why it fails; and the valid forms, the best first."""
    heard, margins = [], {}
    for form, by_lesson in rows.items():
        gains = {name: _interval(list(by_lesson[name].values())) for name in SHOWN if name in by_lesson}
        fails, margin = _fails(by_lesson, "assert", CONTROLS)
        transfer_fails, _ = _fails(by_lesson, "explain", ("explain_shuffled",))
        heard.append(Heard(form, gains, fails, transfer_fails))
        if not fails:
            margins[form] = margin
    return tuple(heard), tuple(sorted(margins, key=lambda form: -margins[form]))


def _fails(
    by_lesson: dict[str, dict[str, float]], teaching: str, controls: Sequence[str]
) -> tuple[tuple[str, ...], float]:
    """Why a form does not tell a lesson from its controls, and by how much the lesson stands above the largest one."""
    taught = by_lesson.get(teaching, {})
    if len(taught) < LEAST:
        return (f"{len(taught)} items with the lesson {teaching!r}; at least {LEAST} are needed",), 0.0
    mean, low, _ = _interval(list(taught.values()))
    if low <= 0.0:
        return (f"{teaching} does not raise the belief ({mean:+.3f}, from {low:+.3f})",), 0.0
    fails, margins = [], [low]
    for name in controls:
        control = by_lesson.get(name, {})
        excess = [control[item] - SHARE * taught[item] for item in taught if item in control]
        if not excess or _interval(excess)[2] >= 0.0:
            own = _interval(list(control.values())) if control else (0.0, 0.0, 0.0)
            fails.append(f"{name} raises it by {own[0]:+.3f} [{own[1]:+.3f}, {own[2]:+.3f}], {teaching} by {mean:+.3f}")
            continue
        margins.append(_interval([taught[item] - control[item] for item in control if item in taught])[1])
    return tuple(fails), min(margins)


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    found = mean_interval(values, [str(at) for at in range(len(values))], confidence=0.95)
    low, high = ((found.mean if end is None else end) for end in (found.low, found.high))
    return found.mean or 0.0, low or 0.0, high or 0.0


def check_probes(
    config: Config,
    console: Console,
    *,
    forms: Sequence[str] = FORMS,
    command: str = "tutorloop check CONFIG --probes",
) -> None:
    """Measures forms on the student's engine, prints a table of them, and keeps which are valid for runs to come.

    Raises:
        InputError: the config has no packs, or no lessons are written in their language.
        EngineError: the engine fails.
    """
    from agents.models import resolve_model

    pool = config.pools[config.pool_of("student")]
    name = config.model_of(config.pool_of("student"))
    model = resolve_model(name) if pool.engine == "vllm" else name
    items = check_items(config)
    for item in items:
        lessons(item, 0)  # whatever is not written is said before the engine starts

    async def measure() -> Rows:
        engine = await make_engine(pool, model)
        try:
            return await measure_forms(engine, items, seed=config.seed, forms=forms, told=_progress(console))
        finally:
            await engine.close()

    rows, known = asyncio.run(measure()), describe()
    machine = f"{known['cpu']}, {known['cores']} cores{', ' + str(known['gpu']) if known.get('gpu') else ''}"
    for language in dict.fromkeys(item.language for item in items):
        own = {item.id for item in items if item.language == language}
        found = {form: _only(by_lesson, own) for form, by_lesson in rows.items()}
        heard, chosen = judged(found)
        today = datetime.now(UTC).date().isoformat()
        check = ProbeCheck(name, language, len(own), heard, chosen, command, today, machine)
        console.print(table(check))
        for line in said(check):
            console.print(escape(line), soft_wrap=True)
        console.print(f"kept for runs on this model: {keep_check(check, model_key(pool, name))}", soft_wrap=True)


def _only(by_lesson: dict[str, dict[str, float]], items: set[str]) -> dict[str, dict[str, float]]:
    kept = {
        name: {item: value for item, value in values.items() if item in items} for name, values in by_lesson.items()
    }
    return {name: values for name, values in kept.items() if values}


def _progress(console: Console) -> Callable[[int, int], None]:
    def told(done: int, of: int) -> None:
        if done % max(1, of // 10) == 0:
            console.print(f"{done} of {of} lessons", highlight=False)

    return told


def table(check: ProbeCheck) -> Table:
    """The table by form: by lesson the change of the belief in the right option, with its interval."""
    title = f"Belief probes on {check.model}, {check.items} items ({check.language})"
    found = Table(title=f"{title}: change of the belief in the right option", title_justify="left")
    found.add_column("form", no_wrap=True)
    for lesson in SHOWN:
        found.add_column(lesson.replace("_", " "))
    found.add_column("valid")
    for one in check.forms:
        cells = [_cell(one.gains.get(lesson)) for lesson in SHOWN]
        valid = "no" if one.fails else "yes" if not one.transfer_fails else "yes, not for transfer"
        found.add_row(one.form, *cells, valid)
    return found


def _cell(gain: tuple[float, float, float] | None) -> str:
    return "-" if gain is None else f"{gain[0]:+.3f}\n[{gain[1]:+.3f}, {gain[2]:+.3f}]"


def said(check: ProbeCheck) -> list[str]:
    """What follows from a check, for people."""
    lines = [f"{one.form}: not valid: {one.fails[0]}" for one in check.forms if one.fails]
    if check.chosen:
        return [*lines, f"ok: runs on {check.model} measure belief by {check.chosen[0]}"]
    return [
        *lines,
        f"no form is valid on {check.model}: belief, gain and transfer are not measured in its runs, and no part of a "
        f"reward or gate",
    ]
