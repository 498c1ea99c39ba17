"""The frontier of a sweep: what each reward bought on the held-out students, in asking, teaching and leaking.

Invariant: every point meets the same students as the base; a point "improves on the base" only when the intervals of
gain and of questions both lie above 0 and the leak rate did not rise, and that is said of each point, also when it is
true of none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sim.config import Config
from sim.rounds import round_name
from sim.storage.store import RunStore


def sweep_rounds(config: Config, store: RunStore) -> list[dict[str, Any]]:
    """Every finished round of every point, in the order of the sweep."""
    found = []
    for point in config.sweep:
        for number in range(1, config.loop.rounds + 1):
            name = round_name(number, f"-{point.name}")
            decided, trained = store.step(f"{name}-decide"), store.step(f"{name}-train")
            if decided is not None and trained is not None:
                found.append(
                    {
                        "point": point.name,
                        "reward": point.reward.model_dump(mode="json"),
                        "round": number,
                        "decision": decided["decision"],
                        "decision_reason": decided["reason"],
                        "conditions": decided.get("conditions", []),
                        "headline": decided.get("headline", []),
                        "adapter": decided["adapter"],
                        "heldout": decided["against_base"],
                        "delivery": store.step(f"{name}-deliver"),
                        "training": trained["training"],
                    }
                )
    return found


def frontier(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The points with their figures against the base, and which of them improve on it.

    Returns:
        `base` (means and intervals), `points` (one per round of each point: `label`, `adapter`, `after`, `intervals`,
        `difference`, `improves`) and `improving`, the labels of those that improve on the base.
    """
    points = [_point(entry) for entry in rounds]
    first = rounds[0]["heldout"]
    return {
        "base": {"mean": first["before"], "ci95": first["intervals"]["before"]},
        "points": points,
        "improving": [point["label"] for point in points if point["improves"]],
    }


def best(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round to show first: among those that improve on the base (else among all) the surest gain."""
    improving = [entry for entry in rounds if improves(entry["heldout"]["difference"])]
    return max(improving or rounds, key=_surest_gain)


def _surest_gain(entry: dict[str, Any]) -> float:
    gain = entry["heldout"]["difference"].get("gain")
    return -math.inf if gain is None else float(gain["ci95"][0])


def improves(difference: Mapping[str, Any]) -> bool:
    """Whether gain and questions rose for certain and leaks did not rise; what was not measured did not improve."""
    if not {"gain", "question_share", "leak_rate"} <= set(difference):
        return False
    rose = all(difference[name]["ci95"][0] > 0.0 for name in ("gain", "question_share"))
    return rose and difference["leak_rate"]["mean"] <= 0.0


def _point(entry: dict[str, Any]) -> dict[str, Any]:
    heldout = entry["heldout"]
    label = entry["point"] if entry["round"] == 1 else f"{entry['point']} {entry['round']}"
    return {
        "label": label,
        "adapter": entry["adapter"],
        "decision": entry["decision"],
        "reward": entry["reward"],
        "after": heldout["after"],
        "ci95": heldout["intervals"]["after"],
        "difference": heldout["difference"],
        "n": heldout["n_dialogues"],
        "improves": improves(heldout["difference"]),
    }
