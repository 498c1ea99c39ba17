"""Whether the interval of `distinct_openings` holds what it promises, for tutors with openings of known odds.

Its parts hang together: who begins alike shares one opening. So dialogues are drawn many times, and counted is how
often the interval of the mean holds the expected figure of so many dialogues, and how often that of a paired difference
of two equal tutors holds 0. `template` is the odds of the one opening that stands for a template; other openings are
drawn from `others` by Zipf's law. Two dialogues an item.

    python benchmarks/templates.py --json FILE
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from agents.hardware import describe
from sim.experiment.metrics import METRICS
from sim.stats.paired import Estimate

ITEMS = (8, 16, 40)
TUTORS = ((200, 0.0), (200, 0.5), (20, 0.0), (1000, 0.9))
"""Others and template."""
DRAWS = 300
METRIC = METRICS["distinct_openings"]


def parts(openings: list[int]) -> list[float]:
    """As `sim.experiment.form.distinct_openings` gives them."""
    held = Counter(openings)
    return [1.0 / held[one] for one in openings]


def drawn(rng: np.random.Generator, n: int, others: int, template: float) -> list[int]:
    """The openings of so many dialogues; 0 is the template."""
    odds = 1.0 / np.arange(1, others + 1)
    found = rng.choice(others, size=n, p=odds / odds.sum()) + 1
    found[rng.random(n) < template] = 0
    return [int(one) for one in found]


def holds(found: Estimate, value: float) -> bool:
    """Whether an interval holds a value; where there is none, it says nothing wrong."""
    return found.low is None or found.high is None or found.low - 1e-9 <= value <= found.high + 1e-9


def cell(rng: np.random.Generator, items: int, others: int, template: float) -> dict[str, Any]:
    """Coverage and median width of one kind of tutor."""
    where = [f"item {place // 2}" for place in range(2 * items)]
    sets = [(parts(drawn(rng, 2 * items, others, template)), parts(drawn(rng, 2 * items, others, template)))
            for _ in range(DRAWS)]  # fmt: skip
    expected = float(np.mean([np.mean(side) for pair in sets for side in pair]))
    means = [METRIC.interval(first, where, confidence=0.95) for first, _ in sets]
    changes = [METRIC.difference([b - a for a, b in zip(*pair, strict=True)], where, confidence=0.95) for pair in sets]
    widths = [one.high - one.low for one in means if one.low is not None and one.high is not None]
    return {
        "items": items,
        "others": others,
        "template": template,
        "expected": expected,
        "coverage": sum(holds(one, expected) for one in means) / DRAWS,
        "width": float(np.median(widths)) if widths else None,
        "difference_coverage": sum(holds(one, 0.0) for one in changes) / DRAWS,
    }


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = [cell(rng, items, *tutor) for items, tutor in product(ITEMS, TUTORS)]
    found = {"rows": rows, "draws": DRAWS, "machine": describe(), "date": date.today().isoformat()}
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
