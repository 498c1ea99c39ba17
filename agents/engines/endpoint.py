"""One OpenAI-compatible server: posts JSON, retries what can be retried, and turns the rest into typed errors.

What may pass is of two kinds. A fault (no connection, a status of 500, a torn answer) is tried again so many times; a
rate limit is waited out by time, however many times it is said. What would come back the same is final at once.

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
from typing import TypeVar

from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError

from agents.engines.address import check_url
from agents.engines.limits import LIMITED, asked_wait, is_spent, is_too_large, told_wait, until_reset
from agents.engines.wire import ErrorBody, OtherShape
from agents.errors import EngineRefused, EngineUnavailable, RateLimited
from agents.secrets import SHORTEST

T = TypeVar("T")

_RETRIED = frozenset({408, 409, 425})
_LONGEST_BACKOFF = 30.0
_LONGEST_LOOK = 15.0
"""Seconds between two looks whether a rate limit that names no time is over."""
_BUSY = re.compile(r"rate.?limit|too many requests|overloaded|over capacity|resource.?exhausted|throttl", re.I)
_PASSING = re.compile(
    r"time.?out|timed out|temporar|unavailable|try again|internal|upstream|provider|server_error", re.I
)


class RefusedStatus(EngineRefused):
    """A final HTTP status.

    Attributes:
        status: its number.
        said: the server's own words.
        param: the field of the request that the server names as the reason; empty: none.
    """

    def __init__(self, message: str, status: int = 0, said: str = "", param: str = "") -> None:
        super().__init__(message)
        self.status, self.said, self.param = status, said, param


class Clock:
    """Time as an endpoint knows it. Tests give one that does not wait."""

    def now(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def date(self) -> float:
        """Seconds since 1970, which a server's dates are compared with."""
        return time.time()

    def limit(self, seconds: float) -> asyncio.Timeout:
        """The limit of one attempt, not begun yet."""
        return asyncio.timeout(seconds)

    async def sleep(self, seconds: float) -> None:
        """Lets so much time pass."""
        await asyncio.sleep(seconds)


