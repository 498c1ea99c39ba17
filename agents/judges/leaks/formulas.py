"""An answer that is a formula, as a pattern of the ways to write and to say it: `A = πr²`, `A is pi r squared`.

Invariant: pure; what is no formula is None.
"""

from __future__ import annotations

import regex

from agents.judges.leaks.spoken import NUMBER_NAMES
from agents.judges.normal import normalised
from agents.records import Question

_SIGNED = regex.compile(r"[=<>≤≥≠≈+×·*/^√∝→⇒∪∩∈±]|(?<=[\w)])\s*-\s*(?=[\w(])")


def formula_of(text: str) -> regex.Pattern[str] | None:
    """The answer as a formula, with any blanks and signs of multiplication between its parts; None if it is prose."""
    text = text.strip().rstrip(".")
    long_words = regex.findall(r"\p{L}{4,}", text)
    signed = _SIGNED.search(text) or "π" in text
    mixed = None if signed else regex.fullmatch(r"(?=.*\p{L})(?=.*\d)[\p{L}\d()+-]+", text)
    lone_sign = regex.fullmatch(r"[^\p{L}\p{N}\s]{1,2}", text)
    if not lone_sign and not mixed and (not signed or len(long_words) > 2):
        return None
    parts = [part for part in regex.findall(r"\p{L}|\d+(?:[.,]\d+)?|[^\s\p{L}\d]", text) if part not in "·×*"]
    if not parts:
        return None
    gap = r"\s*(?:[·×*]\s*|times\s)?"
    written = [_part_pattern(part, parts[at + 1 : at + 2]) for at, part in enumerate(parts)]
    before = r"(?<![\p{L}\d])"
    after = (
        r"(?![\p{L}\d]|\s*[/^*×·+]\s*[\p{L}\d(]|\s*-\s*[\p{L}\d(]|[²³]"
        r"|\s+(?:squared|cubed|times|plus|minus|over|divided)\b)"
    )
    if lone_sign:
        before = after = ""
        if text in ("<", ">"):
            after = "(?!=)"
    if mixed:
        gap = ""
    flags = 0 if _case_counts(text) else regex.IGNORECASE
    return regex.compile(before + gap.join(written) + after, flags)


def with_right_side(formula: regex.Pattern[str], text: str, question: Question) -> regex.Pattern[str]:
    """The formula, or its right side alone (`pi r squared`) where only the answer has it."""
    left, _, right = text.strip().rstrip(".").partition("=")
    alone = formula_of(right) if regex.fullmatch(r"\p{L}{1,2}\s*", left) and regex.search(r"[\^√π+/-]", right) else None
    others = [question.text, *(option.text for option in question.options if not option.correct)]
    if alone is None or any(alone.search(normalised(other)) for other in others):
        return formula
    start = r"(?<![\d/^*×·+-]\s?|\b(?:two|three|four|half|twice|times|root of)\s)"
    return regex.compile(f"{formula.pattern}|{start}{alone.pattern}", formula.flags & regex.IGNORECASE)


def _part_pattern(part: str, following: list[str]) -> str:
    if part == "^" and following in (["+"], ["-"]):
        return r"\^?"  # a charge: Na⁺ is Na+
    said = _IN_WORDS.get(part, "")
    if part == "^":
        said = {"2": r"(?=\s*squared)", "3": r"(?=\s*cubed)"}.get("".join(following), "")
    elif part in _RAISED_TO:
        said = rf"{NUMBER_NAMES[int(part)]}\b|{_RAISED_TO[part]}\b"
    elif part.isdecimal() and len(part) == 1:
        said = rf"{NUMBER_NAMES[int(part)]}\b"
    return f"(?:{regex.escape(part)}|{said})" if said else regex.escape(part)


_RAISED_TO = {"2": "squared", "3": "cubed"}
_IN_WORDS = {
    "=": r"\s(?:is|equals|is equal to)\s",
    "π": r"pi\b",
    "√": r"(?:the\s)?(?:square\s)?root\sof\b",
    "+": r"plus\b",
    "-": r"minus\b",
    "/": r"(?:divided\sby|over)\b",
}
"""How the signs of a formula are said."""


def _case_counts(text: str) -> bool:
    letters = regex.findall(r"\p{L}", text)
    return len({letter.casefold() for letter in letters}) < len(set(letters))
