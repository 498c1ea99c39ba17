"""How people who learn write to a tutor, and how simulated students do: length, a tutor's phrases, sentences that stop.

Why: a simulated student that lectures, praises or stops within a sentence is no learner, and what a tutor does with it
says little about people. The phrases (`agents/data/tutor_phrases.yaml`) are held against both sides: tutors should say
them, learners not. People: students and tutors of Bridge, each message once. MathDial's students are a language model,
its teachers people. The phrases were written before they were held against these rows; two that learners say as well
("that's correct") were taken out after.

With `--run FOLDER` the students of a stored run, by persona. With `--play N` the embedded model plays every persona but
the scripted one on N items of two packs (three tutor turns), and the belief in the held option is probed before the
dialogue at the lowest and the highest prior. Intervals are clustered by session, problem or item.

Usage: `python -m benchmarks.students --json FILE [--data FOLDER] [--run FOLDER] [--play N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.engines.vllm import VLLMEngine
from agents.engines.vllm_settings import VLLMSettings
from agents.errors import InputError, TutorloopError
from agents.hardware import describe
from agents.library import personas, with_prior
from agents.models import ensure_embedded
from agents.packs import load_pack
from agents.probes import probe_belief
from agents.records import Dialogue, Item, Turn
from agents.students import stops_short
from agents.views import student_system, view
from sim.classroom import cast_of
from sim.config import Config
from sim.episode import Episode
from sim.experiment.students import is_terse, median_words, sampled_student_turns, sounds_like_a_tutor
from sim.grid import episodes
from sim.meters import Meter
from sim.stats.paired import mean_interval
from sim.storage.store import RunStore
from trainers.data.mathdial import read_mathdial

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Said:
    """A turn, and what it belongs to."""

    group: str
    text: str
    cut: bool | None = None
    """Whether it stops within a sentence; None of people, whom nobody cuts short."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--data", type=Path, help="folder with bridge/ and mathdial/; $TUTORLOOP_TEST_DATA, else ../shared/data"
    )
    parser.add_argument("--run", type=Path, help="a stored run, whose students are measured too")
    parser.add_argument("--play", type=int, default=0, help="items on which the embedded model plays the personas")
    parser.add_argument("--json", type=Path, help="receives machine, date and all figures")
    arguments = parser.parse_args(argv)
    data = arguments.data or Path(os.environ.get("TUTORLOOP_TEST_DATA") or ROOT.parent / "shared" / "data")
    try:
        sides = {**people(data), **(simulated(arguments.run) if arguments.run else {})}
    except TutorloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    found: dict[str, Any] = {name: figures(said) for name, said in sides.items()}
    if arguments.play:
        found |= asyncio.run(play(arguments.play))
    for name, each in found.items():
        print(f"{name:28} {each}")
    if arguments.json:
        told = {"machine": describe(), "date": datetime.now(UTC).strftime("%Y-%m-%d"), **found}
        arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


def figures(said: Sequence[Said]) -> dict[str, Any]:
    """Turns, median words, and shares with 95% intervals."""
    return {
        "turns": len(said),
        "median_words": median_words(one.text for one in said),
        "terse": _share(said, lambda one: is_terse(one.text)),
        "tutor_phrases": _share(said, lambda one: bool(sounds_like_a_tutor(one.text))),
        "cut": _share([one for one in said if one.cut is not None], lambda one: bool(one.cut)),
    }


def _share(said: Sequence[Said], holds: Callable[[Said], bool]) -> list[float | None] | None:
    if not said:
        return None
    found = mean_interval([float(holds(one)) for one in said], [one.group for one in said], confidence=0.95)
    return [None if one is None else round(one, 4) for one in (found.mean, found.low, found.high)]