class _Again(Exception):
    """Why an attempt failed that may be repeated, and what to do where all of them fail."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.advice = advice


class _Wait(Exception):
    """A rate limit, and how long the server asked to wait (0: it did not say)."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Endpoint:
    """A model behind a base URL, with a bound on the requests in flight.

    Args:
        model: name the server knows the model by; for messages.
        base_url: usually ends in `/v1`.
        api_key: sent as a bearer token; empty for a server that wants none.
        timeout_seconds: limit of one attempt, from sending to the last byte.
        max_retries: attempts after the first.
        max_concurrency: requests in flight at once; a request that waits for its next attempt is not in flight.
        rate_limit_seconds: longest time that one request waits for a rate limit to end.
        backoff_seconds: first pause; it doubles with each attempt up to 30 s, with jitter.
        clock: time.

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
        rate_limit_seconds: float = 600.0,
        backoff_seconds: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        self.model = model
        self.base_url = check_url(base_url)
        self._key = api_key
        self._told = _spellings(api_key)
        self._timeout = timeout_seconds
        self._attempts = max_retries + 1
        self._backoff = backoff_seconds
        self._patience, self._clock = rate_limit_seconds, clock or Clock()
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
            read: makes a value of the answer's text. A `ValueError` marks the answer as torn, and it is asked again.

        Raises:
            EngineRefused: the status is final, or the answer is JSON of another shape.
            RateLimited: the server took no request for `rate_limit_seconds`, or says that it will not.
            EngineUnavailable: no attempt gave a readable answer, or the endpoint is closed.
        """
        if self._closed:
            raise EngineUnavailable(f"{self.where}: the engine is closed; make a new one")
        failed = limited = 0
        until = math.inf
        while True:
            try:
                return self._read(await self._post(path, body), read)
            except _Again as again:
                failed += 1
                if failed == self._attempts:
                    raise EngineUnavailable(
                        f"{self.where} gave no usable answer in {failed} attempts; the last failed with {again}. "
                        f"{again.advice}"
                    ) from None
                pause = self._pause(failed, _LONGEST_BACKOFF)
            except _Wait as wait:
                limited += 1
                until = min(until, self._clock.now() + self._patience)
                left = until - self._clock.now()
                if left <= 0 or wait.seconds > left:
                    raise RateLimited(self._limited(wait, limited)) from None
                pause = min(wait.seconds + self._pause(limited, _LONGEST_LOOK), left)
            await self._clock.sleep(pause)

    async def close(self) -> None:
        """Closes the connections. Calling it twice is fine."""
        if not self._closed:
            self._closed = True
            await self._client.close()

    async def _post(self, path: str, body: Mapping[str, object]) -> str:
        # `from None` throughout: the package's exceptions hold the request, and with it the key.
        async with self._slots:
            try:
                async with self._clock.limit(self._timeout):
                    return await self._client.post(path, cast_to=str, body=dict(body))
            except APIStatusError as error:
                raise self._refused(error) from None
            except APIConnectionError as error:
                cause = error.__cause__ or error
                said = self._clean(f"no answer ({type(cause).__name__}: {cause})")
                raise _Again(said, "Check that the server runs.") from None
            except TimeoutError:
                raise _Again(f"no answer within {self._timeout:g} s", "Raise timeout_seconds.") from None
            except (OpenAIError, ValueError) as error:
                said = self._clean(f"malformed answer ({type(error).__name__})")
                raise _Again(said, "Check what answers at base_url.") from None

    def _read(self, text: str, read: Callable[[str], T]) -> T:
        if len(self._key) >= SHORTEST:  # a word in the place of a key may be said
            text = self._clean(text)  # before anything is cut: half a key is still half a key
        try:
            return read(text)
        except OtherShape as error:
            said = self._clean(f"{error}; it begins {text[:80]!r}")
            raise EngineRefused(
                f"{self.where} answered with JSON of another shape: {said}. Check base_url and what the server speaks."
            ) from None
        except ErrorBody as error:
            raise self._failed_inside(error, text) from None
        except ValueError as error:
            if text.lstrip().startswith(("data:", "event:")):
                raise EngineRefused(
                    f"{self.where} answered with a stream although none was asked for: turn streaming off at the server"
                ) from None
            said = self._clean(f"malformed answer {text[:80]!r} ({' '.join(str(error).split())[:160]})")
            raise _Again(said, "Check what answers at base_url.") from None

    def _refused(self, error: APIStatusError) -> Exception:
        """What a status that is no success stands for."""
        headers, body, now = error.response.headers, error.response.text, self._clock.date()
        # A body that is not in OpenAI's form is not in the package's message.
        told = isinstance(error.body, dict) and "message" in error.body
        words = f"{error.code or ''} {error.type or ''}"
        asked, reset = asked_wait(headers, body, now=now), until_reset(headers, body, now=now)
        return self._classify(
            error.status_code, error.message if told else body, words, str(error.param or ""), asked, reset
        )

    def _failed_inside(self, error: ErrorBody, body: str) -> Exception:
        """An error with the status of a success: by the status it names itself, else by its words."""
        said = f"{error.code} {error}"
        status, asked = error.status, told_wait(body)
        if not status:
            limited = _BUSY.search(said) or is_spent(error.code, str(error), asked)
            status = 429 if limited else 503 if _PASSING.search(said) else 400
        reset = until_reset({}, body, now=self._clock.date())
        return self._classify(status, str(error), error.code, "", asked, reset)

    def _classify(
        self, status: int, message: str, words: str, param: str, asked: float = 0.0, reset: float = 0.0
    ) -> Exception:
        """What to do about a failed request.

        Args:
            status: its HTTP status.
            message: the server's words.
            words: its code and its type.
            param: the field of the request that it names.
            asked: seconds that it asks to wait.
            reset: seconds until its limits are full again.
        """
        said = self._clean(message)[:400]
        spent, limited = is_spent(words, message, asked), status in LIMITED
        final = spent or (limited and is_too_large(message))
        passing = status >= 500 or status in _RETRIED
        if (limited or (passing and asked > 0)) and not final:
            return _Wait(f"HTTP {status}: {said}", asked or (reset if limited else 0.0))
        if passing:
            return _Again(f"HTTP {status}: {said}", "Look into the server's log, or raise max_retries.")
        why = f"{self.where} refused with HTTP {status}: {said}. {_advice(status, spent=spent)}"
        return RefusedStatus(why, status, said, self._clean(param))

    def _limited(self, wait: _Wait, often: int) -> str:
        asked = f"asked to wait {wait.seconds:.0f} s" if wait.seconds else f"took no request in {often} attempts"
        return (
            f"{self.where} {asked} after {wait}; a request waits {self._patience:g} s for that "
            "(rate_limit_seconds): lower max_concurrency, raise rate_limit_seconds, or go on later"
        )

    def _clean(self, text: str) -> str:
        return self._told.sub("***", text) if self._key else text

    def _pause(self, attempt: int, longest: float) -> float:
        backoff = min(self._backoff * 2.0 ** min(attempt - 1, 30), longest)
        # Many dialogues fail together; the jitter keeps them from coming back together.
        return backoff * random.uniform(0.5, 1.0)


def _spellings(key: str) -> re.Pattern[str]:
    """Finds a key as it is and as JSON may write it: with a backslash before a character, or as its number."""
    return re.compile("".join(rf"(?:\\?{re.escape(one)}|\\u(?i:{ord(one):04x}))" for one in key))


def _advice(status: int, *, spent: bool) -> str:
    if spent or status == 402:
        return "The account's quota is used up: add credit or use another key."
    if status in LIMITED:
        return "The request alone is more than the limit: shorten the prompt, lower max_tokens, or have it raised."
    if 300 <= status < 400:
        return "Redirects are not followed, because the key would go along: give the final address as base_url."
    if status in {401, 403}:
        return "Check the key in the pool's api_key_env and what it may use."
    if status == 404:
        return "Check `model` and `base_url`."
    return "Check the length of the prompt and whether the server knows every option that was sent."
