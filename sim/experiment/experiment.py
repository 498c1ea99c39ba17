"""What an experiment came to: the part `experiment` of `summary.json` (docs/summary.md has the fields).

Invariant: computed from the config and the stored dialogues alone, so a report can be made again at any time; failed
dialogues are counted and never averaged in; tutors are compared on cells that both have, and every figure has its n. A
measure that is to be compared and that no dialogue has stays in the family, with n 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agents.records import Dialogue, EpisodeSpec
from sim.config import Config
from sim.experiment.curves import beliefs, robustness, worst
from sim.experiment.judge_error import corrected_rates
from sim.experiment.measured import measure
from sim.experiment.methods import methods
from sim.experiment.metrics import Metric, metrics_of
from sim.experiment.tables import cells, comparisons, mixed, tutors
from sim.grid import experiment_specs


def analyse(
    config: Config,
    dialogues: Sequence[Dialogue],
    *,
    planned: Sequence[EpisodeSpec] = (),
    ended: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Analyses the dialogues of an experiment.

    Args:
        config: the experiment.
        dialogues: all that are stored.
        planned: all episodes of the config; empty: those of the dialogues.
        ended: how the run ended: `stopped` and `given_up`, as its step `run` has them.

    Returns:
        A JSON-able dict.
    """
    family = list(config.experiment.metrics)
    known = metrics_of(dialogues)
    known |= {name: _without_verdicts(name) for name in family if name not in known}
    sample = measure(dialogues, known, config)
    ended = ended or {}
    result: dict[str, Any] = {
        "baseline": baseline(config),
        "confidence": config.experiment.confidence,
        "correction": "holm",
        "family": family,
        "metrics": {
            name: {"label": m.label, "formula": m.formula, "unit": m.unit, "better": m.better}
            for name, m in known.items()
        },
        "missing": missing(dialogues, planned, ended),
    }
    result["tutors"] = tutors(config, sample, dialogues, planned, family, known, ended.get("given_up", {}))
    result["comparisons"] = comparisons(config, sample, dialogues, family, known)
    result["mixed"] = mixed(config, sample, family, dialogues)
    result["cells"] = cells(config, sample, family, known)
    result["beliefs"] = beliefs(config, dialogues)
    result["robustness"] = robustness(config, sample, known)
    result["worst"] = worst(sample)
    result["corrected"] = corrected_rates(config, dialogues)
    result["methods"] = methods(config, result, sample, dialogues, planned or experiment_specs(config))
    return result


def _without_verdicts(name: str) -> Metric:
    """A criterion that no judge gave a verdict on."""
    judge, _, criterion = name.rpartition("/")
    label = f"{criterion.replace('_', ' ')} ({judge})" if judge else name
    return Metric(name, label, "the judge's score, over its valid verdicts", "points", "higher", lambda _: None)


def baseline(config: Config) -> str:
    """The tutor the others are compared with."""
    return config.experiment.baseline or config.tutor_arms()[0].name


def missing(dialogues: Sequence[Dialogue], planned: Sequence[EpisodeSpec], ended: Mapping[str, Any]) -> dict[str, Any]:
    """What was planned, done, failed and not run, and why."""
    failures = Counter(d.failure.error for d in dialogues if d.failure)
    done = len(dialogues) - sum(failures.values())
    total = max(len(planned), len(dialogues))
    why = [str(ended["stopped"])] if ended.get("stopped") else []
    why += [f"tutor {name} was given up: {reason}" for name, reason in ended.get("given_up", {}).items()]
    why += [f"{count} failed with {error}" for error, count in failures.most_common()]
    not_run = total - len(dialogues)
    if not_run and not ended.get("stopped") and not ended.get("given_up"):
        why.append(f"{not_run} are not run yet: the same command goes on")
    return {
        "planned": total,
        "done": done,
        "failed": sum(failures.values()),
        "not_run": not_run,
        "why": "; ".join(why),
    }
