"""One OpenAI-compatible server: posts JSON, retries what can be retried, and turns the rest into typed errors.

Invariant: the key is in no error, log line, repr or answer, even when the server echoes it, and it goes to no other
server: redirects are not followed. A request ends in a value that was validated, in `EngineRefused` (the server's
answer is final) or in `EngineUnavailable` (no usable answer after all attempts). The `openai` package's own retries are
off, so attempts are counted in one place.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError
from pydantic import ValidationError

from agents.errors import EngineRefused, EngineUnavailable, InputError
from agents.secrets import SHORTEST

T = TypeVar("T")

_RETRIED = frozenset({408, 409, 425, 429})
_LONGEST_BACKOFF = 30.0
LONGEST_RETRY_AFTER = 120.0
"""Seconds; a server that asks for a longer pause counts as unavailable at once."""


class RefusedStatus(EngineRefused):
    """A final HTTP status; `status` is its number."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Again(Exception):
    """Why an attempt failed that may be repeated, and how long the server asked to wait (0: it did not say)."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Endpoint:
    """A model behind a base URL, with a bound on the requests in flight.

    Args:
        model: name the server knows the model by; for messages.
        base_url: usually ends in `/v1`.
        api_key: sent as a bearer token; empty for a server that wants none.
        timeout_seconds: limit of one attempt, from sending to the last byte.
        max_retries: attempts after the first.
        max_concurrency: requests in flight at once; a request that waits for its next attempt is not in flight.
        backoff_seconds: first pause; it doubles with each attempt up to 30 s, with jitter.

    Raises:
        InputError: the base URL is not one, or holds a password.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float,
        max_retries: int,
        max_concurrency: int,
        backoff_seconds: float = 0.5,
    ) -> None:
        self.model = model
        self.base_url = check_url(base_url)
        self._key = api_key
        self._told = _spellings(api_key)
        self._timeout = timeout_seconds
        self._attempts = max_retries + 1
        self._backoff = backoff_seconds
        self._slots = asyncio.Semaphore(max_concurrency)
        self._client = AsyncOpenAI(
            api_key=api_key or "unused",
            base_url=self.base_url,
            timeout=timeout_seconds,
            max_retries=0,
            # The package's own client follows redirects, with the prompt and, on the same host, with the key.
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self._closed = False

    @property
    def where(self) -> str:
        """Model and URL, for messages."""
        return f"model {self.model!r} at {self.base_url}"

    async def ask(self, path: str, body: Mapping[str, object], read: Callable[[str], T]) -> T:
        """Posts until an answer can be read.

        Args:
            path: below the base URL, or a whole URL on the same server.
            body: the request as JSON.
            read: makes a value of the answer's text; a `ValueError` marks the answer as malformed and is retried.

        Raises:
            EngineRefused: the status is final, or `read` raised it.
            EngineUnavailable: no attempt gave a readable answer, or the endpoint is closed.
        """
        if self._closed:
            raise EngineUnavailable(f"{self.where}: the engine is closed; make a new one")
        last = _Again("")
        for attempt in range(1, self._attempts + 1):
            try:
                return self._read(await self._post(path, body), read)
            except _Again as again:
                last = again
            if last.wait_seconds > LONGEST_RETRY_AFTER:
                raise EngineUnavailable(
                    f"{self.where} asked to wait {last.wait_seconds:.0f} s after {last}; try again later"
                )
            if attempt < self._attempts:
                await asyncio.sleep(self._pause(attempt, last.wait_seconds))
        raise EngineUnavailable(
            f"{self.where} gave no usable answer in {self._attempts} attempts; the last failed with {last}. "
            "Check that the server runs and can take the load, or raise max_retries or timeout_seconds."
        )

    async def close(self) -> None:
        """Closes the connections. Calling it twice is fine."""
        if not self._closed:
            self._closed = True
            await self._client.close()

    async def _post(self, path: str, body: Mapping[str, object]) -> str:
        # `from None` throughout: the package's exceptions hold the request, and with it the key.
        async with self._slots:
            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    return await self._client.post(path, cast_to=str, body=dict(body))
            except APIStatusError as error:
                raise self._classify(error) from None
            except APIConnectionError as error:
                cause = error.__cause__ or error
                raise _Again(self._clean(f"no answer ({type(cause).__name__}: {cause})")) from None
            except TimeoutError:
                raise _Again(f"no answer within {self._timeout:g} s") from None
            except (OpenAIError, ValueError) as error:
                raise _Again(self._clean(f"malformed answer ({type(error).__name__})")) from None

    def _read(self, text: str, read: Callable[[str], T]) -> T:
        if len(self._key) >= SHORTEST:  # a word in the place of a key may be said
            text = self._clean(text)  # before anything is cut: half a key is still half a key
        try:
            return read(text)
        except ValueError as error:
            raise _Again(self._clean(f"malformed answer {text[:80]!r} ({_why(error)[:160]})")) from None

    def _classify(self, error: APIStatusError) -> Exception:
        status = error.status_code
        said = self._clean(error.message)[:400]
        if status >= 500 or (status in _RETRIED and error.code != "insufficient_quota"):
            return _Again(f"HTTP {status}: {said}", retry_after(error.response.headers.get("retry-after")))
        return RefusedStatus(f"{self.where} refused with HTTP {status}: {said}. {_advice(status)}", status)

    def _clean(self, text: str) -> str:
        return self._told.sub("***", text) if self._key else text

    def _pause(self, attempt: int, asked: float) -> float:
        backoff = min(self._backoff * 2.0 ** (attempt - 1), _LONGEST_BACKOFF)
        # Many dialogues fail together; the jitter keeps them from coming back together.
        return max(asked, 0.0) + backoff * random.uniform(0.5, 1.0)


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


def retry_after(value: str | None) -> float:
    """Returns the seconds a `Retry-After` header asks for, given as a number or as a date; 0 for anything else."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _spellings(key: str) -> re.Pattern[str]:
    """Finds a key as it is and as JSON may write it: with a backslash before a character, or as its number."""
    return re.compile("".join(rf"(?:\\?{re.escape(one)}|\\u(?i:{ord(one):04x}))" for one in key))


def _why(error: ValueError) -> str:
    """What is wrong with an answer, without the answer itself."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found[:3])
    return " ".join(str(error).split())


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "Redirects are not followed, because the key would go along: give the final address as base_url."
    if status in {401, 403}:
        return "Check the key in the pool's api_key_env and what it may use."
    if status == 404:
        return "Check `model` and `base_url`."
    if status == 429:
        return "The account's quota is used up: add credit or use another key."
    return "Check the length of the prompt and whether the server knows every option that was sent."
