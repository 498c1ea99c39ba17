"""The methods section of an experiment's report, written from its config and what was found.

Invariant: every sentence follows from the config or the data; what was asked for and not done, or not measured, is said
as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agents.errors import InputError
from agents.records import Dialogue, EpisodeSpec, Turn
from sim.config import Config
from sim.experiment.measured import Measured
from sim.experiment.tables import policies
from sim.grid import stresses

_DATED = r"(-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{4})?"
"""What a provider hangs on a model's name for the version that answers."""

_INSTEAD = {
    "json_schema": ": its answers were validated only",
    "n": ": replies were asked for one by one",
    "stop": ": replies were cut at the stop here",
}


def methods(
    config: Config,
    result: Mapping[str, Any],
    sample: Sequence[Measured],
    dialogues: Sequence[Dialogue],
    planned: Sequence[EpisodeSpec],
) -> list[str]:
    """The sentences, in order.

    Args:
        config: the experiment.
        result: what `sim.experiment.experiment.analyse` found so far.
        sample: the measures of the dialogues that finished.
        dialogues: all that are stored.
        planned: all episodes of the config.
    """
    return [
        *_design(config, result, planned),
        *_students(config),
        *_measures(config, dialogues),
        *_judges(config, dialogues),
        *_statistics(config, result),
        *_bounds(config, result),
        *_answered(config, dialogues),
        *_sampled_otherwise(dialogues),
        *_limits(config, result, sample),
    ]


def _design(config: Config, result: Mapping[str, Any], planned: Sequence[EpisodeSpec]) -> list[str]:
    names = ", ".join(arm.name for arm in config.tutor_arms())
    missing = result["missing"]
    stress = "; ".join(
        f"{one.name} at {', '.join(f'{x:g}' for x in sorted(set(one.intensities)))}" for one in config.stressors
    )
    return [
        f"Tutors: {names}. Each met the same simulated students on the same {len({s.item_id for s in planned})} items "
        f"of the pack {config.items.pack} ({config.items.repeats} time(s) each), with personas "
        f"{', '.join(config.students.personas)}.{_drawn(config, planned)}",
        *([f"Stressors: {stress}. One speaks in that share of a student's turns."] if stress else []),
        f"A dialogue has {config.dialogue.turns} tutor turns. Of {missing['planned']} planned dialogues "
        f"{missing['done']} finished, {missing['failed']} failed and {missing['not_run']} were not run.",
    ]


def _drawn(config: Config, planned: Sequence[EpisodeSpec]) -> str:
    """Which share of the full grid the planned episodes are; empty where they are all of it."""
    if config.experiment.fraction == 1.0:
        return ""
    try:
        items = len(config.inputs.pack(config.items.pack).spread(config.items.limit)) * config.items.repeats
    except InputError:  # an older run, whose pack has moved
        return f" {config.experiment.fraction:.1%} of the full design's cells were drawn, the same for every tutor."
    full = items * len(set(config.students.personas)) * len(stresses(config))
    kept = len({spec.cell for spec in planned})
    return (
        f" Of the full design's {full} cells (item, persona, repeat, stress) {kept} were drawn, the same for every "
        f"tutor: {kept / full:.1%}, where {config.experiment.fraction:.1%} was asked for."
    )


def _students(config: Config) -> list[str]:
    model = config.model_of(config.pool_of("student"))
    return [
        f"Students are simulated by {model} at temperature {config.students.temperature:g}. Each holds the "
        f"misconception of one wrong option. Sampling has no seed, so another run gives other words; items, students, "
        f"misconceptions and order follow from seed {config.seed}."
    ]


def _measures(config: Config, dialogues: Sequence[Dialogue]) -> list[str]:
    found = []
    if config.probes.question:
        found.append(
            f"Belief is the probability of each option to the student, asked by the form {config.probes.asked}."
        )
        found.append(
            "Gain is net of echo, the gain of the same words of the tutor in random order."
            if config.probes.hears_echo
            else "Echo was not measured: gain holds what the tutor's words did whatever was said with them."
        )
    if config.probes.says:
        found.append(f"{config.probes.says[0].upper()}{config.probes.says[1:]}.")
    found.append("Leaks, questions, staying on the item and repetition are found by rules.")
    if unread := sorted({name for d in dialogues for turn in d.tutor_turns for name in _unread(turn)}):
        found.append(f"Not measured in all or some turns, for want of a rule for their language: {', '.join(unread)}.")
    if config.probes.turn:
        found.append("Belief was measured after every tutor turn.")
    return found