def people(data: Path) -> dict[str, list[Said]]:
    """Learners and tutors of both data sets. Raises InputError where one is not there."""
    messages: dict[tuple[str, int, str], str] = {}
    for name in ("train", "validation"):
        file = data / "bridge" / f"{name}.json"
        if not file.is_file():
            raise InputError(f"there is no {file}: give the folder of the data with --data (docs/data.md)")
        for row in json.loads(file.read_text(encoding="utf-8")):
            for one in (*row["c_h"], *row["c_r"]):
                if one["text"].strip():
                    messages[row["c_id"].partition("_")[0], one["id"], one["text"]] = one["user"]
    sides: dict[str, list[Said]] = defaultdict(list)
    for (session, _, text), user in messages.items():
        sides[f"bridge {user}s"].append(Said(session, text))
    for dialogue in read_mathdial(data / "mathdial" / "mathdial_dev.jsonl").dialogues:
        for turn in dialogue.turns:
            role = "teachers" if turn.role == "tutor" else "students (a model)"
            sides[f"mathdial {role}"].append(Said(dialogue.spec.item_id, turn.text))
    return dict(sorted(sides.items()))


def simulated(run: Path) -> dict[str, list[Said]]:
    """Sampled student turns of a run, by persona."""
    sides: dict[str, list[Said]] = defaultdict(list)
    for dialogue in RunStore(run).dialogues():
        sides[f"run: {dialogue.spec.persona}"] += _of_students(dialogue)
    return dict(sorted(sides.items()))


def _of_students(dialogue: Dialogue) -> list[Said]:
    turns = sampled_student_turns(dialogue)
    return [Said(dialogue.spec.item_id, turn.text, stops_short(turn)) for turn in turns]


async def play(n: int) -> dict[str, Any]:
    """Figures of the personas on the embedded model, some of their turns, and what the prior does to the belief."""
    engine = await VLLMEngine.start(VLLMSettings(str(ensure_embedded()), kv_cache_gib=1.0))
    names = tuple(name for name, one in personas().items() if not one.is_scripted)
    dialogues: list[Dialogue] = []
    changes: list[tuple[float, str]] = []
    for pack in ("earth_science", "humanities"):
        config = Config.model_validate(
            {"name": "students", "items": {"pack": pack, "limit": (n + 1) // 2}, "students": {"personas": names}}
            | {"dialogue": {"turns": 3}, "probes": {"question": False, "transfer": False}}
        )
        cast = cast_of(config, {"tutor": engine, "student": engine}, Meter())
        specs = episodes(config, phase="run", items=config.items, personas=names)
        items = {spec.item_id: load_pack(pack).item(spec.item_id) for spec in specs}
        held = (Episode(spec, items[spec.item_id], cast, config, candidates=1).run() for spec in specs)
        dialogues += await asyncio.gather(*held)
        changes += await asyncio.gather(
            *(_prior_effect(engine, items[s.item_id], s.held_option) for s in specs if s.persona == names[0])
        )
    await engine.close()
    sides = {name: [one for d in dialogues if d.spec.persona == name for one in _of_students(d)] for name in names}
    effect = mean_interval([change for change, _ in changes], [item for _, item in changes], confidence=0.95)
    return {
        **{f"played: {name}": figures(said) | {"some": [one.text for one in said[:8]]} for name, said in sides.items()},
        "played: failed": sum(d.failure is not None for d in dialogues),
        "belief in the held option, prior 1 minus prior 0": [effect.mean, effect.low, effect.high],
    }


async def _prior_effect(engine: VLLMEngine, item: Item, held: int) -> tuple[float, str]:
    """How much more the held option is believed at the opening at the highest prior than at the lowest."""
    turns = (Turn(0, "student", item.opening),)
    firm = []
    for prior in (1.0, 0.0):
        seen = view(student_system(item, with_prior("engaged", prior), held), turns, "student")
        probe = await probe_belief(engine, seen, item.question, kind="before", turn=0, dialogue_id=item.id)
        firm.append(probe.probabilities[held])
    return firm[0] - firm[1], item.id


if __name__ == "__main__":
    raise SystemExit(main())
