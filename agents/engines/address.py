"""Where an endpoint is.

Invariant: nothing is asked of the network; a name that is not plainly this machine's is somewhere else.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from agents.errors import InputError


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_url(base_url: str) -> str:
    """Returns the URL without a trailing slash.

    Raises:
        InputError: it is not an http(s) URL, or holds a user name or password (which would end up in messages).
    """
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"base_url {base_url!r} is not a URL: give one such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise InputError(f"the base_url of {parts.hostname} holds a user or password: put the key in the environment")
    return base_url.rstrip("/")