def _unread(turn: Turn) -> tuple[str, ...]:
    """Rules that could not read a turn that has words."""
    if turn.rules is None or not turn.rules.words:
        return ()
    return (*turn.rules.unmeasured, *(["grade"] if turn.rules.grade is None else []))


def _judges(config: Config, dialogues: Sequence[Dialogue]) -> list[str]:
    """Who judged, by the verdicts that are there: a panel may have judged after the run (sim.judging.panel)."""
    given = Counter(verdict.judge for d in dialogues for verdict in d.verdicts)
    invalid = Counter(verdict.judge for d in dialogues for verdict in d.verdicts if verdict.kind == "invalid")
    models = [judge for judge in sorted(given) if judge.startswith("rubric:")]
    found = []
    if given:
        each = "; ".join(f"{judge}: {given[judge]}, {invalid[judge]} invalid" for judge in sorted(given))
        found.append(
            f"Judges gave {given.total()} verdicts, {invalid.total()} of them invalid: neither passes nor fails, and "
            f"without a score ({each})."
        )
    own = f"rubric:{config.inputs.rubric(config.rubric.name).name}" if config.rubric else ""
    if config.rubric and own in models:
        found.append(
            f"The run's own judge {own} is {config.model_of(config.pool_of('judge'))} with {config.rubric.votes} "
            f"vote(s) for each criterion; verdicts of a panel's judge of that name would stand in place of its own."
        )
    elif own:
        found.append(f"The run's own judge {own} gave no verdict.")
    if others := [judge for judge in models if judge != own]:
        found.append(
            f"{', '.join(others)} judged after the run, on a panel (docs/replay.md): the panel's file names the model."
        )
    return [*found, *([] if models else ["No language model judged these dialogues."])]


def _statistics(config: Config, result: Mapping[str, Any]) -> list[str]:
    level = f"{config.experiment.confidence:.0%}"
    found = [
        f"Intervals are {level}: a t interval with dialogues clustered by item and corrected for skewness, "
        f"and of shares Clopper and Pearson's for as many draws as their dialogues are worth: where nothing happened, "
        f"what so few items can show (docs/statistics.md). Items are a random sample of such items; personas and "
        f"stressors are taken as they are, "
        f"so nothing is claimed of others.",
        *_compared(result),
    ]
    if config.stressors:
        found.append("Tables of tutors and comparisons are over all levels of stress together.")
    if few := [row["tutor"] for row in result["tutors"] if row["unranked"]]:
        found.append(
            f"Not ranked in every measure, for a rank asks for values in half of the cells and on two items: "
            f"{', '.join(few)}. Nor is a difference shown where more pairs failed than have a value."
        )
    if any(row["rank"] for row in result["tutors"]):
        found.append(
            f"Ranks are by means over the cells that all ranked tutors have (n of a rank); their intervals hold "
            f"together for all tutors: they leave out what tests of all pairs, corrected by Holm, rule out; not what "
            f"{config.experiment.resamples} draws of items reach."
        )
    stopped = [row["tutor"] for row in result["tutors"] if row["stopped"]]
    if stopped:
        found.append(f"Given up after failures, and so not ranked: {', '.join(stopped)}.")
    return found


