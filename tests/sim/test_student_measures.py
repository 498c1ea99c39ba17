"""How students speak, as measures and in the report: what a model wrote and nothing else, beside people."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import dialogue

from agents.records import Dialogue, Turn
from sim.experiment.metrics import METRICS
from sim.experiment.students import PEOPLE, sounds_like_a_tutor
from sim.report.page import report_html
from sim.report.students import students


def spoken(*texts: str) -> Dialogue:
    made = dialogue(0, phase="run", item="es-astro-01", reward=1.0)
    own = [Turn(2 * i + 2, "student", text, policy_version="base", unfinished=False) for i, text in enumerate(texts)]
    return replace(made, turns=(*made.turns, *own))


@pytest.mark.parametrize(
    "text",
    [
        "Great question! Let's explore it.",
        "Hm. Remember that it spins.",
        "As a tutor I can help.",
        "IT’S IMPORTANT TO read",
    ],
)
def test_a_tutors_phrases_are_found(text: str) -> None:
    assert sounds_like_a_tutor(text)


@pytest.mark.parametrize("text", ["ok", "i don't remember that", "the sun?", "You're right, I think it is the tilt."])
def test_a_learners_words_are_no_tutors(text: str) -> None:
    assert sounds_like_a_tutor(text) is False


def test_another_language_is_not_measured() -> None:
    assert sounds_like_a_tutor("Great question!", "fr") is None
    made = spoken("Great question!")
    foreign = replace(made, turns=tuple(replace(t, rules=t.rules and replace(t.rules, grade=None)) for t in made.turns))
    assert METRICS["student_tutor_phrases"].value(made) == 1.0
    assert METRICS["student_tutor_phrases"].value(foreign) is None


def test_only_what_a_model_wrote_is_measured() -> None:
    made = spoken("ok", "I think it is the tilt of the axis", "Good job, it")
    turns = list(made.turns)
    turns[-1] = replace(turns[-1], unfinished=True)
    turns += [replace(turns[2], stressor="silence"), replace(turns[2], policy_version="script")]
    made = replace(made, turns=tuple(turns))
    values = {name: METRICS[name].value(made) for name in METRICS if name.startswith("student_")}
    assert values == {
        "student_cut": 1 / 3,
        "student_tutor_phrases": 1 / 3,
        "student_words": 13 / 3,
        "student_terse": 2 / 3,
    }
    assert {METRICS[name].value(spoken()) for name in values} == {None}


def test_the_report_shows_students_beside_people() -> None:
    found = students([spoken("ok", "Good job, it is the axis of it."), spoken("no")])
    assert found is not None
    assert found["rows"] == [("engaged", "3", "1.0", "66.7%", "33.3%", "0.0%")]
    assert found["people"][0] == "People" and found["people"][1] == str(PEOPLE.n)
    page = report_html({"kind": "run", "arms": []}, [spoken("ok")])
    assert "Students beside people" in page and "Bridge" in page
    assert students([spoken()]) is None and "Students beside people" not in report_html({"kind": "run"}, [spoken()])
