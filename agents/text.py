"""Characters that no honest text needs and that a reader does not see: they steer terminals, or hide words from people.

Invariant: `visible(text)` holds no control character but tab and newline, no character that turns the direction of
writing, no invisible format character but the joiners that scripts and emoji need, and no half of a surrogate pair; a
text without such characters comes back unchanged. `clipped(text, most)` is never longer than `most`, and says what is
missing.
"""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\t\n\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}\N{SOFT HYPHEN}\N{VARIATION SELECTOR-16}")
_HIDDEN = frozenset({"Cc", "Cf", "Cs"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def hidden_characters(text: str) -> list[str]:
    """Returns the characters of a text that `visible` would replace, in order."""
    if text.isascii() and text.isprintable():
        return []
    return [one for one in text if one not in _KEPT and unicodedata.category(one) in _HIDDEN]


def visible(text: str, replacement: str = REPLACEMENT) -> str:
    """Returns the text with every hidden character replaced; a line that ends in CR LF ends in LF alone."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(replacement if one not in _KEPT and unicodedata.category(one) in _HIDDEN else one for one in text)


def clipped(text: str, most: int) -> str:
    """Returns the text, or its begin with how many more characters there were; to clip again changes nothing.

    Args:
        text: of any length.
        most: characters of the result, at least 40.
    """
    if len(text) <= most:
        return text
    keep = most - 39
    return f"{text[:keep]}… [cut: {len(text) - keep} more characters]"
