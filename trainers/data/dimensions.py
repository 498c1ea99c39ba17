"""The six dimensions and their sub-dimensions: from any spelling to the library's names, and what each means.

The names and the meanings of the sub-dimensions are the shipped rubric's (`agents/data/rubrics/convolearn.yaml`), the
guidance for a tutor is the `knowledge_building` strategy's. Nothing is said twice here, so nothing can disagree.
"""

from __future__ import annotations

import re
from functools import cache

from agents.errors import InputError, nearest
from agents.judges.rubrics import load_rubric
from agents.library import strategy

# The paper's own name for it joins two things; the rubric has one.
_ALSO = {
    "problem_based_learning": "problem_based_reasoning",
    "problem_based_learning_reasoning": "problem_based_reasoning",
}


@cache
def _parts() -> dict[str, dict[str, str]]:
    """Meaning of each sub-dimension by dimension."""
    return {criterion.name: dict(criterion.parts) for criterion in load_rubric("convolearn").criteria}


def dimension_key(name: str) -> str | None:
    """The library's name of a dimension (`Cognitive Engagement` is `cognitive_engagement`), or None."""
    key = _key(name)
    return key if key in _parts() else None


def subdimension_key(name: str) -> str | None:
    """The library's name of a sub-dimension, or None."""
    key = _key(name)
    key = _ALSO.get(key, key)
    return key if any(key in parts for parts in _parts().values()) else None


def guidance(dimension: str) -> str:
    """What a tutor is to do for a dimension. Raises InputError for one that is not of the six."""
    key = dimension_key(dimension)
    if key is None:
        raise InputError(f"{dimension!r} is no dimension; {nearest(_key(dimension), _parts())}")
    return strategy("knowledge_building").settings["dimension"][key]


def meaning(subdimension: str) -> str:
    """What a sub-dimension means, or an empty text for one that is not known."""
    key = subdimension_key(subdimension)
    return next((parts[key] for parts in _parts().values() if key in parts), "") if key else ""


def _key(name: str) -> str:
    return re.sub(r"[^a-z]+", "_", name.casefold()).strip("_")
