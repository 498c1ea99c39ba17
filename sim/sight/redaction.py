"""Takes secrets out of text before anyone sees it.

Invariant: the value of every environment variable that a pool names as its key never leaves through `Redaction`, alone
or inside a longer text; neither do bearer tokens, keys of the common `sk-` form, or passwords in addresses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agents.secrets import secret, written

HIDDEN = "[redacted]"
SHORTEST = 6
"""A shorter value is no secret but a word such as `none`, which a server without keys is given."""
_FORMS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{12,}"), HIDDEN),
    (re.compile(r"(?i)\b(api[_-]?key|access[_-]?token|password|secret)(\s*[=:]\s*)[^\s&,;'\"]+"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]+@"), rf"\1{HIDDEN}@"),
)


class Redaction:
    """Hides secrets, given ones and those that look like some."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one key may begin with another.
        self._secrets = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)

    @classmethod
    def of_environment(cls, names: Iterable[str], environ: Mapping[str, str] | None = None) -> Redaction:
        """Hides what the variables of these names, or the files that NAME_FILE names, hold now."""
        found = os.environ if environ is None else environ
        names = list(names)
        values = [found.get(name, "") for name in names]
        if environ is None:
            values += [secret(name) or "" for name in names]
        return cls([*values, *(value.strip() for value in values)])

    def text(self, text: str) -> str:
        """The text without secrets."""
        for one in self._secrets:
            for form in written(one):
                text = text.replace(form, HIDDEN)
        for pattern, shown in _FORMS:
            text = pattern.sub(shown, text)
        return text

    def every(self, value: Any) -> Any:
        """The same for every text in nested dicts, lists and tuples, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.every(key): self.every(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.every(one) for one in value]
        return value