def _compared(result: Mapping[str, Any]) -> list[str]:
    """What was tested, what was not, and which p-values are corrected."""
    rows, names = result["comparisons"], result["family"]
    tested = sum(row["p"] is not None for row in rows)
    if not rows:
        return ["There is one tutor: nothing is compared."]
    found = [
        f"Tutors are compared with {result['baseline']} on the same student, item, repeat and stress. Of {len(rows)} "
        f"comparisons in {', '.join(names)}, {tested} could be tested; their p-values are corrected together by Holm."
    ]
    empty = [name for name in names if not any(row["n"] for row in rows if row["metric"] == name)]
    if empty:
        found.append(f"No pair of dialogues has {', '.join(empty)}, so nothing was compared in it.")
    if any(row["p"] is not None for row in result["mixed"]):
        found.append(
            "The mixed model stands beside these tests and decides nothing: its p-values are not corrected for the "
            "number of comparisons."
        )
    if unfitted := sorted({row["note"] for row in result["mixed"] if row["estimate"] is None and row["note"]}):
        found.append(f"A mixed model has no estimates: {'; '.join(unfitted)}.")
    return found


def _bounds(config: Config, result: Mapping[str, Any]) -> list[str]:
    """Which losses were tested. An asked one is not where its measure is not compared, or neither way is better."""
    asked = config.experiment.no_worse_by
    tested = {row["metric"]: row["no_worse"] for row in result["comparisons"] if row["no_worse"]}
    found = []
    if tested:
        losses = ", ".join(f"{name} by {bound['bound']:g}" for name, bound in tested.items())
        alpha = (1.0 - config.experiment.confidence) / 2.0
        found.append(
            f"No worse than {result['baseline']} is shown where the interval excludes a loss of {losses}: a one-sided "
            f"test at {alpha:.1%}, whose p-values are not corrected for the number of comparisons."
        )
    if untested := [name for name in asked if name not in tested]:
        found.append(
            f"A loss was not tested of {', '.join(untested)}: it is not compared here, or neither direction is better."
        )
    return found


def _answered(config: Config, dialogues: Sequence[Dialogue]) -> list[str]:
    """Tutors that answered as another model than was asked for, or as several."""
    found = []
    for arm in config.tutor_arms():
        spoke = policies([d for d in dialogues if d.spec.tutor_name == arm.name])
        pool = config.tutor_pool(arm)
        asked = config.model_of(pool) if pool and config.pools[pool].engine == "openai" else ""
        other = asked and not all(re.fullmatch(re.escape(asked) + _DATED, policy) for policy in spoke)
        if other or len(spoke) > 1:
            who = ", ".join(f"{policy} ({count} dialogues)" for policy, count in spoke.items())
            found.append(f"Tutor {arm.name} {f'was asked for as {asked} and ' if asked else ''}answered as {who}.")
    return found


def _sampled_otherwise(dialogues: Sequence[Dialogue]) -> list[str]:
    """What was not said as the config has it: fields that a server refused, and answers without a reply."""
    refused = Counter(note for dialogue in dialogues for note in dialogue.fallbacks)
    found = [
        f"The server of the {role} refused {name} in {count} of {len(dialogues)} dialogues and was asked without"
        f"{_INSTEAD.get(name, ': its own default held')}."
        for note, count in sorted(refused.items())
        for role, _, name in [note.partition(": ")]
    ]
    if silent := sum(dialogue.usage.no_replies for dialogue in dialogues):
        found.append(
            f"{silent} answers of a model held no reply (empty, filtered, refused or only reasoning) and were counted, "
            "not said; where asking again brought none, the dialogue failed with NoReply."
        )
    return found


def _limits(config: Config, result: Mapping[str, Any], sample: Sequence[Measured]) -> list[str]:
    found = ["Simulated students are a model of students: nothing here was checked with real ones."]
    if not config.probes.question and not config.probes.says:
        found.append("Belief was not measured: there are no gains, and none resolved to divide by.")
    if not config.probes.transfer:
        found.append("Transfer to another question was not measured.")
    if not any(one.figures["quality"] is not None for one in sample):
        found.append("No trained scorer rated these dialogues.")
    done = [row for row in result["tutors"] if row["n"]]
    if unknown := [row["tutor"] for row in done if "cost" not in row["figures"]]:
        who = ", ".join(unknown) if len(unknown) < len(done) else "any tutor"
        found.append(f"The cost is not known of {who}: a `price_per_million` is wanting (docs/measures.md).")
    if any(arm.control for arm in config.tutor_arms()):
        found.append("Controls speak without a model: their tokens and seconds are the student's and the probes'.")
    return found
