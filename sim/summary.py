"""`summary.json`: everything the report shows, computed from the run folder alone (docs/summary.md has the fields)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from agents.errors import InputError, StoreError
from agents.records import Dialogue
from sim import analysis
from sim.config import Config
from sim.experiment.experiment import analyse
from sim.frontier import best, frontier, sweep_rounds
from sim.grid import experiment_specs
from sim.judged import same_judges
from sim.report.export import export_figures, export_tables
from sim.report.page import render_report
from sim.storage.store import RunStore
from sim.tracking import FOLDERS, log_summary, make_tracker

VERSION = "0.1.0"


def summarise(config: Config, store: RunStore) -> dict[str, Any]:
    """Computes the summary of a finished run, writes `summary.json` and `report.html`, and returns the summary."""
    dialogues = store.dialogues()
    passed_over = store.passed_over()
    environment = store.environment()
    summary: dict[str, Any] = {
        "tutorloop": VERSION,
        "name": config.name,
        "kind": config.kind,
        "confidence": (config.loop.gate if config.kind == "loop" else config.experiment).confidence,
        "model": config.model,
        "started": environment["started"],
        "finished": (store.step("finished") or {}).get("at") or datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": environment["machine"],
        "inputs": {f"{one.kind} {one.name}": one.digest for one in config.inputs.entries},
        "faults": store.step("faults") or {},
        "passed_over": passed_over,
        "phases": analysis.phase_counts(dialogues),
        "seconds": seconds_by_step(store),
        "belief": config.probes.says,
        "same_judge": same_judges(config) if config.kind in ("run", "loop") else [],
    }
    summary |= _loop(config, store) if config.kind == "loop" else _experiment(config, store, dialogues)
    _write(store, "summary.json", json.dumps(summary, indent=1))
    render_report(summary, dialogues, store.folder / "report.html", find_pack=config.inputs.pack)
    if config.kind == "run":
        export_tables(summary, dialogues, store.folder)
        export_figures(summary, store.folder)
    track(config, store, summary)
    return summary


def track(config: Config, store: RunStore, summary: dict[str, Any]) -> None:
    """Logs the figures where `tracking` says."""
    tracker = make_tracker(config.tracking, store.scratch)
    tracker.start(config.name, config.model_dump(mode="json"))
    log_summary(tracker, summary)
    tracker.artifact(store.mirror.recall("report.html"))
    tracker.close()
    for folder in FOLDERS.values():
        store.mirror.keep(folder)


def _write(store: RunStore, name: str, text: str) -> None:
    store.check()
    try:
        (store.folder / name).write_text(text)
    except OSError as error:
        raise StoreError(f"cannot write {store.folder / name}: {error}; free space or set run.folder") from error


def _experiment(config: Config, store: RunStore, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    ended = store.step("run") or {}
    try:
        planned = experiment_specs(config)
    except InputError:
        # A run of before packs were kept, whose pack has moved: what is there is reported, what was planned is unknown.
        planned = [dialogue.spec for dialogue in dialogues]
        gone = f"the pack {config.items.pack} is not here, so what else was planned is not known"
        ended = {**ended, "stopped": "; ".join(filter(None, (ended.get("stopped"), gone)))}
    found = analyse(config, dialogues, planned=planned, ended=ended)
    return {"experiment": {**found, "belief": config.probes.says}}


def saw_key(config: Config) -> list[str]:
    """How the right answers came into a tutor's training, beside the reward that is measured by them; empty: not."""
    found = ["its prompt holds the answer (tutor.knows_answer)"] if config.tutor.knows_answer else []
    openers = [opener for name in config.tutor.strategies for opener in config.inputs.strategy(name).openers]
    if config.dialogue.exploration and any("{" in opener for opener in openers):  # of a version before 2026-11-30
        found.append("openers of its candidates held parts of the answer")
    return found


def _loop(config: Config, store: RunStore) -> dict[str, Any]:
    """The last finished round on top (of a sweep: the best point), and all of them under `rounds`."""
    if config.sweep:
        swept = sweep_rounds(config, store)
        shown = {**(best(swept) if swept else {}), "rounds": swept, "frontier": frontier(swept) if swept else None}
        return shown | {"saw_key": saw_key(config)}
    rounds = []
    for number in range(1, config.loop.rounds + 1):
        name = f"round-{number:04d}"
        decided, trained = store.step(f"{name}-decide"), store.step(f"{name}-train")
        if decided is not None and trained is not None:
            rounds.append(
                {
                    "round": number,
                    "decision": decided["decision"],
                    "decision_reason": decided["reason"],
                    "conditions": decided.get("conditions", []),
                    "headline": decided.get("headline", []),
                    "adapter": decided["adapter"],
                    "heldout": decided["heldout"],
                    "delivery": store.step(f"{name}-deliver"),
                    "training": trained["training"],
                }
            )
    return {**(rounds[-1] if rounds else {}), "rounds": rounds, "saw_key": saw_key(config)}


def seconds_by_step(store: RunStore) -> dict[str, float]:
    """Wall seconds of every finished step, and of engine starts and set-up where they were kept.

    Those of a delivery are from trained to live; its `seconds` are the engine's alone.
    """
    found: dict[str, float] = {}
    for name, result in store.steps().items():
        if "seconds" in result:
            found[name] = round(float(result.get("wall_seconds", result["seconds"])), 2)
    return found
