"""Limits of a server: how long it asks to wait, and whether waiting helps at all.

A server says when to come back in one of many places, which are read in this order: `retry-after-ms`, `Retry-After`
(seconds, a duration or a date), the words or the fields of its message ("try again in 1m20s", `"retryDelay": "36s"`),
and when a limit is full again (`x-ratelimit-reset-requests: 6m0s` and its like). Of several such limits those count of
which nothing remains, the longest of them; where none is told to be used up, the shortest of all.

Invariant: a time that cannot be read is 0, which is no time. An account's end, and a request that is larger than its
limit, are never waited for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LIMITED = frozenset({429, 498, 529})
"""Statuses of a server that takes no more requests for now."""
_LONGEST_BODY = 20_000
_UNITS = {"ms": 1e-3, "milli": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(?:ms|milliseconds?|msecs?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z_])"
_SPAN = rf"\d+(?:\.\d+)?\s*{_UNIT}(?:,?\s*(?:and\s+)?\d+(?:\.\d+)?\s*{_UNIT})*"
_ONE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|s|m|h|d)", re.I)
_TOLD = re.compile(
    r"(?<![a-z])(?:try(?:ing)?[ _-]?again|retry(?:ing)?|wait|available|resets?|(?:come|be) back)\b"
    rf"[^\d.;\n]{{0,40}}?(?P<span>{_SPAN})",
    re.I,
)
_FIELD = re.compile(
    r"""["']retry[_-]?(?:after|delay|in)(?P<unit>[_-]?(?:ms|milliseconds|s|secs?|seconds))?\\?["']"""
    r"""\s*:\s*(?:\\?["'])?(?P<value>\d+(?:\.\d+)?\s*[a-z]*)""",
    re.I,
)
_RESET_FIELD = re.compile(
    r"""["'](x-ratelimit-(?:reset|remaining)[\w-]*)\\?["']\s*:\s*(?:\\?["'])?([^"',}\\]{1,40})""", re.I
)
_EPOCH, _EPOCH_MS = 1e9, 1e12
"""From here on a number of seconds, or of milliseconds, is a date."""

_SPENT_CODE = re.compile(
    r"insufficient_(?:user_)?(?:quota|balance|credits?|funds)|exceeded_current_quota|billing_\w*limit|budget_exceeded|"
    r"payment_required|out_of_credits?|arrearage",
    re.I,
)
_SPENT = re.compile(
    _SPENT_CODE.pattern
    + r"|current quota|insufficient (?:account )?(?:balance|credits?|funds)|credit balance is too low|"
    r"(?:out of|no (?:more |remaining )?|requires more|run out of) credits|budget has been exceeded|余额不足|欠费",
    re.I,
)
_PASSES = re.compile(r"per[ _-]?(?:second|minute|hour|day)|\b[rt]p[msd]\b", re.I)
"""How a limit that passes is spoken of, which may link to the page on billing all the same."""
_TOO_LARGE = re.compile(r"request too large|(?:input or output )?tokens must be reduced", re.I)


def asked_wait(headers: Mapping[str, str], body: str, *, now: float) -> float:
    """Seconds that a server asks to wait; 0 where it does not.

    Args:
        headers: of its answer; names in lower case, or a mapping that knows no case.
        body: of its answer.
        now: seconds since 1970, which dates are compared with.
    """
    return (
        _milliseconds(headers.get("retry-after-ms") or headers.get("x-ms-retry-after-ms"))
        or seconds_of(headers.get("retry-after"), now=now)
        or told_wait(body)
    )


def until_reset(headers: Mapping[str, str], body: str, *, now: float) -> float:
    """Seconds until a limit is full again, by the fields of an answer that say so; 0 where none does.

    Servers send them with every answer, so they tell something of one that is refused for a limit alone.
    """
    fields = [*headers.items(), *_RESET_FIELD.findall(body[:_LONGEST_BODY])]
    limits = {name.lower(): value for name, value in fields if "ratelimit" in name.lower().replace("-limit", "limit")}
    resets = {name: seconds_of(value, now=now) for name, value in limits.items() if "reset" in name}
    resets = {name: seconds for name, seconds in resets.items() if seconds > 0}
    spent = [seconds for name, seconds in resets.items() if _is_none(limits.get(name.replace("reset", "remaining")))]
    return max(spent) if spent else min(resets.values(), default=0.0)


def told_wait(body: str) -> float:
    """Seconds to wait by the words of a message, or by a field in it; 0: none are told."""
    body = body[:_LONGEST_BODY]
    if told := _TOLD.search(body):
        return _span(told["span"])
    if field := _FIELD.search(body):
        in_ms = (field["unit"] or "").lower().strip("_-").startswith("m")
        return _milliseconds(field["value"]) if in_ms else seconds_of(field["value"], now=0.0)
    return 0.0


def seconds_of(value: str | None, *, now: float) -> float:
    """Seconds of what a header says: a number, a duration ("6m0s") or a date; 0 for what is no time, or is over."""
    text = (value or "").strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if not math.isfinite(number):
            return 0.0
        at = number / 1e3 if number >= _EPOCH_MS else number
        return max(0.0, at - now if number >= _EPOCH else number)
    if re.fullmatch(_SPAN, text, re.I):
        return _span(text)
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = read(text)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)  # HTTP's dates are of Greenwich, said or not
            return max(0.0, date.timestamp() - now)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return 0.0


def is_spent(code: str, message: str, wait: float) -> bool:
    """Whether a limit is the account's end, which no waiting lifts, and not one of requests or tokens a minute."""
    if _SPENT_CODE.search(code):
        return True
    passes = wait > 0 or "rate_limit" in code.lower() or _PASSES.search(message) is not None
    return not passes and _SPENT.search(f"{code} {message}") is not None


def is_too_large(message: str) -> bool:
    """Whether a limit is one that a request on its own is larger than."""
    return _TOO_LARGE.search(message) is not None


def _is_none(remaining: str | None) -> bool:
    try:
        return remaining is not None and float(remaining) <= 0
    except ValueError:
        return False


def _milliseconds(value: str | None) -> float:
    try:
        seconds = float((value or "").strip()) / 1e3
    except ValueError:
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _span(text: str) -> float:
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _ONE.findall(text))
