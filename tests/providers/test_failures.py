"""A vendor's refusal becomes one word, its wait a number, and none of its text stays."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.providers.failures import (
    RETRY_AFTER_SECONDS_MAX,
    provider_error,
    provider_request_id,
    refusal_of,
    retry_after_seconds,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def error(message: str = "", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # Endpoints that speak OpenAI's format, in their own words.
        (402, error("Insufficient Balance", code="invalid_request_error"), Kind.QUOTA_EXHAUSTED),
        (429, error(type="exceeded_current_quota_error"), Kind.QUOTA_EXHAUSTED),
        (429, error(type="engine_overloaded_error"), Kind.OVERLOADED),
        (429, error(type="rate_limit_reached_error"), Kind.RATE_LIMITED),
        (429, error(type="tokens", code="rate_limit_exceeded"), Kind.RATE_LIMITED),
        (402, error(code=402), Kind.QUOTA_EXHAUSTED),
        (403, error(code=403, metadata={"flagged_input": "..."}), Kind.CONTENT_FILTERED),
        (400, error(code="content_filter"), Kind.CONTENT_FILTERED),
        (
            400,
            error("This model's maximum context length is 4096 tokens.", code=400),
            Kind.CONTEXT_TOO_LONG,
        ),
        (400, error(code=400, type="exceed_context_size_error"), Kind.CONTEXT_TOO_LONG),
        (400, {"code": "invalid argument", "error": "no such field"}, Kind.INVALID_REQUEST),
        (404, error("model 'x' not found", type="api_error"), Kind.MODEL_NOT_FOUND),
        (422, error(), Kind.INVALID_REQUEST),
        # Anthropic.
        (413, error(type="request_too_large"), Kind.CONTEXT_TOO_LONG),
        (402, error(type="billing_error"), Kind.QUOTA_EXHAUSTED),
        (529, error(type="overloaded_error"), Kind.OVERLOADED),
        # Google: a limit by the minute comes with the same status word as one by the day.
        (
            429,
            error(
                "You exceeded your current quota",
                status="RESOURCE_EXHAUSTED",
                details=[{"violations": [{"quotaId": "RequestsPerMinutePerProject-FreeTier"}]}],
            ),
            Kind.RATE_LIMITED,
        ),
        (
            429,
            error(
                status="RESOURCE_EXHAUSTED",
                details=[{"violations": [{"quotaId": "RequestsPerDayPerProject-FreeTier"}]}],
            ),
            Kind.QUOTA_EXHAUSTED,
        ),
        # What stands between us and the vendor.
        (502, "<html>Bad gateway</html>", Kind.OVERLOADED),
        (503, None, Kind.OVERLOADED),
        (520, None, Kind.OVERLOADED),
        (524, None, Kind.TIMEOUT),
        (409, None, Kind.OVERLOADED),
        (418, None, Kind.INVALID_REQUEST),
        (302, None, Kind.CONNECTION_FAILED),
        # Inside a stream that began with 200.
        (200, error(code=429), Kind.RATE_LIMITED),
        (200, error(type="overloaded_error"), Kind.OVERLOADED),
        (200, error(type="server_error"), Kind.STREAM_INTERRUPTED),
        (None, None, Kind.STREAM_INTERRUPTED),
    ],
)
def test_a_refusal_is_one_word(status: int | None, body: object, kind: Kind) -> None:
    assert refusal_of(status, {}, body).kind is kind


def test_a_prompt_about_context_windows_makes_no_other_error_too_long() -> None:
    body = error("window: explain the context window", type="server_error")
    assert refusal_of(500, {}, body).kind is Kind.OVERLOADED


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.2"}, 2),
        ({"retry-after-ms": "1500"}, 2),
        ({"retry-after-ms": "200", "retry-after": "9"}, 1),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 -0000"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "99999999"}, RETRY_AFTER_SECONDS_MAX),
        ({"retry-after": "Mon, 21 Nov 2033 12:00:00 GMT"}, RETRY_AFTER_SECONDS_MAX),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "٧"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_the_wait_a_vendor_asks_for_is_read_and_capped(
    headers: dict[str, str], seconds: int | None
) -> None:
    assert retry_after_seconds(headers, None, NOW) == seconds


def test_googles_wait_is_read_from_the_body() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}]
    assert retry_after_seconds({}, error(details=details), NOW) == 35
    assert retry_after_seconds({"retry-after": "3"}, error(details=details), NOW) == 3


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_keyed = st.dictionaries(
    st.sampled_from(["error", "message", "code", "type", "status", "details", "retryDelay"]),
    _json,
)


@given(
    status=st.none() | st.integers(100, 599),
    body=_json | _keyed | st.builds(lambda inner: {"error": inner}, _keyed),
    retry_after=st.text(),
)
def test_no_body_and_no_header_breaks_the_reading(
    status: int | None, body: object, retry_after: str
) -> None:
    refusal = refusal_of(status, {"retry-after": retry_after}, body)
    assert refusal.kind in Kind
    wait = refusal.retry_after_seconds
    assert wait is None or 0 <= wait <= RETRY_AFTER_SECONDS_MAX


def test_a_body_nested_without_end_is_not_followed() -> None:
    body: dict[str, object] = {"code": "insufficient_quota"}
    for _ in range(100_000):
        body = {"error": body}
    assert refusal_of(400, {}, body).kind is Kind.INVALID_REQUEST


def test_the_text_of_a_failure_is_endpoint_kind_and_status() -> None:
    assert str(provider_error("openai", Kind.RATE_LIMITED, status=429)) == (
        "openai: RATE_LIMITED (HTTP 429)"
    )
    assert str(provider_error("openai", Kind.TIMEOUT)) == "openai: TIMEOUT"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"x-request-id": "req_1"}, "req_1"),
        ({"request-id": "req_2"}, "req_2"),
        ({"x-request-id": "two words"}, ""),
        ({"x-request-id": "a" * 200}, ""),
        ({}, ""),
    ],
)
def test_a_vendors_request_id_is_kept_only_if_it_looks_like_one(
    headers: dict[str, str], request_id: str
) -> None:
    assert provider_request_id(headers) == request_id
