"""Self-made dialogues, hostile ones among them, and a summary for the tests of the report."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from agents.records import (
    Candidate,
    Dialogue,
    EpisodeSpec,
    Failure,
    Leak,
    Probe,
    ProbeKind,
    Turn,
    TurnRules,
    Usage,
    Verdict,
)

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<!-- <script> ' \" ` ${document.title='owned'} {{ 7*7 }} \u2028 \U0001f680 \u05e9\u05dc\u05d5\u05dd \u202eabc"
)
BEFORE, AFTER = "heldout/base", "heldout/tutor/v0001"


def make_turns(policy: str, said: str, *, question: bool, leak: float, candidates: int) -> tuple[Turn, ...]:
    rules = TurnRules(question, leak, 0.8, 0.1, 12, 5.0)
    other = tuple(
        Candidate(f"another reply {k}", (1, 2, 3), rules, None, 0.5 - k, {"gain": 0.1}) for k in range(1, candidates)
    )
    sampled = (Candidate(said, (4, 5, 6), rules, None, 1.5), *other) if candidates else ()
    return (
        Turn(0, "student", "I think it stops right away."),
        Turn(1, "tutor", said, (4, 5, 6), "stop", policy, rules, sampled, 0),
        Turn(2, "student", "Hmm, maybe it keeps going?"),
    )


def make_dialogue(
    phase: str,
    student: int,
    *,
    said: str = "What pushes the probe once its engines are off?",
    right: float = 0.4,
    leaks: tuple[Leak, ...] = (),
    candidates: int = 0,
    persona: str = "begging",
    strategy: str = "socratic",
    pack: str = "physics",
) -> Dialogue:
    item = f"ph-{student % 4 + 1:02d}"
    key = f"{persona}/{item}/{student}"
    spec_id = f"{phase.replace('/', '-')}-{strategy}-{student}"
    spec = EpisodeSpec(spec_id, f"{strategy}/{persona}", phase, strategy, {}, persona, pack, item, 2, 0, key)
    values: list[tuple[ProbeKind, float]] = [
        ("before", 0.2),
        ("after", right),
        ("transfer_before", 0.25),
        ("transfer", right - 0.05),
    ]
    probes = tuple(Probe(k, 2, (p, (1 - p) / 3, (1 - p) / 3, (1 - p) / 3), 0) for k, p in values)
    policy = phase.removeprefix("heldout/")
    return Dialogue(
        spec,
        make_turns(policy, said, question="?" in said, leak=1.0 if leaks else 0.0, candidates=candidates),
        probes,
        leaks,
        (Verdict("rubric", "asks", "invalid"),),
        1.25,
        {"gain": 0.75, "question": 0.5},
        Usage(120, 40),
        2.5,
        policy,
    )


def make_dialogues() -> list[Dialogue]:
    leak = Leak(1, "text", 1.0, HOSTILE)
    dialogues = [make_dialogue("simulate/0001", k, candidates=4, persona="engaged") for k in range(4)]
    dialogues += [make_dialogue(BEFORE, k, said="It keeps going.", right=0.3) for k in range(6)]
    dialogues += [make_dialogue(AFTER, k, right=0.45) for k in range(6)]
    dialogues[5] = make_dialogue(BEFORE, 1, said=HOSTILE, leaks=(leak,))
    failure = Failure("EngineUnavailable", "turn 1", f"no answer {HOSTILE}")
    dialogues[11] = replace(dialogues[11], turns=(), probes=(), reward=None, components={}, failure=failure)
    return dialogues


def make_comparison() -> dict[str, Any]:
    """A held-out comparison; the belief gain after training is not a number."""
    before = {"reward": 0.61, "question_share": 0.2, "leak_rate": 0.033, "gain": 0.008, "words": 31.0}
    after = {"reward": 0.94, "question_share": 0.52, "leak_rate": 0.02, "gain": float("nan"), "words": 25.0}
    return {
        "n_dialogues": 6,
        "n_items": 4,
        "n_failed": 1,
        "before_phase": BEFORE,
        "after_phase": AFTER,
        "before": before,
        "after": after,
        "difference": {
            "reward": {"mean": 0.33, "ci95": [0.12, 0.55], "n": 5},
            "leak_rate": {"mean": -0.013, "ci95": [-0.03, 0.004], "n": 5},
            "words": {"mean": -6.0, "ci95": [-9.0, -2.0], "n": 5},
            "question_share": {"mean": 0.32, "ci95": [0.2, 0.41], "n": 5},
        },
        "intervals": {"before": {"reward": [0.5, 0.7]}, "after": {"reward": [0.8, 1.1]}},
        "by_persona": {"begging": {"n": 5, "before": before, "after": after}},
    }


def make_summary() -> dict[str, Any]:
    return {
        "tutorloop": "0.1.0",
        "name": "quick <start>",
        "kind": "loop",
        "model": "smollm2-135m",
        "started": "2026-11-20T10:00:00+00:00",
        "finished": "2026-11-20T10:07:30+00:00",
        "machine": {"cpu": "A CPU", "cores": 2, "memory_gib": 24.0, "gpu": None},
        "decision": "promoted",
        "decision_reason": "the reward rose by 0.33 [0.12, 0.55]",
        "adapter": "tutor/v0001",
        "heldout": make_comparison(),
        "delivery": {"version": "tutor/v0001", "agreement": 0.004, "changed": 0.19, "tolerance": 0.05, "seconds": 1.1},
        "training": {
            "pairs": 40,
            "loss_first": 0.69,
            "loss_last": 0.41,
            "rejections": {"margin too small": 12},
            "steps": [
                {"step": k, "loss": 0.69 - k / 40, "margin": k / 20, "accuracy": 0.5 + k / 30} for k in range(1, 11)
            ],
        },
        "phases": {
            BEFORE: {"n_dialogues": 6, "n_failed": 0, "failures": {}, "completion_tokens": 240, "seconds": 12.0},
            AFTER: {"n_dialogues": 6, "n_failed": 1, "failures": {"EngineUnavailable": 1}, "seconds": 11.0},
        },
        "seconds": {"simulate": 80.0, "train": 120.0},
        "rounds": [{"round": 1, "decision": "promoted", "adapter": "tutor/v0001"}],
    }


TUTORS = ("socratic", "direct", "answer_dump", "silent")
RUBRIC = "rubric:clear/asks"


def make_episode(tutor: str, student: int, *, stress: tuple[str, float] = ("", 0.0), invalid: bool = False) -> Dialogue:
    """A dialogue of an experiment: 4 students per persona, probes by turn, one rubric verdict; a direct tutor leaks."""
    persona, level = ("engaged", "begging", "limited")[student % 3], TUTORS.index(tutor) if tutor in TUTORS else 1
    leak = (Leak(1, "text", 0.5, "the answer's words"),) if level in (1, 2) and (student % 2 or level == 2) else ()
    base = make_dialogue("run", student, right=0.3 + 0.05 * level, leaks=leak, persona=persona)
    spec = replace(
        base.spec,
        id=f"{tutor}-{student}" + (f"-{stress[0]}-{stress[1]:g}" if stress[0] else ""),
        tutor=tutor,
        stressor=stress[0],
        intensity=stress[1],
    )
    said = f"What does {tutor} make of case {student}, once its engines are off?"
    turns = (*base.turns[:1], replace(base.turns[1], text=said), replace(base.turns[2], stressor=stress[0]))
    verdict = Verdict("rubric:clear", "asks", "invalid" if invalid else "pass", None if invalid else 4.0, None, (), "r")
    by_turn = (Probe("turn", 1, (0.3, 0.7), 0, (0, 2)),)
    usage = Usage(900 + 100 * level, 120, 0.002, 9, 3.5)
    return replace(base, spec=spec, turns=turns, verdicts=(verdict,), probes=(*base.probes, *by_turn), usage=usage)


def make_episodes(tutors: tuple[str, ...] = TUTORS) -> list[Dialogue]:
    """12 students under every tutor, and 3 of them begging; one verdict of `direct` is invalid, one dialogue failed."""
    plain = [make_episode(tutor, k, invalid=tutor == "direct" and k == 1) for tutor in tutors for k in range(12)]
    stressed = [make_episode(t, k, stress=("answer_begging", x)) for t in tutors for x in (0.5, 1.0) for k in range(3)]
    failure = Failure("EngineUnavailable", "turn 3", "no answer after 4 tries")
    plain[-1] = replace(plain[-1], turns=(), probes=(), verdicts=(), leaks=(), reward=None, failure=failure)
    return plain + stressed


def figure(mean: float, half: float = 0.02, n: int = 18) -> dict[str, Any]:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def make_metrics() -> dict[str, dict[str, str]]:
    return {
        "net_gain": {"label": "belief gain net of leaks", "formula": "gain x (1 - leak)", "unit": "probability",
                     "better": "higher"},
        "leak_rate": {"label": "turns that leak", "formula": "turns with a leak / turns", "unit": "share",
                      "better": "lower"},
        "question_share": {"label": "turns that ask", "formula": "turns with a question / turns", "unit": "share",
                           "better": "higher"},
        "gain": {"label": "belief gain", "formula": "after - before", "unit": "probability", "better": "higher"},
        RUBRIC: {"label": "asks (rubric:clear)", "formula": "the judge's score", "unit": "points", "better": "higher"},
    }  # fmt: skip


def make_tutor(name: str, level: int) -> dict[str, Any]:
    figures = {
        "net_gain": figure(0.11 - 0.03 * level),
        "leak_rate": figure(0.03 + 0.11 * level, 0.03),
        "question_share": figure(0.9 - 0.25 * level, 0.05),
        "gain": figure(0.1 + 0.05 * level),
        RUBRIC: figure(4.0 - 0.4 * level, 0.3, 17),
        "tokens": figure(1020.0 + 100 * level, 30),
        "engine_seconds": figure(3.5, 0.4),
    }
    rank = {"rank": level + 1, "low": max(1, level), "high": level + 2} if level else {"rank": 1, "low": 1, "high": 1}
    return {
        "tutor": name, "kind": "strategy", "about": f"how {name} teaches", "policy": "base", "n": 18, "n_items": 4,
        "n_failed": level // 3, "n_missing": 0, "n_verdicts": 18, "n_invalid": int(level == 1), "figures": figures,
        "rank": {metric: rank for metric in ("net_gain", "leak_rate", RUBRIC)},
        "per_dialogue": {"tokens": 1020.0 + 100 * level, "cost": 0.002, "engine_seconds": 3.5},
        "per_resolved": {"tokens": None if level == 3 else 5100.0, "cost": None if level == 3 else 0.01,
                         "engine_seconds": None if level == 3 else 17.5, "n_resolved": 0 if level == 3 else 4},
        "stopped": "its endpoint failed 5 times in a row" if level == 3 else "",
    }  # fmt: skip


def make_compared(metric: str, name: str, level: int) -> dict[str, Any]:
    no_worse = {"bound": 0.05, "p": 0.012 * level, "shown": level == 1} if metric == "net_gain" else None
    size = 0.03 * level if metric != RUBRIC else 0.4 * level
    return {
        "metric": metric, "tutor": name, "baseline": TUTORS[0], "n": 17, "items": 4, "p": 0.004 * level,
        "mean": size if metric == "leak_rate" else -size, "p_holm": 0.02 * level, "effect": -0.4 * level,
        "low": (size if metric == "leak_rate" else -size) - 0.02, "note": "",
        "high": (size if metric == "leak_rate" else -size) + 0.02, "no_worse": no_worse,
    }  # fmt: skip


def make_experiment(tutors: tuple[str, ...] = TUTORS) -> dict[str, Any]:
    """The summary of `make_episodes`; its figures are made up, but of the right shape."""
    others, family = list(enumerate(tutors))[1:], ["net_gain", "question_share", "leak_rate", RUBRIC]
    corrected = {"tutor": tutors[1], "judge": "rubric:clear", "criterion": "asks", "observed": figure(0.8, 0.1),
                 "corrected": figure(0.85, 0.15), "sensitivity": 0.9, "specificity": 0.8, "note": ""}  # fmt: skip
    experiment = {
        "baseline": tutors[0],
        "confidence": 0.95,
        "correction": "holm",
        "family": family,
        "metrics": make_metrics(),
        "tutors": [make_tutor(name, level) for level, name in enumerate(tutors)],
        "comparisons": [make_compared(m, name, level) for m in family for level, name in others],
        "mixed": [
            {"metric": m, "tutor": name, "baseline": tutors[0], "estimate": -0.03, "low": -0.05, "high": -0.01,
             "p": 0.003, "n": 34, "sd_item": 0.02, "sd_persona": 0.01, "note": ""}
            for m in ("net_gain", RUBRIC) for _, name in others
        ],
        "cells": [
            {"tutor": name, "persona": who, "n": 4,
             "figures": {"net_gain": figure(0.1 - 0.06 * level, 0.04, 4), RUBRIC: figure(3.5, 0.4, 4)}}
            for level, name in enumerate(tutors) for who in ("engaged", "begging", "limited")
        ],
        "beliefs": [
            {"tutor": name, "points": [{"turn": k, **figure(0.2 + 0.02 * k * (level + 1), 0.03)} for k in range(5)]}
            for level, name in enumerate(tutors)
        ],
        "robustness": [
            {"tutor": name, "stressor": "answer_begging", "metric": m,
             "points": [{"intensity": x, **figure(0.05 + 0.1 * x * level, 0.03, 3)} for x in (0.0, 0.5, 1.0)]}
            for level, name in enumerate(tutors) for m in ("leak_rate", "net_gain", RUBRIC)
        ],
        "worst": [{"stressor": "answer_begging", "intensity": 1.0, "tutor": tutors[1], "persona": "begging",
                   "dialogue": f"{tutors[1]}-1-answer_begging-1", "item": "ph-02", "leak": 0.5, "net_gain": None}],
        "corrected": [corrected],
        "missing": {"planned": 75, "done": 72, "failed": 1, "not_run": 2, "why": "The cap of 72 was reached."},
        "methods": ["Four tutors met the same 12 students.", "Nobody was asked what they think of it."],
    }  # fmt: skip
    return {**make_summary_of_run(), "experiment": experiment}


def make_summary_of_run() -> dict[str, Any]:
    kept = ("tutorloop", "model", "started", "finished", "machine")
    phases = {"run": {"n_dialogues": 72, "n_failed": 1, "failures": {"EngineUnavailable": 1}, "n_invalid_verdicts": 1}}
    return {name: make_summary()[name] for name in kept} | {"name": "four tutors", "kind": "run", "phases": phases}


class Page(HTMLParser):
    """Tags, ids, texts by tag and script contents of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text.append(data)

    @property
    def ids(self) -> set[str]:
        return {attrs["id"] or "" for _, attrs in self.tags if "id" in attrs}
