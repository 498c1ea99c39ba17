"""Endpoint keys: from the environment or a secret file, and nowhere else.

The key named `NAME` is the environment variable `NAME`, else the content of the file that the variable `NAME_FILE`
names: the way Docker and Kubernetes hand out secrets. A config names a key and never holds one.

Invariant: no error, warning or return value of this module holds a key, but for that of `secret` itself; a text that
went through `redact` holds none of the named keys, neither plain nor as JSON or a URL would write it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from agents.errors import InputError

HIDDEN = "***"
"""What stands in the place of a key."""
MAX_BYTES = 65_536
"""Largest secret file that is read; a key has some hundred bytes."""
SHORTEST = 12
"""Keys shorter than this are words such as `none` or `EMPTY`, for servers that want no key; they are not hidden."""

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHAPES = (
    (re.compile(r"\b(?:sk|rk|pk)-[A-Za-z0-9_-]{16,}"), "an API key (sk-...)"),
    (re.compile(r"\bhf_[A-Za-z0-9]{20,}"), "a Hugging Face token (hf_...)"),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})"), "a GitHub token"),
    (re.compile(r"\b(?:gsk_|xai-|nvapi-|r8_|AIza)[A-Za-z0-9_-]{20,}"), "an API key"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "an AWS access key"),
    (re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"), "a signed token (JWT)"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\b[Bb]earer\s+[\w.~+/-]{16,}"), "a bearer token"),
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@"), "a URL with a password (user:pass@host)"),
    (
        re.compile(r"[?&](?:api[_-]?key|key|(?:access_|auth_)?token|password|secret|sig|signature)=[^&\s]{8,}", re.I),
        "a URL with a key in its query",
    ),
)
_NAMED = frozenset(
    {"api_key", "apikey", "access_key", "secret_key", "auth_token", "authorization", "password", "passwd"}
)
_ENV_KEYS = frozenset({"api_key_env"})
_warned: set[Path] = set()


def secret(name: str) -> str | None:
    """Returns the key of that name, or None where neither `NAME` nor `NAME_FILE` is set to anything.

    A secret file that others than its owner may read is used, with one warning.

    Raises:
        InputError: the name is none of an environment variable, the file cannot be read or is empty, or what was found
            cannot be sent as a key.
    """
    _check_name(name)
    if value := os.environ.get(name, "").strip():
        return _usable(value, f"the environment variable {name}")
    if not (where := os.environ.get(f"{name}_FILE", "").strip()):
        return None
    return _usable(_read(Path(where).expanduser(), name), f"the file that {name}_FILE names")


def redact(text: str, names: Iterable[str]) -> str:
    """Returns the text with every key of those names replaced; a name that has no usable key hides nothing."""
    for value in sorted({value for name in names if (value := _known(name))}, key=len, reverse=True):
        for form in written(value):
            text = text.replace(form, HIDDEN)
    return text


def written(value: str) -> set[str]:
    """The ways in which a key may stand in a text: plain, in JSON, in a URL."""
    return {value, json.dumps(value)[1:-1], quote(value, safe="")}


def looks_like_secret(text: str) -> str:
    """Says what kind of secret a text seems to hold, such as `an API key (sk-...)`; empty: none is seen."""
    return next((kind for shape, kind in _SHAPES if shape.search(text)), "")


def refuse_secrets(raw: object, where: str) -> None:
    """Refuses a config, or `--set` arguments, that hold a key.

    Args:
        raw: as read from YAML: maps, lists and plain values.
        where: the file or option, for the message.

    Raises:
        InputError: a value looks like a secret, stands under a name such as `api_key`, or an `api_key_env` is no name
            of a variable. The message says where, never what.
    """
    seen: set[int] = set()
    left: list[tuple[str, object]] = [("", raw)]
    while left:
        place, value = left.pop()
        if isinstance(value, str):
            _refuse(value, place, where)
            continue
        if not isinstance(value, Mapping | list | tuple) or id(value) in seen:
            continue
        seen.add(id(value))  # a YAML alias repeats a part without repeating what is wrong in it
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        # a key may be a secret too, so the message shows names only
        left += [(f"{place}.{_shown(key)}".lstrip("."), one) for key, one in parts]
        if isinstance(value, Mapping):
            left += [(place, key) for key in value if isinstance(key, str)]


def _refuse(value: str, place: str, where: str) -> None:
    last = place.rpartition(".")[2].lower()
    kind = looks_like_secret(value)
    if not kind and last in _NAMED and value.strip() and value.lower() != last:
        kind = "a key"
    if not kind and last in _ENV_KEYS and value not in _ENV_KEYS and not _NAME.fullmatch(value):
        kind = "a key where the name of an environment variable is expected"
    if kind:
        at = f"{where}: {place}" if place else where
        raise InputError(
            f"{at}: holds what looks like {kind}, which would be stored with the run; put it into an environment "
            f"variable (or a file that NAME_FILE names), name that in api_key_env, and replace the key if it was shared"
        )


def _shown(key: object) -> str:
    text = str(key)
    return "(a key)" if looks_like_secret(text) or len(text) > 64 else text


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            "api_key_env is no name of an environment variable (letters, digits and _); name the variable that holds "
            "the key, never the key itself"
        )


def _usable(value: str, source: str) -> str:
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InputError(f"{source} holds no usable key: expected one line of printable characters without spaces")
    return value


def _read(path: Path, name: str) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError("not a file")
        if found.st_size > MAX_BYTES:
            raise OSError(f"{found.st_size} bytes are too many for a key")
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "not text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        raise InputError(f"{name}_FILE: {str(path)!r} cannot be read ({why}); name a file that holds the key") from None
    if not value:
        raise InputError(f"{name}_FILE: {str(path)!r} is empty; write the key into it")
    if found.st_mode & 0o077 and path not in _warned:
        _warned.add(path)
        _log.warning(
            "%s_FILE: others may read %s (mode %o); make it the owner's alone: chmod 600",
            name,
            path,
            found.st_mode & 0o777,
        )
    return value


def _known(name: str) -> str:
    """The key of a name for hiding it; empty where there is none that is worth hiding."""
    try:
        value = secret(name) or ""
    except InputError:
        value = os.environ.get(name, "").strip()
    return value if len(value) >= SHORTEST else ""
