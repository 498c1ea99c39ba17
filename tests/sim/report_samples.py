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
