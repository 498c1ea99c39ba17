"""How long the limits of the servers that people use ask to wait, and which of them no waiting lifts."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest

from agents.engines.limits import asked_wait, is_spent, is_too_large, seconds_of, told_wait, until_reset

NOW = 1_760_000_000.0

AZURE = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded token "
    "rate limit of your current OpenAI S0 pricing tier. Please retry after 26 seconds. Please go here: "
    "https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."
)
GROQ = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` service tier `on_demand` on tokens "
    "per day (TPD): Limit 100000, Used 99940, Requested 1060. Please try again in 14m24.5s. Need more tokens? Upgrade "
    "to Dev Tier today at https://console.groq.com/settings/billing"
)
OPENAI = (
    "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 29500, Requested "
    "1200. Please try again in {}. Visit https://platform.openai.com/account/rate-limits to learn more."
)
GEMINI = json.dumps(
    [
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "15"},
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"},
                ],
            }
        }
    ]
)
TOLD = [
    (OPENAI.format("2s"), 2.0),
    (OPENAI.format("86ms"), 0.086),
    (OPENAI.format("6m0s"), 360.0),
    (OPENAI.format("1h3m20.5s"), 3800.5),
    (AZURE, 26.0),
    (GROQ, 864.5),
    (GEMINI, 36.0),
    ("You exceeded your current quota.\nPlease retry in 36.237s.", 36.237),
    ("max organization concurrency: 1, please try again after 1 seconds", 1.0),
    ("Request was throttled. Expected available in 20 seconds.", 20.0),
    ("Too many requests: 3 per 60 s. Please wait 1 minute and 5 seconds.", 65.0),
    ("Slow down, please wait for 2 minutes before you try again", 120.0),
    ("try again in 500 milliseconds", 0.5),
    ("You can retry your request after 20 secs", 20.0),
    ("Rate limit resets in 2 hours", 7200.0),
    ('{"message": "You are being rate limited.", "retry_after": 0.65, "global": false}', 0.65),
    ('{"error": {"retry_after_ms": 1500}}', 1.5),
    ('{"error": {"retryAfter": "12"}}', 12.0),
    ('{"error": {"metadata": {"raw": "{\\"retryDelay\\": \\"7s\\"}"}}}', 7.0),
    ("slow down", 0.0),
    ("Please try again later.", 0.0),
    ("3 requests per 20s are allowed", 0.0),
    ("you may retry up to 5 times", 0.0),
    ("the feedback took 5 s", 0.0),
    ("wait " * 100_000 + "5 s", 0.0),
]


@pytest.mark.parametrize(("body", "seconds"), TOLD, ids=[body[:40] for body, _ in TOLD])
def test_what_a_message_says_is_waited(body: str, seconds: float) -> None:
    assert told_wait(body) == pytest.approx(seconds)
    assert asked_wait({}, body, now=NOW) == pytest.approx(seconds)
    assert asked_wait({"retry-after": "3"}, body, now=NOW) == 3.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((None, 0.0), ("", 0.0), ("soon", 0.0), ("-1", 0.0), ("inf", 0.0), ("nan", 0.0), ("6 apples", 0.0)),
        *(("2.5", 2.5), (" 30 ", 30.0), ("20s", 20.0), ("6m0s", 360.0), ("20ms", 0.02), ("1 minute", 60.0)),
        (str(int(NOW + 40)), 40.0),
        (str(int(NOW + 40) * 1000), 40.0),
        (formatdate(NOW + 60, usegmt=True), 60.0),
        (formatdate(NOW + 60).removesuffix(" -0000"), 60.0),
        (formatdate(NOW - 60, usegmt=True), 0.0),
        ("2025-10-09T08:54:20Z", 60.0),
        ("2025-10-09T08:54:20", 60.0),
    ],
)
def test_a_time_is_read_in_any_form(value: str | None, seconds: float) -> None:
    assert seconds_of(value, now=NOW) == pytest.approx(seconds)
    assert asked_wait({"retry-after": value or ""}, "", now=NOW) == pytest.approx(seconds)


def test_milliseconds_are_the_more_exact_ones() -> None:
    assert asked_wait({"retry-after-ms": "1500", "retry-after": "30"}, "", now=NOW) == 1.5
    assert asked_wait({"retry-after-ms": "nan", "retry-after": "30"}, "", now=NOW) == 30.0
    assert asked_wait({"x-ms-retry-after-ms": "250"}, "", now=NOW) == 0.25


OPENROUTER = json.dumps(
    {
        "error": {
            "message": "Rate limit exceeded: free-models-per-min. ",
            "code": 429,
            "metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW + 25) * 1000)}},
        }
    }
)
RESETS = [
    ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
    ({"x-ratelimit-reset-requests": "24h0m0s", "x-ratelimit-reset-tokens": "7.66s"}, 7.66),
    (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "900",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        179.56,
    ),
    ({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12.0),
    ({"x-ratelimit-reset": str(int(NOW + 9))}, 9.0),
    (
        {
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": "2025-10-09T08:54:20Z",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2025-10-09T08:53:21Z",
        },
        60.0,
    ),
    ({"ratelimit-reset": "50"}, 50.0),
    ({"x-rate-limit-reset": "50"}, 50.0),
    ({"x-ratelimit-reset-requests": "", "x-ratelimit-reset-tokens": "soon", "x-reset": "5"}, 0.0),
    ({}, 0.0),
]


@pytest.mark.parametrize(("headers", "seconds"), RESETS)
def test_a_limit_that_is_used_up_is_waited_for_until_it_is_full(headers: dict[str, str], seconds: float) -> None:
    assert until_reset(headers, "", now=NOW) == pytest.approx(seconds)
    assert asked_wait(headers, "", now=NOW) == 0.0


def test_a_gateway_tells_the_fields_of_whom_it_asked() -> None:
    assert until_reset({}, OPENROUTER, now=NOW) == 25.0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
        ("", "You exceeded your current quota, please check your plan and billing details."),
        ("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        ("", "Insufficient credits. Add more using https://openrouter.ai/credits"),
        ("", "This request requires more credits, or fewer max_tokens."),
        ("", "Insufficient Balance"),
        ("billing_hard_limit_reached", "limit"),
        ("exceeded_current_quota_error", "Your account is suspended, please check your plan"),
        ("budget_exceeded", "Budget has been exceeded! Current cost: 10.2, Max budget: 10"),
        ("1113", "您的账户余额不足"),
    ],
)
def test_an_account_at_its_end_is_told_from_a_limit(code: str, message: str) -> None:
    assert is_spent(code, message, 0.0)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("rate_limit_exceeded tokens", OPENAI.format("2s")),
        ("429", AZURE),
        ("rate_limit_exceeded tokens", GROQ),
        ("", GEMINI),
        (
            "rate_limit_error",
            "This request would exceed your rate limit of 50,000 input tokens per minute",
        ),
        ("429", "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"),
        ("", "Resource has been exhausted (e.g. check quota)."),
        ("model_rate_limit", "The maximum rate limit for this model is 6.0 queries and 180000 tokens per minute."),
        ("overloaded_error", "Overloaded"),
        ("", "Provider returned error"),
    ],
)
def test_a_limit_that_passes_is_no_end(code: str, message: str) -> None:
    assert not is_spent(code, message, 0.0) and not is_too_large(message)


def test_a_request_that_is_larger_than_its_limit_is_known() -> None:
    assert is_too_large("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41000.")
