"""What a server's refusal of a request is about: fields that can be left out, the roles of messages, or something else.

Invariant: what is told of a refusal follows from its status, the field it names and its words alone; nothing is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agents.engines.endpoint import RefusedStatus

_BAD_REQUEST = frozenset({400, 422})
_NAMED = {
    "temperature": re.compile(r"temperature", re.I),
    "top_p": re.compile(r"top[_ ]?p\b", re.I),
    "n": re.compile(
        r"""['"`]n['"`]|\bn\b\s*(?:>|=|is|must|should|has to|cannot|not)|parameter:? n\b|\bn parameter"""
        r"|(?:multiple|several|more than one|only one|only 1) (?:completion|choice|candidate)",
        re.I,
    ),
    "stop": re.compile(
        r"""['"`]stop['"`]|\bstop (?:sequence|word|string|parameter)|parameter:? stop\b|\bstop is""", re.I
    ),
    "repetition_penalty": re.compile(r"repetition[_ ]penalty", re.I),
    "response_format": re.compile(r"response[_ ]format|json[_ ]?schema|structured[_ ]output|guided", re.I),
    "logprobs": re.compile(r"log[_ ]?probs?\b", re.I),
    "return_token_ids": re.compile(r"return_token_ids", re.I),
}
"""By field, how a refusal speaks of it."""
_ROLES = re.compile(
    r"\broles?\b|alternat|\bsystem (?:prompt|message|instruction)|chat[_ ]template|template ?error|"
    r"(?:first|last) message|(?:start|begin)s? with (?:a |the )?[`'\"]?user",
    re.I,
)
"""How a server speaks of a conversation whose roles it does not take."""
_SETTLED = re.compile(_ROLES.pattern + r"|context|too long|\btokens\b|api.?key", re.I)
"""What a refusal speaks of that has nothing to do with optional fields."""
OFTEN_UNKNOWN = (frozenset({"n"}), frozenset({"response_format"}), frozenset({"n", "response_format"}))
"""What is left out in turn after a refusal that names no field: servers have many words for not knowing these."""
_NO_MAX_TOKENS = re.compile(
    r"\bmax_tokens\b.{0,30}(?:not supported|unsupported|not permitted|unknown|unrecogni[sz]ed)|"
    r"(?:unsupported|unknown|unrecogni[sz]ed|unexpected)[^.]{0,40}\bmax_tokens\b",
    re.I,
)


def refused_fields(body: Mapping[str, object], error: RefusedStatus) -> set[str]:
    """Which fields of a request a server names as the reason why it refused it, of those that can be left out.

    `max_tokens` is among them only where its newer name is to be used instead: a limit there must be.
    """
    if error.status not in _BAD_REQUEST:
        return set()
    sent = body.keys() & _NAMED.keys()
    param = error.param.split(".")[0].split("[")[0]
    if param in sent:
        return {param}
    named = {name for name in sent if _NAMED[name].search(error.said)}
    if "max_tokens" in body and ("max_completion_tokens" in error.said or _NO_MAX_TOKENS.search(error.said)):
        named.add("max_tokens")
    return named


def names_nothing(error: RefusedStatus) -> bool:
    """Whether a request was refused in words that may mean a field that can be left out, and name none."""
    return error.status in _BAD_REQUEST and not _SETTLED.search(error.said)


def refuses_roles(error: Exception) -> bool:
    """Whether a server refuses a conversation for the roles of its messages."""
    if not isinstance(error, RefusedStatus) or error.status not in _BAD_REQUEST:
        return False
    return bool(_ROLES.search(error.said or str(error)))
