"""Small builders for tests of `sim`."""

from __future__ import annotations

from dataclasses import replace

from agents.engines.scripted import ScriptedEngine
from agents.records import Dialogue, EpisodeSpec, Probe, Turn, TurnRules
from sim.classroom import cast_of
from sim.config import Config, PoolConfig
from sim.episode import Cast
from sim.meters import Meter

REPLIES = (
    "What do you see happen to the light when the Earth turns?",
    "It is fine.",
    "How would the Earth and the sun look from the moon then?",
)


def config(**changes: object) -> Config:
    """A config whose pools are scripted."""
    pools = {
        "class": PoolConfig(roles=("student",), engine="scripted"),
        "tutor": PoolConfig(roles=("tutor",), engine="scripted", script=REPLIES),
    }
    return Config.model_validate({"name": "t", "pools": pools, **changes})


def cast(settings: Config, *, tutor: ScriptedEngine | None = None, student: ScriptedEngine | None = None) -> Cast:
    """A cast of scripted engines."""
    tutor = tutor or ScriptedEngine(REPLIES)
    student = student or ScriptedEngine(("I think it is because of the sun.", "Hm, maybe not."))
    return cast_of(settings, {"tutor": tutor, "student": student}, Meter())


def spec(number: int = 0, *, phase: str = "run", item: str = "es-astro-01", persona: str = "engaged") -> EpisodeSpec:
    """An episode of the shipped pack."""
    return EpisodeSpec(
        id=f"{phase}-{number}",
        arm="socratic x engaged",
        phase=phase,
        strategy="socratic",
        strategy_settings={},
        persona=persona,
        pack="earth_science",
        item_id=item,
        held_option=0,
        repeat=0,
        student_key=f"student-{number}",
    )


def dialogue(
    number: int, *, phase: str, item: str, reward: float, question: bool = False, leak: float = 0.0, gain: float = 0.0
) -> Dialogue:
    """A finished dialogue with one tutor turn and the given figures."""
    rules = TurnRules(question=question, leak=leak, on_item=1.0, repetition=0.0, words=5, grade=3.0)
    turns = (Turn(0, "student", "Why?"), Turn(1, "tutor", "Look at it.", policy_version="base", rules=rules))
    probes = (Probe("before", 0, (0.5, 0.5), 0), Probe("after", 1, (0.5 + gain, 0.5 - gain), 0))
    chosen = replace(spec(number, phase=phase), item_id=item)
    return Dialogue(spec=chosen, turns=turns, probes=probes, reward=reward, tutor_policy="base")
