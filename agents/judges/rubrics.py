"""Rubrics: what an LLM judge looks at, as YAML files that anyone can write.

Invariant: a `Rubric` that exists can be judged with: its criteria have distinct names and its scale has room to differ.
A rubric is data; nothing in it is executed, and an unknown field is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from agents.documents import located, parse_document, problems, read_text, validated
from agents.errors import InputError, nearest

Text = Annotated[str, Field(min_length=1)]
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Scale:
    """What a vote may say, and what passes.

    Labels scale: `labels` are (accepting, rejecting) and `needs` says how many valid votes must accept. Points scale:
    integers from `low` to `high`, and a mean of at least `pass_at` passes.
    """

    kind: Literal["labels", "points"]
    labels: tuple[str, ...] = ()
    needs: Literal["all", "majority"] = "all"
    low: int = 0
    high: int = 0
    pass_at: float = 0.0
    meanings: tuple[str, ...] = ()
    """What each label or point means, in order."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to judge: a question about the dialogue and, where it has them, the parts to look for."""

    name: str
    question: str
    parts: tuple[tuple[str, str], ...] = ()
    """(name, meaning) of each part."""


@dataclass(frozen=True, slots=True)
class Rubric:
    """Criteria on one scale, with where they come from."""

    name: str
    licence: str
    author: str
    source: str
    scale: Scale
    criteria: tuple[Criterion, ...]
    readable: int = 0
    """How many votes must be readable; 0: all of them where all must accept, else more than half."""


def votes_needed(rubric: Rubric, votes: int) -> int:
    """How many of so many votes must be readable for a verdict.

    Raises:
        InputError: the rubric asks for more than there are, or is content with half: half a verdict would pass.
    """
    if not rubric.readable:
        return votes if rubric.scale.kind == "labels" and rubric.scale.needs == "all" else votes // 2 + 1
    if not votes < 2 * rubric.readable <= 2 * votes:
        raise InputError(
            f"rubric {rubric.name!r}: readable: {rubric.readable} of {votes} votes; it must be more than half of the "
            f"votes and not more than all: {votes // 2 + 1} to {votes}. Change it, or the judge's `votes`"
        )
    return rubric.readable


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Labels(_Part):
    kind: Literal["labels"]
    accept: Text
    reject: Text
    needs: Literal["all", "majority"] = "all"
    accept_means: str = ""
    reject_means: str = ""


class _Points(_Part):
    kind: Literal["points"]
    low: int
    high: int
    pass_at: float
    meanings: tuple[Text, ...] = ()


class _Criterion(_Part):
    name: Text
    question: Text
    parts: dict[str, Text] = {}


class _File(_Part):
    name: Text
    licence: Text
    author: Text
    source: Text
    scale: Annotated[_Labels | _Points, Field(discriminator="kind")]
    criteria: tuple[_Criterion, ...]
    readable: Annotated[int, Field(strict=True, ge=0)] = 0


def shipped_rubrics() -> dict[str, str]:
    """Returns the text of each shipped rubric by its name."""
    folder = resources.files("agents") / "data" / "rubrics"
    files = [file for file in folder.iterdir() if file.name.endswith(_SUFFIXES)]
    return {file.name.rsplit(".", 1)[0]: file.read_text(encoding="utf-8") for file in files}


def load_rubric(name_or_path: str) -> Rubric:
    """Returns a shipped rubric by name, or one from a YAML file by path.

    Raises:
        InputError: no such rubric, or the file is wrong; names file, criterion and field.
    """
    if not name_or_path.endswith(_SUFFIXES):
        shipped = shipped_rubrics()
        if name_or_path not in shipped:
            raise InputError(f"no rubric {name_or_path!r}; {nearest(name_or_path, shipped)}. A file ends in .yaml")
        return parse_rubric(shipped[name_or_path], name_or_path)
    return parse_rubric(read_text(Path(name_or_path), f"rubric {name_or_path}"), name_or_path)


def parse_rubric(text: str, file: str) -> Rubric:
    """Returns the rubric that YAML text holds; `file` names it in errors. Raises `InputError`."""
    return _rubric(parse_document(text, f"rubric {file}"), file, text)


def _rubric(raw: object, file: str, text: str) -> Rubric:
    if not isinstance(raw, dict):
        raise InputError(f"rubric {file}: holds no fields but {str(raw)[:40]!r}; see a shipped rubric for the form")
    try:
        parsed = validated(_File, raw)
    except ValidationError as error:
        wrong = "; ".join(_placed(raw, details, text) for details in problems(error)[:5])
        raise InputError(f"rubric {file}: {wrong}") from None
    if not parsed.criteria:
        raise InputError(f"rubric {file}: field 'criteria' is empty; add at least one criterion")
    names = [criterion.name for criterion in parsed.criteria]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"rubric {file}: criterion {twice[0]!r} is there twice; give each its own name")
    criteria = tuple(Criterion(one.name, one.question, tuple(one.parts.items())) for one in parsed.criteria)
    scale = _scale(parsed.scale, file)
    return Rubric(parsed.name, parsed.licence, parsed.author, parsed.source, scale, criteria, readable=parsed.readable)


def _scale(scale: _Labels | _Points, file: str) -> Scale:
    if isinstance(scale, _Labels):
        if scale.accept == scale.reject:
            raise InputError(f"rubric {file}: scale: accept and reject are both {scale.accept!r}; make them differ")
        means = (scale.accept_means, scale.reject_means)
        return Scale("labels", (scale.accept, scale.reject), scale.needs, meanings=means)
    points = scale.high - scale.low + 1
    if points < 2 or not scale.low <= scale.pass_at <= scale.high:
        raise InputError(
            f"rubric {file}: scale: low {scale.low}, pass_at {scale.pass_at:g}, high {scale.high}; "
            "low must be below high and pass_at between them"
        )
    if scale.meanings and len(scale.meanings) != points:
        raise InputError(
            f"rubric {file}: scale: {len(scale.meanings)} meanings for {points} points; give one for each, or none"
        )
    return Scale("points", low=scale.low, high=scale.high, pass_at=scale.pass_at, meanings=scale.meanings)


def _placed(raw: Any, details: ErrorDetails, text: str) -> str:
    """One validation problem in words, with its line."""
    return _problem(raw, dict(details)) + located(text, details)


def _problem(raw: Any, details: dict[str, Any]) -> str:
    """One validation problem in words: where it is, what it is, and the nearest name for an unknown field."""
    location = [part for part in details["loc"] if part not in ("labels", "points")]
    where = ""
    model: type[BaseModel] = _File
    if location[:1] == ["criteria"] and len(location) > 1:
        model, index = _Criterion, location[1]
        try:
            name = repr(raw["criteria"][index]["name"])
        except (LookupError, TypeError):
            name = f"number {int(index) + 1}"
        where, location = f"criterion {name}, ", location[2:]
    elif location[:1] == ["scale"] and len(location) > 1:
        model = _Labels if "labels" in details["loc"] else _Points
        where, location = "scale, ", location[1:]
    field = ".".join(str(part) for part in location)
    what = f"{where}field {field!r}" if field else where.rstrip(", ")
    if details["type"] == "extra_forbidden":
        return f"{what} is unknown; {nearest(field, model.model_fields)}"
    if details["type"] == "missing":
        return f"{what} is missing; add it"
    return f"{what}: {details['msg']}, got {str(details['input'])[:60]!r}"
